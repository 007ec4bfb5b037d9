"""GV(HRNet): HRNetV2-W32 and an FPN, on JD-landmark; all else as gv_resnet50_jd_landmark.

`--set system.head=hrnet` takes HRNet's own head for faces in the FPN's place.
ImageNet start by `--init-from hrnetv2_w32_imagenet_pretrained.pth`.
Cost: 30,046,762 parameters, 12.90 G multiply-adds a face.
The paper: AUC 83.34 % at 8 %, NME 1.35 %, failure rate 0.10 %.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_jd_landmark
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_jd_landmark.config()
    return replace(base, system=replace(base.system, backbone="hrnet_w32"))
