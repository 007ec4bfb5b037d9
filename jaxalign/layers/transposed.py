"""Transposed convolution ("deconvolution") whose windows overlap by half, NHWC."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype


class TransposedConv(nn.Module):
    """(B, h, w, C) -> (B, s h, s w, channels), s the stride; kernel 2s x 2s, with bias.

    PyTorch's ConvTranspose2d with padding s/2, TensorFlow's with "SAME". The kernel is (2s, 2s, C,
    channels); its entry [0, 0] belongs to the output's upper left pixel. Computed as one matrix
    product, from the four pixels around each corner to the s x s outputs there: XLA's own
    multiplies zeros on CPUs, and takes many times as long at stride 8.
    """

    channels: int
    stride: int = 2
    dtype: jnp.dtype = jnp.float32
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x):
        s, (batch, height, width, inputs) = self.stride, x.shape
        init = nn.initializers.variance_scaling(
            s**2, "fan_in", "truncated_normal", in_axis=(0, 1, 2)
        )  # LeCun's: an output is made of 4 C of the kernel's 4 s^2 C weights
        kernel = self.param("kernel", init, (2 * s, 2 * s, inputs, self.channels))
        bias = self.param("bias", self.bias_init, (self.channels,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)

        # block b of the outputs, moved by s/2, is made of pixel b - 1 by the kernel's second half
        # and of pixel b by its first
        halves = kernel.reshape(2, s, 2, s, inputs, self.channels)[::-1, :, ::-1]
        blocks = halves.transpose(0, 2, 4, 1, 3, 5).reshape(4 * inputs, -1)
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        pairs = [x[:, i : i + height + 1, j : j + width + 1] for i in (0, 1) for j in (0, 1)]
        y = jnp.concatenate(pairs, -1) @ blocks
        y = y.reshape(batch, height + 1, width + 1, s, s, self.channels).swapaxes(2, 3)
        y = y.reshape(batch, (height + 1) * s, (width + 1) * s, self.channels)
        half = s // 2
        return y[:, half:-half, half:-half] + bias.reshape(1, 1, 1, -1)
