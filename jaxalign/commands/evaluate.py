"""Score a checkpoint, or any tool's predictions, on a benchmark, and leave a report.

examples:
  python evaluate.py --ckpt runs/300w --data ibug_300w/test --report runs/300w/report
  python evaluate.py --predictions theirs.csv --data wflw/test --report theirs
  python evaluate.py --predictions theirs.jsonl --truth mine.csv --scheme ibug68
  python evaluate.py --compare runs/300w/report runs/second/report --report both
  python evaluate.py --ckpt runs/300w --boxes landmarks,detector,jitter --report boxes
  python evaluate.py --ckpt runs/300w --set data.crop.landmarks.enlarge=1.1

needs: a data set made by prepare.py (or --truth), and one of --ckpt (of train.py), --predictions
(CSV, JSONL or a JSON list of records, points in pixels of the photo, counted from 0), --compare.
leaves: the printed table, and in the --report folder report.html, tables, curves, pictures and
predictions.jsonl.
"""

import argparse
import dataclasses
import datetime
import shlex
import sys
from pathlib import Path

from jaxalign.commands import add_system, import_system, run
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ckpt", help="a run's work directory, or one of its steps")
    what.add_argument("--predictions", help="a file of predicted points: no model, no photos")
    what.add_argument("--compare", nargs="+", metavar="RUN",
                      help="reports or predictions.jsonl files of two runs or more")  # fmt: skip
    parser.add_argument("--which", default="best", choices=["best", "latest"],
                        help="which step of a work directory (default: %(default)s)")  # fmt: skip
    add_system(parser)
    parser.add_argument("--data", default="", help="NAME/SPLIT; default: the recipe's test data")
    parser.add_argument("--data-dir", default=DEFAULT_DATA_DIR,
                        help="that of prepare.py (default: %(default)s)")  # fmt: skip
    parser.add_argument("--truth", help="true points in place of --data: a file such as "
                        "--predictions takes, or a folder of annotated photos")  # fmt: skip
    parser.add_argument("--scheme", default="", help="with --predictions: the order of the points, "
                        "e.g. ibug68 (default: the data set's, if it has one)")  # fmt: skip
    parser.add_argument("--found-only", action="store_true", help="with --predictions: faces "
                        "without a line are left out and counted, as papers score tools that "
                        "detect faces first")  # fmt: skip
    parser.add_argument("--box", choices=["landmarks", "dataset", "detector"],
                        help="which box is cropped (default: the recipe's)")  # fmt: skip
    parser.add_argument("--boxes", metavar="KINDS", help="one checkpoint under several boxes, of "
                        "landmarks,dataset,detector,jitter")  # fmt: skip
    parser.add_argument("--flip-test", action="store_true",
                        help="average with the prediction on the mirrored crop")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of the checkpoint's recipe that "
                        "leave its network as it is, e.g. system.beyond_box=False")  # fmt: skip
    parser.add_argument("--report", help="folder for the report (default: none is written)")
    parser.add_argument("--batch", type=int, default=32,
                        help="faces at a time (default: %(default)s)")  # fmt: skip
    parser.add_argument("--require", default="", choices=["cpu", "gpu", "tpu"],
                        help="refuse to run on anything else")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    command = shlex.join(["evaluate.py", *(sys.argv[1:] if argv is None else argv)])
    if arguments.compare:
        work = _compare
    elif arguments.predictions:
        work = _score_predictions
    else:
        work = _try_boxes if arguments.boxes else _score_checkpoint
    return run(lambda: _check(arguments) or work(arguments, command))


def _check(arguments):
    from jaxalign.errors import InputError

    for name in ("system", "box", "boxes", "flip_test"):
        if getattr(arguments, name) and not arguments.ckpt:
            raise InputError(f"--{name.replace('_', '-')} goes with --ckpt: it is for a model")
    if arguments.settings and not arguments.ckpt:
        raise InputError("--set goes with --ckpt: it replaces fields of the checkpoint's recipe")
    for name in ("truth", "scheme", "found_only"):
        if getattr(arguments, name) and not arguments.predictions:
            raise InputError(f"--{name.replace('_', '-')} goes with --predictions")
    if arguments.box and arguments.boxes:
        raise InputError("give --box (one kind) or --boxes (several), not both")


def _score_checkpoint(arguments, command):
    model = _Model(arguments)
    crop = dataclasses.replace(model.crop, box=arguments.box or model.crop.box)
    results = model.predict(model.source, crop)
    flip = ", flip test" if arguments.flip_test else ""
    print(f"{model.step}\non {model.spec}, {crop.box} boxes{flip}\n")
    about = model.about(command, box=crop.box)
    crops = _photos(model.source, crop, model.system)
    maps = _maps(model.system, model.variables) if arguments.report else None
    _finish(arguments, results, model.protocol, about, crops, maps)


