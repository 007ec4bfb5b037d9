"""Faces followed from frame to frame, and their points smoothed by the one-euro filter.

G. Casiez, N. Roussel, D. Vogel: 1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input
in Interactive Systems (CHI 2012).
"""

from dataclasses import dataclass, field

import numpy as np

from jaxalign import geometry


class OneEuro:
    """Low-pass filter whose cutoff grows with speed: steady at rest, prompt in motion.

    It filters each number of an array by itself, in whatever unit it is.
    """

    def __init__(self, cutoff: float = 1.0, slope: float = 0.0, speed_cutoff: float = 1.0):
        """Set the filter.

        Args:
            cutoff: Cutoff at rest, in Hz.
            slope: How the cutoff grows with the smoothed speed ("beta"), in Hz per unit and second.
            speed_cutoff: Cutoff of the filter that smooths the speed, in Hz.
        """
        self.cutoff, self.slope, self.speed_cutoff = cutoff, slope, speed_cutoff
        self._time, self._value, self._speed = None, None, 0.0

    def __call__(self, seconds: float, values: np.ndarray) -> np.ndarray:
        """Filter the next values.

        Args:
            seconds: Their time.
            values: An array of the same shape in every call.

        Returns:
            The smoothed values, or the last ones if the time is not after the last one.
        """
        if self._time is None or self._value is None:
            self._time, self._value = seconds, np.asarray(values, np.float64)
        step = seconds - self._time
        if step > 0:
            speed = (values - self._value) / step
            self._speed += _share(self.speed_cutoff, step) * (speed - self._speed)
            share = _share(self.cutoff + self.slope * np.abs(self._speed), step)
            self._value = self._value + share * (values - self._value)
            self._time = seconds
        return self._value


def _share(cutoff, step):
    """The weight of a new value in a low-pass filter of this cutoff (Hz), `step` seconds on."""
    turn = 2 * np.pi * cutoff * step
    return turn / (turn + 1)


@dataclass
class _Track:
    id: int
    box: np.ndarray
    seen: float
    filter: OneEuro
    unit: float  # side of the face, in pixels of the photo


@dataclass
class Tracks:
    """Gives the faces of a video lasting ids, and smooths their points. Frames are given in order.

    A face is the one of the last frames whose last box overlaps its box most.

    Attributes:
        smooth: Whether points are smoothed.
        cutoff: As in `OneEuro`, in Hz.
        slope: As in `OneEuro`, with speeds in sides of the face's first box, so that it fits any
            resolution.
        overlap: Least overlap of two boxes of a face, as a share of their union.
        patience: A face that was not seen for this many seconds, nor in the last frame, is
            forgotten.

    Examples:
        >>> import numpy as np
        >>> import jaxalign
        >>> from jaxalign.prediction.smoothing import Tracks
        >>> aligner, tracks = jaxalign.load(), Tracks()
        >>> for seconds, image in jaxalign.photos.frames("video.mp4"):
        ...     faces = aligner(image)
        ...     boxes = np.array([face.box for face in faces]).reshape(-1, 4)
        ...     points = np.array([face.points for face in faces]).reshape(-1, 68, 2)
        ...     ids, points = tracks(seconds, boxes, points)
    """

    smooth: bool = True
    cutoff: float = 1.0
    slope: float = 10.0
    overlap: float = 0.3
    patience: float = 0.5
    _tracks: list[_Track] = field(default_factory=list, repr=False)
    _next: int = 0
    _last: float = 0.0

    def __call__(
        self, seconds: float, boxes: np.ndarray, points: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        """Follow the faces of the next frame; a frame without faces counts, too.

        Args:
            seconds: The time of the frame.
            boxes: (F, 4), pixels of the photo; F may be 0.
            points: (F, K, 2), pixels of the photo.

        Returns:
            The ids of the faces, and their points (F, K, 2), smoothed if asked.
        """
        since = min(self._last, seconds - self.patience)
        self._tracks, self._last = [t for t in self._tracks if t.seen >= since], seconds
        mine = self._matched(boxes)
        ids, smoothed = [], []
        for place, (box, those) in enumerate(zip(boxes, points, strict=True)):
            track = mine.get(place) or self._begin(box, seconds)
            track.box, track.seen = box, seconds
            ids.append(track.id)
            if self.smooth:
                those = track.filter(seconds, those / track.unit) * track.unit
            smoothed.append(those)
        return ids, np.array(smoothed).reshape(np.shape(points))

    def _matched(self, boxes):
        """Place of a box -> its track. Greatest overlaps first, each track once."""
        pairs = [
            (geometry.iou(box, track.box), place, track)
            for place, box in enumerate(boxes)
            for track in self._tracks
        ]
        mine, taken = {}, set()
        for shared, place, track in sorted(pairs, key=lambda pair: -pair[0]):
            if shared >= self.overlap and place not in mine and track.id not in taken:
                mine[place] = track
                taken.add(track.id)
        return mine

    def _begin(self, box, seconds):
        unit = float(max(box[2] - box[0], box[3] - box[1]))
        track = _Track(
            id=self._next,
            box=box,
            seen=seconds,
            filter=OneEuro(self.cutoff, self.slope),
            unit=unit,
        )
        self._tracks.append(track)
        self._next += 1
        return track
