"""Pixel-wise classification and its peers: counts, losses by hand, the adversarial phase."""

import json
import signal
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import costs, losses, targets
from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS
from jaxalign.layers.transposed import TransposedConv
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems.pixelwise import HEATMAPS, REGRESSION, PixelWise, _distance
from jaxalign.systems.pixelwise_networks import DANStage, nearness
from jaxalign.training.loop import Run
from tests.helpers import slow
from tests.helpers.small import small_recipe


KEY = jax.random.key(0)
METHODS = (*REGRESSION, *HEATMAPS)
PATHS = {
    "network": ("network", "up3", "kernel"),
    "discriminator": ("discriminator", "fc3", "kernel"),
}
small = partial(PixelWise, scheme="cofw29", size=32, width=2, top=8, discriminator=False)
every_method = pytest.mark.parametrize("method", METHODS)


def batch_of(points):
    """All that losses of outputs made by hand see: points (B, K, 2), all labelled."""
    return {"points": points, "labelled": np.ones(points.shape[:2], bool)}


@cache
def variables_of(system):
    return jax.jit(system.init)(jax.random.key(0))


def faces(system, count=3, seed=0):
    rng = np.random.default_rng(seed)
    points = system.points.num_points
    return {
        "image": rng.integers(0, 256, (count, system.size, system.size, 3), np.uint8),
        "points": rng.uniform(2, system.size - 3, (count, points, 2)).astype(np.float32),
        "labelled": np.ones((count, points), bool),
        "attributes": np.zeros((count, 6), np.uint8),
        "weight": np.ones(count, np.float32),
    }


def step(system, batch, objective=None):
    """(values, parts, statistics), gradients of the mean value; as on one device."""
    objective = objective or system.phases[0].cycle[-1]
    variables = variables_of(system)

    def mean(params, batch):
        result = objective.loss(params, variables["batch_stats"], batch, jax.random.key(0))
        return result[0].mean(), result

    call = jax.vmap(jax.grad(mean, has_aux=True), (None, 0), axis_name=AXIS)
    grads, result = jax.jit(call)(variables["params"], jax.tree.map(lambda a: a[None], batch))
    return jax.tree.map(lambda a: a[0], (result, grads))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("method", "parameters", "giga"),
    [
        ("direct", 178_682_440, 22.28),
        ("dan", 35_053_144, 7.70),
        ("distribution", 82_871_880, 26.11),
        ("heatmap_regression", 82_947_658, 26.16),
        ("pwc", 82_947_658, 26.16),
        ("hybrid", 82_947_658, 26.16),
    ],
)
def test_counts(method, parameters, giga):
    """As printed; a transposed convolution here also multiplies one border of zeros."""
    system = PixelWise(method=method)
    variables = system.shapes()
    assert costs.count(variables["params"]["network"]) == parameters
    assert costs.count(variables["params"]["discriminator"]) == 34_689
    crop = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.uint8)
    madds = sum(costs.multiply_adds(system.predict, variables, crop).values())
    assert madds == pytest.approx(giga * 1e9, rel=0.015 if method in HEATMAPS else 1e-3)


def test_counts_of_the_stages_of_dan():
    variables = PixelWise(method="dan").shapes()
    parts = {k: costs.count(v) for k, v in variables["params"]["network"].items()}
    assert parts["stage1"] == 11_146_312 and parts["stage2"] == parts["stage3"] == 11_147_464
    assert parts["image2"] == parts["image3"] == 805_952


def test_a_dry_run_counts_the_discriminator_too():
    lines = costs.table(PixelWise()).splitlines()
    assert lines[-6].split() == ["discriminator", "(trains", "only)", "34,689"]
    assert lines[-5] == "parameters while training: 82982347"
    assert lines[-2] == "parameters: 82947658"


