"""300W: 68 points on AFW, HELEN, LFPW and IBUG photos, read from the official tree.

C. Sagonas, E. Antonakos, G. Tzimiropoulos, S. Zafeiriou, M. Pantic: 300 Faces In-The-Wild
Challenge: Database and Results. Image and Vision Computing 47, 2016.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import texts
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import listing, load_mat, photo_of, places, read_pts
from jaxalign.errors import InputError
from jaxalign.records import numbers
from jaxalign.schemes import IBUG68


@dataclass(frozen=True)
class _Folder:
    path: str
    split: str
    subsets: tuple[str, ...]
    flickr: bool = False  # photos named <Flickr id>_<face>
    elsewhere: tuple[str, ...] = ()  # where it may stand instead of under `path`

    @property
    def boxes_name(self) -> str:
        return self.path.replace("/", "_")

    def find(self, root: Path) -> Path | None:
        paths = (root / path for path in self.elsewhere or (self.path,))
        return next((path for path in paths if path.is_dir()), None)


def _private(name, subset):
    parents = ("", "300W/", "Test/", "images/Test/")
    elsewhere = tuple(parent + name for parent in parents)
    return _Folder(f"private/{subset}", "test", ("private", subset), elsewhere=elsewhere)


FOLDERS = (
    _Folder("afw", "train", ("afw",), flickr=True),
    _Folder("helen/trainset", "train", ("helen_train",), flickr=True),
    _Folder("lfpw/trainset", "train", ("lfpw_train",)),
    _Folder("helen/testset", "test", ("helen_test", "common", "full"), flickr=True),
    _Folder("lfpw/testset", "test", ("lfpw_test", "common", "full")),
    _Folder("ibug", "test", ("ibug", "challenging", "full")),
    _private("01_Indoor", "indoor"),
    _private("02_Outdoor", "outdoor"),
)


def faces(root: Path) -> Iterator[Face | Bad]:
    """Reads every annotated face of the tree: folder after folder, by name within a folder.

    Args:
        root: The folder of the tree, or the one above it.

    Yields:
        A Face or a Bad for each `.pts` file; points are 0-based pixels of the photo.

    Raises:
        InputError: `root` does not hold the tree, or a file of boxes is wrong.
    """
    root = _tree(Path(root))
    boxes = _official_boxes(root)
    for key, box in _detector_table(root / "detector_boxes.csv").items():
        boxes.setdefault(key, {})["detector"] = box
    for folder in FOLDERS:
        path = folder.find(root)
        for name, files in listing(path, ".pts", _name) if path else ():
            yield _face(folder, name, files, boxes.get((folder.boxes_name, name), {}))


def _tree(root):
    """The folder that holds most of afw, helen, ...: `root`, or one directly inside it."""

    def found(candidate):
        return sum(folder.find(candidate) is not None for folder in FOLDERS)

    tree = max(places(root), key=found)
    if not found(tree):
        wanted = ", ".join((folder.elsewhere or (folder.path,))[0] for folder in FOLDERS)
        raise InputError(f"{root}: not the 300W tree; it must hold at least one of {wanted}")
    return tree


def _name(stem):
    """A photo's name without blanks: IBUG's zip holds "image_092 _01", most copies do not."""
    return stem.replace(" ", "")


def _face(folder, name, files, boxes):
    identity = f"{folder.path}/{name}"
    photo = photo_of(files)
    if photo is None:
        return Bad(identity, files[".pts"], "there is no photo (.jpg or .png) beside it")
    try:
        points = read_pts(files[".pts"], IBUG68.num_points)
    except InputError as error:
        return Bad.of(identity, files[".pts"], error)
    # A Flickr photo can be in AFW and HELEN, and is there once for each of its faces.
    group = f"flickr/{name.rpartition('_')[0]}" if folder.flickr else identity
    return Face(
        split=folder.split,
        id=identity,
        photo=photo,
        points={IBUG68.name: points},
        boxes=boxes,
        subsets=folder.subsets,
        group=group,
    )


def _official_boxes(root):
    """Boxes of `Bounding Boxes/*.mat` -> {(folder, name): {kind: (4,) float32}}, 0-based.

    The files count pixels from 1, as the points do, so 1 is taken off here.
    """
    boxes = {}
    for folder in FOLDERS:
        path = root / "Bounding Boxes" / f"bounding_boxes_{folder.boxes_name}.mat"
        if not path.is_file():
            continue
        for entry in _cells(path):
            boxes[folder.boxes_name, _name(entry["imgName"])] = {
                "dataset": entry["bb_ground_truth"] - 1,
                "detector": entry["bb_detector"] - 1,
            }
    return boxes


def _cells(path):
    fields = {"imgName": (), "bb_ground_truth": (4,), "bb_detector": (4,)}
    try:
        stored = load_mat(texts.file_bytes(path), simplify_cells=True)
        cells = np.atleast_1d(stored["bounding_boxes"])
        for cell in cells:
            if any(np.shape(cell[field]) != shape for field, shape in fields.items()):
                raise ValueError("a field of the wrong shape")
            for field in ("bb_ground_truth", "bb_detector"):
                cell[field] = np.asarray(cell[field], np.float32)
            cell["imgName"] = Path(cell["imgName"]).stem
    except Exception as error:  # scipy raises whatever it stumbles over
        raise InputError(
            f"{path}: not an official box file ({error}); download it again, or remove it to do "
            "without its boxes"
        ) from None
    return cells


def _detector_table(path):
    """`detector_boxes.csv` (subset, name, x0, y0, x1, y1; 0-based) -> {(folder, name): (4,)}."""
    boxes = {}
    if path.is_file():
        corners = ("x0", "y0", "x1", "y1")
        for where, row in texts.named_rows(texts.read(path), path, ("subset", "name", *corners)):
            key = (row["subset"].replace("/", "_"), _name(row["name"]))
            if key in boxes:
                raise InputError(f"{where}: has another box for {row['name']}")
            box = numbers([row[column] for column in corners], (4,), "its box", where)
            boxes[key] = box.astype(np.float32)
    return boxes


BENCHMARK = Benchmark(
    name="ibug_300w",
    schemes=(IBUG68.name,),
    faces=faces,
    counts={
        "train": 3148,
        "afw": 337,
        "helen_train": 2000,
        "lfpw_train": 811,
        "test": 1289,
        "full": 689,
        "common": 554,
        "helen_test": 330,
        "lfpw_test": 224,
        "challenging": 135,
        "ibug": 135,
        "private": 600,
        "indoor": 300,
        "outdoor": 300,
    },
    instructions=(
        "Download afw.zip, helen.zip, lfpw.zip, ibug.zip and, for detector boxes, "
        "bounding_boxes.zip from https://ibug.doc.ic.ac.uk/resources/300-W/ and unpack them into "
        "one folder: afw/, helen/{trainset,testset}/, lfpw/{trainset,testset}/, ibug/, "
        "Bounding Boxes/. The private test set (300w.zip) adds 300W/01_Indoor/ and "
        "300W/02_Outdoor/, which are part of test and of none of full, common and challenging. "
        "Photos are .jpg or .png, each with its .pts beside it."
    ),
    family="300w",
    notes=(
        "300W-LP is made of 300W: it holds IBUG and the test photos of HELEN and LFPW, so nothing "
        "trained on it may be scored on full, common or challenging.",
        "COFW's training part holds 845 photos of LFPW, JD-landmark is made of 300W photos, and so "
        "is half of LaPa's training part.",
        "AFW stores a photo once for each of its faces (81 photos in 233 files, byte by byte the "
        "same), and HELEN's Flickr photo 296814969 has a face in train and one in test.",
    ),
    homepage="https://ibug.doc.ic.ac.uk/resources/300-W/",
    licence=(
        "The annotations are for research only, and commercial use is prohibited. See the homepage."
    ),
    citation="""
        @article{sagonas2016faces,
          title = {300 Faces In-The-Wild Challenge: Database and Results},
          author = {Sagonas, C. and Antonakos, E. and Tzimiropoulos, G. and Zafeiriou, S. and
            Pantic, M.},
          journal = {Image and Vision Computing},
          volume = {47},
          year = {2016}
        }
    """,
)
