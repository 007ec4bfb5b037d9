"""Residual networks: v1 (He et al., CVPR 2016) and v2 (He et al., ECCV 2016), NHWC.

Both put the stride of a bottleneck in its 3x3 convolution, as the public ImageNet weights do.
"""

import re
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import convolution
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import overlapping_max_pool


class Basic(nn.Module):
    """Two 3x3 convolutions, each then normalised, and a shortcut; `channels` come out."""

    channels: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(convolution, use_bias=False, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        y = conv(self.channels, (3, 3), strides=self.stride, padding=1, name="conv1")(x)
        y = nn.relu(norm("bn1")(y))
        y = norm("bn2")(conv(self.channels, (3, 3), padding=1, name="conv2")(y))
        if x.shape != y.shape:
            x = conv(self.channels, (1, 1), strides=self.stride, padding=0, name="shortcut")(x)
            x = norm("shortcut_bn")(x)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions, each then normalised, and a shortcut; 4 `channels` come out."""

    channels: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(convolution, use_bias=False, padding=0, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        y = nn.relu(norm("bn1")(conv(self.channels, (1, 1), name="conv1")(x)))
        y = conv(self.channels, (3, 3), strides=self.stride, padding=1, name="conv2")(y)
        y = nn.relu(norm("bn2")(y))
        y = norm("bn3")(conv(4 * self.channels, (1, 1), name="conv3")(y))
        if x.shape != y.shape:
            x = conv(4 * self.channels, (1, 1), strides=self.stride, name="shortcut")(x)
            x = norm("shortcut_bn")(x)
        return nn.relu(x + y)


class PreActivation(nn.Module):
    """The bottleneck with norm and ReLU before each convolution.

    A projection takes the input after the first ReLU (ECCV 2016, Fig. 4e).
    """

    channels: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        conv = partial(convolution, use_bias=False, padding=0, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        activated = nn.relu(norm("bn1")(x))
        y = conv(self.channels, (1, 1), name="conv1")(activated)
        y = nn.relu(norm("bn2")(y))
        y = conv(self.channels, (3, 3), strides=self.stride, padding=1, name="conv2")(y)
        y = nn.relu(norm("bn3")(y))
        y = conv(4 * self.channels, (1, 1), name="conv3")(y)
        if x.shape != y.shape:
            x = conv(4 * self.channels, (1, 1), strides=self.stride, name="shortcut")(activated)
        return x + y


def stem(images, train: bool, dtype):
    """(B, S, S, 3) -> (B, S/4, S/4, 64); called inside a compact module, whose layers it names."""
    x = nn.Conv(64, (7, 7), strides=2, padding=3, use_bias=False, dtype=dtype, name="stem")(images)
    x = nn.relu(batch_norm(train, "stem_bn", dtype=dtype)(x))
    return overlapping_max_pool(x)


def stages(x, train: bool, block, channels, counts):
    """The outputs of stages of residual blocks; all stages but the first halve the side.

    Stage i has counts[i] blocks `block(channels[i], stride)`. Called inside a compact module, whose
    layers it names.
    """
    features = []
    for stage, (width, count) in enumerate(zip(channels, counts, strict=True), 1):
        for i in range(1, count + 1):
            stride = 2 if stage > 1 and i == 1 else 1
            x = block(width, stride, name=f"stage{stage}_block{i}")(x, train)
        features.append(x)
    return features


WIDTHS = (64, 128, 256, 512)  # inner channels of the bottlenecks, by stage


class ResNet(nn.Module):
    """v1: (B, S, S, 3) -> the features (B, S/4, S/4, 256), (B, S/8, S/8, 512), ....

    There are as many stages as `blocks` names. This is torchvision's resnet50 without its
    classifier; 23,508,032 parameters. With `block` Basic and two of them a stage it is its
    resnet18: 64, 128, ... channels; 11,176,512.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    block: type[nn.Module] = Bottleneck
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        block = partial(self.block, dtype=self.dtype)
        x = stem(images, train, self.dtype)
        return stages(x, train, block, WIDTHS[: len(self.blocks)], self.blocks)


class ResNetV2(nn.Module):
    """v2: the same shapes as ResNet; Gluon's resnet50_v2 without its classifier.

    23,500,480 parameters. The image is normalised by its batch (no scale, no offset); the last
    feature is taken after the network's final norm and ReLU, the others as the stages leave them.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        block = partial(PreActivation, dtype=self.dtype)
        x = batch_norm(train, "data_bn", dtype=self.dtype, affine=False)(images)
        x = stem(x, train, self.dtype)
        *features, last = stages(x, train, block, WIDTHS, (3, 4, 6, 3))
        return [*features, nn.relu(batch_norm(train, "final_bn", dtype=self.dtype)(last))]


def _in_block(path: str) -> tuple[int, int, str] | None:
    """Path of a layer in a block, stage2_block1/conv3 -> (1, 0, conv3): stage and block from 0."""
    found = re.fullmatch(r"stage(\d+)_block(\d+)/(\w+)", path)
    return found and (int(found[1]) - 1, int(found[2]) - 1, found[3])


def torchvision_name(path: str) -> str | None:
    """The layer of a ResNet in torchvision's resnet18 to resnet152."""
    if place := _in_block(path):
        stage, block, layer = place
        layer = {"shortcut": "downsample.0", "shortcut_bn": "downsample.1"}.get(layer, layer)
        return f"layer{stage + 1}.{block}.{layer}"
    return {"stem": "conv1", "stem_bn": "bn1"}.get(path)


def timm_name(path: str) -> str | None:
    """The layer of a ResNetV2 in timm's resnetv2_50, which has no `data_bn` and no `stem_bn`.

    Its stem convolution goes to the max-pool directly, without a ReLU. All other layers are the
    same.
    """
    if place := _in_block(path):
        stage, block, layer = place
        layer = "downsample.conv" if layer == "shortcut" else layer.replace("bn", "norm")
        return f"stages.{stage}.blocks.{block}.{layer}"
    return {"stem": "stem.conv", "final_bn": "norm"}.get(path)
