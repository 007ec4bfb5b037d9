"""GV(ResNet50) on 300W (Gaussian Vector, Tables 1 and 5).

Data: ibug_300w, 3,148 faces; crops are the landmark box made square, nothing added. Rotation,
scale and flips are the paper's; occlusion (unstated there) covers up to a fifth of the crop.
Rate, batch and epochs are unstated in the paper: those of HRNet for faces; ImageNet start by
`--init-from FILE` (timm's resnetv2_50). The paper used four GPUs.
Cost: 25,092,100 parameters, 8.33 G multiply-adds a face.
The paper: NME (inter-ocular) 2.73 / 4.84 / 3.14 % common / challenging / full.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from jaxalign.augment import geometric
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.gaussian_vector import GaussianVector


def config() -> Recipe:
    return Recipe(
        system=GaussianVector(
            backbone="resnet50_v2",
            epochs=60,
            optimizer=Optimizer("adam", 1e-4, "step", boundaries=(30, 50)),
        ),
        data=Data(
            train="ibug_300w/train",
            test="ibug_300w/test",
            crop=Crop("landmarks", BoxRule(1.0), BoxRule(1.0), BoxRule(1.0)),
            augment=geometric(
                rotation=30,
                rotation_p=0.5,
                scale=0.25,
                shift=0.0,
                occlusion=0.5,
                occlusion_area=0.2,
            ),
        ),
        training=Training(batch=16),
    )
