"""Intervals of failure rates: Wilson's score interval, and what is built of it.

A failure rate is a share of faces. A bootstrap, or a normal interval, of a share of 0 is [0, 0],
as if no face could ever fail; Wilson's of 0 of 121 is [0, 3.08 %].

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
    """Wilson's 95 % interval of a share: 0 of 10 -> (0, 0.2775). NaN of no faces.

    The shares p from which the found one is at most Z standard errors of p away.
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
    """The interval of the unweighted mean of shares of different faces, from those of the shares.

    Their distances to the shares are added as errors are, in squares (Zou and Donner).
    """
    mean = float(np.mean(shares))
    lows, highs = np.array(ends, np.float64).T
    below, above = (math.hypot(*(end - np.array(shares))) / len(shares) for end in (lows, highs))
    return max(0.0, mean - below), min(1.0, mean + above)


def of_difference(failed: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The interval of how much greater the first share is, both of the same faces, (N,) of 0 and 1.

    Newcombe's: as of_mean, less what the two have in common.
    """
    faces, a = len(failed), float(np.sum((failed > 0) & (other > 0)))
    one, two = float(np.sum(failed)), float(np.sum(other))
    (low, high), (other_low, other_high) = interval(one, faces), interval(two, faces)
    p, q = one / faces, two / faces
    spread = one * (faces - one) * two * (faces - two)
    together = a * faces - one * two  # ad - bc of the fourfold table
    if together > 0:
        together = max(0.0, together - faces / 2)  # his correction for continuity
    shared = together / math.sqrt(spread) if spread else 0.0

    def distance(below, above):
        return math.sqrt(max(0.0, below**2 - 2 * shared * below * above + above**2))

    return (
        p - q - distance(p - low, other_high - q),
        p - q + distance(high - p, q - other_low),
    )
