"""What a larger photo is worth: PCK and NME of each region, and AUC, from 256 to 2048 pixels.

examples:
  python -m benchmarks.resolutions --ckpt runs/300w --data ibug_300w/test
  python -m benchmarks.resolutions --ckpt runs/attention runs/fan --data ibug_300w/test --out runs/r

needs: checkpoints of jaxalign train, and data made by jaxalign prepare. Leaves two printed tables,
and pck, mse and improvement, each as CSV and PNG, and corrections.png in --out.

The study of the supplement to attention-driven cropping (Chandran et al., CVPR 2020, Fig. 1 to 4),
whose system here is a reconstruction and whose numbers are known from pictures alone. Each face is
brought to a crop of 256, 512, ... pixels; one that is smaller is not enlarged but left out, and
counted: a line for a larger resolution is of fewer faces, unless --common leaves out those smaller
than the largest from all. Compare models within a resolution. Of a system of two stages the global
one is scored beside the whole.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from jaxalign import checkpoints, geometry, metrics, parallel
from jaxalign.commands import add_data_dir, add_import, import_files, run
from jaxalign.drawing import Tile, contact_sheet, draw_differences, draw_points
from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.evaluation.pictures import COLOURS
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import Table, percent, to_text, write_rows
from jaxalign.metrics import NORMALISERS
from jaxalign.pipeline import Crop, crop_face, decode, warp
from jaxalign.prediction.predictor import Predictor, fitting_size
from jaxalign.sources import benchmark_of, open_source
from jaxalign.systems.interface import System


REGIONS = ("eyes", "nose", "mouth", "overall")
LEVELS = np.linspace(0, 0.1, 101)  # of the normalising distance
LIMIT = 0.1  # of the AUC
WIDER = 1.5  # the surroundings kept, for models that crop more than the first
# Degrees above the first, up to the second: as aflw2000_3d's subsets.
YAWS = {"yaw 0 to 30": (-1, 30), "yaw 30 to 60": (30, 60), "yaw above 60": (60, 180)}
GROUPS = ("all", *YAWS, "expression")
GLOBAL, REGIONAL = (0, 0, 0), (0, 255, 255)  # the supplement's colours


@dataclass(frozen=True)
class Model:
    """What is scored under a name: a system, or its global stage alone."""

    name: str
    predictor: Predictor
    variables: dict
    crop: Crop


class GlobalStage:
    """The first of a system's two stages, as Predictor takes a system."""

    def __init__(self, system: System):
        self.points, self.size, self.sizes = system.points, system.size, system.sizes
        self.stages = system.stages

    def predict(self, variables, images):
        found = self.stages(variables, images)
        return found.global_points, found.global_scores


def two_stages(system: System) -> bool:
    """Whether it has regions that a second stage looks at (`stages` may be a number elsewhere)."""
    return hasattr(system, "regions") and callable(getattr(system, "stages", None))


def models_of(name: str, system: System, variables: dict, crop: Crop) -> list[Model]:
    """The system, and its global stage where it has two."""
    parts = {name: system}
    if two_stages(system):
        parts[f"{name}, global stage"] = GlobalStage(system)
    variables = parallel.replicate(variables, local=True)
    return [Model(part, Predictor(one), variables, crop) for part, one in parts.items()]


def brought_to(source: Sequence, crop: Crop, side: int, least: int = 0) -> list[dict]:
    """The faces whose square is at least `side` and `least` photo pixels wide, reduced so that it
    is `side`: samples of a source, their photos cut to WIDER times the square."""
    faces, wide = [], round(WIDER * side)
    for sample in source:
        centre, own = crop.square(sample)
        if own < max(side, least) - 0.5:
            continue
        matrix = geometry.crop_matrix(centre, own * wide / side, wide)
        photo = warp(decode(sample["photo"], sample["id"]), matrix, wide)
        boxes = sample["boxes"] | {"norm": sample["norm_box"]}
        boxes = {
            kind: geometry.transform(matrix, np.reshape(box, (2, 2))).ravel()
            for kind, box in boxes.items()
        }
        changed = {
            "photo": cv2.imencode(".png", photo[..., ::-1])[1].tobytes(),
            "points": geometry.transform(matrix, sample["points"]),
            "norm_box": boxes.pop("norm"),
            "boxes": boxes,
        }
        faces.append(sample | changed)
    return faces


