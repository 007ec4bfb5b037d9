"""The pictures of a report: CED and PCK curves, errors on the mean face, sheets of faces."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jaxalign import geometry, metrics
from jaxalign.drawing import CURVES_LEGEND, Tile, beside, contact_sheet
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import size_of
from jaxalign.pipeline import Crop, crop_face
from jaxalign.samples import Sample
from jaxalign.schemes import BOUNDARIES, Scheme


EVEN, WORST = 24, 16  # faces on the sheet
NAMES = {
    "inter_ocular": "inter-ocular distance",
    "inter_pupil": "inter-pupil distance",
    "box": "box size √(w·h)",
    "diagonal": "box diagonal",
    "norm_box": "face box size",
    "box_luvli": "box size √(w·h), points without a place counted as found",
}
# Okabe and Ito's colours, told apart by colour-blind readers; "all" is black and drawn last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8c6d31")
STYLES = ("solid", "dashed", "dotted")  # of the second and third round through the colours


def write_ced(path: Path, levels: np.ndarray, curves: dict[str, np.ndarray], summary: dict) -> None:
    """Draw the CED of each subset, with NME and AUC in the legend.

    `curves` are (M,) shares over (M,) `levels`. Subsets whose curves coincide share a line.
    """
    sizes = {row["subset"]: row["faces"] for row in summary["rows"]}
    groups = _groups(curves, sizes)
    lines = [(curve_label(names, summary), share, "all" in names) for names, share in groups]
    write_curves(
        path,
        levels,
        lines,
        limits=summary["limits"],
        across=f"normalised mean error of a face, % of {NAMES[summary['headline']]}",
        up="faces with no larger error, %",
    )


def write_pck(path: Path, levels: np.ndarray, curves: dict[str, np.ndarray], summary: dict) -> None:
    """Draw the share of landmarks with no larger error, for all landmarks and for each region."""
    lines = [(" = ".join(names), share, "all" in names) for names, share in _groups(curves, {})]
    write_curves(
        path,
        levels,
        lines,
        limits=(),
        across=f"error of a landmark, % of {NAMES[summary['headline']]}",
        up="landmarks with no larger error, %",
    )


def write_curves(
    path: Path,
    levels: np.ndarray,
    lines: Sequence[tuple[str, np.ndarray, bool]],
    limits: Sequence[float],
    across: str,
    up: str,
) -> None:
    """Write a picture of `draw_curves` alone."""
    figure = Figure(figsize=(7.5, 5.0), dpi=150, layout="constrained")
    draw_curves(figure.add_subplot(), levels, lines, limits, across, up)
    figure.savefig(path)


def draw_curves(
    axes: Axes,
    levels: np.ndarray,
    lines: Sequence[tuple[str, np.ndarray, bool]],
    limits: Sequence[float],
    across: str,
    up: str,
) -> None:
    """Draw curves of shares (M,) over levels (M,), both fractions.

    Each of `lines` is a label, the shares, and whether it is black.
    """
    for limit in limits:
        axes.axvline(limit, color="0.55", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for index, (label, share, black) in enumerate(lines):
        axes.plot(
            levels,
            share,
            color="black" if black else COLOURS[index % len(COLOURS)],
            linestyle="solid" if black else STYLES[index // len(COLOURS) % len(STYLES)],
            drawstyle="steps-post",
            linewidth=2.2 if black else 1.5,
            zorder=3 if black else 2,
            label=textwrap.fill(label, 64),
        )
    axes.set(xlim=(0, levels[-1]), ylim=(0, 1.005), xlabel=across, ylabel=up)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol="", decimals=0))
    step = 0.01 * max(1, round(levels[-1] / 0.15))
    axes.xaxis.set_ticks(np.arange(0, levels[-1] + 1e-9, step))
    axes.yaxis.set_ticks(np.linspace(0, 1, 11))
    _plain(axes)
    axes.legend(loc="lower right", frameon=True, framealpha=0.8, edgecolor="none", fontsize=9)


def curve_label(names: list[str], summary: dict) -> str:
    """The legend of the curve that these subsets share.

    Incomplete subsets are left out if a complete one shares it.
    """
    rows = {row["subset"]: row for row in summary["rows"] if row["subset"] in names}
    complete = [name for name in names if rows[name]["official"] in (0, rows[name]["faces"])]
    shown = complete or names[:1]
    row, percent = rows[shown[0]], f"{100 * summary['limits'][0]:g}"
    numbers = row[summary["headline"]]
    return (
        f"{' = '.join(shown)} ({size_of(row)}): NME {100 * numbers['nme']:.2f} %, "
        f"AUC@{percent} {100 * numbers[f'auc@{percent}']:.1f} %"
    )


def write_training(path: Path, rows: Sequence[dict], step: int = 0) -> None:
    """Draw loss and validation NME over the steps of a run, a panel each, if there are any.

    `rows` are {"step", "phase", "loss" or "val_nme"}. `step` is the checkpoint that is evaluated, 0
    if unknown. If there are several phases, their starts are marked.
    """
    labels = {"loss": "training loss", "val_nme": "validation NME, %"}
    labels = {key: label for key, label in labels.items() if any(key in row for row in rows)}
    figure = Figure(figsize=(7.5, 1 + 2.3 * len(labels)), dpi=150, layout="constrained")
    panels = figure.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
    phases = {}
    for row in rows:
        phases.setdefault(row["phase"], []).append(row)
    for axes, key, colour in zip(panels, labels, COLOURS, strict=False):
        scale, found = 100 if key == "val_nme" else 1, [row[key] for row in rows if key in row]
        for place, part in enumerate(phases.values()):
            known = [(row["step"], scale * row[key]) for row in part if key in row]
            if known:
                axes.plot(*zip(*known, strict=True), color=colour, linewidth=1.3, markersize=3.5,
                          marker="o" if len(known) < 60 else "")  # fmt: skip
            if place:
                axes.axvline(part[0]["step"], color="0.75", linewidth=1, zorder=1)
        if key == "loss" and min(found) > 0 and max(found) > 5 * min(found):
            axes.set_yscale("log")
        if step:
            axes.axvline(step, color="0.3", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set_ylabel(labels[key])
        _plain(axes)
    for name, part in phases.items() if len(phases) > 1 else ():
        panels[0].annotate(
            name, (part[0]["step"], 1), xycoords=("data", "axes fraction"), xytext=(3, 3),
            textcoords="offset points", fontsize=8, color="0.4",
        )  # fmt: skip
    if step:
        panels[-1].set_title(f"dashed: the step evaluated, {step:,}", fontsize=8, loc="right",
                             color="0.3")  # fmt: skip
    panels[-1].set_xlabel("training step")
    figure.savefig(path)


def write_landmarks(path: Path, results: Results, summary: dict) -> None:
    """Draw the mean face. Landmarks are coloured by their NME, and numbered if it is large."""
    boxes = geometry.landmark_box(results.truth).reshape(-1, 2, 2)
    centres, sizes = boxes.mean(1), np.ptp(boxes, axis=1).max(axis=1)
    mean = metrics.over_points(((results.truth - centres[:, None]) / sizes[:, None, None]).T).T
    errors = 100 * np.array([row["nme"] for row in summary["landmarks"]], np.float64)
    figure = Figure(figsize=(7.5, 6.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for curve in results.scheme.curves.values():
        axes.plot(*mean[list(curve)].T, color="0.8", linewidth=1.2, zorder=1)
    dots = axes.scatter(
        *mean.T, c=errors, s=70, cmap="viridis_r", edgecolors="0.3", linewidths=0.5, zorder=2
    )
    worst = np.argsort(-errors, kind="stable")[: max(8, len(errors) // 8)]
    for index in worst[~np.isnan(errors[worst])]:
        axes.annotate(
            str(index), tuple(mean[index]), xytext=(6, 5), textcoords="offset points", fontsize=8
        )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")
    bar = figure.colorbar(dots, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label(f"NME of the landmark, % of {NAMES[summary['headline']]}")
    bar.outline.set_visible(False)
    figure.savefig(path)


def crops_of(
    faces: Sequence[Sample], scheme: Scheme, crop: Crop, size: int
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """The crops of faces, made as they are drawn.

    Args:
        faces: The faces.
        scheme: Of their points.
        crop: What is cropped.
        size: The side of a crop, in pixels.

    Returns:
        A function: index of a face -> its square RGB crop, (size, size, 3) uint8, and the crop's
        matrix, (2, 3), image -> crop.
    """

    def cropped(index):
        row = crop_face(faces[index], scheme, crop, size)
        return row["image"], row["matrix"]

    return cropped


def write_faces(
    path: Path,
    results: Results,
    errors: np.ndarray,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]] | None,
) -> None:
    """Draw a sheet of faces: EVEN ones, evenly spaced from best to worst, and the worst.

    `errors` (N,) are fractions. `crops(index)` gives the square RGB crop of a face and its matrix
    photo -> crop. Without crops the points stand on plain ground.
    """
    sections = [
        (heading, [_tile(results, errors, crops, index, marked) for index in faces])
        for heading, faces, marked in _chosen(results, errors)
    ]
    title = f"{len(results)} faces, NME {_percent(errors.mean())}"
    _write(path, contact_sheet(sections, results.scheme, title))


def few_faces(
    results: Results,
    errors: np.ndarray,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]],
    count: int = 8,
) -> np.ndarray:
    """A small sheet of `count` faces, (H, W, 3) RGB.

    The faces are evenly spaced in their order, so that sheets of one run show the same ones. The
    arguments are those of `write_faces`.
    """
    places = np.unique(np.linspace(0, len(results) - 1, count).round().astype(int)).tolist()
    tiles = [_tile(results, errors, crops, index) for index in places]
    title = f"NME {_percent(errors.mean())}"
    return contact_sheet([(f"{len(tiles)} of {len(results)} faces", tiles)], results.scheme, title,
                         side=160, columns=4)  # fmt: skip


def write_maps(
    folder: Path,
    results: Results,
    errors: np.ndarray,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]],
    maps: Callable[[np.ndarray], dict[str, np.ndarray]],
) -> None:
    """Draw the faces of `write_faces`, plain and under maps: maps_NAME.png for each kind.

    `maps(crop)` gives the (h, w, C) maps in 0..1 of each name. The other arguments are those of
    `write_faces`.
    """
    sheets = {}
    for heading, faces, marked in _chosen(results, errors):
        for index in faces:
            picture, _ = crops(index)
            for name, found in maps(picture).items():
                tile = Tile(
                    picture, _percent(errors[index]), name=results.ids[index], marked=marked
                )
                _, sections = sheets.setdefault(name, (found, {}))
                pair = beside(tile, found, curves=name == BOUNDARIES)
                sections.setdefault(heading, []).extend(pair)
    for name, (found, sections) in sheets.items():
        height, width, channels = found.shape
        title, legend = f"{name}: {channels} maps of {width} x {height}", CURVES_LEGEND
        if name != BOUNDARIES:
            title, legend = f"{title}, their mean from its least value to its greatest", ()
        sheet = contact_sheet([*sections.items()], results.scheme, title, legend=legend)
        _write(folder / f"maps_{name}.png", sheet)


def write_boxes(path: Path, rows: Sequence[dict], normaliser: str) -> None:
    """Draw the NME under each kind of box, and over shift and scale of the landmark box.

    `rows` are those of `evaluation.boxes.sensitivity`. Bars and bands are their intervals.
    """
    parts = {
        "kind of box": [row for row in rows if row["kind"] != "jitter"],
        "landmark box shifted by this share of its side": [row for row in rows if "shift" in row],
        "landmark box scaled about its centre": [row for row in rows if "scale" in row],
    }
    parts = {title: part for title, part in parts.items() if part}
    figure = Figure(figsize=(3.7 * len(parts), 3.9), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        key = next((key for key in ("shift", "scale") if key in part[0]), None)
        if key is None:
            _kinds(axes, part)
        else:
            part = sorted(part, key=lambda row: row[key])
            steps = [row[key] for row in part]
            ends = np.array([row["interval"]["nme"] for row in part]).T
            axes.fill_between(steps, *ends, color=COLOURS[0], alpha=0.2, linewidth=0)
            axes.plot(steps, [row["nme"] for row in part], "o-", color=COLOURS[0])
            axes.set_xticks(steps)
        axes.set_title(title, fontsize=10)
        _plain(axes)
    panels[0].set_ylim(0, 1.05 * max(row["interval"]["nme"][1] for row in rows))
    panels[0].set_ylabel(f"NME, % of {NAMES[normaliser]}")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    figure.savefig(path)


def _kinds(axes, rows):
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot([place, place], row["interval"]["nme"], color=colour, linewidth=2.5)
        axes.plot(place, row["nme"], "o", color=colour, markersize=8)
        axes.annotate(
            f"{100 * row['nme']:.2f}", (place, row["nme"]), xytext=(9, -3),
            textcoords="offset points", fontsize=9,
        )  # fmt: skip
    axes.set_xticks(range(len(rows)), [row["kind"] for row in rows])
    axes.set_xlim(-0.6, len(rows) - 0.2)


def _tile(results, errors, crops, index, marked=False):
    picture, matrix = crops(index) if crops else _plain_ground(results.truth[index])
    predicted, truth = (
        geometry.transform(matrix, points[index]) for points in (results.predicted, results.truth)
    )
    label, name = _percent(errors[index]), results.ids[index]
    return Tile(picture, label, predicted=predicted, truth=truth, name=name, marked=marked)


def _chosen(results, errors):
    """The faces that are shown: heading, indices, and whether they are the worst ones."""
    order = sorted(range(len(results)), key=lambda index: (errors[index], results.ids[index]))
    worst = order[-WORST:][::-1] if len(order) > WORST else []
    rest = order[: len(order) - len(worst)]
    even = [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, EVEN).round().astype(int))]
    yield f"{len(even)} faces, evenly spaced from best to worst", even, False
    if worst:
        yield f"The {len(worst)} worst", worst, True


def _percent(error):
    return f"{100 * error:.2f} %"


def _write(path, sheet):
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _groups(curves, sizes):
    """Curves that coincide and stand for as many faces: lists of their names, and the shares."""
    groups = {}
    for name, share in curves.items():
        groups.setdefault((sizes.get(name), share.tobytes()), []).append(name)
    return [(names, curves[names[0]]) for names in groups.values()]


def _plain(axes):
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _plain_ground(points):
    side = 232
    matrix = geometry.crop_matrix(*geometry.square(geometry.landmark_box(points), 1.25), side)
    return np.full((side, side, 3), 70, np.uint8), matrix
