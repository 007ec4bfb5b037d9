"""TAB on WFLW (Think about boundary, Table 1): SCBE with the VGG stem, two stacks; fusion 2.

Data: wflw, 7,500 faces; the landmarks' boxes + 25 %, which are the paper's, HRNet's. Two phases of
140 epochs (SCBE, then BALT on the SCBE of the first one's end, frozen), Adam 1e-4, x 0.1 at epochs
80 and 120, batch 16. Rotation, scale, flips, brightness and coarse dropout as the released code.
Labels are sub-pixel; `system.integer_labels=True` is the released way. The stem starts from
ImageNet by `--init-from vgg16_bn.pth` (torchvision). The paper used one P100.
Cost: 22,716,770 parameters, 25.07 G multiply-adds a face.
The paper: NME (inter-ocular) 3.94 %, failure rate 1.96 % at 10 %, AUC 0.6112.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from jaxalign.augment import geometric
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.tab import TAB


def config() -> Recipe:
    return Recipe(
        system=TAB(scheme="wflw98"),
        data=Data(
            train="wflw/train",
            test="wflw/test",
            # the annotation's boxes are 1.27 times the landmarks'
            crop=Crop("landmarks", BoxRule(1.25), dataset=BoxRule(1.0), detector=BoxRule(1.25)),
            augment=geometric(
                rotation=60,
                rotation_p=0.6,
                scale=0.25,
                shift=0.0,
                brightness=25.0,
                gain=0.5,
                colour_p=0.5,
                light="channel",
                dropout=0.5,
                dropout_size=0.02,
            ),
        ),
        training=Training(batch=16),
    )
