"""PropagationNet on 300W, narrow and at 128 px: the recipe for CPUs.

Data: ibug_300w. Cost: 1,259,006 parameters, 0.47 G multiply-adds a face.
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.propagationnet import PropagationNet


def config() -> Recipe:
    return Recipe(
        system=PropagationNet(
            size=128,
            stacks=2,
            channels=64,
            epochs=14,
            optimizer=Optimizer("adam", 3e-3, "cosine", factor=0.005, warmup=1, clip=200.0),
        ),
        data=Data(
            train="ibug_300w/train",
            holdout=0.03,
            test="ibug_300w/test",
            crop=Crop("landmarks", BoxRule(1.2), BoxRule(1.2), BoxRule(1.2)),
            augment=Augment(
                rotation=25, scale=0.1, shift=0.05, occlusion=0.25, occlusion_area=0.12
            ),
        ),
        training=Training(batch=32, ema=0.998, log_steps=20, eval_epochs=3.5, save_epochs=3.5),
    )
