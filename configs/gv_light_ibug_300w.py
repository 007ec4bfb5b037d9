"""Gaussian Vector on 300W with a light backbone at 128 px: the recipe for CPUs.

Data: ibug_300w, landmark boxes. `--set system.bands=()` trains the heatmap baseline of Table 5.
Cost: 1,361,348 parameters, 0.16 G multiply-adds a face; about 20 minutes on two CPU cores with
2,012 of the 3,148 training faces.
Reached: NME (inter-ocular) 4.13 % on LFPW test with landmark boxes, 7.21 % by heatmaps, both with
labels as they were then: system.outside=tail, system.integer_centre=False
(docs/results/gaussian_vector.md).
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.gaussian_vector import GaussianVector


def config() -> Recipe:
    return Recipe(
        system=GaussianVector(
            size=128,
            backbone="light_w32",
            fpn_width=64,
            epochs=60,
            optimizer=Optimizer(
                "adamw", 2e-3, "cosine", floor=0.005, warmup=2, weight_decay=0.05, clip=5.0
            ),
        ),
        data=Data(
            train="ibug_300w/train",
            holdout=0.03,
            test="ibug_300w/test",
            crop=Crop("landmarks", BoxRule(1.0), BoxRule(1.0), BoxRule(1.0)),
            augment=Augment(
                rotation=25, scale=0.15, shift=0.05, occlusion=0.25, occlusion_area=0.12
            ),
        ),
        training=Training(batch=32, ema=0.998, log_steps=20, eval_epochs=5, save_epochs=5),
    )
