"""Attention-driven cropping: its size, where its stages look, and what reaches the global one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign import costs
from jaxalign.commands import train
from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS, batch_norm
from jaxalign.schemes import SCHEMES
from jaxalign.systems import attention_cropping
from jaxalign.systems.attention_cropping import AttentionCropping, extent, moments
from jaxalign.training import checkpoints


small = partial(AttentionCropping, size=128, global_size=64, regional_size=64, channels=8)


class Tiny(nn.Module):
    """In an hourglass's place: compiles in no time."""

    points: int
    stacks: int
    channels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images, train):
        x = nn.Conv(8, (8, 8), strides=4, padding=2, dtype=self.dtype)(images)
        x = nn.tanh(batch_norm(train, "bn", dtype=self.dtype)(x))
        return [nn.Dense(self.points, dtype=self.dtype, name=f"{i}")(x) for i in range(self.stacks)]


class Bright(Tiny):
    """Every map is the picture's light; but the global ones lie one map pixel further right and two
    further down."""

    @nn.compact
    def __call__(self, images, train):
        light = nn.avg_pool(images[..., :3], (4, 4), (4, 4)).mean(-1, keepdims=True)
        light = jnp.roll(light, (2, 1), (1, 2)) if self.points == 68 else light
        return [jnp.repeat(light, self.points, -1)]


def test_it_has_the_reconstruction_s_size():
    parameters, madds = (int(line.split()[-1]) for line in
                         costs.table(AttentionCropping()).splitlines()[-2:])  # fmt: skip
    assert parameters == 31_191_543
    assert madds == pytest.approx(41.3e9, rel=0.01)


def test_98_points_and_eyes_that_share_a_network():
    system = AttentionCropping(scheme="wflw98", share_eyes=True)
    variables = jax.eval_shape(system.init, jax.random.key(0))
    # a FAN of one stack and K maps has 6,232,192 + 257 K
    assert costs.count(variables["params"]) == 4 * 6_232_192 + 257 * (98 + 18 + 9 + 20)
    assert set(variables["params"]) == set(system.predictors) == set(system.networks)


def test_regions_are_those_of_the_reconstruction():
    found = [small(scheme=name).regions for name in ("ibug68", "wflw98")]
    assert [{name: set(points) for name, points in regions.items()} for regions in found] == [
        {
            "left_eye": {*range(36, 42), *range(17, 22)},
            "right_eye": {*range(42, 48), *range(22, 27)},
            "nose": {*range(27, 36)},
            "mouth": {*range(48, 68)},
        },
        {
            "left_eye": {*range(60, 68), *range(33, 42), 96},
            "right_eye": {*range(68, 76), *range(42, 51), 97},
            "nose": {*range(51, 60)},
            "mouth": {*range(76, 96)},
        },
    ]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_regions_and_contour_are_the_face_and_one_eye_mirrors_the_other(scheme):
    parts = scheme.parts
    everything = [*scheme.regions["contour"], *(i for points in parts.values() for i in points)]
    assert sorted(everything) == list(range(scheme.num_points))
    assert [scheme.flip[i] for i in parts["left_eye"]] == list(parts["right_eye"])
    for middle in ("nose", "mouth"):
        assert {scheme.flip[i] for i in parts[middle]} == set(parts[middle])


