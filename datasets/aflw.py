"""AFLW with the 19 points, split and visibility of AFLWinfo_release.mat (AFLW-19).

S. Zhu, C. Li, C. C. Loy, X. Tang: Unconstrained Face Alignment via Cascaded Compositional Learning.
CVPR 2016; photos of M. Koestinger, P. Wohlhart, P. M. Roth, H. Bischof: Annotated Facial Landmarks
in the Wild. ICCV Workshops 2011.

Two things are not known for certain.

* Whether the coordinates count from 0 or 1. The release does not say; they are taken as they stand,
  as HRNet and MMPose take them.
* Which faces are "frontal". TAB prints 1,314 of them, as the list of HRNet is said to hold, and so
  many are expected; the paper of the split asks for visibility alone and prints 1,165. By default a
  test face is frontal where all 19 points are visible and lie strictly inside its box, the rule of
  the SAN and SBR lists; `front=list` takes HRNet's list instead.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from jaxalign import texts
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import PHOTOS, inside, places, read_mat
from jaxalign.errors import InputError
from jaxalign.schemes import AFLW19


INFO = "AFLWinfo_release.mat"
TRAIN_FACES = 20_000  # the first ones in the order `ra`; the others are for testing
LIST = "face_landmarks_aflw_test_frontal.csv"  # HRNet's: photo, ..., then 19 points x, y
PHOTO_FOLDERS = ("", "flickr", "data/flickr", "aflw/data/flickr", "images")  # that hold 0, 2, 3


def faces(root: Path, *, front: str = "rule") -> Iterator[Face | Bad]:
    """Reads the faces in the release's order `ra`: train, then test.

    A face is called "<photo>/<row of the file, from 00001>", since a photo can hold several.

    Args:
        root: The folder that holds INFO and the photos, or the one above it.
        front: Which test faces are frontal: by "rule", or by "list", the file LIST beside INFO.

    Yields:
        A Face or a Bad for each row; points are pixels of the photo, as they stand.

    Raises:
        InputError: The option or a file is wrong, or the files are missing.
    """
    if front not in ("rule", "list"):
        raise InputError(f"aflw: front={front}; it is rule or list")
    root = Path(root)
    info = next((p for place in places(root) if (p := place / INFO).is_file()), None)
    if info is None:
        raise InputError(f"{root}: not AFLW; it must hold {INFO}")
    photos = _photo_folder(root)
    table = _read_info(info)
    chosen = _by_rule(table) if front == "rule" else _by_list(info.with_name(LIST), table)
    for place, row in enumerate(table["ra"]):
        split = "train" if place < TRAIN_FACES else "test"
        subsets = ("full", *(["frontal"] if row in chosen else [])) if split == "test" else ()
        values = {name: table[name][row - 1] for name in ROWS}
        yield _face(photos, info, split, row, values, subsets)


def _by_rule(table):
    """The rows whose points are all visible and strictly inside the box."""
    points = _points(table["data"])
    left, right, top, bottom = np.moveaxis(np.asarray(table["bbox"], np.float64), 1, 0)[..., None]
    (x, y), visible = np.moveaxis(points, 2, 0), table["mask_new"] == 1
    within = visible & (left < x) & (x < right) & (top < y) & (y < bottom)
    return set((np.flatnonzero(within.all(1)) + 1).tolist())


def _by_list(path, table):
    """The rows of the test faces that a line of the file names.

    A line names a face by its photo, and by its points to within 2 pixels. Raises InputError naming
    the first line that has no face.
    """
    points, named = _points(table["data"]), {}
    for row in table["ra"][TRAIN_FACES:]:
        named.setdefault(_photo_name(table["nameList"][row - 1, 0]), []).append(row)
    found = set()
    for number, line in enumerate(texts.lines(texts.read(path))[1:], 2):
        photo, *cells = line.split(",")
        try:
            listed = np.array(cells[-2 * AFLW19.num_points :], np.float64).reshape(-1, 2)
            near = {row for row in named[_photo_name(photo)]
                    if np.abs(points[row - 1] - listed).max() < 2}  # fmt: skip
        except (ValueError, KeyError):
            near = set()
        if not near:
            raise InputError(f"{path}: line {number} ({photo}) is no test face of {INFO}")
        found |= near
    return found


def _photo_name(name):
    """Shortens "flickr/3/image00035.png" to "3/image00035"."""
    return "/".join(PurePosixPath(name).with_suffix("").parts[-2:])


def _points(data):
    """(..., 38) as stored, all x before all y -> (..., 19, 2) float64."""
    data = np.asarray(data, np.float64)
    return data.reshape(*data.shape[:-1], 2, -1).swapaxes(-1, -2)


def _photo_folder(root):
    for place in places(root):
        for name in PHOTO_FOLDERS:
            if any((place / name / number).is_dir() for number in "023"):
                return place / name
    raise InputError(
        f"{root}: AFLW's photos are missing; unpack aflw-images-{{0,2,3}}.tar.gz into it, so that "
        "it holds aflw/data/flickr/0, 2 and 3"
    )


ROWS = {"nameList": 1, "data": 2 * AFLW19.num_points, "mask_new": AFLW19.num_points, "bbox": 4}


def _read_info(path):
    """The four tables of ROWS, one row a face, and `ra`, a permutation of 1..N."""
    table = read_mat(path, (*ROWS, "ra"), cells=("nameList",))
    order = table["ra"] = table["ra"].reshape(-1)
    for name, columns in ROWS.items():
        if table[name].shape != (len(order), columns):
            raise InputError(
                f"{path}: {name} of shape {table[name].shape}, it should be "
                f"({len(order)}, {columns}); download it again"
            )
    if not np.array_equal(np.sort(order), np.arange(1, len(order) + 1)):
        raise InputError(f"{path}: ra is not an order of 1 to {len(order)}; download it again")
    cells = table["nameList"][:, 0]
    names = np.array([[_name(path, row, cell)] for row, cell in enumerate(cells, 1)])
    return table | {"ra": order.astype(int), "nameList": names}


def _name(path, row, cell):
    name = str(cell[0]) if np.shape(cell) == (1,) else ""
    if not PurePosixPath(name).suffix:
        raise InputError(f"{path}: row {row} of nameList is not a photo's name; download it again")
    return name


def _face(photos, info, split, row, values, subsets):
    name = PurePosixPath(values["nameList"][0])
    identity = f"{name.with_suffix('')}/{row:05}"
    # the file itself, or the same photo under another ending: some listed as .png are .jpg
    names = (name, *(name.with_suffix(ending) for ending in PHOTOS))
    photo = next((there for one in names if (there := inside(photos, str(one)))), None)
    if photo is None:
        return Bad(identity, photos / name, f"there is no such photo (row {row} of {info.name})")
    points = _points(values["data"])
    left, right, top, bottom = np.asarray(values["bbox"], np.float64)
    box = np.array([left, top, right, bottom])
    if not (np.isfinite(points).all() and np.isfinite(box).all()):
        return Bad(identity, info, f"row {row}: a coordinate is NaN or infinite")
    return Face(
        split=split,
        id=identity,
        photo=photo,
        points={AFLW19.name: points.astype(np.float32)},
        visible={AFLW19.name: values["mask_new"] == 1},
        boxes={"dataset": box.astype(np.float32)},
        norm_box=box.astype(np.float32),
        subsets=subsets,
        group=str(name.with_suffix("")),
    )


BENCHMARK = Benchmark(
    name="aflw",
    schemes=(AFLW19.name,),
    faces=faces,
    counts={"train": TRAIN_FACES, "test": 4386, "full": 4386, "frontal": 1314},
    options={"front": "rule"},
    family="aflw",
    notes=(
        "AFLW2000-3D shows photos of AFLW: do not train on one and test on the other.",
        "Frontal: 1,165 test faces in the paper, 1,314 in later ones and expected here: those with "
        f"all points visible and inside the box, or, by --set front=list, those of HRNet's {LIST}.",
    ),
    instructions=(
        "Ask for AFLW at https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/"
        "aflw/ and unpack aflw-images-{0,2,3}.tar.gz (aflw/data/flickr/{0,2,3}/*.jpg); download "
        "http://mmlab.ie.cuhk.edu.hk/projects/compositional/AFLWinfo_release.mat and put it into "
        f"the same folder, and HRNet's {LIST} where front=list is to take it."
    ),
    homepage="https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/",
    citation="""
        @inproceedings{zhu2016unconstrained,
          title = {Unconstrained Face Alignment via Cascaded Compositional Learning},
          author = {Zhu, S. and Li, C. and Loy, C. C. and Tang, X.},
          booktitle = {CVPR},
          year = {2016}
        }
        @inproceedings{koestinger2011annotated,
          title = {Annotated Facial Landmarks in the Wild},
          author = {Koestinger, M. and Wohlhart, P. and Roth, P. M. and Bischof, H.},
          booktitle = {ICCV Workshops},
          year = {2011}
        }
    """,
)
