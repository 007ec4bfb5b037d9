"""Light integral regression on 300W at 128 px: the recipe for CPUs."""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.integral import Integral


def config() -> Recipe:
    return Recipe(
        system=Integral(
            width=48,
            decoder_width=64,
            epochs=120,
            optimizer=Optimizer(
                "adamw", 2e-3, "cosine", factor=0.01, warmup=2, weight_decay=0.05, clip=5.0
            ),
        ),
        data=Data(
            train="ibug_300w/train",
            test="ibug_300w/test",
            augment=Augment(rotation=30, scale=0.12, shift=0.06),
        ),
        training=Training(batch=32, ema=0.998, log_steps=20, eval_epochs=5, save_epochs=5),
    )
