"""COFW: 29 points with their occlusion; two MATLAB v7.3 (HDF5) files hold the photos and all.

X. P. Burgos-Artizzu, P. Perona, P. Dollar: Robust Face Landmark Estimation under Occlusion. ICCV
2013.

The release's own notes say that the first 845 training faces are LFPW's, and that the boxes imitate
a face detector with its errors. The release does not say where its pixels count from. 1 is taken
off points and boxes, as MMPose's converter does, since the release plots the points in Matlab as
they stand.

COFW has no attributes. A face gets the attribute occlusion where at least the share `occluded` of
its 29 points (0.3 by default) is marked as occluded. PropagationNet's authors labelled all six
attributes by hand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import below
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import COFW29


if TYPE_CHECKING:
    import h5py


# Colour first: the grey set (COFW.zip) has the same faces, variables and order.
TRAIN_FILES = ("COFW_train_color.mat", "COFW_train.mat")
TEST_FILES = ("COFW_test_color.mat", "COFW_test.mat")
POINTS = COFW29.num_points
LARGEST = 2**29  # numbers of an array: three times a photo's pixels


def faces(root: Path, *, occluded: float = 0.3) -> Iterator[Face | Bad]:
    """Reads every face in the files' own order, train first, called "<split>/<place from 0001>".

    Args:
        root: A folder that holds the two files, at any depth.
        occluded: The least share of occluded points that gives the attribute occlusion.

    Yields:
        A Face or a Bad for each face; points are 0-based pixels of the photo.

    Raises:
        InputError: The option or a file is wrong, or there is none of the files.
    """
    if not 0 < occluded <= 1:
        raise InputError(f"cofw: occluded={occluded:g}; a share of points, above 0 and at most 1")
    root = Path(root)
    parts = [("train", "Tr", find(root, TRAIN_FILES)), ("test", "T", find(root, TEST_FILES))]
    if not any(path for _, _, path in parts):
        names = " or ".join((TRAIN_FILES[0], TEST_FILES[0]))
        raise InputError(f"{root}: not COFW; it must hold {names}")
    for split, suffix, path in parts:
        if path is not None:
            yield from _faces(path, split, suffix, occluded)


def find(root: Path, names: tuple[str, ...]) -> Path | None:
    """Finds the first of these files anywhere under `root` (COFW.zip holds folders within folders).

    Args:
        root: The folder.
        names: The files' names; an earlier name goes first, then the place nearest to `root`.

    Returns:
        The file, None where there is none.
    """
    for name in names:
        found = [path for path in below(root) if path.name == name]
        if found:
            return min(found, key=lambda path: (len(path.parts), path))
    return None


def _faces(path, split, suffix, share):
    with open_mat(path) as mat:
        photos = photos_of(mat, f"Is{suffix}", path)
        marks = _table(mat, f"phis{suffix}", path, (3 * POINTS, len(photos)))
        boxes = _table(mat, f"bboxes{suffix}", path, (4, len(photos)))
        for number, (photo, mark, box) in enumerate(zip(photos, marks, boxes, strict=True), 1):
            yield _face(path, split, number, (mat, photo), mark, box, share)


def _face(path, split, number, photo, mark, box, share):
    identity = f"{split}/{number:04}"
    x, y, occluded = mark.reshape(3, POINTS)
    if not (np.isfinite(mark).all() and np.isin(occluded, (0, 1)).all()):
        return Bad(identity, path, f"face {number}: its points hold NaN, or flags not 0 or 1")
    try:
        encoded = png(*photo)
    except ValueError as error:
        return Bad(identity, path, f"face {number}: {error}")
    x0, y0, width, height = box
    return Face(
        split=split,
        id=identity,
        photo=encoded,
        points={COFW29.name: (np.stack([x, y], 1) - 1).astype(np.float32)},
        visible={COFW29.name: occluded == 0},
        boxes={"dataset": np.array([x0 - 1, y0 - 1, x0 - 1 + width, y0 - 1 + height], np.float32)},
        attributes=tuple(
            int(name == "occlusion" and occluded.mean() >= share) for name in ATTRIBUTES
        ),
    )


def open_mat(path: Path) -> "h5py.File":
    """Opens a MATLAB v7.3 file.

    Args:
        path: The file.

    Returns:
        The open file; closing it is up to the caller.

    Raises:
        InputError: It is no such file, or is cut short.
    """
    import h5py  # here, because a machine that only runs ONNX models may lack it

    if not path.is_file():  # opening a pipe would wait
        raise InputError(f"{path}: not a file; download it again")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: not a MATLAB v7.3 (HDF5) file, or cut short ({error}); download it again"
        ) from None


def photos_of(mat: "h5py.File", name: str, path: Path) -> np.ndarray:
    """Lists the photos of a cell array; no photo is read yet.

    Args:
        mat: The open file.
        name: The cell array's name.
        path: The file, for the message.

    Returns:
        References (N,) to the photos.

    Raises:
        InputError: There is no such array.
    """
    import h5py

    cells = _read(mat, name, path)
    if cells.ndim != 2 or cells.shape[0] != 1 or cells.dtype != h5py.ref_dtype:
        raise InputError(f"{path}: {name} is not a column of photos; download it again")
    return cells[0]


def png(mat: "h5py.File", photo: "h5py.Reference") -> bytes:
    """Reads one photo and encodes it as PNG, grey or colour.

    MATLAB's height x width [x RGB] appears in h5py with its axes reversed.

    Args:
        mat: The open file.
        photo: The reference to the photo.

    Returns:
        The encoded photo.

    Raises:
        ValueError: The photo is damaged, or is none.
    """
    try:
        pixels = _array(mat, photo).T
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"its photo cannot be read ({error})") from None
    flat = pixels.ndim < 2 or 0 in pixels.shape
    if pixels.dtype != np.uint8 or flat or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"its photo is {pixels.dtype} of shape {pixels.shape}")
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


def _table(mat, name, path, shape):
    """The numbers stored under `name`, which h5py shows as `shape`, one row a face."""
    table = _read(mat, name, path)
    if table.shape != shape or table.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: {name} appears as {table.shape}, it should be {shape}; download it again"
        )
    return table.T.astype(np.float64)


def _read(mat, name, path):
    try:
        return _array(mat, name)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError):
        raise InputError(f"{path}: {name} cannot be read from it; download it again") from None


def _array(mat: "h5py.File", key: "str | h5py.Reference") -> np.ndarray:
    import h5py

    stored = mat[key]
    if not isinstance(stored, h5py.Dataset):
        raise TypeError(f"{stored} is no array")
    if (stored.size or 0) > LARGEST:  # None: it holds nothing
        raise ValueError(f"{stored.size:,} numbers are too many")
    return np.asarray(stored[()])


BENCHMARK = Benchmark(
    name="cofw",
    schemes=(COFW29.name,),
    faces=faces,
    counts={"train": 1345, "test": 507},
    options={"occluded": 0.3},
    version="1.1.0",  # 1.0.0 had no attributes
    family="300w",
    notes=(
        "The first 845 training faces are LFPW's, as part of 300W is: do not train on one of the "
        "two and test on the other's LFPW photos.",
    ),
    instructions=(
        "Download COFW_color.zip from https://data.caltech.edu/records/bc0bf-nc666 and unpack it: "
        "COFW_train_color.mat and COFW_test_color.mat, photos included, in one folder. The grey "
        "COFW_train.mat and COFW_test.mat of COFW.zip are read where those are not there."
    ),
    homepage="https://data.caltech.edu/records/bc0bf-nc666",
    citation=r"""
        @inproceedings{burgos2013robust,
          title = {Robust Face Landmark Estimation under Occlusion},
          author = {Burgos-Artizzu, X. P. and Perona, P. and Doll{\'a}r, P.},
          booktitle = {ICCV},
          year = {2013}
        }
    """,
)
