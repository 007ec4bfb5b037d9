"""HRNetV2 (Sun et al., 2019; Wang et al., TPAMI 2020), NHWC.

Branches at strides 4 to 32 run in parallel and are fused again and again.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign.backbones.light import ResidualBlock, relu_apart
from jaxalign.backbones.resnet import Bottleneck
from jaxalign.layers.conv import convolution
from jaxalign.layers.norm import batch_norm


def bilinear(x, like):
    """(B, h, w, C) -> (B, H, W, C), H and W those of `like`; pixel centres on half pixels."""
    with jax.named_scope("resample"):
        return jax.image.resize(x, (*like.shape[:3], x.shape[-1]), "bilinear")


class FusionModule(nn.Module):
    """Four residual blocks on every branch; then each branch becomes the sum of all.

    The others are brought to its size: down by 3x3 convolutions of stride 2, up by a 1x1
    convolution and bilinearly, as in HRNet for faces (its ImageNet training took the nearest
    neighbour). A list of branches, each of half the side of the one before -> the same, fused.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, branches, train: bool):
        conv = partial(convolution, use_bias=False, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)
        block = partial(ResidualBlock, dtype=self.dtype)

        def process(x, branch):
            for i in range(1, 5):
                x = block(x.shape[-1], name=f"branch{branch}_block{i}")(x, train)
            return x

        def bring(x, source, target, channels):
            name = f"to{target}_from{source}"
            if source > target:
                x = norm(f"{name}_bn")(conv(channels, (1, 1), name=name)(x))
                x = bilinear(x, branches[target - 1])
            steps = target - source
            for i in range(1, steps + 1):
                width = channels if i == steps else x.shape[-1]
                down = conv(width, (3, 3), strides=2, padding=1, name=f"{name}_step{i}")
                x = norm(f"{name}_step{i}_bn")(down(x))
                x = x if i == steps else nn.relu(x)
            return x

        branches = [process(x, i) for i, x in enumerate(branches, 1)]
        return [
            relu_apart(sum(bring(x, i, target, y.shape[-1]) for i, x in enumerate(branches, 1)))
            for target, y in enumerate(branches, 1)
        ]


class HRNet(nn.Module):
    """(B, S, S, 3) normalised images -> features at strides 4, 8, 16, 32.

    They have `width` x (1, 2, 4, 8) channels; S is a multiple of 32. Widths 18 and 32 have
    9,562,260 and 29,305,536 parameters.
    """

    width: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        conv = partial(convolution, kernel_size=(3, 3), padding=1, use_bias=False, dtype=self.dtype)
        norm = partial(batch_norm, train, dtype=self.dtype)

        def convolve(x, channels, stride, name):
            return nn.relu(norm(f"{name}_bn")(conv(channels, strides=stride, name=name)(x)))

        x = convolve(convolve(images, 64, 2, "stem1"), 64, 2, "stem2")
        for i in range(1, 5):
            x = Bottleneck(64, dtype=self.dtype, name=f"stage1_block{i}")(x, train)

        branches = [x]
        for stage, modules in ((2, 1), (3, 4), (4, 3)):
            name = f"transition{stage - 1}_branch"
            lowest = convolve(branches[-1], self.width * 2 ** (stage - 1), 2, f"{name}{stage}")
            if stage == 2:
                branches = [convolve(x, self.width, 1, f"{name}1")]
            branches.append(lowest)
            for i in range(1, modules + 1):
                branches = FusionModule(self.dtype, name=f"stage{stage}_module{i}")(branches, train)
        return branches


class HRNetHead(nn.Module):
    """Features of HRNet -> maps (B, S/4, S/4, `points`).

    All features are brought to stride 4 (bilinear) and concatenated; two 1x1 convolutions follow.
    """

    points: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features, train: bool):
        x = jnp.concatenate([bilinear(f, features[0]) for f in features], -1)
        x = convolution(x.shape[-1], (1, 1), dtype=self.dtype, name="conv")(x)
        x = nn.relu(batch_norm(train, "bn", dtype=self.dtype)(x))
        return convolution(self.points, (1, 1), dtype=self.dtype, name="maps")(x)


TORCH_NAMES = {  # our path -> the file's name, whose numbers count from 0
    "stem1": "conv1",
    "stem1_bn": "bn1",
    "stem2": "conv2",
    "stem2_bn": "bn2",
    r"stage1_block(\d)/((?:conv|bn)\d)": "layer1.{}.{}",
    r"stage1_block(\d)/shortcut(_bn)?": "layer1.{}.downsample.{}",
    r"(transition\d)_branch1(_bn)?": "{}.0.{}",
    r"(transition\d)_branch(\d)(_bn)?": "{}.{}.0.{}",
    r"(stage\d)_module(\d)/branch(\d)_block(\d)/(\w+)": "{}.{}.branches.{}.{}.{}",
    r"(stage\d)_module(\d)/to(\d)_from(\d)(_bn)?": "{}.{}.fuse_layers.{}.{}.{}",
    r"(stage\d)_module(\d)/to(\d)_from(\d)_step(\d)(_bn)?": "{}.{}.fuse_layers.{}.{}.{}.{}",
}


def torch_name(path: str) -> str | None:
    """The name of a layer of HRNet in the authors' ImageNet files."""

    def translated(part):
        if part and part.isdigit():
            return int(part) - 1
        return {None: 0, "_bn": 1}.get(part, part)

    for pattern, name in TORCH_NAMES.items():
        if found := re.fullmatch(pattern, path):
            return name.format(*map(translated, found.groups()))
    return None