@pytest.mark.parametrize("stride", [2, 8])
def test_transposed_convolution(stride):
    """Each pixel adds its kernel times itself, windows 2s wide, s apart, s/2 over the border."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 2)).astype(np.float32)
    module = TransposedConv(3, stride)
    variables = module.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32), variables)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    full = np.zeros((2, 4 * stride, 5 * stride, 3))
    for row, column in np.ndindex(3, 4):
        window = np.einsum("bc,ijcd->bijd", x[:, row, column], kernel)
        top, left = row * stride, column * stride
        full[:, top : top + 2 * stride, left : left + 2 * stride] += window
    half = stride // 2
    expected = full[:, half:-half, half:-half] + bias
    np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-4)


@pytest.mark.heavy
def test_transposed_convolution_keeps_the_variance():
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 64))
    out, _ = TransposedConv(64, 8).init_with_output(jax.random.key(1), x)
    assert out[:, 8:-8, 8:-8].std() == pytest.approx(1, abs=0.1)


def test_places_are_computed_in_float32():
    """Under bfloat16 too: it would round pixels above 128 to whole ones, and make peaks alike."""
    images = jnp.zeros((1, 32, 32, 1))
    for method in HEATMAPS:
        network = small(method=method, dtype="bfloat16").network
        maps, _ = jax.eval_shape(partial(network.init_with_output, train=False), KEY, images)
        assert maps.dtype == jnp.float32
    stage = DANStage(3, width=2, dtype=jnp.bfloat16)
    features = jax.random.normal(KEY, (2, 16, 16, 1))
    (moved, hidden), _ = stage.init_with_output(KEY, features, train=False)
    assert hidden.dtype == jnp.bfloat16 and (moved != moved.astype(jnp.bfloat16)).any()


def test_the_gradient_of_a_distance_compares_no_maximum():
    """With its operands, which XLA may have computed anew, with other rounding."""
    found, points = jax.random.normal(KEY, (2, 1, 5, 2))
    counted = jnp.ones((1, 5))
    slope = jax.grad(lambda found: _distance(found, points, counted).sum())
    assert "= eq " not in str(jax.make_jaxpr(slope)(found))
    wanted = jax.grad(lambda found: jnp.linalg.norm(found - points, axis=-1).mean())(found)
    np.testing.assert_allclose(slope(found), wanted, rtol=1e-5)
    assert not slope(points).any()


def test_class_map():
    points = jnp.array([[[1.4, 2.6], [0.5, -0.4], [3.6, 1.0], [1.2, 3.3]]])  # 3rd: off the crop
    found = np.array(targets.class_map(points, 4))
    assert found.shape == (1, 4, 4) and found[0, 3, 1] == 3  # of 0 and 3 the later stays
    assert found[0, 0, 0] == 1 and (found == 4).sum() == 14
    edges = np.array(targets.class_map(jnp.array([[[-0.5, 3.5], [3.5, -0.5]]]), 4))
    assert edges[0, 3, 0] == 0 and edges[0, 0, 3] == 1


def test_cross_entropy_of_pixels():
    """Two pixels with probabilities 1/4, 3/4 of two classes, theirs the first and the second."""
    logits = jnp.log(jnp.array([[[[1.0, 3.0], [1.0, 3.0]]]]))
    found = losses.cross_entropy_pixels(logits, jnp.array([[[0, 1]]]))
    np.testing.assert_allclose(found, [-(np.log(0.25) + np.log(0.75)) / 2], rtol=1e-6)


@pytest.mark.heavy
@every_method
def test_losses_of_right_and_wrong_points(method):
    """By outputs made by hand: those that say the truth lose less than those of another face."""
    system = small(method=method, sigma=1.0)
    points = np.round(faces(system)["points"])
    if method in REGRESSION:
        right = points if method == "direct" else [points] * 3
    else:
        maps = np.array(targets.gaussian_maps(points, 1, system.size, 0.3))
        background = np.full((*maps.shape[:3], int(method != "distribution")), 0.5, np.float32)
        right = 30 * np.concatenate([maps, background], -1)
    values, _ = system._errors(right, batch_of(points))
    others, _ = system._errors(right, batch_of(points[::-1]))
    assert values.shape == (3,) and (values[::2] < others[::2]).all()  # reversed, the second stays
    if method == "direct":
        np.testing.assert_allclose(values, 1e-6, rtol=1e-5)
        moved, _ = system._errors(points + np.array([3, 4]), batch_of(points))
        np.testing.assert_allclose(moved, 5, rtol=1e-6)  # Eq. 1: not squared


@pytest.mark.heavy
@pytest.mark.parametrize(
    "method", slow.but(METHODS, "dan", "distribution", "heatmap_regression", "hybrid")
)
def test_a_step_is_finite_and_a_point_that_is_no_number_is_not(method):
    system = small(method=method)
    batch = faces(system)
    (values, _, _), grads = step(system, batch)
    assert np.isfinite(values).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    batch["points"][1, 4, 0] = np.nan
    (values, _, _), _ = step(system, batch)
    assert np.isnan(values[1])


@pytest.mark.heavy
@pytest.mark.slow
def test_the_printed_hybrid_has_the_gradient_of_pixel_wise_classification():
    """Its points are found by argmax, through which nothing passes, and so are those that the
    discriminator sees."""
    batch, kernel = faces(small()), PATHS["network"]
    _, expected = step(small(method="pwc"), batch)
    printed, soft = small(method="hybrid"), small(method="hybrid", coordinates="soft")
    assert "method=pwc without a discriminator" in printed.note and not soft.note
    for system in (printed, replace(printed, discriminator=True)):
        _, found = step(system, batch)
        same = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
        jax.tree.map(same, found["network"], expected["network"])
    _, found = step(soft, batch)
    assert abs(at(found, kernel) - at(expected, kernel)).max() > 1e-3


def slopes(system, outputs, points, looks=None):
    """Of each face's loss at its outputs (B, S, S, K + 1), numpy."""
    batch = batch_of(points)
    return np.asarray(jax.grad(lambda o: system._errors(o, batch, looks)[0].sum())(outputs))


