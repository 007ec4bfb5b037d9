"""Reckon what the training of a recipe takes on a GPU or TPU: memory, batch, hours, cost.

examples:
  jaxalign plan propnet_wflw --device h100 v5e
  jaxalign plan tab_wflw gv_hrnet_wflw --device a100 --devices 8 --price 2
  jaxalign plan fan_ibug_300w --device v5e --set system.dtype=bfloat16 system.remat=True
  jaxalign plan integral_ibug_300w --device h100 --compile

needs: nothing; no accelerator, no data. leaves: the printed table, in Markdown.

Each step is traced at its full size, and lowered for a GPU, whatever the device; with batches in
parts, one part is. `TFLOP` are multiplications and additions of a step, on one device. `memory` is
the state (weights, averaged weights, optimisers), its gradients twice, and what JAX keeps for the
gradients, counted from the shapes of the arrays; XLA's own working memory is not in it. `fits` is
the largest share of a batch that fits, in three quarters of a GPU's memory, which JAX takes by
default, or a TPU's. `step` is the time at the limits of the device's data sheet: the first number
about that of a program where XLA joins all operations that it can, the second of one where it joins
none. Real ones reach a part of a device's peak, and several devices exchange gradients, which is in
neither number. `hours` and `cost` are of the whole training by these two, with the published number
of training faces.

With --compile, XLA compiles each step for the first device of this machine, which takes minutes,
and `compiled` is the memory that its program takes there.
"""

import argparse

from jaxalign.commands import add_import, import_files, new_parser, run
from jaxalign.errors import InputError


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign plan", __doc__)
    add = parser.add_argument
    add("recipes", nargs="+", metavar="RECIPE", help="recipe files, or names of the package's")
    add("--device", required=True, nargs="+", help="some of a100, h100, h200, v5e")
    add("--devices", type=int, default=1, metavar="N",
        help="how many share the batch (default: %(default)s)")  # fmt: skip
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings",
        help="replace fields of each recipe")  # fmt: skip
    add_import(parser)
    add("--faces", type=int, metavar="N", help="faces of the training set (default: as published)")
    add("--price", type=float, metavar="USD", help="of a device for an hour, for the cost")
    add("--compile", action="store_true", help="compile the steps here, for their memory")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _plan(arguments))


def _plan(arguments):
    for name in ("devices", "faces"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise InputError(f"--{name} {value}: must be 1 or more")
    if arguments.price is not None and not 0 <= arguments.price < float("inf"):
        raise InputError(f"--price {arguments.price}: must be 0 or more")

    from jaxalign import parallel
    from jaxalign import recipe as recipes
    from jaxalign.evaluation.tables import to_markdown
    from jaxalign.papers.recipes import faces
    from jaxalign.training import planning

    parallel.choose("" if arguments.compile else "cpu")
    import_files(arguments)
    for name in arguments.device:
        if name not in planning.CARDS:
            known = ", ".join(planning.CARDS)
            raise InputError(f"--device {name}: not known here; there are: {known}")
    given = []
    for name in arguments.recipes:
        recipe = recipes.override(recipes.load(name), arguments.settings)
        given.append((name, recipe, arguments.faces or faces(recipe)))
    print(to_markdown(planning.table(
        given, arguments.device, arguments.devices, arguments.price, arguments.compile
    )))  # fmt: skip
