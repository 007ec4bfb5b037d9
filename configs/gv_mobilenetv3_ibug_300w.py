"""Gaussian Vector with MobileNetV3-Small, on 300W; all else as gv_resnet50_ibug_300w.

ImageNet start by `--init-from FILE` (torchvision's mobilenet_v3_small);
`--set system.backbone=mobilenetv3_large` for the large one.
Cost: 1,011,108 parameters, 0.25 G multiply-adds a face.
The paper timed a MobileNetV3 (Table 9) and says neither its size nor its accuracy.
Not trained yet, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    return replace(base, system=replace(base.system, backbone="mobilenetv3_small", fpn_width=64))