def _score_predictions(arguments, command):
    from jaxalign.errors import InputError
    from jaxalign.evaluation.compare import open_entry
    from jaxalign.evaluation.truth import read_results
    from jaxalign.protocols import protocol_for
    from jaxalign.sources import benchmark_of

    if arguments.data and arguments.truth:
        raise InputError("give --data or --truth, not both: they say where the true points are")
    benchmark, crops, found = benchmark_of(arguments.data), None, ""
    if arguments.data or arguments.truth:
        truth, crops = _truth(arguments)
        results = read_results(arguments.predictions, truth, arguments.found_only)
        if arguments.found_only:
            found = f"{len(results)} of {len(truth.ids)}"
    elif Path(arguments.predictions).suffix == ".jsonl":  # evaluate.py's own hold their truth
        entry = open_entry(arguments.predictions)
        results, benchmark = entry.results, entry.benchmark
    else:
        raise InputError("true points are needed: give --data NAME/SPLIT, or --truth and --scheme")
    print(f"{arguments.predictions}\non {arguments.data or arguments.truth or 'its own truth'}\n")
    if found:
        print(f"the {found} faces that have a prediction\n")
    about = {
        "predictions": arguments.predictions,
        "found_only": found,
        "data": arguments.data or arguments.truth,
        "benchmark": benchmark,
        **_circumstances(command),
    }
    _finish(arguments, results, protocol_for(benchmark, results.scheme), about, crops)


def _compare(arguments, command):
    from jaxalign.errors import InputError
    from jaxalign.evaluation import compare
    from jaxalign.evaluation.tables import to_text
    from jaxalign.protocols import protocol_for
    from jaxalign.sources import benchmark_of

    if len(arguments.compare) < 2:
        raise InputError("--compare needs two runs or more: folders of reports or predictions")
    if len(set(arguments.compare)) < len(arguments.compare):
        raise InputError("--compare names a run twice; name each once")
    entries = compare.aligned([compare.open_entry(path) for path in arguments.compare])
    benchmark = benchmark_of(arguments.data) or entries[0].benchmark
    protocol = protocol_for(benchmark, entries[0].results.scheme)
    comparison = compare.compare(entries, protocol)
    for subset in dict.fromkeys(row["subset"] for row in comparison["rows"]):
        print(to_text(compare.comparison_table(comparison, subset)) + "\n")
    if arguments.report:
        about = {"benchmark": benchmark, **_circumstances(command)}
        about |= {"SHA-256 of the ids": entries[0].results.fingerprints()["ids"]}
        compare.write_comparison(arguments.report, entries, comparison, protocol, about)
        print(f"report: {arguments.report}")


def _try_boxes(arguments, command):
    from jaxalign.evaluation import boxes
    from jaxalign.evaluation.tables import to_text

    kinds = boxes.parse_kinds(arguments.boxes)
    model = _Model(arguments)
    faces, kinds, notes = boxes.comparable(model.source, kinds)
    print(f"{model.step}\non {len(faces)} faces of {model.spec}")

    def predict(source, kind):
        return model.predict(source, dataclasses.replace(model.crop, box=kind))

    rows = boxes.sensitivity(faces, kinds, predict, model.protocol)
    table = boxes.sensitivity_table(rows, model.protocol)
    print("\n".join(["", to_text(table), *(f"note: {note}" for note in notes)]))
    if arguments.report:
        about = model.about(command, boxes=",".join(kinds), notes=notes)
        boxes.write_boxes(arguments.report, rows, table, model.protocol, about)
        print(f"\nreport: {arguments.report}")


