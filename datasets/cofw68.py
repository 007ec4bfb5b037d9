"""COFW-68: 68 points with their occlusion on the test photos of COFW.

G. Ghiasi, C. C. Fowlkes: Occlusion Coherence: Detecting and Localizing Occluded Faces. 2015 (the
repository golnazghiasi/cofw68-benchmark). The photos come from COFW's own test file: `i_points.mat`
belongs to its i-th photo.

Points and boxes are counted from 1 (`base`): the repository does not say so, but its Matlab script
draws them as they stand. Others take them as stored, `base=0`. The boxes imitate the detector of
300W. They are the face's normalising box too: errors are published by the size of this box (the
released code of TAB) and by that of the points' rectangle (LUVLi, SPIGA); the former is 1.2 %
larger on average.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxalign.datasets.cofw import TEST_FILES, find, open_mat, photos_of, png
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import check_base, places, read_mat
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68


def faces(root: Path, *, base: int = 1) -> Iterator[Face | Bad]:
    """Reads the test faces in COFW's order, called "test/0001" and so on.

    Args:
        root: A folder that holds COFW68_Data and, at any depth, COFW's test file.
        base: Where the stored coordinates begin to count, 0 or 1.

    Yields:
        A Face or a Bad for each face; points are 0-based pixels of the photo.

    Raises:
        InputError: A file is missing or wrong, or the photos and the boxes are not as many.
    """
    check_base("cofw68", base)
    root = Path(root)
    data = _data_folder(root)
    photos_file = find(root, TEST_FILES)
    if photos_file is None:
        raise InputError(
            f"{root}: COFW's photos are missing; put {TEST_FILES[0]} of COFW_color.zip into it"
        )
    boxes = _boxes(data / "cofw68_test_bboxes.mat", base)
    with open_mat(photos_file) as mat:
        photos = photos_of(mat, "IsT", photos_file)
        if len(photos) != len(boxes):
            raise InputError(
                f"{photos_file}: {len(photos)} photos, but {len(boxes)} boxes in {data.name}; "
                "COFW's test file and the annotations must both be complete"
            )
        for number, (photo, box) in enumerate(zip(photos, boxes, strict=True), 1):
            path = data / "test_annotations" / f"{number}_points.mat"
            yield _face(photos_file, (mat, photo), number, path, box, base)


def _data_folder(root):
    for candidate in (root, *(place / "COFW68_Data" for place in places(root))):
        if (candidate / "test_annotations").is_dir():
            return candidate
    raise InputError(f"{root}: not COFW-68; it must hold COFW68_Data/test_annotations")


def _boxes(path, base):
    """`cofw68_test_bboxes.mat` -> (N, 4) corners, 0-based; stored as x, y, width, height."""
    boxes = read_mat(path, ("bboxes",))["bboxes"].astype(np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{path}: bboxes of shape {boxes.shape}, there must be 4 columns")
    corner, size = boxes[:, :2] - base, boxes[:, 2:]
    return np.concatenate([corner, corner + size], 1)


def _face(photos_file, photo, number, path, box, base):
    identity = f"test/{number:04}"
    try:
        points, visible = read_points(path, base)
    except InputError as error:
        return Bad.of(identity, path, error)
    try:
        encoded = png(*photo)
    except ValueError as error:
        return Bad(identity, photos_file, f"face {number}: {error}")
    return Face(
        split="test",
        id=identity,
        photo=encoded,
        points={IBUG68.name: points},
        visible={IBUG68.name: visible},
        boxes={"detector": box.astype(np.float32)},
        norm_box=box.astype(np.float32),
    )


def read_points(path: Path, base: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Reads `i_points.mat`.

    Args:
        path: The file.
        base: Where the file counts from, 0 or 1.

    Returns:
        (68, 2) float32, 0-based pixels of the photo; and (68,) bool, which of them are visible.

    Raises:
        InputError: The file is missing, cut short or wrong.
    """
    stored = read_mat(path, ("Points", "Occ"))
    points, occluded = stored["Points"], stored["Occ"].reshape(-1)
    wanted = (IBUG68.num_points, 2)
    if points.shape != wanted or len(occluded) != len(points):
        raise InputError(
            f"{path}: points of shape {points.shape} with {len(occluded)} flags, there must be "
            f"{wanted} and {wanted[0]}"
        )
    if not (np.isfinite(points).all() and np.isin(occluded, (0, 1)).all()):
        raise InputError(f"{path}: its points hold NaN, or flags not 0 or 1")
    return (points - base).astype(np.float32), occluded == 0


BENCHMARK = Benchmark(
    name="cofw68",
    schemes=(IBUG68.name,),
    faces=faces,
    counts={"test": 507},
    options={"base": 1},
    notes=("The photos are COFW's test photos: compare no model here that was trained on them.",),
    instructions=(
        "Download https://github.com/golnazghiasi/cofw68-benchmark (its COFW68_Data folder) and "
        "COFW_color.zip from https://data.caltech.edu/records/bc0bf-nc666, and put "
        "COFW_test_color.mat, which holds the photos, beside COFW68_Data or into it."
    ),
    homepage="https://github.com/golnazghiasi/cofw68-benchmark",
    citation=r"""
        @article{ghiasi2015occlusion,
          title = {Occlusion Coherence: Detecting and Localizing Occluded Faces},
          author = {Ghiasi, G. and Fowlkes, C. C.},
          journal = {arXiv:1506.08347},
          year = {2015}
        }
        @inproceedings{burgos2013robust,
          title = {Robust Face Landmark Estimation under Occlusion},
          author = {Burgos-Artizzu, X. P. and Perona, P. and Doll{\'a}r, P.},
          booktitle = {ICCV},
          year = {2013}
        }
    """,
)
