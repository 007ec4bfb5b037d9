"""Error bars: what the means of an evaluation would be on other faces of the same kind.

NME and AUC are means of a number per face. A resample draws N faces from the N with repetition. The
interval holds 95 % of the resamples' means (Efron's percentile bootstrap). It measures the choice
of the faces, not the chance in training. Failure rates have other intervals: see wilson.py.

Examples:
    >>> import numpy as np
    >>> from jaxalign.evaluation.bootstrap import intervals, resampled_means
    >>> nme = np.random.default_rng(0).uniform(0.02, 0.06, (200, 1))
    >>> means = resampled_means(nme, [str(face) for face in range(200)])
    >>> intervals(means).shape
    (1, 2)
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np


RESAMPLES = 1000
LEVEL = 0.95
AT_ONCE = 4_000_000


def resampled_means(
    values: np.ndarray,
    ids: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
    *,
    at_once: int = AT_ONCE,
) -> np.ndarray:
    """Means over resamples of the faces.

    The draws depend on `seed` and on `ids`, but not on their order. So two runs on the same faces
    are resampled alike, and the means of their differences are the differences of their means.

    Args:
        values: (N, S), numbers of faces. A mean is over the drawn faces that are not NaN.
        ids: The name of each face.
        resamples: How many resamples are drawn.
        seed: The seed of the draws.
        at_once: How many draws are held in memory.

    Returns:
        The (resamples, S) means, NaN where no drawn face has a number.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__)
    values = np.asarray(values, np.float64)[order]
    draws = _draws([ids[i] for i in order], resamples, seed, at_once)
    known = ~np.isnan(values)
    if known.all():
        return np.concatenate([counts @ values / len(ids) for counts in draws])
    values, known = np.where(known, values, 0), known * 1.0
    with np.errstate(invalid="ignore"):  # 0 / 0
        return np.concatenate([(counts @ values) / (counts @ known) for counts in draws])


def intervals(means: np.ndarray) -> np.ndarray:
    """The central 95 % of means.

    Args:
        means: (resamples, S). NaN is passed over.

    Returns:
        The (S, 2) ends.
    """
    tail = 100 * (1 - LEVEL) / 2
    ends = np.percentile(means, (tail, 100 - tail), axis=0).T
    gaps = np.isnan(means)
    for column in np.flatnonzero(gaps.any(axis=0) & ~gaps.all(axis=0)):
        known = means[~gaps[:, column], column]
        ends[column] = np.percentile(known, (tail, 100 - tail))
    return ends


def _draws(ids, resamples, seed, at_once) -> Iterator[np.ndarray]:
    """How often each face is drawn, (rows, N) float64, block by block."""
    faces = len(ids)
    name = hashlib.sha256("\n".join(ids).encode()).digest()
    rng = np.random.default_rng((seed, int.from_bytes(name[:8], "little")))
    block = max(1, at_once // faces)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(faces, size=(rows, faces)) + faces * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * faces).reshape(rows, faces) * 1.0
