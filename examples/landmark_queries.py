"""A system of one's own in one file outside the package: a landmark is a query.

Each landmark is a learned vector that attends to the others and to an encoder's features, as
the object queries of DETR do (Carion et al., ECCV 2020), and is read as a point and the scale of
its error: no maps, no decoding. Points learn by their distance, scales by the likelihood of that
distance under Laplace's distribution (Kendall and Gal, NeurIPS 2017). Of none of the papers.

jaxalign prepare synthetic_faces
jaxalign train --config examples/landmark_queries.py --workdir runs/queries
jaxalign evaluate --ckpt runs/queries --import examples/landmark_queries.py
jaxalign predict --ckpt runs/queries --import examples/landmark_queries.py me.jpg
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import losses
from jaxalign.augment import Augment
from jaxalign.backbones.light import Light
from jaxalign.layers.coordinates import with_coordinates
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.interface import SingleNetwork


UNIT = 1 / 8  # of the crop's side: what the network counts in, so that its outputs are about 1
NEAR = 0.16  # units, 2 % of the side: within it a point counts as found


class QueryNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> (B, K, 3): x and y from the crop's centre in units, and
    the error's scale before softplus. Attends to the features at strides 8, 16 and 32."""

    points: int
    width: int
    blocks: tuple[int, ...]
    channels: int
    layers: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        dense, norm = (partial(layer, dtype=self.dtype) for layer in (nn.Dense, nn.LayerNorm))
        attend = partial(nn.MultiHeadDotProductAttention, num_heads=4, dtype=self.dtype)
        levels = Light(self.width, self.blocks, self.dtype, name="encoder")(images, train)
        tokens = []
        for i, level in enumerate(levels[1:], 2):
            y = dense(self.channels, name=f"level{i}")(with_coordinates(level))
            tokens.append(norm(name=f"level{i}_norm")(jax.lax.collapse(y, 1, 3)))
        seen = jnp.concatenate(tokens, 1)
        queries = self.param("queries", nn.initializers.normal(1), (self.points, self.channels))
        shape = images.shape[0], *queries.shape  # not len(images): jaxalign export leaves it open
        x = jnp.broadcast_to(queries[None].astype(self.dtype), shape)
        for i in range(1, self.layers + 1):
            x = x + attend(name=f"image{i}")(norm(name=f"image{i}_norm")(x), seen)
            x = x + attend(name=f"others{i}")(norm(name=f"others{i}_norm")(x))
            y = nn.relu(dense(2 * self.channels, name=f"wide{i}")(norm(name=f"wide{i}_norm")(x)))
            x = x + dense(self.channels, name=f"narrow{i}")(y)
        return dense(3, name="point")(norm(name="point_norm")(x)).astype(jnp.float32)


@dataclass(frozen=True)
class LandmarkQueries(SingleNetwork):
    """`width` and `blocks` of the encoder, `channels` of the queries, `layers` of attention."""

    size: int = 128
    outside: str = "masked"
    width: int = 32
    blocks: tuple[int, ...] = (1, 2, 2, 2)
    channels: int = 128
    layers: int = 2
    epochs: float = 20
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer("adamw", 1e-3, "cosine", floor=0.01, warmup=1, clip=5.0)
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32, channels=4)

    @property
    def network(self):
        return QueryNetwork(
            points=self.points.num_points,
            width=self.width,
            blocks=self.blocks,
            channels=self.channels,
            layers=self.layers,
            dtype=jnp.dtype(self.dtype),
        )

    def decode(self, maps):
        within = 1 - jnp.exp(-NEAR / _scale(maps))  # the probability that it is, on an axis
        return maps[..., :2] * (UNIT * self.size) + (self.size - 1) / 2, within**2

    def errors(self, outputs, batch):
        points, _ = self.decode(outputs)
        distance = abs(points - batch["points"]).sum(-1) / (UNIT * self.size)
        fixed, scale = jax.lax.stop_gradient(distance), _scale(outputs)
        counted = self.counted(batch)
        values = {"points": distance, "scales": fixed / scale + 2 * jnp.log(2 * scale)}
        parts = {name: losses.weighted_mean(v, counted, axis=-1) for name, v in values.items()}
        return parts["points"] + parts["scales"], parts


def _scale(outputs):
    return nn.softplus(outputs[..., 2]) + 0.01  # of the error on an axis, units


def config() -> Recipe:
    augment = Augment(rotation=20, scale=0.1, shift=0.05)
    return Recipe(
        system=LandmarkQueries(),
        data=Data(
            train="synthetic_faces/train",
            holdout=0.05,
            test="synthetic_faces/test",
            augment=augment,
        ),
        training=Training(batch=32, ema=0.99),
    )