@pytest.mark.parametrize("settings", [{}, {"share_eyes": True}, {"crop": "moments"}])
@pytest.mark.parametrize("side", [64, 256, 1024])
def test_regional_points_are_exact_where_the_global_ones_are_not(settings, side, monkeypatch):
    """A light on a crop of any size: its place is found in what was cut out, and comes back."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Bright)
    system = small(temperature=3.0, least=0.5, **settings)
    place = np.array([0.43, 0.38])
    grid = (np.arange(side) + 0.5) / side
    light = np.exp(-((grid[None, :] - place[0]) ** 2 + (grid[:, None] - place[1]) ** 2) / 0.02)
    crop = np.uint8(255 * light)[None, ..., None].repeat(3, -1)
    variables = {kind: dict.fromkeys(system.networks, {}) for kind in ("params", "batch_stats")}
    found = jax.tree.map(np.asarray, jax.jit(system.stages)(variables, crop))
    fraction = (found.points[0] + 0.5) / side
    regional = sorted(i for points in system.regions.values() for i in points)
    assert abs(fraction[regional] - place[None]).max() < 0.002
    moved = place + np.array([1, 2]) / 16
    assert abs(fraction[:17] - moved[None]).max() < 0.01
    np.testing.assert_array_equal(found.points[0, :17], found.global_points[0, :17])
    assert abs((found.squares[0, :, :2] + 0.5) / side - moved[None]).max() < 0.01
    np.testing.assert_allclose(found.squares[0, :, 2], side / 2)  # `least`
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_what_a_crop_is_made_of():
    points = jnp.array([[[10.0, 20], [40, 24], [30, 8]]])
    centre, side = extent(points, None, None)
    np.testing.assert_array_equal(centre, [[25, 16]])
    np.testing.assert_array_equal(side, [30])
    bar = np.full((1, 16, 16, 2), -50.0, np.float32)
    bar[:, 5, 2:14, 0] = bar[:, 6, 2:14, 1] = 0.0
    centre, side = moments(None, jnp.asarray(bar), 4.0)
    np.testing.assert_allclose(centre, [[31.5, 23.5]], rtol=1e-5)  # maps 7.5 and 5.5
    np.testing.assert_allclose(side, 1.1547 * 4 * np.sqrt(12**2 - 1), rtol=1e-4)


@pytest.fixture
def tiny(monkeypatch):
    """settings -> the system with Tiny networks, its variables and a batch of two faces."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Tiny)
    rng = np.random.default_rng(0)

    def made(**settings):
        system = small(**settings)
        batch = {
            "image": rng.integers(0, 256, (2, 128, 128, 3), np.uint8),
            "points": rng.uniform(10, 118, (2, 68, 2)).astype(np.float32),
        }
        return system, jax.jit(system.init)(jax.random.key(0)), batch

    return made


def parts_of(system, loss, variables, batch, key=0):
    """The loss and its parts, as the trainer calls it."""

    @partial(jax.vmap, axis_name=AXIS)
    def run(_):
        own = jax.tree.map(jnp.asarray, batch), jax.random.key(key)
        return getattr(system, loss)(variables["params"], variables["batch_stats"], *own)

    values, parts, _ = jax.jit(run)(jnp.zeros(1))
    return np.asarray(values[0]), {name: np.asarray(part[0]) for name, part in parts.items()}


@pytest.mark.parametrize(
    ("settings", "stop"),
    [
        ({}, False),
        ({}, True),
        ({"crop": "moments"}, False),
        ({"stacking": True}, False),
        ({"stacking": True}, True),
    ],
)
def test_regional_errors_reach_the_global_stage_unless_they_are_stopped(tiny, settings, stop):
    system, variables, batch = tiny(stop_gradient=stop, **settings)

    @partial(jax.vmap, axis_name=AXIS)
    def slope(_):
        def regional(params):
            arguments = jax.tree.map(jnp.asarray, batch), jax.random.key(0)
            _, parts, _ = system.joint_loss(params, variables["batch_stats"], *arguments)
            return (parts["regional_points"] + parts["regional_maps"]).sum()

        return jax.grad(regional)(variables["params"])

    slopes = jax.jit(slope)(jnp.zeros(1))
    sizes = {name: sum(float(abs(x).sum()) for x in jax.tree.leaves(tree))
             for name, tree in slopes.items()}  # fmt: skip
    assert all(np.isfinite(size) for size in sizes.values())
    assert (sizes.pop("global") == 0) == stop
    assert min(sizes.values()) > 0


