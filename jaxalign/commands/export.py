"""Export a trained checkpoint: its weights, a function for JAX, or an ONNX model.

examples:
  jaxalign export --ckpt runs/300w --out model.stablehlo
  jaxalign export --ckpt runs/300w --out model.stablehlo --data ibug_300w/lfpw_test --faces 50
  jaxalign export --ckpt runs/300w --out model.onnx --int8
  jaxalign export --ckpt runs/300w --out weights.safetensors --half --note commit=1a2b3c4

needs: a checkpoint of jaxalign train; data made by jaxalign prepare to try the file on (else faces
are drawn).
leaves: OUT. Named .safetensors, it holds the weights of the networks that predict and the recipe,
and every --ckpt takes it. Named .onnx, it is an ONNX model, which jaxalign.load and jaxalign
predict take too. Otherwise it holds the network with its weights (about their size), for any number
of faces on CPUs and CUDA devices, and OUT.json beside it tells crop size, box rule,
points, frames, versions; examples/run_exported.py shows how to use the two.
"""

import argparse

from jaxalign.commands import add_ckpt, add_data_dir, add_import, import_files, new_parser, run
from jaxalign.errors import InputError


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign export", __doc__)
    add_ckpt(parser)
    add_import(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write, such as "
                        "model.stablehlo, model.onnx, or weights.safetensors")  # fmt: skip
    parser.add_argument("--size", type=int, metavar="S", help="side of the crops in pixels, where "
                        "the system takes several (default: the recipe's)")  # fmt: skip
    parser.add_argument("--half", action="store_true",
                        help="store kernels in half precision: half the size")  # fmt: skip
    parser.add_argument("--int8", action="store_true", help="let the convolutions of an ONNX model "
                        "compute with 8 bits")  # fmt: skip
    parser.add_argument("--note", nargs="+", action="extend", default=[], metavar="NAME=TEXT",
                        dest="notes", help="texts kept in a file of weights, such as "
                        "commit=1a2b3c4")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of the recipe that leave the "
                        "network as it is, such as data.crop.landmarks.enlarge=1.1")  # fmt: skip
    parser.add_argument("--data", default="", help="NAME/SPLIT to compare on (default: "
                        "the recipe's test data; drawn faces if that is not prepared)")  # fmt: skip
    add_data_dir(parser)
    parser.add_argument("--faces", type=int, default=16, metavar="N",
                        help="how many faces to compare on, the first ones (default: "
                        "%(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _export(arguments))


def _export(arguments):
    notes = {}
    for note in arguments.notes:
        name, equals, text = note.partition("=")
        if not equals:
            raise InputError(f"--note {note}: write name=text")
        notes[name] = text
    import_files(arguments)

    from jaxalign.export import export_checkpoint

    export_checkpoint(
        arguments.ckpt, arguments.out, which=arguments.which, size=arguments.size,
        half=arguments.half, int8=arguments.int8, notes=notes, settings=arguments.settings,
        data=arguments.data, data_dir=arguments.data_dir, faces=arguments.faces,
    )  # fmt: skip
