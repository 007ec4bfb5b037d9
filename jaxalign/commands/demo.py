"""The whole road once, on synthetic faces: prepare, train, evaluate, report.

example:
  jaxalign demo

needs: nothing; faces are drawn. It takes minutes; interrupted, it goes on when called again.
leaves: the data set synthetic_faces, and the trained model and its report in the work directory.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from jaxalign.commands import evaluate, new_parser, prepare, run, train
from jaxalign.errors import typed
from jaxalign.sources import DEFAULT_DATA_DIR


def parser() -> argparse.ArgumentParser:
    parser = new_parser("demo", __doc__)
    parser.add_argument("--workdir", type=Path, default=Path("runs/demo"),
                        help="where the run is kept (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _demonstrate(arguments.workdir))


def _demonstrate(workdir):
    started = time.perf_counter()
    report = workdir / "report"
    steps: list[tuple[Callable[[list[str]], int], str, list[str]]] = [
        (train.main, "train", ["--config", "demo", "--workdir", str(workdir), "--resume"]),
        (evaluate.main, "evaluate", ["--ckpt", str(workdir), "--report", str(report)]),
    ]
    if not (DEFAULT_DATA_DIR / "synthetic_faces" / "default").is_dir():
        steps.insert(0, (prepare.main, "prepare", ["synthetic_faces"]))
    for command, name, arguments in steps:
        print(f"\n$ {typed(name)} {' '.join(arguments)}", flush=True)
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