def test_the_loss_is_its_parts(tiny):
    system, variables, batch = tiny(map_weight=0.5)
    alone, first = parts_of(system, "global_loss", variables, batch)
    joint, parts = parts_of(system, "joint_loss", variables, batch)
    assert set(first) == {"global_points", "global_maps"}
    assert set(parts) == set(first) | {"regional_points", "regional_maps"}
    for stage in ("global_points", "global_maps"):
        np.testing.assert_allclose(parts[stage], first[stage], rtol=1e-5)
    weights = {name: 0.5 if name.endswith("maps") else 1.0 for name in parts}
    np.testing.assert_allclose(joint, sum(weights[n] * parts[n] for n in parts), rtol=1e-5)
    np.testing.assert_allclose(alone, first["global_points"] + first["global_maps"] / 2, rtol=1e-5)


def test_distances_are_in_pixels_of_the_global_stage(tiny):
    system, variables, batch = tiny()
    _, parts = parts_of(system, "global_loss", variables, batch)

    @partial(jax.vmap, axis_name=AXIS)
    def look(_):
        return system._look(variables, batch["image"], train=True)[1].points

    shift = np.asarray(jax.jit(look)(jnp.zeros(1))[0]) - batch["points"]
    wanted = np.linalg.norm(shift, axis=-1).mean(-1) / 2  # 64 of 128
    np.testing.assert_allclose(parts["global_points"], wanted, rtol=1e-4)


def test_points_off_the_crop_do_not_count(tiny):
    system, variables, batch = tiny()
    batch["points"][:, [3, 30, 60]] = 500.0
    far = {**batch, "points": np.where(batch["points"] == 500, 900, batch["points"])}
    near, _ = parts_of(system, "joint_loss", variables, batch)
    np.testing.assert_array_equal(parts_of(system, "joint_loss", variables, far)[0], near)


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_crops_are_jittered_in_training(tiny, jitter):
    system, variables, batch = tiny(crop_jitter=jitter)
    (_, one), (_, other) = (parts_of(system, "joint_loss", variables, batch, key) for key in (0, 1))
    np.testing.assert_array_equal(one["global_points"], other["global_points"])
    assert (one["regional_points"] != other["regional_points"]).all() == bool(jitter)


def test_memory_grows_by_the_pyramid_alone(tiny):
    system, variables, _ = tiny()

    def temporary(side):
        crop = jax.ShapeDtypeStruct((1, side, side, 3), jnp.uint8)
        compiled = jax.jit(system.predict).lower(variables, crop).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(512) - temporary(64) < 1.05 * 512**2  # a third of the crop's bytes


def test_both_phases_train(tiny, data_300w, tmp_path):
    tiny()
    shrunk = ["training.batch=4", "data.holdout=0", "data.val=ibug_300w/test"]
    shrunk += ["system.global_epochs=1", "system.joint_epochs=1", "system.share_eyes=True"]
    arguments = ["--config", "attention_light_ibug_300w", "--workdir", str(tmp_path)]
    shrunk += ["system.stacking=True", "system.size=64"]
    arguments += ["--data-dir", str(data_300w), "--set", *shrunk]
    assert train.main(arguments) == 0
    recipe, variables, _ = checkpoints.load(tmp_path)
    assert set(variables["params"]) == {"global", "eye", "nose", "mouth"}
    assert recipe.system.sizes == (64, 128, 256, 512, 1024)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 300}, "size=300: must be one of 64, 128, 256, 512, 1024"),
        ({"global_size": 100}, "global_size=100: must be a positive multiple of 64"),
        ({"regional_size": 0}, "regional_size=0: must be"),
        ({"channels": 9}, "channels=9: must be"),
        ({"crop": "face"}, "crop='face': one of extent, moments"),
        ({"global_stacks": 0}, "global_stacks=0: must be at least 1"),
        ({"enlarge": 0.0}, "enlarge=0.0: must be above 0"),
        ({"crop_jitter": 1.0}, "crop_jitter=1.0: must be"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        small(**settings)
