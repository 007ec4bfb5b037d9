"""Evaluations from files to the printed table and the report.

They evaluate a model, the predictions of any tool, several runs, or several kinds of box.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

import jaxalign
from jaxalign import folders, history, weights
from jaxalign.datasets import BENCHMARKS
from jaxalign.errors import InputError
from jaxalign.evaluation import boxes, compare
from jaxalign.evaluation.model import Model, shown_maps
from jaxalign.evaluation.pictures import crops_of
from jaxalign.evaluation.report import KIND, PATTERNS, write_report
from jaxalign.evaluation.summary import headed, summarise
from jaxalign.evaluation.tables import print_table, to_text
from jaxalign.evaluation.truth import read_results, read_truth, truth_of
from jaxalign.pipeline import Crop
from jaxalign.protocols import protocol_for
from jaxalign.schemes import SCHEMES
from jaxalign.sources import DEFAULT_DATA_DIR, benchmark_of, open_folder, open_source, own_scheme


def score(model: Model, *, box: str = "", report: Path | str = "", command: str = "") -> dict:
    """Score a model on its faces, print the table, and write a report if asked.

    Args:
        model: The model and its faces (`evaluation.model.open_model`).
        box: The kind of box that is cropped. Default: the recipe's.
        report: Folder for the report. Default: none is written.
        command: The command that the report notes.

    Returns:
        The summary (`evaluation.summary.summarise`).

    Raises:
        InputError: The data or the checkpoint cannot be used, or the report cannot be written.

    Examples:
        >>> from jaxalign.evaluation.evaluate import score
        >>> from jaxalign.evaluation.model import open_model
        >>> model = open_model("runs/wflw", data="wflw/test")
        >>> summary = score(model, report="report")
        >>> nme = summary["rows"][-1]["inter_ocular"]["nme"]  # of all faces, a fraction
    """
    _check_report(report)
    noted = history.of_step(model.step) if report else []
    crop = model.recipe.data.crop
    crop = replace(crop, box=box or crop.box)
    results = model.predict(model.source, crop)
    told = f"on {model.source.name}, {crop.box} boxes{model.extras}{_converted(model)}"
    print(f"{weights.told(model.step)}\n{told}{_reduced(model.source)}\n")
    about = model.about(box=crop.box, **_circumstances(command))
    crops = crops_of(model.source, model.source.scheme, crop, model.system.size)
    maps = shown_maps(model.system, model.variables) if report else None
    return _finish(
        results, model.protocol, about, report=report, crops=crops, maps=maps, history=noted,
        step=int(model.step.name) if noted else 0,
    )  # fmt: skip


def score_predictions(
    predictions: Path | str,
    *,
    data: str = "",
    truth: Path | str = "",
    scheme: str = "",
    found_only: bool = False,
    data_dir: Path | str = DEFAULT_DATA_DIR,
    report: Path | str = "",
    command: str = "",
) -> dict:
    """Score the points of any tool, print the table, and write a report if asked.

    A predictions.jsonl of a report holds its own true points; other files need `data` or `truth`.

    Args:
        predictions: A file of points (`records.read_records`), or the faces.json of `jaxalign
            predict`.
        data: Prepared data with the true points, as NAME/SPLIT.
        truth: A file or a folder with the true points, in place of `data`.
        scheme: The scheme of the points, if the data set has several.
        found_only: Leaves faces out that have no prediction.
        data_dir: Folder of the prepared data.
        report: Folder for the report. Default: none is written.
        command: The command that the report notes.

    Returns:
        The summary (`evaluation.summary.summarise`).

    Raises:
        InputError: No true points are named, or both `data` and `truth`; the photos were reduced
            when they were prepared; or a file cannot be read, the faces do not match, or the report
            cannot be written.

    Examples:
        >>> from jaxalign.evaluation.evaluate import score_predictions
        >>> summary = score_predictions("points.csv", data="wflw/test")
    """
    if data and truth:
        raise InputError("give --data or --truth, not both: they say where the true points are")
    _check_report(report)
    benchmark, crops, found = benchmark_of(data), None, ""
    if data or truth:
        wanted, source = _truth(data, truth, scheme, data_dir)
        results = read_results(predictions, wanted, found_only)
        if source is not None:
            rows = dict(zip(wanted.ids, source.chosen, strict=True))
            kept = replace(source, chosen=[rows[name] for name in results.ids])
            crops = crops_of(kept, kept.scheme, Crop(), 256)
        if found_only:
            found = f"{len(results)} of {len(wanted.ids)}"
    elif Path(predictions).suffix == ".jsonl":
        entry = compare.open_entry(predictions)
        results, benchmark = entry.results, entry.benchmark
    else:
        raise InputError("true points are needed: give --data NAME/SPLIT, or --truth and --scheme")
    print(f"{predictions}\non {data or truth or 'its own truth'}\n")
    if found:
        print(f"the {found} faces that have a prediction\n")
    about = {
        "predictions": str(predictions),
        "found_only": found,
        "data": str(data or truth),
        "benchmark": benchmark,
        **_circumstances(command),
    }
    protocol = protocol_for(benchmark, results.scheme)
    return _finish(results, protocol, about, report=report, crops=crops)


def compare_runs(
    runs: Sequence[Path | str], *, data: str = "", report: Path | str = "", command: str = ""
) -> dict:
    """Compare two runs or more, face by face, print the tables, and write a report if asked.

    Args:
        runs: Folders of reports, or files predictions.jsonl, of the same faces.
        data: NAME/SPLIT of the benchmark whose protocol is used. Default: that of the first report.
        report: Folder for the report. Default: none is written.
        command: The command that the report notes.

    Returns:
        The comparison (`evaluation.compare.compare`).

    Raises:
        InputError: There are fewer than two runs, a run comes twice, their faces are not the same,
            or the report cannot be written.
    """
    if len(runs) < 2:
        raise InputError("--compare needs two runs or more: folders of reports or predictions")
    if len(set(runs)) < len(runs):
        raise InputError("--compare names a run twice; name each once")
    _check_report(report, compare.KIND, compare.FILES)
    entries = compare.aligned([compare.open_entry(path) for path in runs])
    benchmark = benchmark_of(data) or entries[0].benchmark
    first = entries[0].results
    protocol = headed(protocol_for(benchmark, first.scheme), first)
    comparison = compare.compare(entries, protocol)
    for subset in dict.fromkeys(row["subset"] for row in comparison["rows"]):
        print(to_text(compare.comparison_table(comparison, subset)) + "\n")
    if report:
        about = {"benchmark": benchmark, **_circumstances(command)}
        about |= {"SHA-256 of the ids": first.fingerprints()["ids"]}
        compare.write_comparison(report, entries, comparison, protocol, about)
        print(f"report: {report}")
    return comparison


def try_boxes(
    model: Model, kinds: Sequence[str], *, report: Path | str = "", command: str = ""
) -> list[dict]:
    """Score a model under several kinds of box, print the table, and write a report if asked.

    Args:
        model: The model and its faces (`evaluation.model.open_model`).
        kinds: Kinds of box, of `evaluation.boxes.KINDS`.
        report: Folder for the report. Default: none is written.
        command: The command that the report notes.

    Returns:
        The rows of `evaluation.boxes.sensitivity`.

    Raises:
        InputError: No face has these boxes, or the report cannot be written.
    """
    _check_report(report, boxes.KIND, boxes.FILES)
    faces, kinds, notes = boxes.comparable(model.source, kinds)
    told = f"on {len(faces)} faces of {model.source.name}{model.extras}{_converted(model)}"
    print(f"{weights.told(model.step)}\n{told}{_reduced(model.source)}")

    def predict(source, kind):
        return model.predict(source, replace(model.recipe.data.crop, box=kind))

    truth = truth_of(faces, model.source.name, model.source.scheme)
    protocol = headed(model.protocol, truth.with_predictions(np.nan_to_num(truth.points)))
    rows = boxes.sensitivity(faces, kinds, predict, protocol)
    table = boxes.sensitivity_table(rows, protocol)
    print("\n".join(["", to_text(table), *(f"note: {note}" for note in notes)]))
    if report:
        about = model.about(boxes=",".join(kinds), notes=notes, **_circumstances(command))
        boxes.write_boxes(report, rows, table, protocol, about)
        print(f"\nreport: {report}")
    return rows


def _check_report(folder, kind=KIND, files=PATTERNS):
    """Raise InputError, before anything is computed, if no report can be written there."""
    if folder:
        folders.check(Path(folder), kind, files)


def _finish(results, protocol, about, *, report, **shown):
    """Print the protocol's rows, and write the report if one is asked for."""
    protocol = headed(protocol, results)
    summary = summarise(results, protocol)
    print(print_table(summary))
    if report:
        write_report(report, results, protocol, about, summary=summary, **shown)
        print(f"\nreport: {Path(report) / 'report.html'}")
    return summary


