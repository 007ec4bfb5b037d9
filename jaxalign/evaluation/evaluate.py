"""Evaluations from files to the printed table and the report: of a model, of any tool's
predictions, of several runs, of several boxes.

`report` is a folder for the report, none where it is empty; `command` is noted there.
Errors of all of them: InputError for what the user can mend.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jaxalign
from jaxalign import folders, history, scheme_files, weights
from jaxalign.datasets import BENCHMARKS
from jaxalign.errors import InputError
from jaxalign.evaluation import boxes, compare
from jaxalign.evaluation.model import Model, shown_maps
from jaxalign.evaluation.report import KIND, PATTERNS, write_report
from jaxalign.evaluation.summary import headed, summarise
from jaxalign.evaluation.tables import print_table, to_text
from jaxalign.evaluation.truth import read_results, read_truth, truth_of
from jaxalign.pipeline import Crop, crop_face
from jaxalign.protocols import protocol_for
from jaxalign.schemes import SCHEMES
from jaxalign.sources import DEFAULT_DATA_DIR, benchmark_of, open_folder, open_source


def score(model: Model, *, box: str = "", report: Path | str = "", command: str = "") -> dict:
    """A model on its faces, cropped by one kind of box (default: the recipe's).

    Returns the summary of evaluation.summary.summarise.
    """
    _check_report(report)
    noted = history.of_step(model.step) if report else []
    crop = model.recipe.data.crop
    crop = replace(crop, box=box or crop.box)
    results = model.predict(model.source, crop)
    told = f"on {model.source.name}, {crop.box} boxes{model.extras}{_converted(model)}"
    print(f"{weights.told(model.step)}\n{told}{_reduced(model.source)}\n")
    about = model.about(box=crop.box, **_circumstances(command))
    crops = _photos(model.source, crop, model.system.size)
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
    """A file of points of any tool, or `jaxalign predict`'s faces.json, against the true points of
    `data` (NAME/SPLIT), or of `truth`, a file or a folder; predictions.jsonl of a report holds its
    own.

    `scheme` names the order of the points, where the data set has several. `found_only` leaves
    faces out that have no prediction. Returns the summary.
    """
    if data and truth:
        raise InputError("give --data or --truth, not both: they say where the true points are")
    _check_report(report)
    benchmark, crops, found = benchmark_of(data), None, ""
    if data or truth:
        wanted, crops = _truth(data, truth, scheme, data_dir)
        results = read_results(predictions, wanted, found_only)
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
    """Two reports or predictions.jsonl or more, face by face; `data` (NAME/SPLIT) names the
    benchmark whose protocol counts. Returns the comparison of evaluation.compare.compare."""
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
    """A model under several kinds of box, of boxes.KINDS. Returns the rows of boxes.sensitivity."""
    _check_report(report, boxes.KIND, boxes.FILES)
    faces, kinds, notes = boxes.comparable(model.source, kinds)
    told = f"on {len(faces)} faces of {model.source.name}{model.extras}{_converted(model)}"
    print(f"{weights.told(model.step)}\n{told}{_reduced(model.source)}")

    def predict(source, kind):
        return model.predict(source, replace(model.recipe.data.crop, box=kind))

    rows = boxes.sensitivity(faces, kinds, predict, model.protocol)
    table = boxes.sensitivity_table(rows, model.protocol)
    print("\n".join(["", to_text(table), *(f"note: {note}" for note in notes)]))
    if report:
        about = model.about(boxes=",".join(kinds), notes=notes, **_circumstances(command))
        boxes.write_boxes(report, rows, table, model.protocol, about)
        print(f"\nreport: {report}")
    return rows


def _check_report(folder, kind=KIND, files=PATTERNS):
    """Errors: InputError, before anything is computed, where no report can be written there."""
    if folder:
        folders.check(Path(folder), kind, files)


def _finish(results, protocol, about, *, report, **shown):
    """Prints the protocol's rows; writes the report where one is asked for."""
    protocol = headed(protocol, results)
    summary = summarise(results, protocol)
    print(print_table(summary))
    if report:
        write_report(report, results, protocol, about, summary=summary, **shown)
        print(f"\nreport: {Path(report) / 'report.html'}")
    return summary


def _converted(model):
    """A line that says so where the model's points are converted to the data's."""
    return f"\nits points are converted, {model.converted}" if model.converted else ""


def _reduced(source):
    """A line that says so where the photos were reduced as they were prepared."""
    return f"\n{source.reduction.told}" if source.reduction else ""


def _truth(data, truth, scheme, data_dir):
    """The true points that `data` or `truth` names, and the crops of their photos if any."""
    name = scheme or _only_scheme(data)
    if name.endswith(scheme_files.ENDING):
        name = scheme_files.registered(name)
    if name not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise InputError(f"--scheme {name}: unknown; choose one of {known}" if name else
                         f"give --scheme, the order of the points: {known}")  # fmt: skip
    scheme = SCHEMES[name]
    if data:
        source = open_source(data, scheme, data_dir)
    elif Path(truth).is_dir():
        source = open_folder(truth, scheme, split="test")
    else:
        return read_truth(truth, scheme), None
    return truth_of(source, str(data or truth), scheme), _photos(source, Crop(), 256)


def _only_scheme(spec):
    benchmark = BENCHMARKS.get(benchmark_of(spec))
    return benchmark.schemes[0] if benchmark and len(benchmark.schemes) == 1 else ""


def _photos(source, crop, size):
    """index -> the face's square crop of `size` pixels and its matrix."""

    def cropped(index):
        row = crop_face(source[index], source.scheme, crop, size)
        return row["image"], row["matrix"]

    return cropped


def _circumstances(command):
    names = ("jax", "flax", "optax", "orbax-checkpoint", "opencv-python-headless", "numpy")
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"jaxalign": jaxalign.__version__} | {n: version(n) for n in names},
    }
