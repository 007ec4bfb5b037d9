"""Gaussian Vector: band pooling, vector labels, decoding beyond the box, and its counts."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign import costs, decoding, geometry, targets
from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.layers.band_pooling import band_pool
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import BoxRule
from jaxalign.systems.gaussian_vector import GaussianVector
from tests.helpers import slow


def batch_of(points):
    return {"points": points, "labelled": jnp.ones(points.shape[:2], bool)}


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


@pytest.mark.heavy
def test_a_point_that_is_no_number_is_not_hidden_by_the_label():
    x, y = targets.vectors(jnp.full((1, 1, 2), jnp.nan), 4, 64, 2.0, 3.0)
    assert jnp.isnan(x).all() and jnp.isnan(y).all()
    assert jnp.isnan(targets.gaussian_maps(jnp.full((1, 1, 2), jnp.nan), 4, 64, 2.0, 3)).all()


@pytest.mark.heavy
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


def decoded_labels(axis, beyond_box, outside):
    """Points from 20 crop pixels inside to 24 outside, on either side of one axis, in the middle of
    the other -> their places there, what their labels decode to, scores."""
    side = np.append(np.arange(-24.0, 21), -0.5)
    places = np.concatenate([side, 255 - side[::-1]])
    points = np.full((1, len(places), 2), 129.5, np.float32)  # a whole map pixel
    points[0, :, axis] = places
    system = GaussianVector(beyond_box=beyond_box, outside=outside)
    found, score = system.read(*system.label(points))
    np.testing.assert_array_equal(found[0, :, 1 - axis], 129.5)
    return places, np.asarray(found[0, :, axis]), np.asarray(score[0])


@pytest.mark.heavy
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("beyond_box", [True, False])
@pytest.mark.parametrize("outside", ["tail", "scaled", "masked"])
def test_labels_are_decoded_as_their_points(axis, beyond_box, outside):
    """Inside to half a map pixel; outside as the docstring of GaussianVector says."""
    places, found, score = decoded_labels(axis, beyond_box, outside)
    off = abs(places - 127.5) > 128
    assert abs(found - places)[~off].max() <= 2 and (score[~off] == 1).all()
    np.testing.assert_allclose(found[::-1], 255 - found, atol=1e-3)  # both sides alike
    assert score[off].max() <= 0.71 and score[0] < 0.1
    centre = np.round(geometry.to_map(places, 4))
    beyond = np.maximum(-centre, centre - 63)
    reaching = off & (beyond < 6)  # Eq. 2's cut of 3 sigma
    if outside == "scaled" and beyond_box:
        np.testing.assert_allclose(found[off], places[off], atol=5e-3)
    elif not beyond_box:
        ends = off if outside == "scaled" else reaching
        np.testing.assert_array_equal(found[ends], np.where(places[ends] < 0, 1.5, 253.5))
    else:
        too_far = np.sign(places - 127.5) * (found - geometry.from_map(centre, 4))
        assert too_far[reaching].max() == pytest.approx(6.233, abs=0.001)
        assert too_far[reaching].min() > 0
    if outside != "scaled":
        empty = off & ~reaching
        assert empty[0] and (found[empty] == 127.5).all() and (score[empty] == 0).all()


def test_points_on_the_edges_of_the_crop_are_inside():
    """A crop as tight as the points has some at exactly -1/2 and size - 1/2."""
    x, y = targets.vectors(jnp.array([[[-0.5, 255.5]]]), 4, 256, sigma=2.0, theta=3.0, tail=2.0)
    assert x[0, 0, 0] == 4 and y[0, 63, 0] == 4
    just_off = jnp.array([[[-0.51, 255.51]]])
    x, y = targets.vectors(just_off, 4, 256, sigma=2.0, theta=3.0, tail=2.0)
    assert x.max() == x[0, 0, 0] < 2 and y.max() == y[0, 63, 0] < 2


@pytest.mark.heavy
def test_an_empty_vector_is_nowhere():
    """Not at the opposite side; and what is found along one axis alone is not found."""
    full, empty = jnp.zeros((2, 1, 64, 3))
    full, empty = full.at[0, 60].set(4.0), empty.at[0, 9, 1].set(-1.0)
    for tau in (2.0, 0.0):
        for pair, at in (((full, empty), [60, 31.5]), ((empty, full), [31.5, 60])):
            found, score = decoding.vectors(*pair, peak=4.0, tau=tau)
            np.testing.assert_array_equal(found[0], [at] * 3)
            assert (score == 0).all()


@pytest.mark.heavy
@pytest.mark.parametrize("bands", [(3, 5), ()])
def test_masked_points_are_not_trained_on(bands):
    """Neither those beside the crop in x alone; the mean is over the others."""
    points = jnp.full((2, 68, 2), 30.0).at[0, 3, 0].set(-5).at[0, 4, 1].set(70).at[1].set(-9)
    maps = jnp.zeros((2, 16, 16, 68))
    wrong = maps.at[0, :, :, 3:5].set(7)
    for outside, same in (("masked", True), ("tail", False), ("scaled", False)):
        system = GaussianVector(size=64, bands=bands, outside=outside)
        values, others = (system.errors(one, batch_of(points))[0] for one in (maps, wrong))
        assert bool(values[0] == others[0]) == same
        assert bool(values[1] == 0) == same
    alone = GaussianVector(size=64, bands=bands).errors(maps, batch_of(points.at[0].set(30)))[0]
    masked = GaussianVector(size=64, bands=bands, outside="masked")
    np.testing.assert_allclose(masked.errors(maps, batch_of(points))[0][0], alone[0], rtol=1e-6)


@pytest.mark.heavy
def test_beyond_box_leaves_strong_ends_and_bounds_empty_ones():
    ends = jnp.zeros((1, 64, 3)).at[0, 0].set(jnp.array([4.0, -1.0, 0.0])).at[0, 63, 1].set(-0.5)
    found, _ = decoding.vectors(ends, ends, peak=4.0, tau=2.0, sigma=2.0)
    assert float(found[0, 0, 0]) == 0  # stronger than tau: at the end itself
    assert jnp.isfinite(found).all() and float(abs(found).max()) < 63 + 7.5


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("settings", "parameters", "giga"),
    [
        ({"backbone": "resnet50_v2"}, 25_092_100, 8.33),
        ({"backbone": "resnet50_v2", "fpn_width": 128}, 24_148_868, 6.23),
        ({"backbone": "hrnet_w32"}, 30_036_996, 12.86),
        slow.row({"backbone": "hrnet_w18", "head": "hrnet"}, 9_654_398, 4.66),
        slow.row({"backbone": "hrnet_w32", "head": "hrnet"}, 29_570_084, 11.38),
        ({"backbone": "hrnet_w32", "head": "hrnet", "scheme": "lapa106"}, 29_588_362, None),
    ],
)
def test_counts(settings, parameters, giga):
    system = GaussianVector(**settings)
    variables = system.shapes()
    assert costs.count(variables["params"]) == parameters
    if giga:
        images = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.uint8)
        madds = costs.multiply_adds(system.predict, variables, images)
        assert sum(madds.values()) == pytest.approx(giga * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "vgg16_bn"}, "one of resnet18, resnet50_v2"),
        ({"bands": (4,)}, "odd numbers"),
        ({"bands": (1, 3, 5)}, "up to two"),
        ({"exponent": 3}, "as the paper prints it"),
        ({"tau": 0.0}, "above 0"),
        ({"outside": "cut"}, "one of tail, scaled, masked"),
        ({"rectifier": "elu"}, "one of leaky, relu, none"),
        ({"head": "hrnet"}, "for resnet50_v2 take fpn"),
        ({"theta": -1.0}, "theta=-1.0: must be 0 or more"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(InputError, match=message):
        GaussianVector(**settings)


@pytest.mark.parametrize("backbone", ["resnet50", "hrnet", "mobilenetv3"])
@pytest.mark.parametrize(
    ("benchmark", "box", "enlarge"),
    [
        ("ibug_300w", "landmarks", 1.0),
        ("wflw", "dataset", 1.25),
        ("cofw", "dataset", 1.1),
        ("jd_landmark", "dataset", 1.0),
    ],
)
def test_recipes_are_the_papers(backbone, benchmark, box, enlarge):
    """Section 4.3, and where it is silent HRNet's schedule for faces."""
    recipe = recipes.load(f"gv_{backbone}_{benchmark}")
    crop, augment, system = recipe.data.crop, recipe.data.augment, recipe.system
    assert crop.box == box
    assert crop.landmarks == crop.dataset == crop.detector == BoxRule(enlarge)
    assert (augment.rotation, augment.rotation_p, augment.scale, augment.flip) == (
        30,
        0.5,
        0.25,
        0.5,
    )
    assert (augment.shift, augment.occlusion, augment.occlusion_area) == (0, 0.5, 0.2)
    assert (system.size, system.sigma, system.bands, system.alpha) == (256, 2, (3, 5), 0.5)
    assert (system.theta, system.tau, system.beyond_sigma, system.head) == (3, 2, 2, "fpn")
    assert system.optimizer == Optimizer("adam", 1e-4, "step", boundaries=(30, 50), decay=0.1)
    assert (system.epochs, recipe.training.batch) == (60, 16)


