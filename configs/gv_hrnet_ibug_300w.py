"""GV(HRNet): HRNetV2-W32, on 300W; all else as gv_resnet50_ibug_300w.

ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 29,570,084 parameters, 11.38 G multiply-adds a face.
The paper: NME (inter-ocular) 2.62 / 4.51 / 2.99 % common / challenging / full.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
