"""A light residual encoder-decoder read by soft-argmax: the model for CPUs and first experiments.

It is not one of the five papers' systems. Landmark logits come at a quarter of the input's side;
points are the mean position under each map's softmax ("integral regression", Sun et al., ECCV
2018). The loss is the Wing loss of the points (Feng et al., CVPR 2018) plus one of the maps: unless
another is chosen, the cross-entropy of each softmax map with a Gaussian around the point, which
keeps it single-peaked (Nibali et al., 2018).
"""

from dataclasses import dataclass, field
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones.light import Light
from jaxalign.layers import facts
from jaxalign.layers.conv import convolution, dense
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import upsample
from jaxalign.layers.relations import Relations
from jaxalign.optimizers import Optimizer
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel


class IntegralNetwork(nn.Module):
    """Encoder Light, and a decoder back to stride 4 with lateral connections.

    (B, S, S, 3) normalised images -> landmark logits (B, S/4, S/4, K), points (B, K, 2) in map
    pixels, and their scores (B, K). The points are the means under the maps.

    Attributes:
        points: K.
        width: Channels of the encoder's first stage.
        blocks: Blocks of each stage of the encoder.
        decoder_width: Channels of the decoder.
        relations: Hidden units that correct the points (layers.relations); 0: none.
        modes: Keep the training faces' shape_modes.
        dtype: Type of the computations.
    """

    points: int
    width: int = 64
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    decoder_width: int = 96
    relations: int = 0
    modes: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        conv = partial(convolution, use_bias=False, padding=1, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)

        levels = Light(self.width, self.blocks, self.dtype, name="encoder")(images, train)
        lateral = partial(dense, self.decoder_width, use_bias=False, dtype=self.dtype)
        y = lateral(name="lateral4")(levels[3])
        for level in (3, 2, 1):
            y = upsample(y) + lateral(name=f"lateral{level}")(levels[level - 1])
            y = nn.relu(norm(f"lateral{level}_bn")(y))
            y = conv(self.decoder_width, (3, 3), name=f"smooth{level}")(y)
            y = nn.relu(norm(f"smooth{level}_bn")(y))
        # no bias: softmax over the map would not see it
        logits = dense(self.points, use_bias=False, dtype=self.dtype, name="logits")(y)
        points, score = decoding.soft_argmax(logits)
        if self.modes:
            modes = facts.shape_modes(self, self.points)
            if self.relations:
                relate = Relations(self.relations, name="relations")
                points = relate(points, levels[3].mean((1, 2)), modes, train)
        return logits, points, score


@dataclass(frozen=True)
class Integral(SingleNetwork):
    """The light model.

    By default points outside the crop are not trained on: a mean place under a map never leaves the
    map.

    Attributes:
        size: Side of the crop, pixels, a multiple of 32.
        outside: Points outside the crop: "masked" or "kept".
        width: Channels of the encoder's first stage.
        blocks: Blocks of the encoder's four stages.
        decoder_width: Channels of the decoder.
        criterion: Loss of the maps, one of losses.LOSSES that takes logits.
        sigma: Width of the target Gaussian, map pixels.
        wing_width: `width` of the Wing loss, map pixels.
        wing_curvature: `curvature` of the Wing loss, map pixels.
        map_weight: Weight of the maps' loss; the points' loss has 1.
        prior: Above 0, points are read as the most probable shape (decoding.likely) for errors of
            this standard deviation, in units of the face's root mean square radius. It suits
            networks that see other photos than they were trained on, and takes no part in training.
        relations: Above 0, the hidden units that correct points by the shape they make
            (layers.relations).
        epochs: Length of the training.
        optimizer: The optimiser.
    """

    size: int = 128
    outside: str = "masked"
    width: int = 64
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    decoder_width: int = 96
    criterion: str = "cross_entropy"
    sigma: float = 1.0
    wing_width: float = 2.0
    wing_curvature: float = 0.5
    map_weight: float = 0.5
    prior: float = 0.0
    relations: int = 0
    epochs: float = 60
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer("adamw", 2e-3, "cosine", floor=0.01, warmup=2)
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32, width=1, decoder_width=1)
        self.check_choices(criterion=[name for name, loss in losses.LOSSES.items() if loss.logits])
        self.check_above(0, "sigma", "wing_width", "wing_curvature")
        self.check_least(prior=0, relations=0, map_weight=0)
        if len(self.blocks) != 4 or not all(0 < n <= 64 for n in self.blocks):
            self.refuse("blocks", "must be four whole numbers from 1 to 64")

    @property
    def idle(self):
        return losses.idle_maps(self.criterion, "sigma")

    @property
    def network(self):
        return IntegralNetwork(
            points=self.points.num_points,
            width=self.width,
            blocks=self.blocks,
            decoder_width=self.decoder_width,
            relations=self.relations,
            modes=self.prior > 0 or self.relations > 0,
            dtype=jnp.dtype(self.dtype),
        )

    def maps(self, variables, images):
        outputs = super().maps(variables, images)
        if not self.prior:
            return outputs
        return *outputs, variables["batch_stats"]["network"]["shape_modes"]

    def decode(self, maps):
        _, points, score, *modes = maps
        if self.prior:
            points = decoding.likely(points, modes[0], self.prior)
        return geometry.from_map(points, STRIDE), score

    def errors(self, outputs, batch):
        truth = geometry.to_map(batch["points"], STRIDE)
        logits, predicted, _ = outputs
        counted = self.counted(batch)
        wing = losses.wing(predicted, truth, self.wing_width, self.wing_curvature)
        target = targets.gaussian_maps(batch["points"], STRIDE, self.size, self.sigma)
        maps = losses.LOSSES[self.criterion].call(logits, losses.Label(truth, target))
        parts = {
            "points": losses.weighted_mean(wing, counted, axis=-1),
            "maps": losses.weighted_mean(maps, counted, axis=-1),
        }
        return parts["points"] + self.map_weight * parts["maps"], parts