def test_stored_recipes_keep_what_they_were_trained_with():
    """HRNet's own head, sub-pixel heatmaps, printed labels; and HRNet's weights fit both ways."""
    recipe = recipes.load("gv_hrnet_ibug_300w")
    assert recipe.system.head == "fpn"
    stored = recipes.to_json(recipe)
    assert recipes.from_json(stored) == recipe
    for name in ("head", "rectifier", "integer_centre", "outside"):
        del stored["system"][name]
    older = recipes.from_json(stored).system
    assert older == replace(
        recipe.system, head="hrnet", integer_centre=False, outside="tail", rectifier="leaky"
    )
    stored["system"]["backbone"] = "resnet50_v2"
    assert recipes.from_json(stored).system.head == "fpn"
    assert older.pretrained == recipe.system.pretrained == {"network/backbone": "hrnet_w32"}


@pytest.mark.heavy
@pytest.mark.parametrize("integer", [True, False])
def test_heatmaps_are_centred_as_vectors_or_on_the_point(integer):
    """Where the loss is least: on the map of the nearest pixel, or of the point itself."""
    points = jnp.full((1, 68, 2), 27.0)  # 6.375 map pixels
    nearest = jnp.full((1, 68, 2), 25.5)  # 6 map pixels
    system = GaussianVector(size=64, bands=(), integer_centre=integer)
    losses = [
        float(system.errors(targets.gaussian_maps(at, 4, 64, 2.0, cut=3), batch_of(points))[0][0])
        for at in (nearest, points)
    ]
    assert losses[integer] > 1e-4 and losses[not integer] < 1e-12


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["system.bands=()", "system.outside=scaled"], "bands=() trains heatmaps"),
        (["system.integer_centre=False"], "bands=(3, 5) trains vectors"),
        (["system.beyond_box=False", "system.outside=tail", "system.tau=1"], "beyond_box=False"),
        (["system.backbone=hrnet_w18", "system.head=hrnet", "system.rectifier=relu"],
         "head=hrnet has no FPN"),
    ],
)  # fmt: skip
def test_settings_that_change_nothing(settings, reason):
    recipe = recipes.load("gv_light_ibug_300w")
    with pytest.raises(InputError, match=re.escape(reason)):
        recipes.override(recipe, settings)


