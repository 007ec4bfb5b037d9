"""Synthetic faces: drawings of a parametric 3-D head, with points for every scheme.

They are a stand-in to learn and to test with: they need no download, and their points are exact.
They are not a benchmark, and a number measured on them says nothing about photographs.

Every scheme's points (jaxalign.curves.INDICES) are read off one set of curves on the head. Where
the head turns, the far half of the contour follows the visible outline, as annotators of photos
place it; a point that the head itself or something opaque hides is not visible. The same options
give the same bytes on any machine, as far as NumPy and OpenCV do.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from jaxalign import workers
from jaxalign.curves import INDICES, TOTAL, USED
from jaxalign.datasets.faces import Benchmark, Face
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES

from .camera import landmarks
from .head import Head
from .render import draw, seen
from .scene import Scene, sample


SPLITS = ("train", "test")
SHARED = 1000  # faces of a split from which processes share the work, one for each core
REMEDY = "give the command fewer of them, as taskset -c 0 does"
SMALLEST = 128
LARGEST = 4096
QUALITY = 92  # of the JPEG


def faces(root=None, *, size: int, train: int, test: int, seed: int) -> Iterator[Face]:
    """Draws faces on photos of `size` x `size` pixels, train first.

    Face i of a split depends on `seed`, the split and i alone. It is the same face at any size: its
    points scale as (x + 0.5) * s - 0.5. All cores share the work where SHARED or more are drawn.

    Args:
        root (None): Not used; there are no files.
        size: The side of the photos in pixels, 128 to 4096.
        train: How many faces to draw for the split train.
        test: How many faces to draw for the split test.
        seed: The seed.

    Yields:
        The faces.

    Raises:
        InputError: A number is out of range, or one of the processes that draw was killed.
    """
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"synthetic_faces: size {size} is not within {SMALLEST} and {LARGEST}")
    for name, number in {"train": train, "test": test, "seed": seed}.items():
        if number < 0:
            raise InputError(f"synthetic_faces: {name} {number} is below 0")
    for split, count in zip(SPLITS, (train, test), strict=True):
        make, cores = partial(face, split, size=size, seed=seed), workers.cores()
        if cores > 1 and count >= SHARED:
            setting = "synthetic_faces: cores"
            yield from workers.made(make, range(count), cores, setting, REMEDY)
        else:
            yield from map(make, range(count))


def scene_of(split: str, index: int, seed: int) -> tuple[Scene, Head]:
    """Makes what a face is drawn from, framed in its photo.

    Args:
        split: "train" or "test".
        index: The face's place in the split.
        seed: The seed.

    Returns:
        The scene and the head.
    """
    found, middle = sample(np.random.default_rng([seed, SPLITS.index(split), index]))
    head = Head(found.shape)
    points = found.camera.project(found.camera.turn(landmarks(head, found.camera)))
    shift = middle - (points.min(0) + points.max(0)) / 2
    centre = tuple((np.asarray(found.camera.centre) + shift).tolist())
    return replace(found, camera=replace(found.camera, centre=centre)), head


def face(split: str, index: int, size: int, seed: int) -> Face:
    """Draws one face.

    Args:
        split: "train" or "test".
        index: The face's place in the split.
        size: The side of the photo in pixels.
        seed: The seed.

    Returns:
        The face, with a JPEG as its photo; points are pixels of the photo.

    Examples:
        >>> one = face("test", 0, size=256, seed=0)
        >>> one.id, one.points["ibug68"].shape
        ('test/00000', (68, 2))
    """
    what, head = scene_of(split, index, seed)
    pixels = np.zeros((TOTAL, 2), np.float64)
    points = landmarks(head, what.camera)
    pixels[USED] = what.camera.pixels(points, size)
    visible = np.zeros(TOTAL, bool)
    visible[USED] = seen(what, head, points)
    looks = np.random.default_rng([seed, SPLITS.index(split), index, 1])
    box = _box(pixels[USED], looks)
    photo = draw(what, head, size, looks)
    name = f"{split}/{index:05d}"
    _, encoded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Face(
        split=split,
        id=name,
        photo=encoded.tobytes(),
        points={s: pixels[i].astype(np.float32) for s, i in INDICES.items()},
        visible={s: visible[i] for s, i in INDICES.items()},
        boxes={"dataset": box},
        attributes=what.attributes,
        subsets=tuple(a for a, on in zip(ATTRIBUTES, what.attributes, strict=True) if on),
        yaw=what.camera.yaw,
        group=name,
    )


def _box(points, rng):
    """A loose square about the points, placed as inexactly as a detector's."""
    low, high = points.min(0), points.max(0)
    side = (high - low).max()
    middle = (low + high) / 2 + side * np.clip(rng.normal(0, 0.03, 2), -0.08, 0.08)
    half = side * rng.uniform(1.1, 1.3) / 2 * (1 + np.clip(rng.normal(0, 0.03, 2), -0.08, 0.08))
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


BENCHMARK = Benchmark(
    name="synthetic_faces",
    schemes=tuple(INDICES),
    faces=faces,
    counts={"train": 4000, "test": 600},
    instructions="Nothing to download: the faces are drawn when the data set is prepared.",
    homepage="https://github.com/jaxalign/jaxalign",
    licence="The faces are drawn by jaxalign, which is under the Apache License 2.0.",
    options={"size": 256, "train": 4000, "test": 600, "seed": 0},
    needs_root=False,
    version="2.0.0",
    max_face=0,  # drawn at the size that was asked for
    apart=("seed",),
)
