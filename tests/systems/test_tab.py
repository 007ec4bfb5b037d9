"""TAB: counts by shapes, its switches, and one step of each phase of a shrunken one."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign import costs, targets
from jaxalign.layers.hourglass import LECUN, Hourglass, fed_back
from jaxalign.layers.norm import AXIS
from jaxalign.layers.unet import UNet, upsample_bilinear
from jaxalign.optimizers import Optimizer
from jaxalign.schemes import SCHEMES
from jaxalign.systems.tab import TAB
from jaxalign.training.state import TrainState, start_optimizers, train_step
from tests.helpers.small import filled


small = partial(TAB, size=64, stem="base", stacks=1, channels=16, base_width=8)


@cache
def variables_of(system):
    return system.shapes()


def count(network, **settings):
    return costs.count(variables_of(TAB(**settings))["params"][network])


@pytest.mark.parametrize(
    ("stem", "stacks", "parameters"),
    [
        ("vgg", 2, 13_327_968),
        ("resnet", 2, 11_815_520),
        ("base", 2, 12_066_464),
        ("vgg", 1, 7_497_808),
    ],
)
def test_scbe_has_the_released_parameters(stem, stacks, parameters):
    assert count("scbe", stem=stem, stacks=stacks) == parameters


@pytest.mark.parametrize(
    ("fusion", "parameters"), [(0, 7_653_410), (1, 7_839_170), (2, 9_388_802), (3, 10_717_058)]
)
def test_balt_grows_with_the_fusion(fusion, parameters):
    settings = {"stem": "base", "stacks": 1}  # quicker; BALT does not see them
    assert count("balt", scheme="wflw98", fusion=fusion, **settings) == parameters


def test_pooled_bridges_are_smaller_than_the_paper_s_model():
    """Eq. 4 as printed, MP(T(B_j)): 81.6 MiB of two stacks, where the paper says 86.9."""
    settings = {"stem": "base", "stacks": 1, "scheme": "wflw98"}
    assert count("balt", bridge="pooled", **settings) == 8_012_546
    assert transitions(bridge="pooled", fusion=3)["1_3"] == 1


@pytest.mark.parametrize(
    ("scheme", "parameters"), [("ibug68", 9_385_892), ("cofw29", 9_382_109), ("aflw19", 9_381_139)]
)
def test_balt_depends_on_the_scheme_and_scbe_does_not(scheme, parameters):
    settings = {"stem": "base", "stacks": 1}
    assert count("balt", scheme=scheme, **settings) == parameters
    assert count("scbe", scheme=scheme, **settings) == count("scbe", scheme="wflw98", **settings)


@pytest.mark.parametrize(
    ("stacks", "parameters", "mebibytes", "giga"),
    [(2, 22_716_770, 86.80, 25.07), (1, 16_886_610, 64.51, 19.52)],
)
def test_tab_has_the_paper_s_size(stacks, parameters, mebibytes, giga):
    """The paper says 86.9 MB and 64.5 MB, which are MiB with the statistics."""
    system = TAB(scheme="wflw98", stacks=stacks)
    variables = variables_of(system)
    assert costs.count(variables["params"]) == parameters
    assert 4 * costs.count(variables) / 2**20 == pytest.approx(mebibytes, abs=0.005)
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.uint8)
    madds = costs.multiply_adds(system.predict, variables, image)
    assert sum(madds.values()) == pytest.approx(giga * 1e9, rel=0.01)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("settings", "number"), [({}, 4), ({"features": "ss"}, 1), ({"stacks": 2}, 4)]
)
def test_scbe_s_outputs(settings, number):
    system = small(**settings)
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.uint8)
    (maps, found), _ = jax.eval_shape(system.estimate, variables_of(system), images)
    assert [m.shape for m in maps] == [(2, 16, 16, 16)] * system.stacks
    assert [f.shape for f in found] == [(2, 16 >> i, 16 >> i, 16) for i in range(number)]


def test_the_levels_are_those_of_the_hourglass():
    """Same variables, same output; level 2 is what "inner" gives, which "low_out" works on."""
    plain, levels = (Hourglass(2, 4, levels=on) for on in (False, True))
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    variables = filled(jax.eval_shape(partial(plain.init, train=False), jax.random.key(0), x))

    @jax.jit
    def run(variables):
        all_layers = {"train": False, "capture_intermediates": True}
        out, state = plain.apply(variables, x, **all_layers)
        return out, state["intermediates"], levels.apply(variables, x, train=False)

    out, layers, found = run(variables)
    assert [f.shape for f in found] == [(1, 4, 4, 4), (1, 2, 2, 4)]
    np.testing.assert_array_equal(found[0], out)
    np.testing.assert_array_equal(found[1], layers["inner"]["__call__"][0][0])


def transitions(**settings):
    params = variables_of(small(**settings))["params"]["balt"]
    kernels = {k: v["kernel"].shape for k, v in params.items() if "kernel" in v and k != "maps"}
    return {k.removeprefix("transition"): shape[0] for k, shape in kernels.items()}


@pytest.mark.parametrize(
    ("settings", "kernels"),
    [
        ({"fusion": 0}, {}),
        ({"fusion": 1}, {"1_1": 1, "2_2": 1, "3_3": 1, "4_4": 1}),
        ({"fusion": 3, "features": "ss"}, {"1_1": 1, "1_2": 3, "1_3": 3}),
        (
            {"fusion": 2},
            {"1_1": 1, "1_2": 3, "2_2": 1, "2_3": 3, "3_3": 1, "3_4": 3, "4_4": 1},
        ),
    ],
)
def test_fusion_takes_so_many_levels(settings, kernels):
    assert transitions(**settings) == kernels


def test_pooled_bridges_come_to_every_level():
    system = small(bridge="pooled", fusion=3)
    maps = jax.eval_shape(
        system.maps, variables_of(system), jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
    )
    assert maps.shape == (1, 16, 16, 68)


@pytest.mark.parametrize(("settings", "unet"), [({}, 0.99), ({"unet_momentum": 0.1}, 0.9)])
def test_batch_norm_of_the_u_net_has_its_own_momentum(settings, unet):
    system, found = small(**settings), {}

    def seen(call, arguments, keywords, context):
        if isinstance(context.module, nn.BatchNorm):
            found[context.module.path] = context.module.momentum
        return call(*arguments, **keywords)

    with nn.intercept_methods(seen):
        system.shapes()
    within, outside = ({m for path, m in found.items() if ("unet" in path) == inside}
                       for inside in (True, False))  # fmt: skip
    assert within == {unet} and outside == {0.9}


class FedBack(nn.Module):
    reuse: bool

    @nn.compact
    def __call__(self, x, features, maps):
        return fed_back(1, x, features, maps, jnp.float32, reuse=self.reuse)


def test_the_second_hourglass_is_given_the_first_one_s_input_or_not():
    random = np.random.default_rng(0)
    x, features, maps = random.normal(size=(3, 1, 4, 4, 8)).astype(np.float32)
    with_it, without = (FedBack(reuse=on) for on in (True, False))
    variables = filled(jax.eval_shape(with_it.init, jax.random.key(0), x, features, maps))
    found = [one.apply(variables, x, features, maps) for one in (with_it, without)]
    np.testing.assert_allclose(found[0] - found[1], x, atol=1e-5)


def test_feature_reuse_is_one_sum():
    def sums(**settings):
        system = small(stacks=2, **settings)
        images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
        traced = jax.make_jaxpr(system.estimate)(variables_of(system), images)
        return str(traced).count(" add ")

    assert sums() - sums(feature_reuse=False) == 1


def test_without_the_shape_constraint_the_decoder_reads_its_own_features_only():
    def inputs(**settings):
        unet = variables_of(small(**settings))["params"]["balt"]["unet"]
        return [unet[f"up{i}"]["conv1"]["kernel"].shape[2] for i in (1, 2, 3, 4)]

    assert inputs() == [128, 64, 32, 16]  # the skip has as many channels as what comes up
    assert inputs(shape_constraint=False) == [64, 32, 16, 8]


def test_what_is_added_in_the_encoder_reaches_every_level():
    unet = UNet(width=4)
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    # five sets of summands: none, and ones at each level alone
    shapes = [(16 >> level, 4 * 2**level) for level in range(4)]
    added = [np.zeros((5, 1, side, side, width), np.float32) for side, width in shapes]
    for level in range(4):
        added[level][level + 1] = 1
    first = [a[0] for a in added]
    made = jax.eval_shape(partial(unet.init, train=False), jax.random.key(0), x, first)
    run = jax.vmap(partial(unet.apply, filled(made), x, train=False))
    plain, *others = jax.jit(run)(added)
    assert plain.shape == (1, 16, 16, 8)
    assert all(abs(other - plain).max() > 1e-3 for other in others)


def test_bilinear_upsampling_keeps_the_corners():
    """Two pixels at four places 0, 1/3, 2/3, 1 of the way; rows likewise."""
    x = jnp.array([[0.0, 3.0], [6.0, 9.0]])[None, :, :, None]
    expected = np.add.outer(np.array([0, 2, 4, 6]), np.array([0, 1, 2, 3]))
    np.testing.assert_allclose(upsample_bilinear(x)[0, ..., 0], expected, rtol=1e-6)
    row = upsample_bilinear(jnp.array([1.0, 2, 4]).reshape(1, 1, 3, 1))[0, :, :, 0]
    np.testing.assert_allclose(row, [[1, 1.4, 1.8, 2.4, 3.2, 4]] * 2, rtol=1e-6)


@pytest.mark.parametrize("network", ["scbe", "balt"])
def test_all_convolutions_start_as_told(network):
    """Those of the stem "base" too, which is the hourglass's own."""
    started = []

    def start(key, shape, dtype):
        started.append(shape)
        return jnp.zeros(shape, dtype)

    system = small()
    params = variables_of(system)["params"][network]
    inputs = {
        "scbe": (jnp.zeros((1, 64, 64, 3)),),
        "balt": (jnp.zeros((1, 16, 16, 16)), [jnp.zeros((1, n, n, 16)) for n in (16, 8, 4, 2)]),
    }
    module = getattr(system, network).copy(kernel_init=start)
    jax.eval_shape(partial(module.init, train=False), jax.random.key(0), *inputs[network])
    kernels = {
        path: leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
        if path[-1].key == "kernel"
    }
    assert sorted(started) == sorted(kernels.values())


