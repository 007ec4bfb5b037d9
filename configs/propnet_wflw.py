"""PropagationNet on WFLW (Table 3): four stacks, 15 boundaries, Focal Wing loss.

Data: wflw, 7,500 faces with their six attributes. As printed: 256 px, Adam 1e-4, rotation 30,
scale 15 %, shift 25 px, flips; anti-aliasing of the stem's stride, two consecutive convolutions to
the boundaries, attention on the hourglass's features, boundaries of blurred lines. Choices: the
annotation's boxes + 25 %, batch 16, 240 epochs, x 0.1 at 160 and 210; AWing's weight map. AWing's
own network and loss: `--set system.boundary_channel=True system.propagation=False
system.pool=average system.blur=0 system.focal='' system.beta=1 system.boundary_labels=distance`.
Cost: 36,393,532 parameters, 43.45 G multiply-adds a face (the paper: 36.30 M, 42.83 G; with
`system.stem_blur=False system.convolutions=1` 36,349,372 and 42.80 G).
The paper: NME (inter-ocular) 4.05 %, failure rate 2.96 % at 10 %, AUC 0.6158.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from jaxalign.augment import geometric
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.propagationnet import PropagationNet


def config() -> Recipe:
    return Recipe(
        system=PropagationNet(scheme="wflw98"),
        data=Data(
            train="wflw/train",
            test="wflw/test",
            crop=Crop("dataset", BoxRule(1.25), BoxRule(1.25), BoxRule(1.25)),
            augment=geometric(rotation=30, scale=0.15, shift=25 / 256),
        ),
        training=Training(batch=16),
    )
