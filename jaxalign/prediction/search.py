"""The default way to find faces: cheap detectors propose them, the network verifies them.

Cascades with low thresholds find nearly every face, and many patterns besides. The scores of a
landmark network tell the two apart. If a checkpoint notes how sure its network is of faces
(`checkpoints.low_score`), the Aligner predicts all candidates in its usual batches, drops those
with a lower score, and keeps the best of overlapping faces.
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
    """A cascade, and how the photo is laid before it.

    Attributes:
        cascade: Name of the cascade, as `detection.haar` takes it.
        rule: How one of its windows becomes the square of the landmarks.
        right: How far the centre of the landmarks lies right of the window's, in sides of the
            window.
        degrees: Turn of the photo, clockwise.
        mirrored: Whether the photo is mirrored.
        frame: Width of a black frame around the photo, as a share of its longer side. Windows are
            wider than the face of a close-up.
    """

    cascade: str
    rule: BoxRule
    right: float = 0.0
    degrees: float = 0.0
    mirrored: bool = False
    frame: float = 0.0

    def matrix(self, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
        """The matrix from a photo to this view, which holds the whole photo.

        Args:
            height: Height of the photo.
            width: Width of the photo.

        Returns:
            The (2, 3) matrix, and the width and height of the view.
        """
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


# Rules from 400 training photos of 300W, for windows of a quarter of the photo and more. A face
# that is found tilted is tilted less than the view, so its centre lies to one side.
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
    """A stage of the search.

    Attributes:
        longest: Pixels of the longer side to which the photo is reduced.
        least: Least side of a window, in those pixels.
        views: The views that are searched.
    """

    longest: int
    least: int
    views: tuple[View, ...]


@runtime_checkable
class Search(Detector, Protocol):
    """A detector whose candidates the Aligner verifies."""

    def stages(self, image: np.ndarray) -> Iterator[list[Detection]]:
        """Propose candidates in stages, the cheapest first.

        Args:
            image: (H, W, 3) uint8 RGB, the photo.

        Returns:
            An iterator over the candidates of each stage.
        """
        ...

    def enough(self, boxes: Sequence[np.ndarray], image: np.ndarray) -> bool:
        """Whether the verified faces of a photo end the search before its last stage.

        Args:
            boxes: (4,) of each face, pixels of the photo.
            image: (H, W, 3) uint8 RGB, the photo.

        Returns:
            The answer.
        """
        ...


class Auto:
    """OpenCV's cascades, frontal (Lienhart's `alt2` and `default`) and profile: no download.

    The photo is searched upright, mirrored and tilted. A portrait is found in a photo of 256
    pixels, first by the frontal cascades, then by all. Smaller faces are looked for in a photo of
    960 pixels, and in profile in one of 640. The search ends early if it has one face alone whose
    landmarks span a quarter of the photo's longer side. A call returns the candidates of the first
    stage that has any; they are not verified.

    Attributes:
        name: "auto".
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
        """Propose candidates in stages, as `Search` says.

        Args:
            image: (H, W, 3) uint8 RGB, the photo.

        Yields:
            The candidates of each stage.
        """
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
        """(h, w) uint8 -> centre and side of each window's landmark square, and its score."""
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
        """Whether the verified faces of a photo end the search, as `Search` says.

        Args:
            boxes: (4,) of each face, pixels of the photo.
            image: (H, W, 3) uint8 RGB, the photo.

        Returns:
            True for one face alone that is large enough.
        """
        sides = [geometry.square(box, 1.0)[1] for box in boxes]
        return len(sides) == 1 and sides[0] >= self.portrait * max(image.shape[:2])


# Detectors by name, for --detector and jaxalign.load(detector=...).
DETECTORS: dict[str, Callable[[], Detector]] = {
    "auto": Auto,
    "cascade": Cascade,
    "yunet": YuNet,
    "dlib": Dlib,
}


def named(name: str) -> Detector:
    """Make a detector by its name.

    Args:
        name: A name of DETECTORS.

    Returns:
        The detector.

    Raises:
        InputError: There is no such name, or the detector cannot be had. The message lists the
            names.
    """
    if name not in DETECTORS:
        raise InputError(f"detector {name!r}: one of {', '.join(DETECTORS)}")
    return DETECTORS[name]()


# A face must score this share of the checkpoint's low_score, and its square must have this IoU with
# the square of its points. Measured by
# `python -m benchmarks.detectors --data ibug_300w/train --limit 400 --ckpt W --detector auto
# --share 0.93 1 1.05 1.1 1.15` (drawn: found 397, 395, 391, 390, 386 of 400; false 9, 5, 4, 4, 4).
SHARE = 1.0
FITS = 0.4
SAME = 0.5  # share of the smaller of two squares that the other covers if both are of one face


Candidate = tuple[np.ndarray, int, np.ndarray, str]  # photo, its place, box, the detector's name


def search(
    detector: Search,
    images: dict[int, np.ndarray],
    predict: Callable[[list[Candidate]], list[tuple[int, Any, np.ndarray]]],
    least: float,
) -> dict[int, list[Any]]:
    """Find and verify the faces of several photos.

    All photos go through a stage together, without those that have enough faces. A face must score
    `least`, and lie where the detector said. Its box becomes that of its points.

    Args:
        detector: Proposes the candidates.
        images: Place of a photo -> (H, W, 3) uint8 RGB.
        predict: Takes candidates, and returns for each, in order, the place of its photo, its face,
            and the landmark box (4,) of its points.
        least: The least score of a face.

    Returns:
        Place of a photo -> its faces, the largest first.
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
    """The square about a box.

    Args:
        box: (4,).

    Returns:
        The (4,) float32 square.
    """
    centre, side = geometry.square(box, 1.0)
    return np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of the squares about two boxes.

    Args:
        one: (4,).
        other: (4,).

    Returns:
        The area of the overlap over that of the smaller square.
    """
    one, other = squared(one), squared(other)
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))
    return float(np.prod(np.maximum(sides, 0)) / max(smaller, 1e-9))


def fits(box: np.ndarray, seen: np.ndarray) -> bool:
    """Whether points found in a box lie about where the box is.

    Args:
        box: (4,), the box that was given.
        seen: (4,), the box of the points.

    Returns:
        The answer.
    """
    found = squared(seen)
    return bool(found[0] < found[2] and geometry.iou(squared(box), found) >= FITS)


def best_of_each(faces: Iterable[Any]) -> list[Any]:
    """Keep the best of faces that overlap by SAME or more.

    Args:
        faces: Objects with a `box` (4,) and a `score`.

    Returns:
        The faces kept, the largest first.
    """
    kept = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < SAME for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -geometry.square(face.box, 1.0)[1])


def merged(found: Iterable[Detection]) -> list[Detection]:
    """Merge the detections of one face in a stage (IoU of 0.5 or more).

    Args:
        found: The detections of the stage.

    Returns:
        A detection for each face, the largest first: the mean box, weighted by the scores, and the
            sum of the scores.
    """
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
