"""Attention-driven cropping: its size, where its stages look, and what reaches the global one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign import checkpoints, costs
from jaxalign.commands import train
from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS, batch_norm
from jaxalign.schemes import SCHEMES
from jaxalign.systems import attention_cropping
from jaxalign.systems.attention_cropping import AttentionCropping, extent, moments


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


class Aside(Bright):
    """An eye's map is the picture's light, one map pixel further right; the others are Bright's."""

    @nn.compact
    def __call__(self, images, train):
        maps = Bright(self.points, self.stacks, self.channels, self.dtype)(images, train)
        return [jnp.roll(m, 1, 2) if self.points == 11 else m for m in maps]


class Peaked(Bright):
    """Every map is the light of the picture, or of the maps stacked on it, between 0 and 1."""

    @nn.compact
    def __call__(self, images, train):
        images = images[..., 3:] if images.shape[-1] > 3 else images
        light = nn.avg_pool(images, (4, 4), (4, 4)).mean(-1, keepdims=True)
        low, high = light.min((1, 2), keepdims=True), light.max((1, 2), keepdims=True)
        return [jnp.repeat((light - low) / (high - low), self.points, -1)]


@pytest.mark.heavy
def test_it_has_the_reconstruction_s_size():
    parameters, madds = (int(line.split()[-1]) for line in
                         costs.table(AttentionCropping()).splitlines()[-2:])  # fmt: skip
    assert parameters == 31_191_543
    assert madds == pytest.approx(41.3e9, rel=0.01)


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


def lit(side, place, sigma):
    """(1, side, side, 3) uint8, a Gaussian light; its place and sigma are shares of the side."""
    grid = (np.arange(side) + 0.5) / side
    squared = (grid[None, :] - place[0]) ** 2 + (grid[:, None] - place[1]) ** 2
    return np.uint8(np.round(255 * np.exp(-squared / (2 * sigma**2))))[None, ..., None].repeat(
        3, -1
    )


def looked(system, crop):
    """What both stages find, of networks without weights."""
    variables = {kind: dict.fromkeys(system.networks, {}) for kind in ("params", "batch_stats")}
    return jax.tree.map(np.asarray, jax.jit(system.stages)(variables, crop))


@pytest.mark.heavy
@pytest.mark.parametrize("settings", [{}, {"share_eyes": True}, {"crop": "moments"}])
@pytest.mark.parametrize("side", [64, 256, 1024])
def test_regional_points_are_exact_where_the_global_ones_are_not(settings, side, monkeypatch):
    """A light on a crop of any size: its place is found in what was cut out, and comes back."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Bright)
    system = small(temperature=3.0, least=0.5, **settings)
    place = np.array([0.43, 0.38])
    crop = lit(side, place, 0.1)
    found = looked(system, crop)
    fraction = (found.points[0] + 0.5) / side
    regional = sorted(i for points in system.regions.values() for i in points)
    assert abs(fraction[regional] - place[None]).max() < 0.002
    moved = place + np.array([1, 2]) / 16
    assert abs(fraction[:17] - moved[None]).max() < 0.01
    np.testing.assert_array_equal(found.points[0, :17], found.global_points[0, :17])
    assert abs((found.squares[0, :, :2] + 0.5) / side - moved[None]).max() < 0.01
    np.testing.assert_allclose(found.squares[0, :, 2], side / 2)  # `least`
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_a_shared_network_sees_the_right_eye_mirrored(monkeypatch):
    """What it finds too far right in the left eye lies too far left in the right one."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Aside)
    place = np.array([0.45, 0.4])
    system = small(temperature=3.0, least=0.5, share_eyes=True)
    found = looked(system, lit(128, place, 0.1))
    off = (found.points[0, :, 0] + 0.5) / 128 - place[0]
    step = 0.5 / 16  # a map pixel, of the face; the square is half as wide
    eyes = [off[list(system.regions[eye])] for eye in ("left_eye", "right_eye")]
    np.testing.assert_allclose(eyes[0], step, atol=0.004)
    np.testing.assert_allclose(eyes[1], -step, atol=0.004)


