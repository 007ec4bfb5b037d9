"""Convolutions, NHWC: of one pixel as matrix products."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype


LECUN = nn.initializers.lecun_normal()  # what linen's convolutions start from


class Pointwise(nn.Module):
    """(B, h, w, C) -> (B, ceil(h / strides), ceil(w / strides), features): a 1x1 convolution as one
    matrix product, which XLA computes two to four times faster on CPUs.

    Its parameters are those of nn.Conv: kernel (1, 1, C, features), bias (features,).
    """

    features: int
    strides: int = 1
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable = LECUN
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x):
        shape = 1, 1, x.shape[-1], self.features
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = jnp.matmul(x[:, :: self.strides, :: self.strides], kernel[0, 0])
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def zeros_around(x, reach: int, axes: tuple[int, ...]):
    """x between `reach` zeros on either side, along each of the axes. (jnp.pad of a batch of any
    size has no way to ONNX.)"""
    for axis in axes:
        zeros = jnp.zeros([reach if i == axis else n for i, n in enumerate(x.shape)], x.dtype)
        x = jnp.concatenate([zeros, x, zeros], axis)
    return x


def convolution(features: int, kernel_size: tuple[int, int], **settings) -> nn.Module:
    """nn.Conv with its settings, or Pointwise where the kernel is a single pixel. Strides are whole
    numbers, the same for both axes."""
    if kernel_size != (1, 1) or settings.get("feature_group_count", 1) != 1:
        return nn.Conv(features, kernel_size, **settings)
    settings.pop("feature_group_count", None)
    assert settings.pop("padding", "SAME") in (0, "SAME")
    return Pointwise(features, **settings)
