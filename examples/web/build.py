"""Fetch and make what the page in this folder needs, into build/: the runtime from npm, the model
by jaxalign export, two samples.

examples:
  python examples/web/build.py
  python examples/web/build.py --ckpt runs/300w --int8
  python -m http.server --directory examples/web

needs: npm, a way to its registry, and pip install '.[onnx]' in a checkout.
leaves: build/ and node_modules/ beside this file.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from jaxalign.commands import add_ckpt, new_parser, run
from jaxalign.errors import InputError
from jaxalign.weights import DEFAULT


HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DRAWN = 3  # of the test split: glasses, a tilted head
SIDE = 512


def parser() -> argparse.ArgumentParser:
    parser = new_parser("build.py", __doc__)
    add_ckpt(parser, default=DEFAULT)
    parser.add_argument("--int8", action="store_true",
                        help="a model of 8 bits: a third of what is loaded")  # fmt: skip
    return parser


def build(ckpt: str | None, which: str, int8: bool):
    """All of it. Errors: InputError."""
    from jaxalign.datasets import synthetic_faces
    from jaxalign.datasets.faces import photo_bytes
    from jaxalign.export import export_checkpoint

    BUILD.mkdir(exist_ok=True)
    install()
    for name in RUNTIME:
        shutil.copy(HERE / "node_modules/onnxruntime-web/dist" / name, BUILD)
    export_checkpoint(ckpt, BUILD / "model.onnx", which=which, int8=int8, faces=1)
    shutil.copy(HERE.parent / "astronaut.jpg", BUILD)
    drawn = synthetic_faces.face("test", DRAWN, size=SIDE, seed=0)
    (BUILD / "drawn.jpg").write_bytes(photo_bytes(drawn))
    print(f"built; next: python -m http.server --directory {HERE}, and open http://localhost:8000")


def install():
    """node_modules/ as package.json asks. Errors: InputError."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError("npm is not installed; install Node.js, which brings it")
    options = "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"
    done = subprocess.run(
        [npm, "install", *options], cwd=HERE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise InputError(f"npm install cannot fetch {HERE / 'package.json'}'s packages ({said})")


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run(lambda: build(arguments.ckpt, arguments.which, arguments.int8)))
