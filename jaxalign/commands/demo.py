"""Prepare, train, evaluate and report once, on synthetic faces.

examples:
  jaxalign demo
  jaxalign demo --config drawn

needs: nothing; faces are drawn. An interrupted demo goes on when it is called again. The recipe
demo takes minutes; drawn, which trains the weights that come with jaxalign on, takes 106 on two CPU
cores.
leaves: the data set synthetic_faces, and the trained model and its report in the work directory.
"""

import argparse
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from jaxalign.commands import evaluate, new_parser, prepare, run, train
from jaxalign.errors import InputError, typed
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign demo", __doc__)
    parser.add_argument("--config", default="demo",
                        help="recipe of drawn faces (default: %(default)s)")  # fmt: skip
    parser.add_argument("--workdir", type=Path,
                        help="where the run is kept (default: runs/CONFIG)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    workdir = arguments.workdir or Path("runs") / Path(arguments.config).stem
    return run(lambda: _demonstrate(arguments.config, workdir))


def _demonstrate(config, workdir):
    started = time.perf_counter()
    stored, settings = _faces_of(config)
    report = workdir / "report"
    steps: list[tuple[Callable[[list[str]], int], str, list[str]]] = [
        (train.main, "train", ["--config", config, "--workdir", str(workdir), "--resume"]),
        (evaluate.main, "evaluate", ["--ckpt", str(workdir), "--report", str(report)]),
    ]
    if not (DEFAULT_DATA_DIR / "synthetic_faces" / stored).is_dir():
        asked = ["--set", *settings] if settings else []
        steps.insert(0, (prepare.main, "prepare", ["synthetic_faces", *asked]))
    for command, name, arguments in steps:
        print(f"\n$ {typed(name)} {shlex.join(arguments)}", flush=True)
        if code := command(arguments):
            return code
    summary = json.loads((report / "report.json").read_text(encoding="utf-8"))["summary"]
    row = next(row for row in summary["rows"] if row["subset"] == "all")
    nme = 100 * row[summary["headline"]]["nme"]
    minutes = (time.perf_counter() - started) / 60
    print(
        f"\nreached: NME {nme:.2f} % ({summary['headline']}) on {row['faces']} synthetic faces, "
        f"{minutes:.1f} minutes after installing\n"
        f"report:  {report}/ (open report.html; tables, curves and pictures beside it)\n"
        f"next:    train on real faces: {typed('prepare')} ibug_300w --from DIR, then\n"
        f"         {typed('train')} --config integral_ibug_300w --workdir runs/300w\n"
        f"         (`{typed('download')} ibug_300w` says where to get 300W; after `make demo`,\n"
        "         `source .venv/bin/activate` first)"
    )


def _faces_of(config):
    """The name under which a recipe's drawn faces are stored, and the options that make them."""
    from jaxalign import recipe
    from jaxalign.datasets.synthetic_faces import BENCHMARK

    spec = recipe.load(config).data.train
    name, _, stored = spec.rpartition("/")[0].partition(":")
    if name != BENCHMARK.name:
        raise InputError(
            f"--config {config}: trains on {spec}, but demo draws its faces; use {typed('train')}"
        )
    options = BENCHMARK.options_of(stored).items()
    settings = [f"{key}={value}" for key, value in options if value != BENCHMARK.options[key]]
    return stored or "default", settings
