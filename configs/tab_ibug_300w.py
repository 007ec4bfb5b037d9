"""TAB on 300W (Tables 2 and 3); all else as tab_wflw.

With `--set system.scbe_from=W`, W a run of tab_wflw, the paper's TAB; without, its TAB*, whose SCBE
is trained on 300W (the lower brows repeat the upper ones there). `jaxalign paper tab --table 2
--config tab_ibug_300w` trains all of them; Table 5 evaluates TAB on COFW-68.
Data: ibug_300w, 3,148 faces. Cost: 22,713,860 parameters, 25.06 G multiply-adds a face.
The paper: NME (inter-ocular) 2.75 / 4.68 / 3.13 % common / challenging / full (TAB*: 2.75 / 4.74 /
3.14), private set 3.59 %; COFW-68: 2.43 % of the box.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import tab_wflw
from jaxalign.pipeline import Crop
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = tab_wflw.config()
    crop = Crop("landmarks")
    return replace(
        base,
        system=replace(base.system, scheme="ibug68"),
        data=replace(base.data, train="ibug_300w/train", test="ibug_300w/test", crop=crop),
    )
