"""Faces followed from frame to frame, and their points smoothed by the one-euro filter.

G. Casiez, N. Roussel, D. Vogel: 1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input
in Interactive Systems (CHI 2012).
"""

from dataclasses import dataclass, field

import numpy as np

from jaxalign import geometry


class OneEuro:
    """Low-pass filter whose cutoff grows with speed: steady at rest, prompt in motion.

    `cutoff` (Hz) at rest; `slope` (Hz per unit and second) is how it grows with the smoothed speed
    ("beta"); `speed_cutoff` (Hz) smooths that speed. Every number of an array is filtered by
    itself, in whatever unit it is.
    """

    def __init__(self, cutoff: float = 1.0, slope: float = 0.0, speed_cutoff: float = 1.0):
        self.cutoff, self.slope, self.speed_cutoff = cutoff, slope, speed_cutoff
        self._time, self._value, self._speed = None, None, 0.0

    def __call__(self, seconds: float, values: np.ndarray) -> np.ndarray:
        """The values at that time, smoothed; a time not after the last one returns the last."""
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
    """The weight of a new value in a low-pass filter of that cutoff (Hz), `step` seconds on."""
    turn = 2 * np.pi * cutoff * step
    return turn / (turn + 1)


@dataclass
class _Track:
    id: int
    box: np.ndarray
    seen: float
    filter: OneEuro
    unit: float  # pixels of the photo to a side of the face


@dataclass
class Tracks:
    """Gives the faces of a video's frames, taken in turn, lasting ids, and smooths their points.

    A face is the one whose last box overlaps its own most, by at least `overlap` of their union;
    one not seen for `patience` seconds is forgotten. `cutoff` and `slope` are OneEuro's, with
    speeds in sides of the face's first box, so that they fit any resolution.
    """

    smooth: bool = True
    cutoff: float = 1.0
    slope: float = 10.0
    overlap: float = 0.3
    patience: float = 0.5
    _tracks: list[_Track] = field(default_factory=list, repr=False)
    _next: int = 0

    def __call__(
        self, seconds: float, boxes: np.ndarray, points: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        """Boxes (F, 4) and points (F, K, 2) of a frame -> ids, points (F, K, 2)."""
        self._tracks = [t for t in self._tracks if seconds - t.seen <= self.patience]
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
        """Place of a box -> its track: the greatest overlaps first, each once."""
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
