"""How many faces each detector finds, what else it takes for one, how its boxes lie, and the time.

examples:
  python -m benchmarks.detectors --data ibug_300w/lfpw_test --ckpt runs/300w
  python -m benchmarks.detectors --data ibug_300w/train --limit 400 --detector cascade dlib
  python -m benchmarks.detectors --crowds 20 --ckpt runs/300w --csv crowds.csv
  python -m benchmarks.detectors --data ibug_300w/train --ckpt runs/300w --share 0.7 0.8 0.9 1

needs: a data set made by jaxalign prepare, or nothing (--crowds draws its photos). Detector auto
needs a checkpoint, whose network verifies its candidates.
leaves: a table, in Markdown; with --csv the same as a file, with --sheet pictures of false boxes.

A detector gives the square that it expects the landmarks to span (prediction/detection.py); auto
that about the points found. A face is found where an IoU of 0.5 or more joins it to the square
around the true landmarks; any other box counts as false. A data set's photo has one annotated face,
so that other people on it count as false too: look at --sheet. Of the faces found: the landmark
square's side over the detector's (1 is right) and how far its centre lies right and down of the
detector's, in sides of that (0 is right), mean and deviation; `rule` is what `enlarge` and `down`
would have made these means 1 and 0. `ms` is the median time of a photo, auto's with the network,
the others' without. With --ckpt: of how many faces, and false boxes, that model would say that it
doubts them (low_confidence).
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from PIL import Image

from benchmarks.crowds import crowds
from jaxalign import geometry, photos, prediction
from jaxalign.commands import add_data_dir, add_import, import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, decode
from jaxalign.prediction import Aligner
from jaxalign.prediction.detection import YuNet
from jaxalign.prediction.search import DETECTORS, SHARE, named, squared
from jaxalign.schemes import SCHEMES
from jaxalign.sources import open_source


FOUND = 0.5  # IoU of the two squares from which on a face is found
COLUMNS = ("detector", "faces", "found", "found %", "false", "side", "right", "down", "rule",
           "ms", "doubted", "false doubted")  # fmt: skip
SHOWN = 64  # false boxes of a sheet


@dataclass(frozen=True)
class Measured:
    """Of N faces on P photos: `sides` (n,) and `shifts` (n, 2), x and y, of those found; `false`,
    the other boxes, (photo, box); `seconds` (P,); `doubted`, how many of the n and the others."""

    faces: int
    sides: np.ndarray
    shifts: np.ndarray
    seconds: np.ndarray
    false: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    doubted: tuple[int, int] = (0, 0)

    def rule(self, used: BoxRule) -> BoxRule:
        """The detector's rule that fits these faces, from the one they were found by."""
        down = used.down + used.enlarge * np.mean(self.shifts[:, 1])
        return BoxRule(float(used.enlarge * np.mean(self.sides)), float(down))


def measure(
    detect: Callable[[np.ndarray], Sequence],
    shown: Iterable[tuple[np.ndarray, np.ndarray]],
    aligner: Aligner | None = None,
) -> Measured:
    """Looks for the faces of each photo, (H, W, 3) uint8 with the landmarks' boxes (F, 4).

    `detect` gives what has a `box`; an aligner looks at those."""
    faces, sides, shifts, seconds, false, doubted = 0, [], [], [], [], np.zeros(2, int)
    for photo, boxes in shown:
        started = time.perf_counter()
        found = [squared(face.box) for face in detect(photo)]
        seconds.append(time.perf_counter() - started)
        faces += len(boxes)
        hits = matched(found, [squared(box) for box in boxes])
        false += [(photo, box) for place, box in enumerate(found) if place not in hits]
        if aligner and found:
            looked = aligner(photo, found)
            for place, face in enumerate(looked):
                doubted[int(place not in hits)] += face.status != "ok"
        for place, face in hits.items():
            (middle, own), (centre, side) = (
                geometry.square(box, 1.0) for box in (found[place], boxes[face])
            )
            sides.append(side / own)
            shifts.append((centre - middle) / own)
    shifts = np.reshape(shifts, (-1, 2))
    doubts = int(doubted[0]), int(doubted[1])
    return Measured(faces, np.array(sides), shifts, np.array(seconds), false, doubts)


def matched(found: Sequence[np.ndarray], faces: Sequence[np.ndarray]) -> dict[int, int]:
    """Place of a box -> place of the face that it found; each face by one box, best pairs first."""
    pairs = [(geometry.iou(box, face), i, j) for i, box in enumerate(found)
             for j, face in enumerate(faces)]  # fmt: skip
    hits = {}
    for same, i, j in sorted(pairs, reverse=True):
        if same >= FOUND and i not in hits and j not in hits.values():
            hits[i] = j
    return hits


def row(name: str, measured: Measured, rule: BoxRule | None, doubts: bool) -> dict[str, str]:
    """A line of the table: COLUMNS -> text."""
    cells = {"detector": name, "faces": str(measured.faces), "found": str(len(measured.sides)),
             "found %": f"{100 * len(measured.sides) / max(measured.faces, 1):.1f}",
             "false": str(len(measured.false)),
             "ms": f"{1000 * np.median(measured.seconds):.0f}"}  # fmt: skip
    if len(measured.sides):
        figures = zip(("side", "right", "down"), (measured.sides, *measured.shifts.T), strict=True)
        cells |= {key: f"{np.mean(v):.3f} ± {np.std(v):.3f}" for key, v in figures}
        if rule:
            fits = measured.rule(rule)
            cells["rule"] = f"{fits.enlarge:.3f}, {fits.down:.3f}"
    if doubts:
        cells |= {"doubted": str(measured.doubted[0]), "false doubted": str(measured.doubted[1])}
    return {key: cells.get(key, "") for key in COLUMNS}


