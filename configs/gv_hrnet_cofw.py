"""GV(HRNet): HRNetV2-W32 and an FPN, on COFW; all else as gv_resnet50_cofw.

`--set system.head=hrnet` takes HRNet's own head for faces in the FPN's place.
ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 30,026,973 parameters, 12.82 G multiply-adds a face.
The paper: NME 3.37 % (inter-ocular), 4.85 % (inter-pupil), failure rate 0.39 / 0.59 % at 10 %.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_cofw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_cofw.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
