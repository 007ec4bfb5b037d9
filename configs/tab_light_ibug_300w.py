"""TAB on 300W, narrow and at 128 px: the recipe for CPUs.

Data: ibug_300w. Cost: 2,899,252 parameters, 0.34 G multiply-adds a face; 28 minutes on two CPU
cores with 2,012 of the 3,148 training faces.
Reached: NME (inter-ocular) 5.15 % on LFPW test with landmark boxes (docs/results/tab.md).
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.tab import TAB


def config() -> Recipe:
    return Recipe(
        system=TAB(
            size=128,
            stem="base",
            channels=64,
            base_width=24,
            unet_momentum=0.1,
            conv_deviation=0.0,
            sigma=2.0,
            scbe_epochs=16,
            scbe_optimizer=Optimizer("adam", 3e-3, "cosine", floor=0.02, warmup=1, clip=5.0),
            balt_epochs=36,
            optimizer=Optimizer("adam", 3e-3, "cosine", floor=0.005, warmup=1, clip=5.0),
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
        training=Training(batch=32, ema=0.998, log_steps=20, eval_epochs=5, save_epochs=5),
    )
