"""Score a checkpoint, or any tool's predictions, on a benchmark, and leave a report.

examples:
  jaxalign evaluate --ckpt runs/300w --data ibug_300w/test --report runs/300w/report
  jaxalign evaluate --ckpt drawn --data ibug_300w/lfpw_test
  jaxalign evaluate --predictions theirs.csv --data wflw/test --report theirs
  jaxalign evaluate --predictions theirs.jsonl --truth mine.csv --scheme ibug68
  jaxalign evaluate --predictions found/faces.json --truth photos --scheme ibug68
  jaxalign evaluate --compare runs/300w/report runs/second/report --report both
  jaxalign evaluate --ckpt runs/300w --boxes landmarks,detector,jitter --report boxes
  jaxalign evaluate --ckpt runs/union --data wflw/test
  jaxalign evaluate --ckpt runs/300w --box detector --refine 1
  jaxalign evaluate --ckpt runs/300w --set data.crop.landmarks.enlarge=1.1

needs: a data set made by jaxalign prepare (or --truth), and one of three: --ckpt, a checkpoint of
jaxalign train (drawn names the weights that come with jaxalign); --predictions, a CSV, JSONL or
JSON list of records with points in pixels of the photo, counted from 0, or the faces.json of
jaxalign predict, whose photos are found by name; --compare.
leaves: the printed table, and in the --report folder report.html, tables, curves, pictures and
predictions.jsonl.
"""

import argparse
import shlex
import sys

from jaxalign.commands import (
    CKPT,
    add_data_dir,
    add_device,
    add_import,
    add_which,
    import_files,
    new_parser,
    run,
)
from jaxalign.errors import InputError, typed


def parser(prog: str = "") -> argparse.ArgumentParser:
    parser = new_parser(prog or "jaxalign evaluate", __doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ckpt", help=CKPT)
    what.add_argument("--predictions", help="a file of predicted points: no model, no photos")
    what.add_argument("--compare", nargs="+", metavar="RUN",
                      help="reports or predictions.jsonl files of two runs or more")  # fmt: skip
    add_which(parser)
    add_import(parser)
    parser.add_argument("--data", default="", help="NAME/SPLIT; default: the recipe's test data")
    add_data_dir(parser)
    parser.add_argument("--truth", default="", help="true points in place of --data: a file in a "
                        "format of --predictions, or a folder of annotated photos")  # fmt: skip
    parser.add_argument("--scheme", default="", help="the scheme of the points to score, e.g. "
                        "ibug68, or your TOML file. With --ckpt: the checkpoint's, or one that it "
                        "converts to (default: the data set's). With --predictions: the one that "
                        "their points are in (default: the data set's, if it has one)")  # fmt: skip
    parser.add_argument("--found-only", action="store_true", help="with --predictions: faces "
                        "without a line are left out and counted, as papers score tools that "
                        "detect faces first")  # fmt: skip
    parser.add_argument("--box", default="", choices=["landmarks", "dataset", "detector"],
                        help="which box is cropped (default: the recipe's)")  # fmt: skip
    parser.add_argument("--boxes", metavar="KINDS", help="evaluate with several boxes, a list of "
                        "landmarks,dataset,detector,jitter")  # fmt: skip
    parser.add_argument("--flip-test", action="store_true",
                        help="average with the prediction on the mirrored crop")  # fmt: skip
    parser.add_argument("--refine", type=int, default=0, metavar="N",
                        help="second looks: crop again around the points found and predict once "
                        "more, N times (default: %(default)s)")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of the checkpoint's recipe that "
                        "leave its network as it is, e.g. system.beyond_box=False")  # fmt: skip
    parser.add_argument("--report", default="",
                        help="folder for the report (default: none is written)")  # fmt: skip
    parser.add_argument("--batch", type=int, default=32,
                        help="faces at a time (default: %(default)s)")  # fmt: skip
    add_device(parser)
    return parser


def main(argv: list[str] | None = None, prog: str = "") -> int:
    arguments = parser(prog).parse_args(argv)
    given = sys.argv[1:] if argv is None else argv
    return run(lambda: _evaluate(arguments, f"{typed('evaluate')} {shlex.join(given)}"))


def _evaluate(arguments, command):
    _check(arguments)

    from jaxalign import scheme_files
    from jaxalign.evaluation import evaluate
    from jaxalign.evaluation.boxes import parse_kinds
    from jaxalign.evaluation.model import open_model

    if arguments.scheme.endswith(scheme_files.ENDING):
        arguments.scheme = scheme_files.registered(arguments.scheme)
    noted = {"report": arguments.report, "command": command}
    if arguments.compare:
        evaluate.compare_runs(arguments.compare, data=arguments.data, **noted)
        return
    if arguments.predictions:
        evaluate.score_predictions(
            arguments.predictions, data=arguments.data, truth=arguments.truth,
            scheme=arguments.scheme, found_only=arguments.found_only,
            data_dir=arguments.data_dir, **noted,
        )  # fmt: skip
        return
    kinds = parse_kinds(arguments.boxes) if arguments.boxes else ()
    import_files(arguments)
    model = open_model(
        arguments.ckpt, arguments.which, data=arguments.data, data_dir=arguments.data_dir,
        scheme=arguments.scheme, settings=arguments.settings, flip_test=arguments.flip_test,
        batch=arguments.batch, require=arguments.require, refine=arguments.refine,
    )  # fmt: skip
    if kinds:
        evaluate.try_boxes(model, kinds, **noted)
    else:
        evaluate.score(model, box=arguments.box, **noted)


def _check(arguments):
    """Raises InputError for options that do not go together."""
    given = {"--import": arguments.imports, "--box": arguments.box, "--boxes": arguments.boxes,
             "--flip-test": arguments.flip_test, "--refine": arguments.refine}  # fmt: skip
    for name in (name for name, value in given.items() if value and not arguments.ckpt):
        raise InputError(f"{name} goes with --ckpt: it is for a model")
    if arguments.settings and not arguments.ckpt:
        raise InputError("--set goes with --ckpt: it replaces fields of the checkpoint's recipe")
    if arguments.scheme and arguments.compare:
        raise InputError("--scheme does not go with --compare: runs name their own")
    given = {"--truth": arguments.truth, "--found-only": arguments.found_only}
    for name in (name for name, value in given.items() if value and not arguments.predictions):
        raise InputError(f"{name} goes with --predictions")
    if arguments.box and arguments.boxes:
        raise InputError("give --box (one kind) or --boxes (several), not both")
