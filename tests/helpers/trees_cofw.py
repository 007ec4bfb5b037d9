"""Tiny COFW and COFW-68 in their official layouts."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from tests.helpers.trees import draw, face68
from tests.helpers.trees_wflw import scattered


USERBLOCK = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by hand HDF5 schema 1.00 ."


def write_cofw(path: Path, suffix: str, photos: list, marks: np.ndarray, boxes: np.ndarray):
    """One of COFW's v7.3 files as h5py shows it: every array with its axes reversed.

    `photos` are (height, width[, RGB]) uint8, `marks` (N, 87) and `boxes` (N, 4) as in Matlab.
    """
    with h5py.File(path, "w", userblock_size=512) as mat:
        store = mat.create_group("#refs#")
        cells = mat.create_dataset(f"Is{suffix}", (1, len(photos)), h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for number, photo in enumerate(photos):
            stored = store.create_dataset(f"p{number}", data=photo.T, compression="gzip")
            stored.attrs["MATLAB_class"] = np.bytes_("uint8")
            cells[0, number] = stored.ref
        for name, table in ((f"phis{suffix}", marks), (f"bboxes{suffix}", boxes)):
            mat.create_dataset(name, data=np.float64(table.T))
            mat[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(USERBLOCK.ljust(124) + b"\0\2IM")


def cofw_photos(count: int, seed: int) -> list[np.ndarray]:
    """RGB photos, higher than wide; every second one grey, as some of COFW's are."""
    photos = [draw(scattered(n, 29), seed + n)[:, :60, ::-1] for n in range(count)]
    return [photo if n % 2 == 0 else photo[..., 0] for n, photo in enumerate(photos)]


def cofw_tables(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 87) points from 1 with their flags, and (count, 4) boxes x, y, width, height."""
    flags = np.random.default_rng(seed).integers(0, 2, (count, 29))
    points = np.stack([scattered(seed + n, 29) + 1 for n in range(count)])
    marks = np.concatenate([points[..., 0], points[..., 1], flags], 1)
    boxes = np.stack([[5 + n, 6, 40, 45] for n in range(count)])
    return marks, boxes


def make_cofw(root: Path, train: int = 3, test: int = 2) -> dict[str, tuple]:
    """Both colour files -> {face id: (photo, its row of 87 numbers)}."""
    root.mkdir(parents=True, exist_ok=True)
    made = {}
    for split, suffix, count, seed in (("train", "Tr", train, 10), ("test", "T", test, 50)):
        photos, (marks, boxes) = cofw_photos(count, seed), cofw_tables(count, seed)
        write_cofw(root / f"COFW_{split}_color.mat", suffix, photos, marks, boxes)
        made |= {f"{split}/{n + 1:04}": (photos[n], marks[n]) for n in range(count)}
    return made


def make_cofw68(root: Path, count: int = 3) -> dict[str, np.ndarray]:
    """COFW68_Data, and COFW's test file beside it -> {face id: its points, 0-based}."""
    data = root / "COFW68_Data"
    (data / "test_annotations").mkdir(parents=True)
    made = {}
    for number in range(1, count + 1):
        made[f"test/{number:04}"] = points = face68(number)
        stored = {"Points": points + 1, "Occ": np.uint8(np.arange(68) < number)[None]}
        savemat(data / "test_annotations" / f"{number}_points.mat", stored)
    boxes = np.array([[4 + n, 9, 20, 16] for n in range(count)], np.int16)
    savemat(data / "cofw68_test_bboxes.mat", {"bboxes": boxes})
    make_cofw(root, test=count)
    return made
