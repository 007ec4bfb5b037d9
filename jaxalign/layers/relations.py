"""Points corrected by where the others were found."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding
from jaxalign.layers.norm import batch_norm


REST = 0.05  # what the modes leave of a shape is measured in these; RMS radius is 1
NOISE = 0.01  # of a point, where its shape's amounts of the modes are read
STEP = 0.1  # unit of the corrections, in RMS radii
FARTHEST = 5.0  # standard deviations that a shape is taken to be from the mean, at most


class Relations(nn.Module):
    """(B, K, 2) points that were found each for itself, and (B, C) features of the whole face ->
    (B, K, 2): what the shape that they make says of each, added.

    Maps find points one by one: neighbours differ in their errors, and a contour's even spread is
    seen from its ends alone. The shape, turned and scaled onto the mean (decoding.onto), enters as
    coefficients of the `modes` of the training faces (layers.facts.shape_modes), all of one size,
    and what these leave; a linear map and one hidden layer, which sees the features too, give the
    correction, at first none. No gradient passes through the shape: each map is to find its point.
    """

    hidden: int

    @nn.compact
    def __call__(self, points, features, modes, train: bool):
        mean, ways = modes[:1], modes[1:]
        found = jax.lax.stop_gradient(points) + 1e-4 * mean  # of equal points there is no shape
        shape, _, turn = decoding.onto(found, mean[0])
        seen = shape - mean
        amounts = decoding.amounts(seen, ways, NOISE)
        rest = seen - decoding.einsum("bm,mkd->bkd", amounts, ways)
        x = jnp.concatenate([amounts, rest.reshape(points.shape[0], -1) / REST], -1)
        x = jnp.clip(x, -FARTHEST, FARTHEST)

        wide = 2 * points.shape[1]
        start = nn.initializers.zeros_init()
        y = nn.Dense(wide, kernel_init=start, name="linear")(x)
        context = nn.Dense(64, name="context")(features.astype(jnp.float32))
        h = nn.Dense(self.hidden, name="hidden")(jnp.concatenate([x, context], -1))
        h = nn.relu(batch_norm(train, "hidden_bn")(h))
        y = y + nn.Dense(wide, kernel_init=start, name="correction")(h)
        return points + STEP * decoding.back(y.reshape(points.shape), turn)
