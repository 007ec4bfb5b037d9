"""Pixel-wise classification's hybrid model on 300W (Tables 1 and 2).

`--set system.method=M system.discriminator=True` gives the other models of Table 2; all of them are
`jaxalign paper pixelwise --table 2`. As printed and as released: the losses take points by argmax,
so that hybrid and discriminator train the detector as PWC is trained, and differ by the checkpoint
that their losses choose; Gaussians stand around whole pixels; finished crops are turned and shrunk,
black around; direct regresses plain pixels; DAN has the loss of its last stage; true and found
points are normalised each by their own batch, one step of the discriminator to two of the detector;
each 1,000 such turns the loss is validated, and ten times in vain end the training.
`--set system.coordinates=soft system.balance=gradients system.gamma=0.1 training.judge=nme` lets
gradients pass through the points: at CPU size better than PWC (docs/results/pixelwise.md).
Held out are a tenth of the photos, to validate on. The paper and its code hold out nothing: they
train on all 3,148 faces, and validate and stop on the very faces of Table 2, which is `--set
data.val=ibug_300w/test data.holdout=0` here.
Otherwise than released: crops about the points' mean (the paper's way), bilinear; at most 1,000
epochs; classes start as rare as they are; loss_face is validated too; the discriminator sees shares
of the crop's side, and its sign is the paper's; DAN halves its image by means, and has the training
faces' mean shape at that size.
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
            augment=geometric(of="crop", rotation=30, scale=0, shrink=0.4, shift=0, flip=0),
        ),
        training=Training(batch=16, eval_steps=1000, judge="loss", patience=10),
    )
