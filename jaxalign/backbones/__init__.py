"""The backbones, one file a family; a further one adds one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign.backbones import hrnet, light, mobilenetv3, resnet, vgg


@dataclass(frozen=True)
class Backbone:
    """A backbone and, if there are any, its published weights.

    Attributes:
        make: make(dtype) -> a module from normalised images to features; its file says which.
        torch_name: Takes a module's path inside the backbone ("stage1_block1/conv1") to the layer's
            name in the published file, or to None if the file has no such layer.
        weights: The published file in words.
    """

    make: Callable[[jnp.dtype], nn.Module]
    torch_name: Callable[[str], str | None] | None = None
    weights: str = ""


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(
        lambda dtype: resnet.ResNet((2, 2, 2, 2), resnet.Basic, dtype),
        resnet.torchvision_name,
        "torchvision's resnet18",
    ),
    "resnet50_v2": Backbone(
        lambda dtype: resnet.ResNetV2(dtype=dtype), resnet.timm_name, "timm's resnetv2_50"
    ),
    "resnet50": Backbone(
        lambda dtype: resnet.ResNet(dtype=dtype), resnet.torchvision_name, "torchvision's resnet50"
    ),
    "hrnet_w18": Backbone(
        lambda dtype: hrnet.HRNet(18, dtype), hrnet.torch_name, "hrnetv2_w18_imagenet_pretrained"
    ),
    "hrnet_w32": Backbone(
        lambda dtype: hrnet.HRNet(32, dtype), hrnet.torch_name, "hrnetv2_w32_imagenet_pretrained"
    ),
    "mobilenetv3_small": Backbone(
        lambda dtype: mobilenetv3.MobileNetV3("small", dtype),
        partial(mobilenetv3.torch_name, "small"),
        "torchvision's mobilenet_v3_small",
    ),
    "mobilenetv3_large": Backbone(
        lambda dtype: mobilenetv3.MobileNetV3("large", dtype),
        partial(mobilenetv3.torch_name, "large"),
        "torchvision's mobilenet_v3_large",
    ),
    "vgg16_bn": Backbone(
        lambda dtype: vgg.VGG16BNStem(dtype=dtype), vgg.torch_name, "torchvision's vgg16_bn"
    ),
    "light_w32": Backbone(lambda dtype: light.Light(32, dtype=dtype)),
    "light_w64": Backbone(lambda dtype: light.Light(64, dtype=dtype)),
}


def encoders() -> list[str]:
    """The names of whole encoders, which give four features; vgg16_bn is a stem.

    Returns:
        Keys of BACKBONES.
    """
    return [name for name in BACKBONES if name != "vgg16_bn"]
