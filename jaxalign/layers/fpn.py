"""Feature pyramid (Lin et al., CVPR 2017) read at its finest level, NHWC."""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import convolution
from jaxalign.layers.pooling import larger, upsample


RECTIFIERS = {
    "leaky": lambda x: larger(x, 0.1 * x),  # nn.leaky_relu selects, slowly in ONNX Runtime
    "relu": nn.relu,
    "none": lambda x: x,
}


class FPN(nn.Module):
    """Features at strides 4, 8, 16, ... -> (B, S/4, S/4, width) of all of them.

    Lateral 1x1 convolutions to `width` channels, from the coarsest down upsampled and added; 3x3
    smoothing of the finest level, the only one that is read. `rectifier`, one of RECTIFIERS,
    follows; "none" as published. The leaky ReLU is ours: between linear layers coarse features
    could shift fine ones, but not gate them; and a plain ReLU dies on targets that are mostly zero,
    such as heatmaps (docs/results/gaussian_vector.md).
    """

    width: int = 256
    dtype: jnp.dtype = jnp.float32
    rectifier: str = "leaky"

    @nn.compact
    def __call__(self, features):
        lateral = partial(nn.Dense, self.width, dtype=self.dtype)  # on CPUs faster than a 1x1 Conv
        x = lateral(name=f"lateral{len(features)}")(features[-1])
        for level in range(len(features) - 1, 0, -1):
            x = upsample(x) + lateral(name=f"lateral{level}")(features[level - 1])
        smooth = convolution(self.width, (3, 3), padding=1, dtype=self.dtype, name="smooth")
        return RECTIFIERS[self.rectifier](smooth(x))
