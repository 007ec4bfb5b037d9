"""The first three stages of VGG16 with batch norm (Simonyan and Zisserman, ICLR 2015), NHWC."""

import re
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import convolution
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import max_pool


class VGG16BNStem(nn.Module):
    """(B, S, S, 3) -> one feature, [(B, S/4, S/4, 4 width)].

    torchvision's vgg16_bn, features[0:23]; 1,737,792 parameters at its width 64.
    """

    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        conv = partial(convolution, kernel_size=(3, 3), padding=1, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        x = images
        for i, factor in enumerate((1, 1, 2, 2, 4, 4, 4), 1):
            x = nn.relu(norm(f"bn{i}")(conv(factor * self.width, name=f"conv{i}")(x)))
            if i in (2, 4):
                x = max_pool(x)
        return [x]


CONVOLUTIONS = (0, 3, 7, 10, 14, 17, 20)  # their places in torchvision's `features`


def torch_name(path: str) -> str | None:
    """The layer in torchvision's vgg16_bn; a norm follows its convolution."""
    found = re.fullmatch(r"(conv|bn)([1-7])", path)
    return found and f"features.{CONVOLUTIONS[int(found[2]) - 1] + (found[1] == 'bn')}"
