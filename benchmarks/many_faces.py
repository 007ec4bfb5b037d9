"""What opening a data set of many faces costs: time and memory, without a million photos.

example:
  python -m benchmarks.many_faces --faces 1000000 --out /tmp/many

needs: Linux, and some 900 bytes of disk for each face. Leaves in --out a data set ibug_300w of tiny
records, one face again and again, each a group of its own, and a printed line.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from jaxalign.commands import new_parser, run
from jaxalign.datasets import BENCHMARKS, builder
from jaxalign.datasets.faces import Face
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source


def write(folder: Path, faces: int) -> None:
    """A data set of so many tiny records in `folder`, written as jaxalign prepare writes them."""
    photo = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    points = np.random.default_rng(0).uniform(0, 3, (68, 2)).astype(np.float32)
    face = Face("train", "one", photo, {IBUG68.name: points})

    class Writer(builder.FacesBuilder):
        def _download_and_prepare(self, dl_manager, download_config):
            with self._writer("train") as writer:
                writer.write(face)
                encoded = writer.encode(face)
                for number in range(1, faces):
                    writer.append(encoded)
                    writer.index.add(f"photo/{number}", ("afw", "odd")[: number % 3])
                self.finish({"train": writer})

    with builder.quiet():
        Writer(BENCHMARKS["ibug_300w"], folder, {}, data_dir=folder).download_and_prepare()


def opened(folder: Path) -> str:
    """A line of what opening it costs this process, once all it needs is imported."""
    before, started = _resident(), time.perf_counter()
    source = open_source("ibug_300w/train", IBUG68, folder)
    seconds = time.perf_counter() - started
    source[len(source) // 2]
    return (f"{len(source)} faces opened in {seconds:.2f} s, {_resident() - before:.0f} MiB, "
            f"{_resident():.0f} MiB with all that is imported")  # fmt: skip


def _resident():
    """MiB of memory that this process holds, by Linux's account of it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.many_faces", __doc__)
    add = parser.add_argument
    add("--faces", type=int, default=1_000_000, metavar="N", help="default: %(default)s")
    add("--out", type=Path, required=True, metavar="DIR",
        help="a folder for the data set; one that is there is opened as it is")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if arguments.faces < 1:
        raise InputError(f"--faces {arguments.faces}: must be 1 or more")
    if not (arguments.out / "ibug_300w").exists():
        write(arguments.out, arguments.faces)
        # Writing left its own peak of memory: opened by another process.
        command = [sys.executable, "-m", "benchmarks.many_faces", "--out", str(arguments.out)]
        return subprocess.run(command).returncode
    print(opened(arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
