"""The networks of pixel-wise classification and of the methods that it is compared with, NHWC.

Hsu et al., arXiv 2005.08649; DAN: Kowalski et al., 2017.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import geometry
from jaxalign.backbones.vgg19 import VGG19, ConvBlock
from jaxalign.layers import warping
from jaxalign.layers.conv import convolution
from jaxalign.layers.facts import mean_shape
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import average_pool, max_pool, upsample
from jaxalign.layers.transposed import TransposedConv


class DenseBlock(nn.Module):
    """Dense layer, batch norm, ReLU."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(self.channels, dtype=self.dtype, name="dense")(x)
        return nn.relu(batch_norm(train, "bn", dtype=self.dtype)(x))


class Direct(nn.Module):
    """(B, S, S, 1) -> points (B, K, 2) in crop pixels.

    The last layer gives pixels, or with `eighths` eighths of the crop's side from its centre (in
    pixels, short trainings do not leave the mean shape).
    """

    points: int
    eighths: bool = False
    width: int = 64
    top: int = 2048
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        x = VGG19(self.width, self.top, self.dtype, name="backbone")(images, train)[-1]
        x = x.reshape(x.shape[0], -1)
        for i, channels in enumerate((1024, 256), 1):
            x = DenseBlock(channels, self.dtype, name=f"fc{i}")(x, train)
        x = nn.Dense(2 * self.points, dtype=jnp.float32, name="points")(x)
        x, side = x.reshape(-1, self.points, 2), images.shape[1]
        return x * side / 8 + (side - 1) / 2 if self.eighths else x


class Heatmaps(nn.Module):
    """(B, S, S, 1) -> logits (B, S, S, maps), decoded with two shortcuts from the backbone.

    All maps but the last start from the probability of one pixel of the map, as classes of points
    have it; from equal ones the squared error falls to background everywhere and stays there. (The
    softmax of `distribution` does not see it.)
    """

    maps: int
    width: int = 64
    top: int = 2048
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        features = VGG19(self.width, self.top, self.dtype, name="backbone")(images, train)
        low, middle, x = features
        up = partial(TransposedConv, dtype=self.dtype)
        x = nn.relu(convolution(self.maps, (1, 1), dtype=self.dtype, name="conv8")(x))
        x = up(middle.shape[-1], 2, name="up1")(x) + middle
        x = up(low.shape[-1], 2, name="up2")(x) + low

        def frequencies(key, shape):
            pixels = images.shape[1] * images.shape[2]
            return jnp.full(shape, -jnp.log(pixels)).at[-1].set(0)

        return up(self.maps, 8, dtype=jnp.float32, bias_init=frequencies, name="up3")(x)


class DANStage(nn.Module):
    """(B, h, h, C) -> corrections (B, K, 2) in pixels of its frame, features (B, 256)."""

    points: int
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        for stage, factor in enumerate((1, 2, 4, 8), 1):
            for i in (1, 2):
                block = ConvBlock(factor * self.width, 3, self.dtype, name=f"conv{stage}_{i}")
                x = block(x, train)
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        x = DenseBlock(256, self.dtype, name="fc1")(x, train)
        moved = nn.Dense(2 * self.points, dtype=jnp.float32, name="points")(x)
        return moved.reshape(-1, self.points, 2), x


class DAN(nn.Module):
    """(B, S, S, 1) -> points (B, K, 2) in crop pixels of every stage, last best.

    Works at half the side. The first stage starts from the mean shape; each later one sees the
    image brought into the mean shape's pose, 1 / (1 + distance to the nearest point) and an image
    made of the features before it. The mean shape is that of the training faces. Between stages
    gradients pass through the points and the features, not through the pose. The first `fixed`
    stages run in training as they do in use: their batch norm takes its running statistics.
    """

    points: int
    stages: int = 3
    fixed: int = 0
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        images = average_pool(images)
        side, hidden, found = images.shape[1], None, []
        mean = geometry.to_map(mean_shape(self, self.points) * 2 * side - 0.5, 2)
        shape = jnp.broadcast_to(mean, (images.shape[0], *mean.shape))
        for i in range(1, self.stages + 1):
            if i == 1:
                x = images
                pose = back = jnp.broadcast_to(jnp.eye(2, 3), (images.shape[0], 2, 3))
            else:
                pose = warping.similarity(jax.lax.stop_gradient(shape), mean)
                back = warping.invert(pose)
                near = nearness(jax.lax.stop_gradient(warping.transform(pose, shape)), side)
                seen = nn.Dense((side // 2) ** 2, dtype=self.dtype, name=f"image{i}")(hidden)
                seen = upsample(nn.relu(seen).reshape(-1, side // 2, side // 2, 1))
                x = jnp.concatenate([warping.warp(images, back), near.astype(x.dtype), seen], -1)
            stage = DANStage(self.points, self.width, self.dtype, name=f"stage{i}")
            moved, hidden = stage(x, train and i > self.fixed)
            shape = warping.transform(back, warping.transform(pose, shape) + moved)
            found.append(geometry.from_map(shape, 2))
        return found


def nearness(points, side):
    """(B, K, 2) map pixels -> (B, side, side, 1): 1 / (1 + distance to the nearest point)."""
    grid = jnp.arange(side, dtype=points.dtype)
    dx = grid[None, None, :, None] - points[:, None, None, :, 0]
    dy = grid[None, :, None, None] - points[:, None, None, :, 1]
    return 1 / (1 + jnp.sqrt((dx**2 + dy**2).min(-1, keepdims=True)))


class Discriminator(nn.Module):
    """Points (B, K, 2), shares of the crop's side -> logits (B,): they are of a face."""

    @nn.compact
    def __call__(self, points, train: bool):
        x = points.reshape(points.shape[0], -1)
        for i in (1, 2):
            x = DenseBlock(128, name=f"fc{i}")(x, train)
        return nn.Dense(1, name="fc3")(x)[:, 0]