def lengths(slopes):
    return np.linalg.norm(slopes.reshape(len(slopes), -1), axis=1)


@pytest.mark.heavy
def test_balanced_weights_are_lengths_of_gradients():
    """Distance and loss_face pull beta and gamma times as hard as the cross-entropy, in each face;
    by weights of the losses the distance pulls much harder."""
    points = jnp.asarray(faces(small())["points"])
    outputs = 0.1 * jax.random.normal(jax.random.key(0), (3, 32, 32, 30))
    outputs = outputs.at[..., -1].add(jnp.log(1024))  # nearly all is background, as in a crop
    base = small(method="pwc", coordinates="soft", discriminator=True)
    pixels = slopes(base, outputs, points)  # nobody looks
    hybrid = replace(base, method="hybrid", beta=0.5)
    assert (lengths(slopes(hybrid, outputs, points) - pixels) > 2 * lengths(pixels)).all()
    hybrid = replace(hybrid, balance="gradients")
    distance = slopes(hybrid, outputs, points) - pixels
    np.testing.assert_allclose(lengths(distance), 0.5 * lengths(pixels), rtol=1e-4)

    def looks(found):
        return jnp.sin(found).sum((1, 2))

    judged = replace(base, balance="gradients", gamma=0.1)
    face = slopes(judged, outputs, points, looks) - pixels
    np.testing.assert_allclose(lengths(face), 0.1 * lengths(pixels), rtol=1e-3)
    both = slopes(replace(hybrid, alpha=3.0, gamma=0.1), outputs, points, looks)
    np.testing.assert_allclose(both, 3 * pixels + distance + face, rtol=1e-3, atol=1e-7)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_balanced_step_of_two_devices_is_that_of_one():
    """The discriminator's batch statistics, and the gradients through them, are of all faces."""
    balance = {"coordinates": "soft", "balance": "gradients", "beta": 0.5, "gamma": 0.5}
    system = small(discriminator=True, **balance)
    batch, variables = faces(system, 4), variables_of(system)
    loss = system.phases[0].cycle[-1].loss

    def mean(params, batch):
        values, parts, _ = loss(params, variables["batch_stats"], batch, jax.random.key(0))
        return values.mean(), (values, parts)

    def on(devices):
        call = jax.vmap(jax.grad(mean, has_aux=True), (None, 0), axis_name=AXIS)
        parted = jax.tree.map(lambda a: a.reshape(devices, -1, *a.shape[1:]), batch)
        grads, found = jax.jit(call)(variables["params"], parted)
        found = jax.tree.map(lambda a: a.reshape(4), found)
        return found, jax.tree.map(lambda a: a.mean(0), grads)

    (values, parts), grads = on(1)
    (apart, _), grads_apart = on(2)
    assert (values > parts["pixels"]).all() and np.isfinite(values).all()
    np.testing.assert_allclose(values, apart, rtol=1e-3)
    kernel = PATHS["network"]
    assert abs(at(grads, kernel)).max() > 1e-3
    np.testing.assert_allclose(at(grads, kernel), at(grads_apart, kernel), rtol=0.01, atol=1e-5)


