"""The hourglass and its HPM block (Bulat and Tzimiropoulos, 2017), NHWC."""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.norm import batch_norm


def upsample(x):
    """(B, h, w, C) -> (B, 2h, 2w, C), nearest."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def average_pool(x):
    """(B, h, w, C) -> (B, h/2, w/2, C)."""
    return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))


class HPM(nn.Module):
    """Hierarchical, parallel, multi-scale block: three 3x3 convolutions of C/2, C/4, C/4 channels,
    each on the one before, concatenated, plus the shortcut. Pre-activation, no biases."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(nn.Conv, use_bias=False, padding="SAME", dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        parts, y = [], x
        for i, share in enumerate((2, 4, 4), 1):
            y = nn.relu(norm(f"bn{i}")(y))
            y = conv(self.channels // share, (3, 3), name=f"conv{i}")(y)
            parts.append(y)
        if x.shape[-1] != self.channels:
            x = conv(self.channels, (1, 1), name="shortcut")(nn.relu(norm("shortcut_bn")(x)))
        return jnp.concatenate(parts, -1) + x


class Hourglass(nn.Module):
    """Depth-n hourglass: 3n + 1 blocks; the input's side must divide by 2^n."""

    depth: int = 4
    channels: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        block = partial(HPM, self.channels, self.dtype)
        up = block(name="up")(x, train)
        low = block(name="low_in")(average_pool(x), train)
        if self.depth > 1:
            inner = Hourglass(self.depth - 1, self.channels, self.dtype, name="inner")
            low = inner(low, train)
        else:
            low = block(name="innermost")(low, train)
        low = block(name="low_out")(low, train)
        return up + upsample(low)
