"""The weights of drawn faces, trained longer: for an accelerator.

As drawn, on more faces for more epochs. Not run: what it reaches is not known.
Data: jaxalign prepare synthetic_faces --set train=200000 (45 to 70 faces a second on each core).
"""

from dataclasses import replace

from jaxalign.configs import drawn
from jaxalign.recipe import Recipe


def config() -> Recipe:
    recipe = drawn.config()
    return replace(
        recipe,
        system=replace(recipe.system, epochs=20),
        data=replace(
            recipe.data,
            train="synthetic_faces:train200000/train",
            val="synthetic_faces:train200000/test",
            test="synthetic_faces:train200000/test",
            threads=12,
        ),
        training=replace(recipe.training, batch=128),
    )
