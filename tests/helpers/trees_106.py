"""Tiny LaPa and JD-landmark trees."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.trees import draw, face68


def face106(number: int) -> np.ndarray:
    """(106, 2) points, multiples of 1/8 pixel."""
    return np.concatenate([face68(number), face68(number)[:38] + (0, -1)])


def write_points(path: Path, points: np.ndarray) -> None:
    """A count and a line `x y` for each point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{len(points)}\n" + "".join(f"{x} {y}\n" for x, y in points))


def write_photo(path: Path, points: np.ndarray, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw(points, seed))


def make_lapa(root: Path) -> dict[str, np.ndarray]:
    """Two faces of one photo in train, one face in val and in test -> their points."""
    names = ("train/10_0", "train/10_1", "val/20_0", "test/30_0")
    made = {name: face106(number) for number, name in enumerate(names)}
    for number, (name, points) in enumerate(made.items()):
        folder, stem = name.split("/")
        write_points(root / folder / "landmarks" / f"{stem}.txt", points)
        write_photo(root / folder / "images" / f"{stem}.jpg", points, number)
        write_photo(root / folder / "labels" / f"{stem}.png", points, number)
    return made


def make_jd(root: Path) -> dict[str, np.ndarray]:
    """Two training faces, the second one's points corrected, and a test face -> their points."""
    names = (
        "Test_data1/AFW_134212_2_0",
        "Training_data/AFW/AFW_134212_1_0",
        "Training_data/IBUG/IBUG_image_008_1_0",
    )
    made = {name: face106(number) for number, name in enumerate(names)}
    for number, (name, points) in enumerate(made.items()):
        folder, _, stem = name.rpartition("/")
        write_points(root / folder / "landmark" / f"{stem}.jpg.txt", points + 9 * (number == 2))
        write_photo(root / folder / "picture" / f"{stem}.jpg", points, number)
    write_points(root / "Corrected_landmark/IBUG_image_008_1_0.jpg.txt", points)
    boxes = root / "training_dataset_face_detection_bounding_box_v1"
    boxes = boxes / "training_dataset_face_detection_bounding_box"
    for path in (
        boxes / "AFW_134212_1_0.jpg.rect",
        root / "Test_data1/rect/AFW_134212_2_0.jpg.rect",
    ):
        path.parent.mkdir(parents=True)
        path.write_text(f"{number} 5 50 60\n")
    return made
