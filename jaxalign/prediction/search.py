"""The default way to find faces: candidates of several cheap detectors, verified by the network.

Cascades with low thresholds find nearly every face, and many patterns beside them; the scores of a
landmark network tell the two apart. Where a network says of its checkpoint how sure it is of faces
(checkpoints.low_score), the Aligner predicts all candidates in its usual batches, drops those that
score lower, and of overlapping faces keeps the best.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import cv2
import numpy as np

from jaxalign import geometry, photos
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule
from jaxalign.prediction.detection import (
    Cascade,
    Detection,
    Detector,
    Dlib,
    EachThread,
    YuNet,
    haar,
)


@dataclass(frozen=True)
class View:
    """A cascade, and how the photo is laid before it: `degrees` clockwise, `mirrored`, or in a
    black `frame` (of the longer side), for its windows are wider than a close-up's face."""

    cascade: str
    rule: BoxRule
    right: float = 0.0  # how far the landmarks' centre lies right of the window's, in its sides
    degrees: float = 0.0
    mirrored: bool = False
    frame: float = 0.0

    def matrix(self, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Photo -> view, (2, 3), and the view's width and height, which hold the whole photo."""
        angle = np.deg2rad(self.degrees)
        across, along = abs(np.cos(angle)), abs(np.sin(angle))
        border = 2 * round(self.frame * max(height, width))
        size = np.ceil([width * across + height * along, width * along + height * across]) + border
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if self.mirrored:
            linear[0] *= -1
        middle = (np.array([width, height]) - 1) / 2
        matrix = np.concatenate([linear, ((size - 1) / 2 - linear @ middle)[:, None]], 1)
        return matrix, (int(size[0]), int(size[1]))


# Rules as 400 training photos of 300W give them, of windows of a quarter of the photo and more. A
# face found tilted is tilted less, so that its centre lies to one side.
ALT2 = View("frontalface_alt2", BoxRule(0.89, 0.155))
DEFAULT = View("frontalface_default", BoxRule(0.865, 0.148))
TILTED = (
    View("frontalface_default", BoxRule(0.84, 0.117), right=-0.085, degrees=30),
    View("frontalface_default", BoxRule(0.84, 0.117), right=0.085, degrees=-30),
)
PROFILES = (
    View("profileface", BoxRule(0.765, 0.16), right=-0.1),
    View("profileface", BoxRule(0.765, 0.16), right=-0.1, mirrored=True),
)


@dataclass(frozen=True)
class Look:
    """A stage of the search: the photo reduced to `longest` pixels, windows of `least` of those
    and more, in each of the views."""

    longest: int
    least: int
    views: tuple[View, ...]


@runtime_checkable
class Search(Detector, Protocol):
    """A detector whose candidates the Aligner verifies."""

    def stages(self, image: np.ndarray) -> Iterator[list[Detection]]:
        """The candidates of a photo, (H, W, 3) uint8 RGB, in stages, the cheapest first."""
        ...

    def enough(self, boxes: Sequence[np.ndarray], image: np.ndarray) -> bool:
        """Whether these verified faces (4,) of a photo end the search before its last stage."""
        ...


class Auto:
    """OpenCV's cascades, frontal (Lienhart's `alt2` and `default`) and profile, upright, mirrored
    and tilted: no download.

    A portrait is found in a photo of 256 pixels, first by the frontal ones, then by all; smaller
    faces are looked for in one of 960 pixels, in profile of 640. One face alone whose landmarks
    span a quarter of the photo's longer side ends the search. A call gives the candidates of the
    first stage that has any, not verified.
    """

    name: str = "auto"
    looks: ClassVar[tuple[Look, ...]] = (
        Look(256, 48, (ALT2, DEFAULT)),
        Look(256, 40, (*(replace(v, frame=0.2) for v in (ALT2, DEFAULT)), *PROFILES, *TILTED)),
        Look(960, 30, (ALT2, DEFAULT)),
        Look(640, 24, PROFILES),
    )
    neighbours: ClassVar[int] = 2
    portrait: ClassVar[float] = 0.25  # of the photo's longer side

    def __init__(self):
        names = {view.cascade for look in self.looks for view in look.views}
        self._cascades = EachThread(lambda: {name: haar(name) for name in names})

    def stages(self, image: np.ndarray) -> Iterator[list[Detection]]:
        for look in self.looks:
            small = photos.reduced(image, look.longest)
            grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
            zoom = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
            found = []
            for view in look.views:
                for centre, side, score in self._seen(grey, view, look.least):
                    middle, half = (centre + 0.5) * zoom - 0.5, side * zoom / 2
                    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
                    found.append(Detection(box, score))
            yield merged(found)

    def _seen(self, grey, view, least):
        """(h, w) uint8 -> of each window the landmarks' square, centre and side, and the score."""
        matrix, size = view.matrix(*grey.shape)
        laid = cv2.warpAffine(grey, matrix, size)
        boxes, scores = self._cascades.own[view.cascade].detectMultiScale2(
            laid, 1.1, self.neighbours, minSize=(least, least)
        )
        back = geometry.invert(matrix)
        for (x, y, width, height), score in zip(boxes, scores, strict=True):
            centre, side = geometry.square(
                np.array([x, y, x + width, y + height]) - 0.5, view.rule.enlarge, view.rule.down
            )
            centre[0] += view.right * width
            yield geometry.transform(back, centre[None])[0], side, float(score)

    def __call__(self, image: np.ndarray) -> list[Detection]:
        return next((found for found in self.stages(image) if found), [])

    def enough(self, boxes: Sequence[np.ndarray], image: np.ndarray) -> bool:
        sides = [geometry.square(box, 1.0)[1] for box in boxes]
        return len(sides) == 1 and sides[0] >= self.portrait * max(image.shape[:2])


# Detectors by name: what --detector and jaxalign.load(detector=...) choose from.
DETECTORS: dict[str, Callable[[], Detector]] = {
    "auto": Auto,
    "cascade": Cascade,
    "yunet": YuNet,
    "dlib": Dlib,
}


def named(name: str) -> Detector:
    """One of DETECTORS. Errors: InputError that lists them, or where it cannot be had."""
    if name not in DETECTORS:
        raise InputError(f"detector {name!r}: one of {', '.join(DETECTORS)}")
    return DETECTORS[name]()


# Of a checkpoint's low_score, what a candidate must score to be a face; and the IoU of its square
# with the points' from which on the points are of it. As measured by
# `python -m benchmarks.detectors --data ibug_300w/train --limit 400 --ckpt W --detector auto
# --share 0.93 1 1.05 1.1 1.15` (drawn: found 397, 395, 391, 390, 386 of 400; false 9, 5, 4, 4, 4).
SHARE = 1.0
FITS = 0.4
SAME = 0.5  # how much of the smaller of two squares the other covers where both are of one face


Candidate = tuple[np.ndarray, int, np.ndarray, str]  # photo, its place, box, the detector's name


def search(
    detector: Search,
    images: dict[int, np.ndarray],
    predict: Callable[[list[Candidate]], list[tuple[int, Any, np.ndarray]]],
    least: float,
) -> dict[int, list[Any]]:
    """The verified faces of several photos, by the places these go by, largest first.

    `predict` takes candidates, gives places, faces and the landmark boxes of the points found, in
    that order. A face must score `least`, and lie where the detector said; its box is that of its
    points. All photos go through a stage together, less those that have enough.
    """
    going = {place: detector.stages(image) for place, image in images.items()}
    faces: dict[int, list[Any]] = {place: [] for place in images}
    while going:
        squares = []
        for place, stages in list(going.items()):
            candidates = next(stages, None)
            if candidates is None:
                del going[place]
            known = [face.box for face in faces[place]]
            squares += [
                (images[place], place, candidate.box, detector.name)
                for candidate in candidates or []
                if all(overlap(candidate.box, box) < SAME for box in known)
            ]
        for place, face, seen in predict(squares):
            if face.score >= least and fits(face.box, seen):
                faces[place].append(replace(face, box=seen))
        for place in list(going):
            faces[place] = best_of_each(faces[place])
            if detector.enough([face.box for face in faces[place]], images[place]):
                del going[place]
    return {place: best_of_each(found) for place, found in faces.items()}


def squared(box: np.ndarray) -> np.ndarray:
    """A box (4,) -> the square about it, (4,) float32."""
    centre, side = geometry.square(box, 1.0)
    return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The squares about two boxes (4,) -> the area of their overlap over that of the smaller."""
    one, other = squared(one), squared(other)
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))
    return float(np.prod(np.maximum(sides, 0)) / max(smaller, 1e-9))


def fits(box: np.ndarray, seen: np.ndarray) -> bool:
    """Whether the box of points found in a box lies about where that says that it would."""
    found = squared(seen)
    return bool(found[0] < found[2] and geometry.iou(squared(box), found) >= FITS)


def best_of_each(faces: Iterable[Any]) -> list[Any]:
    """Of faces (a box and a score) that overlap by SAME or more the best; largest first."""
    kept = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < SAME for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -geometry.square(face.box, 1.0)[1])


def merged(found: Iterable[Detection]) -> list[Detection]:
    """Detections of one stage, those of one face (IoU of 0.5) made one: their mean box, weighted
    by the scores, and the sum of those. Largest first."""
    groups: list[list[Detection]] = []
    for face in sorted(found, key=lambda face: -face.score):
        same = (group for group in groups if geometry.iou(group[0].box, face.box) >= 0.5)
        group = next(same, None)
        if group is None:
            groups.append([face])
        else:
            group.append(face)
    means = []
    for group in groups:
        scores = [face.score for face in group]
        box = np.average([face.box for face in group], 0, scores).astype(np.float32)
        means.append(Detection(box, sum(scores)))
    return sorted(means, key=lambda face: face.box[0] - face.box[2])
