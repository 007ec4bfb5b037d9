"""The figures of the study of resolutions (see resolutions.py): curves and sheets of faces.

`work` is a work.Work. It trains the variants of a figure, and knows the models and reports that are
given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from matplotlib.figure import Figure as Picture

from jaxalign import geometry
from jaxalign.drawing import Tile, contact_sheet, draw_differences, draw_points
from jaxalign.errors import InputError
from jaxalign.evaluation.model import open_model
from jaxalign.evaluation.pictures import COLOURS, NAMES
from jaxalign.evaluation.tables import Table, percent, to_text, write_rows
from jaxalign.papers import Figure
from jaxalign.papers.resolutions import (
    GROUPS,
    LEVELS,
    LIMIT,
    REGIONS,
    Level,
    Model,
    Report,
    Study,
    by_group,
    levels,
    measures,
    models_of,
    squared_errors,
    two_stages,
)
from jaxalign.pipeline import crop_face, warp
from jaxalign.prediction.predictor import fitting_size
from jaxalign.sources import benchmark_of


GLOBAL, REGIONAL = (0, 0, 0), (0, 255, 255)  # the supplement's colours: black and cyan
TILE = 464  # pixels: twice what a sheet shows


def draw(figure: Figure, work, name: str, study: Study) -> None:
    """Write NAME.png and NAME.csv into the work's folder, and print the numbers.

    Gains are those of the first model: the figure's first variant, or else the first that is given.
    """
    models, source, note = _opened(figure, work)
    crop = models[0].crop
    tools = [*models, *(Report.open(path, source.scheme) for path in work.report)]
    work.folder.mkdir(parents=True, exist_ok=True)
    path = work.folder / f"{name}.png"
    if figure.kind in CURVES:
        numbers = {}
        for level in levels(tools, source, crop, study):
            for tool, results in level.found.items():
                own = measures(results, study.normaliser)
                numbers[tool, level.side] = own, len(level.faces), level.left_out
        rows = CURVES[figure.kind](path, numbers, study.normaliser, note)
        text = to_text(_table(numbers, study.normaliser))
    else:
        level = next(levels(tools, source, crop, study, largest_first=True))
        shown = _shown(figure, work, study, level)
        sheet, rows = SHEETS[figure.kind](models, level, shown)
        cv2.imwrite(str(path), sheet[..., ::-1])
        text = to_text(_by_groups(level))
    write_rows(path.with_suffix(".csv"), rows)
    print(text)
    if benchmark_of(source.name) == "synthetic_faces":
        print("synthetic faces: a stand-in; this says nothing about photographs")
    print(f"{figure.title}: {path}, {path.with_suffix('.csv')}")


def _opened(figure, work):
    """The models of the figure's variants and the given ones, their faces, and a note."""
    paths = {}
    if work.base:
        several = len(work.seeds) > 1
        paths = {row.label + several * f", seed {seed}": work.train(row, seed)
                 for row in figure.rows for seed in work.seeds}  # fmt: skip
    paths |= {path: path for path in work.ckpt}
    if not paths:
        raise InputError("the figure needs models: give --ckpt, or --config, the recipe of them")
    models, opened = [], []
    for name, path in paths.items():
        settings = [] if work.base else work.settings
        one = open_model(
            path, data=work.data, data_dir=work.data_dir, convert=False, settings=settings
        )
        models += models_of(name, one.system, one.variables, one.recipe.data.crop)
        opened.append(one)
    schemes = sorted({one.system.points.name for one in opened})
    if len(schemes) > 1:
        raise InputError(f"--ckpt: models of {' and '.join(schemes)}; name those of one")
    note = "\n".join(filter(None, dict.fromkeys(one.system.note for one in opened)))
    return models, opened[0].source, note


# Numbers are {(tool, side): (measures, faces, how many were smaller)}.


def _table(numbers, normaliser) -> Table:
    rows = []
    for (name, side), (regions, faces, left_out) in numbers.items():
        cells = [percent(regions[region]["nme"]) for region in REGIONS]
        cells.append(percent(regions["overall"]["auc"]))
        rows.append((name, str(side), str(faces), str(left_out), *cells))
    heads = ("model", "px", "faces", "left out", *REGIONS, f"AUC@{100 * LIMIT:g}")
    return Table(f"NME of each region, AUC overall; % of {normaliser}", heads, tuple(rows))


def draw_gains(path: Path, numbers: dict, normaliser: str, note: str) -> list[list]:
    """Draw the supplement's Fig. 1: the gain in AUC of the first tool over each other one."""
    (first, *others), sides = (list(dict.fromkeys(key)) for key in zip(*numbers, strict=True))
    if not others:
        raise InputError("a gain is over others: name another model or report beside the first")
    rows = [["model", "over", "resolution", "faces", "auc_gain"]]
    picture = Picture(figsize=(6.0, 4.0), dpi=150, layout="constrained")
    axes = picture.add_subplot()
    for index, other in enumerate(others):
        known = [side for side in sides if {(first, side), (other, side)} <= set(numbers)]
        own, its = ([numbers[tool, side][0]["overall"]["auc"] for side in known]
                    for tool in (first, other))  # fmt: skip
        gains = np.subtract(own, its)
        rows += [[first, other, side, numbers[first, side][1], gain]
                 for side, gain in zip(known, gains.tolist(), strict=True)]  # fmt: skip
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(known, 100 * gains, "o-", color=colour, label=f"over {other}")
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set(ylabel=f"gain in AUC@{100 * LIMIT:g}, %", title=first)
    _over_sides(axes, sides)
    picture.supxlabel(note, fontsize=8)
    axes.legend(fontsize=8)
    picture.savefig(path)
    return rows