def test_convolutions_start_with_the_paper_s_deviation():
    kernel = TAB().balt.kernel_init(jax.random.key(0), (3, 3, 64, 64))
    assert kernel.std() == pytest.approx(0.001, rel=0.02)
    assert TAB(conv_deviation=0.0).scbe.kernel_init is LECUN


@pytest.mark.parametrize("stem", ["vgg", "resnet"])
def test_stems_with_published_weights_start_by_the_default(stem):
    told = []
    scbe = TAB(size=64, stem=stem, stacks=1).scbe.copy(
        kernel_init=lambda key, shape, dtype: told.append(shape) or jnp.zeros(shape, dtype)
    )
    start = partial(scbe.init, train=False)
    params = jax.eval_shape(start, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    kernels = jax.tree_util.tree_leaves_with_path({k: v for k, v in params.items() if k != "stem"})
    assert len(told) == sum(path[-1].key == "kernel" for path, _ in kernels)


def faces(system, number=2):
    """A batch on one device: a leading axis of length 1."""
    rng = np.random.default_rng(0)
    points = rng.uniform(8, 56, (1, number, system.points.num_points, 2))
    return {
        "image": rng.integers(0, 256, (1, number, 64, 64, 3), np.uint8),
        "points": points.astype(np.float32),
        "labelled": np.ones(points.shape[:-1], bool),
        "weight": np.ones((1, number), np.float32),
    }


@pytest.mark.heavy
@pytest.mark.slow
def test_each_phase_trains_one_network():
    """The loss of the first and a step of the second, in one program: both run SCBE alike."""
    system = small(scheme="cofw29", optimizer=Optimizer("sgd"))
    (scbe,), (balt,) = (phase.cycle for phase in system.phases)
    assert scbe.trains == ("scbe",) and balt.trains == ("balt",)
    variables = filled(variables_of(system))
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        ema={},
        optimizers=start_optimizers(system.phases[1], variables["params"]),
        **variables,
    )

    def both(batch):
        first = scbe.loss(state.params, state.batch_stats, batch, None)
        rate = {"rate": lambda _: 1e-2, "first": 0, "seed": 0, "ema": 0.0}
        return first, *train_step(state, batch, objective=balt, **rate)

    quickly = {"xla_backend_optimization_level": 0}  # to compile
    both = jax.jit(jax.vmap(both, axis_name=AXIS), compiler_options=quickly)
    (values, _, stats), after, metrics = both(faces(system))
    assert np.isfinite(values).all() and values.shape == (1, 2)
    assert np.isfinite(metrics["loss"]).all() and (metrics["grad_norm"] > 0).all()

    def moved(kind, network):
        before, now = (jax.tree.leaves(getattr(s, kind)[network]) for s in (state, after))
        return not all(np.array_equal(a, b[0]) for a, b in zip(before, now, strict=True))

    assert not moved("params", "scbe") and moved("params", "balt")
    assert moved("batch_stats", "scbe") and moved("batch_stats", "balt")
    jax.tree.map(np.testing.assert_array_equal, stats, {"scbe": after.batch_stats["scbe"]})


