"""How steady predictions are when the crop is shifted by a pixel or two (PropagationNet, 3.4).

examples:
  python -m benchmarks.shifts --ckpt runs/300w --data ibug_300w/test
  python -m benchmarks.shifts --ckpt runs/blur0 runs/blur3 --data wflw/test --out runs/shifts

needs: checkpoints of jaxalign train, and data made by jaxalign prepare. Leaves a printed table, and
shifts.csv and shifts.png in --out.

Each face is cropped with its square shifted by -2 to 2 pixels of the network's input, along x and
along y; the photo is warped anew, so nothing is lost at the border. Points are taken back into the
photo, where those of a detector that shifts along would not move at all. The drift is their mean
distance from those of the unshifted crop. The quarter shift decodes to every second pixel of the
crop, which is drift by itself: `--decoder soft` looks between them.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import checkpoints, metrics, parallel
from jaxalign.commands import add_data_dir, add_import, import_files, new_parser, run
from jaxalign.decoding import DECODERS
from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.evaluation.tables import Table, percent, to_text, write_rows
from jaxalign.pipeline import Crop
from jaxalign.prediction.predictor import Predictor
from jaxalign.protocols import protocol_for
from jaxalign.sources import benchmark_of, open_source


STEPS = (-2, -1, 0, 1, 2)  # crop pixels
SHIFTS = tuple(dict.fromkeys([(step, 0) for step in STEPS] + [(0, step) for step in STEPS]))


@dataclass(frozen=True)
class ShiftedCrop(Crop):
    """Crops of `size` pixels whose content is moved by `shift` = (x, y) of these pixels."""

    shift: tuple[float, float] = (0, 0)
    size: int = 256

    def square(self, sample: dict) -> tuple[np.ndarray, float]:
        centre, side = super().square(sample)
        return centre - np.array(self.shift) * side / self.size, side


@dataclass(frozen=True)
class Drift:
    """Of a model: per shift of SHIFTS and face, the drift in crop pixels and as a fraction of the
    face's distance, and the NME, each (shifts, faces)."""

    name: str
    pixels: np.ndarray
    fractions: np.ndarray
    nme: np.ndarray


def measure(name, system, variables, source, crop: Crop, normaliser: str, batch: int) -> Drift:
    """Every face of the source under every shift. Drifts are means over the points."""
    predictor, still = Predictor(system), None
    zooms = np.array([system.size / crop.square(sample)[1] for sample in source])
    found = {}
    for shift in sorted(SHIFTS, key=any):  # the unshifted crop first
        shifted = ShiftedCrop(**vars(crop), shift=shift, size=system.size)
        results = predict_source(predictor, variables, source, shifted, batch=batch, progress=True)
        if still is None:
            still = results.predicted
            distances = metrics.distances(
                results.truth, results.scheme, normaliser, results.ids, results.norm_box
            )
        moved = metrics.point_errors(results.predicted, still).mean(1)
        found[shift] = moved * zooms, moved / distances, results.nme(normaliser)
    return Drift(name, *np.stack([found[shift] for shift in SHIFTS], axis=1))


def summary(drift: Drift) -> dict[str, float]:
    """The mean drift over all shifts but none; NME unshifted, least and greatest over the shifts;
    `spread`, the mean over faces of the standard deviation of a face's NME over the shifts."""
    moved = np.array([any(shift) for shift in SHIFTS])
    means = drift.nme.mean(1)
    return {
        "drift_px": drift.pixels[moved].mean(),
        "drift": drift.fractions[moved].mean(),
        "nme": means[~moved][0],
        "nme_least": means.min(),
        "nme_greatest": means.max(),
        "spread": drift.nme.std(0).mean(),
    }


def table(drifts: Sequence[Drift], normaliser: str) -> Table:
    rows = []
    for drift in drifts:
        numbers = summary(drift)
        ends = f"{percent(numbers['nme_least'])} to {percent(numbers['nme_greatest'])}"
        rows.append((drift.name, f"{numbers['drift_px']:.3f}", percent(numbers["drift"]),
                     percent(numbers["nme"]), ends, f"{100 * numbers['spread']:.3f}"))  # fmt: skip
    heads = ("model", "drift, px", "drift, %", "NME, %", "NME over shifts, %", "spread, %")
    title = f"{drifts[0].nme.shape[1]} faces, shifts of up to {max(STEPS)} px; % of {normaliser}"
    return Table(title, heads, tuple(rows))


def write(folder: Path, drifts: Sequence[Drift]):
    """shifts.csv, a line for every model and shift, and shifts.png, drift and NME over the shift
    (the mean of x and y)."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    rows = [["model", "x", "y", "drift_px", "drift", "nme"]]
    figure = Figure(figsize=(9.0, 4.0), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for drift in drifts:
        means = np.stack([drift.pixels, drift.fractions, drift.nme]).mean(-1).T
        rows += [[drift.name, *shift, *line] for shift, line in zip(SHIFTS, means, strict=True)]
        curve = [np.mean([means[SHIFTS.index(s)] for s in ((n, 0), (0, n))], 0) for n in STEPS]
        left.plot(STEPS, [point[0] for point in curve], "o-", label=drift.name)
        right.plot(STEPS, [100 * point[2] for point in curve], "o-", label=drift.name)
    left.set(title="mean drift of a point", ylabel="crop pixels")
    right.set(title="NME", ylabel="%")
    for axes in (left, right):
        axes.set_xlabel("shift of the crop's content, pixels")
        axes.set_xticks(STEPS)
        axes.grid(color="0.92")
    left.set_ylim(0)
    left.legend(fontsize=8)
    figure.savefig(folder / "shifts.png")
    write_rows(folder / "shifts.csv", rows)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.shifts", __doc__)
    parser.add_argument("--ckpt", nargs="+", required=True, help="trained models")
    add_import(parser)
    parser.add_argument("--data", required=True, help="NAME/SPLIT, made by jaxalign prepare")
    add_data_dir(parser)
    parser.add_argument("--decoder", choices=DECODERS,
                        help="how maps become points (default: each model's own)")  # fmt: skip
    parser.add_argument("--out", default="runs/shifts", help="folder (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32,
                        help="faces at a time (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _compare(arguments))


def _compare(arguments):
    if arguments.batch < 1:
        raise InputError(f"--batch {arguments.batch}: must be 1 or more")
    import_files(arguments)
    print(f"device: {parallel.start()}", flush=True)
    drifts = []
    for path in arguments.ckpt:
        recipe, variables, _ = checkpoints.load(path)
        system = recipe.system
        if arguments.decoder:
            if not hasattr(system, "decoder"):
                raise InputError(f"{path}: {type(system).__name__} has no --decoder to choose")
            system = dataclasses.replace(system, decoder=arguments.decoder)
        source = open_source(arguments.data, system.points, arguments.data_dir)
        normaliser = protocol_for(benchmark_of(arguments.data), system.points).normaliser
        drifts.append(
            measure(path, system, variables, source, recipe.data.crop, normaliser, arguments.batch)
        )
    folder = Path(arguments.out)
    write(folder, drifts)
    print(to_text(table(drifts, normaliser)))
    print(f"\n{folder / 'shifts.csv'}, {folder / 'shifts.png'}")


if __name__ == "__main__":
    sys.exit(main())
