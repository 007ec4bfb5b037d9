"""The VGG19-like network of Hsu et al. (arXiv 2005.08649, Fig. 7), NHWC."""

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import convolution
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import max_pool


class ConvBlock(nn.Module):
    """Convolution with bias, batch norm, ReLU; sides stay."""

    channels: int
    kernel: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        kernel = (self.kernel, self.kernel)
        settings = {"padding": self.kernel // 2, "dtype": self.dtype, "name": "conv"}
        x = convolution(self.channels, kernel, **settings)(x)
        return nn.relu(batch_norm(train, "bn", dtype=self.dtype)(x))


class VGG19(nn.Module):
    """(B, S, S, 1) -> features at strides 8, 16 and 32, of 4 width, 8 width and `top` channels.

    75,621,056 parameters at the paper's widths.
    """

    width: int = 64
    top: int = 2048
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        features = []
        for stage, (factor, blocks) in enumerate(((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)), 1):
            for i in range(1, blocks + 1):
                block = ConvBlock(factor * self.width, 3, self.dtype, name=f"conv{stage}_{i}")
                x = block(x, train)
            x = max_pool(x)
            features.append(x)
        for i, kernel in enumerate((7, 1), 1):
            x = ConvBlock(self.top, kernel, self.dtype, name=f"conv6_{i}")(x, train)
        return [features[2], features[3], x]
