"""Points that nobody labelled, or that lie outside the crop: which of them the losses count."""

import jax
import numpy as np
import pytest

from jaxalign import targets
from jaxalign.layers.norm import AXIS
from jaxalign.schemes import IBUG68
from jaxalign.systems import SYSTEMS
from tests.helpers import slow
from tests.helpers.small import filled


FACES = 2
PIXELWISE = {"size": 32, "width": 2, "top": 8, "discriminator": False}
TINY = {  # name -> system and the settings that make it small
    "StackedHourglass": ("StackedHourglass", {"stacks": 1, "channels": 16, "size": 64}),
    "TAB": ("TAB", {"stem": "base", "stacks": 1, "channels": 16, "base_width": 8, "size": 64}),
    "GaussianVector": ("GaussianVector", {"backbone": "light_w32", "fpn_width": 16, "size": 64}),
    "heatmaps": ("GaussianVector", {"backbone": "light_w32", "fpn_width": 16, "size": 64,
                                    "bands": ()}),
    "PropagationNet": ("PropagationNet", {"stacks": 1, "channels": 16, "size": 64, "beta": 0.0}),
    "AttentionCropping": ("AttentionCropping", {"channels": 8, "size": 64, "global_size": 64,
                                                "regional_size": 64}),
    "Integral": ("Integral", {"width": 8, "decoder_width": 8, "size": 32}),
    "PIPNet": ("PIPNet", {"backbone": "light_w32", "size": 64}),
} | {
    name: ("PixelWise", PIXELWISE | {"method": name})
    for name in ("direct", "dan", "distribution", "heatmap_regression", "pwc")
} | {"hybrid": ("PixelWise", PIXELWISE | {"method": "hybrid", "discriminator": True})}  # fmt: skip
SEEN = 5  # a point on the contour, the region of no regional network
DRAWN = {"scbe"}  # boundaries: to a point outside all the same
JUDGED = {"discriminator"}  # true faces, as they are


def test_every_system_is_here():
    assert {kind for kind, _ in TINY.values()} == set(SYSTEMS)


def losses_of(system):
    """batch -> objective -> the loss of each face, on one device."""
    variables = filled(system.shapes())
    objectives = [objective for phase in system.phases for objective in phase.cycle]

    def run(batch):
        given = variables["params"], variables["batch_stats"], batch, jax.random.key(0)
        return {objective.name: objective.loss(*given)[0] for objective in objectives}

    mapped = jax.jit(
        jax.vmap(run, axis_name=AXIS), compiler_options={"xla_backend_optimization_level": 0}
    )
    return lambda batch: jax.tree.map(np.asarray, mapped({k: v[None] for k, v in batch.items()}))


def batch_of(system):
    rng, size, points = np.random.default_rng(0), system.size, system.points.num_points
    return {
        "image": rng.integers(0, 256, (FACES, size, size, 3), np.uint8),
        "points": rng.uniform(4, size - 5, (FACES, points, 2)).astype(np.float32),
        "labelled": np.ones((FACES, points), bool),
        "attributes": np.zeros((FACES, 6), np.uint8),
        "weight": np.ones(FACES, np.float32),
    }


def test_curves_need_all_their_points():
    labelled = np.ones((2, 68), bool)
    labelled[1, IBUG68.curves["bridge"][0]] = False
    found = targets.curves_labelled(labelled, IBUG68)
    assert found[0].tolist() == [1] * 16
    assert np.flatnonzero(found[1] == 0).tolist() == [list(IBUG68.curves).index("bridge"), 15]


def moved(batch, place):
    points = batch["points"].copy()
    points[:, SEEN] = place
    return batch | {"points": points}


@pytest.mark.heavy
@pytest.mark.parametrize("name", slow.but(TINY, "PropagationNet", "AttentionCropping"))
def test_what_is_not_labelled_is_not_trained_on(name):
    """Nor, masked, what lies outside; a labelled point inside is."""
    kind, settings = TINY[name]
    system = SYSTEMS[kind](outside="masked", **settings)
    run, batch = losses_of(system), batch_of(system)
    labelled = batch["labelled"].copy()
    labelled[:, SEEN] = False
    without = batch | {"labelled": labelled}
    inside, far = (3, 9), system.size + 9
    whole = run(moved(batch, inside))
    for objective, values in run(without).items():
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(run(moved(without, inside))[objective], values)
        assert (whole[objective] != run(moved(batch, (20, 11)))[objective]).all()
        outside = (run(moved(batch, place))[objective] for place in (far, 2 * far))
        if objective not in DRAWN | JUDGED:
            np.testing.assert_array_equal(*outside)
