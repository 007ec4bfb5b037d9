"""PIPNet on 300W at 128 px, with the light backbone: the recipe for CPUs.

Data: ibug_300w. Cost: 6,605,724 parameters, 0.46 G multiply-adds a face.
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.pipnet import PIPNet


def config() -> Recipe:
    return Recipe(
        system=PIPNet(
            size=128,
            backbone="light_w64",
            stride=16,
            epochs=30,
            optimizer=Optimizer(
                "adamw", 2e-3, "cosine", floor=0.005, warmup=2, weight_decay=0.05, clip=5.0
            ),
        ),
        data=Data(
            train="ibug_300w/train",
            holdout=0.03,
            test="ibug_300w/test",
            crop=Crop(landmarks=BoxRule(1.2), dataset=BoxRule(1.2), detector=BoxRule(1.2)),
            augment=Augment(
                rotation=25, scale=0.1, shift=0.05, occlusion=0.25, occlusion_area=0.12
            ),
        ),
        training=Training(batch=32, ema=0.998, log_steps=20, eval_epochs=5, save_epochs=5),
    )
