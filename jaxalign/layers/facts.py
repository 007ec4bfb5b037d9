"""What a network knows about the faces it was trained on."""

import jax
import jax.numpy as jnp
from flax import linen as nn


def mean_shape(module: nn.Module, points: int) -> jax.Array:
    """The mean shape of the training faces.

    It is called inside a compact module and becomes its statistic `mean_shape`. The trainer
    measures statistics with the name of a fact (training.facts) before the first step; until then
    it is a circle.

    Args:
        module: The module.
        points: K.

    Returns:
        (K, 2), shares of the crop's side from its upper left corner.
    """
    angle = 2 * jnp.pi * jnp.arange(points) / points
    circle = 0.5 + 0.3 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
    return module.variable("batch_stats", "mean_shape", lambda: circle).value


MODES = 48


def shape_modes(module: nn.Module, points: int) -> jax.Array:
    """The mean shape of the training faces, and the ways in which they differ from it most.

    The point distribution model of Cootes et al. (1995). Shapes are centred, scaled to a root mean
    square distance of 1 from their centre, and turned onto the mean (decoding.onto). A statistic as
    `mean_shape`; until it is measured it is a circle with modes of 0.

    Args:
        module: The module, inside its compact method.
        points: K.

    Returns:
        (1 + M, K, 2), the mean and the M = MODES largest modes (2K if that is less), each as long
            as its standard deviation.
    """
    angle = 2 * jnp.pi * jnp.arange(points) / points
    circle = jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
    still = jnp.zeros((min(MODES, 2 * points), points, 2))
    start = jnp.concatenate([circle[None], still])
    return module.variable("batch_stats", "shape_modes", lambda: start).value
