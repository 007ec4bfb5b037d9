"""GV(ResNet50) on WFLW (Gaussian Vector, Table 3): as on 300W, with the annotation's boxes + 25 %.

Data: wflw, 7,500 faces. Cost: 25,099,810 parameters, 8.36 G multiply-adds a face.
The paper: NME (inter-ocular) 4.57 %, failure rate 4.44 % at 10 %, AUC 0.5568, on 2,500 faces.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    crop = Crop("dataset", BoxRule(1.25), BoxRule(1.25), BoxRule(1.25))
    return replace(
        base,
        system=replace(base.system, scheme="wflw98"),
        data=replace(base.data, train="wflw/train", test="wflw/test", crop=crop),
    )
