"""Polygons in unit coordinates, drawn with smooth edges."""

import cv2
import numpy as np

from .surface import SHIFT


def fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Unit coordinates (..., 2) as OpenCV's fixed-point pixels."""
    return np.rint((points * size - 0.5) * 2**SHIFT).astype(np.int32)


def polygon(image: np.ndarray, points: np.ndarray, colour) -> None:
    """A filled polygon in unit coordinates, edges anti-aliased."""
    shade = tuple(float(c) for c in np.clip(colour, 0, 255))
    cv2.fillPoly(image, [fixed(points, len(image))], shade, cv2.LINE_AA, SHIFT)
