"""PropagationNet: counts by shapes, its switches, its loss by hand, and a few steps."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign import costs, losses, targets
from jaxalign.errors import InputError
from jaxalign.layers.hourglass import Bottleneck, Hourglass
from jaxalign.layers.norm import AXIS
from jaxalign.systems.interface import forward, normalise
from jaxalign.systems.propagationnet import Propagation, PropagationNet
from tests.helpers import slow
from tests.helpers.small import filled


AWING = {"propagation": False, "boundary_channel": True, "pool": "average", "blur": 0,
         "boundary_labels": "distance"}  # fmt: skip
THEN = {"stem_blur": False, "convolutions": 1, "attends": "sum", "union": "all",
        "boundary_labels": "distance"}  # fmt: skip  # before these were fields
BASELINE = {"propagation": False, "block": "bottleneck", "coordconv": False, "blur": 0}
small = partial(PropagationNet, scheme="cofw29", size=64, stacks=2, channels=8)


@cache
def variables_of(system):
    return system.shapes()


def crops(system, batch=1):
    return jax.ShapeDtypeStruct((batch, system.size, system.size, 3), jnp.uint8)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("settings", "parameters", "multiply_adds"),
    [
        ({}, 36_393_532, 43_447_730_176),  # Table 8: 36.30 M, 42.83 G
        slow.row({"attends": "sum", "stem_blur": False}, 36_393_532, 42_985_308_160),
        slow.row({"convolutions": 1}, 36_349_372, 43_267_096_576),
        slow.row(THEN, 36_349_372, 42_804_674_560),
        (AWING, 24_153_036, 26.71e9),  # 24.15 M, 26.79 G
        (BASELINE, 12_975_880, 15.31e9),
    ],
)
def test_counts(settings, parameters, multiply_adds):
    system = PropagationNet(scheme="wflw98", **settings)
    variables = variables_of(system)
    assert costs.count(variables["params"]) == parameters
    madds = costs.multiply_adds(system.predict, variables, crops(system))
    exact = isinstance(multiply_adds, int)
    assert sum(madds.values()) == pytest.approx(multiply_adds, rel=0 if exact else 1e-3)


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_the_propagation_module_has_its_parameters(convolutions):
    system = PropagationNet(scheme="wflw98", convolutions=convolutions)
    params = variables_of(system)["params"]["network"]
    parts = {name: costs.count(part) for name, part in params["propagation4"].items()}
    further = {f"boundaries{i}": 11_040 for i in range(2, convolutions + 1)}  # 15 x 15 x 49 + 15
    assert parts == further | {
        "boundaries": 72_045, "merge": 69_632, "hourglass": 2_844_800, "attention": 65_792
    }  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(
    "settings", [{"blur": 0}, {"blur": 5}, {"pool": "average"}, {"stem_blur": False}]
)
def test_down_sampling_has_no_parameters(settings):
    assert variables_of(small(**settings)) == variables_of(small())


@pytest.mark.parametrize(
    ("settings", "boundaries", "attentions"),
    [({}, 15, 2), ({"propagation": False}, 0, 0), (AWING, 1, 0)],
)
def test_what_the_network_gives(settings, boundaries, attentions):
    system = small(**settings)
    run = partial(forward, system.network, "network")
    images = jax.ShapeDtypeStruct((3, 64, 64, 3), jnp.float32)
    (maps, found, attention), _ = jax.eval_shape(run, variables_of(system), images)
    assert [m.shape for m in maps] == [(3, 16, 16, 29)] * 2
    assert [m.shape for m in found] == [(3, 16, 16, boundaries)] * 2
    assert [m.shape for m in attention] == [(3, 16, 16, 8)] * attentions


def test_coordinates_go_where_they_belong():
    def inputs(**settings):
        params = variables_of(small(**settings))["params"]["network"]
        names = ("stem", "coordconv1", "coordconv2")
        return [params[name]["kernel"].shape[2] for name in names if name in params]

    assert inputs() == [3, 8 + 3, 8 + 3]
    assert inputs(**AWING) == [6, 8 + 3, 8 + 5]
    assert inputs(coordconv=False) == [3]


def test_bottleneck_is_newell_s():
    """256: 128 x (256 + 9 x 128 + 256) weights, and three normalisations' 2 x (256 + 128 + 128)."""
    x = jax.ShapeDtypeStruct((1, 8, 8, 256), jnp.float32)
    made = jax.eval_shape(partial(Bottleneck(256).init, train=False), jax.random.key(0), x)
    assert costs.count(made["params"]) == 128 * (256 + 9 * 128 + 256) + 2 * (256 + 128 + 128)
    wider = jax.eval_shape(partial(Bottleneck(512).init, train=False), jax.random.key(0), x)
    assert wider["params"]["shortcut"]["kernel"].shape == (1, 1, 256, 512)
    hourglass = Hourglass(2, 256, block=Bottleneck)
    made = jax.eval_shape(partial(hourglass.init, train=False), jax.random.key(0), x)
    assert costs.count(made["params"]) == 7 * 214_016


