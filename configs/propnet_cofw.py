"""PropagationNet on COFW (Table 1); all else as propnet_wflw, with landmark boxes + 25 %.

The paper's attributes were labelled by hand and not published. Here a face has occlusion, where at
least 30 % of its points are marked so, and no other; your own by `jaxalign prepare cofw
--attributes FILE`. The chin is one point, so that its boundary is not supervised.
Data: cofw, 1,345 faces. Cost: 36,066,748 parameters, 42.11 G multiply-adds a face.
The paper: NME 3.71 %, failure rate 0.20 % at 10 %; it says inter-pupil, the number is inter-ocular.
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
        system=replace(base.system, scheme="cofw29"),
        data=replace(base.data, train="cofw/train", test="cofw/test", crop=crop),
    )
