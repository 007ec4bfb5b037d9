"""PIPNet with ResNet-18 on 300W.

Data: ibug_300w, crops 1.1 times the landmarks' rectangle, as released, but square (the released
code stretches the rectangle), and shifts of every face, not of each second one. Start:
torchvision's resnet18 of ImageNet (`--init-from resnet18.pth`).
Cost: 11,978,844 parameters, 2.42 G multiply-adds a face.
Reached: not trained here yet.
"""

from jaxalign.augment import geometric
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.pipnet import PIPNet


def config() -> Recipe:
    return Recipe(
        system=PIPNet(epochs=60, optimizer=Optimizer("adam", 1e-4, "step", boundaries=(30, 50))),
        data=Data(
            train="ibug_300w/train",
            test="ibug_300w/test",
            crop=Crop(landmarks=BoxRule(1.1), dataset=BoxRule(1.1), detector=BoxRule(1.1)),
            augment=geometric(
                rotation=30,
                rotation_p=0.5,
                scale=0,
                shift=30 / 256,
                flip=0.5,
                blur=0.3,
                occlusion=0.5,
                occlusion_area=0.16,
            ),
        ),
        training=Training(batch=16),
    )
