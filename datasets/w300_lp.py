"""300W-LP: 68 points and head pose on 300W photos rendered towards profile, and their mirrors.

X. Zhu, Z. Lei, X. Liu, H. Shi, S. Z. Li: Face Alignment Across Large Poses: A 3D Solution. CVPR
2016.

Points are `pts_2d` of `landmarks/<FOLDER>/<photo>_pts.mat` for every folder that `landmarks` has,
and `pt2d` of the photo's own `.mat` for the others (the mirrored folders, as far as known). In the
one pair that was compared, pt2d follows the visible outline of the face. The option points=3d takes
`pts_3d` of `landmarks`, the x and y of the model's 3-D points, the hidden contour included:
AFLW2000-3D is scored on these. The contents of `landmarks` are known from the code of others and
were not seen.

Coordinates are taken to count from 1 (`base`), because the authors' Matlab code does; others take
them as stored, `base=0`. The release does not say so. Drawn points do not decide it: they are those
of a fitted model and off by more than a pixel, and the points of two AFW photos lie (1.2, 0.3)
pixels on average from where the points of 300W, counted from 0, lie on the same photos.

It holds IBUG and the test photos of HELEN and LFPW: do not train on it to report 300W.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import check_base, listing, photo_group, photo_of, places, read_mat
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68


COUNTS = {"afw": 5207, "helen": 37676, "ibug": 1786, "lfpw": 16556}  # without mirrored photos
FOLDERS = tuple(name.upper() for name in COUNTS)
VARIABLES = {"2d": "pts_2d", "3d": "pts_3d"}  # option `points` -> the variable of landmarks


def faces(root: Path, *, flips: int = 1, points: str = "2d", base: int = 1) -> Iterator[Face | Bad]:
    """Reads every photo of the tree: folder after folder, by name; mirrored photos last.

    Args:
        root: The folder of the tree, or the one above it.
        flips: 0 leaves the mirrored photos out.
        points: "2d" on the visible outline, or "3d", which only folders of `landmarks` have.
        base: Where the stored coordinates begin to count, 0 or 1.

    Yields:
        A Face or a Bad for each photo; points are 0-based pixels of the photo, yaw is in degrees.

    Raises:
        InputError: An option is wrong, or `root` does not hold what it asks for.
    """
    check_base("w300_lp", base)
    if points not in VARIABLES:
        raise InputError(f"w300_lp: points={points}; it is {' or '.join(VARIABLES)}")
    root = Path(root)
    tree = next((p for p in places(root) if any((p / name).is_dir() for name in FOLDERS)), None)
    if tree is None:
        wanted = ", ".join(FOLDERS)
        raise InputError(f"{root}: not the 300W-LP tree; it must hold at least one of {wanted}")
    for folder in FOLDERS + (tuple(f"{name}_Flip" for name in FOLDERS) if flips else ()):
        named, extra = listing(tree / folder, ".mat"), tree / "landmarks" / folder
        if points == "3d" and named and not extra.is_dir():
            left = "; --set flips=0 leaves the mirrored photos out" if "Flip" in folder else ""
            raise InputError(f"{extra}: no such folder, which alone holds points=3d{left}")
        for stem, files in named:
            yield _face(extra, folder, stem, files, VARIABLES[points], base)


def _face(extra, folder, stem, files, variable, base):
    identity, path = f"{folder}/{stem}", files[".mat"]
    photo = photo_of(files)
    if photo is None:
        return Bad(identity, path, "there is no photo (.jpg or .png) beside it")
    try:
        if extra.is_dir():
            path = extra / f"{stem}_pts.mat"
            points = read_matrix(path, variable, (IBUG68.num_points, 2))
            path = files[".mat"]
        else:
            points = read_matrix(path, "pt2d", (2, IBUG68.num_points)).T
        yaw = read_yaw(path)
    except InputError as error:
        return Bad.of(identity, path, error)
    return Face(
        split="train",
        id=identity,
        photo=photo,
        points={IBUG68.name: (points - base).astype(np.float32)},
        subsets=(folder.removesuffix("_Flip").lower(),),
        yaw=yaw,
        group=photo_group(stem),
    )


def read_matrix(path: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Reads a variable of a `.mat`.

    Args:
        path: The file.
        name: The variable's name.
        shape: The shape that it must have.

    Returns:
        The numbers as they stand, float64.

    Raises:
        InputError: The variable is not of this shape or not finite.
    """
    stored = read_mat(path, (name,))[name]
    if stored.shape != shape or stored.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name} of shape {stored.shape}, it must be {shape} numbers")
    if not np.isfinite(stored).all():
        raise InputError(f"{path}: {name} holds NaN or infinity")
    return stored.astype(np.float64)


def read_yaw(path: Path) -> float:
    """Reads the yaw from Pose_Para: pitch, yaw, roll in radians, translation (3), scale.

    Args:
        path: The face's `.mat`.

    Returns:
        The yaw in degrees.
    """
    return float(np.degrees(read_matrix(path, "Pose_Para", (1, 7))[0, 1]))


def _variant(options):
    times = 2 if options["flips"] else 1
    counts = {name: times * count for name, count in COUNTS.items()}
    return {"counts": {"train": sum(counts.values()), **counts}}


BENCHMARK = Benchmark(
    name="w300_lp",
    schemes=(IBUG68.name,),
    faces=faces,
    counts=_variant({"flips": 1})["counts"],
    options={"flips": 1, "points": "2d", "base": 1},
    variant=_variant,
    instructions=(
        "Download 300W-LP.zip (2.8 GB) from "
        "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm and unpack it: "
        "300W_LP/{AFW,HELEN,IBUG,LFPW}/*.jpg with *.mat beside, the same in folders ending in "
        "_Flip, and landmarks/. --set flips=0 leaves the mirrored photos out; points=3d takes the "
        "points that AFLW2000-3D is scored on, which mirrored photos do not have; base=0 takes the "
        "points as they are stored."
    ),
    homepage="http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
    archives={"300W-LP.zip": "250c366c417ad48f72522b629ff83dbb2b2a57945803ad4a530a696bb6b13ee7"},
    citation="""
        @inproceedings{zhu2016face,
          title = {Face Alignment Across Large Poses: A {3D} Solution},
          author = {Zhu, X. and Lei, Z. and Liu, X. and Shi, H. and Li, S. Z.},
          booktitle = {CVPR},
          year = {2016}
        }
    """,
    family="300w",
    notes=(
        "It holds IBUG and the test photos of HELEN and LFPW: a system trained on it must not be "
        "reported on 300W.",
    ),
)