def _converted(model):
    """A line that says that the model's points are converted to the data's, if they are."""
    return f"\nits points are converted, {model.converted}" if model.converted else ""


def _reduced(source):
    """A line that says that the photos were reduced when they were prepared, if they were."""
    return f"\n{source.reduction.told}" if source.reduction else ""


def _truth(data, truth, scheme, data_dir):
    """The true points that `data` or `truth` names, and the faces with their photos if any."""
    name = scheme or _only_scheme(data)
    if name not in SCHEMES:
        own = own_scheme(data, data_dir)  # of the user, which the data hold
        name = name or own
    if name not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise InputError(f"--scheme {name}: unknown; choose one of {known}" if name else
                         f"give --scheme, the order of the points: {known}")  # fmt: skip
    scheme = SCHEMES[name]
    if data:
        source = open_source(data, scheme, data_dir)
        if source.reduction:
            raise InputError(
                f"{data}: {source.reduction.told}, but points of other tools are of whole photos; "
                f"prepare {benchmark_of(data)} again with --max-face 0 --overwrite (a report's "
                "predictions.jsonl needs no --data)"
            )
    elif Path(truth).is_dir():
        source = open_folder(truth, scheme, split="test")
    else:
        return read_truth(truth, scheme), None
    return truth_of(source, str(data or truth), scheme), source


def _only_scheme(spec):
    benchmark = BENCHMARKS.get(benchmark_of(spec))
    return benchmark.schemes[0] if benchmark and len(benchmark.schemes) == 1 else ""


def _circumstances(command):
    names = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
    versions = {"jaxalign": jaxalign.__version__, "opencv": cv2.__version__}
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions | {name: version(name) for name in names},
    }
