"""PIPNet on 300W at 128 px, with the light backbone: the recipe for CPUs.

Data: ibug_300w, with crops and batches as integral_ibug_300w, but half of the crops mirrored.
Cost: 6,605,724 parameters, 0.46 G multiply-adds a face; 40 minutes on two CPU cores, with other
work beside, with 2,012 of the 3,148 training faces.
Reached: NME (inter-ocular) 3.63 % on LFPW test with landmark boxes, 3.83 % with a detector's
(docs/results/pipnet.md).
"""

from dataclasses import replace

from jaxalign.configs import integral_ibug_300w
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe
from jaxalign.systems.pipnet import PIPNet


def config() -> Recipe:
    base = integral_ibug_300w.config()
    schedule = Optimizer(
        "adamw", 2e-3, "cosine", floor=0.005, warmup=2, weight_decay=0.05, clip=5.0
    )
    system = PIPNet(size=128, backbone="light_w64", stride=16, epochs=30, optimizer=schedule)
    data = replace(base.data, augment=replace(base.data.augment, flip=0.5))
    training = replace(base.training, init_from="", eval_epochs=5, save_epochs=5)
    return replace(base, system=system, data=data, training=training)
