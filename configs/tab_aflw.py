"""TAB on AFLW (Table 6); all else as tab_wflw, with the face boxes + 25 %, as HRNet's lists.

As the paper has it: `--set system.scbe_from=W`, W a run of tab_wflw; `jaxalign paper tab --table 6
--config tab_aflw` trains both.
Data: aflw, 20,000 faces. Cost: 22,709,107 parameters, 25.04 G multiply-adds a face.
The paper: NME of the face box 1.47 % full, 1.25 % frontal.
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
        system=replace(base.system, scheme="aflw19"),
        data=replace(base.data, train="aflw/train", test="aflw/test", crop=Crop("dataset")),
    )
