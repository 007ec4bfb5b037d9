"""Pixel-wise classification's hybrid model on 300W (Tables 1 and 2).

`--set system.method=M system.discriminator=True` gives the other models of Table 2; all of them are
`jaxalign paper pixelwise --table 2`. As released: Gaussians around whole pixels, one step of
the discriminator to two of the detector, a validation each 1,000 such turns. Otherwise than
released: crops about the points' mean (the paper's way), bilinear; validation on NME; at most 1,000
epochs; classes start as rare as they are; the discriminator sees shares of the crop's side; DAN
halves its image by means, and its mean shape is of the augmented faces. The weights of the losses
are the paper's, whose code passes no gradient through the points. Where gradients pass, as here,
the classes want a larger share: at 96 px `system.alpha=100` was right, which in proportion to the
pixels is 500 at this size (untried).
Data: ibug_300w, 3,148 faces. Cost: 82,947,658 parameters, 26.49 G multiply-adds a face.
The paper: NME (inter-ocular) 3.15 / 3.36 / 6.37 % on HELEN, LFPW, IBUG, 4.27 % of all 1,289.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from jaxalign.augment import geometric
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.pixelwise import PixelWise


def config() -> Recipe:
    return Recipe(
        system=PixelWise(discriminator=False, integer_labels=True, epochs=1000),
        data=Data(
            train="ibug_300w/train",
            holdout=0.1,
            test="ibug_300w/test",
            crop=Crop("landmarks", BoxRule(1.3), BoxRule(1.3), BoxRule(1.3), centroid=True),
            augment=geometric(rotation=30, scale=0, shrink=0.4, shift=0, flip=0),
        ),
        training=Training(batch=16, eval_steps=1000, patience=10),
    )