def draw_regions(path: Path, numbers: dict, normaliser: str, note: str) -> list[list]:
    """Draw the supplement's Fig. 2: PCK curves, a row for each size and a column for each region.

    Below them is the NME of each region over the size.
    """
    names, sides = (list(dict.fromkeys(key)) for key in zip(*numbers, strict=True))
    heads = [f"pck@{100 * level:.1f}" for level in LEVELS]
    rows = [["model", "resolution", "region", "faces", "left_out", "nme", "auc", *heads]]
    shape = len(sides) + 1, len(REGIONS)
    picture = Picture(figsize=(3.3 * shape[1], 2.7 * shape[0]), dpi=120, layout="constrained")
    panels = picture.subplots(*shape, sharex="row", sharey="row", squeeze=False)
    for (name, side), (regions, faces, left_out) in numbers.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        for region, axes in zip(REGIONS, panels[sides.index(side)], strict=True):
            own = regions[region]
            rows.append([name, side, region, faces, left_out, own["nme"], own["auc"], *own["pck"]])
            label = f"{name}: NME {percent(own['nme'])} %"
            axes.plot(100 * LEVELS, 100 * own["pck"], color=colour, label=label)
            axes.set_title(f"{region}, {side} px", fontsize=9)
    for axes in panels[:-1].flat:
        axes.grid(color="0.92")
        axes.legend(fontsize=6, loc="lower right")
    for axes in panels[-2]:
        axes.set_xlabel(f"error of a point, % of the {NAMES[normaliser]}", fontsize=8)
    for region, axes in zip(REGIONS, panels[-1], strict=True):
        for index, name in enumerate(names):
            known = [side for side in sides if (name, side) in numbers]
            errors = [100 * numbers[name, side][0][region]["nme"] for side in known]
            axes.plot(known, errors, "o-", color=COLOURS[index % len(COLOURS)], label=name)
        axes.set_title(f"{region}: NME, %", fontsize=9)
        _over_sides(axes, sides)
    panels[-1][0].legend(fontsize=6)
    picture.supylabel("points with no larger error, %; below: NME, %")
    picture.supxlabel(note, fontsize=9)
    picture.savefig(path)
    return rows


def _over_sides(axes, sides):
    axes.set_xscale("log", base=2)
    axes.set_xticks(sides, [str(side) for side in sides], fontsize=8)
    axes.set_xlabel("side of the crop, px", fontsize=8)
    axes.grid(color="0.92")


# Sheets of the faces `shown`, indices of a level's.


def _shown(figure, work, study, level) -> list[int]:
    """The faces on the figure's page: those that the user lists, or evenly spaced ones."""
    first, most = figure.page * study.faces, study.faces
    if work.listed:
        places = {face["id"]: index for index, face in enumerate(level.faces)}
        names = [name for name in work.listed if name]
        if lacking := [name for name in names if name not in places]:
            raise InputError(f"{work.ids}: {lacking[0]} is no face of {level.side} px and more")
        found = [places[name] for name in names][first : first + most]
        if not found:
            raise InputError(
                f"{work.ids}: names {len(names)} faces, and the figure shows those from number "
                f"{first + 1} on; list more, or lower --faces"
            )
        return found
    order = ORDERS[figure.kind](level.faces)
    even = np.unique(np.linspace(0, len(order) - 1, most * figure.pages).round().astype(int))
    found = [order[place] for place in even[figure.page :: figure.pages]]
    if not found:
        raise InputError(f"{len(order)} faces, too few for {figure.pages} figures")
    return found


def _by_yaw(faces):
    """Sort faces from one profile to the other. Raises InputError if no yaw is known."""
    yaw = np.array([face["yaw"] for face in faces], np.float64)
    known = np.flatnonzero(np.isfinite(yaw))
    if not len(known):
        raise InputError(
            "the yaw of none of these faces is known: list faces with --ids FILE, or take "
            "aflw2000_3d, w300_lp or synthetic_faces"
        )
    return known[np.argsort(yaw[known], kind="stable")].tolist()


def _by_expression(faces):
    found = [index for index, face in enumerate(faces) if "expression" in face["subsets"]]
    if not found:
        raise InputError(
            "none of these faces is known to have an expression: list faces with --ids FILE, or "
            "take wflw or synthetic_faces"
        )
    return found


