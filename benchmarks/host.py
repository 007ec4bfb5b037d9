"""How many faces a core makes ready for training: read, decode, warp, augment.

examples:
  python -m benchmarks.host --data ibug_300w/train
  python -m benchmarks.host --data wflw/train --config gv_resnet50_wflw --threads 1 8 --workers 8

needs: a prepared data set. Leaves a printed table.

Each line is of what stands above it, too, in a process set up like a worker: `read` gives a sample,
`decode` its whole photo, `crop` its turned and moved crop, for which a JPEG may be decoded smaller
in place of that, `augment` the changed light, colour and covered parts. Times are of the processor,
and so hardly depend on what else the machine does; medians of --repeats turns over the same faces,
with the least and the most. `batches` are whole ones, by the clock: faces a second by Grain's
threads, for each of --threads, and by worker processes, for each of --workers. Run that part on a
quiet machine.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jaxalign import recipe as recipes
from jaxalign.augment import Augment, geometric
from jaxalign.commands import add_data_dir, new_parser, run
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, crop_face, decode, training_batches
from jaxalign.schemes import SCHEMES
from jaxalign.sources import Source, open_source
from jaxalign.workers import settle


BATCH = 16


def parts(source: Source, crop: Crop, size: int, augment: Augment) -> dict[str, Callable]:
    """Name -> what is done for face i."""
    strengths = ("rotation", "rotation_p", "scale", "shrink", "shift", "flip", "of")
    posed = geometric(**{name: getattr(augment, name) for name in strengths})

    def cropped(index, augment):
        rng = np.random.default_rng((0, 0, index))
        return crop_face(source[index], source.scheme, crop, size, augment, rng)

    def decoded(index):
        sample = source[index]
        return decode(sample["photo"], sample["id"])

    return {
        "read": lambda index: source[index],
        "decode": decoded,
        "crop": lambda index: cropped(index, posed),
        "augment": lambda index: cropped(index, augment),
    }


def processor(calls: dict[str, Callable], faces: int, repeats: int) -> dict[str, np.ndarray]:
    """Name -> (repeats,) milliseconds of the processor for a face; the parts take turns."""
    found = {name: [] for name in calls}
    for turn in range(-1, repeats):  # the first warms
        for name, call in calls.items():
            started = time.process_time()
            for index in range(faces):
                call(index)
            if turn >= 0:
                found[name].append(1000 * (time.process_time() - started) / faces)
    return {name: np.array(times) for name, times in found.items()}


def loaded(
    source: Source, crop: Crop, size: int, augment: Augment, steps: int, threads: int, workers: int
) -> float:
    """Faces a second in batches, by the clock, once each thread or worker has begun."""
    several = max(threads, workers)
    batches = training_batches(
        source, source.scheme, crop, size, augment,
        batch=BATCH, seed=0, first=0, last=steps + 4 * several, threads=threads,
        workers=workers,
    )  # fmt: skip
    for _ in range(4 * several):  # those that lay ready, too
        next(batches)
    started = time.perf_counter()
    count = sum(len(batch["index"]) for batch in batches)
    return count / (time.perf_counter() - started)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.host", __doc__)
    add = parser.add_argument
    add("--data", required=True, metavar="NAME/SPLIT", help="what is read")
    add_data_dir(parser)
    add("--scheme", help="its points (default: the recipe's, or ibug68)")
    add("--config", help="a recipe: its size, points, crop and augmentation (default: the default "
        "crop and augmentation)")  # fmt: skip
    add("--size", type=int, help="side of the crops (default: the recipe's, or 256)")
    add("--faces", type=int, default=200, help="faces of a turn (default: %(default)s)")
    add("--repeats", type=int, default=5, help="turns (default: %(default)s)")
    add("--threads", nargs="+", type=int, default=[1, 2], metavar="N",
        help="numbers of threads (default: 1 2)")  # fmt: skip
    add("--workers", nargs="*", type=int, default=[1, 2], metavar="N",
        help="numbers of worker processes (default: 1 2)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _print(arguments))


def _print(arguments):
    for name in ("size", "faces", "repeats", "threads", "workers"):
        value = getattr(arguments, name)
        if value is not None and np.min(value, initial=1) < 1:
            raise InputError(f"--{name}: must be 1 or more")
    size, scheme, crop, augment = 256, "ibug68", Crop(), Augment()
    if arguments.config:
        recipe = recipes.load(arguments.config)
        size, scheme = recipe.system.size, recipe.system.scheme
        crop, augment = recipe.data.crop, recipe.data.augment
    scheme = arguments.scheme or scheme
    if scheme not in SCHEMES:
        raise InputError(f"--scheme {scheme}: one of {', '.join(SCHEMES)}")
    size = arguments.size or size
    source = open_source(arguments.data, SCHEMES[scheme], arguments.data_dir)
    faces = min(arguments.faces, len(source))
    rates = {(kind, n): [] for kind in ("threads", "workers") for n in getattr(arguments, kind)}
    some = replace(source, chosen=source.chosen[:faces])
    for _ in range(arguments.repeats):
        for (kind, number), found in rates.items():
            how = {"threads": 1, "workers": 0} | {kind: number}
            found.append(loaded(some, crop, size, augment, -(-faces // BATCH), **how))
    settle()
    print(f"{faces} faces of {source.name}, crops of {size} px")
    print(f"{'up to':10}{'ms a face':>12}{'least':>10}{'most':>10}{'faces/s a core':>18}")
    calls = parts(source, crop, size, augment)
    for name, times in processor(calls, faces, arguments.repeats).items():
        low, middle, high = times.min(), np.median(times), times.max()
        print(f"{name:10}{middle:12.3f}{low:10.3f}{high:10.3f}{1000 / middle:18.0f}")
    print(f"\n{'batches':10}{'faces/s':>12}{'least':>10}{'most':>10}")
    for (kind, number), found in rates.items():
        name = f"{number} {kind if number > 1 else kind[:-1]}"
        print(f"{name:10}{np.median(found):12.0f}{min(found):10.0f}{max(found):10.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
