"""Convolutions, NHWC, in forms that are quick on CPUs.

Those of one pixel are matrix products, many of 3x3 are Winograd's, and those of single channels
are sums of shifted maps, unless `as_written` says that the program is read and not run.
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


# The start of linen's convolutions. A network that is traced asks it for the shape of every kernel,
# which jit remembers.
LECUN: Callable = jax.jit(nn.initializers.lecun_normal(), static_argnums=(1, 2))


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


# `with as_written(True):` traces convolutions as such, to count them or to convert the program
as_written = jax.make_user_context(False)


def by_pixel(x, kernel):
    """`product`; of maps (B, h, w, C) as a convolution where programs are traced `as_written`."""
    if as_written.value and x.ndim == 4:
        return _plain(x, kernel[None, None])
    return product(x, kernel)


def dense(features: int, **settings) -> nn.Dense:
    """nn.Dense with its settings, `by_pixel`."""
    return nn.Dense(
        features, dot_general=lambda x, kernel, *_, **__: by_pixel(x, kernel), **settings
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
        y = by_pixel(x, kernel[0, 0])
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def convolve(x, kernel):
    """The convolution by a 3x3 kernel with a border of one zero.

    (B, h, w, C), (3, 3, C, D) -> (B, h, w, D). On CPUs `winograd` computes the gradient of the
    kernel where there are many pixels and channels, and where there are very many the output and
    the gradient of the input, too.
    """
    return (_convolve if _many(x, kernel, *FOR_KERNELS) else _plain)(x, kernel)


# Pixels of all maps for each channel of the wider side, and channels of the narrower side, from
# which winograd is quicker than XLA's own on CPUs: for gradients of kernels, and for outputs.
FOR_KERNELS = 4, 48
FOR_OUTPUTS = 16, 192


def _many(x, kernel, pixels, channels):
    batch, height, width, _ = x.shape
    batch = batch if isinstance(batch, int) else 1  # a program for batches of any size
    narrower, wider = sorted(kernel.shape[2:])
    enough = narrower >= channels and batch * height * width >= pixels * wider
    return enough and x.dtype == jnp.float32


def _plain(x, kernel, stride=1, groups=1):
    """XLA's own convolution by a kernel of odd side, with a border of half of it."""
    border = (kernel.shape[0] // 2,) * 2
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), (border, border), dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )  # fmt: skip


def _quickest(x, kernel):
    if as_written.value or not _many(x, kernel, *FOR_OUTPUTS):
        return _plain(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=winograd.convolve, default=_plain)


_convolve = jax.custom_vjp(_quickest)


def _gradients(saved, gradient):
    x, kernel = saved

    def plain(x, gradient):
        return jax.vjp(lambda kernel: _plain(x, kernel), kernel)[1](gradient)[0]

    of_x = _quickest(gradient, kernel[::-1, ::-1].swapaxes(2, 3))
    if as_written.value:
        return of_x, plain(x, gradient)
    own = winograd.kernel_gradient
    return of_x, lax.platform_dependent(x, gradient, cpu=own, default=plain)


_convolve.defvjp(lambda x, kernel: (_quickest(x, kernel), (x, kernel)), _gradients)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x, kernel, stride: int):
    """Each channel's convolution by its own kernel, of odd side n, with n // 2 zeros around.

    (B, h, w, C), (n, n, 1, C) -> (B, ceil(h / stride), ceil(w / stride), C). In float32 on CPUs it
    is a sum of shifted maps, 10 to 40 times as quick as XLA's own, its gradients 3 to 40 times.
    """
    if as_written.value or x.dtype != jnp.float32:
        return _grouped(x, kernel, stride)
    own = partial(_shifted, stride=stride)
    return lax.platform_dependent(x, kernel, cpu=own, default=partial(_grouped, stride=stride))


def _grouped(x, kernel, stride):
    return _plain(x, kernel, stride, x.shape[-1])


def _shifted(x, kernel, stride):
    side, border = kernel.shape[0], kernel.shape[0] // 2
    last = [stride * ((n - 1) // stride) + 1 for n in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    y = 0
    for i in range(side):
        rows = every(stride, x, 1, i, i + last[0])
        for j in range(side):
            y += every(stride, rows, 2, j, j + last[1]) * kernel[None, None, i, j]
    return y


def _depthwise_gradients(stride, saved, gradient):
    x, kernel = saved

    def of(form, x, kernel, gradient):
        return jax.vjp(partial(form, stride=stride), x, kernel)[1](gradient)

    if as_written.value or x.dtype != jnp.float32:
        return of(_grouped, x, kernel, gradient)
    own, plain = partial(of, _shifted), partial(of, _grouped)
    return lax.platform_dependent(x, kernel, gradient, cpu=own, default=plain)


depthwise.defvjp(
    lambda x, kernel, stride: (depthwise(x, kernel, stride), (x, kernel)), _depthwise_gradients
)


def _depthwise_as_linen(x, kernel, strides, padding, **settings):
    """`depthwise` with linen's arguments, if each output has one input channel."""
    if kernel.shape[2] == 1:
        return depthwise(x, kernel, strides[0])
    return lax.conv_general_dilated(x, kernel, strides, padding, **settings)


def _as_linen(x, kernel, *_, **settings):
    """`convolve` with linen's arguments, which only confirm what it does anyway."""
    return convolve(x, kernel)


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

    Pointwise if the kernel is a single pixel, `convolve` if it is 3x3 with a border of one zero
    and no strides, and `depthwise` if each channel has a kernel of odd side with a border of half
    of it, unless a setting asks for what they do not have. Strides are whole numbers, the same for
    both axes.
    """
    settings.setdefault("kernel_init", LECUN)
    groups, plain = settings.get("feature_group_count", 1), not settings.keys() & LINENS_OWN
    side = kernel_size[0]
    odd = side % 2 and kernel_size == (side, side) and settings.get("padding") == side // 2
    if plain and odd and groups == features > 1:
        settings["conv_general_dilated"] = _depthwise_as_linen
        return nn.Conv(features, kernel_size, **settings)
    plain = plain and groups == 1
    if plain and kernel_size == (1, 1):
        settings.pop("feature_group_count", None)
        assert settings.pop("padding", "SAME") in (0, "SAME")
        return Pointwise(features, **settings)
    plain = (
        plain and settings.get("strides", 1) == 1 and settings.get("padding", "SAME") in (1, "SAME")
    )
    if plain and kernel_size == (3, 3):
        settings["conv_general_dilated"] = _as_linen
    return nn.Conv(features, kernel_size, **settings)
