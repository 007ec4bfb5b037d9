"""Looks at faces: which square of the photo each shows, at what size, and how many go together."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from jaxalign import geometry
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, Square
from jaxalign.schemes import Scheme


LEAST = 32  # faces: batches up to this are padded to their full size


class Network(Protocol):
    """Finds the points for an Aligner: a trained system, or a model in a file.

    Attributes:
        devices: What batches are a multiple of.
        together: Faces that go together by default.
    """

    devices: int
    together: int

    def __call__(self, images: np.ndarray, faces: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the points of crops.

        Args:
            images: (B, S, S, 3) uint8 RGB. B is a multiple of the devices.
            faces: How many of them, the first ones, are faces.

        Returns:
            Points (faces, K, 2) in pixels of the crops, and scores (faces, K).

        Raises:
            InputError: A number of a face is not finite.
        """
        ...


def check_finite(points: np.ndarray, scores: np.ndarray):
    """Refuse what a diverged network gives.

    Args:
        points: (B, K, 2).
        scores: (B, K).

    Raises:
        InputError: A number is not finite.
    """
    if not (np.isfinite(points).all() and np.isfinite(scores).all()):
        raise InputError(
            "the network gives points or scores that are not finite numbers: its weights are "
            "damaged, or its training diverged; use another checkpoint"
        )


def next_squares(
    points: np.ndarray, first: Sequence[tuple[np.ndarray, float]], crop: Crop, scheme: Scheme
) -> dict[int, Square]:
    """The squares of the next look, upright about the points found, by the rule for landmark boxes.

    A face is left out, and keeps its points, if its square ran away: it does not meet the first
    square, or its side is below a third or above three times that one's.

    Args:
        points: (N, K, 2), the points found, in pixels of the photos.
        first: Centre (2,) and side of each face's first square, in pixels of the photo.
        crop: The rule.
        scheme: The scheme of the points.

    Returns:
        Place of a face -> its next square.
    """
    found, framed = {}, list(scheme.framed or range(scheme.num_points))
    for place, (centre, side) in enumerate(first):
        square = crop.around(points[place][framed], -roll(points[place], scheme))
        near = np.abs(square[0] - centre).max() < (square[1] + side) / 2
        if near and side / 3 <= square[1] <= side * 3:
            found[place] = square
    return found


def roll(points: np.ndarray, scheme: Scheme) -> float:
    """By how many degrees the line of the eyes falls to the image's right.

    Args:
        points: (K, 2), pixels.
        scheme: The scheme of the points.

    Returns:
        The degrees. 0 for a scheme without eyes, and for a face seen from the side, whose eyes are
            less than 0.3 of its box's longer side apart: its line of the eyes says more of the nod
            than of the roll.
    """
    eyes = [[*scheme.curves[f"{eye}_up"], *scheme.curves[f"{eye}_lo"]] for eye in ("leye", "reye")]
    if not all(eyes):
        return 0.0
    x, y = points[eyes[1]].mean(0) - points[eyes[0]].mean(0)
    _, side = geometry.square(geometry.landmark_box(points), 1.0)
    return float(np.rad2deg(np.arctan2(y, x))) if np.hypot(x, y) >= 0.3 * side else 0.0


def fitting_size(sizes: Sequence[int], side: float) -> int:
    """The smallest size of a crop that loses no pixels of a square.

    Args:
        sizes: Sides of the crops that a system takes, ascending.
        side: Side of the square in pixels of the photo. Half a pixel may be lost.

    Returns:
        The size, or the largest one if none is large enough.
    """
    return next((size for size in sizes if size >= side - 0.5), sizes[-1])


def fitting_batch(usual: int, size: int, batch: int, faces: int, devices: int) -> int:
    """How many crops of a size go together, so that they take about as much memory as usual ones.

    There are never more than twice as many as `faces`, or LEAST if that is more. A batch that is
    not full is padded, since one for each number of faces would be compiled anew.

    Args:
        usual: Side of the usual crops in pixels.
        size: Side of the crops in pixels.
        batch: How many usual ones go together.
        faces: How many faces there are.
        devices: How many devices share them.

    Returns:
        A multiple of the devices.
    """
    most = max(1, int(batch * min(1, usual / size) ** 2))
    most = min(most, max(LEAST, 1 << (faces - 1).bit_length()))
    return -(-most // devices) * devices


def by_size(sizes: Sequence[int], squares: Mapping[int, Square]) -> dict[int, dict[int, Square]]:
    """Sort squares by the size of the crop that fits them.

    Args:
        sizes: Sides of the crops that a system takes, ascending.
        squares: Place of a face -> its square.

    Returns:
        Size of the crop, ascending -> its squares, in their order.
    """
    fitting = {face: fitting_size(sizes, side) for face, (_, side, _) in squares.items()}
    return {
        size: {face: squares[face] for face, own in fitting.items() if own == size}
        for size in sorted(set(fitting.values()))
    }
