"""Intervals of failure rates: Wilson's score interval, and intervals that follow from it.

A failure rate is a share of faces. The bootstrap interval, or a normal one, of a share of 0 is
[0, 0], as if no face could ever fail. Wilson's interval of 0 of 121 is [0, 3.08 %].

* Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
  Journal of the American Statistical Association 22, 209-212.
* Newcombe, R. G. (1998). Improved confidence intervals for the difference between binomial
  proportions based on paired data. Statistics in Medicine 17, 2635-2650 (method 10).
* Zou, G. Y. and Donner, A. (2008). Construction of confidence limits about effect measures.
  Statistics in Medicine 27, 1693-1702.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from jaxalign.evaluation.bootstrap import LEVEL


Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def interval(failed: float, faces: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    It holds the shares p that lie at most Z standard errors, of p, from the share found.

    Args:
        failed: How many faces failed.
        faces: How many faces there are.

    Returns:
        The ends, in 0..1, or NaN if there are no faces.

    Examples:
        >>> from jaxalign.evaluation import wilson
        >>> low, high = wilson.interval(0, 10)
        >>> low, round(high, 4)
        (0.0, 0.2775)
    """
    if not faces:
        return math.nan, math.nan
    share, scale = failed / faces, 1 + Z**2 / faces
    centre = (share + Z**2 / (2 * faces)) / scale
    half = Z * math.sqrt(share * (1 - share) / faces + Z**2 / (4 * faces**2)) / scale
    return (
        0.0 if failed == 0 else centre - half,
        1.0 if failed == faces else centre + half,
    )


def of_mean(shares: Sequence[float], ends: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The interval of the unweighted mean of shares of different faces (Zou and Donner).

    The distances of the ends to the shares are added as errors are, in squares.

    Args:
        shares: The shares.
        ends: The ends of the interval of each.

    Returns:
        The ends, in 0..1.
    """
    mean = float(np.mean(shares))
    lows, highs = np.array(ends, np.float64).T
    below, above = (math.hypot(*(end - np.array(shares))) / len(shares) for end in (lows, highs))
    return max(0.0, mean - below), min(1.0, mean + above)


def of_difference(failed: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The interval of the first share less the second, both of the same faces (Newcombe).

    It is like that of `of_mean`, less what the two shares have in common.

    Args:
        failed: (N,), 0 or 1: whether each face failed.
        other: (N,), the same in the other run.

    Returns:
        The ends, in -1..1.
    """
    faces, a = len(failed), float(np.sum((failed > 0) & (other > 0)))
    one, two = float(np.sum(failed)), float(np.sum(other))
    (low, high), (other_low, other_high) = interval(one, faces), interval(two, faces)
    p, q = one / faces, two / faces
    spread = one * (faces - one) * two * (faces - two)
    together = a * faces - one * two  # ad - bc of the fourfold table
    if together > 0:
        together = max(0.0, together - faces / 2)  # Newcombe's correction for continuity
    shared = together / math.sqrt(spread) if spread else 0.0

    def distance(below, above):
        return math.sqrt(max(0.0, below**2 - 2 * shared * below * above + above**2))

    return (
        p - q - distance(p - low, other_high - q),
        p - q + distance(high - p, q - other_low),
    )
