"""Gaussian Vector with MobileNetV3-Small, on COFW; all else as gv_resnet50_cofw.

ImageNet start by `--init-from FILE` (torchvision's mobilenet_v3_small);
`--set system.backbone=mobilenetv3_large` for the large one.
Cost: 1,008,573 parameters, 0.24 G multiply-adds a face.
The paper timed a MobileNetV3 (Table 9) and says neither its size nor its accuracy.
Not trained yet, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_cofw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_cofw.config()
    return replace(base, system=replace(base.system, backbone="mobilenetv3_small", fpn_width=64))
