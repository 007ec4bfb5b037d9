"""Two training steps of every objective at the papers' size. Minutes each: pytest -m real_size."""

import math

import pytest

from benchmarks.paper_size import CASES, losses_of, shortened
from jaxalign import recipe as recipes


@pytest.mark.real_size
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_steps_at_the_papers_size(case, tmp_path):
    """Losses are finite, and lower on the same faces in the second step; but not where a
    discriminator and the detector work against each other, or a part has no gradient."""
    config, *settings = case
    recipe = shortened(recipes.override(recipes.load(config), settings))
    losses = losses_of(recipe, tmp_path)
    objectives = {(p.name, o.name) for p in recipe.system.phases for o in p.cycle}
    assert set(losses) == {" ".join(pair) for pair in objectives}
    for values in losses.values():
        assert len(values) >= 2 and all(map(math.isfinite, values))
        alone = all(len(phase.cycle) == 1 for phase in recipe.system.phases)
        if alone and "passes no gradient" not in recipe.system.note:
            assert values[-1] < values[0]


@pytest.mark.heavy
@pytest.mark.slow
def test_every_objective_has_two_steps(tmp_path):
    settings = ["system.discriminator=True", "system.width=2", "system.top=8", "system.size=32"]
    recipe = recipes.override(recipes.load("pixelwise_ibug_300w"), settings)
    losses = losses_of(shortened(recipe), tmp_path)
    found = {name: len(values) for name, values in losses.items()}
    assert found == {"train discriminator": 2, "train detector": 4}
