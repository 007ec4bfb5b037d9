"""TAB on COFW (Table 4); all else as tab_wflw, with landmark boxes + 25 %.

As the paper has it: `--set system.scbe_from=W`, W a run of tab_wflw.
Data: cofw, 1,345 faces. Cost: 22,710,077 parameters, 25.04 G multiply-adds a face.
The paper: NME (inter-pupil) 4.39 %, failure rate 0.20 % at 10 %, AUC 0.5614.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import tab_wflw
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = tab_wflw.config()
    crop = replace(base.data.crop, box="landmarks")
    return replace(
        base,
        system=replace(base.system, scheme="cofw29"),
        data=replace(base.data, train="cofw/train", test="cofw/test", crop=crop),
    )
