"""WFLW: 98 points, six attributes and a box for each face, read from the official lists.

W. Wu, C. Qian, S. Yang, Q. Wang, Y. Cai, Q. Zhou: Look at Boundary: A Boundary-Aware Face Alignment
Algorithm. CVPR 2018.

A photo can hold several faces, each on a line of its own, so there are more faces than photos. The
release does not say whether its coordinates count from 0 or from 1; they are taken as they stand,
as all published results take them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxalign import texts
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import inside, places
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import WFLW98


LISTS = {
    split: f"WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{split}.txt"
    for split in ("train", "test")
}
COORDINATES = 2 * WFLW98.num_points
COLUMNS = COORDINATES + 4 + len(ATTRIBUTES) + 1  # points, box, attributes, photo


def faces(root: Path) -> Iterator[Face | Bad]:
    """Reads every line of the two lists, train first; a face is called "<list>/<line number>".

    Args:
        root: The folder that holds WFLW_annotations and WFLW_images, or the one above it.

    Yields:
        A Face or a Bad for each line.

    Raises:
        InputError: `root` does not hold the two folders, or a list cannot be read.
    """
    root = _tree(Path(root))
    lines = {split: _lines(root / name) for split, name in LISTS.items()}
    for split, name in LISTS.items():
        for number, line in enumerate(lines[split], 1):
            if line.strip():
                yield _face(root, split, root / name, number, line)


def _tree(root):
    """The folder that holds WFLW_annotations and WFLW_images: `root`, or one directly inside."""
    wanted = ("WFLW_annotations", "WFLW_images")
    for candidate in places(root):
        missing = [name for name in wanted if not (candidate / name).is_dir()]
        if not missing:
            return candidate
        if len(missing) < len(wanted):
            raise InputError(f"{candidate}: not the WFLW tree; {missing[0]} is missing")
    raise InputError(f"{root}: not the WFLW tree; it must hold {' and '.join(wanted)}")


def _lines(path):
    remedy = "unpack WFLW_annotations.tar.gz again"
    text = texts.read(path, remedy)
    if not text.strip():
        raise InputError(f"{path}: holds no faces; {remedy}")
    return texts.lines(text)


def _face(root, split, path, number, line):
    identity = f"{split}/{number:04}"
    try:
        numbers, name = _parse(line)
    except ValueError as error:
        return Bad(identity, path, f"line {number}: {error}")
    photo = inside(root / "WFLW_images", name)
    if photo is None:
        photo = root / "WFLW_images" / name
        return Bad(identity, photo, f"there is no such photo (line {number} of {path.name})")
    attributes = tuple(int(flag) for flag in numbers[COORDINATES + 4 :])
    subsets = tuple(name for name, flag in zip(ATTRIBUTES, attributes, strict=True) if flag)
    return Face(
        split=split,
        id=identity,
        photo=photo,
        points={WFLW98.name: numbers[:COORDINATES].reshape(-1, 2).astype(np.float32)},
        boxes={"dataset": numbers[COORDINATES : COORDINATES + 4].astype(np.float32)},
        attributes=attributes,
        subsets=subsets if split == "test" else (),
        group=name,
    )


def _parse(line):
    """A line of a rect_attr list -> (its 206 numbers, the photo's name). Errors: ValueError."""
    words = line.split()
    if len(words) != COLUMNS:
        raise ValueError(f"{len(words)} columns, there must be {COLUMNS}")
    try:
        numbers = np.array(words[:-1], np.float64)
    except ValueError:
        raise ValueError(f"one of its first {COLUMNS - 1} columns is not a number") from None
    if not np.isfinite(numbers).all():
        raise ValueError("a number is NaN or infinite")
    if not np.isin(numbers[-len(ATTRIBUTES) :], (0, 1)).all():
        raise ValueError("an attribute is neither 0 nor 1")
    return numbers, words[-1]


BENCHMARK = Benchmark(
    name="wflw",
    schemes=(WFLW98.name,),
    faces=faces,
    counts={
        "train": 7500,
        "test": 2500,
        "pose": 326,
        "expression": 314,
        "illumination": 698,
        "make-up": 206,
        "occlusion": 736,
        "blur": 773,
    },
    notes=("Several faces can share a photo: there are more faces than photos.",),
    instructions=(
        "Download WFLW_images.tar.gz and WFLW_annotations.tar.gz from "
        "https://wywu.github.io/projects/LAB/WFLW.html and unpack them into one folder: "
        "WFLW_images/<event>/*.jpg and WFLW_annotations/list_98pt_rect_attr_train_test/*.txt."
    ),
    homepage="https://wywu.github.io/projects/LAB/WFLW.html",
    citation="""
        @inproceedings{wu2018look,
          title = {Look at Boundary: A Boundary-Aware Face Alignment Algorithm},
          author = {Wu, W. and Qian, C. and Yang, S. and Wang, Q. and Cai, Y. and Zhou, Q.},
          booktitle = {CVPR},
          year = {2018}
        }
    """,
)
