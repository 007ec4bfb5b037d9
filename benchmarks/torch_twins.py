"""The backbones in PyTorch, with the layer names of the published files (needs PyTorch).

A twin takes (B, 3, S, S) normalised images and returns the features of its JAX original, NCHW.
"""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, kernel=1, stride=1, bias=False, groups=1):
    padding = kernel // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)


class VGG16BN(nn.Module):
    """torchvision's vgg16_bn as far as stride 4: features[0:23]."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for width in (64, 64, "pool", 128, 128, "pool", 256, 256, 256):
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [convolution(inputs, width, 3, bias=True), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU())
                inputs = width
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        return [self.features(x)]


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride=1):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, 4 * width), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or inputs != 4 * width:
            shortcut = convolution(inputs, 4 * width, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Basic(nn.Module):
    def __init__(self, inputs, width, stride=1):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or inputs != width:
            shortcut = convolution(inputs, width, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # inner channels and blocks of ResNet-50


class ResNet(nn.Module):
    """torchvision's, without its classifier; a block's output has `times` its inner channels."""

    def __init__(self, block=Bottleneck, times=4, counts=(3, 4, 6, 3)):
        super().__init__()
        self.conv1, self.bn1 = convolution(3, 64, 7, 2), nn.BatchNorm2d(64)
        inputs = 64
        for stage, (width, count) in enumerate(zip((64, 128, 256, 512), counts, strict=True), 1):
            first = block(inputs, width, stride=1 if stage == 1 else 2)
            inputs = times * width
            others = [block(inputs, width) for _ in range(count - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(first, *others))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


class PreActivation(nn.Module):
    def __init__(self, inputs, width, stride=1):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), convolution(inputs, width)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), convolution(width, width, 3, stride)
        self.norm3, self.conv3 = nn.BatchNorm2d(width), convolution(width, 4 * width)
        self.downsample = None
        if stride > 1 or inputs != 4 * width:
            shortcut = convolution(inputs, 4 * width, 1, stride)
            self.downsample = nn.Sequential(OrderedDict(conv=shortcut))

    def forward(self, x):
        activated = F.relu(self.norm1(x))
        if self.downsample is not None:
            x = self.downsample(activated)
        y = self.conv1(activated)
        y = self.conv2(F.relu(self.norm2(y)))
        return x + self.conv3(F.relu(self.norm3(y)))


class ResNetV2(nn.Module):
    """Gluon's resnet50_v2 without its classifier, by timm's names; `UNPUBLISHED` are ours."""

    def __init__(self):
        super().__init__()
        self.data_norm = nn.BatchNorm2d(3, affine=False)
        stem = OrderedDict(conv=convolution(3, 64, 7, 2), norm=nn.BatchNorm2d(64))
        self.stem = nn.Sequential(stem)
        self.stages, inputs = nn.ModuleList(), 64
        for width, count in STAGES:
            first = PreActivation(inputs, width, stride=1 if width == 64 else 2)
            inputs = 4 * width
            others = [PreActivation(inputs, width) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(OrderedDict(blocks=nn.Sequential(first, *others))))
        self.norm = nn.BatchNorm2d(inputs)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(self.data_norm(x))), 3, 2, padding=1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return [*features[:-1], F.relu(self.norm(x))]


UNPUBLISHED = {"data_bn": "data_norm", "stem_bn": "stem.norm"}  # layers of the JAX original


def conv_norm(inputs, outputs, kernel, stride, activation, groups=1):
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    layers = [convolution(inputs, outputs, kernel, stride, groups=groups), norm]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.fc1 = convolution(channels, squeezed, bias=True)
        self.fc2 = convolution(squeezed, channels, bias=True)

    def forward(self, x):
        y = F.relu(self.fc1(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.fc2(y))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, kernel, expanded, outputs, squeezed, activation, stride):
        super().__init__()
        self.stride, self.same = stride, stride == 1 and inputs == outputs
        layers = []
        if expanded != inputs:
            layers.append(conv_norm(inputs, expanded, 1, 1, activation))
        layers.append(conv_norm(expanded, expanded, kernel, stride, activation, expanded))
        if squeezed:
            layers.append(SqueezeExcite(expanded, squeezed))
        layers.append(conv_norm(expanded, outputs, 1, 1, None))
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x) if self.same else self.block(x)


RE, HS = nn.ReLU, nn.Hardswish
MOBILENETV3 = {  # kernel, expanded, channels, squeezed, nonlinearity, stride
    "small": (
        (3, 16, 16, 8, RE, 2),
        (3, 72, 24, 0, RE, 2),
        (3, 88, 24, 0, RE, 1),
        (5, 96, 40, 24, HS, 2),
        (5, 240, 40, 64, HS, 1),
        (5, 240, 40, 64, HS, 1),
        (5, 120, 48, 32, HS, 1),
        (5, 144, 48, 40, HS, 1),
        (5, 288, 96, 72, HS, 2),
        (5, 576, 96, 144, HS, 1),
        (5, 576, 96, 144, HS, 1),
    ),
    "large": (
        (3, 16, 16, 0, RE, 1),
        (3, 64, 24, 0, RE, 2),
        (3, 72, 24, 0, RE, 1),
        (5, 72, 40, 24, RE, 2),
        (5, 120, 40, 32, RE, 1),
        (5, 120, 40, 32, RE, 1),
        (3, 240, 80, 0, HS, 2),
        (3, 200, 80, 0, HS, 1),
        (3, 184, 80, 0, HS, 1),
        (3, 184, 80, 0, HS, 1),
        (3, 480, 112, 120, HS, 1),
        (3, 672, 112, 168, HS, 1),
        (5, 672, 160, 168, HS, 2),
        (5, 960, 160, 240, HS, 1),
        (5, 960, 160, 240, HS, 1),
    ),
}


class MobileNetV3(nn.Module):
    """torchvision's mobilenet_v3_small or _large without pooling and classifier."""

    def __init__(self, kind):
        super().__init__()
        layers, inputs = [conv_norm(3, 16, 3, 2, HS)], 16
        for row in MOBILENETV3[kind]:
            layers.append(InvertedResidual(inputs, *row))
            inputs = row[2]
        layers.append(conv_norm(inputs, 6 * inputs, 1, 1, HS))
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        features = []
        for layer in self.features:
            if isinstance(layer, InvertedResidual) and layer.stride == 2:
                features.append(x)
            x = layer(x)
        return [*features[1:], x]


class BasicBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = convolution(width, width, 3), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3), nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


def down(inputs, outputs, rectified=True):
    layers = [convolution(inputs, outputs, 3, 2), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if rectified else []))


class HighResolutionModule(nn.Module):
    def __init__(self, widths):
        super().__init__()
        branches = (nn.Sequential(*(BasicBlock(width) for _ in range(4))) for width in widths)
        self.branches = nn.ModuleList(branches)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.fusion(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    @staticmethod
    def fusion(widths, source, target):
        inputs, outputs = widths[source], widths[target]
        if source > target:
            layers = convolution(inputs, outputs), nn.BatchNorm2d(outputs)
            up = nn.Upsample(scale_factor=2 ** (source - target), mode="bilinear")
            return nn.Sequential(*layers, up)
        steps = target - source
        between = [down(inputs, inputs) for _ in range(steps - 1)]
        return nn.Sequential(*between, down(inputs, outputs, False)) if steps else nn.Identity()

    def forward(self, x):
        x = [branch(y) for branch, y in zip(self.branches, x, strict=True)]
        rows = ([layer(y) for layer, y in zip(row, x, strict=True)] for row in self.fuse_layers)
        return [F.relu(sum(row)) for row in rows]


class HRNetV2(nn.Module):
    """The authors' HRNetV2 for ImageNet, up to its four branches."""

    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = convolution(3, 64, 3, 2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = convolution(64, 64, 3, 2), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Bottleneck(64, 64), *(Bottleneck(256, 64) for _ in range(3)))
        finest = convolution(256, width, 3), nn.BatchNorm2d(width), nn.ReLU()
        lower = nn.Sequential(down(256, 2 * width))
        self.transition1 = nn.ModuleList([nn.Sequential(*finest), lower])
        for stage, modules in ((2, 1), (3, 4), (4, 3)):
            widths = [width * 2**i for i in range(stage)]
            modules = (HighResolutionModule(widths) for _ in range(modules))
            self.add_module(f"stage{stage}", nn.Sequential(*modules))
            if stage < 4:
                same = [nn.Identity() for _ in widths]
                lower = nn.Sequential(down(widths[-1], 2 * widths[-1]))
                self.add_module(f"transition{stage}", nn.ModuleList([*same, lower]))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        x = self.stage2([layer(x) for layer in self.transition1])
        x = self.stage3([*x, self.transition2[-1](x[-1])])
        return self.stage4([*x, self.transition3[-1](x[-1])])


TWINS = {
    "resnet50_v2": ResNetV2,
    "resnet18": partial(ResNet, Basic, 1, (2, 2, 2, 2)),
    "resnet50": ResNet,
    "hrnet_w18": partial(HRNetV2, 18),
    "hrnet_w32": partial(HRNetV2, 32),
    "mobilenetv3_small": partial(MobileNetV3, "small"),
    "mobilenetv3_large": partial(MobileNetV3, "large"),
    "vgg16_bn": VGG16BN,
}


@torch.no_grad()
def randomise(module: nn.Module, seed: int):
    """Random norms and statistics, on top of the layers' own random start."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.5, 1.5, generator=generator)
            if layer.affine:
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