def score(model: Model, faces: Sequence, batch: int) -> Results:
    return predict_source(
        model.predictor, model.variables, faces, model.crop, batch=batch, progress=True
    )


def measures(results: Results, normaliser: str) -> dict[str, dict]:
    """Region -> its NME, AUC up to LIMIT (both of faces) and PCK at LEVELS (of points)."""
    errors, found = results.normalised(normaliser), {}
    for region in REGIONS:
        points = list(results.scheme.regions.get(region, range(results.scheme.num_points)))
        own = errors[:, points]
        faces = metrics.over_points(own)
        found[region] = {
            "nme": faces.mean(),
            "auc": metrics.auc(faces, LIMIT),
            "pck": metrics.pck(own, LEVELS),
        }
    return found


def squared_errors(results: Results, faces: Sequence) -> dict[str, tuple[int, float]]:
    """Group of faces -> how many there are, and the mean squared error of their points, in pixels
    of the crop: GROUPS, where faces tell of their yaw and expression."""
    yaw = abs(np.array([face["yaw"] for face in faces], np.float64))
    groups = {name: results.subset(name) for name in ("all", "expression")}
    groups |= {name: (low < yaw) & (yaw <= high) for name, (low, high) in YAWS.items()}
    squares = metrics.over_points(np.square(results.errors))
    return {
        name: (int(groups[name].sum()), float(squares[groups[name]].mean()))
        for name in GROUPS
        if groups[name].any()
    }


def corrections(model: Model, faces: Sequence, side: int, number: int) -> np.ndarray:
    """A sheet of `number` faces and their regions: global points, and what the second stage made
    of them."""
    import jax

    system = model.predictor.system
    stages, rows = jax.jit(system.stages), []
    regional = sorted(i for points in system.regions.values() for i in points)
    size = fitting_size(system.sizes, side)
    for face in [faces[i] for i in np.linspace(0, len(faces) - 1, number).astype(int)]:
        image = crop_face(face, system.points, model.crop, size)["image"]
        found = jax.tree.map(lambda x: np.asarray(x[0]), stages(model.variables, image[None]))
        squares = [(np.full(2, (size - 1) / 2), size, "")]
        squares += [(square[:2], square[2], name) for square, name in
                    zip(found.squares, system.regions, strict=True)]  # fmt: skip
        for centre, own, name in squares:
            matrix = geometry.crop_matrix(centre, float(own), 464)
            picture = warp(image, matrix, 464)
            before, after = (
                geometry.transform(matrix, points.astype(np.float64))
                for points in (found.global_points, found.points)
            )
            draw_differences(picture, before, after, (255, 255, 255))
            draw_points(picture, before, GLOBAL, 2.5)
            draw_points(picture, after[regional], REGIONAL, 2.5)
            if not name:
                _outline(picture, matrix, found.squares)
            label = name.replace("_", " ") or face["id"]
            rows.append(Tile(picture, label))
    legend = ("global stage", GLOBAL), ("regional stages", REGIONAL)
    sections = [(f"faces of {side} px and their regions", rows)]
    return contact_sheet(
        sections, system.points, "Corrections (a reconstruction)", columns=5, legend=legend
    )


def _outline(picture, matrix, squares):
    for x, y, side in squares:
        corners = np.array([[x, y], [x, y]]) + [[-side / 2], [side / 2]]
        low, high = np.round(geometry.transform(matrix, corners)).astype(int).tolist()
        cv2.rectangle(picture, low, high, (255, 255, 255), 1)


