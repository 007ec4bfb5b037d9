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
    """What finds the points for an Aligner: a trained system, or a model in a file."""

    devices: int  # batches are a multiple of
    together: int  # faces that go together unless one is told

    def __call__(self, images: np.ndarray, faces: int) -> tuple[np.ndarray, np.ndarray]:
        """(B, S, S, 3) uint8 crops, the first of which are so many faces -> their points
        (faces, K, 2) in crop pixels, scores (faces, K). Errors: InputError."""
        ...


def check_finite(points: np.ndarray, scores: np.ndarray):
    """InputError where a number is not finite."""
    if not (np.isfinite(points).all() and np.isfinite(scores).all()):
        raise InputError(
            "the network gives points or scores that are not finite numbers: its weights are "
            "damaged, or its training diverged; use another checkpoint"
        )


def next_squares(
    points: np.ndarray, first: Sequence[tuple[np.ndarray, float]], crop: Crop, scheme: Scheme
) -> dict[int, Square]:
    """(N, K, 2) points found, centres and sides of the first look -> the squares of the next one,
    by the place of the face: about the points, by the crop's rule for landmark boxes, upright.

    A face is left out, and keeps its points, where its square ran away: it does not meet its first
    one, or its side is below a third or above three times that one's.
    """
    found, framed = {}, list(scheme.framed or range(scheme.num_points))
    for place, (centre, side) in enumerate(first):
        square = crop.around(points[place][framed], -roll(points[place], scheme))
        near = np.abs(square[0] - centre).max() < (square[1] + side) / 2
        if near and side / 3 <= square[1] <= side * 3:
            found[place] = square
    return found


def roll(points: np.ndarray, scheme: Scheme) -> float:
    """(K, 2) points -> by how many degrees the line of the eyes falls to the image's right.

    0 for a face seen from the side, whose eyes are less than 0.3 of its box's longer side apart:
    there that line says more of the nod than of the roll. 0 for a scheme without eyes too.
    """
    eyes = [[*scheme.curves[f"{eye}_up"], *scheme.curves[f"{eye}_lo"]] for eye in ("leye", "reye")]
    if not all(eyes):
        return 0.0
    x, y = points[eyes[1]].mean(0) - points[eyes[0]].mean(0)
    _, side = geometry.square(geometry.landmark_box(points), 1.0)
    return float(np.rad2deg(np.arctan2(y, x))) if np.hypot(x, y) >= 0.3 * side else 0.0


def fitting_size(sizes: Sequence[int], side: float) -> int:
    """The smallest of `sizes` that loses nothing of a square with this side, in photo pixels; else
    the largest. Half a pixel is nothing."""
    return next((size for size in sizes if size >= side - 0.5), sizes[-1])


def fitting_batch(usual: int, size: int, batch: int, faces: int, devices: int) -> int:
    """How many crops of `size` go together where of the `usual` size `batch` do: fewer of larger
    ones, so that the bytes stay. A multiple of the devices.

    Never more than twice as many as there are `faces`, or LEAST: a batch that is not full is
    padded, and one of each number of faces would be compiled anew.
    """
    most = max(1, int(batch * min(1, usual / size) ** 2))
    most = min(most, max(LEAST, 1 << (faces - 1).bit_length()))
    return -(-most // devices) * devices


def by_size(sizes: Sequence[int], squares: Mapping[int, Square]) -> dict[int, dict[int, Square]]:
    """Size of the crop, ascending -> the squares that are cropped so, in their order."""
    fitting = {face: fitting_size(sizes, side) for face, (_, side, _) in squares.items()}
    return {
        size: {face: squares[face] for face, own in fitting.items() if own == size}
        for size in sorted(set(fitting.values()))
    }
