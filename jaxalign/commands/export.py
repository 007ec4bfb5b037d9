"""Export a trained checkpoint as one file that JAX runs without jaxalign, and try it.

examples:
  jaxalign export --ckpt runs/300w --out model.stablehlo
  jaxalign export --ckpt runs/300w --out model.stablehlo --data ibug_300w/lfpw_test --faces 50

needs: a checkpoint of jaxalign train; data made by jaxalign prepare to try the file on (else faces
are drawn).
leaves: OUT, the network with its weights (about their size), for any number of faces on CPUs and
CUDA devices, and OUT.json: crop size, box rule, points, frames, versions. examples/run_exported.py
shows how to use the two.
"""

import argparse

from jaxalign.commands import add_data_dir, add_import, add_which, import_files, new_parser, run


def parser() -> argparse.ArgumentParser:
    parser = new_parser("export", __doc__)
    parser.add_argument("--ckpt", required=True, help="a run's work directory, or one of its steps")
    add_which(parser)
    add_import(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="such as model.stablehlo")
    parser.add_argument("--size", type=int, metavar="S", help="side of the crops in pixels, where "
                        "the system takes several (default: the recipe's)")  # fmt: skip
    parser.add_argument("--data", default="", help="NAME/SPLIT to compare on (default: "
                        "the recipe's test data; drawn faces if that is not prepared)")  # fmt: skip
    add_data_dir(parser)
    parser.add_argument("--faces", type=int, default=16, metavar="N",
                        help="how many of them, the first (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _export(arguments))


def _export(arguments):
    import_files(arguments)

    from jaxalign.export import export_checkpoint

    export_checkpoint(
        arguments.ckpt, arguments.out, which=arguments.which, size=arguments.size,
        data=arguments.data, data_dir=arguments.data_dir, faces=arguments.faces,
    )  # fmt: skip
