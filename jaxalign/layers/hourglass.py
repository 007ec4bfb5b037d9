"""The hourglass, its HPM block (Bulat and Tzimiropoulos, 2017) and its older bottleneck, NHWC."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import LECUN, convolution
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import average_pool, blur_pool, upsample


class HPM(nn.Module):
    """Hierarchical, parallel, multi-scale block.

    Three 3x3 convolutions of C/2, C/4, C/4 channels, each on the one before, concatenated, plus the
    shortcut. Pre-activation, no biases.
    """

    channels: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = LECUN

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(
            convolution,
            use_bias=False,
            padding="SAME",
            dtype=self.dtype,
            kernel_init=self.kernel_init,
        )
        norm = partial(batch_norm, train, dtype=self.dtype)
        parts, y = [], x
        for i, share in enumerate((2, 4, 4), 1):
            y = nn.relu(norm(f"bn{i}")(y))
            y = conv(self.channels // share, (3, 3), name=f"conv{i}")(y)
            parts.append(y)
        if x.shape[-1] != self.channels:
            x = conv(self.channels, (1, 1), name="shortcut")(nn.relu(norm("shortcut_bn")(x)))
        return jnp.concatenate(parts, -1) + x


class Bottleneck(nn.Module):
    """ResNet's block as Newell et al. (2016) have it, pre-activated.

    Convolutions 1x1, 3x3 and 1x1 of C/2, C/2, C channels, plus the shortcut. No biases.
    """

    channels: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = LECUN

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(convolution, use_bias=False, dtype=self.dtype, kernel_init=self.kernel_init)
        norm = partial(batch_norm, train, dtype=self.dtype)
        y = x
        for i, (share, kernel) in enumerate(((2, 1), (2, 3), (1, 1)), 1):
            y = nn.relu(norm(f"bn{i}")(y))
            y = conv(self.channels // share, (kernel, kernel), name=f"conv{i}")(y)
        if x.shape[-1] != self.channels:
            x = conv(self.channels, (1, 1), name="shortcut")(nn.relu(norm("shortcut_bn")(x)))
        return y + x


class Hourglass(nn.Module):
    """Depth-n hourglass: 3n + 1 blocks; the input's side must divide by 2^n.

    With `levels` it returns the outputs of all n levels, (B, h, w, C), (B, h/2, w/2, C), ...;
    without, only the first. `pool` halves the sides.
    """

    depth: int = 4
    channels: int = 256
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = LECUN
    levels: bool = False
    block: Callable = HPM
    pool: Callable = average_pool

    @nn.compact
    def __call__(self, x, train: bool):
        block = partial(self.block, self.channels, self.dtype, self.kernel_init)
        up = block(name="up")(x, train)
        low, deeper = block(name="low_in")(self.pool(x), train), []
        if self.depth > 1:
            settings = self.channels, self.dtype, self.kernel_init, True, self.block, self.pool
            deeper = Hourglass(self.depth - 1, *settings, name="inner")(low, train)
            low = deeper[0]
        else:
            low = block(name="innermost")(low, train)
        low = block(name="low_out")(low, train)
        out = up + upsample(low)
        return [out, *deeper] if self.levels else out


def stem(images, train: bool, width: int, dtype, block=HPM, pool=average_pool, blur=0):
    """FAN's stem: (B, S, S, 3) -> (B, S/4, S/4, width). Called inside a compact module.

    `blur` > 0 taps: its convolution has stride 1, and blur_pool behind the ReLU halves the sides
    (Zhang, ICML 2019), for four times the convolution's multiply-adds.
    """
    block, stride = partial(block, dtype=dtype), 1 if blur else 2
    conv = nn.Conv(width // 4, (7, 7), strides=stride, padding=3, dtype=dtype, name="stem")
    x = nn.relu(batch_norm(train, "stem_bn", dtype=dtype)(conv(images)))
    x = blur_pool(x, blur) if blur else x
    x = pool(block(width // 2, name="stem_block1")(x, train))
    x = block(width // 2, name="stem_block2")(x, train)
    return block(width, name="stem_block3")(x, train)


def one_stack(
    i, x, train, maps, dtype, kernel_init=LECUN, block=HPM, pool=average_pool, remat=False
):
    """The i-th hourglass of a stack on x (B, h, w, C).

    Gives its levels, the features (B, h, w, C) that its maps are read off, and the maps (B, h, w,
    maps). With `remat`, the gradients compute the hourglass once more instead of keeping what is
    inside it. Called inside a compact module.
    """
    width = x.shape[-1]
    conv = partial(convolution, kernel_size=(1, 1), dtype=dtype, kernel_init=kernel_init)
    settings = width, dtype, kernel_init, True, block, pool
    hourglass = nn.remat(Hourglass, static_argnums=(2,)) if remat and train else Hourglass
    levels = hourglass(4, *settings, name=f"hourglass{i}")(x, train)
    y = block(width, dtype, kernel_init, name=f"block{i}")(levels[0], train)
    y = conv(width, name=f"merge{i}")(y)
    y = nn.relu(batch_norm(train, f"merge{i}_bn", dtype=dtype)(y))
    return levels, y, conv(maps, name=f"maps{i}")(y)


def fed_back(i, x, features, maps, dtype, kernel_init=LECUN, reuse=True):
    """The next hourglass's input: what the i-th one gave and, with `reuse`, its own input x.

    Called inside a compact module, as one_stack.
    """
    conv = partial(convolution, x.shape[-1], (1, 1), dtype=dtype, kernel_init=kernel_init)
    given = conv(name=f"features_back{i}")(features)
    return (x + given if reuse else given) + conv(name=f"maps_back{i}")(maps)


def stacked(
    x, train: bool, stacks: int, maps: int, dtype, kernel_init=LECUN, reuse=True, remat=False
):
    """Stacked hourglasses: maps are read off each one's features, and both are added back (FAN).

    They are added to its own input or, without `reuse`, replace it. (B, h, w, C) -> the maps of
    every stack (B, h, w, maps), the levels of the last hourglass, and the features (B, h, w, C)
    that the last maps are read off. Called inside a compact module, whose layers it names.
    """
    found = []
    for i in range(1, stacks + 1):
        levels, y, last = one_stack(i, x, train, maps, dtype, kernel_init, remat=remat)
        found.append(last)
        if i < stacks:
            x = fed_back(i, x, y, last, dtype, kernel_init, reuse)
    return found, levels, y