def table(found: dict, left_out: dict, normaliser: str) -> Table:
    """`found`: (model, resolution) -> (measures, squared errors, faces)."""
    rows = []
    for (name, side), (regions, _, faces) in found.items():
        cells = [percent(regions[region]["nme"]) for region in REGIONS]
        cells.append(percent(regions["overall"]["auc"]))
        rows.append((name, str(side), str(faces), str(left_out[side]), *cells))
    heads = ("model", "px", "faces", "left out", *REGIONS, f"AUC@{100 * LIMIT:g}")
    return Table(f"NME of each region, AUC overall; % of {normaliser}", heads, tuple(rows))


def mse_table(found: dict) -> Table:
    """The squared errors of `found`, a column for each group that has faces."""
    groups = [group for group in GROUPS if any(group in own for _, own, _ in found.values())]
    rows = [
        (name, str(side), *(f"{own[group][1]:.2f}" if group in own else "-" for group in groups))
        for (name, side), (_, own, _) in found.items()
    ]
    title = "Mean squared error of a point, pixels of the crop"
    return Table(title, ("model", "px", *groups), tuple(rows))


def write(folder: Path, found: dict, left_out: dict, normaliser: str, note: str) -> None:
    """pck.csv and pck.png (Fig. 2), improvement.csv and improvement.png (Fig. 1), mse.csv and
    mse.png; `note` under the pictures."""
    levels = [f"pck@{100 * level:.1f}" for level in LEVELS]
    lines = [["model", "resolution", "region", "faces", "left_out", "nme", "auc", *levels]]
    squares = [["model", "resolution", "group", "faces", "mse_px2"]]
    for (name, side), (regions, groups, faces) in found.items():
        for region, own in regions.items():
            numbers = own["nme"], own["auc"], *own["pck"]
            lines.append([name, side, region, faces, left_out[side], *numbers])
        squares += [[name, side, group, *numbers] for group, numbers in groups.items()]
    write_rows(folder / "pck.csv", lines)
    write_rows(folder / "mse.csv", squares)
    (first, *others), sides = (list(dict.fromkeys(key)) for key in zip(*found, strict=True))
    gains = {
        other: [found[first, s][0]["overall"]["auc"] - found[other, s][0]["overall"]["auc"]
                for s in sides] for other in others
    }  # fmt: skip
    rows = [[first, other, s, gain] for other in others
            for s, gain in zip(sides, gains[other], strict=True)]  # fmt: skip
    write_rows(folder / "improvement.csv", [["model", "over", "resolution", "auc_gain"], *rows])
    _draw_pck(folder / "pck.png", found, sides, [first, *others], normaliser, note)
    _draw_mse(folder / "mse.png", found, sides, [first, *others], note)
    if others:
        _draw_gains(folder / "improvement.png", first, sides, gains, note)


def _draw_pck(path, found, sides, names, normaliser, note):
    from matplotlib.figure import Figure

    shape = len(sides), len(REGIONS)
    figure = Figure(figsize=(3.3 * shape[1], 2.7 * shape[0]), dpi=120, layout="constrained")
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    for side, row in zip(sides, panels, strict=True):
        for region, axes in zip(REGIONS, row, strict=True):
            for index, name in enumerate(names):
                own = found[name, side][0][region]
                label = f"{name}: NME {percent(own['nme'])} %"
                colour = COLOURS[index % len(COLOURS)]
                axes.plot(100 * LEVELS, 100 * own["pck"], color=colour, label=label)
            axes.set_title(f"{region}, {side} px", fontsize=9)
            axes.grid(color="0.92")
            axes.legend(fontsize=6, loc="lower right")
    figure.supxlabel(f"error of a point, % of {normaliser}\n{note}", fontsize=10)
    figure.supylabel("points with no larger error, %")
    figure.savefig(path)


def _draw_mse(path, found, sides, names, note):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.7 * len(sides)), dpi=120, layout="constrained")
    panels = figure.subplots(len(sides), 1, sharex=True, squeeze=False)[:, 0]
    width = 0.8 / len(names)
    for side, axes in zip(sides, panels, strict=True):
        for index, name in enumerate(names):
            own = found[name, side][1]
            places = [GROUPS.index(group) + (index - (len(names) - 1) / 2) * width for group in own]
            colour = COLOURS[index % len(COLOURS)]
            axes.bar(places, [mse for _, mse in own.values()], width, color=colour, label=name)
        axes.set_title(f"{side} px", fontsize=9)
        axes.grid(color="0.92", axis="y")
        axes.set_axisbelow(True)
    panels[0].legend(fontsize=7)
    panels[-1].set_xticks(range(len(GROUPS)), GROUPS)
    figure.supylabel("mean squared error of a point, pixels² of the crop")
    figure.supxlabel(note, fontsize=9)
    figure.savefig(path)


