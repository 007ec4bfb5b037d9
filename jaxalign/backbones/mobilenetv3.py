"""MobileNetV3 (Howard et al., ICCV 2019) with the details of torchvision's weights. NHWC."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.layers.conv import convolution
from jaxalign.layers.norm import batch_norm


@dataclass(frozen=True)
class Row:
    """A bottleneck as a row of the paper's Tables 1 and 2.

    Kernel, channels in, expanded and out, squeeze-and-excite, nonlinearity ("RE": ReLU, "HS": hard
    swish), stride.
    """

    kernel: int
    inputs: int
    expanded: int
    outputs: int
    squeeze: bool
    nonlinearity: str
    stride: int

    @property
    def layers(self) -> tuple[str, ...]:
        expand = ("expand",) if self.expanded != self.inputs else ()
        squeeze = ("squeeze",) if self.squeeze else ()
        return (*expand, "depthwise", *squeeze, "project")


ROWS = {
    "large": (
        Row(3, 16, 16, 16, False, "RE", 1),
        Row(3, 16, 64, 24, False, "RE", 2),
        Row(3, 24, 72, 24, False, "RE", 1),
        Row(5, 24, 72, 40, True, "RE", 2),
        Row(5, 40, 120, 40, True, "RE", 1),
        Row(5, 40, 120, 40, True, "RE", 1),
        Row(3, 40, 240, 80, False, "HS", 2),
        Row(3, 80, 200, 80, False, "HS", 1),
        Row(3, 80, 184, 80, False, "HS", 1),
        Row(3, 80, 184, 80, False, "HS", 1),
        Row(3, 80, 480, 112, True, "HS", 1),
        Row(3, 112, 672, 112, True, "HS", 1),
        Row(5, 112, 672, 160, True, "HS", 2),
        Row(5, 160, 960, 160, True, "HS", 1),
        Row(5, 160, 960, 160, True, "HS", 1),
    ),
    "small": (
        Row(3, 16, 16, 16, True, "RE", 2),
        Row(3, 16, 72, 24, False, "RE", 2),
        Row(3, 24, 88, 24, False, "RE", 1),
        Row(5, 24, 96, 40, True, "HS", 2),
        Row(5, 40, 240, 40, True, "HS", 1),
        Row(5, 40, 240, 40, True, "HS", 1),
        Row(5, 40, 120, 48, True, "HS", 1),
        Row(5, 48, 144, 48, True, "HS", 1),
        Row(5, 48, 288, 96, True, "HS", 2),
        Row(5, 96, 576, 96, True, "HS", 1),
        Row(5, 96, 576, 96, True, "HS", 1),
    ),
}
NONLINEARITIES = {"RE": nn.relu, "HS": nn.hard_swish, "none": lambda x: x}


class ConvNorm(nn.Module):
    """Convolution of an odd kernel, batch normalisation, nonlinearity."""

    channels: int
    kernel: int
    nonlinearity: str
    stride: int = 1
    groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        x = convolution(
            self.channels,
            (self.kernel, self.kernel),
            strides=self.stride,
            padding=(self.kernel - 1) // 2,
            feature_group_count=self.groups,
            use_bias=False,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = batch_norm(train, "bn", dtype=self.dtype, epsilon=1e-3)(x)
        return NONLINEARITIES[self.nonlinearity](x)


class SqueezeExcite(nn.Module):
    """Channels weighted by 0..1 from their means (Hu et al., 2018).

    The weights go through a quarter as many channels: the nearest multiple of 8 that is at least
    90 % of it.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        channels = x.shape[-1]
        quarter = channels // 4
        squeezed = max(8, (quarter + 4) // 8 * 8)
        squeezed += 8 if squeezed < 0.9 * quarter else 0
        y = nn.relu(nn.Dense(squeezed, dtype=self.dtype, name="fc1")(x.mean((1, 2))))
        y = nn.hard_sigmoid(nn.Dense(channels, dtype=self.dtype, name="fc2")(y))
        return x * y[:, None, None]


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-and-excite, 1x1 projection, as `row` says."""

    row: Row
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        row, dtype = self.row, self.dtype
        act, wide = row.nonlinearity, row.expanded
        y = x
        if "expand" in row.layers:
            y = ConvNorm(wide, 1, act, dtype=dtype, name="expand")(y, train)
        y = ConvNorm(wide, row.kernel, act, row.stride, wide, dtype, name="depthwise")(y, train)
        if row.squeeze:
            y = SqueezeExcite(dtype, name="squeeze")(y)
        y = ConvNorm(row.outputs, 1, "none", dtype=dtype, name="project")(y, train)
        return x + y if x.shape == y.shape else y


class MobileNetV3(nn.Module):
    """(B, S, S, 3) normalised images -> the last features at strides 4, 8, 16, 32.

    S is a multiple of 32. `kind` large: 24, 40, 112, 960 channels, 2,971,952 parameters; small: 16,
    24, 48, 576 channels, 927,008 parameters.
    """

    kind: str
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        rows, dtype = ROWS[self.kind], self.dtype
        x = ConvNorm(16, 3, "HS", stride=2, dtype=dtype, name="stem")(images, train)
        features = []
        for i, row in enumerate(rows, 1):
            if row.stride == 2:
                features.append(x)
            x = InvertedResidual(row, dtype, name=f"block{i}")(x, train)
        x = ConvNorm(6 * x.shape[-1], 1, "HS", dtype=dtype, name="last")(x, train)
        return [*features[1:], x]


def torch_name(kind: str, path: str) -> str | None:
    """The name of a layer of MobileNetV3(`kind`) in torchvision's mobilenet_v3_<kind>."""
    rows = ROWS[kind]
    places = {"stem": "0", "last": f"{len(rows) + 1}"}
    for i, row in enumerate(rows, 1):
        places |= {f"block{i}/{layer}": f"{i}.block.{j}" for j, layer in enumerate(row.layers)}
    module, _, layer = path.rpartition("/")
    layer = {"conv": "0", "bn": "1"}.get(layer, layer)
    return f"features.{places[module]}.{layer}" if module in places else None
