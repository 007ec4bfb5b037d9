"""Smooth curves through knots, by cubic splines; which curves a face has: jaxalign.curves."""

from functools import lru_cache

import numpy as np

from jaxalign.curves import SAMPLES


@lru_cache
def spline_matrix(knots: int, samples: int) -> np.ndarray:
    """(samples, knots): values of the natural cubic spline through evenly spaced knots."""
    return spline_basis(tuple(range(knots)), tuple(np.linspace(0, knots - 1, samples)), "natural")


@lru_cache
def spline_basis(at: tuple[float, ...], where: tuple[float, ...], ends: str) -> np.ndarray:
    """(len(where), len(at)): cubic spline through values at `at`, read at `where`.

    `ends` is "natural" (no curvature) or "flat" (no slope: even functions of an angle).
    """
    knots, read = np.asarray(at, float), np.asarray(where, float)
    n, step = len(knots), np.diff(knots)
    left, right = np.zeros((n, n)), np.zeros((n, n))  # left @ curvature = right @ values
    for i in range(1, n - 1):
        left[i, i - 1 : i + 2] = step[i - 1], 2 * (step[i - 1] + step[i]), step[i]
        right[i, i - 1 : i + 2] = 6 / step[i - 1], -6 / step[i - 1] - 6 / step[i], 6 / step[i]
    for row, other, gap in ((0, 1, step[0]), (n - 1, n - 2, step[-1])):
        left[row, row] = 1.0
        if ends == "flat":
            left[row, [row, other]] = 2 * gap, gap
            right[row, [row, other]] = -6 / gap, 6 / gap
    curvature = np.linalg.solve(left, right)
    cell = np.clip(np.searchsorted(knots, read, side="right") - 1, 0, n - 2)
    gap = step[cell][:, None]
    far = (read - knots[cell])[:, None] / gap
    near = 1 - far
    eye = np.eye(n)
    bend = (near**3 - near) * curvature[cell] + (far**3 - far) * curvature[cell + 1]
    return near * eye[cell] + far * eye[cell + 1] + bend * gap**2 / 6


def smooth(knots: np.ndarray, samples: int = SAMPLES) -> np.ndarray:
    """A smooth curve (samples, D) through evenly spaced knots (K, D)."""
    return spline_matrix(len(knots), samples) @ knots
