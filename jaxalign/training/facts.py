"""Facts of the training data that networks ask for, measured once before the first step.

A network asks for a fact by a statistic (batch_stats) of its name, as layers.facts.mean_shape does.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxalign import decoding
from jaxalign.errors import InputError
from jaxalign.layers.facts import MODES
from jaxalign.pipeline import Crop
from jaxalign.samples import Sample


def mean_shape(source: Sequence[Sample], crop: Crop) -> np.ndarray:
    """Measures the mean of the faces' points, unaugmented.

    Each point is averaged over the faces on which it is labelled.

    Args:
        source: The faces to train on.
        crop: How a face is cropped.

    Returns:
        (K, 2) float64, shares of the crop's side: 0 at the outer edge of its first pixel, 1 at the
        outer edge of its last.

    Raises:
        InputError: A point is labelled on no face.
    """
    shapes, counts = [], []
    for sample in source:
        centre, side = crop.square(sample)
        shape = (np.asarray(sample["points"], np.float64) - centre) / side + 0.5
        shapes.append(np.where(sample["labelled"][:, None], shape, 0))
        counts.append(sample["labelled"])
    if not np.all(total := np.sum(counts, 0)):
        missing = ", ".join(map(str, np.flatnonzero(total == 0)))
        raise InputError(f"no training face has the points {missing} labelled")
    return np.sum(shapes, 0) / total[:, None]


def shape_modes(source: Sequence[Sample], crop: Crop) -> np.ndarray:
    """Measures the mean shape and the ways to differ from it (layers.facts.shape_modes).

    Args:
        source: The faces to train on; those with all points labelled count.
        crop: How a face is cropped; it does not matter here.

    Returns:
        The mean, then M modes, (1 + M, K, 2); modes that the faces do not show are zero.

    Raises:
        InputError: Fewer than two faces have all points labelled.
    """
    whole = [np.asarray(s["points"], np.float64) for s in source if np.all(s["labelled"])]
    if len(whole) < 2:
        raise InputError("fewer than two training faces have all points labelled")
    shapes = np.stack(whole)
    mean = shapes[0] - shapes[0].mean(0)
    for _ in range(5):
        aligned = decoding.onto(shapes, mean)[0]
        mean = aligned.mean(0)
    faces, points, _ = shapes.shape
    _, spread, ways = np.linalg.svd((aligned - mean).reshape(faces, -1), full_matrices=False)
    modes = np.zeros((min(MODES, 2 * points), points, 2))
    count = min(len(modes), len(ways))
    modes[:count] = (ways * spread[:, None] / np.sqrt(faces))[:count].reshape(count, points, 2)
    return np.concatenate([mean[None], modes])


FACTS: dict[str, Callable[[Sequence[Sample], Crop], np.ndarray]] = {
    "mean_shape": mean_shape,
    "shape_modes": shape_modes,
}


def told(batch_stats: dict, source: Sequence[Sample], crop: Crop) -> dict:
    """Puts the facts that fresh statistics ask for into them.

    Args:
        batch_stats: The fresh statistics.
        source: The faces to train on.
        crop: How a face is cropped.

    Returns:
        The same tree with the facts in it.
    """
    measured = {}

    def fact(path, leaf):
        name = path[-1].key
        if name not in FACTS:
            return leaf
        if name not in measured:
            measured[name] = FACTS[name](source, crop)
        return np.asarray(measured[name], leaf.dtype).reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(fact, batch_stats)
