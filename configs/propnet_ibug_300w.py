"""PropagationNet on 300W (Table 2); all else as propnet_wflw, with landmark boxes + 25 %.

The paper labelled the six attributes by hand and did not publish them: no face has any, and the
focal factor is 1. With your own, `jaxalign prepare ibug_300w --attributes FILE` names the data set,
for `--set data.train=ibug_300w:attributes1a2b3c4d/train`. The lower brows repeat the upper ones
(`system.mask_duplicates=True` leaves them out).
Data: ibug_300w, 3,148 faces. Cost: 36,251,452 parameters, 42.87 G multiply-adds a face.
The paper: NME 2.67 / 3.99 / 2.93 % (inter-ocular), 3.70 / 5.75 / 4.10 % (inter-pupil), common /
challenging / full.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import propnet_wflw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = propnet_wflw.config()
    crop = replace(base.data.crop, box="landmarks")
    return replace(
        base,
        system=replace(base.system, scheme="ibug68"),
        data=replace(base.data, train="ibug_300w/train", test="ibug_300w/test", crop=crop),
    )
