"""Stacked hourglasses on landmark heatmaps: FAN (Bulat and Tzimiropoulos, ICCV 2017).

Stem to a quarter of the input's side, then `stacks` times: hourglass of HPM blocks, landmark
maps, and both added back to the features. Every stack is supervised with the mean squared error
to Gaussian maps; the last one is decoded.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import geometry, losses, targets
from jaxalign.decoding import DECODERS
from jaxalign.errors import InputError
from jaxalign.layers.hourglass import stacked, stem
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel


class HourglassNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> landmark maps (B, S/4, S/4, K) of each stack, last best."""

    points: int
    stacks: int
    channels: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        x = stem(images, train, self.channels, self.dtype)
        return stacked(x, train, self.stacks, self.points, self.dtype)[0]


@dataclass(frozen=True)
class StackedHourglass(SingleNetwork):
    """FAN; `stacks` 1, 2 or 4 with 68 points have 6,249,668 / 12,106,504 / 23,820,176 parameters.

    `sigma` of the target Gaussian in map pixels; `decoder`: quarter (argmax with the quarter
    shift), argmax, or soft (centre of mass around the argmax).
    """

    stacks: int = 4
    channels: int = 256
    sigma: float = 1.5
    decoder: str = "quarter"

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=STRIDE * 16)
        if self.stacks < 1:
            raise InputError(f"system.stacks={self.stacks}: must be at least 1")
        self.check_multiples(channels=8)
        self.check_choices(decoder=DECODERS)

    @property
    def network(self):
        points = self.points.num_points
        return HourglassNetwork(points, self.stacks, self.channels, jnp.dtype(self.dtype))

    def read(self, outputs):
        points, score = DECODERS[self.decoder](outputs[-1].astype(jnp.float32))
        return geometry.from_map(points, STRIDE), score

    def errors(self, outputs, batch):
        target = targets.gaussian_maps(batch["points"], STRIDE, self.size, self.sigma, cut=3)
        per_stack = [losses.mse_maps(maps, target).mean(-1) for maps in outputs]
        return sum(per_stack), {f"stack{i}": value for i, value in enumerate(per_stack, 1)}
