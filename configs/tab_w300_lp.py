"""TAB on 300W-LP, tested on AFLW2000-3D (Table 7); all else as tab_wflw.

60 epochs, x 0.1 at 30 and 50, as the released configuration. As the paper has it:
`--set system.scbe_from=W`, W a run of tab_wflw; `jaxalign paper tab --table 7 --config tab_w300_lp`
trains both. Points are the x and y of the 3-D ones, as in the released code and in AFLW2000-3D:
`jaxalign prepare w300_lp --from DIR --set flips=0 points=3d`.
Data: w300_lp:flips0-points3d, 61,225 faces. Cost: 22,713,860 parameters, 25.06 G multiply-adds a
face.
The paper: NME of the box 2.44 / 3.23 / 4.60 % by yaw, mean 3.42 %.
Not trained yet at this size, so no accuracy of ours is stated.
"""

from dataclasses import replace

from jaxalign.configs import tab_ibug_300w
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe


def config() -> Recipe:
    base = tab_ibug_300w.config()
    schedule = Optimizer(schedule="step", boundaries=(30, 50))
    system = replace(
        base.system, scbe_epochs=60, scbe_optimizer=schedule, balt_epochs=60, optimizer=schedule
    )
    data = replace(base.data, train="w300_lp:flips0-points3d/train", test="aflw2000_3d/test")
    return replace(base, system=system, data=data)