@pytest.mark.heavy
def test_balancing_leaves_a_loss_without_gradient_alone():
    """A discriminator that looks the same way at all points: its loss has no direction to scale."""
    system = small(method="pwc", coordinates="soft", discriminator=True, balance="gradients")
    points = jnp.asarray(faces(system)["points"])
    outputs = jax.random.normal(jax.random.key(0), (3, 32, 32, 30))
    values, parts = system._errors(outputs, batch_of(points), lambda found: 0 * found.sum((1, 2)))
    np.testing.assert_allclose(values, parts["pixels"], rtol=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize("norm", slow.but(["separate", "together"], "separate"))
def test_the_discriminator_normalises_true_and_found_points(norm):
    """Apart, what it says of the true ones does not depend on the found ones, and the detector sees
    the statistics of its own batch; together, both do."""
    system = small(discriminator=True, discriminator_norm=norm)
    judge, detector = system.phases[0].cycle[:2]
    batch = faces(system)
    other = batch | {"image": faces(system, seed=1)["image"]}
    (_, one, _), _ = step(system, batch, judge)
    (_, two, _), _ = step(system, other, judge)
    assert np.allclose(one["true"], two["true"], rtol=1e-6) == (norm == "separate")

    variables = variables_of(system)
    other = jax.tree.map(lambda a: 3 * a + 1, variables["batch_stats"]["discriminator"])
    changed = variables["batch_stats"] | {"discriminator": other}

    def face(batch_stats):
        call = partial(detector.loss, variables["params"], batch_stats, key=jax.random.key(0))
        stacked = jax.tree.map(lambda a: a[None], batch)
        return jax.jit(jax.vmap(call, axis_name=AXIS))(stacked)[1]["face"][0]

    same = np.allclose(face(variables["batch_stats"]), face(changed), rtol=1e-6)
    assert same == (norm == "separate")


def at(tree, path):
    for name in path:
        tree = tree[name]
    return tree


@pytest.mark.heavy
def test_the_weights_of_the_hybrid():
    system = small(alpha=2.0, beta=3.0)
    (values, parts, _), _ = step(system, faces(system))
    np.testing.assert_allclose(values, 2 * parts["pixels"] + 3 * parts["points"], rtol=1e-5)


@pytest.mark.heavy
def test_alpha_weighs_the_pixels_of_pwc_too():
    system = small(method="pwc", alpha=2.0)
    outputs = jax.random.normal(jax.random.key(0), (2, 32, 32, 30))
    values, parts = system._errors(outputs, faces(system, 2))
    np.testing.assert_allclose(values, 2 * parts["pixels"], rtol=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize("method", ["pwc", "heatmap_regression", "distribution"])
def test_soft_coordinates_are_means_under_what_is_decoded(method):
    system = small(method=method, coordinates="soft")
    maps = 29 if method == "distribution" else 30
    outputs = 3 * jax.random.normal(jax.random.key(0), (2, 32, 32, maps))
    mass = np.asarray(system._shares(outputs), np.float64)[..., :29]
    mass /= mass.sum((1, 2), keepdims=True)
    y, x = np.mgrid[:32, :32]
    means = [(mass * axis[None, ..., None]).sum((1, 2)) for axis in (x, y)]
    np.testing.assert_allclose(system._coordinates(outputs), np.stack(means, -1), atol=1e-4)


@pytest.mark.parametrize("method", HEATMAPS)
def test_hard_coordinates_are_what_is_decoded(method):
    system = small(method=method)
    maps = 29 if method == "distribution" else 30
    outputs = 3 * jax.random.normal(jax.random.key(0), (2, 32, 32, maps))
    found = np.asarray(system._shares(outputs))[..., :29].reshape(2, -1, 29).argmax(1)
    expected = np.stack([found % 32, found // 32], -1)
    np.testing.assert_array_equal(system._coordinates(outputs), expected)


@pytest.mark.parametrize("method", ["pwc", "heatmap_regression"])
def test_points_start_as_rare_as_they_are(method):
    """Of 32 x 32 pixels one is a point's."""
    bias = at(variables_of(small(method=method))["params"], ("network", "up3", "bias"))
    np.testing.assert_allclose(bias, [-np.log(1024)] * 29 + [0], rtol=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize(("peak", "height"), [("sum1", 1 / (2 * np.pi * 1.5**2)), ("peak1", 1.0)])
def test_heatmap_regression_compares_with_gaussians_and_a_background(peak, height):
    """Outputs that put all on the background are wrong by the Gaussian and by what it takes."""
    system = small(method="heatmap_regression", sigma=1.5, peak=peak)
    points = jnp.full((1, 29, 2), -100.0).at[0, 0].set(16)
    outputs = jnp.zeros((1, 32, 32, 30)).at[..., -1].set(100)
    values, _ = system._errors(outputs, batch_of(points))
    grid = np.arange(-6, 7)
    gaussian = np.exp(-(grid**2) / (2 * 1.5**2))
    expected = 2 * height**2 * (np.outer(gaussian, gaussian) ** 2).sum()
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_labels_around_whole_pixels():
    points = jnp.full((1, 29, 2), 10.4)
    maps = jnp.zeros((1, 32, 32, 29)).at[:, 10, 10].set(50)
    exact, _ = small(method="distribution")._errors(maps, batch_of(points))
    whole, _ = small(method="distribution", integer_labels=True)._errors(maps, batch_of(points))
    rounded, _ = small(method="distribution")._errors(maps, batch_of(jnp.round(points)))
    assert whole == rounded != exact


@pytest.mark.heavy
def test_dan_starts_from_the_mean_shape():
    """Stages that correct nothing leave it where it was told, and training does not move it."""
    system = small(method="dan")
    batch = faces(system)
    mean = np.random.default_rng(1).uniform(0.2, 0.8, (29, 2)).astype(np.float32)
    variables = dan_variables(system, mean)
    points, score = system.predict(variables, batch["image"])
    np.testing.assert_allclose(points, np.broadcast_to(mean * 32 - 0.5, points.shape), atol=1e-3)
    assert (score == 1).all()
    (_, _, stats), _ = step(system, batch)
    circle = variables_of(system)["batch_stats"]["network"]["mean_shape"]
    np.testing.assert_array_equal(stats["network"]["mean_shape"], circle)


def dan_variables(system, mean):
    """Weights 0, this mean shape."""
    variables = jax.tree.map(jnp.zeros_like, variables_of(system))
    statistics = variables["batch_stats"]["network"] | {"mean_shape": jnp.asarray(mean)}
    return {"params": variables["params"], "batch_stats": {"network": statistics}}


@pytest.mark.heavy
def test_dan_shows_its_second_stage_the_face_in_the_mean_pose(monkeypatch):
    """The first stage finds the mean shape turned, larger and moved; the second is shown the image
    brought back and the points at the mean shape's places, and its corrections go the same way."""
    system = small(method="dan", size=64, stages=2)
    rng = np.random.default_rng(0)
    mean = rng.uniform(8, 22, (29, 2))  # in pixels of the half side that it works at
    turn, shift = 1.2 * np.array([[0.8, -0.6], [0.6, 0.8]]), np.array([3.0, -2.0])
    posed = (mean - 15.5) @ turn.T + 15.5 + shift
    variables = dan_variables(system, (mean + 0.5) / 32)
    stages = variables["params"]["network"]
    stages["stage1"]["points"]["bias"] = jnp.float32(posed - mean).ravel()
    correction = np.array([1.0, 0.5])
    stages["stage2"]["points"]["bias"] = jnp.tile(jnp.float32(correction), 29)
    marked = np.round(posed[7])  # a light, two pixels of the crop wide
    image = np.zeros((1, 64, 64, 3), np.uint8)
    x, y = (2 * marked).astype(int)
    image[0, y : y + 2, x : x + 2] = 255

    seen, stage = [], DANStage.__call__
    monkeypatch.setattr(DANStage, "__call__", lambda *given: seen.append(given[1]) or stage(*given))
    points, _ = system.predict(variables, image)
    first, second = (np.asarray(shown[0]) for shown in seen)
    assert first.shape[-1] == 1 and second.shape[-1] == 3
    back = (marked - 15.5 - shift) @ np.linalg.inv(turn).T + 15.5
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32)), -1)
    light = second[..., 0]
    np.testing.assert_allclose((light[..., None] * grid).sum((0, 1)) / light.sum(), back, atol=0.3)
    away = np.linalg.norm(grid[:, :, None] - mean, axis=-1).min(-1)
    np.testing.assert_allclose(second[..., 1], 1 / (1 + away), atol=1e-4)
    expected = (mean + correction - 15.5) @ turn.T + 15.5 + shift
    np.testing.assert_allclose(points[0], 2 * expected + 0.5, atol=1e-3)


@pytest.mark.heavy
@pytest.mark.parametrize(("supervision", "stages"), [("last", [3]), ("sum", [1, 2, 3])])
def test_dan_loses_by_its_last_stage_or_by_all(supervision, stages):
    system = small(method="dan", supervision=supervision)
    batch = faces(system)
    (values, parts, _), grads = step(system, batch)
    assert list(parts) == [f"stage{stage}" for stage in stages]
    np.testing.assert_allclose(values, sum(parts.values()), rtol=1e-6)
    assert np.any(at(grads, ("network", "stage1", "points", "kernel")))  # through the later ones


def moved_parts(before, after):
    same = {name: jax.tree.map(np.array_equal, before[name], after[name]) for name in before}
    return {name for name, tree in same.items() if not jax.tree.all(tree)}


@pytest.mark.heavy
@pytest.mark.slow
def test_dan_is_trained_stage_by_stage(data_300w, tmp_path):
    """A step each: of parameters only the phase's stage moves, of statistics none but its own, and
    its own points are what is lost by; only the last phase is validated."""
    train = open_source("ibug_300w/train", IBUG68, data_300w)
    base = small_recipe(batch=4, epochs=1)
    system = small(scheme="ibug68", method="dan", supervision="stages", epochs=3)
    recipe = replace(base, system=system, training=replace(base.training, ema=0.0, log_steps=1))
    states = []

    def record(run):
        state = run.state.params["network"], run.state.batch_stats["network"]
        states.append(jax.device_get(state))

    run = Run(recipe, train, train, tmp_path, on_step=record)
    record(run)
    run.run()
    own = [{"stage1"}, {"stage2", "image2"}, {"stage3", "image3"}]
    for before, after, expected in zip(states[:-1], states[1:], own, strict=True):
        moved = [moved_parts(*pair) for pair in zip(before, after, strict=True)]
        assert moved == [expected, {name for name in expected if name.startswith("stage")}]
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["phase"] for row in rows if "val_nme" in row] == ["stage3"]
    losses_of = [row for row in rows if "loss" in row]
    assert all(row["loss"] == pytest.approx(row[row["phase"]]) for row in losses_of)


def test_the_output_of_direct():
    """Weights 0: the crop's corner, or its centre."""
    image = np.zeros((1, 32, 32, 3), np.uint8)
    for output, place in (("pixels", 0), ("eighths", 15.5)):
        system = small(method="direct", output=output)
        variables = jax.tree.map(jnp.zeros_like, variables_of(system))
        variables["params"]["network"]["points"]["bias"] = jnp.ones(58)
        points, _ = system.predict(variables, image)
        np.testing.assert_allclose(points, place + {"pixels": 1, "eighths": 4}[output])


def test_nearness():
    """Nine pixels around one point: itself 1, beside it 1/2, diagonal 1 / (1 + sqrt(2))."""
    found = nearness(jnp.array([[[1.0, 1.0], [9.0, 9.0]]]), 3)[0, ..., 0]
    aside, across = 0.5, 1 / (1 + np.sqrt(2))
    expected = [[across, aside, across], [aside, 1, aside], [across, aside, across]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("method", HEATMAPS)
def test_decoding_finds_the_highest_place(method):
    system = small(method=method)
    points = np.round(faces(system)["points"])
    logits = 40 * np.array(targets.gaussian_maps(jnp.asarray(points), 1, 32, 0.3))
    if method != "distribution":
        logits = np.concatenate([logits, np.full((3, 32, 32, 1), 20, np.float32)], -1)
    alone = [np.unique(face, axis=0).shape[0] == 29 for face in points]
    maps = system._shares(logits)
    assert maps.sum(-1 if method != "distribution" else (1, 2)) == pytest.approx(1, abs=1e-3)
    found = np.array(maps[..., :29]).reshape(3, -1, 29).argmax(1)
    found = np.stack([found % 32, found // 32], -1)
    assert any(alone)
    np.testing.assert_array_equal(found[alone], points[alone])


@pytest.mark.heavy
def test_the_discriminator_learns_signs():
    """-log D(true) - log(1 - D(found)), ascended in the released code; the detector's -log D."""
    system = small(discriminator=True)
    judge, detector = system.phases[0].cycle[:2]
    batch = faces(system)
    (values, parts, stats), grads = step(system, batch, judge)
    np.testing.assert_allclose(values, parts["true"] + parts["found"], rtol=1e-6)
    assert set(stats) == {"discriminator"} and not np.any(at(grads, PATHS["network"]))
    released = small(discriminator=True, sign="released")
    (negated, _, _), back = step(released, batch, released.phases[0].cycle[0])
    np.testing.assert_allclose(negated, -values, rtol=1e-6)
    kernel = PATHS["discriminator"]
    np.testing.assert_allclose(at(back, kernel), -at(grads, kernel), rtol=1e-5, atol=1e-8)
    (values, parts, stats), _ = step(system, batch, detector)
    expected = parts["pixels"] + 0.25 * parts["points"] + parts["face"]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert set(stats) == {"network"}


@pytest.mark.heavy
@pytest.mark.slow
def test_the_adversarial_phase_alternates_moves_both_and_resumes(data_300w, tmp_path):
    """One step of the discriminator, two of the detector, stopped behind the fourth of six."""
    train = open_source("ibug_300w/train", IBUG68, data_300w)
    base = small_recipe(batch=4, epochs=1)
    system = small(scheme="ibug68", discriminator=True, epochs=4)  # six steps: 4 of 6 faces each
    recipe = replace(base, system=system, training=replace(base.training, ema=0.0))
    whole = Run(recipe, train, [], tmp_path / "whole")
    first = jax.device_get(whole.state.params)
    whole.run()
    rows = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    named = ["true" in json.loads(row) for row in rows]
    assert named == 2 * [True, False, False]
    last = jax.device_get(whole.state.params)
    for name in ("network", "discriminator"):
        assert abs(at(last, PATHS[name]) - at(first, PATHS[name])).max() > 0

    def interrupt(run):
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)

    stopped = Run(recipe, train, [], tmp_path / "stopped", on_step=interrupt)
    with pytest.raises(SystemExit):
        stopped.run()
    resumed = Run(recipe, train, [], tmp_path / "stopped", resume=True)
    assert resumed.step == 4
    resumed.run()
    equal = jax.tree.map(np.array_equal, jax.device_get(resumed.state), jax.device_get(whole.state))
    assert jax.tree.all(equal)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "regression"}, "system.method='regression': one of direct, dan, "),
        ({"coordinates": "hard"}, "one of argmax, soft"),
        ({"balance": "norms"}, "one of losses, gradients"),
        ({"gamma": -1.0}, "system.gamma=-1.0: must be 0 or more"),
        ({"discriminator_norm": "none"}, "one of separate, together"),
        ({"sign": "plus"}, "one of paper, released"),
        ({"peak": "1"}, "one of sum1, peak1"),
        ({"output": "shares"}, "one of pixels, eighths"),
        ({"supervision": "first"}, "one of last, stages, sum"),
        ({"sigma": 0.0}, "system.sigma=0.0: must be above 0"),
        ({"width": 0}, "system.width=0: must be a positive"),
    ],
)
def test_it_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        PixelWise(**settings)