def test_scaled_labels_use_tau_without_the_strategy_too():
    recipe = recipes.load("gv_light_ibug_300w")
    settings = ["system.beyond_box=False", "system.outside=scaled", "system.tau=1"]
    system = recipes.override(recipe, settings).system
    x, _ = system.label(jnp.array([[[-2.5, 60.0]]]))  # map pixel -1
    np.testing.assert_allclose(x[0, 0, 0], np.exp(-1 / 8), rtol=1e-6)


@pytest.fixture
def batch():
    points = np.random.default_rng(0).uniform(8, 56, (2, 68, 2))
    return batch_of(jnp.asarray(points, jnp.float32))


@pytest.mark.heavy
@pytest.mark.parametrize("settings", [{}, {"bands": ()}, {"bands": (), "weight_map": True}])
def test_maps_that_follow_the_loss_lead_to_the_points(settings, batch):
    """Gradient descent on free maps: the loss falls, and they are read as the batch's points."""
    system = GaussianVector(size=64, backbone="light_w32", **settings)
    optimizer = optax.adam(0.5)
    weights = jnp.ones(2) if system.bands else jnp.full(2, 10.0)

    @jax.jit
    def step(maps, state):
        def loss(maps):
            return (weights * system.errors(maps, batch)[0]).sum()

        value, grad = jax.value_and_grad(loss)(maps)
        updates, state = optimizer.update(grad, state)
        return optax.apply_updates(maps, updates), state, value

    maps = jnp.zeros((2, 16, 16, 68))
    state, seen = optimizer.init(maps), []
    for _ in range(150):
        maps, state, value = step(maps, state)
        seen.append(float(value))
    assert np.isfinite(seen).all() and seen[-1] < 0.1 * seen[0]
    found, score = system.decode(maps)
    assert float(abs(found - batch["points"]).max()) < 4  # a map pixel
    assert float(score.min()) > 0.5


def test_the_weight_map_is_refused_for_vectors():
    with pytest.raises(InputError, match="is for heatmaps"):
        GaussianVector(weight_map=True).shapes()


@pytest.mark.heavy
def test_the_weight_map_stresses_the_surroundings_of_points(batch):
    label = targets.gaussian_maps(batch["points"], 4, 64, 2.0, cut=3)
    weights = targets.weight_map(label)
    assert set(np.unique(weights)) == {np.float32(0.1), np.float32(1.0)}
    assert (weights[label > 0.2] == 1).all()  # and one pixel more around them
    assert (weights == 1).sum() > (label > 0.2).sum()
    plain, stressed = (
        GaussianVector(size=64, bands=(), weight_map=w, integer_centre=False).errors(
            label + 0.1, batch
        )[0]
        for w in (False, True)
    )
    np.testing.assert_allclose(plain, 0.01, rtol=1e-5)
    np.testing.assert_allclose(stressed, 0.01 * weights.mean((1, 2, 3)), rtol=1e-5)


def test_beyond_the_box_changes_points_at_the_ends_alone():
    maps = jnp.asarray(np.random.default_rng(0).normal(0, 4, (2, 16, 16, 68)), jnp.float32)
    found, plain = (
        GaussianVector(size=64, beyond_box=beyond).decode(maps)[0] for beyond in (True, False)
    )
    ends = (plain == 1.5) | (plain == 61.5)  # pixels 0 and 15 of the map
    assert ends.any() and (found != plain)[ends].all() and (found == plain)[~ends].all()
