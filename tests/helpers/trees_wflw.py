"""A tiny WFLW in its official layout."""

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.trees import SIDE, draw


LISTS = Path("WFLW_annotations/list_98pt_rect_attr_train_test")
# (list, photo, attributes): the second photo holds two faces, as many of WFLW's do.
FACES = (
    ("train", "0--Parade/0_Parade_1.jpg", "1 0 0 0 0 0"),
    ("train", "0--Parade/0_Parade_2.jpg", "0 0 0 0 1 1"),
    ("train", "0--Parade/0_Parade_2.jpg", "0 0 0 0 0 0"),
    ("test", "46--Jockey/46_Jockey_3.jpg", "0 1 0 1 0 0"),
    ("test", "46--Jockey/46_Jockey_3.jpg", "0 0 0 0 0 0"),
    ("test", "46--Jockey/46_Jockey_4.jpg", "1 1 1 1 1 1"),
)


def scattered(number: int, count: int) -> np.ndarray:
    """(count, 2) made-up points within a photo, multiples of 1/8 pixel."""
    return np.random.default_rng(number).integers(40, SIDE * 8 - 40, (count, 2)) / 8


def wflw_line(points: np.ndarray, box: tuple, attributes: str, photo: str) -> str:
    """A line of a rect_attr list."""
    numbers = " ".join(f"{value:.6f}" for value in points.ravel())
    return f"{numbers} {' '.join(str(side) for side in box)} {attributes} {photo}"


def make_wflw(root: Path) -> dict[str, np.ndarray]:
    """WFLW_images and WFLW_annotations with FACES -> {face id: its points}."""
    (root / LISTS).mkdir(parents=True)
    made, lines = {}, {"train": [], "test": []}
    for number, (split, photo, attributes) in enumerate(FACES):
        path = root / "WFLW_images" / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        points = scattered(number, 98)
        cv2.imwrite(str(path), draw(points, number))
        lines[split].append(wflw_line(points, (4, 5, 60, 59), attributes, photo))
        made[f"{split}/{len(lines[split]):04}"] = points
    for split, written in lines.items():
        path = root / LISTS / f"list_98pt_rect_attr_{split}.txt"
        path.write_text("\n".join(written) + "\n")
    return made