def test_stacked_maps_lie_on_the_picture(monkeypatch):
    """Regional networks that look at the global maps alone find the light all the same."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Peaked)
    place = np.array([0.45, 0.4])
    system = small(least=0.4, stacking=True)
    found = looked(system, lit(128, place, 0.05))
    own = sorted(i for points in system.regions.values() for i in points)
    assert abs((found.points[0, own] + 0.5) / 128 - place[None]).max() < 0.01


def seen():
    """What a global stage might see on a crop of 128 pixels."""
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(20, 100, (1, 68, 2)), jnp.float32)
    maps = jnp.asarray(rng.normal(size=(1, 16, 16, 68)), jnp.float32)
    return attention_cropping.Seen(maps=[maps], points=points, scores=None)


@pytest.mark.parametrize("crop", ["extent", "moments"])
def test_a_square_is_the_region_enlarged(crop):
    system, whole = small(crop=crop, enlarge=1.6, least=0.25), seen()
    (maps,), points, _ = whole
    squares = system._squares(whole, 128, None)
    for square, own in zip(squares[0], system.regions.values(), strict=True):
        own = np.array(own)
        cut = attention_cropping.CROPS[crop]
        (centre,), (side,) = cut(points[:, own], system.temperature * maps[..., own], 8)
        np.testing.assert_allclose(square[:2], centre, rtol=1e-5)
        np.testing.assert_allclose(square[2], 1.6 * side, rtol=1e-5)
        assert square[2] > 0.25 * 128
    close = points.at[:, np.array(system.regions["nose"])].set(64.0)
    if crop == "extent":
        squares = system._squares(whole._replace(points=close), 128, None)
        assert squares[0, list(system.regions).index("nose")].tolist() == [64, 64, 32]


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


@pytest.mark.parametrize("least", [0.25, 1])  # a whole number, too
@pytest.mark.parametrize("crop", ["extent", "moments"])
def test_gradients_of_a_square_compare_no_maximum(crop, least, plain_softmax):
    """With its operands, which XLA may have computed anew, with other rounding."""
    system, whole = small(crop=crop, least=least), seen()

    def squares(points, maps):
        return (system._squares(whole._replace(points=points, maps=[maps]), 128, None) ** 2).sum()

    slopes = jax.make_jaxpr(jax.grad(squares, (0, 1)))(whole.points, whole.maps[-1])
    assert "= eq " not in str(slopes)


def test_the_gradient_of_an_extent_is_its_points():
    points = seen().points

    def plain(points):
        low, high = points.min(1), points.max(1)
        return (low + high) / 2, (high - low).max(-1)

    def summed(function):
        return lambda points: sum(jnp.square(part).sum() for part in function(points))

    wanted, found = (jax.grad(summed(f))(points) for f in (plain, lambda p: extent(p, None, None)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.heavy
def test_moments_have_gradients_even_where_all_light_is_on_one_pixel():
    slope = jax.grad(lambda logits: sum(part.sum() for part in moments(None, logits, 4.0)))
    logits = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    assert (slope(logits) != 0).all()
    logits[:, 4, 4] = 1e4
    assert np.isfinite(slope(logits)).all()


@pytest.fixture(scope="module")
def tiny():
    """settings -> the system with Tiny networks, and its variables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_cropping, "HourglassNetwork", Tiny)

        def made(**settings):
            system = small(**settings)
            return system, jax.jit(system.init)(jax.random.key(0))

        yield made


