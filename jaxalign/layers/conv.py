"""Convolutions, NHWC, in forms that are quick on CPUs.

Those of one pixel are matrix products; 3x3 kernels have gradients of their own.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax


LECUN = nn.initializers.lecun_normal()  # the start of linen's convolutions


class Pointwise(nn.Module):
    """A 1x1 convolution as one matrix product, which XLA computes two to four times faster on CPUs.

    (B, h, w, C) -> (B, ceil(h / strides), ceil(w / strides), features). Its parameters are those of
    nn.Conv: kernel (1, 1, C, features), bias (features,).
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


LARGE = 24 * 24  # pixels of a map from which kernel_gradient is quicker than XLA's on CPUs


def convolve(x, kernel):
    """The convolution by a 3x3 kernel with stride 1 and a border of zeros.

    (B, h, w, C), (3, 3, C, D) -> (B, h, w, D). On CPUs, kernel_gradient is the gradient of the
    kernel for large maps.
    """
    return _convolve(x, kernel) if x.shape[1] * x.shape[2] >= LARGE else _plain(x, kernel)


def kernel_gradient(x, gradient):
    """The gradient of `convolve`'s kernel, (3, 3, C, D).

    From its input (B, h, w, C) and the gradient of its output (B, h, w, D): for each image three
    matrix products, one for each row of the kernel. XLA's own takes up to three times as long on
    CPUs.
    """
    _, height, width, channels = x.shape
    outputs = gradient.shape[-1]

    def add(total, image):
        x, gradient = image
        x = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
        columns = jnp.concatenate([x[:, j : j + width] for j in range(3)], -1)
        columns, gradient = columns.reshape(-1, 3 * channels), gradient.reshape(-1, outputs)
        rows = [columns[i * width : (i + height) * width] for i in range(3)]
        products = [jnp.matmul(row.T, gradient, preferred_element_type=jnp.float32) for row in rows]
        return [one + more for one, more in zip(total, products, strict=True)], None

    zero = jnp.zeros((3 * channels, outputs), jnp.float32)
    total, _ = lax.scan(add, [zero] * 3, (x, gradient))
    return jnp.stack(total).reshape(3, 3, channels, outputs).astype(x.dtype)


def _plain(x, kernel):
    border = ((1, 1), (1, 1))
    return lax.conv_general_dilated(
        x, kernel, (1, 1), border, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


_convolve = jax.custom_vjp(_plain)


def _forward(x, kernel):
    return _plain(x, kernel), (x, kernel)


def _backward(saved, gradient):
    x, kernel = saved
    _, of_x = jax.vjp(lambda x: _plain(x, kernel), x)

    def xla(x, gradient):
        return jax.vjp(lambda kernel: _plain(x, kernel), kernel)[1](gradient)[0]

    of_kernel = lax.platform_dependent(x, gradient, cpu=kernel_gradient, default=xla)
    return *of_x(gradient), of_kernel


_convolve.defvjp(_forward, _backward)


def _as_linen(x, kernel, *_, **settings):
    """`convolve` with linen's arguments, which only confirm what it does anyway."""
    return convolve(x, kernel)


def convolution(features: int, kernel_size: tuple[int, int], **settings) -> nn.Module:
    """nn.Conv with its settings, in the quickest form.

    Pointwise if the kernel is a single pixel, and `convolve` if it is 3x3 and keeps the size.
    Strides are whole numbers, the same for both axes.
    """
    plain = settings.get("feature_group_count", 1) == 1
    if plain and kernel_size == (1, 1):
        settings.pop("feature_group_count", None)
        assert settings.pop("padding", "SAME") in (0, "SAME")
        return Pointwise(features, **settings)
    keeps = settings.get("padding", "SAME") in (1, "SAME") and settings.get("strides", 1) == 1
    if plain and kernel_size == (3, 3) and keeps:
        settings["conv_general_dilated"] = _as_linen
    return nn.Conv(features, kernel_size, **settings)
