"""Whether annotated faces are symmetric in the way their scheme says."""

import numpy as np

from jaxalign.schemes import SCHEMES


ENOUGH = 100  # faces from which on poses, expressions and slips cancel well enough to judge
SHARE = 0.25  # of the faces, the most symmetric ones, go into the mean
TIE = 0.01  # sides of the landmark box that another point must be nearer than the partner


class MeanShape:
    """The mean of the most frontal faces, each scaled to a landmark box of 1 x 1.

    Faces with hidden points are left out once ENOUGH others are there: some benchmarks put hidden
    points anywhere.
    """

    def __init__(self, scheme: str):
        self.scheme = SCHEMES[scheme]
        self._seen, self._others = [], []  # faces with all points visible, the rest

    def add(self, points: np.ndarray, visible: np.ndarray) -> None:
        """Adds a face: (K, 2) points in any frame, (K,) bool."""
        low, high = points.min(axis=0), points.max(axis=0)
        shape = ((points - low) / (high - low)).astype(np.float32)
        (self._seen if visible.all() else self._others).append(shape)

    @property
    def faces(self) -> list[np.ndarray]:
        """The (K, 2) shapes from which the faces of the mean are chosen."""
        return self._seen if len(self._seen) >= ENOUGH else self._seen + self._others

    def mean(self) -> np.ndarray:
        """(K, 2) mean of the most symmetric SHARE of the faces."""
        faces = np.stack(self.faces)
        flipped = (faces * (-1, 1) + (1, 0))[:, list(self.scheme.flip)]
        # The median over points: those in a wrong order must not choose the faces.
        asymmetry = np.median(np.linalg.norm(faces - flipped, axis=2), axis=1)
        count = max(1, round(SHARE * len(faces)))
        return faces[np.argsort(asymmetry, kind="stable")[:count]].mean(axis=0)

    def misplaced(self) -> list[tuple[int, int]]:
        """The mirrored points that miss their flip partners: (point, the point where it lands).

        The mirrored mean is first laid on the mean by the affine map that fits best: heads look
        more to one side than to the other in most benchmarks, and neighbours on a dense contour are
        nearer to each other than the mean is turned.
        """
        mean, flip = self.mean(), list(self.scheme.flip)
        mirrored = np.concatenate([mean * (-1, 1), np.ones((len(mean), 1))], axis=1)
        mirrored = mirrored @ np.linalg.lstsq(mirrored[flip], mean, rcond=None)[0]
        distance = np.linalg.norm(mirrored[:, None] - mean, axis=2)
        excess = distance[np.arange(len(mean)), flip] - distance.min(axis=1)
        return [(int(i), int(distance[i].argmin())) for i in np.flatnonzero(excess > TIE)]
