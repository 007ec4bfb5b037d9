"""GV(HRNet): HRNetV2-W32 and an FPN, on WFLW; all else as gv_resnet50_wflw.

`--set system.head=hrnet` takes HRNet's own head for faces in the FPN's place.
ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 30,044,706 parameters, 12.89 G multiply-adds a face.
The paper: NME (inter-ocular) 4.33 %, failure rate 3.52 % at 10 %, AUC 0.5775.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_wflw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_wflw.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
