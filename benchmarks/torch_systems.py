"""Systems in PyTorch, with the layer names of their JAX originals (needs PyTorch).

A twin takes (B, 3, S, S) uint8 crops and gives, maps NCHW, what is read of its original's outputs:
in training by the loss, else by the decoding and by what shows maps. Integral's scores are not read
by the loss, PropagationNet's last attention by neither.
"""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_twins import convolution
from jaxalign.errors import InputError
from jaxalign.layers.coordinates import coordinates
from jaxalign.schemes import CURVES
from jaxalign.systems import TAB, Integral, PixelWise, PropagationNet, StackedHourglass
from jaxalign.systems.interface import IMAGE_MEAN, IMAGE_STD, System
from jaxalign.systems.pixelwise import HEATMAPS
from jaxalign.training.initial import LEAVES, arrays_of


relu = partial(F.relu, inplace=True)
upsample = partial(F.interpolate, scale_factor=2, mode="nearest")


def normalise(images):
    """uint8 RGB -> zero mean and unit deviation by ImageNet's figures, float32."""
    mean, deviation = (
        torch.tensor(c, device=images.device).reshape(1, 3, 1, 1) for c in (IMAGE_MEAN, IMAGE_STD)
    )
    return (images.float() / 255 - mean) / deviation


def grey(images):
    return (images.float() / 255).mean(1, keepdim=True)


# Integral


class ResidualBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = convolution(channels, channels, 3), nn.BatchNorm2d(channels)
        self.stride, self.changes = stride, stride > 1 or inputs != channels
        if self.changes:
            self.shortcut, self.shortcut_bn = (
                convolution(inputs, channels),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.changes:
            x = self.shortcut_bn(self.shortcut(F.avg_pool2d(x, self.stride)))
        return relu(x + y)


class Light(nn.Module):
    def __init__(self, width, blocks):
        super().__init__()
        self.stem, self.stem_bn = convolution(48, width, 3), nn.BatchNorm2d(width)
        self.stages, inputs = [], width
        for stage, (factor, count) in enumerate(zip((1, 2, 4, 4), blocks, strict=True), 1):
            names = [f"stage{stage}_block{i}" for i in range(1, count + 1)]
            for name in names:
                stride = 2 if stage > 1 and name == names[0] else 1
                self.add_module(name, ResidualBlock(inputs, factor * width, stride))
                inputs = factor * width
            self.stages.append(names)

    def forward(self, images):
        batch, channels, height, width = images.shape
        x = images.permute(0, 2, 3, 1).reshape(batch, height // 4, 4, width // 4, 4, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height // 4, width // 4, -1)
        x = relu(self.stem_bn(self.stem(x.permute(0, 3, 1, 2))))
        features = []
        for names in self.stages:
            for name in names:
                x = self.get_submodule(name)(x)
            features.append(x)
        return features


def soft_argmax(logits):
    """(B, K, h, w) -> shares of the map (B, K, h, w), mean positions (B, K, 2)."""
    shares = logits.float().flatten(2).softmax(-1).reshape(logits.shape)
    across, down = (torch.arange(n, device=logits.device).float() for n in logits.shape[:1:-1])
    return shares, torch.stack([shares.sum(2) @ across, shares.sum(3) @ down], -1)


def nearby(shares, points):
    """The share (B, K) within a pixel of the points."""
    near_x, near_y = (
        (abs(torch.arange(n, device=shares.device) - place.round()[..., None]) <= 1).float()
        for n, place in zip(shares.shape[:1:-1], points.unbind(-1), strict=True)
    )
    return torch.einsum("bkhw,bkw,bkh->bk", shares, near_x, near_y)


class IntegralNetwork(nn.Module):
    def __init__(self, system):
        super().__init__()
        width, decoder = system.width, system.decoder_width
        self.encoder = Light(width, system.blocks)
        for level, factor in enumerate((1, 2, 4, 4), 1):
            self.add_module(f"lateral{level}", convolution(factor * width, decoder))
        for level in (3, 2, 1):
            self.add_module(f"smooth{level}", convolution(decoder, decoder, 3))
            for name in ("lateral", "smooth"):
                self.add_module(f"{name}{level}_bn", nn.BatchNorm2d(decoder))
        self.logits = convolution(decoder, system.points.num_points)

    def forward(self, images):
        layer, levels = self.get_submodule, self.encoder(images)
        y = self.lateral4(levels[3])
        for level in (3, 2, 1):
            y = upsample(y) + layer(f"lateral{level}")(levels[level - 1])
            y = relu(layer(f"lateral{level}_bn")(y))
            y = relu(layer(f"smooth{level}_bn")(layer(f"smooth{level}")(y)))
        logits = self.logits(y)
        shares, points = soft_argmax(logits)
        return (logits, points) if self.training else (logits, points, nearby(shares, points))


# Hourglasses


class PreActivated(nn.Module):
    """Convolutions conv1, ..., each behind a norm and a ReLU, and the shortcut."""

    def __init__(self, inputs, channels, widths, kernels):
        super().__init__()
        for i, kernel in enumerate(kernels, 1):
            before, after = (inputs, *widths)[i - 1 : i + 1]
            self.add_module(f"bn{i}", nn.BatchNorm2d(before))
            self.add_module(f"conv{i}", convolution(before, after, kernel))
        self.widens = inputs != channels
        if self.widens:
            self.shortcut_bn, self.shortcut = nn.BatchNorm2d(inputs), convolution(inputs, channels)

    def parts(self, x):
        found = [x]
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            found.append(conv(relu(norm(found[-1]))))
        return found[1:]

    def around(self, x):
        return self.shortcut(relu(self.shortcut_bn(x))) if self.widens else x


class HPM(PreActivated):
    def __init__(self, inputs, channels):
        widths = channels // 2, channels // 4, channels // 4
        super().__init__(inputs, channels, widths, (3, 3, 3))

    def forward(self, x):
        return torch.cat(self.parts(x), 1) + self.around(x)


class Bottleneck(PreActivated):
    def __init__(self, inputs, channels):
        widths = channels // 2, channels // 2, channels
        super().__init__(inputs, channels, widths, (1, 3, 1))

    def forward(self, x):
        return self.parts(x)[-1] + self.around(x)


BLOCKS = {"hpm": HPM, "bottleneck": Bottleneck}


class BlurPool(nn.Module):
    """Zhang's (ICML 2019): the binomial filter of so many taps at every second pixel."""

    def __init__(self, size):
        super().__init__()
        taps = np.poly1d([0.5, 0.5]) ** (size - 1)
        taps = torch.tensor(np.outer(taps.coeffs, taps.coeffs), dtype=torch.float32)
        self.register_buffer("taps", taps[None, None], persistent=False)
        self.reach = ((size - 1) // 2, size // 2) * 2

    def forward(self, x):
        taps = self.taps.to(x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv2d(F.pad(x, self.reach, "reflect"), taps, stride=2, groups=x.shape[1])


def down_sampling(pool, blur):
    """A module that halves the sides: `pool` average or max, blurred by `blur` taps or not."""
    if not blur:
        return {"average": nn.AvgPool2d, "max": nn.MaxPool2d}[pool](2)
    return nn.Sequential(*([nn.MaxPool2d(2, 1)] if pool == "max" else []), BlurPool(blur))


class Hourglass(nn.Module):
    """Gives the outputs of all levels, the finest first."""

    def __init__(self, depth, channels, block, pool):
        super().__init__()
        self.pool = pool
        self.up, self.low_in = block(channels, channels), block(channels, channels)
        self.inner = Hourglass(depth - 1, channels, block, pool) if depth > 1 else None
        if depth == 1:
            self.innermost = block(channels, channels)
        self.low_out = block(channels, channels)

    def forward(self, x):
        up, low = self.up(x), self.low_in(self.pool(x))
        levels = self.inner(low) if self.inner else [self.innermost(low)]
        out = up + upsample(self.low_out(levels[0]))
        return [out, *(levels if self.inner else [])]


class Stacks(nn.Module):
    """Stacked hourglasses, whose layers lie flat in the network, and FAN's stem before them."""

    def add_stem(self, inputs, width, block, pool, blur=0):
        stride = 1 if blur else 2
        self.stem = convolution(inputs, width // 4, 7, stride, bias=True)
        self.stem_bn, self.stem_pool = nn.BatchNorm2d(width // 4), pool
        self.stem_blur = BlurPool(blur) if blur else nn.Identity()
        self.stem_block1 = block(width // 4, width // 2)
        self.stem_block2 = block(width // 2, width // 2)
        self.stem_block3 = block(width // 2, width)

    def begin(self, images):
        x = self.stem_blur(relu(self.stem_bn(self.stem(images))))
        return self.stem_block3(self.stem_block2(self.stem_pool(self.stem_block1(x))))

    def add_stacks(self, stacks, width, maps, block, pool):
        self.stacks = stacks
        for i in range(1, stacks + 1):
            self.add_module(f"hourglass{i}", Hourglass(4, width, block, pool))
            self.add_module(f"block{i}", block(width, width))
            self.add_module(f"merge{i}", convolution(width, width, bias=True))
            self.add_module(f"merge{i}_bn", nn.BatchNorm2d(width))
            self.add_module(f"maps{i}", convolution(width, maps, bias=True))
            if i < stacks:
                self.add_module(f"features_back{i}", convolution(width, width, bias=True))
                self.add_module(f"maps_back{i}", convolution(maps, width, bias=True))

    def stack(self, i, x):
        """The levels of the i-th hourglass, the features that its maps are read off, the maps."""
        layer = self.get_submodule
        levels = layer(f"hourglass{i}")(x)
        y = layer(f"merge{i}")(layer(f"block{i}")(levels[0]))
        y = relu(layer(f"merge{i}_bn")(y))
        return levels, y, layer(f"maps{i}")(y)

    def back(self, i, x, features, maps, reuse=True):
        layer = self.get_submodule
        given = layer(f"features_back{i}")(features)
        return (x + given if reuse else given) + layer(f"maps_back{i}")(maps)

    def through(self, x, reuse=True):
        """The maps of every stack; levels and features of the last."""
        found = []
        for i in range(1, self.stacks + 1):
            levels, y, maps = self.stack(i, x)
            found.append(maps)
            if i < self.stacks:
                x = self.back(i, x, y, maps, reuse)
        return found, levels, y


class HourglassNetwork(Stacks):
    def __init__(self, system):
        super().__init__()
        build = {"block": HPM, "pool": down_sampling("average", 0)}
        self.add_stem(3, system.channels, **build)
        self.add_stacks(system.stacks, system.channels, system.points.num_points, **build)

    def forward(self, images):
        return self.through(self.begin(images))[0]


# PropagationNet


class Coordinates(nn.Module):
    """Appends x, y and the radius, and x and y where the boundary map is above 0.05."""

    def __init__(self, side):
        super().__init__()
        grid = torch.tensor(coordinates(side, side), dtype=torch.float32)
        self.register_buffer("grid", grid.permute(2, 0, 1)[None], persistent=False)

    def forward(self, x, boundary=None):
        grid = self.grid.to(x.dtype).expand(len(x), -1, -1, -1)
        parts = [x, grid]
        if boundary is not None:
            parts.append(torch.where(boundary > 0.05, grid[:, :2], 0))
        return torch.cat(parts, 1)


class Propagation(nn.Module):
    def __init__(self, points, width, convolutions, block, pool):
        super().__init__()
        curves = len(CURVES)
        self.boundaries = convolution(points, curves, 7, bias=True)
        self.more = [f"boundaries{i}" for i in range(2, convolutions + 1)]
        for name in self.more:
            self.add_module(name, convolution(curves, curves, 7, bias=True))
        self.merge = convolution(curves + width, width, bias=True)
        self.hourglass = Hourglass(2, width, block, pool)
        self.attention = convolution(width, width, bias=True)

    def forward(self, maps, features, attends):
        boundaries = self.boundaries(maps)
        for name in self.more:
            boundaries = self.get_submodule(name)(relu(boundaries))
        if not attends:
            return boundaries, None
        x = self.hourglass(self.merge(torch.cat([boundaries, features], 1)))[0]
        return boundaries, torch.sigmoid(self.attention(x))


class PropagationNetwork(Stacks):
    def __init__(self, system):
        super().__init__()
        self.system, self.points, width = system, system.points.num_points, system.channels
        pool = down_sampling(system.pool, system.blur)
        build = {"block": BLOCKS[system.block], "pool": pool}
        self.on_images = system.coordconv and system.boundary_channel
        blur = system.blur if system.stem_blur else 0
        self.add_stem(6 if self.on_images else 3, width, **build, blur=blur)
        self.add_stacks(system.stacks, width, self.points + system.boundary_channel, **build)
        self.image_places, self.places = Coordinates(system.size), Coordinates(system.size // 4)
        for i in range(1, system.stacks + 1):
            if system.coordconv:
                more = 5 if i > 1 and system.boundary_channel else 3
                self.add_module(f"coordconv{i}", convolution(width + more, width, bias=True))
            if system.propagation:
                module = Propagation(self.points, width, system.convolutions, **build)
                self.add_module(f"propagation{i}", module)

    def forward(self, images):
        system, layer = self.system, self.get_submodule
        x = self.begin(self.image_places(images) if self.on_images else images)
        landmarks, boundaries, union = [], [], None
        for i in range(1, system.stacks + 1):
            y, last = x, i == system.stacks
            if system.coordconv:
                y = layer(f"coordconv{i}")(self.places(x, union))
            _, y, maps = self.stack(i, y)
            landmarks.append(maps[:, : self.points])
            if not system.propagation:
                boundaries.append(maps[:, self.points :])
                union = boundaries[-1] if system.boundary_channel else None
                x = x if last else self.back(i, x, y, maps)
                continue
            found, attention = layer(f"propagation{i}")(maps, y, not last)
            boundaries.append(found)
            if not last:
                by_feature = system.attends == "features"
                x = self.back(i, x, y * attention if by_feature else y, maps)
                x = x if by_feature else x * attention
        return landmarks, boundaries


# TAB


class BaseStem(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.bn = convolution(3, width, 7, 2, bias=True), nn.BatchNorm2d(width)
        self.block1, self.block2 = HPM(width, 2 * width), HPM(2 * width, 2 * width)
        self.block3 = HPM(2 * width, 4 * width)

    def forward(self, images):
        x = F.max_pool2d(self.block1(self.bn(self.conv(images))), 2)
        return self.block3(self.block2(x))


class VGGStem(nn.Module):
    def __init__(self, width):
        super().__init__()
        inputs = 3
        for i, factor in enumerate((1, 1, 2, 2, 4, 4, 4), 1):
            self.add_module(f"conv{i}", convolution(inputs, factor * width, 3, bias=True))
            self.add_module(f"bn{i}", nn.BatchNorm2d(factor * width))
            inputs = factor * width

    def forward(self, x):
        for i in range(1, 8):
            conv, norm = (self.get_submodule(f"{name}{i}") for name in ("conv", "bn"))
            x = relu(norm(conv(x)))
            x = F.max_pool2d(x, 2) if i in (2, 4) else x
        return x


STEMS = {"base": BaseStem, "vgg": VGGStem}


class SCBE(Stacks):
    def __init__(self, system):
        super().__init__()
        width = system.channels
        self.reuse, self.levels = system.feature_reuse, system.features == "ms"
        self.stem = STEMS[system.stem](width // 4)
        self.add_stacks(system.stacks, width, len(CURVES) + 1, HPM, down_sampling("average", 0))

    def forward(self, images):
        maps, levels, last = self.through(self.stem(images), self.reuse)
        return maps, levels if self.levels else [last]


class UNetConv(nn.Sequential):
    def __init__(self, inputs, outputs, momentum):
        super().__init__()
        for i, before in enumerate((inputs, outputs), 1):
            self.add_module(f"conv{i}", convolution(before, outputs, 3))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs, momentum=momentum))
            self.add_module(f"relu{i}", nn.ReLU(inplace=True))


class UNet(nn.Module):
    def __init__(self, inputs, width, skips, momentum):
        super().__init__()
        block, self.skips = partial(UNetConv, momentum=momentum), skips
        self.add_module("in", block(inputs, width))
        sides, x = [1, 2, 4, 8], 1
        for level, factor in enumerate((2, 4, 8, 8), 1):
            self.add_module(f"down{level}", block(x * width, factor * width))
            x = factor
        for level, factor in enumerate((4, 2, 1, 2), 1):
            beside = sides[-level] if skips else 0
            self.add_module(f"up{level}", block((x + beside) * width, factor * width))
            x = factor

    def forward(self, x, added):
        layer, encoded = self.get_submodule, []
        x = layer("in")(x)
        for level, summand in enumerate(added, 1):
            encoded.append(x + summand)
            x = layer(f"down{level}")(F.max_pool2d(encoded[-1], 2))
        for level in range(1, 5):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = layer(f"up{level}")(torch.cat([encoded[-level], x], 1) if self.skips else x)
        return x


class BALT(nn.Module):
    def __init__(self, system):
        super().__init__()
        width, self.strided = system.base_width, system.bridge == "strided"
        given = 4 if system.features == "ms" else 1
        self.sources = [
            [j for j in range(i, max(0, i - system.fusion), -1) if j <= given] for i in range(1, 5)
        ]
        for level, sources in enumerate(self.sources, 1):
            for source in sources:
                across = self.strided and source < level
                outputs, stride = width * 2 ** (level - 1), 2 ** (level - source) if across else 1
                conv = convolution(system.channels, outputs, 3 if across else 1, stride)
                self.add_module(f"transition{source}_{level}", conv)
                self.add_module(f"transition{source}_{level}_bn", nn.BatchNorm2d(outputs))
        skips, momentum = system.shape_constraint, system.unet_momentum
        self.unet = UNet(len(CURVES) + 1, width, skips, momentum)
        self.maps = convolution(2 * width, system.points.num_points, bias=True)

    def transition(self, features, source, level):
        name = f"transition{source}_{level}"
        x = self.get_submodule(name)(features[source - 1])
        x = relu(self.get_submodule(f"{name}_bn")(x))
        for _ in range(0 if self.strided else level - source):
            x = F.max_pool2d(x, 2)
        return x

    def forward(self, boundaries, features):
        fused = [
            sum(self.transition(features, source, level) for source in sources)
            for level, sources in enumerate(self.sources, 1)
        ]
        return self.maps(self.unet(boundaries, fused))


class TABTwin(nn.Module):
    """SCBE's statistics move while BALT is trained, or do not, as the system says."""

    def __init__(self, system):
        super().__init__()
        self.scbe, self.balt = SCBE(system), BALT(system)
        self.moving = system.scbe_statistics == "moving"

    def train(self, mode=True):
        super().train(mode)
        self.scbe.train(mode and self.moving)
        return self

    def forward(self, images):
        boundaries, features = self.scbe(normalise(images))
        return self.balt(boundaries[-1], features)


# Pixel-wise classification


class ConvBlock(nn.Module):
    def __init__(self, inputs, channels, kernel=3):
        super().__init__()
        self.conv, self.bn = (
            convolution(inputs, channels, kernel, bias=True),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return relu(self.bn(self.conv(x)))


class VGG19(nn.Module):
    def __init__(self, width, top):
        super().__init__()
        self.stages, inputs = [], 1
        for stage, (factor, count) in enumerate(((1, 2), (2, 2), (4, 4), (8, 4), (8, 4)), 1):
            self.stages.append([f"conv{stage}_{i}" for i in range(1, count + 1)])
            for name in self.stages[-1]:
                self.add_module(name, ConvBlock(inputs, factor * width))
                inputs = factor * width
        self.conv6_1, self.conv6_2 = ConvBlock(inputs, top, 7), ConvBlock(top, top, 1)

    def forward(self, x):
        features = []
        for names in self.stages:
            for name in names:
                x = self.get_submodule(name)(x)
            x = F.max_pool2d(x, 2)
            features.append(x)
        return features[2], features[3], self.conv6_2(self.conv6_1(x))


def transposed(inputs, outputs, stride):
    return nn.ConvTranspose2d(inputs, outputs, 2 * stride, stride, padding=stride // 2)


class Heatmaps(nn.Module):
    def __init__(self, system):
        super().__init__()
        maps, width = system.network.maps, system.width
        self.backbone = VGG19(width, system.top)
        self.conv8 = convolution(system.top, maps, bias=True)
        self.up1, self.up2 = transposed(maps, 8 * width, 2), transposed(8 * width, 4 * width, 2)
        self.up3 = transposed(4 * width, maps, 8)

    def forward(self, images):
        low, middle, x = self.backbone(images)
        x = self.up1(relu(self.conv8(x))) + middle
        return self.up3(self.up2(x) + low)


class Alone(nn.Module):
    """A system of one network."""

    def __init__(self, network, prepare=normalise):
        super().__init__()
        self.network, self.prepare = network, prepare

    def forward(self, images):
        return self.network(self.prepare(images))


TWINS = {
    Integral: lambda system: Alone(IntegralNetwork(system)),
    StackedHourglass: lambda system: Alone(HourglassNetwork(system)),
    PropagationNet: lambda system: Alone(PropagationNetwork(system)),
    TAB: TABTwin,
    PixelWise: lambda system: Alone(Heatmaps(system), grey),
}


def twin_of(system: System, variables: dict) -> nn.Module:
    """The system in PyTorch with these variables. Errors: InputError where there is no twin."""
    make = TWINS.get(type(system))
    if make is None:
        names = ", ".join(kind.__name__ for kind in TWINS)
        raise InputError(f"{type(system).__name__} has no twin in PyTorch; these have: {names}")
    if isinstance(system, Integral) and (system.prior or system.relations):
        raise InputError("Integral's twin has none: --set system.prior=0 system.relations=0")
    if isinstance(system, TAB) and system.stem not in STEMS:
        raise InputError(f"TAB's twin has no stem {system.stem}: --set system.stem=vgg or base")
    if isinstance(system, PixelWise) and (system.method not in HEATMAPS or system.discriminator):
        raise InputError("PixelWise's twin is of its heatmaps alone: --set system.method=pwc "
                         "system.discriminator=False")  # fmt: skip
    if isinstance(system, PropagationNet) and system.blur and system.size < 128:
        raise InputError("PyTorch reflects no single pixels: --set system.size=128, or more")
    twin = make(system)
    load(twin, variables)
    return twin


def load(twin: nn.Module, variables: dict):
    """Puts the arrays of a system into its twin, all of them and nothing else."""
    state = {key for key in twin.state_dict() if not key.endswith("num_batches_tracked")}
    given = {}
    for (_, *path, leaf), array in arrays_of(variables).items():
        name, array = ".".join(path), np.array(array)
        if leaf == "kernel":
            array = array.reshape((1,) * (4 - array.ndim) + array.shape)  # dense layers: 1x1 too
            order = (2, 3) if isinstance(twin.get_submodule(name), nn.ConvTranspose2d) else (3, 2)
            array = array.transpose(*order, 0, 1)
        given[f"{name}.{LEAVES[leaf]}"] = torch.from_numpy(array.copy())
    if given.keys() != state:
        raise ValueError(f"the twin differs in {sorted(given.keys() ^ state)}")
    twin.load_state_dict(given, strict=False)
