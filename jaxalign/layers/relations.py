"""Points corrected by the places of the others."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding
from jaxalign.layers.norm import batch_norm


REST = 0.05  # unit of the remainder of a shape, in RMS radii
NOISE = 0.01  # error of a point assumed when the amounts are read, in RMS radii
STEP = 0.1  # unit of the corrections, in RMS radii
FARTHEST = 5.0  # most standard deviations of a shape from the mean


class Relations(nn.Module):
    """Points (B, K, 2), each found alone, corrected by the shape that they make.

    Maps find points one by one: neighbours differ in their errors, and only its ends show the even
    spread of a contour. The shape, turned and scaled onto the mean (decoding.onto), enters as
    coefficients of the `modes` of the training faces (layers.facts.shape_modes), all of one size,
    and the remainder. A linear map and one hidden layer, which also sees the features (B, C) of the
    whole face, give the correction, at first none. No gradient passes through the shape: each map
    must find its point itself.
    """

    hidden: int

    @nn.compact
    def __call__(self, points, features, modes, train: bool):
        mean, ways = modes[:1], modes[1:]
        found = jax.lax.stop_gradient(points) + 1e-4 * mean  # equal points have no shape
        shape, _, turn = decoding.onto(found, mean[0])
        seen = shape - mean
        amounts = decoding.amounts(seen, ways, NOISE)
        rest = seen - decoding.einsum("bm,mkd->bkd", amounts, ways)
        x = jnp.concatenate([amounts, rest.reshape(len(points), -1) / REST], -1)
        x = jnp.clip(x, -FARTHEST, FARTHEST)

        wide = 2 * points.shape[1]
        start = nn.initializers.zeros_init()
        y = nn.Dense(wide, kernel_init=start, name="linear")(x)
        context = nn.Dense(64, name="context")(features.astype(jnp.float32))
        h = nn.Dense(self.hidden, name="hidden")(jnp.concatenate([x, context], -1))
        h = nn.relu(batch_norm(train, "hidden_bn")(h))
        y = y + nn.Dense(wide, kernel_init=start, name="correction")(h)
        return points + STEP * decoding.back(y.reshape(points.shape), turn)
