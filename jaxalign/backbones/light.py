"""A small residual encoder for CPUs, NHWC; it is not from a paper."""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from jaxalign.backbones.resnet import stages
from jaxalign.layers.conv import as_written, convolution, dense
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import average_pool


def patches(images, side: int):
    """The pixels of each square as channels.

    Args:
        images: (B, H, W, C).
        side: Side of the squares, pixels; it divides H and W.

    Returns:
        (B, H/side, W/side, side^2 C).
    """
    batch, height, width, channels = images.shape
    x = images.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


def relu_apart(x):
    """ReLU, on CPUs compiled apart from what precedes and follows it.

    There XLA computes a sum anew in each layer that reads it, with the sums that it is made of:
    without a border between blocks, every layer repeats all blocks on the way to it.

    Args:
        x: Any shape.

    Returns:
        The same shape.
    """
    if as_written.value:
        return nn.relu(x)
    return lax.platform_dependent(x, cpu=_called, default=nn.relu)


def _called(x):
    with set_xla_metadata(inlineable="false"):
        return nn.relu(x)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016).

    Attributes:
        channels: Output channels.
        stride: Input pixels per output pixel.
        dtype: Type of the computations.
    """

    channels: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(convolution, use_bias=False, padding=1, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        y = conv(self.channels, (3, 3), strides=self.stride, name="conv1")(x)
        y = nn.relu(norm("bn1")(y))
        y = norm("bn2")(conv(self.channels, (3, 3), name="conv2")(y))
        if x.shape != y.shape:
            x = average_pool(x) if self.stride == 2 else x
            x = dense(self.channels, use_bias=False, dtype=self.dtype, name="shortcut")(x)
            x = norm("shortcut_bn")(x)
        return relu_apart(x + y)


class Light(nn.Module):
    """(B, S, S, 3) -> features at strides 4, 8, 16, 32 of `width` x (1, 2, 4, 4) channels.

    The stem is one 3x3 convolution over 4x4 patches (12x12 pixels): on CPUs a tenth of the cost of
    strided convolutions at full resolution.

    Attributes:
        width: Channels of the first stage.
        blocks: Blocks of each stage.
        dtype: Type of the computations.
    """

    width: int = 64
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        conv = partial(convolution, use_bias=False, padding=1, dtype=self.dtype)
        x = conv(self.width, (3, 3), name="stem")(patches(images, 4))
        x = nn.relu(batch_norm(train, "stem_bn", dtype=self.dtype)(x))
        block = partial(ResidualBlock, dtype=self.dtype)
        return stages(x, train, block, [self.width * n for n in (1, 2, 4, 4)], self.blocks)
