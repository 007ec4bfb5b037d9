"""FAN, four stacked hourglasses, on 300W (Bulat and Tzimiropoulos, ICCV 2017).

Data: ibug_300w, 3,148 faces to train on. Labels, schedule and augmentation of HRNet-FLD, whose
recipe most heatmap systems of the field share (FAN's own training code was on other data): Gaussian
of sigma 1 at 64 x 64, Adam 1e-4, x 0.1 at epochs 30 and 50, batch 16.
Size: 23,820,176 parameters, 25.24 G multiply-adds a face; for GPUs and TPUs.
Not trained yet at this size, so no accuracy is stated.
"""

from jaxalign.augment import geometric
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.hourglass import StackedHourglass


def config() -> Recipe:
    return Recipe(
        system=StackedHourglass(
            stacks=4,
            sigma=1.0,
            epochs=60,
            optimizer=Optimizer("adam", 1e-4, "step", boundaries=(30, 50)),
        ),
        data=Data(
            train="ibug_300w/train",
            test="ibug_300w/test",
            augment=geometric(rotation=30, rotation_p=0.6, scale=0.25, shift=0.0),
        ),
        training=Training(batch=16),
    )