def table(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """The lines of a Markdown table; columns that are empty throughout are left out."""
    columns = [key for key in COLUMNS if any(cells[key] for cells in rows)]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for cells in rows:
        yield "| " + " | ".join(cells[key] for key in columns) + " |"


def sheet(false: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The photos of the first SHOWN false boxes, each with its box, as one picture."""
    tiles = []
    for photo, box in false[:SHOWN]:
        boxed = photos.reduced(photo, 240).copy()
        corners = np.rint((box + 0.5) * max(boxed.shape) / max(photo.shape) - 0.5).astype(int)
        cv2.rectangle(boxed, corners[:2].tolist(), corners[2:].tolist(), (255, 60, 60), 2)
        height, width = 240 - boxed.shape[0], 240 - boxed.shape[1]
        tiles.append(cv2.copyMakeBorder(boxed, 0, height, 0, width, cv2.BORDER_CONSTANT))
    tiles += [np.zeros((240, 240, 3), np.uint8)] * (-len(tiles) % 8)
    return np.concatenate([np.concatenate(tiles[i : i + 8], 1) for i in range(0, len(tiles), 8)])


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.detectors", __doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", help="NAME/SPLIT, made by jaxalign prepare")
    where.add_argument("--crowds", type=int, metavar="N", help="N drawn photos of --heads faces")
    add_data_dir(parser)
    parser.add_argument("--scheme", choices=SCHEMES, default="ibug68", metavar="NAME",
                        help=f"whose points are boxed: {', '.join(SCHEMES)} (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--limit", type=int, default=0, metavar="N",
                        help="so many faces, evenly spaced (default: 0, all)")  # fmt: skip
    parser.add_argument("--heads", type=int, default=12,
                        help="on each of --crowds (default: %(default)s)")  # fmt: skip
    parser.add_argument("--detector", nargs="+", choices=DETECTORS, metavar="NAME",
                        help=f"some of {', '.join(DETECTORS)} (default: cascade, and auto with "
                        "--ckpt)")  # fmt: skip
    parser.add_argument("--detector-model", metavar="FILE", help="ONNX file of OpenCV's YuNet")
    parser.add_argument("--ckpt", help="a checkpoint: its network verifies, and tells its doubts")
    add_import(parser)
    parser.add_argument("--min-score", type=float, metavar="S",
                        help="with --ckpt: as to predict (default: the checkpoint's)")  # fmt: skip
    parser.add_argument("--share", nargs="+", type=float, metavar="S", help="auto once for each: "
                        "of the checkpoint's score of sure faces, what a candidate must reach "
                        f"(default: {SHARE})")  # fmt: skip
    parser.add_argument("--csv", metavar="FILE", help="the table as a file")
    parser.add_argument("--sheet", metavar="PNG", help="pictures of the last row's false boxes")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if arguments.limit < 0:
        raise InputError(f"--limit {arguments.limit}: must be 0 (all faces) or more")
    if arguments.crowds is not None and min(arguments.crowds, arguments.heads) < 1:
        raise InputError("--crowds and --heads: must be 1 or more")
    names = arguments.detector or (["cascade", "auto"] if arguments.ckpt else ["cascade"])
    if not arguments.ckpt and "auto" in names:
        raise InputError("--detector auto: its candidates are verified by a network; give --ckpt")
    if arguments.share and "auto" not in names:
        raise InputError("--share: is auto's; give --ckpt, and auto as a --detector")
    import_files(arguments)
    shown = _shown(arguments)
    rows, measured = [], None
    for name, detect, rule, aligner in _detectors(arguments, names):
        measured = measure(detect, shown(), aligner)
        rows.append(row(name, measured, rule, aligner is not None))
    print("\n".join(table(rows)))
    try:
        if arguments.csv:
            with open(arguments.csv, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
        if arguments.sheet and measured and measured.false:
            Image.fromarray(sheet(measured.false)).save(arguments.sheet)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written ({error.strerror})") from None


def _shown(arguments):
    """A call that gives the photos with the boxes of their faces."""
    if arguments.crowds:
        return lambda: crowds(arguments.crowds, arguments.heads)
    source = open_source(arguments.data, SCHEMES[arguments.scheme], arguments.data_dir)
    places = np.linspace(0, len(source) - 1, arguments.limit or len(source)).astype(int)
    faces = replace(source, chosen=tuple(source.chosen[place] for place in np.unique(places)))
    return lambda: (
        (decode(face["photo"], face["id"]), face["boxes"]["landmarks"][None]) for face in faces
    )


def _detectors(arguments, names):
    """Of each row its name, call, rule, and the aligner that looks at its boxes."""
    judge = None
    for name in names:
        if name == "auto":
            aligner = prediction.load(
                arguments.ckpt, detector="auto", min_score=arguments.min_score
            )
            if not aligner.least_score:
                raise InputError(f"{arguments.ckpt}: notes no score, so nothing can be verified")
            least = aligner.least_score
            for share in arguments.share or [SHARE]:
                aligner.least_score = least * share / SHARE
                yield f"auto {share:g}" if arguments.share else name, aligner, None, aligner
            aligner.least_score = least
            continue
        if arguments.ckpt and judge is None:
            judge = prediction.load(arguments.ckpt, min_score=arguments.min_score)
        given = name == "yunet" and arguments.detector_model
        detector = YuNet(arguments.detector_model) if given else named(name)
        yield name, detector, getattr(detector, "rule", None), judge


if __name__ == "__main__":
    sys.exit(main())
