"""Light integral regression on 300W at 192 px, from the weights of drawn faces: for CPUs.

Data: ibug_300w. Cost: 4.3 M parameters, 0.92 G multiply-adds a face; 24 minutes on two CPU
cores with 2,012 of the 3,148 training faces. Crops are not mirrored: 300W's points lie half a
percent of the face's side to the right of where they would be mirror images of each other.
Reached: NME (inter-ocular) 2.84 % on LFPW test with landmark boxes, 2.85 % with a detector's and
a second look (docs/results/integral.md has the commands).
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.integral import Integral


def config() -> Recipe:
    return Recipe(
        system=Integral(
            size=192,
            width=56,
            decoder_width=80,
            relations=256,
            criterion="star",
            epochs=18,
            optimizer=Optimizer(
                "muon", 2e-3, "cosine", floor=0.005, warmup=1, weight_decay=0.05, clip=5.0
            ),
        ),
        data=Data(
            train="ibug_300w/train",
            holdout=0.03,
            test="ibug_300w/test",
            crop=Crop(landmarks=BoxRule(1.2), dataset=BoxRule(1.2), detector=BoxRule(1.2)),
            augment=Augment(
                rotation=25, scale=0.1, shift=0.05, flip=0.0, occlusion=0.25, occlusion_area=0.12
            ),
        ),
        training=Training(
            batch=32, ema=0.998, log_steps=20, eval_epochs=4, save_epochs=2, init_from="drawn"
        ),
    )