def _draw_gains(path, first, sides, gains, note):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for index, (other, values) in enumerate(gains.items()):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(sides, 100 * np.array(values), "o-", color=colour, label=f"over {other}")
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sides, [str(side) for side in sides])
    axes.set(xlabel="side of the crop, px", ylabel="gain in AUC, %", title=first)
    figure.supxlabel(note, fontsize=8)
    axes.grid(color="0.92")
    axes.legend(fontsize=8)
    figure.savefig(path)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ckpt", nargs="+", required=True,
                        help="trained models; gains are those of the first")  # fmt: skip
    add_import(parser)
    parser.add_argument("--data", required=True, help="NAME/SPLIT, made by jaxalign prepare")
    add_data_dir(parser)
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024, 2048],
                        metavar="PX", help="sides of the faces, pixels (default: 256 512 "
                        "1024 2048)")  # fmt: skip
    parser.add_argument("--common", action="store_true", help="at every size only the faces that "
                        "reach the largest")  # fmt: skip
    parser.add_argument("--normaliser", choices=[*NORMALISERS, "norm_box"],
                        default="inter_ocular", help="what errors are shares of "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--faces", type=int, default=4,
                        help="how many are drawn (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", default="runs/resolutions", help="folder (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32,
                        help="faces at a time (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _study(arguments))


def _study(arguments):
    for name in ("batch", "faces"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}: must be 1 or more")
    if min(arguments.sizes) < 1:
        raise InputError(f"--sizes {min(arguments.sizes)}: must be 1 or more")
    import_files(arguments)
    print(f"device: {parallel.start()}", flush=True)
    models, notes = [], []
    for path in dict.fromkeys(arguments.ckpt):
        recipe, variables, _ = checkpoints.load(path)
        models += models_of(path, recipe.system, variables, recipe.data.crop)
        notes.append(recipe.system.note)
    schemes = {model.predictor.system.points.name for model in models}
    if len(schemes) > 1:
        raise InputError(f"--ckpt: models of {' and '.join(sorted(schemes))}; name those of one")
    scheme = models[0].predictor.system.points
    source = open_source(arguments.data, scheme, arguments.data_dir)
    folder, found, left_out = Path(arguments.out), {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    least = max(arguments.sizes) if arguments.common else 0
    for side in sorted(set(arguments.sizes)):
        faces = brought_to(source, models[0].crop, side, least)
        left_out[side] = len(source) - len(faces)
        if not faces:
            print(f"{side} px: all {len(source)} faces are smaller")
            continue
        for model in models:
            results = score(model, faces, arguments.batch)
            errors = squared_errors(results, faces)
            found[model.name, side] = measures(results, arguments.normaliser), errors, len(faces)
        for model in models:
            if two_stages(model.predictor.system):  # the sheet of the largest resolution stays
                sheet = corrections(model, faces, side, arguments.faces)
                cv2.imwrite(str(folder / "corrections.png"), sheet[..., ::-1])
                break
    if not found:
        raise InputError(f"{arguments.data}: no face reaches {min(arguments.sizes)} px; lower "
                         "--sizes")  # fmt: skip
    note = "\n".join(filter(None, dict.fromkeys(notes)))
    write(folder, found, left_out, arguments.normaliser, note)
    print(to_text(table(found, left_out, arguments.normaliser)))
    print(f"\n{to_text(mse_table(found))}")
    if note:
        print(f"\n{note}")
    if benchmark_of(arguments.data) == "synthetic_faces":
        print("synthetic faces: a stand-in; this says nothing about photographs")
    print(f"\n{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    sys.exit(main())
