"""Errors of predicted points, and what papers print of them. NumPy only.

Errors, rates and areas are fractions; percent belongs to whatever prints them. Everything is
computed in float64.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxalign.errors import InputError
from jaxalign.schemes import Scheme


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each predicted point from its true one: (N, K, 2) twice, pixels -> (N, K).

    Both in one frame, whichever it is. Raises InputError where the shapes differ.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[2] != 2:
        raise InputError(
            f"predicted points {predicted.shape} against true points {truth.shape}: both must be "
            "(faces, points, 2); compare faces and points of one scheme"
        )
    return np.linalg.norm(predicted - truth, axis=2)


def inter_ocular(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Distance between the outer eye corners: (N, K, 2) -> (N,)."""
    left, right = _of_the_eyes(scheme.eye_corners, "inter_ocular", scheme)
    return np.linalg.norm(truth[:, left] - truth[:, right], axis=1)


def inter_pupil(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Distance between the eye centres, each the mean of its points: (N, K, 2) -> (N,)."""
    left, right = _of_the_eyes(scheme.pupils, "inter_pupil", scheme)
    return np.linalg.norm(truth[:, left].mean(axis=1) - truth[:, right].mean(axis=1), axis=1)


def box(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """sqrt(width * height) of the rectangle around the true points: (N, K, 2) -> (N,)."""
    return np.sqrt(np.prod(truth.max(axis=1) - truth.min(axis=1), axis=1))


NORMALISERS: dict[str, Callable[[np.ndarray, Scheme], np.ndarray]] = {
    "inter_ocular": inter_ocular,
    "inter_pupil": inter_pupil,
    "box": box,
}


def supports(scheme: Scheme, normaliser: str) -> bool:
    """Whether the scheme has the points that the normaliser measures."""
    needed = {"inter_ocular": scheme.eye_corners, "inter_pupil": scheme.pupils}
    return normaliser not in needed or bool(needed[normaliser])


def nme(
    predicted: np.ndarray,
    truth: np.ndarray,
    scheme: Scheme,
    normaliser: str,
    ids: Sequence[str] | None = None,
) -> np.ndarray:
    """Normalised mean error of each face: (N, K, 2) twice, one frame -> (N,).

    NME_i = mean over all K points of |p - q| / d_i, with d_i a distance of the true face, measured
    by NORMALISERS[normaliser]. Raises InputError where that distance is zero, naming the faces by
    `ids` (else by number), and where the scheme lacks the points it needs.
    """
    errors = point_errors(predicted, truth)
    if errors.shape[1] != scheme.num_points:
        raise InputError(
            f"{errors.shape[1]} points a face, but {scheme.name} has {scheme.num_points}; "
            "name the scheme of these points"
        )
    if normaliser not in NORMALISERS:
        raise InputError(f"unknown normaliser {normaliser!r}; choose one of {list(NORMALISERS)}")
    distances = NORMALISERS[normaliser](np.asarray(truth, np.float64), scheme)
    if not np.all(distances > 0):
        names = [str(i) if ids is None else ids[i] for i in np.flatnonzero(~(distances > 0))]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise InputError(
            f"{normaliser} distance is zero: the true points of {shown} are wrong; mend or leave "
            "out these faces"
        )
    return errors.mean(axis=1) / distances


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Share of faces whose NME is strictly greater than `threshold`."""
    return float(np.mean(np.asarray(errors) > threshold))


def auc(errors: np.ndarray, threshold: float) -> float:
    """Area under the CED from 0 to `threshold`, divided by `threshold`: 1 is perfect.

    The exact area, mean(max(0, 1 - e / threshold)), where published code integrates a sampled
    curve. Hence auc >= 1 - mean(e) / threshold, equal only where no face fails.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(errors, np.float64) / threshold)))


def ced(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Cumulative error distribution: the share of faces with NME <= each level, (M,)."""
    return np.searchsorted(np.sort(errors), levels, side="right") / len(errors)


def _of_the_eyes(points, normaliser, scheme):
    if not points:
        raise InputError(
            f"{scheme.name} has no points for the normaliser {normaliser}; use the normaliser box"
        )
    return [list(part) if isinstance(part, tuple) else part for part in points]
