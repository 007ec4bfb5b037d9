"""Boxes, square crops and the 2x3 matrices between the frames.

Frames (x first, pixel centres at integers in all of them):
* image: pixels of the photo as stored;
* crop: pixels of the square network input, `size` wide;
* map: pixels of a network output with stride s: map = (crop + 1/2) / s - 1/2.
A matrix takes column vectors (x, y, 1) of one frame to (x, y) of the next.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real


def landmark_box(points: Real[np.ndarray, "*faces K 2"]) -> Real[np.ndarray, "*faces 4"]:
    """(..., K, 2) points -> (..., 4) the rectangle x0, y0, x1, y1 that encloses them.

    Points without a place (NaN) are passed over.
    """
    return np.concatenate([np.fmin.reduce(points, -2), np.fmax.reduce(points, -2)], -1)


def placed(points: Real[np.ndarray, "*faces K 2"]) -> Bool[np.ndarray, "*faces K"]:
    """(..., K, 2) points -> (..., K) which of them have a place, and are not NaN."""
    return np.asarray(np.isfinite(points).all(-1))


def iou(one: Real[np.ndarray, "4"], other: Real[np.ndarray, "4"]) -> float:
    """Two boxes x0, y0, x1, y1 -> the area of their overlap over that of their union."""
    overlap = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = np.prod(np.maximum(overlap, 0))
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))


def square(
    box: Real[np.ndarray, "4"], enlarge: float, down: float = 0.0
) -> tuple[Float[np.ndarray, "2"], float]:
    """(4,) box -> centre (2,) and side of its square crop, image frame.

    The side is `enlarge` times the box's longer side; the centre is the box's, moved down by
    `down` times its height (detectors that frame the forehead sit above the landmarks).
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2 + down * (y1 - y0)])
    return centre, float(max(x1 - x0, y1 - y0) * enlarge)


def crop_matrix(
    centre: Real[np.ndarray, "2"],
    side: float,
    size: int,
    degrees: float = 0.0,
    flip: bool = False,
) -> Float[np.ndarray, "2 3"]:
    """(2, 3) float64 matrix image -> crop of the square (centre, side) turned by `degrees`.

    Positive angles turn the picture clockwise as seen (the y axis points down). `flip` mirrors
    the crop, x -> size - 1 - x, after the turn. The centre lands on (size - 1) / 2: the crop's
    own centre when pixel centres are integers.
    """
    angle, zoom = np.deg2rad(degrees), size / side
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.concatenate([linear, ((size - 1) / 2 - linear @ centre)[:, None]], 1)
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size - 1
    return matrix


def transform(
    matrix: Float[np.ndarray, "*faces 2 3"], points: Real[np.ndarray, "*faces K 2"]
) -> Float[np.ndarray, "*faces K 2"]:
    """(..., K, 2) points of the matrix's first frame -> the same in its second, float64."""
    return points @ matrix[..., :2].swapaxes(-1, -2) + matrix[..., None, :, 2]


def invert(matrix: Float[np.ndarray, "*faces 2 3"]) -> Float[np.ndarray, "*faces 2 3"]:
    """(..., 2, 3) matrix -> the matrix of the way back."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], -1)


def after(
    first: Float[np.ndarray, "2 3"], whole: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "2 3"]:
    """The matrix that is to follow `first` to make `whole` of both: from crop to crop."""
    back = invert(first)
    return np.concatenate([whole[:, :2] @ back[:, :2], transform(whole, back[None, :, 2]).T], 1)


def to_map(points: Float[Any, "*shape"], stride: float) -> Float[Any, "*shape"]:
    """Crop pixels -> map pixels (numpy or JAX)."""
    return (points + 0.5) / stride - 0.5


def from_map(points: Float[Any, "*shape"], stride: float) -> Float[Any, "*shape"]:
    """Map pixels -> crop pixels (numpy or JAX)."""
    return (points + 0.5) * stride - 0.5
