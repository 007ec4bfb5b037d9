"""The whole road once, on synthetic faces: prepare, train, evaluate, report (`make demo`)."""

import json
import sys
import time
from pathlib import Path

from jaxalign.commands import evaluate, prepare, train
from jaxalign.sources import DEFAULT_DATA_DIR


WORKDIR = Path("runs/demo")


def main() -> int:
    started = time.perf_counter()
    report = WORKDIR / "report"
    steps = [
        (train.main, ["--config", "demo", "--workdir", str(WORKDIR), "--resume"]),
        (evaluate.main, ["--ckpt", str(WORKDIR), "--report", str(report)]),
    ]
    if not (DEFAULT_DATA_DIR / "synthetic_faces" / "default").is_dir():
        steps.insert(0, (prepare.main, ["synthetic_faces"]))
    for command, arguments in steps:
        print(f"\n$ {command.__module__.rpartition('.')[2]}.py {' '.join(arguments)}", flush=True)
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
        "next:    train on real faces: python prepare.py ibug_300w --from DIR, then\n"
        "         python train.py --config configs/integral_ibug_300w.py --workdir runs/300w\n"
        "         (.venv/bin/python runs them; README.md says where to get 300W)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
