"""A tiny AFLW-19 in its official layout."""

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from tests.helpers.trees import SIDE, draw
from tests.helpers.trees_wflw import scattered


# As listed, that is by row; the first two are faces of one photo, the last lies there as .jpg.
NAMES = (
    "0/image00002.jpg", "0/image00002.jpg", "2/image00004.jpg", "3/image00035.jpg",
    "3/image00036.png",
)  # fmt: skip
ORDER = (4, 1, 5, 3, 2)  # `ra`


def aflw_tables() -> dict[str, np.ndarray]:
    """The variables of AFLWinfo_release.mat: rows 2 and 5 have a point hidden or outside."""
    count = len(NAMES)
    names = np.empty((count, 1), object)
    names[:, 0] = NAMES
    points = np.stack([scattered(n, 19) for n in range(count)])
    points[4, 7] = (SIDE, 30)
    mask = np.ones((count, 19), np.uint8)
    mask[1, 3] = 0
    return {
        "nameList": names,
        "data": points.transpose(0, 2, 1).reshape(count, 38),
        "mask_new": mask,
        "bbox": np.array([[2 + n, 62, 3, 61] for n in range(count)], np.float64),
        "ra": np.array([ORDER], np.uint16),
    }


def make_aflw(root: Path) -> dict[str, np.ndarray]:
    """AFLWinfo_release.mat and aflw/data/flickr/{0,2,3} -> its tables."""
    tables = aflw_tables()
    for number, name in enumerate(NAMES):
        path = (root / "aflw/data/flickr" / name).with_suffix(".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw(scattered(number, 19), number))
    savemat(root / "AFLWinfo_release.mat", tables)
    return tables
