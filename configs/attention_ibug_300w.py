"""Attention-driven cropping on 300W, crops of 1024 px: the reconstruction at full size.

Data: ibug_300w, at the photos' own resolution (prepare --max-face 0); most of its faces are smaller
than 1024 px, and what is enlarged shows nothing new. Schedule and augmentation of HRNet's recipe
for faces, batch 8, as reconstructed: the paper's are not known. Its data was balanced by pose; of
300W no yaw is known, of 300W-LP it is: --set data.train=w300_lp/train data.balance=yaw.
Size: 31,191,543 parameters, 41.11 G multiply-adds a face; for GPUs and TPUs.
Not trained yet at this size, so no accuracy is stated.
"""

from jaxalign.augment import geometric
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems.attention_cropping import AttentionCropping


def config() -> Recipe:
    return Recipe(
        system=AttentionCropping(),
        data=Data(
            train="ibug_300w/train",
            test="ibug_300w/test",
            augment=geometric(rotation=30, rotation_p=0.6, scale=0.25, shift=0.0),
        ),
        training=Training(batch=8),
    )
