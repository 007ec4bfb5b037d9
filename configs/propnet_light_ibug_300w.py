"""PropagationNet on 300W, narrow and at 128 px: the recipe for CPUs.

Readings of the paper as they were when it was measured: the stem's stride plain, one convolution to
the boundaries, the attention on the sum, boundaries by their distance.
Data: ibug_300w, with crops, augmentation and batches as tab_light_ibug_300w.
Cost: 1,259,006 parameters, 0.47 G multiply-adds a face; 20 to 30 minutes on two CPU cores with
2,012 of the 3,148 training faces.
Reached: NME (inter-ocular) 4.09 % on LFPW test with landmark boxes
(docs/results/propagationnet.md).
"""

from dataclasses import replace

from jaxalign.configs import tab_light_ibug_300w
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe
from jaxalign.systems.propagationnet import PropagationNet


def config() -> Recipe:
    base = tab_light_ibug_300w.config()
    return replace(
        base,
        system=PropagationNet(
            size=128,
            stacks=2,
            channels=64,
            stem_blur=False,
            convolutions=1,
            attends="sum",
            boundary_labels="distance",
            epochs=14,
            optimizer=Optimizer("adam", 3e-3, "cosine", floor=0.005, warmup=1, clip=200.0),
        ),
        training=replace(base.training, eval_epochs=3.5, save_epochs=3.5),
    )
