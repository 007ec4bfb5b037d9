"""Errors of predicted points, and the statistics that papers print of them. NumPy only.

A true point that nobody labelled is NaN. Its error is NaN, no mean counts it, and a distance that
needs it is unknown (NaN). Errors, rates and areas are fractions; code that prints them makes them
percent. Everything is computed in float64.

Examples:
    >>> import numpy as np
    >>> from jaxalign import metrics, schemes
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.uniform(0, 256, (10, 68, 2))
    >>> predicted = truth + rng.normal(0, 2, truth.shape)
    >>> errors = metrics.nme(predicted, truth, schemes.SCHEMES["ibug68"], "box")
    >>> errors.shape, metrics.failure_rate(errors, 0.08), round(metrics.auc(errors, 0.08), 2)
    ((10,), 0.0, 0.87)
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxalign.errors import InputError
from jaxalign.geometry import landmark_box, placed
from jaxalign.schemes import Scheme


PERCENTILES = (25, 50, 75, 90, 95, 99)


def point_errors(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each predicted point from its true one.

    Args:
        predicted: (N, K, 2), pixels of any frame.
        truth: (N, K, 2), the same frame. NaN where not labelled.

    Returns:
        The (N, K) distances in the same pixels, NaN where not labelled.

    Raises:
        InputError: The shapes differ, or a point with a true place has no predicted one.
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
    """Mean over the points that have an error.

    Args:
        errors: (..., K), NaN where there is none.

    Returns:
        The (...) means, NaN where no point has an error.
    """
    known = ~np.isnan(errors)
    if known.all():
        return errors.mean(axis=-1)
    counts = known.sum(axis=-1)
    return np.where(known, errors, 0).sum(axis=-1) / np.where(counts, counts, np.nan)


def inter_ocular(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Distance between the outer eye corners.

    Args:
        truth: (N, K, 2), pixels.
        scheme: The scheme of the points.

    Returns:
        The (N,) distances in pixels.
    """
    left, right = _of_the_eyes(scheme.eye_corners, "inter_ocular", scheme)
    return np.linalg.norm(truth[:, left] - truth[:, right], axis=1)


