"""GV(ResNet50) on JD-landmark: as on 300W, with the given boxes.

Data: jd_landmark, 11,393 faces. Its public stand-in, whose numbers cannot be compared:
`--set data.train=lapa/train data.test=lapa/test data.crop.box=landmarks`.
Cost: 25,101,866 parameters, 8.37 G multiply-adds a face.
On this set the paper reports GV(HRNet) alone. Not trained yet at this size.
"""

from dataclasses import replace

from jaxalign.configs import gv_resnet50_ibug_300w
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = gv_resnet50_ibug_300w.config()
    crop = replace(base.data.crop, box="dataset")
    return replace(
        base,
        system=replace(base.system, scheme="lapa106"),
        data=replace(base.data, train="jd_landmark/train", test="jd_landmark/test", crop=crop),
    )
