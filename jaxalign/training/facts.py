"""Facts of the training data that networks ask for, measured once before the first step.

A network asks by a statistic (batch_stats) of a fact's name, as layers.facts.mean_shape does.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxalign.errors import InputError
from jaxalign.geometry import placed
from jaxalign.pipeline import Crop
from jaxalign.samples import Sample


def mean_shape(source: Sequence[Sample], crop: Crop) -> np.ndarray:
    """The mean of the faces' points (K, 2), unaugmented, shares of the crop's side: 0 at the outer
    edge of its first pixel, 1 at that of its last. Of each point over the faces that have it.

    Errors: InputError where no face has one of them."""
    shapes = []
    for sample in source:
        centre, side = crop.square(sample)
        shapes.append((np.asarray(sample["points"], np.float64) - centre) / side + 0.5)
    known = placed(np.array(shapes))
    if not known.any(0).all():
        lacking = ", ".join(map(str, np.flatnonzero(~known.any(0)).tolist()))
        raise InputError(f"the mean shape is unknown: no training face has the points {lacking}")
    return np.mean(shapes, 0, where=known[..., None])


FACTS: dict[str, Callable[[Sequence[Sample], Crop], np.ndarray]] = {"mean_shape": mean_shape}


def told(batch_stats: dict, source: Sequence[Sample], crop: Crop) -> dict:
    """Fresh statistics -> the same, with the facts that they ask for."""
    measured = {}

    def fact(path, leaf):
        name = path[-1].key
        if name not in FACTS:
            return leaf
        if name not in measured:
            measured[name] = FACTS[name](source, crop)
        return np.asarray(measured[name], leaf.dtype).reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(fact, batch_stats)
