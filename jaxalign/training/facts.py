"""Facts of the training data that networks ask for, measured once before the first step.

A network asks by a statistic (batch_stats) of a fact's name, as layers.facts.mean_shape does.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxalign.errors import InputError
from jaxalign.pipeline import Crop
from jaxalign.samples import Sample


def mean_shape(source: Sequence[Sample], crop: Crop) -> np.ndarray:
    """The mean of the faces' points (K, 2), unaugmented, shares of the crop's side: 0 at the outer
    edge of its first pixel, 1 at that of its last; of each point over the faces that it is labelled
    on. Errors: InputError where that is none."""
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