def traced(system, phase):
    """The shapes of what the loss of a phase returns."""
    (objective,) = system.phases[phase].cycle
    variables, batch = variables_of(system), faces(system)
    loss = jax.vmap(objective.loss, (None, None, 0, None), axis_name=AXIS)
    key = jax.random.key(0)
    return jax.eval_shape(loss, variables["params"], variables["batch_stats"], batch, key)


@pytest.mark.heavy
def test_statistics_follow_the_switch():
    assert set(traced(small(), 1)[2]) == {"scbe", "balt"}
    assert set(traced(small(scbe_statistics="frozen"), 1)[2]) == {"balt"}


class Known(TAB):
    """Its boundary maps are those that it is told as parameters, not a network's."""

    def estimate(self, variables, images, train=False):
        return (variables["params"], []), {}


@pytest.fixture
def told(monkeypatch):
    """A batch, and boundary maps of two stacks: zeros, and the true ones but for one that is 1/2
    too high. The true ones are made up."""
    truth = np.random.default_rng(0).uniform(size=(2, 8, 8, 16)).astype(np.float32)
    monkeypatch.setattr(targets, "boundary_maps", lambda *_, **__: jnp.array(truth))
    high = truth.copy()
    high[..., 2] += 0.5
    labelled = np.ones((2, SCHEMES["ibug68"].num_points), bool)
    batch = {"image": None, "points": None, "labelled": labelled}
    return batch, [np.zeros_like(truth), high]


