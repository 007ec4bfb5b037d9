"""ONNX models of all systems: how exact they are, and how fast beside XLA.

examples:
  python -m benchmarks.onnx_models
  python -m benchmarks.onnx_models --only fan tab --repeats 20
  python -m benchmarks.onnx_models --ckpt runs/300w runs/tab --data ibug_300w/lfpw_test

needs: pip install '.[onnx]'. Leaves a printed Markdown table, each row once it is measured.

Each model is converted, written and read back, in float32 and with 8 bits (jaxalign export --int8).
`apart`: the largest difference of a point from the system's own, in pixels of the crop, on four
drawn faces, or all of --data. The NME is of the same faces. Times are milliseconds a batch of so
many faces, from NumPy to NumPy, medians of the turns that XLA and ONNX Runtime (ORT) take, of a
fifth of a second each; all use all cores.
Without --ckpt, systems have random weights: what they cost does not depend on them, but of a map
without a peak the highest pixel may change by rounding, so that `apart` and the NMEs mean more with
--ckpt. Run it on a quiet machine.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints, export, parallel, to_onnx
from jaxalign import recipe as recipes
from jaxalign.commands import add_data_dir, new_parser, run
from jaxalign.errors import InputError
from jaxalign.protocols import protocol_for
from jaxalign.recipe import Recipe
from jaxalign.sources import DEFAULT_DATA_DIR, benchmark_of, open_source


PIXELWISE = "pixelwise_ibug_300w"
ROWS = {  # name -> recipe, its settings
    "integral": ("integral_ibug_300w", ()),
    "gv_light": ("gv_light_ibug_300w", ()),
    "gv_resnet50": ("gv_resnet50_ibug_300w", ()),
    "gv_hrnet": ("gv_hrnet_ibug_300w", ()),
    "gv_mobilenetv3": ("gv_mobilenetv3_ibug_300w", ()),
    "propnet_light": ("propnet_light_ibug_300w", ()),
    "propnet": ("propnet_ibug_300w", ()),
    "fan": ("fan_ibug_300w", ()),
    "tab_light": ("tab_light_ibug_300w", ()),
    "tab": ("tab_ibug_300w", ()),
    "pixelwise_hybrid": (PIXELWISE, ("system.method=hybrid",)),
    "pixelwise_pwc": (PIXELWISE, ("system.method=pwc",)),
    "pixelwise_distribution": (PIXELWISE, ("system.method=distribution",)),
    "pixelwise_heatmaps": (PIXELWISE, ("system.method=heatmap_regression",)),
    "pixelwise_direct": (PIXELWISE, ("system.method=direct",)),
    "pixelwise_dan": (PIXELWISE, ("system.method=dan",)),
    "attention_light": ("attention_light_ibug_300w", ()),
    "attention": ("attention_ibug_300w", ()),
    "pipnet_light": ("pipnet_light_ibug_300w", ()),
    "pipnet": ("pipnet_ibug_300w", ()),
}
FACES = 4
HEADER = (
    "| model | crop, px | parameters, M | file, MB | int8, MB | converted in, s | apart, px | "
    + " | ".join(f"{runtime}, {n}" for n in export.TIMED for runtime in ("XLA", "ORT", "ORT int8"))
    + " | NME, % | int8 moves it by |"
)


def chosen(only: list[str], ckpts: list[str]) -> Iterator[tuple[str, Recipe, dict]]:
    """The name, recipe and variables of each row. Errors: InputError."""
    if only and ckpts:
        raise InputError("--only is of models with random weights; leave out --ckpt")
    for ckpt in ckpts:
        recipe, variables, _ = checkpoints.load(ckpt)
        yield ckpt, recipe, variables
    if ckpts:
        return
    for name in only or ROWS:
        if name not in ROWS:
            raise InputError(f"--only {name}: one of {', '.join(ROWS)}")
        config, settings = ROWS[name]
        recipe = recipes.override(recipes.load(config), list(settings))
        variables = jax.jit(recipe.system.init)(jax.random.key(0))
        yield name, recipe, jax.tree.map(np.asarray, variables)


def written(
    recipe: Recipe, variables: dict, folder: Path, data_dir: Path | str = DEFAULT_DATA_DIR
) -> tuple[dict[str, Path], float]:
    """{"ORT": a model of float32, "ORT int8": one of 8 bits}, and the seconds of the conversion."""
    size, started = recipe.system.size, time.perf_counter()
    model = to_onnx.converted(recipe.system, variables, size)
    seconds = time.perf_counter() - started
    paths = {name: folder / f"{name}.onnx" for name in ("ORT", "ORT int8")}
    with contextlib.redirect_stdout(sys.stderr):
        models = model, export.rounded(model, recipe, size, data_dir)
    for path, one in zip(paths.values(), models, strict=True):
        to_onnx.write(path, one, export.header(recipe, path, size) | export.ONNX)
    return paths, seconds


def measure(
    name: str, recipe: Recipe, variables: dict, repeats: int, data: str, data_dir: str
) -> str:
    """A row of the table. `data`: NAME/SPLIT to compare on, "" for drawn faces."""
    system, crop = recipe.system, recipe.data.crop
    to_onnx.check(system)
    variables, size = checkpoints.predicting(system, variables), system.size
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    if data:
        benchmark, source = benchmark_of(data), open_source(data, system.points, data_dir)
    else:
        benchmark, source = "synthetic_faces", export.drawn(system, FACES)
        crop = replace(crop, box="landmarks")
    with tempfile.TemporaryDirectory() as folder:
        paths, seconds = written(recipe, variables, Path(folder), data_dir)
        calls = {"XLA": partial(jax.jit(system.predict), jax.device_put(variables))}
        calls |= {name: export.reader(path, system) for name, path in paths.items()}
        times = export.timed(calls, size, repeats=repeats)
        exact, rounded = (
            export.compare(path, system, variables, source, crop, size) for path in paths.values()
        )
        files = [f"{path.stat().st_size / 1e6:.1f}" for path in paths.values()]
    told = [f"{ms:.1f}" for row in times.values() for ms in row.values()]
    numbers = f"{count / 1e6:.2f}", *files, f"{seconds:.0f}", f"{exact.pixels:.6f}"
    normaliser = protocol_for(benchmark, system.points).normaliser
    own, new = (100 * r.nme(normaliser).mean() for r in (exact.checkpoint, rounded.exported))
    nme = f"{own:.3f}", f"{new - own:+.4f}"
    return f"| {' | '.join([name, str(size), *numbers, *told, *nme])} |"


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.onnx_models", __doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME",
                        help=f"of {', '.join(ROWS)}")  # fmt: skip
    parser.add_argument("--ckpt", nargs="+", default=[], help="checkpoints, in their place")
    parser.add_argument("--data", default="", metavar="NAME/SPLIT",
                        help="faces to compare on (default: drawn ones)")  # fmt: skip
    add_data_dir(parser)
    parser.add_argument("--repeats", type=int, default=7,
                        help="turns of a runtime (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if arguments.repeats < 1:
        raise InputError("--repeats: must be 1 or more")
    to_onnx.require(Path("model.onnx"))
    print(f"device: {parallel.start('cpu')}\n\n{HEADER}", flush=True)
    print("|---" * HEADER.count(" | ") + "|---|")
    for row in chosen(arguments.only, arguments.ckpt):
        told = measure(*row, arguments.repeats, arguments.data, arguments.data_dir)
        print(told, flush=True)


if __name__ == "__main__":
    sys.exit(main())
