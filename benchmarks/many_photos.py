"""One `jaxalign predict` of many photos: whether memory stays flat, and what Ctrl-C leaves.

examples:
  python -m benchmarks.many_photos --out runs/many
  python -m benchmarks.many_photos --out runs/many --count 1000 --ckpt runs/300w

needs: a Unix system. The photos are links to a few drawn ones, with the boxes of their faces;
nothing is fetched. Without --ckpt the network is a small one with random weights: it takes as much
memory whatever it finds. Pictures are not drawn.

The first command is stopped by SIGINT, as by Ctrl-C, at half of the photos; the second goes on with
--skip-existing. Printed is a table of the resident memory of both on the way. Then faces.json must
hold every photo once, in order, and links to one photo the same faces: exit code 1 where it does
not. Leaves in --out the photos, their links and the predictions. --out must be new, or empty.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax

from jaxalign import checkpoints, geometry, photos
from jaxalign.commands import new_parser, run
from jaxalign.datasets import synthetic_faces
from jaxalign.errors import InputError
from jaxalign.folders import readable_errors
from jaxalign.prediction.files import FILE, JOURNAL
from jaxalign.recipe import Data, Recipe
from jaxalign.systems import Integral


SIDES = (128, 160, 192, 224, 256)  # of the drawn photos, pixels
MARKS = (0.01, 0.1, 0.25, 0.5, 0.75, 1)  # shares of the photos at which memory is told
WAIT = 0.2  # seconds between two looks


@dataclass(frozen=True)
class Look:
    """A process at one moment: photos done, by earlier runs too, and its resident memory."""

    done: int
    mib: float
    seconds: float


def parser() -> argparse.ArgumentParser:
    found = new_parser("python -m benchmarks.many_photos", __doc__)
    add = found.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    add("--count", type=int, default=10_000, metavar="N", help="photos (default: %(default)s)")
    add("--ckpt", default="", help="as of jaxalign predict (default: a small network with random "
        "weights)")  # fmt: skip
    return found


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _run(arguments.out, arguments.count, arguments.ckpt))


def _run(out, count, ckpt):
    if count < 2 * len(SIDES):
        raise InputError(f"--count {count}: must be {2 * len(SIDES)} or more")
    with readable_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InputError(f"{out}: is not empty; name another folder")
        links = _links(out, count)
        command = [
            sys.executable, "-m", "jaxalign", "predict", links, "--out", out / "found",
            "--ckpt", ckpt or _network(out), "--boxes", out / "boxes.csv",
            "--no-pictures", "--skip-existing",
        ]  # fmt: skip
        first, code = looks(command, out, stop=count // 2)
        if code != 130:
            raise InputError(f"{out / 'log.txt'}: predict ended with code {code} at Ctrl-C")
        kept = len(_records(out))
        second, code = looks(command, out)
        if code:
            raise InputError(f"{out / 'log.txt'}: predict ended with code {code}")
    print(table(first, second, count))
    print(f"\nleft by Ctrl-C: {kept} of {count} photos")
    reason = fault(_records(out), links)
    print(f"faces.json: {reason or 'every photo once, in order, with the faces of its target'}")
    return int(bool(reason))


def _links(out, count):
    """The folder of `count` links to photos of SIDES, and a file of their boxes."""
    (out / "drawn").mkdir()
    (out / "photos").mkdir()
    drawn, rows = [], ["photo,x0,y0,x1,y1"]
    for number, side in enumerate(SIDES):
        face = synthetic_faces.face("test", number, side, 0)
        (out / "drawn" / f"{number}.jpg").write_bytes(face.photo)
        drawn.append(geometry.landmark_box(face.points["ibug68"]).tolist())
    for number in range(count):
        name, target = f"{number:06d}.jpg", number % len(SIDES)
        (out / "photos" / name).symlink_to(f"../drawn/{target}.jpg")
        rows.append(",".join(map(str, [name, *drawn[target]])))
    (out / "boxes.csv").write_text("\n".join(rows) + "\n")
    return out / "photos"


def _network(out):
    system = Integral(size=32, width=8, blocks=(1, 1, 1, 1), decoder_width=8)
    path = out / "random.safetensors"
    recipe = Recipe(system=system, data=Data("synthetic_faces/train"))
    checkpoints.write(path, recipe, jax.jit(system.init)(jax.random.key(0)))
    return path


def looks(command: list, out: Path, stop: int = 0) -> tuple[list[Look], int]:
    """Runs the command; what was seen of it on the way, and its exit code. `stop`: the photos done
    at which it gets SIGINT, 0 for never."""
    found, started = [], time.monotonic()
    with open(out / "log.txt", "ab") as log:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
            signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        try:
            for done in _done(process, out / "found" / JOURNAL):
                if memory := _resident(process.pid):
                    found.append(Look(done, memory, time.monotonic() - started))
                if stop and done >= stop:
                    process.send_signal(signal.SIGINT)
                    break
            return found, process.wait()
        finally:
            process.kill()
            process.wait()


def _done(process, journal) -> Iterator[int]:
    """How many photos are done, again and again while the process runs."""
    place, lines = 0, 0
    while process.poll() is None:
        time.sleep(WAIT)
        try:
            with open(journal, "rb") as file:
                file.seek(place)
                new = file.read()
        except FileNotFoundError:
            continue
        place, lines = place + len(new), lines + new.count(b"\n")
        yield max(0, lines - 1)  # its first line is of no photo


def _resident(process_id) -> float:
    """MiB; 0 where the process has ended."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    return int(found.stdout or 0) / 1024


def _records(out):
    return json.loads((out / "found" / FILE).read_text())["photos"]


def table(first: list[Look], second: list[Look], count: int) -> str:
    """Markdown: the memory of both runs at MARKS."""
    lines = ["| photos done | run | seconds of it | resident MiB | most until then |",
             "|---:|---|---:|---:|---:|"]  # fmt: skip
    for name, run_looks in {"stopped by Ctrl-C": first, "--skip-existing": second}.items():
        rest = sorted({round(mark * count) for mark in MARKS})
        shown, most = run_looks[0].done if run_looks else 0, 0.0
        rest = [mark for mark in rest if mark > shown]
        for look in run_looks:
            most = max(most, look.mib)
            last = look is run_looks[-1] and look.done > shown
            if (rest and look.done >= rest[0]) or last:
                shown = look.done
                lines.append(
                    f"| {look.done} | {name} | {look.seconds:.0f} | {look.mib:.0f} | {most:.0f} |"
                )
                rest = [mark for mark in rest if mark > look.done]
    return "\n".join(lines)


def fault(records: list[dict], links: Path) -> str:
    """What is wrong with the records of faces.json, "" where nothing."""
    wanted = list(map(str, photos.find([str(links)])))
    if [record["photo"] for record in records] != wanted:
        return f"{len(records)} photos, or another order, in place of {len(wanted)}"
    targets = {}
    for record in records:
        target = Path(record["photo"]).resolve()
        if targets.setdefault(target, record.get("faces")) != record.get("faces"):
            return f"{record['photo']} has other faces than another link to {target}"
    return "" if any(targets.values()) else "no face at all"


if __name__ == "__main__":
    sys.exit(main())