def test_boundary_mse_is_of_the_last_stack(told):
    batch, maps = told
    np.testing.assert_allclose(
        Known().boundary_mse({"params": maps}, batch), [0.25 / 16] * 2, rtol=1e-5
    )
    masked = Known(mask_duplicates=True)  # the third map is a lower brow
    np.testing.assert_allclose(masked.boundary_mse({"params": maps}, batch), [0, 0], atol=1e-12)


@pytest.mark.parametrize("intermediate", [True, False])
def test_intermediate_supervision_adds_the_first_stack(told, intermediate):
    batch, maps = told
    values, parts, _ = Known(intermediate=intermediate).scbe_loss(maps, None, batch, None)
    np.testing.assert_allclose(parts["stack2"], [0.25 / 16] * 2, rtol=1e-5)
    assert (parts["stack1"] > 0.1).all()
    expected = parts["stack2"] + (parts["stack1"] if intermediate else 0)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_targets_are_made_as_the_recipe_says(told, monkeypatch):
    batch, maps = told
    asked = []

    def made(points, scheme, stride, size, sigma=1.5, cut=0.0, integer=False):
        asked.append((scheme, stride, size, sigma, cut, integer))
        return maps[1]

    monkeypatch.setattr(targets, "boundary_maps", made)
    Known(boundary_sigma=1.0, boundary_cut=3, integer_labels=True).boundary_mse(
        {"params": maps}, batch
    )
    assert asked == [(SCHEMES["ibug68"], 4, 256, 1.0, 3, True)]


def test_shown_boundaries_are_between_0_and_1(told):
    _, maps = told
    shown = Known().shown({"params": [-maps[1], 3 * maps[1] - 1]}, None)["boundaries"]
    assert shown.shape == (2, 8, 8, 16) and shown.min() == 0 and shown.max() == 1
