"""Export a trained checkpoint as one file that JAX runs without jaxalign, and try it.

examples:
  python export.py --ckpt runs/300w --out model.stablehlo
  python export.py --ckpt runs/300w --out model.stablehlo --data ibug_300w/lfpw_test --faces 50

needs: a checkpoint of train.py; data made by prepare.py to try the file on (else faces are drawn).
leaves: OUT, the network with its weights (about their size), for any number of faces on CPUs and
CUDA devices, and OUT.json: crop size, box rule, points, frames, versions. examples/run_exported.py
shows how to use the two.
"""

import argparse
from pathlib import Path

from jaxalign.commands import add_system, import_system, run
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ckpt", required=True, help="a run's work directory, or one of its steps")
    parser.add_argument("--which", default="best", choices=["best", "latest"],
                        help="which step of a work directory (default: %(default)s)")  # fmt: skip
    add_system(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="such as model.stablehlo")
    parser.add_argument("--size", type=int, metavar="S", help="side of the crops in pixels, where "
                        "the system takes several (default: the recipe's)")  # fmt: skip
    parser.add_argument("--data", default="", help="NAME/SPLIT to compare on (default: "
                        "the recipe's test data; drawn faces if that is not prepared)")  # fmt: skip
    parser.add_argument("--data-dir", default=DEFAULT_DATA_DIR,
                        help="that of prepare.py (default: %(default)s)")  # fmt: skip
    parser.add_argument("--faces", type=int, default=16, metavar="N",
                        help="how many of them, the first (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _export(arguments))


def _export(arguments):
    from jaxalign import checkpoints, export, parallel

    out = Path(arguments.out)
    _check(arguments, out)
    import_system(arguments)
    step = checkpoints.find_step(arguments.ckpt, arguments.which)
    print(f"device: {parallel.start()}\n{step}", flush=True)
    recipe, variables, _ = checkpoints.load(step)
    system = recipe.system
    size = system.size if arguments.size is None else arguments.size
    exported = export.lowered(system, variables, size)
    source, crop, protocol = _faces(arguments, recipe)
    export.write(out, exported, export.header(recipe, step, size))
    print(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB), {export.header_of(out)}",
          flush=True)  # fmt: skip
    found = export.compare(out, system, variables, source, crop, size)
    nme = [100 * r.nme(protocol.normaliser).mean() for r in (found.checkpoint, found.exported)]
    print(
        f"read back, and compared on {source.name}:\n"
        f"  largest difference   {found.pixels:.6f} pixels of the {size} pixel crop, "
        f"{found.scores:.6f} of a score\n"
        f"  NME ({protocol.normaliser})   checkpoint {nme[0]:.4f} %, exported {nme[1]:.4f} %, "
        f"difference {abs(nme[1] - nme[0]):.6f} %"
    )


def _check(arguments, out):
    from jaxalign.errors import InputError

    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}; make it first")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file, such as {out}/model.stablehlo")
    if arguments.faces < 1:
        raise InputError(f"--faces {arguments.faces}: must be 1 or more")


def _faces(arguments, recipe):
    """What is compared on: the source, its crop, its protocol."""
    from dataclasses import replace

    from jaxalign import export
    from jaxalign.errors import InputError
    from jaxalign.protocols import protocol_for
    from jaxalign.sources import benchmark_of, first, open_source

    scheme, data = recipe.system.points, recipe.data
    spec = arguments.data or data.test or data.val
    try:
        source = first(open_source(spec, scheme, arguments.data_dir), arguments.faces)
    except InputError as error:
        if arguments.data:
            raise
        print(f"note: drawn faces are taken to compare on: {error}")
        source = export.drawn(recipe.system, arguments.faces)
        return source, replace(data.crop, box="landmarks"), protocol_for("synthetic_faces", scheme)
    return source, data.crop, protocol_for(benchmark_of(spec), scheme)
