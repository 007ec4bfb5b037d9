"""TAB on COFW (Table 4); all else as tab_wflw.

As the paper has it: `--set system.scbe_from=W`, W a run of tab_wflw; `jaxalign paper tab --table 4
--config tab_cofw` trains both.
Data: cofw, 1,345 faces. Cost: 22,710,077 parameters, 25.04 G multiply-adds a face.
The paper: NME (inter-pupil) 4.39 %, failure rate 0.20 % at 10 %, AUC 0.5614.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import tab_wflw
from jaxalign.pipeline import Crop
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = tab_wflw.config()
    return replace(
        base,
        system=replace(base.system, scheme="cofw29"),
        data=replace(base.data, train="cofw/train", test="cofw/test", crop=Crop("landmarks")),
    )