@pytest.fixture
def batch():
    """Two noisy crops with points somewhere."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (2, 128, 128, 3), np.uint8),
        "points": rng.uniform(10, 118, (2, 68, 2)).astype(np.float32),
        "labelled": np.ones((2, 68), bool),
    }


def on_an_axis(function):
    """Compiled, with the axis that the trainer binds."""
    mapped = jax.vmap(function, (None,) * 3, axis_name=AXIS, axis_size=1)
    compiled = jax.jit(mapped)
    return lambda *arguments: jax.tree.map(lambda x: np.asarray(x[0]), compiled(*arguments))


@pytest.fixture(scope="module")
def losses(tiny):
    """(loss, batch, key) -> the loss of each face and its parts; map_weight is 1/2."""
    system, variables = tiny(map_weight=0.5)

    def both(variables, batch, seed):
        own = variables["params"], variables["batch_stats"], batch, jax.random.key(seed)
        return {name: getattr(system, f"{name}_loss")(*own)[:2] for name in ("global", "joint")}

    run = on_an_axis(both)
    return lambda name, batch, key=0: run(variables, batch, key)[name]


@pytest.mark.heavy
@pytest.mark.parametrize(("settings", "stop"), [({}, False), ({"stacking": True}, True)])
def test_regional_errors_reach_the_global_stage_unless_stopped(tiny, batch, settings, stop):
    system, variables = tiny(stop_gradient=stop, **settings)
    assert variables["params"]["nose"]["Conv_0"]["kernel"].shape[2] == 3 + 9 * system.stacking

    def regional(params, batch, seed):
        statistics, key = variables["batch_stats"], jax.random.key(seed)
        _, parts, _ = system.joint_loss(params, statistics, batch, key)
        return (parts["regional_points"] + parts["regional_maps"]).sum()

    slopes = on_an_axis(jax.grad(regional))(variables["params"], batch, 0)
    sizes = {name: sum(float(abs(x).sum()) for x in jax.tree.leaves(tree))
             for name, tree in slopes.items()}  # fmt: skip
    assert np.isfinite(list(sizes.values())).all()
    assert (sizes.pop("global") == 0) == stop
    assert min(sizes.values()) > 0


@pytest.mark.heavy
def test_the_loss_is_its_parts(losses, batch):
    (alone, first), (joint, parts) = (losses(name, batch) for name in ("global", "joint"))
    assert set(first) == {"global_points", "global_maps"}
    assert set(parts) == set(first) | {"regional_points", "regional_maps"}
    for stage in first:
        np.testing.assert_allclose(parts[stage], first[stage], rtol=1e-5)
    weights = {name: 0.5 if name.endswith("maps") else 1.0 for name in parts}
    np.testing.assert_allclose(joint, sum(weights[n] * parts[n] for n in parts), rtol=1e-5)
    np.testing.assert_allclose(alone, first["global_points"] + first["global_maps"] / 2, rtol=1e-5)


def test_distances_are_in_pixels_of_the_global_stage(tiny, losses, batch):
    system, variables = tiny()

    def look(variables, images, train):
        return system._look(variables, images, train=True)[1].points

    found = on_an_axis(look)(variables, batch["image"], True)
    wanted = np.linalg.norm(found - batch["points"], axis=-1).mean(-1) / 2  # 64 of 128
    np.testing.assert_allclose(losses("global", batch)[1]["global_points"], wanted, rtol=1e-4)


@pytest.mark.heavy
def test_labels_lie_where_the_regional_networks_see_the_points(monkeypatch):
    """Of maps that are Gaussians about the points, on squares that were jittered."""
    monkeypatch.setattr(attention_cropping, "HourglassNetwork", Peaked)
    system, place = small(least=0.4, sigma=2.0), np.array([0.45, 0.4])
    variables = {kind: dict.fromkeys(system.networks, {}) for kind in ("params", "batch_stats")}
    crop = lit(128, place, 2 / 16 * 0.4)  # two map pixels of a square of 0.4

    def errors(variables, points, seed):
        batch = {"image": crop, "points": points, "labelled": np.ones((1, 68), bool)}
        own = variables["params"], variables["batch_stats"], batch
        return system.joint_loss(*own, jax.random.key(seed))[1]

    run, truth = on_an_axis(errors), np.float32(128 * place - 0.5)[None, None].repeat(68, 1)
    there, aside = (run(variables, truth + shift, 1) for shift in (0, 5))
    assert 0 < there["regional_maps"] < 0.1 * aside["regional_maps"]
    assert there["regional_points"] < 0.1 * aside["regional_points"]


def test_points_off_the_crop_do_not_count(losses, batch):
    off = np.isin(np.arange(68), [3, 30, 60])[None, :, None]
    near, far = ({**batch, "points": np.where(off, np.float32(place), batch["points"])}
                 for place in (500, 900))  # fmt: skip
    np.testing.assert_array_equal(losses("joint", near)[0], losses("joint", far)[0])
    assert (losses("joint", near)[0] != losses("joint", batch)[0]).all()


def test_crops_are_jittered_in_training(losses, batch):
    one, other = (losses("joint", batch, key)[1] for key in (0, 1))
    np.testing.assert_array_equal(one["global_points"], other["global_points"])
    assert (one["regional_points"] != other["regional_points"]).all()


@pytest.mark.heavy
def test_cost_and_memory_do_not_grow_but_for_the_pyramid(tiny):
    system, variables = tiny()

    def cost(side):
        crop = jax.ShapeDtypeStruct((1, side, side, 3), jnp.uint8)
        compiled = jax.jit(system.predict).lower(variables, crop).compile()
        madds = costs.multiply_adds(system.predict, variables, crop)
        return sum(madds.values()), compiled.memory_analysis().temp_size_in_bytes

    (madds, small_memory), (same, memory) = cost(512), cost(1024)
    assert madds == same > 0
    assert memory - small_memory < 1.5 * (1024**2 - 512**2)  # a third of the crops' bytes is 1


@pytest.mark.heavy
@pytest.mark.slow
def test_both_phases_train(tiny, data_300w, tmp_path):
    shrunk = ["training.batch=4", "data.holdout=0", "data.val=ibug_300w/test"]
    shrunk += ["system.global_epochs=1", "system.joint_epochs=1", "system.share_eyes=True"]
    arguments = ["--config", "attention_light_ibug_300w", "--workdir", str(tmp_path)]
    shrunk += ["system.size=64", "system.global_size=64", "system.regional_size=64"]
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
        ({"global_stacks": 0}, "global_stacks=0: must be 1 or more"),
        ({"enlarge": 0.0}, "enlarge=0.0: must be above 0"),
        ({"crop_jitter": 1.0}, "crop_jitter=1.0: must be"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        small(**settings)
