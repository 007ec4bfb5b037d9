"""Gaussian Vector: band pooling, vector labels, decoding beyond the box, and its counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import costs, decoding, geometry, targets
from jaxalign.errors import InputError
from jaxalign.layers.band_pooling import band_pool
from jaxalign.systems.gaussian_vector import GaussianVector


def explicit_bands(maps, band):
    """Eq. 4 as it is written: the mean over each band of the zero-padded maps."""
    batch, height, width, points = maps.shape
    half = band // 2
    x, y = np.zeros((batch, width, points)), np.zeros((batch, height, points))
    for i in range(width):
        for j in range(max(0, i - half), min(width, i + half + 1)):
            x[:, i] += maps[:, :, j].sum(1) / (height * band)
    for i in range(height):
        for j in range(max(0, i - half), min(height, i + half + 1)):
            y[:, i] += maps[:, j].sum(1) / (width * band)
    return x, y


@pytest.mark.parametrize("bands", [(1,), (3,), (7,), (3, 5), (1, 7), (5, 3)])
def test_band_pooling_is_its_definition(bands):
    maps = np.random.default_rng(0).normal(3, 2, (2, 8, 12, 3))
    alpha = 0.3
    found = jax.jit(band_pool, static_argnums=(1, 2))(jnp.asarray(maps, jnp.float32), bands, alpha)
    wanted = explicit_bands(maps, bands[0])
    if len(bands) == 2:
        second = explicit_bands(maps, bands[1])
        wanted = [alpha * a + (1 - alpha) * b for a, b in zip(wanted, second, strict=True)]
    for vector, truth in zip(found, wanted, strict=True):
        np.testing.assert_allclose(vector, truth, rtol=2e-6, atol=2e-6)


def test_band_pooling_keeps_no_second_map():
    """The compiled module's temporary memory is far below one map."""
    maps = jax.ShapeDtypeStruct((8, 64, 64, 68), jnp.float32)
    compiled = jax.jit(lambda m: band_pool(m, (3, 5))).lower(maps).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * 64 * 64 * 68 * 4 / 8


def test_vector_labels():
    points = jnp.array([[[41.5, 20.0], [-9.0, 300.0]]])  # 41.5 lies on map pixel 10 exactly
    x, y = targets.vectors(points, 4, 256, sigma=2.0, theta=3.0)
    assert x.shape == y.shape == (1, 64, 2)
    wanted = np.zeros(64)
    for d in range(1, 6):
        wanted[[10 - d, 10 + d]] = np.exp(-(d**2) / 8)
    wanted[10] = 4
    np.testing.assert_allclose(x[0, :, 0], wanted, atol=1e-7)
    assert y[0, :, 0].argmax() == 5  # 20 -> 4.625
    tail = [np.exp(-(d**2) / 8) for d in (2, 3, 4, 5)]  # -9 -> -2.625 -> -3
    np.testing.assert_allclose(x[0, :4, 1], [np.exp(-9 / 8), *tail[2:], 0], atol=1e-7)
    assert not y[0, :, 1].any()  # 300 is too far outside to reach in
    literal, _ = targets.vectors(points, 4, 256, sigma=2.0, theta=3.0, exponent=1)
    np.testing.assert_allclose(literal[0, 15, 0], np.exp(-5 / 8), rtol=1e-6)
    assert literal[0, 10, 0] == 4 and literal[0, 16, 0] == 0


def test_a_point_that_is_no_number_is_not_hidden_by_the_label():
    x, y = targets.vectors(jnp.full((1, 1, 2), jnp.nan), 4, 64, 2.0, 3.0)
    assert jnp.isnan(x).all() and jnp.isnan(y).all()
    assert jnp.isnan(targets.gaussian_maps(jnp.full((1, 1, 2), jnp.nan), 4, 64, 2.0, 3)).all()


def test_decoding_is_within_half_a_quarter_shift_of_the_labels_point():
    points = jnp.asarray(np.random.default_rng(1).uniform(8, 247, (4, 68, 2)), jnp.float32)
    centre = geometry.to_map(points, 4)
    grid = jnp.arange(64.0)[None, :, None]
    curves = [jnp.exp(-((grid - centre[:, None, :, a]) ** 2) / 8) for a in (0, 1)]
    found, score = decoding.vectors(*curves, peak=1.0)
    assert float(abs(found - centre).max()) <= 0.26
    assert float(score.min()) > 0.968  # exp(-(1/2)^2 / 8)
    by_label, score = decoding.vectors(*targets.vectors(points, 4, 256, 2.0, 3.0), peak=4.0)
    assert (by_label == jnp.round(centre)).all() and (score == 1).all()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("outside", [0.25, 1.0, 2.5, 4.0, 6.0])
