"""The two pictures of a report: the CED curve and the sheet of faces."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jaxalign import geometry
from jaxalign.drawing import Tile, contact_sheet
from jaxalign.evaluation.results import Results


EVEN, WORST = 24, 8  # faces on the sheet
NAMES = {
    "inter_ocular": "inter-ocular distance",
    "inter_pupil": "inter-pupil distance",
    "box": "box size √(w·h)",
}
# Okabe and Ito's colours, told apart by colour-blind readers; "all" is black and drawn last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8c6d31")


def write_ced(path: Path, levels: np.ndarray, curves: dict[str, np.ndarray], summary: dict) -> None:
    """The CED of each subset, (M,) shares over (M,) levels, with NME and AUC in the legend.

    Subsets whose curves coincide share a line.
    """
    figure = Figure(figsize=(7.5, 5.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for limit in summary["thresholds"]:
        axes.axvline(limit, color="0.55", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    rows = {row["subset"]: row for row in summary["rows"]}
    groups = {}
    for name, share in curves.items():
        groups.setdefault((rows[name]["faces"], share.tobytes()), []).append(name)
    for index, names in enumerate(groups.values()):
        whole = "all" in names
        axes.plot(
            levels,
            curves[names[0]],
            color="black" if whole else COLOURS[index % len(COLOURS)],
            drawstyle="steps-post",
            linewidth=2.2 if whole else 1.5,
            zorder=3 if whole else 2,
            label=curve_label(names, summary),
        )
    axes.set(xlim=(0, levels[-1]), ylim=(0, 1.005))
    axes.set_xlabel(f"normalised mean error of a face, % of {NAMES[summary['headline']]}")
    axes.set_ylabel("faces with no larger error, %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol="", decimals=0))
    axes.xaxis.set_ticks(np.arange(0, levels[-1] + 1e-9, 0.01))
    axes.yaxis.set_ticks(np.linspace(0, 1, 11))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=True, framealpha=0.95, edgecolor="none", fontsize=9)
    figure.savefig(path)


def curve_label(names: list[str], summary: dict) -> str:
    """The legend of the curve that these subsets share; incomplete subsets give way to others."""
    rows = {row["subset"]: row for row in summary["rows"] if row["subset"] in names}
    complete = [name for name in names if rows[name]["official"] in (0, rows[name]["faces"])]
    shown = complete or names[:1]
    row, percent = rows[shown[0]], f"{100 * summary['thresholds'][0]:g}"
    numbers = row[summary["headline"]]
    return (
        f"{' = '.join(shown)} ({size_of(row)}): NME {100 * numbers['nme']:.2f} %, "
        f"AUC@{percent} {100 * numbers[f'auc@{percent}']:.1f} %"
    )


def size_of(row: dict) -> str:
    """How many faces a row of the summary stands for, "224 of 554" where some are missing."""
    incomplete = row["official"] not in (0, row["faces"])
    return f"{row['faces']} of {row['official']}" if incomplete else str(row["faces"])


def write_faces(
    path: Path,
    results: Results,
    errors: np.ndarray,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]],
) -> None:
    """A sheet of EVEN faces, evenly spaced from the smallest error to the largest, and the worst.

    `errors` (N,) are fractions; `crops(index)` gives the square RGB crop of a face and its matrix
    image -> crop.
    """
    order = sorted(range(len(results)), key=lambda index: (errors[index], results.ids[index]))
    worst = order[-WORST:][::-1] if len(order) > WORST else []
    rest = order[: len(order) - len(worst)]
    even = [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, EVEN).round().astype(int))]

    def tile(index, marked):
        picture, matrix = crops(index)
        predicted, truth = (
            geometry.transform(matrix, points[index])
            for points in (results.predicted, results.truth)
        )
        label = f"{100 * errors[index]:.2f} %"
        return Tile(picture, predicted, truth, label, results.ids[index], marked)

    heading = f"{len(even)} faces, evenly spaced from best to worst"
    sections = [(heading, [tile(index, False) for index in even])]
    if worst:
        sections.append((f"The {len(worst)} worst", [tile(index, True) for index in worst]))
    title = f"{len(results)} faces, NME {100 * errors.mean():.2f} %"
    sheet = contact_sheet(sections, results.scheme, title)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
