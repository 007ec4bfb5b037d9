"""PropagationNet's readings of its text: what each switch changes, and what recipes choose."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import recipe as recipes
from jaxalign.recipe import Recipe
from jaxalign.schemes import CURVES
from jaxalign.systems.interface import forward, normalise
from jaxalign.systems.propagationnet import Propagation, PropagationNet
from tests.helpers.small import filled
from tests.systems.test_propagationnet import (
    AWING,
    BASELINE,
    THEN,
    batch_of,
    errors,
    small,
    told,
    variables_of,
)


def second_maps(system, variables, images):
    """The landmark maps of the second hourglass."""
    images = normalise(images, "float32")
    run = jax.jit(lambda variables: forward(system.network, "network", variables, images)[0][0][1])
    return run(variables)


def without_attention(variables):
    """The first attention is 0 everywhere."""
    network = variables["params"]["network"]
    first = network["propagation1"]
    blind = first["attention"] | {"bias": first["attention"]["bias"] - 1e4}
    changed = {"propagation1": first | {"attention": blind}}
    return variables | {"params": {"network": network | changed}}


@pytest.mark.heavy
@pytest.mark.slow
def test_attention_is_imposed_on_the_hourglass_s_features_or_on_the_sum():
    """Where it is 0, features do not go on, or nothing does, whatever the photo."""
    system = small()
    variables = filled(variables_of(system))
    images = batch_of(system, 2)["image"]
    found = second_maps(system, without_attention(variables), images)
    assert abs(found[0] - found[1]).max() > 1e-3
    network = variables["params"]["network"]
    cut = network | {"features_back1": jax.tree.map(np.zeros_like, network["features_back1"])}
    np.testing.assert_array_equal(
        found, second_maps(system, variables | {"params": {"network": cut}}, images)
    )
    system = small(attends="sum")
    blind = without_attention(variables)
    one, other = (second_maps(system, blind, images[i : i + 1]) for i in (0, 1))
    np.testing.assert_array_equal(one, other)  # rows of one batch may be rounded differently


@pytest.mark.heavy
def test_the_stem_is_blind_to_stripes_of_one_pixel():
    """Its convolution passes pixels on as they are: plain, it takes every second one."""
    stripes = np.zeros((2, 64, 64, 3), np.uint8)
    stripes[0, :, ::2] = stripes[1, :, 1::2] = 255
    for settings, same in (({}, True), ({"stem_blur": False}, False)):
        system = small(**settings)
        variables = filled(variables_of(system))
        kernel = variables["params"]["network"]["stem"]["kernel"]
        kernel[:] = 0
        kernel[3, 3] = 1
        found = second_maps(system, variables, stripes)
        assert (abs(found[0] - found[1]).max() < 1e-4) == same


def test_boundaries_come_of_consecutive_convolutions():
    """With a negative bias of the first and no kernel the ReLU between leaves the second's bias."""
    maps = jax.ShapeDtypeStruct((1, 8, 8, 5), jnp.float32)
    features = jax.ShapeDtypeStruct((1, 8, 8, 8), jnp.float32)
    module = Propagation(convolutions=2)
    made = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), maps, features)
    variables, rng = filled(made), np.random.default_rng(0)
    given = [rng.normal(size=shape.shape).astype(np.float32) for shape in (maps, features)]
    run = jax.jit(lambda variables: module.apply(variables, *given, train=False)[0])
    assert np.ptp(run(variables)) > 0.01
    variables["params"]["boundaries"]["kernel"] *= 0
    variables["params"]["boundaries"]["bias"] -= 1
    variables["params"]["boundaries2"]["bias"] += 7
    np.testing.assert_array_equal(run(variables), np.full((1, 8, 8, 15), 7))


def test_recipes_of_before_the_readings_could_be_chosen_mean_what_they_meant():
    older = recipes.to_json(Recipe(system=small(channels=16)))
    for name in THEN:
        del older["system"][name]
    read = recipes.from_json(json.loads(json.dumps(older)))
    assert read == Recipe(system=small(channels=16, **THEN))
    newer = Recipe(system=small(convolutions=3))
    assert recipes.from_json(json.loads(json.dumps(recipes.to_json(newer)))) == newer


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"blur": 0}, {"stem_blur", "union", "mask_duplicates"}),
        ({"scheme": "ibug68"}, {"union"}),
        ({"scheme": "ibug68", "stacks": 1}, {"union", "attends"}),
        (AWING, {"stem_blur", "convolutions", "attends", "mask_duplicates"}),
        (
            BASELINE,
            {"stem_blur", "convolutions", "attends", "mask_duplicates", "union", "beta",
             "boundary_sigma", "boundary_labels"},
        ),
    ],
)  # fmt: skip
def test_settings_without_effect_are_told(settings, names):
    assert set(PropagationNet(**{"scheme": "wflw98"} | settings).idle) == names


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98", "cofw29"])
def test_awing_s_union_is_of_thirteen_curves(scheme):
    system = PropagationNet(scheme, **AWING)
    drawn = {name for name, curve in system.points.curves.items() if len(curve) > 1}
    assert len(drawn & set(system.united)) == 13
    assert ("lbrow_lo" in system.united) == (scheme == "cofw29")
    assert PropagationNet(scheme, **AWING, union="all").united == CURVES


@pytest.mark.parametrize("benchmark", ["wflw", "ibug_300w", "cofw"])
def test_the_recipes_train_as_printed(benchmark):
    """Section 4.3, and the readings of the text."""
    recipe = recipes.load(f"propnet_{benchmark}")
    system, augment = recipe.system, recipe.data.augment
    assert (system.size, system.stacks, system.beta, system.blur) == (256, 4, 0.5, 3)
    shape = system.alpha, system.omega, system.epsilon, system.theta
    assert shape == (2.1, 14, 1, 0.5)
    assert (system.optimizer.kind, system.optimizer.rate) == ("adam", 1e-4)
    assert (recipe.training.batch, system.epochs) == (16, 240)
    assert system.optimizer.boundaries == (160, 210) and system.optimizer.decay == 0.1
    drawn = augment.rotation, augment.rotation_p, augment.scale, augment.shift * 256, augment.flip
    assert drawn == (30, 1, 0.15, 25, 0.5)
    assert (system.stem_blur, system.convolutions) == (True, 2)
    assert (system.attends, system.boundary_labels) == ("features", "blurred")


def test_the_light_recipe_keeps_what_was_measured():
    system = recipes.load("propnet_light_ibug_300w").system
    assert all(getattr(system, name) == THEN[name] for name in THEN if name != "union")


@pytest.mark.heavy
def test_curves_that_repeat_another_can_be_left_out():
    """Of 68 points the lower brows, channels 2 and 4."""
    plain, batch, maps = told(scheme="ibug68")
    system = told(scheme="ibug68", mask_duplicates=True)[0]
    for found in maps[1]:
        found[..., [2, 4]] += 0.3  # the same for both but for this
    parts = [errors(one, batch, maps)[1]["boundaries"] for one in (plain, system)]
    assert (parts[0] > parts[1]).all()
    for found in maps[1]:
        found[..., [2, 4]] += 0.3
    again = [errors(one, batch, maps)[1]["boundaries"] for one in (plain, system)]
    assert (again[0] > parts[0]).all()
    np.testing.assert_array_equal(again[1], parts[1])
