"""The figures of papers: curves of their variants as PNG and CSV.

`work` is a work.Work, which trains and evaluates the variants of a figure.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Picture

from jaxalign import history, metrics
from jaxalign.errors import InputError
from jaxalign.evaluation.pictures import NAMES, draw_curves
from jaxalign.evaluation.report import write_columns
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import write_rows
from jaxalign.papers import LISTED, Column, Figure, attributes, feature_maps, vectors


def draw(figure: Figure, work, name: str) -> None:
    """Write NAME.png and NAME.csv into the work's folder."""
    if figure.kind == "shares":
        if work.base or work.given:
            raise InputError("the figure is of data alone: no --config, --ckpt, --report")
    elif not work.base:
        finished = {"ced": work.given, "features": work.ckpt, "vectors": work.ckpt}
        if not finished.get(figure.kind):
            more = ", or --ckpt" if figure.kind in finished else ""
            raise InputError(f"a figure needs --config, the recipe of its models{more}")
    work.folder.mkdir(parents=True, exist_ok=True)
    path = work.folder / f"{name}.png"
    DRAWERS[figure.kind](figure, work, path)
    print(f"{figure.title}: {path}, {path.with_suffix('.csv')}")


def _ced(figure, work, path):
    shown = figure if work.base else replace(figure, rows=())
    write_columns(path.with_suffix(".csv"), *draw_ced(shown, work, path))


def _convergence(figure, work, path):
    several = len(work.seeds) > 1
    curves = {
        row.label + several * f", seed {seed}": validations(work.train(row, seed))
        for row in figure.rows
        for seed in work.seeds
    }
    lines = [[label, *pair] for label, pairs in curves.items() for pair in pairs]
    write_rows(path.with_suffix(".csv"), [["model", "step", "val_nme"], *lines])
    draw_convergence(path, figure.title, curves)


# Kind of a figure -> a function of (figure, work, path) that writes the PNG and a CSV beside it.
DRAWERS = {
    "ced": _ced,
    "convergence": _convergence,
    "features": feature_maps.draw,
    "shares": attributes.draw,
    "vectors": vectors.draw,
}


def draw_ced(figure: Figure, work, path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the panels of the columns side by side.

    Returns the levels, which go as far as 98 % of the faces of every model, and the shares over
    them, by "panel: model".
    """
    models = {
        row.label: [work.evaluate(row, figure, seed).results for seed in work.seeds]
        for row in figure.rows
    }
    given = zip(work.given, work.score_given(figure), strict=True)
    models |= {name: [entry.results] for name, entry in given}
    found = {
        (column.head, label): np.concatenate([_errors(one, column, work) for one in trainings])
        for column in figure.columns
        for label, trainings in models.items()
    }
    furthest = max(np.quantile(errors, 0.98) for errors in found.values())
    levels = np.linspace(0, max(0.12, np.ceil(100 * furthest) / 100), 601)
    number = len(figure.columns)
    picture = Picture(figsize=(7.5 * number, 5.0), dpi=150, layout="constrained")
    panels, curves = picture.subplots(1, number, squeeze=False)[0], {}
    for axes, column in zip(panels, figure.columns, strict=True):
        head = f"{column.head}: " if number > 1 else ""
        shares, faces = {}, set()
        for label, trainings in models.items():
            errors = found[column.head, label]
            faces.add(f"{len(errors) // len(trainings)}")
            told = f"{label}: NME {100 * errors.mean():.2f} %"
            if figure.limit:
                rate = 100 * metrics.failure_rate(errors, figure.limit)
                told += f", FR at {100 * figure.limit:g} % {rate:.2f} %"
            if figure.area:
                area = 100 * metrics.auc(errors, figure.area)
                told += f", AUC@{100 * figure.area:g} {area:.2f} %"
            shares[told] = metrics.ced(errors, levels)
        draw_curves(
            axes, levels, [(label, share, False) for label, share in shares.items()], (),
            f"{head}normalised mean error of a face, % of "
            f"{NAMES[column.normaliser]} ({' or '.join(sorted(faces))} faces)",
            "faces with no larger error, %",
        )  # fmt: skip
        curves |= {head + label: share for label, share in shares.items()}
    picture.savefig(path)
    return levels, curves


def _errors(results: Results, column: Column, work) -> np.ndarray:
    """NME of each face of the column, or of all faces if none is in its subset."""
    errors = results.normalised(column.normaliser)
    if column.region:
        errors = errors[:, list(results.scheme.regions[column.region])]
    if column.subset in LISTED:
        chosen = np.isin(results.ids, work.listed) == (column.subset == "listed")
        if not chosen.any():
            raise InputError(f"{work.ids}: no face is {column.head}; mend the list")
    else:
        chosen = results.subset(column.subset)
    return metrics.over_points(errors)[chosen if chosen.any() else slice(None)]


def validations(workdir: Path) -> list[tuple[int, float]]:
    """Step and validation NME, a fraction, of a run's metrics.

    Raises InputError if there are none.
    """
    found = [(row["step"], row["val_nme"]) for row in history.rows(workdir) if "val_nme" in row]
    if not found:
        raise InputError(f"{workdir}: was not validated; set data.val or data.holdout")
    return found


def draw_convergence(path: Path, title: str, curves: dict[str, list[tuple[int, float]]]) -> None:
    """Draw the validation NME over steps, a line for each model."""
    picture = Picture(figsize=(7.5, 5.0), dpi=150, layout="constrained")
    axes = picture.add_subplot(
        title=title, xlabel="training step", ylabel="validation NME, %", yscale="log"
    )
    for label, pairs in curves.items():
        steps, errors = zip(*pairs, strict=True)
        axes.plot(steps, 100 * np.array(errors), label=label)
    axes.grid(which="both", color="0.92")
    axes.legend()
    picture.savefig(path)
