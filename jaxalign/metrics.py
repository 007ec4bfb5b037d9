"""Errors of predicted points, and what papers print of them. NumPy only.

A true point that nobody labelled is NaN. It has no error (NaN), is not counted in any mean, and a
distance that needs it is unknown (NaN).
Errors, rates and areas are fractions; percent belongs to whatever prints them. Everything is
computed in float64.
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxalign.errors import InputError
from jaxalign.geometry import landmark_box, placed
from jaxalign.schemes import Scheme


PERCENTILES = (25, 50, 75, 90, 95, 99)


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each predicted point from its true one: (N, K, 2) twice, pixels -> (N, K).

    Both in one frame, whichever it is. Raises InputError where the shapes differ, or a point that
    has a true place has no predicted one.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[2] != 2:
        raise InputError(
            f"predicted points {predicted.shape} against true points {truth.shape}: both must be "
            "(faces, points, 2); compare faces and points of one scheme"
        )
    if np.isnan(predicted[np.isfinite(truth)]).any():
        raise InputError("a predicted point is not a number")
    return np.linalg.norm(predicted - truth, axis=2)


def over_points(errors: np.ndarray) -> np.ndarray:
    """(..., K) -> (...): the mean over the points that have an error, NaN where none has."""
    known = ~np.isnan(errors)
    if known.all():
        return errors.mean(axis=-1)
    counts = known.sum(axis=-1)
    return np.where(known, errors, 0).sum(axis=-1) / np.where(counts, counts, np.nan)


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
    return np.sqrt(np.prod(_extent(truth), axis=1))


def diagonal(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Diagonal of the rectangle around the true points: (N, K, 2) -> (N,)."""
    return np.linalg.norm(_extent(truth), axis=1)


def box_luvli(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """`box` times K over the number of labelled points: (N, K, 2) -> (N,).

    With it the mean over labelled points becomes the sum of their errors over all K: the released
    evaluation of LUVLi (Kumar et al., 2020) counts a point without a place as one without error.
    """
    labelled = placed(truth).sum(axis=1)
    return box(truth, scheme) * truth.shape[1] / np.where(labelled, labelled, np.nan)


# From the true points alone. "norm_box" is the one normaliser that is not: it is given per face.
NORMALISERS: dict[str, Callable[[np.ndarray, Scheme], np.ndarray]] = {
    "inter_ocular": inter_ocular,
    "inter_pupil": inter_pupil,
    "box": box,
    "diagonal": diagonal,
    "box_luvli": box_luvli,
}


def supports(scheme: Scheme, normaliser: str) -> bool:
    """Whether the scheme has the points that the normaliser measures."""
    needed = {"inter_ocular": scheme.eye_corners, "inter_pupil": scheme.pupils}
    return normaliser not in needed or bool(needed[normaliser])


def measurable(truth: np.ndarray, scheme: Scheme, normaliser: str) -> np.ndarray:
    """(N,) bool: whether the labelled points of each face give the normaliser's distance."""
    known = NORMALISERS.get(normaliser)
    truth = np.asarray(truth, np.float64)
    return np.ones(len(truth), bool) if known is None else ~np.isnan(known(truth, scheme))


def distances(
    truth: np.ndarray,
    scheme: Scheme,
    normaliser: str,
    ids: Sequence[str] | None = None,
    norm_box: np.ndarray | None = None,
) -> np.ndarray:
    """What each face's errors are divided by, in pixels: (N, K, 2) true points -> (N,).

    By NORMALISERS[normaliser], or by sqrt(width * height) of `norm_box` (N, 4), image frame, for
    the normaliser "norm_box" (AFLW's face box, which is square: its side; COFW-68's given box).
    Raises InputError where a distance is zero or unknown, naming the faces by `ids` (else by
    number), and where the scheme lacks the points that the normaliser needs, or a face has no place
    for one of them.
    """
    truth = np.asarray(truth, np.float64)
    if truth.shape[1] != scheme.num_points:
        raise InputError(
            f"{truth.shape[1]} points a face, but {scheme.name} has {scheme.num_points}; "
            "name the scheme of these points"
        )
    if normaliser == "norm_box":
        given = np.full((len(truth), 4), np.nan) if norm_box is None else np.asarray(norm_box)
        sides = np.maximum(given[:, 2:].astype(np.float64) - given[:, :2], 0)
        found = np.sqrt(np.prod(sides, axis=1))
        fault = "no normalising box is known for {}; score by the normaliser box"
    elif normaliser in NORMALISERS:
        found = NORMALISERS[normaliser](truth, scheme)
        fault = (
            f"{normaliser} distance is zero: the true points of {{}} are wrong; mend or leave "
            "out these faces"
        )
    else:
        known = [*NORMALISERS, "norm_box"]
        raise InputError(f"unknown normaliser {normaliser!r}; choose one of {known}")
    wrong = ~(found > 0)
    if normaliser in NORMALISERS and np.isnan(found).any():
        wrong = np.isnan(found)
        fault = (
            f"{normaliser} distance is unknown of {{}}: nobody labelled a point that it needs; "
            "score by the normaliser box"
        )
    if wrong.any():
        names = [str(i) if ids is None else ids[i] for i in np.flatnonzero(wrong).tolist()]
        raise InputError(fault.format(listed(names, 5)))
    return found


def listed(names: Sequence[str], most: int) -> str:
    """Names for a message: the first `most`, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def nme(
    predicted: np.ndarray,
    truth: np.ndarray,
    scheme: Scheme,
    normaliser: str,
    ids: Sequence[str] | None = None,
    norm_box: np.ndarray | None = None,
) -> np.ndarray:
    """Normalised mean error of each face: (N, K, 2) twice, one frame -> (N,).

    NME_i = mean over all labelled points of |p - q| / d_i, with d_i as `distances` measures it (and
    with its errors). Hsu et al. call the same by the inter-ocular distance NMSE, printed as a
    fraction.
    """
    errors = point_errors(predicted, truth)
    return over_points(errors) / distances(truth, scheme, normaliser, ids, norm_box)


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


def pck(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Share of correct key points: of all landmarks, those with an error <= each level, (M,).

    `errors` (N, K) and levels in one unit, pixels or fractions of a distance. Unlike `ced` it
    counts landmarks, not faces, and of them those that are labelled.
    """
    return ced(errors[~np.isnan(errors)], levels)


def percentiles(errors: np.ndarray) -> dict[str, float]:
    """The error that each share of PERCENTILES does not exceed, linear between two faces."""
    values = np.percentile(errors, PERCENTILES)
    return {str(share): float(value) for share, value in zip(PERCENTILES, values, strict=True)}


def _extent(truth):
    x0y0x1y1 = landmark_box(truth)
    return x0y0x1y1[:, 2:] - x0y0x1y1[:, :2]


def _of_the_eyes(points, normaliser, scheme):
    if not points:
        raise InputError(
            f"{scheme.name} has no points for the normaliser {normaliser}; use the normaliser box"
        )
    return [list(part) if isinstance(part, tuple) else part for part in points]
