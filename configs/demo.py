"""The demo: a light model on the embedded synthetic faces, minutes on a CPU.

Synthetic faces are a stand-in to learn and test with; the numbers say nothing about photos.
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.integral import Integral


def config() -> Recipe:
    return Recipe(
        system=Integral(
            width=32,
            decoder_width=64,
            epochs=9,
            optimizer=Optimizer("adamw", 2e-3, "cosine", floor=0.01, warmup=0.5, clip=5.0),
        ),
        data=Data(
            train="synthetic_faces/train",
            holdout=0.05,
            test="synthetic_faces/test",
            augment=Augment(rotation=20, scale=0.1, shift=0.05),
        ),
        training=Training(batch=32, ema=0.99, eval_epochs=1, save_epochs=1),
    )
