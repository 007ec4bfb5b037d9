"""The weights that come with the library, trained on: from drawn faces alone, for every scheme.

Light integral regression at 128 px on the `union` of the schemes' points. No photo is trained on or
validated on: the faces are drawn by datasets/synthetic_faces, and augmented strongly, for photos
are to look like one more variation of them. It goes on from the package's weights; the first of
them began at random, with half of the drawings and the recipe of commit a26821d.
Data: 40,000 drawings. All of it: jaxalign demo --config drawn.
Cost: 4.5 M parameters, 0.42 G multiply-adds a face; 14 minutes to draw on one CPU core, and 92 to
train on two with other work beside it.
Reached: docs/model_card.md. The package's file crops 1.2 times the box: of 1.15, 1.2 and 1.25 the
drawn test faces have the lowest NME by it (1.360, 1.344 and 1.355 % of the box).
"""

from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.integral import Integral


def config() -> Recipe:
    return Recipe(
        system=Integral(
            scheme="union",
            width=56,
            decoder_width=80,
            relations=256,
            criterion="star",
            prior=0.1,
            epochs=6,
            optimizer=Optimizer(
                "muon", 2e-3, "cosine", floor=0.005, warmup=0.3, weight_decay=0.05, clip=5.0
            ),
        ),
        data=Data(
            train="synthetic_faces:seed1-train40000/train",
            val="synthetic_faces:seed1-train40000/test",
            test="synthetic_faces:seed1-train40000/test",
            crop=Crop(landmarks=BoxRule(1.25), dataset=BoxRule(1.2), detector=BoxRule(1.25)),
            augment=Augment(
                rotation=25,
                scale=0.15,
                shift=0.07,
                brightness=40,
                contrast=0.4,
                saturation=0.4,
                grey=0.15,
                occlusion=0.25,
                occlusion_area=0.12,
            ),
        ),
        training=Training(
            batch=32,
            ema=0.998,
            log_steps=50,
            eval_epochs=1,
            save_epochs=0.25,
            init_from="drawn",
        ),
    )