def test_bottleneck_s_shortcut_is_the_identity():
    """The last kernel of zeros leaves the input, whatever comes before."""
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 8)).astype(np.float32)
    block = Bottleneck(8)
    made = jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x)
    variables = filled(made)
    run = jax.jit(partial(block.apply, train=False))
    assert abs(run(variables, x) - x).max() > 0.01
    variables["params"]["conv3"]["kernel"] *= 0
    np.testing.assert_array_equal(run(variables, x), x)


def batch_of(system, faces):
    rng = np.random.default_rng(0)
    size, points = system.size, system.points.num_points
    return {
        "image": rng.integers(0, 256, (faces, size, size, 3), np.uint8),
        "points": rng.uniform(8, size - 8, (faces, points, 2)).astype(np.float32),
        "labelled": np.ones((faces, points), bool),
        "attributes": (rng.random((faces, 6)) < 0.3).astype(np.uint8),
        "weight": np.ones(faces, np.float32),
    }


@pytest.mark.heavy
def test_attention_works_on_the_next_hourglass_and_the_last_on_none():
    system = small()
    variables = filled(variables_of(system))
    images = batch_of(system, 1)["image"]
    network = variables["params"]["network"]

    @jax.jit
    def run(biases):
        """With these biases of the two attentions; also what is shown."""
        changed = {}
        for name, bias in zip(("propagation1", "propagation2"), biases, strict=True):
            attention = network[name]["attention"]
            attention = attention | {"bias": attention["bias"] + bias}
            changed[name] = network[name] | {"attention": attention}
        told = variables | {"params": {"network": network | changed}}
        maps, _ = forward(system.network, "network", told, normalise(images, "float32"))
        return maps, system.shown(told, images)

    (maps, boundaries, attentions), shown = run(jnp.zeros(2))
    assert all(0 < attention.min() and attention.max() < 1 for attention in attentions)
    np.testing.assert_array_equal(shown["attention"], attentions[0])
    np.testing.assert_array_equal(shown["boundaries"], np.clip(boundaries[1], 0, 1))
    (first, _, _), shown = run(jnp.array([-50.0, 0]))
    assert shown["attention"].max() < 1e-6 and np.array_equal(first[0], maps[0])
    assert abs(first[1] - maps[1]).max() > 1e-3
    (last, _, attentions), _ = run(jnp.array([0, -50.0]))
    assert attentions[1].max() < 1e-6 and all(map(np.array_equal, last, maps))


def test_attention_starts_at_one_half():
    """That is sigmoid(0): its kernel and bias are 0, others are not."""

    @jax.jit
    def started(key):
        maps = features = jnp.zeros((1, 4, 4, 8))
        params = Propagation().init(key, maps, features, train=False)["params"]
        return params["attention"], params["merge"]

    attention, merge = started(jax.random.key(0))
    assert not attention["kernel"].any() and not attention["bias"].any()
    assert merge["kernel"].all()


@pytest.mark.heavy
def test_shown_is_what_there_is():
    def names(**settings):
        system = small(**settings)
        return set(jax.eval_shape(system.shown, variables_of(system), crops(system)))

    assert names(stacks=1) == {"boundaries"}
    assert names(**AWING) == {"union"}
    assert names(**BASELINE) == set()


def told(seed=0, faces=4, scheme="cofw29", **settings):
    """A system of two stacks, a batch, and made-up maps of them."""
    system = PropagationNet(scheme=scheme, size=64, stacks=2, **settings)
    points = system.points.num_points
    channels = 1 if system.boundary_channel else 15 if system.propagation else 0
    rng = np.random.default_rng(seed)
    maps = [
        rng.uniform(-0.2, 1, (2, faces, 16, 16, n)).astype(np.float32) for n in (points, channels)
    ]
    return system, batch_of(system, faces), ([*maps[0]], [*maps[1]], [])


def errors(system, batch, maps):
    """On one device."""
    call = jax.jit(jax.vmap(system.errors, axis_name=AXIS))
    values, parts = call(*jax.tree.map(lambda a: a[None], (maps, batch)))
    return values[0], {name: part[0] for name, part in parts.items()}


