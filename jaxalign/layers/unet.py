"""The U-Net (Ronneberger et al., MICCAI 2015) as TAB's BALT module has it, NHWC."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxalign.layers.conv import LECUN, convolution
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import max_pool


def upsample_bilinear(x):
    """(B, h, w, C) -> (B, 2h, 2w, C), bilinear, corner pixel on corner pixel ("align_corners")."""
    along_y, along_x = (_interpolation(n) for n in x.shape[1:3])
    product = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    with jax.named_scope("resample"):
        y = product("ih,bhwc->biwc", along_y, x.astype(jnp.float32))
        return product("jw,biwc->bijc", along_x, y).astype(x.dtype)


def _interpolation(n: int) -> np.ndarray:
    """(2n, n) weights of n pixels at 2n places from the first one to the last."""
    places = np.linspace(0, n - 1, 2 * n)
    return np.maximum(0, 1 - abs(places[:, None] - np.arange(n))).astype(np.float32)


class UNetConv(nn.Module):
    """Two 3x3 convolutions without biases, each normalised and rectified."""

    channels: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = LECUN
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x, train: bool):
        for i in (1, 2):
            conv = convolution(
                self.channels,
                (3, 3),
                padding=1,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=self.kernel_init,
                name=f"conv{i}",
            )
            norm = batch_norm(train, f"bn{i}", dtype=self.dtype, momentum=self.momentum)
            x = nn.relu(norm(conv(x)))
        return x


class UNet(nn.Module):
    """(B, h, w, C) -> (B, h, w, 2 width), through strides 2, 4, 8 and 16; sides divide by 16.

    `added` are four summands, arrays or 0, of the encoder at strides 1, 2, 4, 8, which has
    `width` x (1, 2, 4, 8) channels: the sums go both on to the next stride and, with `skips`,
    beside the decoder's features of the same side. `momentum` of batch norm as PyTorch counts it.
    """

    width: int = 48
    skips: bool = True
    dtype: jnp.dtype = jnp.float32
    kernel_init: Callable = LECUN
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x, added, train: bool):
        block = partial(
            UNetConv, dtype=self.dtype, kernel_init=self.kernel_init, momentum=self.momentum
        )
        x = block(self.width, name="in")(x, train)
        encoded = []
        for level, (factor, summand) in enumerate(zip((2, 4, 8, 8), added, strict=True), 1):
            encoded.append(x + summand)
            x = block(self.width * factor, name=f"down{level}")(max_pool(encoded[-1]), train)
        for level, factor in enumerate((4, 2, 1, 2), 1):
            x = upsample_bilinear(x)
            if self.skips:
                x = jnp.concatenate([encoded[-level], x], -1)
            x = block(self.width * factor, name=f"up{level}")(x, train)
        return x
