"""Every system through shapes alone: nothing is computed."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import costs, losses
from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS
from jaxalign.schemes import SCHEMES
from jaxalign.systems import SYSTEMS
from jaxalign.systems.hourglass import StackedHourglass
from jaxalign.systems.integral import Integral
from tests.helpers import slow
from tests.helpers.small import filled


every_system = pytest.mark.parametrize("kind", SYSTEMS)


@cache
def variables_of(system):
    return system.shapes()


def crops(system, batch):
    return jax.ShapeDtypeStruct((batch, system.size, system.size, 3), jnp.uint8)


@pytest.mark.heavy
@every_system
@pytest.mark.parametrize(
    ("scheme", "dtype"),
    [
        slow.row("wflw98", "float32"),
        ("cofw29", "bfloat16"),
        slow.row("union", "float32"),
    ],
)
def test_predict_shapes(kind, scheme, dtype):
    system = SYSTEMS[kind](scheme=scheme, dtype=dtype)
    points, score = jax.eval_shape(system.predict, variables_of(system), crops(system, 2))
    count = SCHEMES[scheme].num_points
    assert points.shape == (2, count, 2) and score.shape == (2, count)
    assert points.dtype == score.dtype == jnp.float32


@every_system
def test_variables_are_float32_and_named_by_network(kind):
    system = SYSTEMS[kind](dtype="bfloat16")
    variables = variables_of(system)
    assert set(variables) == {"params", "batch_stats"}
    assert set(variables["params"]) == set(variables["batch_stats"])
    assert system.predictors and set(system.predictors) <= set(variables["params"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def losses_of(system):
    """Of every phase and objective: (objective, values, parts, stats), shapes on one device."""
    variables, points = variables_of(system), system.points.num_points
    batch = {
        "image": crops(system, 2),
        "points": jax.ShapeDtypeStruct((2, points, 2), jnp.float32),
        "labelled": jax.ShapeDtypeStruct((2, points), jnp.bool_),
        "attributes": jax.ShapeDtypeStruct((2, 6), jnp.uint8),
        "weight": jax.ShapeDtypeStruct((2,), jnp.float32),
    }
    batch = jax.tree.map(lambda s: jax.ShapeDtypeStruct((1, *s.shape), s.dtype), batch)
    for phase in system.phases:
        assert phase.epochs > 0 and phase.cycle
        for objective in phase.cycle:
            loss = jax.vmap(objective.loss, (None, None, 0, None), axis_name=AXIS)
            given = variables["params"], variables["batch_stats"], batch, jax.random.key(0)
            yield objective, *jax.eval_shape(loss, *given)


@pytest.mark.heavy
@every_system
def test_phases_train_networks_with_losses_per_face(kind):
    system = SYSTEMS[kind]()
    variables = variables_of(system)
    assert system.phases
    for objective, values, parts, stats in losses_of(system):
        assert set(objective.trains) <= set(variables["params"]) and objective.trains
        assert values.shape == (1, 2) and parts
        assert all(part.shape == (1, 2) for part in parts.values())
        assert set(stats) <= set(variables["batch_stats"])
        before = {name: variables["batch_stats"][name] for name in stats}
        assert jax.tree.structure(stats) == jax.tree.structure(before)


HEATMAPS = {  # system -> what makes it one of landmark heatmaps, and quick to trace
    "StackedHourglass": {"stacks": 1},
    "TAB": {"stacks": 1, "stem": "base"},
    "GaussianVector": {"bands": (), "backbone": "light_w32"},
    "PropagationNet": {"stacks": 1},
    "PixelWise": {"method": "distribution", "discriminator": False},
    "AttentionCropping": {"share_eyes": True},
    "Integral": {},
}


def test_every_heatmap_system_takes_a_loss_by_name():
    named = {kind for kind in SYSTEMS if hasattr(SYSTEMS[kind], "criterion")}
    assert named == set(HEATMAPS)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", slow.but(HEATMAPS, "TAB", "PropagationNet", "AttentionCropping"))
def test_the_loss_by_name_is_the_loss(kind, monkeypatch):
    """STAR, and one of a fork's own, which sees the landmark maps and their label."""
    seen = []

    def own(maps, label):
        seen.append((maps.shape, label.points.shape, label.maps.shape))
        return jnp.zeros((maps.shape[0], maps.shape[-1]))

    monkeypatch.setitem(losses.LOSSES, "own", losses.MapLoss(own, logits=True))
    for name in ("star", "own"):
        system = SYSTEMS[kind](criterion=name, **HEATMAPS[kind])
        assert all(values.shape == (1, 2) for _, values, _, _ in losses_of(system))
        points, score = jax.eval_shape(system.predict, variables_of(system), crops(system, 2))
        assert points.shape == (2, 68, 2) and score.shape == (2, 68)
    assert seen
    for maps, points, label in seen:
        assert maps == label and points == (maps[0], maps[-1], 2)


