"""GV(HRNet): HRNetV2-W32 and an FPN, on 300W; all else as gv_resnet50_ibug_300w.

`--set system.head=hrnet` takes HRNet's own head for faces in the FPN's place.
ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 30,036,996 parameters, 12.86 G multiply-adds a face.
The paper: NME (inter-ocular) 2.62 / 4.51 / 2.99 % common / challenging / full.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
