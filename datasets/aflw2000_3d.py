"""AFLW2000-3D: 68 points and head pose on 2,000 AFLW photos, in three bins of yaw.

X. Zhu, Z. Lei, X. Liu, H. Shi, S. Z. Li: Face Alignment Across Large Poses: A 3D Solution. CVPR
2016. Re-annotated points: A. Bulat, G. Tzimiropoulos: How Far Are We from Solving the 2D & 3D Face
Alignment Problem? ICCV 2017.

Points are the first two rows of `pt3d_68`: those of a fitted model, the hidden ones included.
(`pt2d` holds AFLW's own 21 points.) They are taken to count from 1 (`base`) and the re-annotated
ones from 0. Neither release says so: the authors' code is Matlab and the model's Python ports take
1 off; nearly all re-annotated coordinates are whole numbers and lie (1.1, 1.0) pixels before the
others on average over all 2,000 faces. Others take them as stored: `base=0`.

The bins |yaw| <= 30, 30-60 and > 60 hold 1312, 383 and 305 faces by the released pose list, which
repeats the annotations' yaw, and 1306, 462 and 232 by the second one (`poses=new`), which 3DDFA's
README calls the paper's. Rows of the released lists follow the photos' names.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import check_base, listing, photo_of, places
from jaxalign.datasets.w300_lp import read_matrix, read_yaw
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.texts import file_bytes


POSES = "AFLW2000-3D.pose.npy"  # (N,) yaw in degrees
NEW_POSES = "AFLW2000-3D-new.pose.npy"  # (N,) yaw in degrees, the second list
ORIGINAL = "AFLW2000-3D.pts68.npy"  # (N, 3, 68), the pt3d_68 of every face
REANNOTATED = "AFLW2000-3D-Reannotated.pts68.npy"  # (N, 2, 68)
CHOICES = {
    "poses": ("list", "new", "annotation"),
    "points": ("original", "reannotated"),
}
BINS = {"list": (1312, 383, 305), "new": (1306, 462, 232), "annotation": (1312, 383, 305)}


def faces(
    root: Path, *, poses: str = "list", points: str = "original", base: int = 1
) -> Iterator[Face | Bad]:
    """Reads every photo with a `.mat` beside it, by name.

    Args:
        root: The folder of the photos, or the one above it.
        poses: Whose yaw makes the bins. "list" is the released list where it is found (beside the
            photos, beside their folder, or in a folder `lists`), else the annotations; "new" is the
            second list, which must be there; "annotation" is the annotations.
        points: "original", or "reannotated": those of AFLW2000-3D-Reannotated.pts68.npy, which must
            be there.
        base: Where the original points begin to count, 0 or 1.

    Yields:
        A Face or a Bad for each photo; points are 0-based pixels of the photo, yaw is in degrees.

    Raises:
        InputError: An option or a list is wrong, or the files are missing.
    """
    check_base("aflw2000_3d", base)
    for key, value in {"poses": poses, "points": points}.items():
        if value not in CHOICES[key]:
            raise InputError(f"aflw2000_3d: {key}={value}; it is {' or '.join(CHOICES[key])}")
    root = Path(root)
    tree = next((place for place in places(root) if any(place.glob("image*.mat"))), None)
    if tree is None:
        raise InputError(f"{root}: not AFLW2000-3D; it must hold AFLW2000/image*.mat")
    named = listing(tree, ".mat")
    lists = _Lists(tree, len(named), poses, points)
    for row, (stem, files) in enumerate(named):
        yield _face(stem, files, row, lists, base)


class _Lists:
    """The released lists that the options ask for, and which of their rows a face has.

    Rows are found by the points of AFLW2000-3D.pts68.npy where it is there. Without it they are
    taken in the order of names, which needs all the photos.
    """

    def __init__(self, tree, photos, poses, points):
        self.yaws = _load(_find(tree, POSES), ()) if poses == "list" else None
        if poses == "new":
            self.yaws = _load(_wanted(tree, NEW_POSES), ())
        self.points = None
        if points == "reannotated":
            self.points = _load(_wanted(tree, REANNOTATED), (2, IBUG68.num_points))
        known = _load(_find(tree, ORIGINAL), (3, IBUG68.num_points))
        self.rows = None if known is None else {row.tobytes(): i for i, row in enumerate(known)}
        for rows in (self.yaws, self.points):
            if rows is not None and len(rows) != (photos if known is None else len(known)):
                raise InputError(
                    f"{tree}: {photos} photos, but lists of {len(rows)}; add {ORIGINAL}, by which "
                    "rows are found, or leave the lists out (--set poses=annotation)"
                )

    def row(self, model, place):
        """The row of the face with these `pt3d_68`, the `place`-th by name; None: not listed."""
        return place if self.rows is None else self.rows.get(model.astype(np.float32).tobytes())


def _find(tree, name):
    folders = (tree, tree.parent, tree / "lists", tree.parent / "lists")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _wanted(tree, name):
    if (found := _find(tree, name)) is None:
        raise InputError(f"{tree}: {name} is missing; put it beside the photos")
    return found


def _load(path: Path | None, shape) -> np.ndarray | None:
    """A released list, float32, or None where it was not found."""
    if path is None:
        return None
    try:
        rows = np.load(io.BytesIO(file_bytes(path)), allow_pickle=False)
        if rows.shape[1:] != shape or not np.isfinite(rows).all():
            raise ValueError(f"of shape {rows.shape}, or with numbers that are not finite")
    except (OSError, ValueError, EOFError, TypeError, AttributeError, MemoryError) as error:
        raise InputError(f"{path}: not the released list ({error}); download it again") from None
    return rows.astype(np.float32)


def _face(stem, files, place, lists, base):
    path, photo = files[".mat"], photo_of(files)
    if photo is None:
        return Bad(stem, path, "there is no photo (.jpg or .png) beside it")
    try:
        model = read_matrix(path, "pt3d_68", (3, IBUG68.num_points))
        yaw = read_yaw(path)
    except InputError as error:
        return Bad.of(stem, path, error)
    row = lists.row(model, place)
    if row is None:
        return Bad(stem, path, f"its points are not among those of {ORIGINAL}")
    if lists.yaws is not None:
        yaw = float(lists.yaws[row])
    points = model[:2].T - base if lists.points is None else lists.points[row].T
    return Face(
        split="test",
        id=stem,
        photo=photo,
        points={IBUG68.name: points.astype(np.float32)},
        subsets=(_bin(yaw),),
        yaw=yaw,
    )


def _bin(yaw):
    if abs(yaw) <= 30:
        return "yaw_0_30"
    return "yaw_30_60" if abs(yaw) <= 60 else "yaw_60_90"  # seven faces turn further than 90


def _variant(options):
    sizes = BINS.get(options["poses"], BINS["list"])
    names = ("yaw_0_30", "yaw_30_60", "yaw_60_90")
    return {"counts": {"test": 2000, **dict(zip(names, sizes, strict=True))}}


BENCHMARK = Benchmark(
    name="aflw2000_3d",
    schemes=(IBUG68.name,),
    faces=faces,
    counts=_variant({"poses": "list"})["counts"],
    options={"poses": "list", "points": "original", "base": 1},
    variant=_variant,
    instructions=(
        "Download AFLW2000-3D.zip (87 MB) from "
        "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm and unpack it: "
        f"AFLW2000/image*.jpg with image*.mat beside. The lists {POSES}, {NEW_POSES}, "
        f"{ORIGINAL} and {REANNOTATED} (https://github.com/cleardusk/3DDFA) go into a folder lists "
        "beside it; only --set points=reannotated and poses=new need them. --set base=0 takes the "
        "points as they are stored."
    ),
    homepage="http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
    archives={
        "AFLW2000-3D.zip": "252bc35274d65ff27b6e573aa96c2f4c116ad88452cc984fb882258c0ed6e2d8"
    },
    citation=r"""
        @inproceedings{zhu2016face,
          title = {Face Alignment Across Large Poses: A {3D} Solution},
          author = {Zhu, X. and Lei, Z. and Liu, X. and Shi, H. and Li, S. Z.},
          booktitle = {CVPR},
          year = {2016}
        }
        @inproceedings{bulat2017far,
          title = {How Far Are We from Solving the {2D} \& {3D} Face Alignment Problem?},
          author = {Bulat, A. and Tzimiropoulos, G.},
          booktitle = {ICCV},
          year = {2017}
        }
    """,
    family="aflw",
    notes=("Its photos are AFLW's: a system trained on AFLW must not be reported on it.",),
)