@pytest.mark.parametrize(
    ("stacks", "parameters", "giga"),
    [(1, 6_249_668, 8.27), (2, 12_106_504, 13.92), (4, 23_820_176, 25.24)],
)
def test_stacked_hourglass_is_fan(stacks, parameters, giga):
    system = StackedHourglass(stacks=stacks)
    variables = variables_of(system)
    assert costs.count(variables["params"]) == parameters
    madds = costs.multiply_adds(system.predict, variables, crops(system, 1))
    assert sum(madds.values()) == pytest.approx(giga * 1e9, rel=0.01)


@every_system
@pytest.mark.parametrize("size", [0, -64, 100, 129])
def test_sizes_that_cannot_be_halved_are_refused(kind, size):
    with pytest.raises(InputError, match=f"system.size={size}: must be"):
        SYSTEMS[kind](size=size)


@every_system
def test_unknown_schemes_and_types_are_refused(kind):
    with pytest.raises(InputError, match="system.scheme='ibug86': one of ibug68, "):
        SYSTEMS[kind](scheme="ibug86")
    with pytest.raises(InputError, match="system.dtype='half': one of float32, bfloat16"):
        SYSTEMS[kind](dtype="half")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder": "dark"}, "one of quarter, argmax, soft"),
        ({"stacks": 0}, "1 or more"),
        ({"channels": 100}, "multiple of 8"),
    ],
)
def test_stacked_hourglass_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        StackedHourglass(**settings)


def test_integral_corrects_points_by_their_shape():
    """`relations` add layers and keep the others; the points move, their scores do not."""
    small = {"size": 32, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8}
    plain, related = Integral(**small), Integral(relations=4, **small)
    variables = filled(variables_of(related))
    modes = np.random.default_rng(0).normal(size=(49, 68, 2)).astype(np.float32)
    variables["batch_stats"]["network"]["shape_modes"] = modes
    images = np.full((1, 32, 32, 3), 99, np.uint8)
    without = {kind: {"network": {name: layer for name, layer in tree["network"].items()
                                  if name not in ("relations", "shape_modes")}}
               for kind, tree in variables.items()}  # fmt: skip
    points, score = plain.predict(without, images)
    corrected, same = related.predict(variables, images)
    assert not np.allclose(corrected, points)
    np.testing.assert_array_equal(same, score)


@pytest.mark.parametrize("blocks", [(1, 2, 2), (1, 0, 2, 2), (1, 2, 2, 2.5), (1, 2, 2, 65)])
def test_integral_refuses_stages_without_blocks(blocks):
    with pytest.raises(InputError, match="four whole numbers from 1|must be of type tuple"):
        Integral(blocks=blocks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "^system.width=0: must be a positive multiple of 1"),
        ({"width": 8.0}, "^system.width=8.0: must be of type int"),
        ({"width": True}, "^system.width=True: must be of type int"),
        ({"map_weight": -1.0}, "^system.map_weight=-1.0: must be 0 or more"),
        ({"sigma": "1"}, "^system.sigma='1': must be of type float"),
        ({"scheme": None}, "^system.scheme=None: must be of type str"),
        (
            {"blocks": [1, 2, 2, 2]},
            r"^system.blocks=.*must be of type tuple\[int, ...\]",
        ),
    ],
)
def test_values_of_other_types_and_sizes_are_refused(settings, message):
    """Also where Python sets them, not --set."""
    with pytest.raises(InputError, match=message):
        Integral(**settings)
