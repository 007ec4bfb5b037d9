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
    """The rectangle that encloses the points of each face.

    Points without a place (NaN) are passed over.

    Args:
        points: (..., K, 2), any frame.

    Returns:
        (..., 4), x0, y0, x1, y1 in the frame of `points`.
    """
    return np.concatenate([np.fmin.reduce(points, -2), np.fmax.reduce(points, -2)], -1)


def placed(points: Real[np.ndarray, "*faces K 2"]) -> Bool[np.ndarray, "*faces K"]:
    """Which points have a place.

    Args:
        points: (..., K, 2).

    Returns:
        (..., K) bool, False for points that are NaN or infinite.
    """
    return np.asarray(np.isfinite(points).all(-1))


def iou(one: Real[np.ndarray, "4"], other: Real[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes.

    Args:
        one: (4,), x0, y0, x1, y1.
        other: (4,), the same frame.

    Returns:
        0 to 1.
    """
    overlap = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = np.prod(np.maximum(overlap, 0))
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))


def square(
    box: Real[np.ndarray, "4"], enlarge: float, down: float = 0.0
) -> tuple[Float[np.ndarray, "2"], float]:
    """The square crop of a box.

    The centre is the box's, moved down by `down` times its height: detectors that frame the
    forehead give boxes that lie above the landmarks.

    Args:
        box: (4,), x0, y0, x1, y1, image frame.
        enlarge: Side of the crop, in longer sides of the box.
        down: Shift of the centre, in heights of the box.

    Returns:
        The centre (2,) float64 and the side, image pixels.
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
    """The matrix from the image to a square crop of it, turned and mirrored.

    The centre lands on (size - 1) / 2, the crop's own centre when pixel centres are integers.

    Args:
        centre: (2,), image pixels.
        side: Side of the square, image pixels.
        size: Side of the crop, crop pixels.
        degrees: Turn; positive angles turn the picture clockwise as seen (the y axis points down).
        flip: Mirror the crop after the turn, x -> size - 1 - x.

    Returns:
        (2, 3) float64, image -> crop.

    Example:
        >>> centre, side = square(np.array([100, 80, 200, 180]), enlarge=1.2)
        >>> matrix = crop_matrix(centre, side, size=256)
        >>> transform(matrix, np.array([[150.0, 130.0]])).tolist()
        [[127.5, 127.5]]
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
    """Points moved from the matrix's first frame to its second.

    Args:
        matrix: (..., 2, 3).
        points: (..., K, 2), the first frame.

    Returns:
        (..., K, 2) float64, the second frame.
    """
    return points @ matrix[..., :2].swapaxes(-1, -2) + matrix[..., None, :, 2]


def invert(matrix: Float[np.ndarray, "*faces 2 3"]) -> Float[np.ndarray, "*faces 2 3"]:
    """The inverse matrix, from the second frame to the first.

    Args:
        matrix: (..., 2, 3).

    Returns:
        (..., 2, 3).
    """
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], -1)


def after(
    first: Float[np.ndarray, "2 3"], whole: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "2 3"]:
    """The matrix that must follow `first` so that both together make `whole`.

    Args:
        first: (2, 3), image -> first crop.
        whole: (2, 3), image -> second crop.

    Returns:
        (2, 3), first crop -> second crop.
    """
    back = invert(first)
    return np.concatenate([whole[:, :2] @ back[:, :2], transform(whole, back[None, :, 2]).T], 1)


def to_map(points: Float[Any, "*shape"], stride: float) -> Float[Any, "*shape"]:
    """Crop pixels to map pixels, (points + 1/2) / stride - 1/2; NumPy or JAX.

    Args:
        points: Any shape, crop pixels.
        stride: Crop pixels per map pixel.

    Returns:
        The same shape, map pixels.
    """
    return (points + 0.5) / stride - 0.5


def from_map(points: Float[Any, "*shape"], stride: float) -> Float[Any, "*shape"]:
    """Map pixels to crop pixels, the inverse of `to_map`; NumPy or JAX.

    Args:
        points: Any shape, map pixels.
        stride: Crop pixels per map pixel.

    Returns:
        The same shape, crop pixels.
    """
    return (points + 0.5) * stride - 0.5