def draw_methods(models: Sequence[Model], level: Level, shown: Sequence[int]):
    """Draw the supplement's Fig. 5 to 11: a row for each tool, a column for each face.

    Each tile shows the mean squared error of its points. Returns the sheet, and the rows of its
    CSV.
    """
    squares = {name: squared_errors(results) for name, results in level.found.items()}
    least = np.min(list(squares.values()), axis=0)
    rows: list[list] = [["model", "face", "yaw", "resolution", "mse_px2", "lowest"]]
    sections = []
    for name, results in level.found.items():
        tiles = []
        for index in shown:
            face, error = level.faces[index], float(squares[name][index])
            lowest = error == float(least[index])
            crop = crop_face(face, results.scheme, models[0].crop, TILE)
            predicted, truth = (geometry.transform(crop["matrix"], points[index])
                                for points in (results.predicted, results.truth))  # fmt: skip
            label = f"MSE {error:.2f}" + ", lowest" * lowest
            yaw = "" if np.isnan(face["yaw"]) else f"yaw {face['yaw']:.0f}°"
            tiles.append(Tile(crop["image"], label, predicted, truth, name=yaw or face["id"]))
            rows.append([name, face["id"], face["yaw"], level.side, error, lowest])
        sections.append((name, tiles))
    title = f"Crops of {level.side} px; MSE in square pixels of them"
    scheme = models[0].predictor.system.points
    return contact_sheet(sections, scheme, title, columns=len(shown)), rows


def draw_corrections(models: Sequence[Model], level: Level, shown: Sequence[int]):
    """Draw the supplement's Fig. 3 and 4: faces and regions with their points in both stages.

    Returns the sheet, and the rows of its CSV.
    """
    model = next((one for one in models if two_stages(one.predictor.system)), None)
    if model is None:
        raise InputError("global and regional points are of a system of two stages; name one")
    system: Any = model.predictor.system  # of two stages
    stages, tiles = jax.jit(system.stages), []
    heads = ["model", "face", "resolution", "region", "mse_px2_global", "mse_px2_regional"]
    rows: list[list] = [heads]
    regional = sorted(i for points in system.regions.values() for i in points)
    size = fitting_size(system.sizes, level.side)
    for face in [level.faces[index] for index in shown]:
        crop = crop_face(face, system.points, model.crop, size)
        found = stages(model.variables, crop["image"][None])
        found = jax.tree.map(lambda x: np.asarray(x[0]), found)
        pair = found.global_points, found.points
        squares = [np.square(points - crop["points"]).sum(-1) * (level.side / size) ** 2
                   for points in pair]  # fmt: skip
        for region, points in system.regions.items():
            own = [point for point in points if crop["labelled"][point]]
            errors = (float(those[own].mean()) if own else np.nan for those in squares)
            rows.append([model.name, face["id"], level.side, region, *errors])
        places = [(np.full(2, (size - 1) / 2), size, "")]
        places += [(square[:2], square[2], region) for square, region in
                   zip(found.squares, system.regions, strict=True)]  # fmt: skip
        for centre, side, region in places:
            matrix = geometry.crop_matrix(centre, float(side), TILE)
            picture = warp(crop["image"], matrix, TILE)
            before, after = (geometry.transform(matrix, p.astype(np.float64)) for p in pair)
            draw_differences(picture, before, after, (255, 255, 255))
            draw_points(picture, before, GLOBAL, 2.5)
            draw_points(picture, after[regional], REGIONAL, 2.5)
            if not region:
                _outline(picture, matrix, found.squares)
            tiles.append(Tile(picture, region.replace("_", " ") or face["id"]))
    legend = ("global stage", GLOBAL), ("regional stages", REGIONAL)
    sections = [(f"faces of {level.side} px and their regions", tiles)]
    title = "Corrections (a reconstruction)"
    sheet = contact_sheet(
        sections, system.points, title, columns=1 + len(system.regions), legend=legend
    )
    return sheet, rows


def _outline(picture, matrix, squares):
    for x, y, side in squares:
        corners = np.array([[x, y], [x, y]]) + [[-side / 2], [side / 2]]
        low, high = np.round(geometry.transform(matrix, corners)).astype(int).tolist()
        cv2.rectangle(picture, low, high, (255, 255, 255), 1)


def _by_groups(level) -> Table:
    """The mean squared errors of all faces of the level, a column for each group that has faces."""
    own = {name: by_group(results, level.faces) for name, results in level.found.items()}
    groups = [group for group in GROUPS if any(group in found for found in own.values())]
    sizes = next(iter(own.values()))
    heads = ("model", *(f"{group} ({sizes[group][0]})" for group in groups))
    rows = [(name, *(f"{found[group][1]:.2f}" for group in groups)) for name, found in own.items()]
    title = f"Mean squared error of a point at {level.side} px, square pixels of the crop (faces)"
    return Table(title, heads, tuple(rows))


CURVES = {"gain": draw_gains, "regions": draw_regions}
SHEETS = {"corrections": draw_corrections, "views": draw_methods, "expressions": draw_methods}
ORDERS = {"corrections": lambda faces: list(range(len(faces))), "views": _by_yaw,
          "expressions": _by_expression}  # fmt: skip
KINDS = (*CURVES, *SHEETS)
