"""Where the time of a prediction goes, photo by photo: read, detect, crop, network, decode, draw.

examples:
  python -m benchmarks.prediction --ckpt runs/300w 300w/lfpw/testset
  python -m benchmarks.prediction me.jpg --config attention_ibug_300w --sides 512 1024 2048 4096

needs: photos, and a checkpoint of jaxalign train or a recipe. Leaves a printed table.

Medians in milliseconds, with their 10 and 90 % quantiles, of the photos on which a face is found:
`crop`, `network` and `decode` of the largest face of each, the last two a system's `maps` and
`decode`; `detect` of auto ends with its first candidates, not verified. Every call is waited for,
and compiled before. `all` is the whole way in one call, `aligner(photos.read(path))`, of all faces
of the photo; `draw` is the PNG with their points. What a system costs does not depend on its
weights: `--config` takes random ones.

With --sides each photo is first brought to the size at which its largest face's crop has so many
pixels, each size in a process of its own, whose peak resident memory stands beside its times. The
detector looks there too, but the face is the one found before: its crop is as large as asked.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxalign import drawing, geometry, parallel, photos, prediction
from jaxalign import recipe as recipes
from jaxalign.commands import add_device, add_import, import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.pipeline import warp
from jaxalign.prediction.detection import Detection, Detector
from jaxalign.prediction.looks import fitting_size
from jaxalign.prediction.onnx_model import OnnxModel


PARTS = ("read", "detect", "crop", "network", "decode", "draw", "all")


class Clock:
    """Milliseconds of each part; `clock(part, call)` is the call's result, waited for."""

    def __init__(self):
        self.times = defaultdict(list)

    def __call__(self, part, call):
        started = time.perf_counter()
        found = jax.block_until_ready(call())
        self.times[part].append(1000 * (time.perf_counter() - started))
        return found


def measure(aligner: prediction.Aligner, paths: list[Path], repeats: int) -> dict[str, np.ndarray]:
    """Part -> milliseconds, one number for each photo with a face: the median of the repeats."""
    if isinstance(aligner.system, OnnxModel):
        raise InputError("--ckpt: an ONNX model has no parts to time; give its checkpoint")
    network, decode = jax.jit(aligner.system.maps), jax.jit(aligner.system.decode)
    variables = jax.device_put(aligner.variables, jax.local_devices()[0])
    found = defaultdict(list)
    for path in paths:
        for turn in range(-1, repeats):  # the first compiles and warms
            clock = Clock()
            image = clock("read", lambda path=path: photos.read(path))
            boxes = clock("detect", lambda image=image: aligner.detector(image))
            if not boxes:
                break
            crop = clock("crop", lambda image=image, box=boxes[0].box: _crop(aligner, image, box))
            crop = jax.device_put(crop[None])
            maps = clock("network", lambda crop=crop: network(variables, crop))
            clock("decode", lambda maps=maps: decode(maps))
            faces = clock("all", lambda path=path: aligner(photos.read(path)))
            clock("draw", lambda image=image, faces=faces: _draw(aligner, image, faces))
            if turn >= 0:
                for part, times in clock.times.items():
                    found[part].append(times)
    if not found:
        raise InputError(f"no face on any of the {len(paths)} photos")
    return {part: np.median(np.reshape(ms, (-1, repeats)), 1) for part, ms in found.items()}


def _square(aligner, box):
    return geometry.square(box, aligner.rule.enlarge, aligner.rule.down)


def _crop(aligner, image, box):
    square = _square(aligner, box)
    size = fitting_size(aligner.system.sizes, square[1])
    return warp(image, geometry.crop_matrix(*square, size), size)


def _draw(aligner, image, faces):
    points, boxes = [face.points for face in faces], [face.box for face in faces]
    picture = drawing.annotated(image, points, boxes, [False] * len(faces), aligner.scheme)
    with tempfile.TemporaryFile() as file:
        Image.fromarray(picture).save(file, "png")