def inter_pupil(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Distance between the eye centres. Each is the mean of its eye's points.

    Args:
        truth: (N, K, 2), pixels.
        scheme: The scheme of the points.

    Returns:
        The (N,) distances in pixels.
    """
    left, right = _of_the_eyes(scheme.pupils, "inter_pupil", scheme)
    return np.linalg.norm(truth[:, left].mean(axis=1) - truth[:, right].mean(axis=1), axis=1)


def box(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Size of the rectangle around the true points, sqrt(width * height).

    Args:
        truth: (N, K, 2), pixels.
        scheme: Not used.

    Returns:
        The (N,) sizes in pixels.
    """
    return np.sqrt(np.prod(_extent(truth), axis=1))


def diagonal(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Diagonal of the rectangle around the true points.

    Args:
        truth: (N, K, 2), pixels.
        scheme: Not used.

    Returns:
        The (N,) lengths in pixels.
    """
    return np.linalg.norm(_extent(truth), axis=1)


def box_luvli(truth: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The size `box`, times K over the number of labelled points.

    It turns the mean over labelled points into the sum of their errors over all K: the released
    evaluation of LUVLi (Kumar et al., 2020) counts a point without a place as one without error.

    Args:
        truth: (N, K, 2), pixels.
        scheme: Not used.

    Returns:
        The (N,) sizes in pixels, NaN for a face without labelled points.
    """
    labelled = placed(truth).sum(axis=1)
    return box(truth, scheme) * truth.shape[1] / np.where(labelled, labelled, np.nan)


# Normalisers that need the true points alone. "norm_box" is not among them: it is given per face.
NORMALISERS: dict[str, Callable[[np.ndarray, Scheme], np.ndarray]] = {
    "inter_ocular": inter_ocular,
    "inter_pupil": inter_pupil,
    "box": box,
    "diagonal": diagonal,
    "box_luvli": box_luvli,
}


def supports(scheme: Scheme, normaliser: str) -> bool:
    """Whether a scheme has the points that a normaliser measures.

    Args:
        scheme: The scheme.
        normaliser: A name of NORMALISERS, or "norm_box".

    Returns:
        True also for normalisers that need no particular points.
    """
    needed = {"inter_ocular": scheme.eye_corners, "inter_pupil": scheme.pupils}
    return normaliser not in needed or bool(needed[normaliser])


def measurable(truth: np.ndarray, scheme: Scheme, normaliser: str) -> np.ndarray:
    """Whether the labelled points of each face give the normaliser's distance.

    Args:
        truth: (N, K, 2), NaN where not labelled.
        scheme: The scheme of the points.
        normaliser: A name of NORMALISERS, or "norm_box", which needs no points.

    Returns:
        The (N,) bool answers.
    """
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
    """The distance by which each face's errors are divided.

    Args:
        truth: (N, K, 2), true points in pixels.
        scheme: The scheme of the points.
        normaliser: A name of NORMALISERS, or "norm_box": sqrt(width * height) of a given box, such
            as AFLW's face box, which is square, or the box of COFW-68.
        ids: Names of the faces, for messages. Default: their numbers.
        norm_box: (N, 4), the boxes of "norm_box" in pixels of the photo, NaN where a face has none.

    Returns:
        The (N,) distances in pixels.

    Raises:
        InputError: The normaliser is unknown, the scheme lacks the points that it needs, or a
            distance is zero or unknown. The message names these faces.
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
            "label it, or leave them out"
        )
    if wrong.any():
        names = [str(i) if ids is None else ids[i] for i in np.flatnonzero(wrong).tolist()]
        raise InputError(fault.format(listed(names, 5)))
    return found


def listed(names: Sequence[str], most: int) -> str:
    """Join names for a message: the first ones, and how many more there are.

    Args:
        names: The names.
        most: How many are listed.

    Returns:
        The text.
    """
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
    """Normalised mean error of each face.

    NME_i = mean over all labelled points of |p - q| / d_i, where `distances` gives d_i. With the
    inter-ocular distance it is the NMSE of Hsu et al., who print it as a fraction.

    Args:
        predicted: (N, K, 2), pixels of any frame.
        truth: (N, K, 2), the same frame. NaN where not labelled.
        scheme: The scheme of the points.
        normaliser: A name of NORMALISERS, or "norm_box".
        ids: Names of the faces, for messages. Default: their numbers.
        norm_box: (N, 4), the boxes of "norm_box", in the frame of the points.

    Returns:
        The (N,) errors as fractions.
    """
    errors = point_errors(predicted, truth)
    return over_points(errors) / distances(truth, scheme, normaliser, ids, norm_box)


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """Share of faces whose NME is strictly greater than a threshold.

    Args:
        errors: (N,), NME of each face, a fraction.
        threshold: The threshold, a fraction.

    Returns:
        The share, in 0..1.
    """
    return float(np.mean(np.asarray(errors) > threshold))


def auc(errors: np.ndarray, threshold: float) -> float:
    """Area under the CED curve from 0 to a threshold, divided by the threshold. 1 is perfect.

    It is the exact area, mean(max(0, 1 - e / threshold)); published code integrates a sampled
    curve. Hence auc >= 1 - mean(e) / threshold, and they are equal only if no face fails.

    Args:
        errors: (N,), NME of each face, a fraction.
        threshold: The threshold, a fraction.

    Returns:
        The area, in 0..1.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(errors, np.float64) / threshold)))


def ced(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Cumulative error distribution: the share of faces whose NME is at most each level.

    Args:
        errors: (N,), NME of each face, a fraction.
        levels: (M,), in the same unit.

    Returns:
        The (M,) shares, in 0..1.
    """
    return np.searchsorted(np.sort(errors), levels, side="right") / len(errors)


def pck(errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Percentage of correct key points: the share of landmarks whose error is at most each level.

    Unlike `ced` it counts landmarks, not faces, and only labelled ones.

    Args:
        errors: (N, K), NaN where not labelled.
        levels: (M,), in the unit of the errors: pixels, or fractions of a distance.

    Returns:
        The (M,) shares, in 0..1.
    """
    return ced(errors[~np.isnan(errors)], levels)


def percentiles(errors: np.ndarray) -> dict[str, float]:
    """The errors that the shares of PERCENTILES do not exceed, linear between two faces.

    Args:
        errors: (N,), NME of each face.

    Returns:
        A percentile's name ("25", "50", ...) -> the error.
    """
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
