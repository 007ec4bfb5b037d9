"""Convolutions, NHWC, in forms that are quick on CPUs.

Those of one pixel are matrix products. 3x3 kernels on large maps have forms of their own, which
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

from jaxalign.layers.pooling import every


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
        for axis in (1, 2):
            x = every(self.strides, x, axis)
        y = jnp.matmul(x, kernel[0, 0])
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


LARGE = 12 * 12  # pixels of a map from which kernel_gradient is quicker than XLA's on CPUs
WIDE = 40 * 40  # pixels of a map from which `products` is quicker than XLA's on CPUs,
CHANNELS = range(48, 97)  # for so many channels of the output


def convolve(x, kernel, stride: int = 1):
    """The convolution by a 3x3 kernel with a border of one zero.

    (B, h, w, C), (3, 3, C, D) -> (B, ceil(h / stride), ceil(w / stride), D). On CPUs, matrix
    products compute the gradient of the kernel on LARGE maps, by `kernel_gradient` or
    `strided_kernel_gradient`, and with stride 1 the output and the gradient of the input on WIDE
    maps of CHANNELS, by `products`.
    """
    large = x.shape[1] * x.shape[2] >= LARGE * stride**2
    return (_convolve if large else _plain)(x, kernel, stride)


def products(x, kernel):
    """What `convolve` gives, by one matrix product for each image, (h + 2) w x 3C times 3C x 3D.

    It sums what the three rows of the kernel give. XLA's own takes up to twice as long on CPUs.
    """
    _, height, width, channels = x.shape
    outputs = kernel.shape[-1]
    kernels = kernel.transpose(1, 2, 0, 3).reshape(3 * channels, 3 * outputs)

    def one(image):
        rows = jnp.matmul(_columns(image), kernels).reshape(height + 2, width, 3, outputs)
        return rows[:-2, :, 0] + rows[1:-1, :, 1] + rows[2:, :, 2]

    return lax.map(one, x)


def kernel_gradient(x, gradient):
    """The gradient of `convolve`'s kernel for stride 1, (3, 3, C, D).

    From its input (B, h, w, C) and the gradient of its output (B, h, w, D): one matrix product for
    each image, 3C x (h + 2) w times (h + 2) w x 3D. XLA's own takes up to ten times as long on
    CPUs.
    """
    _, height, _, channels = x.shape
    outputs = gradient.shape[-1]

    def matrices(image, gradient):
        rows = jnp.pad(gradient, ((2, 2), (0, 0), (0, 0)))
        rows = jnp.concatenate([rows[2 - i : height + 4 - i] for i in range(3)], -1)
        return _columns(image), rows.reshape(-1, 3 * outputs)

    total = _summed(matrices, x, gradient).reshape(3, channels, 3, outputs)
    return total.transpose(2, 0, 1, 3).astype(x.dtype)


def strided_kernel_gradient(x, gradient, stride: int):
    """The gradient of `convolve`'s kernel for any stride, (3, 3, C, D).

    One matrix product for each image, of all pixels under each weight of the kernel.
    """
    _, height, width, outputs = gradient.shape

    def matrices(image, gradient):
        image = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
        seen = [image[i::stride, j::stride][:height, :width] for i in range(3) for j in range(3)]
        seen = jnp.concatenate(seen, -1).reshape(height * width, -1)
        return seen, gradient.reshape(-1, outputs)

    total = _summed(matrices, x, gradient)
    return total.reshape(3, 3, x.shape[-1], outputs).astype(x.dtype)


def _summed(matrices, x, gradient):
    """The sum over images, one after the other, of a^T b, their two `matrices` a and b."""

    def product(image, gradient):
        a, b = matrices(image, gradient)
        return jnp.matmul(a.T, b, preferred_element_type=jnp.float32)

    zero = jnp.zeros(jax.eval_shape(product, x[0], gradient[0]).shape, jnp.float32)

    def add(total, pair):
        return total + product(*pair), None

    return lax.scan(add, zero, (x, gradient))[0]


def _columns(image):
    """(h, w, C) -> ((h + 2) w, 3C): each pixel with those left and right of it; zeros around."""
    image = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    height, width, channels = image.shape
    columns = jnp.concatenate([image[:, j : j + width - 2] for j in range(3)], -1)
    return columns.reshape(height * (width - 2), 3 * channels)


def _plain(x, kernel, stride=1):
    strides, border = (stride, stride), ((1, 1), (1, 1))
    return lax.conv_general_dilated(
        x, kernel, strides, border, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


# `with as_written(True):` traces convolutions as such, to count them or to convert the program
as_written = jax.make_user_context(False)


def _quickest(x, kernel, stride):
    large = x.shape[1] * x.shape[2] >= WIDE and kernel.shape[-1] in CHANNELS
    if stride > 1 or not large or as_written.value:
        return _plain(x, kernel, stride)
    return lax.platform_dependent(x, kernel, cpu=products, default=_plain)


_convolve = jax.custom_vjp(_quickest, nondiff_argnums=(2,))


def _forward(x, kernel, stride):
    return _quickest(x, kernel, stride), (x, kernel)


def _backward(stride, saved, gradient):
    x, kernel = saved

    def xla(x, gradient):
        return jax.vjp(lambda kernel: _plain(x, kernel, stride), kernel)[1](gradient)[0]

    if stride == 1:
        of_x = _quickest(gradient, kernel[::-1, ::-1].swapaxes(2, 3), stride)
        own = kernel_gradient
    else:
        (of_x,) = jax.vjp(lambda x: _plain(x, kernel, stride), x)[1](gradient)
        own = partial(strided_kernel_gradient, stride=stride)
    if as_written.value:
        return of_x, xla(x, gradient)
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