@pytest.mark.heavy
@pytest.mark.parametrize("settings", [{}, {"boundary_labels": "distance"}, AWING])
def test_the_loss_is_that_of_equation_5(settings):
    system, batch, maps = told(**settings)
    values, parts = errors(system, batch, maps)

    @jax.jit
    def expected(points):
        landmarks = targets.gaussian_maps(points, 4, 64, 1.75, 2)
        form, union = system.boundary_labels, system.united
        boundaries = targets.boundary_maps(
            points, system.points, 4, 64, 1.0, form=form, union=union
        )
        # COFW has no contour to draw
        boundaries = boundaries[..., 15:] if system.boundary_channel else boundaries[..., 1:15]

        def total(maps, label):
            weights = jnp.where(targets.weight_map(label) == 1, 11, 1)
            return losses.adaptive_wing(maps, label, weights).sum(-1)

        second = (total(found[..., -boundaries.shape[-1] :], boundaries) for found in maps[1])
        return sum(total(found, landmarks) for found in maps[0]), sum(second)

    first, second = expected(batch["points"])
    np.testing.assert_allclose(parts["landmarks"], first, rtol=1e-5)
    np.testing.assert_allclose(parts["boundaries"], second, rtol=1e-5)
    factor = losses.focal_factor(batch["attributes"], batch["weight"], "per_sample")
    assert factor.max() > 1.1
    np.testing.assert_allclose(values, factor * (first + 0.5 * second), rtol=1e-5)


def test_plain_squares_without_weights():
    plain = {"criterion": "mse", "weight_map": False, "focal": "", "propagation": False}
    system, batch, maps = told(**plain)
    values, parts = errors(system, batch, maps)
    assert set(parts) == {"landmarks"}
    label = targets.gaussian_maps(jnp.asarray(batch["points"]), 4, 64, 1.75, 2)
    expected = sum(losses.mse_maps(jnp.asarray(found), label).sum(-1) for found in maps[0])
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_the_factor_of_a_face_does_not_depend_on_the_devices():
    """Two devices of two faces, one of them padding, equal one device of the three."""
    system, batch, maps = told(faces=4, propagation=False)
    three = jax.tree.map(lambda a: a[:3], (batch, maps))
    expected, _ = errors(system, *three)
    batch["weight"][3], batch["attributes"][3] = 0, 1

    def half(batch, maps):
        return system.errors(maps, batch)[0]

    split = jax.tree.map(lambda a: a.reshape(2, 2, *a.shape[1:]), (batch, maps))
    values = jax.pmap(half, AXIS, devices=jax.devices()[:2])(*split).ravel()
    np.testing.assert_allclose(values[:3], expected, rtol=1e-5)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_few_steps_lower_the_loss():
    system = small(stacks=1)
    variables = filled(variables_of(system))
    batch, optimizer = batch_of(system, 2), optax.sgd(1e-4)

    def step(params, stats, state):
        def mean(params):
            call = jax.vmap(system.loss, (None, None, 0, None), axis_name=AXIS)
            one = jax.tree.map(lambda a: a[None], batch)
            values, _, moved = call(params, stats, one, None)
            return values.mean(), jax.tree.map(lambda a: a[0], moved)

        (loss, stats), grads = jax.value_and_grad(mean, has_aux=True)(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), stats, state, loss, grads

    step = jax.jit(step)
    params, stats = variables["params"], variables["batch_stats"]
    state, found = optimizer.init(params), []
    for _ in range(4):
        params, stats, state, loss, grads = step(params, stats, state)
        found.append(float(loss))
    assert np.isfinite(found).all() and found[-1] < 0.9 * found[0]
    still = {
        path[1].key + "/" + path[2].key
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if not np.any(leaf)
    }
    assert still == {f"propagation1/{name}" for name in ("merge", "hourglass", "attention")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 96}, "system.size=96: must be a positive multiple of 64"),
        ({"stacks": 0}, "1 or more"),
        ({"channels": 20}, "multiple of 8"),
        ({"block": "resnet"}, "system.block='resnet': one of hpm, bottleneck"),
        ({"pool": "blur"}, "one of average, max"),
        ({"blur": 4}, "system.blur=4: one of 0, 2, 3, 5"),
        ({"criterion": "wing"}, "one of mse, awing, cross_entropy, star"),
        ({"focal": "all"}, "one of '', per_sample, literal, masked"),
        ({"convolutions": 0}, "system.convolutions=0: must be 1 or more"),
        ({"attends": "maps"}, "one of features, sum"),
        ({"union": "lab"}, "one of awing, all"),
        ({"boundary_labels": "drawn"}, "one of distance, blurred"),
        ({"decoder": "dark"}, "one of quarter, argmax, soft"),
        ({"theta": 0.0}, "system.theta=0.0: must be above 0"),
        ({"alpha": 2.0}, "must be above 2"),
    ],
)
def test_propagationnet_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        PropagationNet(**settings)


def test_two_kinds_of_boundaries_are_refused():
    with pytest.raises(InputError, match="set system.propagation=False with it"):
        PropagationNet(boundary_channel=True)
