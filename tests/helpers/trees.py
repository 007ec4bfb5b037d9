"""Tiny files in the benchmarks' official layouts."""

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat


SIDE = 64  # of every photo, pixels
FOLDERS_300W = (
    "afw", "helen/trainset", "lfpw/trainset", "helen/testset", "lfpw/testset", "ibug",
)  # fmt: skip


def face68(number: int) -> np.ndarray:
    """(68, 2) points of a made-up face within a photo, 0-based, multiples of 1/8 pixel."""

    def arc(x, y, width, height, start, stop, count):
        angle = np.deg2rad(np.linspace(start, stop, count))
        return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], 1)

    parts = [
        arc(0, 0, 20, 24, 180, 0, 17),
        *(arc(x, -8, 6, 3, 190, 350, 5) for x in (-9, 9)),
        np.stack([np.zeros(4), np.linspace(-4, 4, 4)], 1),
        arc(0, 5, 5, 2, 180, 0, 5),
        *(arc(x, -3, 4, 2, 180, 480, 6) for x in (-9, 9)),
        arc(0, 13, 8, 4, 180, 510, 12),
        arc(0, 13, 6, 2, 180, 495, 8),
    ]
    moved = np.concatenate(parts) + (SIDE / 2 + number % 5, SIDE / 2 - number % 3)
    return np.round(moved * 8) / 8


def draw(points: np.ndarray, seed: int) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8: a noisy photo with a mark at every point."""
    noise = np.random.default_rng(seed).integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8)
    for x, y in np.round(points).astype(int):
        cv2.circle(noise, (int(x), int(y)), 1, (20, 20, 240), -1)
    return noise


def write_pts(path: Path, points: np.ndarray) -> None:
    """0-based points as iBUG's file, which counts from 1."""
    lines = "\n".join(f"{x + 1:.6f} {y + 1:.6f}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n")


def make_300w(root: Path, photos_per_folder: int = 2) -> dict[str, np.ndarray]:
    """The official 300W tree with so many photos a folder -> {face id: its points, 0-based}.

    AFW's first two files are one photo with two faces, HELEN's first is the same photo again;
    IBUG's first name has the blank of the official zip. LFPW is .png.
    """
    stems = {
        "afw": lambda n: f"{134212 + n // 2}_{n % 2 + 1}",
        "helen/trainset": lambda n: f"{134212 + n}_3",
        "lfpw/trainset": lambda n: f"image_{n + 1:04}",
        "helen/testset": lambda n: f"{300000 + n}_1",
        "lfpw/testset": lambda n: f"image_{n + 1:04}",
        "ibug": lambda n: f"image_{92 + n:03} _01",
    }
    faces = {}
    for folder in FOLDERS_300W:
        (root / folder).mkdir(parents=True)
        extension = ".png" if folder.startswith("lfpw") else ".jpg"
        for number in range(photos_per_folder):
            stem = stems[folder](number)
            points = face68(len(faces))
            cv2.imwrite(str(root / folder / (stem + extension)), draw(points, len(faces)))
            write_pts(root / folder / f"{stem}.pts", points)
            faces[f"{folder}/{stem.replace(' ', '')}"] = points
    return faces


def write_boxes(root: Path, folder: str, boxes: dict[str, tuple]) -> None:
    """The official box file of a folder: {photo name: (ground truth, detector)}, 1-based."""
    cells = np.empty((1, len(boxes)), object)
    for cell, (name, (truth, detector)) in enumerate(boxes.items()):
        cells[0, cell] = {
            "imgName": name,
            "bb_detector": np.array([detector], np.float64),
            "bb_ground_truth": np.array([truth], np.float64),
        }
    (root / "Bounding Boxes").mkdir(exist_ok=True)
    path = root / "Bounding Boxes" / f"bounding_boxes_{folder.replace('/', '_')}.mat"
    savemat(path, {"bounding_boxes": cells})