class _Model:
    """A loaded checkpoint with the data it is to be tried on."""

    def __init__(self, arguments):
        from jaxalign import checkpoints, parallel
        from jaxalign.errors import InputError
        from jaxalign.protocols import protocol_for
        from jaxalign.sources import benchmark_of, open_source

        self.device = parallel.start(arguments.require)
        print(f"device: {self.device}", flush=True)
        if arguments.batch < 1:
            raise InputError(f"--batch {arguments.batch}: must be 1 or more")
        import_system(arguments)
        recipe, self.variables, self.step = checkpoints.load(arguments.ckpt, arguments.which)
        self.recipe = _overridden(recipe, arguments.settings, self.variables)
        data, self.system = self.recipe.data, self.recipe.system
        if self.system.note:
            print(self.system.note)
        self.spec = arguments.data or data.test or data.val
        if not self.spec:
            raise InputError("the recipe names no test data; give --data NAME/SPLIT")
        self.crop, self.threads = data.crop, data.threads
        self.flip_test, self.batch = arguments.flip_test, arguments.batch
        self.source = open_source(self.spec, self.system.points, arguments.data_dir)
        self.benchmark = benchmark_of(self.spec)
        self.protocol = protocol_for(self.benchmark, self.system.points)
        self.predictor = None

    def predict(self, source, crop):
        from jaxalign.evaluation.model import predict_source
        from jaxalign.prediction.predictor import Predictor

        self.predictor = self.predictor or Predictor(self.system, self.flip_test)
        return predict_source(
            self.predictor, self.variables, source, crop,
            batch=self.batch, threads=self.threads, progress=True,
        )  # fmt: skip

    def about(self, command, **more):
        from jaxalign.recipe import to_json

        return {
            "checkpoint": str(self.step),
            "note": self.system.note,
            "data": self.spec,
            "benchmark": self.benchmark,
            **more,
            "flip_test": self.flip_test,
            "device": self.device,
            **_circumstances(command),
            "recipe": to_json(self.recipe),
        }


def _overridden(recipe, settings, variables):
    """The recipe with those settings; InputError where `variables` are not its network's."""
    if not settings:
        return recipe

    import jax

    from jaxalign.errors import InputError
    from jaxalign.recipe import override
    from jaxalign.training.initial import arrays_of

    def shapes(tree):
        return {key: leaf.shape for key, leaf in arrays_of(tree).items()}

    recipe = override(recipe, settings)
    made = jax.eval_shape(recipe.system.init, jax.random.key(0))
    if shapes(made) != shapes(variables):
        raise InputError(
            f"--set {' '.join(settings)} changes the network, so that the checkpoint's weights do "
            "not fit; train it so, or set other fields"
        )
    return recipe


def _finish(arguments, results, protocol, about, crops, maps=None):
    """Prints the protocol's rows; writes the report where one is asked for."""
    from jaxalign.evaluation.report import write_report
    from jaxalign.evaluation.summary import summarise
    from jaxalign.evaluation.tables import print_table

    summary = summarise(results, protocol)
    print(print_table(summary))
    if arguments.report:
        write_report(arguments.report, results, protocol, about, crops, summary, maps)
        print(f"\nreport: {Path(arguments.report) / 'report.html'}")


def _truth(arguments):
    """The true points that --data or --truth names, and the crops of their photos if any."""
    from jaxalign.errors import InputError
    from jaxalign.evaluation.truth import read_truth, truth_of
    from jaxalign.pipeline import Crop
    from jaxalign.schemes import SCHEMES
    from jaxalign.sources import open_folder, open_source

    name = arguments.scheme or _only_scheme(arguments.data)
    if name not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise InputError(f"--scheme {name}: unknown; choose one of {known}" if name else
                         f"give --scheme, the order of the points: {known}")  # fmt: skip
    scheme = SCHEMES[name]
    if arguments.data:
        source = open_source(arguments.data, scheme, arguments.data_dir)
    elif Path(arguments.truth).is_dir():
        source = open_folder(arguments.truth, scheme, split="test")
    else:
        return read_truth(arguments.truth, scheme), None
    truth = truth_of(source, arguments.data or arguments.truth, scheme)
    return truth, _photos(source, Crop(), None)


def _only_scheme(spec):
    from jaxalign.datasets import BENCHMARKS
    from jaxalign.sources import benchmark_of

    benchmark = BENCHMARKS.get(benchmark_of(spec))
    return benchmark.schemes[0] if benchmark and len(benchmark.schemes) == 1 else ""


def _photos(source, crop, system):
    """index -> the face's square crop and its matrix, by the system's size or 256 pixels."""
    from jaxalign.pipeline import crop_face

    def cropped(index):
        row = crop_face(source[index], source.scheme, crop, system.size if system else 256)
        return row["image"], row["matrix"]

    return cropped


def _maps(system, variables):
    """crop -> the maps that the system shows over it, by name; None where it shows none."""
    import jax
    import numpy as np

    crop = jax.ShapeDtypeStruct((1, system.size, system.size, 3), np.uint8)
    if not jax.eval_shape(system.shown, variables, crop):
        return None
    shown, variables = jax.jit(system.shown), jax.device_put(variables)

    def mapped(crop):
        maps = shown(variables, crop[None])
        return {name: np.asarray(found[0], np.float32) for name, found in maps.items()}

    return mapped


def _circumstances(command):
    from importlib.metadata import version

    import jaxalign

    names = ("jax", "flax", "optax", "orbax-checkpoint", "opencv-python-headless", "numpy")
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"jaxalign": jaxalign.__version__} | {n: version(n) for n in names},
    }
