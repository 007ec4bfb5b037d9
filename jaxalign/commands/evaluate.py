"""Score a checkpoint on a prepared data set, and leave a report.

example: python evaluate.py --ckpt runs/first --data ibug_300w/lfpw_test --report runs/first/report
"""

import argparse
import dataclasses
import datetime
import shlex
import sys

from jaxalign.commands import run
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="needs: the --workdir of a training run and a data set made by prepare.py",
    )
    parser.add_argument("--ckpt", required=True, help="a run's work directory, or one of its steps")
    parser.add_argument("--which", default="best", choices=["best", "latest"],
                        help="which step of a work directory (default: %(default)s)")  # fmt: skip
    parser.add_argument("--data", default="", help="NAME/SPLIT; default: the recipe's test data")
    parser.add_argument("--data-dir", default=DEFAULT_DATA_DIR, help="default: %(default)s")
    parser.add_argument("--box", choices=["landmarks", "dataset", "detector"],
                        help="which box is cropped (default: the recipe's)")  # fmt: skip
    parser.add_argument("--flip-test", action="store_true",
                        help="average with the prediction on the mirrored crop")  # fmt: skip
    parser.add_argument("--report", help="folder for table, curves, pictures and predictions")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--require", default="", choices=["cpu", "gpu", "tpu"],
                        help="refuse to run on anything else")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    command = shlex.join(["evaluate.py", *(sys.argv[1:] if argv is None else argv)])
    return run(lambda: _evaluate(arguments, command))


def _evaluate(arguments, command):
    from jaxalign import parallel
    from jaxalign.errors import InputError
    from jaxalign.evaluation.predict import Predictor, predict_source
    from jaxalign.evaluation.report import print_table, summarise, write_report
    from jaxalign.pipeline import crop_face
    from jaxalign.protocols import protocol_for
    from jaxalign.recipe import to_json
    from jaxalign.sources import benchmark_of, open_source
    from jaxalign.training import checkpoints

    device = parallel.start(arguments.require)
    print(f"device: {device}", flush=True)
    if arguments.batch < 1:
        raise InputError(f"--batch {arguments.batch}: must be 1 or more")
    recipe, variables, step = checkpoints.load(arguments.ckpt, arguments.which)
    data, system = recipe.data, recipe.system
    spec = arguments.data or data.test or data.val
    if not spec:
        raise InputError("the recipe names no test data; give --data NAME/SPLIT")
    crop = dataclasses.replace(data.crop, box=arguments.box or data.crop.box)
    source = open_source(spec, system.points, arguments.data_dir)
    results = predict_source(
        Predictor(system, arguments.flip_test), variables, source, crop,
        batch=arguments.batch, threads=data.threads, progress=True,
    )  # fmt: skip
    protocol = protocol_for(benchmark_of(spec), system.points)
    print(f"{step}\non {spec}, {crop.box} boxes{', flip test' if arguments.flip_test else ''}\n")
    print(print_table(summarise(results, protocol)))
    if not arguments.report:
        return

    def cropped(index):
        row = crop_face(source[index], system.points, crop, system.size)
        return row["image"], row["matrix"]

    about = {
        "checkpoint": str(step),
        "data": spec,
        "box": crop.box,
        "flip_test": arguments.flip_test,
        "command": command,
        "device": device,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "recipe": to_json(recipe),
    }
    write_report(arguments.report, results, protocol, about, cropped)
    print(f"\nreport: {arguments.report}")


def _versions():
    from importlib.metadata import version

    names = ("jax", "flax", "optax", "orbax-checkpoint", "opencv-python-headless", "numpy")
    import jaxalign

    return {"jaxalign": jaxalign.__version__} | {name: version(name) for name in names}