def test_beyond_box_recovers_points_outside(axis, high, outside):
    """Up to 6 map pixels outside, on all four sides, from the tail of Eq. 6 that is inside."""
    position = 63 + outside if high else -outside
    grid = np.arange(64.0)
    tail = 2.0 * np.exp(-((grid - position) ** 2) / 8)
    middle = 4.0 * np.exp(-((grid - 30) ** 2) / 8)
    pair = (tail, middle) if axis == 0 else (middle, tail)
    x, y = (jnp.asarray(v, jnp.float32)[None, :, None] for v in pair)
    found, _ = decoding.vectors(x, y, peak=4.0, tau=2.0, sigma=2.0)
    assert abs(float(found[0, 0, axis]) - position) < 0.01
    assert float(found[0, 0, 1 - axis]) == 30
    plain, _ = decoding.vectors(x, y, peak=4.0)
    assert float(plain[0, 0, axis]) == (63 if high else 0)


def test_beyond_box_leaves_strong_ends_and_bounds_empty_ones():
    ends = jnp.zeros((1, 64, 3)).at[0, 0].set(jnp.array([4.0, -1.0, 0.0])).at[0, 63, 1].set(-0.5)
    found, _ = decoding.vectors(ends, ends, peak=4.0, tau=2.0, sigma=2.0)
    assert float(found[0, 0, 0]) == 0  # stronger than tau: at the end itself
    assert jnp.isfinite(found).all() and float(abs(found).max()) < 63 + 7.5


@pytest.mark.parametrize(
    ("settings", "parameters", "giga"),
    [
        ({"backbone": "resnet50_v2"}, 25_092_100, 8.33),
        ({"backbone": "resnet50_v2", "fpn_width": 128}, 24_148_868, 6.23),
        ({"backbone": "hrnet_w18"}, 9_654_398, 4.66),
        ({"backbone": "hrnet_w32"}, 29_570_084, 11.38),
        ({"backbone": "hrnet_w32", "scheme": "lapa106"}, 29_588_362, None),
    ],
)
def test_counts(settings, parameters, giga):
    system = GaussianVector(**settings)
    variables = jax.eval_shape(system.init, jax.random.key(0))
    assert costs.count(variables["params"]) == parameters
    if giga:
        images = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.uint8)
        madds = costs.multiply_adds(system.predict, variables, images)
        assert sum(madds.values()) == pytest.approx(giga * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet18"}, "one of resnet50_v2"),
        ({"bands": (4,)}, "odd numbers"),
        ({"bands": (1, 3, 5)}, "up to two"),
        ({"exponent": 3}, "as the paper prints it"),
        ({"tau": 0.0}, "above 0"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(InputError, match=message):
        GaussianVector(**settings)


def small(**settings):
    return GaussianVector(size=64, backbone="light_w32", fpn_width=16, **settings)


@pytest.mark.parametrize("settings", [{}, {"bands": ()}, {"bands": (), "weight_map": True}])
def test_a_few_steps_lower_the_loss(settings):
    import optax

    from jaxalign.layers.norm import AXIS

    system = small(**settings)
    variables = system.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.integers(0, 256, (4, 64, 64, 3), np.uint8)),
        "points": jnp.asarray(rng.uniform(0, 64, (4, 68, 2)), jnp.float32),
    }
    optimizer = optax.adam(3e-3)

    def loss(params, stats):
        values, _, stats = jax.vmap(system.loss, (None, None, 0, None), axis_name=AXIS)(
            params, stats, jax.tree.map(lambda a: a[None], batch), jax.random.key(0)
        )
        return values.mean(), jax.tree.map(lambda a: a[0], stats)

    @jax.jit
    def step(params, stats, state):
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params, stats)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), stats, state, value

    params, stats = variables["params"], variables["batch_stats"]
    state, seen = optimizer.init(params), []
    for _ in range(12):
        params, stats, state, value = step(params, stats, state)
        seen.append(float(value))
    assert np.isfinite(seen).all() and seen[-1] < 0.8 * seen[0]


def test_without_the_module_and_beyond_the_box_only_decoding_differs():
    system = small()
    variables = system.init(jax.random.key(1))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = system.predict(variables, images)[0]
    plain = small(beyond_box=False).predict(variables, images)[0]
    within = ((plain > 1.5) & (plain < 61.5)).all(-1)  # the ends of the map at 16 pixels
    assert within.any() and (found == plain)[within].all()
    assert jax.tree.structure(variables) == jax.tree.structure(
        jax.eval_shape(small(bands=()).init, jax.random.key(0))
    )
