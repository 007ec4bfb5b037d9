"""Pixel-wise classification's hybrid model on 300W, narrow and at 96 px: the recipe for CPUs.

The heatmap regression's Gaussians have the height 1 here. Points of the losses are soft, and the
losses of the points are weighed by their gradients: that of the distance is a quarter as long as
the cross-entropy's, that of the adversarial loss a tenth. By weights of the losses, as printed,
both drown it where gradients pass (docs/results/pixelwise.md). Direct regresses eighths of the
side, DAN has the losses of all its stages.
Data: ibug_300w, with crops, augmentation and batches as tab_light_ibug_300w.
Cost: 1,411,202 parameters, 0.16 G multiply-adds a face; 7 minutes on two CPU cores with 2,012 of
the 3,148 training faces.
Reached: NME (inter-ocular) 7.33 % on LFPW test with landmark boxes, not converged
(docs/results/pixelwise.md).
"""

from dataclasses import replace

from jaxalign.configs import tab_light_ibug_300w
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe
from jaxalign.systems.pixelwise import PixelWise


def config() -> Recipe:
    base = tab_light_ibug_300w.config()
    schedule = Optimizer("adam", 3e-3, "cosine", floor=0.005, warmup=1)
    return replace(
        base,
        system=PixelWise(
            size=96,
            discriminator=False,
            width=8,
            top=128,
            output="eighths",
            supervision="sum",
            coordinates="soft",
            balance="gradients",
            gamma=0.1,
            sigma=1.5,
            peak="peak1",
            epochs=8,
            optimizer=schedule,
            regression_optimizer=schedule,
            discriminator_optimizer=schedule,
        ),
        training=replace(base.training, ema=0.99, eval_epochs=2, save_epochs=2),
    )
