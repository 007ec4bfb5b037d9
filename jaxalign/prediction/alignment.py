"""Aligned crops: a face moved, turned and scaled until five of its points lie on a template's.

The five are the middles of the eyes, the tip of the nose and the corners of the mouth, the viewer's
left first. A template is the one that a network was trained with: "arcface" that of face
recognition (ArcFace, CosFace and others, 112 px), "ffhq" that of face restoration and generation
(512 px), which shows the whole head. Any side may be asked for: pixel p of the template is pixel
(p + 1/2) * s - 1/2 of a crop that is s times as large.

S. Umeyama: Least-squares estimation of transformation parameters between two point patterns
(TPAMI 1991).
"""

import numpy as np

from jaxalign.errors import InputError
from jaxalign.pipeline import warp
from jaxalign.schemes import Scheme


SIDE = 256  # of crops, unless told
TEMPLATE = "ffhq"  # unless told
SMALLEST = 16  # sides of crops
LARGEST = 4096
# Name -> the side that its points are given for, and they.
TEMPLATES: dict[str, tuple[int, np.ndarray]] = {
    "arcface": (
        112,
        np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
                  (70.7299, 92.2041)]),
    ),
    "ffhq": (
        512,
        np.array([(192.98138, 239.94708), (318.90277, 240.1936), (256.63416, 314.01935),
                  (201.26117, 371.41043), (313.08905, 371.15118)]),
    ),
}  # fmt: skip


def check(scheme: Scheme, side: int = SIDE, template: str = TEMPLATE) -> None:
    """Checks what aligned crops are asked for.

    Args:
        scheme: The points of the faces.
        side: Of the crops, in pixels.
        template: A name of TEMPLATES.

    Raises:
        InputError: The scheme lacks one of the five points, or there is no such side or template.
    """
    _five(scheme)
    if template not in TEMPLATES:
        raise InputError(f"template {template!r}: one of {', '.join(TEMPLATES)}")
    if not SMALLEST <= side <= LARGEST:
        raise InputError(f"aligned crops of {side} px: give {SMALLEST} to {LARGEST}")


def five_points(points: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The points by which faces are aligned.

    Args:
        points: (K, D) points of the scheme, in any frame.
        scheme: Whose points they are.

    Returns:
        (5, D) float64: left eye, right eye, tip of the nose, left and right corner of the mouth.

    Raises:
        InputError: The scheme lacks one of them.
    """
    return np.stack([np.asarray(points, np.float64)[i].mean(0) for i in _five(scheme)])


def _five(scheme) -> list[list[int]]:
    """The points of the scheme whose means are the five."""
    features, mouth = scheme.features, scheme.curves["outlip_up"]
    tip = scheme.dots.get("nose_tip", (scheme.curves["bridge"] or (None,))[-1])
    pupils = scheme.pupils or ((), ())
    found = {
        "left eye": features.get("left_eye", pupils[0]),
        "right eye": features.get("right_eye", pupils[1]),
        "tip of the nose": () if tip is None else (tip,),
        "left corner of the mouth": mouth[:1],
        "right corner of the mouth": mouth[1:][-1:],
    }
    if lacking := [name for name, points in found.items() if not points]:
        raise InputError(
            f"the scheme {scheme.name} has no {lacking[0]}; aligned crops and the head's pose need "
            "the eyes (curves of the lids, or pupils), the nose (a point nose_tip, or the curve "
            "bridge) and the mouth (the curve outlip_up)"
        )
    return [list(points) for points in found.values()]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that bring points nearest to others, in the least squares.

    Args:
        source: (N, 2) points.
        target: (N, 2), where they are to go.

    Returns:
        (2, 3) matrix source -> target. It never mirrors.

    Raises:
        InputError: All points of the source lie in one place.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    mine, theirs = source.mean(0), target.mean(0)
    spread = ((source - mine) ** 2).sum()
    if not spread > 1e-6:
        raise InputError("the face's points lie in one place; it cannot be aligned")
    left, values, right = np.linalg.svd((target - theirs).T @ (source - mine))
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    linear = (values * signs).sum() / spread * (left * signs) @ right
    return np.concatenate([linear, (theirs - linear @ mine)[:, None]], 1)


def aligning_matrix(
    points: np.ndarray, scheme: Scheme, side: int = SIDE, template: str = TEMPLATE
) -> np.ndarray:
    """The way from a photo to a face's aligned crop.

    Args:
        points: (K, 2) points of the face, in pixels of the photo.
        scheme: Whose points they are.
        side: Of the crop, in pixels.
        template: A name of TEMPLATES.

    Returns:
        (2, 3) matrix image -> crop; geometry.transform takes points along.

    Raises:
        InputError: As check, or the points lie in one place.
    """
    check(scheme, side, template)
    own, places = TEMPLATES[template]
    target = (places + 0.5) * (side / own) - 0.5
    return similarity(five_points(points, scheme), target)


def aligned(
    image: np.ndarray,
    points: np.ndarray,
    scheme: Scheme,
    side: int = SIDE,
    template: str = TEMPLATE,
) -> np.ndarray:
    """A face's aligned crop.

    Args:
        image: (H, W, 3) uint8 RGB, the photo.
        points: (K, 2) points of the face, in its pixels.
        scheme: Whose points they are.
        side: Of the crop, in pixels.
        template: A name of TEMPLATES.

    Returns:
        (side, side, 3) uint8 RGB, black where the photo ends.

    Raises:
        InputError: As aligning_matrix.
    """
    return warp(image, aligning_matrix(points, scheme, side, template), side)
