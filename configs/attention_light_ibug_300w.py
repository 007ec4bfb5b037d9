"""Attention-driven cropping on 300W, everything a quarter as wide: the recipe for CPUs.

A reconstruction, as the full size. Both stages see 64 px and training crops have 256: to this model
64 to 512 px are what 256 to 2048 are to the full size.
Data: ibug_300w, with crops, augmentation and batches as tab_light_ibug_300w.
Cost: 1,978,455 parameters, 0.17 G multiply-adds a face; 17 minutes on two CPU cores with 1,947 of
the 3,148 training faces.
Reached: NME (inter-ocular) 4.09 % on LFPW test with landmark boxes (RESULTS.md).
"""

from dataclasses import replace

from jaxalign.configs import tab_light_ibug_300w
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe
from jaxalign.systems.attention_cropping import AttentionCropping


def config() -> Recipe:
    return replace(
        tab_light_ibug_300w.config(),
        system=AttentionCropping(
            size=256,
            global_size=64,
            regional_size=64,
            channels=64,
            global_epochs=12,
            joint_epochs=24,
            optimizer=Optimizer("adam", 2e-3, "cosine", floor=0.01, warmup=2, clip=50.0),
        ),
    )
