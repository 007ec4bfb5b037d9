"""GV(HRNet): HRNetV2-W32, on COFW; all else as gv_resnet50_cofw.

ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 29,551,325 parameters, 11.31 G multiply-adds a face.
The paper: NME 3.37 % (inter-ocular), 4.85 % (inter-pupil), failure rate 0.39 / 0.59 % at 10 %.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_cofw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_cofw.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
