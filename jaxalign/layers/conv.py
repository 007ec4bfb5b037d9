"""Convolutions, NHWC, in forms that are quick on CPUs.

Those of one pixel are matrix products. 3x3 kernels on many pixels have forms of their own, which
`as_written` turns off for a program that is read and not run.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxalign.layers import winograd
from jaxalign.layers.pooling import every


LECUN = nn.initializers.lecun_normal()  # the start of linen's convolutions


@jax.custom_vjp
def product(x, kernel):
    """The matrix product (..., C), (C, D) -> (..., D).

    On CPUs XLA transposes the first factor of the kernel's gradient. JAX would make that the
    gradient of the output, and XLA compute it a second time, column by column; here it is x.
    """
    return jnp.matmul(x, kernel)


def _product_gradients(saved, gradient):
    x, kernel = saved
    rows, columns = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    return jnp.matmul(gradient, kernel.T), jnp.matmul(rows.T, columns)


product.defvjp(lambda x, kernel: (product(x, kernel), (x, kernel)), _product_gradients)


def dense(features: int, **settings) -> nn.Dense:
    """nn.Dense with its settings, by `product`."""
    return nn.Dense(
        features, dot_general=lambda x, kernel, *_, **__: product(x, kernel), **settings
    )


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
        for axis in (1, 2):
            x = every(self.strides, x, axis)
        y = product(x, kernel[0, 0])
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


LARGE = 12 * 12  # pixels of a map from which strided_kernel_gradient is quicker than XLA's on CPUs


def convolve(x, kernel, stride: int = 1):
    """The convolution by a 3x3 kernel with a border of one zero.

    (B, h, w, C), (3, 3, C, D) -> (B, ceil(h / stride), ceil(w / stride), D). On CPUs the gradient
    of the kernel is computed by `winograd` for many pixels and channels, and by
    `strided_kernel_gradient` for strides on LARGE maps; the output and the gradient of the input
    are computed by `winograd` for very many.
    """
    own = _kernel_gradient(x, kernel, stride)
    return (_plain if own is None else _convolve)(x, kernel, stride)


def strided_kernel_gradient(x, gradient, stride: int):
    """The gradient of `convolve`'s kernel for any stride, (3, 3, C, D).

    One matrix product for each image, of all pixels under each weight of the kernel.
    """
    _, height, width, outputs = gradient.shape
    channels = x.shape[-1]

    def add(total, pair):
        image, gradient = pair
        image = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
        seen = [image[i::stride, j::stride][:height, :width] for i in range(3) for j in range(3)]
        seen = jnp.concatenate(seen, -1).reshape(height * width, -1)
        gradient = gradient.reshape(height * width, outputs)
        return total + jnp.matmul(seen.T, gradient, preferred_element_type=jnp.float32), None

    total, _ = lax.scan(add, jnp.zeros((9 * channels, outputs), jnp.float32), (x, gradient))
    return total.reshape(3, 3, channels, outputs).astype(x.dtype)


def _plain(x, kernel, stride=1):
    strides, border = (stride, stride), ((1, 1), (1, 1))
    return lax.conv_general_dilated(
        x, kernel, strides, border, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


# `with as_written(True):` traces convolutions as such, to count them or to convert the program
as_written = jax.make_user_context(False)


def _many(x, kernel, pixels, channels):
    """Whether there are so many channels, and so many pixels for each of the more channels."""
    batch, height, width, _ = x.shape
    batch = batch if isinstance(batch, int) else 1  # a program for batches of any size
    fewer, more = sorted(kernel.shape[2:])
    return fewer >= channels and batch * height * width >= pixels * more and x.dtype == jnp.float32


def _kernel_gradient(x, kernel, stride):
    """What computes the gradient of the kernel more quickly than XLA on CPUs, if anything."""
    if stride > 1:
        large = x.shape[1] * x.shape[2] >= LARGE * stride**2
        return partial(strided_kernel_gradient, stride=stride) if large else None
    return winograd.kernel_gradient if _many(x, kernel, 4, 48) else None


def _quickest(x, kernel, stride):
    if stride > 1 or as_written.value or not _many(x, kernel, 16, 192):
        return _plain(x, kernel, stride)
    return lax.platform_dependent(x, kernel, cpu=winograd.convolve, default=_plain)


_convolve = jax.custom_vjp(_quickest, nondiff_argnums=(2,))


def _forward(x, kernel, stride):
    return _quickest(x, kernel, stride), (x, kernel)


def _backward(stride, saved, gradient):
    x, kernel = saved

    def xla(x, gradient):
        return jax.vjp(lambda kernel: _plain(x, kernel, stride), kernel)[1](gradient)[0]

    if stride == 1:
        of_x = _quickest(gradient, kernel[::-1, ::-1].swapaxes(2, 3), stride)
    else:
        (of_x,) = jax.vjp(lambda x: _plain(x, kernel, stride), x)[1](gradient)
    if as_written.value:
        return of_x, xla(x, gradient)
    own = _kernel_gradient(x, kernel, stride)
    return of_x, lax.platform_dependent(x, gradient, cpu=own, default=xla)


_convolve.defvjp(_forward, _backward)


def _as_linen(x, kernel, strides, *_, **settings):
    """`convolve` with linen's arguments, which only confirm what it does anyway."""
    return convolve(x, kernel, strides[0])


def zeros_around(x, reach: int, axes: tuple[int, ...]):
    """Puts `reach` zeros around x, along each of the axes.

    By concatenation: jnp.pad of a batch of any size has no way to ONNX.
    """
    for axis in axes:
        zeros = jnp.zeros([reach if i == axis else n for i, n in enumerate(x.shape)], x.dtype)
        x = jnp.concatenate([zeros, x, zeros], axis)
    return x


LINENS_OWN = {"kernel_dilation", "input_dilation", "mask", "precision"}  # settings of nn.Conv alone


def convolution(features: int, kernel_size: tuple[int, int], **settings) -> nn.Module:
    """nn.Conv with its settings, in the quickest form.

    Pointwise if the kernel is a single pixel, and `convolve` if it is 3x3 with a border of one
    zero, unless a setting asks for what they do not have. Strides are whole numbers, the same for
    both axes.
    """
    plain = settings.get("feature_group_count", 1) == 1 and not settings.keys() & LINENS_OWN
    if plain and kernel_size == (1, 1):
        settings.pop("feature_group_count", None)
        assert settings.pop("padding", "SAME") in (0, "SAME")
        return Pointwise(features, **settings)
    borders = (1,) if settings.get("strides", 1) > 1 else (1, "SAME")
    if plain and kernel_size == (3, 3) and settings.get("padding", "SAME") in borders:
        settings["conv_general_dilated"] = _as_linen
    return nn.Conv(features, kernel_size, **settings)