@dataclass(frozen=True)
class Known:
    """A detector that looks, and gives the face that it was told."""

    detector: Detector
    face: Detection

    def __call__(self, image):
        self.detector(image)
        return [self.face]

    @property
    def name(self):
        return self.detector.name


def brought_to(
    aligner: prediction.Aligner, path: Path, side: int, folder: str
) -> tuple[Path, Detection] | None:
    """A copy of the photo, resized so that its largest face's crop is `side` pixels wide, and that
    face; None where there is none."""
    image = photos.read(path)
    faces = aligner.detector(image)
    if not faces:
        return None
    zoom = side / _square(aligner, faces[0].box)[1]
    size = round(image.shape[1] * zoom), round(image.shape[0] * zoom)
    copy = Path(folder) / f"{path.stem}.jpg"
    Image.fromarray(image).resize(size).save(copy, quality=92)
    box = (faces[0].box + 0.5) * zoom - 0.5
    return copy, replace(faces[0], box=box)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.prediction", __doc__)
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files, folders or patterns")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--ckpt", help="a run's work directory")
    weights.add_argument("--config", help="a recipe: its system with random weights")
    add_import(parser)
    parser.add_argument("--sides", nargs="+", type=int, metavar="PX",
                        help="sides of the largest face's crop, pixels")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5, help="of a photo (default: %(default)s)")
    add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    if min(arguments.repeats, *arguments.sides or [1]) < 1:
        raise InputError("--repeats and --sides: must be 1 or more")
    if arguments.sides and len(arguments.sides) > 1:
        return _each_side(arguments)
    print(f"device: {parallel.start(arguments.require)}", flush=True)
    import_files(arguments)
    if arguments.ckpt:
        aligner = prediction.load(arguments.ckpt)
    else:
        recipe = recipes.load(arguments.config)
        variables = jax.jit(recipe.system.init)(jax.random.key(0))
        aligner = prediction.Aligner(recipe.system, variables, recipe.data.crop)
    paths, before = photos.find(arguments.photos), _peak()
    if arguments.sides:
        found = _measure_at(aligner, paths, arguments.sides[0], arguments.repeats)
    else:
        found = measure(aligner, paths, arguments.repeats)
    print(f"{len(found['all'])} of {len(paths)} photos with a face; milliseconds")
    print(f"{'part':10}{'median':>10}{'10 %':>10}{'90 %':>10}")
    for part in PARTS:
        if part in found:
            low, median, high = np.quantile(found[part], (0.1, 0.5, 0.9))
            print(f"{part:10}{median:10.1f}{low:10.1f}{high:10.1f}")
    print(f"peak resident memory: {_peak():.2f} GiB, {before:.2f} before the first photo")
    return 0


def _measure_at(aligner, paths, side, repeats):
    """`measure` of the photos brought to a side, each with its own face."""
    found, detector = [], aligner.detector
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            if sized := brought_to(aligner, path, side, folder):
                copy, face = sized
                aligner.detector = Known(detector, face)
                found.append(measure(aligner, [copy], repeats))
                aligner.detector = detector
    if not found:
        raise InputError(f"no face on any of the {len(paths)} photos")
    return {part: np.concatenate([one[part] for one in found]) for part in found[0]}


def _each_side(arguments):
    weights = ["--ckpt", arguments.ckpt] if arguments.ckpt else ["--config", arguments.config]
    for side in arguments.sides:
        print(f"\n{side} px", flush=True)
        options = [*weights, "--repeats", str(arguments.repeats), "--sides", str(side)]
        options += ["--require", arguments.require] if arguments.require else []
        options += [part for file in arguments.imports for part in ("--import", file)]
        command = [sys.executable, "-m", "benchmarks.prediction", *arguments.photos, *options]
        if code := subprocess.run(command).returncode:
            return code
    return 0


def _peak():
    """GiB of memory that this process has held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


if __name__ == "__main__":
    sys.exit(main())
