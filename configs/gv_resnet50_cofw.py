"""GV(ResNet50) on COFW (Gaussian Vector, Table 2): as on 300W, with COFW's own boxes + 10 %.

Data: cofw, 1,345 faces. Cost: 25,082,077 parameters, 8.29 G multiply-adds a face.
The paper: NME 3.42 % (inter-ocular), 4.92 % (inter-pupil), failure rate 0.59 / 0.99 % at 10 %.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    crop = Crop("dataset", BoxRule(1.1), BoxRule(1.1), BoxRule(1.1))
    return replace(
        base,
        system=replace(base.system, scheme="cofw29"),
        data=replace(base.data, train="cofw/train", test="cofw/test", crop=crop),
    )
