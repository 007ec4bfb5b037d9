"""Stacked hourglasses on landmark heatmaps: FAN (Bulat and Tzimiropoulos, ICCV 2017).

The stem reduces images to a quarter of their side. Then come `stacks` times: an hourglass of HPM
blocks, landmark maps, and both added back to the features. Every stack is supervised, by the mean
squared error to Gaussian maps unless another loss is chosen; the last one is decoded.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.layers.hourglass import stacked, stem
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel


class HourglassNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> landmark maps (B, S/4, S/4, K) of each stack, last best.

    Attributes:
        points: K.
        stacks: Number of hourglasses.
        channels: Channels of the features.
        remat: Keep less for the gradients, see layers.hourglass.one_stack.
        dtype: Type of the computations.
    """

    points: int
    stacks: int
    channels: int = 256
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        x = stem(images, train, self.channels, self.dtype)
        return stacked(x, train, self.stacks, self.points, self.dtype, remat=self.remat)[0]


@dataclass(frozen=True)
class StackedHourglass(SingleNetwork):
    """FAN; `stacks` 1, 2 or 4 with 68 points have 6,249,668 / 12,106,504 / 23,820,176 parameters.

    With `outside` "kept", a point outside the crop leaves the part of its Gaussian that reaches in.

    Attributes:
        stacks: Number of hourglasses, 1 to 32.
        channels: Channels of the features, a multiple of 8.
        criterion: Loss of the maps, one of losses.LOSSES.
        sigma: Width of the target Gaussian, map pixels.
        decoder: "quarter" (argmax with the quarter shift), "argmax", or "soft" (centre of mass
            around the argmax).
        remat: Train with less memory, in more time: the gradients compute each hourglass again.
    """

    stacks: int = 4
    channels: int = 256
    criterion: str = "mse"
    sigma: float = 1.5
    decoder: str = "quarter"
    remat: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=STRIDE * 16, channels=8)
        self.check_least(stacks=1)
        self.check_most(stacks=32)
        self.check_above(0, "sigma")
        self.check_choices(criterion=losses.LOSSES, decoder=decoding.DECODERS)

    @property
    def idle(self):
        found = losses.idle_decoder(self.criterion)
        return found | losses.idle_maps(self.criterion, "sigma")

    @property
    def network(self):
        return HourglassNetwork(
            points=self.points.num_points,
            stacks=self.stacks,
            channels=self.channels,
            remat=self.remat,
            dtype=jnp.dtype(self.dtype),
        )

    def decode(self, maps):
        logits = losses.LOSSES[self.criterion].logits
        points, score = decoding.read(maps[-1], self.decoder, logits)
        return geometry.from_map(points, STRIDE), score

    def errors(self, outputs, batch):
        label = losses.Label(
            points=geometry.to_map(batch["points"], STRIDE),
            maps=targets.gaussian_maps(batch["points"], STRIDE, self.size, self.sigma, cut=3),
        )
        loss = losses.LOSSES[self.criterion].call
        counted = self.counted(batch)
        per_stack = [losses.weighted_mean(loss(maps, label), counted, axis=-1) for maps in outputs]
        return sum(per_stack), {f"stack{i}": value for i, value in enumerate(per_stack, 1)}
