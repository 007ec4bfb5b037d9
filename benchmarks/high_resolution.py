"""Large faces of HELEN for a study of resolutions, kept apart from what is trained on.

example:
  python -m benchmarks.high_resolution --from DIR --train TREE --out runs/large --sizes 256 512

needs: the 300W tree (afw/, helen/trainset/, ...), as downloaded, and in --from one with
helen/trainset/ in large photos, which may be the same. Leaves in --out:
study/  every third, by name, of the faces whose landmark box has 800 px or more, as helen/testset;
train/  --train without these faces and without the other faces of their photos;
256/, 512/, ...  the study's faces brought to these sizes, for tools that are no checkpoints.
Each is a 300W tree for jaxalign prepare ibug_300w --from, in a --data-dir of its own. Photos are
links, so the originals must stay where they are.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxalign.commands import new_parser, run
from jaxalign.datasets.faces import Bad, Face, record
from jaxalign.datasets.ibug_300w import faces
from jaxalign.errors import InputError
from jaxalign.geometry import landmark_box
from jaxalign.papers.resolutions import brought_to
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.schemes import IBUG68
from jaxalign.sources import Source


TEST = Path("helen/testset")


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.high_resolution", __doc__)
    add = parser.add_argument
    add("--from", dest="root", type=Path, required=True, metavar="DIR",
        help="the tree with helen/trainset in large photos")  # fmt: skip
    add("--train", type=Path, metavar="DIR", help="the tree to train on (default: that of --from)")
    add("--out", type=Path, required=True, metavar="DIR", help="a new folder for the trees")
    add("--least", type=float, default=800, metavar="PX",
        help="longer side of a large face's landmark box (default: %(default)g)")  # fmt: skip
    add("--every", type=int, default=3, metavar="N",
        help="take every Nth of them, from the Nth on (default: %(default)s)")  # fmt: skip
    add("--sizes", nargs="+", type=int, default=[], metavar="PX",
        help="bring the study's faces to crops of these sides too (default: none)")  # fmt: skip
    add("--enlarge", type=float, default=1.25, metavar="X",
        help="the crop's side over the landmark box's, as in the models' recipe (default: "
        "%(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _make(arguments))


def read(root: Path) -> list[Face]:
    """The faces of a 300W tree. Errors: InputError naming the first that cannot be used."""
    found = list(faces(root))
    for face in found:
        if isinstance(face, Bad):
            raise InputError(f"{face.path}: {face.reason}; mend it or take it out")
    return [face for face in found if isinstance(face, Face)]


def large(found: Sequence[Face], least: float, every: int) -> list[Face]:
    """Every `every`th, by name, of HELEN's training faces whose landmark box is so large."""

    def side(face):
        low, high = landmark_box(face.points[IBUG68.name]).reshape(2, 2)
        return max(high - low)

    enough = [face for face in found if "helen_train" in face.subsets and side(face) >= least]
    return enough[every - 1 :: every]  # a tree is read by name


def link(face: Face, folder: Path) -> None:
    """The face's photo and its points, as links in a folder."""
    assert isinstance(face.photo, Path)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (face.photo, face.photo.with_suffix(".pts")):
        os.symlink(file.resolve(), folder / file.name)


def bring(study: Sequence[Face], side: int, enlarge: float, folder: Path) -> int:
    """The faces that reach a crop of `side`, reduced to it, as .png and .pts -> how many."""
    source = Source.of("study", IBUG68, [record(face) for face in study])
    brought = brought_to(source, Crop(landmarks=BoxRule(enlarge)), side)
    folder.mkdir(parents=True, exist_ok=True)
    for face in brought:
        place = folder / Path(face["id"]).name
        place.with_suffix(".png").write_bytes(face["photo"])
        points = "\n".join(f"{x:.6f} {y:.6f}" for x, y in face["points"] + 1)  # counted from 1
        place.with_suffix(".pts").write_text(
            f"version: 1\nn_points: {len(face['points'])}\n{{\n{points}\n}}\n", encoding="ascii"
        )
    return len(brought)


def _make(arguments):
    for name in ("least", "every", "enlarge", "sizes"):
        value = getattr(arguments, name)
        least = min(value, default=1) if isinstance(value, list) else value
        if not least > 0:
            raise InputError(f"--{name} {least:g}: must be above 0")
    out = arguments.out
    if out.exists():
        raise InputError(f"{out}: is there already; name a new folder")
    study = large(read(arguments.root), arguments.least, arguments.every)
    if not study:
        raise InputError(f"{arguments.root}: no {arguments.every} faces of helen/trainset have a "
                         f"landmark box of {arguments.least:g} px; lower --least")  # fmt: skip
    for face in study:
        link(face, out / "study" / TEST)
    root = arguments.train or arguments.root
    groups, whole = {face.group for face in study}, read(root)
    kept = [face for face in whole if face.group not in groups]
    for face in kept:
        assert isinstance(face.photo, Path)
        link(face, out / "train" / face.photo.relative_to(root).parent)
    for boxes in ("detector_boxes.csv", "Bounding Boxes"):
        for path in root.rglob(boxes):
            os.symlink(path.resolve(), out / "train" / path.relative_to(root))
    print(f"{out / 'study'}: {len(study)} faces as {TEST}")
    trained = sum(face.split == "train" for face in kept)
    print(f"{out / 'train'}: {trained} faces to train on; {len(whole) - len(kept)} left out")
    for side in sorted(set(arguments.sizes)):
        number = bring(study, side, arguments.enlarge, out / str(side) / TEST)
        print(f"{out / str(side)}: {number} faces of {side} px")


if __name__ == "__main__":
    sys.exit(main())
