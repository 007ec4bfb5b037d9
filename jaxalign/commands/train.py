"""Train a recipe: phases, checkpoints, logs; or print what its model costs.

examples:
  jaxalign train --config integral_ibug_300w --workdir runs/300w
  jaxalign train --config mine.py --workdir runs/mine --set training.batch=32 --resume
  jaxalign train --config integral_ibug_300w --dry-run

needs: a recipe, and the data set that it names, made by jaxalign prepare.
leaves: in the work directory checkpoints/, metrics.jsonl, tensorboard/ and recipe.json.
"""

import argparse
import shlex

from jaxalign.commands import (
    add_data_dir,
    add_device,
    add_import,
    import_files,
    new_parser,
    run,
)
from jaxalign.errors import InputError, typed
from jaxalign.sources import DEFAULT_DATA_DIR


def parser(prog: str = "") -> argparse.ArgumentParser:
    parser = new_parser(prog or "jaxalign train", __doc__)
    parser.add_argument("--config", required=True,
                        help="recipe file, or the name of a recipe of the package")  # fmt: skip
    parser.add_argument("--workdir", help="where the run is kept, a folder or gs://BUCKET/FOLDER "
                        "(needed unless --dry-run)")  # fmt: skip
    add_data_dir(parser)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings",
        help="replace fields of the recipe, e.g. system.stacks=2 training.batch=32",
    )  # fmt: skip
    parser.add_argument("--init-from", metavar="PATH",
                        help="start from PyTorch weights (.pth, .safetensors) or from a "
                        "checkpoint, as --ckpt of jaxalign evaluate takes it (default: as the "
                        "recipe says)")  # fmt: skip
    add_import(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the latest "
                        "checkpoint of the work directory, if there is one")  # fmt: skip
    add_device(parser)
    parser.add_argument("--distributed", action="store_true", help="join the other hosts first: "
                        "each of them runs this command")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the recipe, and the "
                        "layers, parameters and multiply-adds; train nothing")  # fmt: skip
    return parser


def main(argv: list[str] | None = None, prog: str = "") -> int:
    arguments = parser(prog).parse_args(argv)
    return run(lambda: _train(arguments))


def _train(arguments):
    from jaxalign import costs, parallel
    from jaxalign import recipe as recipes

    import_files(arguments)
    settings = arguments.settings
    if arguments.init_from:
        settings = [*settings, f"training.init_from={arguments.init_from!r}"]
    recipe = recipes.override(recipes.load(arguments.config), settings)
    for line in filter(None, [recipe.system.note, *recipes.notes(recipe)]):
        print(line)
    if arguments.dry_run:
        parallel.choose("cpu")  # which is always there
        print("\n".join(recipes.fields(recipe)), costs.table(recipe.system), sep="\n\n")
        return
    if not arguments.workdir:
        raise InputError("--workdir is needed: the folder for checkpoints and metrics")

    from jaxalign.training import train

    train.train(
        recipe, arguments.workdir, arguments.data_dir, resume=arguments.resume,
        require=arguments.require, distributed=arguments.distributed,
    )  # fmt: skip
    own = [arguments.config] if recipes.has_own_parts(recipe) else []
    options = ["--ckpt", arguments.workdir]
    for file in dict.fromkeys([*arguments.imports, *own]):
        options += ["--import", file]
    options += ["--data", train.evaluable(recipe, arguments.data_dir)]
    if arguments.data_dir != DEFAULT_DATA_DIR:
        options += ["--data-dir", str(arguments.data_dir)]
    print(f"trained: {arguments.workdir}\nnext: {typed('evaluate')} {shlex.join(options)}")
