"""Tiny 300W-LP and AFLW2000-3D trees in their official layouts."""

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from tests.helpers.trees import draw, face68


def write_pair(path: Path, seed: int, yaw: float, **points) -> None:
    """`path`.jpg and `path`.mat with these variables and a yaw in degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{path}.jpg", draw(face68(seed), seed))
    pose = np.array([[0.25, np.deg2rad(yaw), -0.5, 30, 40, 0, 0.001]], np.float32)
    savemat(f"{path}.mat", {"Pose_Para": pose, "roi": np.int16([[1, 1, 64, 64]]), **points})


def make_300w_lp(root: Path) -> dict[str, np.ndarray]:
    """Two renderings of an AFW face, one of IBUG and of LFPW, and AFW's mirrored -> points.

    `landmarks` holds AFW and IBUG. There pt2d lies 5 pixels beside pts_2d, which is returned.
    """
    made = {}
    for number, (folder, stem) in enumerate(
        [
            ("AFW", "AFW_134212_1_0"),
            ("AFW", "AFW_134212_1_10"),
            ("IBUG", "IBUG_image_008_1_0"),
            ("LFPW", "LFPW_image_test_0001_2"),
            ("AFW_Flip", "AFW_134212_1_0"),
        ]
    ):
        made[f"{folder}/{stem}"] = points = face68(number)
        listed = folder in ("AFW", "IBUG")
        write_pair(root / folder / stem, number, 20.0 * number, pt2d=(points + 1 + 5 * listed).T)
        if listed:
            path = root / "landmarks" / folder / f"{stem}_pts.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"pts_2d": points + 1, "pts_3d": points + 7})
    return made


def make_aflw2000(root: Path, yaws: tuple[float, ...]) -> dict[str, np.ndarray]:
    """AFLW2000 with a face of each yaw (degrees) -> its points, 0-based. pt2d are AFLW's 21."""
    made = {}
    for number, yaw in enumerate(yaws):
        stem = f"image{2 + 3 * number:05}"
        made[stem] = points = face68(number) + number / 4
        model = np.concatenate([points.T + 1, np.full((1, 68), number)]).astype(np.float32)
        pt2d = -np.ones((2, 21))
        write_pair(root / "AFLW2000" / stem, number, yaw, pt2d=pt2d, pt3d_68=model)
    return made
