"""PIPNet (Jin, Liao and Shao, "Pixel-in-Pixel Net", IJCV 2021): landmarks on maps of few cells.

A backbone without a decoder says for each cell of its last, small maps whether a landmark lies in
it, where in the cell, and where the landmark's nearest neighbours lie from there. A landmark is the
mean of several predictions: its own cell's, and those of landmarks that have it as a neighbour.
Neighbours are taken from the mean face. The choices are those of the authors' released code, with
one exception: the mean counts every neighbour once; the code repeats some to fill its arrays.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxalign import losses
from jaxalign.backbones import BACKBONES, encoders
from jaxalign.layers.facts import mean_shape
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.transposed import TransposedConv
from jaxalign.systems.interface import SingleNetwork


SMALL = nn.initializers.normal(0.001)  # of the heads, as released


class Cells(NamedTuple):
    """What is said for every cell of maps (B, h, w).

    Places are counted in cells, from the cell's upper left corner.

    Attributes:
        heights: (B, h, w, K), whether the landmark lies in the cell, trained to 1 and 0.
        places: (B, h, w, K, 2), where it lies.
        neighbours: (B, h, w, K, N, 2), where its nearest neighbours lie.
        mean_shape: (K, 2), of the training faces.
    """

    heights: jax.Array
    places: jax.Array
    neighbours: jax.Array
    mean_shape: jax.Array


class PIPNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> Cells, S/32 a side, or S/16 if `doubled`.

    Attributes:
        points: K.
        neighbours: N.
        backbone: A key of BACKBONES.
        doubled: Double the sides by a transposed convolution.
        dtype: Type of the computations.
    """

    points: int
    neighbours: int
    backbone: str
    doubled: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        backbone = BACKBONES[self.backbone].make(self.dtype).copy(name="backbone")
        x = backbone(images, train)[-1]
        if self.doubled:
            x = TransposedConv(x.shape[-1], 2, self.dtype, name="up")(x)
            x = nn.relu(batch_norm(train, "up_bn", dtype=self.dtype)(x))

        def head(name, *shape):
            size = self.points
            for length in shape:
                size *= length
            y = nn.Dense(size, dtype=jnp.float32, kernel_init=SMALL, name=name)(x)
            return y.reshape(*y.shape[:3], self.points, *shape)

        return Cells(
            heights=head("heights"),
            places=head("places", 2),
            neighbours=head("neighbours", self.neighbours, 2),
            mean_shape=mean_shape(self, self.points),
        )


@dataclass(frozen=True)
class PIPNet(SingleNetwork):
    """PIPNet; with 68 points and ResNet-18 it has 11,978,844 parameters.

    With `outside` "kept", a point outside the crop belongs to the nearest cell.

    Attributes:
        backbone: One of backbones.encoders().
        stride: Crop pixels per cell: 32, or 16 by a transposed convolution.
        neighbours: Neighbours of each landmark; 10 in the paper.
        map_weight: Weight of the squared error of the cells; the absolute errors of places have 1.
    """

    backbone: str = "resnet18"
    stride: int = 32
    neighbours: int = 10
    map_weight: float = 10.0

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32)
        self.check_choices(backbone=encoders(), stride=(16, 32))
        self.check_least(map_weight=0)
        if not 0 < self.neighbours < self.points.num_points:
            self.refuse("neighbours", "must be 1 or more, and fewer than there are points")

    @property
    def network(self):
        return PIPNetwork(
            points=self.points.num_points,
            neighbours=self.neighbours,
            backbone=self.backbone,
            doubled=self.stride == 16,
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def pretrained(self):
        published = BACKBONES[self.backbone].torch_name
        return {"network/backbone": self.backbone} if published else {}

    def decode(self, maps):
        height, width, points = maps.heights.shape[1:]
        flat = maps.heights.reshape(-1, height * width, points)
        best = flat.argmax(1)  # (B, K)
        corners = np.stack([*np.divmod(np.arange(height * width), width)][::-1], -1)
        corner = jnp.asarray(corners, jnp.float32)[best]
        own = corner + _at(maps.places, best)
        others = corner[:, :, None] + _at(maps.neighbours, best)  # (B, K, N, 2)
        whose = jax.nn.one_hot(nearest(maps.mean_shape, self.neighbours), points)  # (K, N, K)
        sums = jnp.einsum("bjnd,jnk->bkd", others, whose, precision=jax.lax.Precision.HIGHEST)
        place = (own + sums) / (1 + whose.sum((0, 1)))[None, :, None]
        return place * self.stride - 0.5, jnp.clip(flat.max(1), 0, 1)

    def errors(self, outputs, batch):
        place = (batch["points"] + 0.5) / self.stride  # (B, K, 2), in cells
        height, width = outputs.heights.shape[1:3]
        corner = jnp.clip(jnp.floor(place), 0, jnp.array([[[width - 1, height - 1]]]))
        cell = (corner[..., 1] * width + corner[..., 0]).astype(int)
        target = jax.nn.one_hot(cell, height * width, axis=1).reshape(outputs.heights.shape)
        near = nearest(outputs.mean_shape, self.neighbours)  # (K, N)
        around, counted = place[:, near], self.counted(batch)  # (B, K, N, 2), (B, K)
        pairs = counted[:, :, None] * counted[:, near]

        def distance(said, true, weights):
            """(B,) mean absolute error of x, plus that of y."""
            error = abs(_at(said, cell) - true).sum(-1)
            return losses.weighted_mean(error, weights, axis=tuple(range(1, error.ndim)))

        squared = jnp.square(outputs.heights - target).mean((1, 2))
        parts = {
            "cells": losses.weighted_mean(squared, counted, axis=-1),
            "places": distance(outputs.places, place - corner, counted),
            "neighbours": distance(outputs.neighbours, around - corner[:, :, None], pairs),
        }
        return self.map_weight * parts["cells"] + parts["places"] + parts["neighbours"], parts


def nearest(shape: jax.Array, count: int) -> jax.Array:
    """The nearest other points to each point of a shape, the nearest first.

    Args:
        shape: (K, 2).
        count: Number of neighbours.

    Returns:
        (K, count) integers.
    """
    squared = jnp.square(shape[:, None] - shape[None]).sum(-1)
    squared = jnp.where(jnp.eye(len(shape), dtype=bool), jnp.inf, squared)
    return jnp.argsort(squared, -1)[:, :count]


def _at(said, cell):
    """Values (B, h, w, K, ...) at the cell (B, K) of each landmark, (B, K, ...)."""
    faces, height, width, points, *rest = said.shape
    flat = said.reshape(faces, height * width, points, -1)
    return jnp.take_along_axis(flat, cell[:, None, :, None], 1)[:, 0].reshape(-1, points, *rest)
