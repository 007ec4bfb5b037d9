"""Train a recipe: phases, checkpoints, logs; or print what its model costs.

examples:
  python train.py --config configs/integral_ibug_300w.py --workdir runs/300w
  python train.py --config configs/integral_ibug_300w.py --dry-run

needs: a recipe, and the data set that it names, made by prepare.py.
leaves: in the work directory checkpoints/, metrics.jsonl, tensorboard/ and recipe.json.
"""

import argparse
from pathlib import Path

from jaxalign.commands import add_system, import_system, run
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="recipe file, or its name in configs/")
    parser.add_argument("--workdir", help="where the run is kept (needed but for --dry-run)")
    parser.add_argument("--data-dir", default=DEFAULT_DATA_DIR,
                        help="that of prepare.py (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings",
        help="replace fields of the recipe, e.g. system.stacks=2 training.batch=32",
    )  # fmt: skip
    parser.add_argument("--init-from", metavar="PATH",
                        help="start from PyTorch weights (.pth, .safetensors) or from another "
                        "--workdir (default: random values)")  # fmt: skip
    add_system(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the latest "
                        "checkpoint of the work directory, if there is one")  # fmt: skip
    parser.add_argument("--require", default="", choices=["cpu", "gpu", "tpu"],
                        help="refuse to run on anything else")  # fmt: skip
    parser.add_argument("--distributed", action="store_true", help="join the other hosts first: "
                        "each of them runs this command")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the layers, parameters "
                        "and multiply-adds; train nothing")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _train(arguments))


def _train(arguments):
    from jaxalign import costs
    from jaxalign import recipe as recipes
    from jaxalign.errors import InputError

    import_system(arguments)
    settings = arguments.settings
    if arguments.init_from:
        settings = [*settings, f"training.init_from={arguments.init_from!r}"]
    recipe = recipes.override(recipes.load(arguments.config), settings)
    if recipe.system.note:
        print(recipe.system.note)
    if arguments.dry_run:
        print(costs.table(recipe.system))
        return
    if not arguments.workdir:
        raise InputError("--workdir is needed: the folder for checkpoints and metrics")

    from jaxalign import parallel
    from jaxalign.sources import benchmark_of, first, hold_out, open_source
    from jaxalign.systems import SYSTEMS
    from jaxalign.training.loop import Run

    print(f"device: {parallel.start(arguments.require, arguments.distributed)}", flush=True)
    data, scheme = recipe.data, recipe.system.points
    train, val = open_source(data.train, scheme, arguments.data_dir), []
    if data.val:
        val = open_source(data.val, scheme, arguments.data_dir)
    elif data.holdout:
        train, val = hold_out(train, data.holdout)
    if data.limit:
        train, val = first(train, data.limit), val and first(val, data.limit)
    print(f"faces: {len(train)} to train on, {len(val)} to validate on", flush=True)
    Run(
        recipe, train, val, Path(arguments.workdir),
        benchmark=benchmark_of(data.train), resume=arguments.resume,
    ).run()  # fmt: skip
    own = "" if type(recipe.system) in SYSTEMS.values() else f" --system {arguments.config}"
    print(f"trained: {arguments.workdir}\nnext: python evaluate.py --ckpt {arguments.workdir}{own}")
