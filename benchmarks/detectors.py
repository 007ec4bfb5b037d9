"""How many faces jaxalign predict's detector finds, and how its boxes lie about their landmarks.

examples:
  python -m benchmarks.detectors --data ibug_300w/train --limit 400
  python -m benchmarks.detectors --data ibug_300w/test --detector-model yunet.onnx
  python -m benchmarks.detectors --data ibug_300w/test --ckpt runs/300w

needs: a data set made by jaxalign prepare. Leaves nothing but the printed lines.

A detector gives the square that it expects the landmarks to span (jaxalign/detection.py). A face is
found where an IoU of 0.5 or more joins it to the square around the true landmarks; what else is
found in its photo counts as elsewhere, be it another person. Of the faces found: the landmark
square's side over the detector's (1 is right), how far its centre lies right and down of the
detector's, in sides of that (0 is right); and the constants `enlarge` and `down` that would have
made the means 1 and 0. Times are of the detector alone. With --ckpt: of how many faces, and boxes
elsewhere, that model would say that it doubts them (low_confidence).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jaxalign import geometry, prediction
from jaxalign.commands import add_data_dir, add_import, import_files, run
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, decode
from jaxalign.prediction import Aligner
from jaxalign.prediction.detection import Cascade, Detector, YuNet
from jaxalign.schemes import SCHEMES
from jaxalign.sources import open_source


FOUND = 0.5  # IoU of the two squares from which on a face is found


@dataclass(frozen=True)
class Measured:
    """Of N faces: `sides` (n,) and `shifts` (n, 2), x and y, of those found; `elsewhere`, the
    number of other boxes; `seconds` (N,); `doubted`, how many of the n and of the others."""

    sides: np.ndarray
    shifts: np.ndarray
    elsewhere: int
    seconds: np.ndarray
    doubted: tuple[int, int] = (0, 0)

    def rule(self, used: BoxRule) -> BoxRule:
        """The detector's rule that fits these faces, from the one they were found by."""
        down = used.down + used.enlarge * np.mean(self.shifts[:, 1])
        return BoxRule(float(used.enlarge * np.mean(self.sides)), float(down))


def measure(detector: Detector, faces: Sequence[dict], aligner: Aligner | None = None) -> Measured:
    """Looks for each sample's face in its photo; an aligner looks at what was found."""
    sides, shifts, seconds, elsewhere, doubted = [], [], [], 0, np.zeros(2, int)
    for sample in faces:
        photo = decode(sample["photo"], sample["id"])
        started = time.perf_counter()
        found = detector(photo)
        seconds.append(time.perf_counter() - started)
        centre, side = geometry.square(sample["boxes"]["landmarks"], 1.0)
        box = np.concatenate([centre - side / 2, centre + side / 2])
        best = max(found, key=lambda face: geometry.iou(face.box, box), default=None)
        hit = best is not None and geometry.iou(best.box, box) >= FOUND
        elsewhere += len(found) - hit
        if aligner:
            seen = aligner(photo, [face.box for face in found])
            doubts = [face.status != "ok" for face in seen]
            own = hit and doubts[[face is best for face in found].index(True)]
            doubted += own, sum(doubts) - own
        if hit:
            middle, own = geometry.square(best.box, 1.0)
            sides.append(side / own)
            shifts.append((centre - middle) / own)
    shifts = np.reshape(shifts, (-1, 2))
    return Measured(np.array(sides), shifts, elsewhere, np.array(seconds), tuple(doubted.tolist()))


def lines(measured: Measured, rule: BoxRule) -> Iterator[str]:
    """What is printed: a line for each figure."""
    faces, found = len(measured.seconds), len(measured.sides)
    yield f"found            {found} of {faces} faces ({100 * found / faces:.1f} %)"
    yield f"boxes elsewhere  {measured.elsewhere}"
    if found:
        figures = {"side": measured.sides, "centre right": measured.shifts[:, 0],
                   "centre down": measured.shifts[:, 1]}  # fmt: skip
        for name, values in figures.items():
            yield (
                f"{name:16} median {np.median(values):.3f}, mean {np.mean(values):.3f}, "
                f"deviation {np.std(values):.3f}"
            )
        fits = measured.rule(rule)
        yield (
            f"rule that fits   enlarge {fits.enlarge:.3f}, down {fits.down:.3f} "
            f"(in use: {rule.enlarge:g}, {rule.down:g})"
        )
    yield f"time             {1000 * np.median(measured.seconds):.0f} ms a photo (median)"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="NAME/SPLIT, made by jaxalign prepare")
    add_data_dir(parser)
    parser.add_argument("--scheme", choices=SCHEMES, default="ibug68",
                        help="whose points are boxed (default: %(default)s)")  # fmt: skip
    parser.add_argument("--limit", type=int, default=0, metavar="N",
                        help="so many faces, evenly spaced (default: 0, all)")  # fmt: skip
    parser.add_argument("--detector-model", metavar="FILE",
                        help="ONNX file of OpenCV's YuNet (default: OpenCV's "
                        "frontal cascade)")  # fmt: skip
    parser.add_argument("--ckpt", help="a run's work directory: what its model doubts")
    add_import(parser)
    parser.add_argument("--min-score", type=float, metavar="S",
                        help="with --ckpt: as to predict (default: the checkpoint's)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if arguments.limit < 0:
        raise InputError(f"--limit {arguments.limit}: must be 0 (all faces) or more")
    source = open_source(arguments.data, SCHEMES[arguments.scheme], arguments.data_dir)
    number = arguments.limit or len(source)
    places = np.unique(np.linspace(0, len(source) - 1, number).astype(int))
    faces = replace(source, chosen=tuple(source.chosen[place] for place in places))
    detector = YuNet(arguments.detector_model) if arguments.detector_model else Cascade()
    print(f"{detector.name} on {len(faces)} of {len(source)} faces of {source.name}", flush=True)
    import_files(arguments)
    aligner = arguments.ckpt and prediction.load(arguments.ckpt, min_score=arguments.min_score)
    measured = measure(detector, faces, aligner)
    print("\n".join(lines(measured, detector.rule)))
    if aligner:
        own, other = measured.doubted
        limit = f"score below {aligner.min_score:.3f}"
        print(f"doubted          {own} of {len(measured.sides)} faces, {other} of "
              f"{measured.elsewhere} boxes elsewhere ({limit})")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
