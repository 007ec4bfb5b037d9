"""PIPNet: its count, what a cell says, neighbours of the mean face, and a few steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign import costs
from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS
from jaxalign.systems.pipnet import Cells, PIPNet, nearest
from tests.helpers.small import filled


QUICKLY = {"xla_backend_optimization_level": 0}  # to compile


def test_its_size_is_that_of_the_released_network():
    """torchvision's resnet18 without classifier, and 1x1 convolutions from its 512 channels: 68
    heights, x and y, and x and y of 10 neighbours each."""
    heads = 512 + 1, 68 * (1 + 2 + 20)
    variables = PIPNet().shapes()
    assert costs.count(variables["params"]) == 11_176_512 + heads[0] * heads[1] == 11_978_844


def test_the_nearest_of_the_others_nearest_first():
    shape = jnp.array([[0.0, 0.0], [0.3, 0.0], [0.0, 0.1], [1.0, 1.0]])
    assert nearest(shape, 2).tolist() == [[2, 1], [0, 2], [0, 1], [1, 2]]


def test_places_are_computed_in_float32():
    """Under bfloat16 too, which would round a place in pixels above 128 to whole ones."""
    system = PIPNet(size=32, backbone="light_w32", neighbours=4, dtype="bfloat16")
    cells, _ = jax.jit(partial(system.network.init_with_output, train=False))(
        jax.random.key(0), jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    )
    for said in cells[:3]:
        assert (said != said.astype(jnp.bfloat16)).any()


def true_cells(system, points, shape):
    """What a perfect network says of points (B, K, 2) in crop pixels, by loops; nonsense where
    nothing is asked."""
    side, rng = system.size // system.stride, np.random.default_rng(0)
    faces, count = points.shape[:2]
    whose = np.asarray(nearest(shape, system.neighbours))
    heights = np.zeros((faces, side, side, count), np.float32)
    places = rng.normal(0, 9, (*heights.shape, 2)).astype(np.float32)
    around = rng.normal(0, 9, (*heights.shape, system.neighbours, 2)).astype(np.float32)
    for face in range(faces):
        own = (points[face] + 0.5) / system.stride
        for k in range(count):
            x, y = np.clip(np.floor(own[k]).astype(int), 0, side - 1)
            heights[face, y, x, k] = 1
            places[face, y, x, k] = own[k] - (x, y)
            around[face, y, x, k] = own[whose[k]] - (x, y)
    return Cells(*map(jnp.asarray, (heights, places, around, shape)))


def batch_of(points):
    return {"points": jnp.asarray(points), "labelled": jnp.ones(points.shape[:2], bool)}


@pytest.fixture(params=[16, 32])
def known(request):
    system = PIPNet(scheme="cofw29", size=128, stride=request.param, neighbours=4)
    rng = np.random.default_rng(1)
    points = rng.uniform(-20, 150, (3, 29, 2)).astype(np.float32)  # some outside the crop
    return system, points, jnp.asarray(rng.uniform(0, 1, (29, 2)), jnp.float32)


def test_perfect_cells_have_no_error_and_decode_to_the_points(known):
    system, points, shape = known
    cells = true_cells(*known)
    found, score = system.decode(cells)
    np.testing.assert_allclose(found, points, atol=1e-3)
    assert (score == 1).all()
    values, parts = system.errors(cells, batch_of(points))
    assert set(parts) == {"cells", "places", "neighbours"}
    np.testing.assert_allclose(values, 0, atol=1e-5)


def test_a_point_is_the_mean_of_its_own_cell_and_of_those_it_neighbours(known):
    system, points, shape = known
    cells = true_cells(*known)
    moved = cells._replace(places=np.asarray(cells.places) + (1, 0))  # by one cell to the right
    found, _ = system.decode(moved)
    votes = 1 + (np.asarray(nearest(shape, 4))[..., None] == np.arange(29)).sum((0, 1))
    right = np.broadcast_to(system.stride / votes, (3, 29))
    np.testing.assert_allclose(found[..., 0] - points[..., 0], right, atol=1e-3)
    np.testing.assert_allclose(found[..., 1], points[..., 1], atol=1e-3)


def test_errors_by_hand(known):
    system, points, shape = known
    cells, batch = true_cells(*known), batch_of(points)
    side = system.size // system.stride
    _, parts = system.errors(cells._replace(heights=cells.heights * 0), batch)
    np.testing.assert_allclose(parts["cells"], 1 / side**2, rtol=1e-5)  # one cell of each point
    _, parts = system.errors(cells._replace(places=np.asarray(cells.places) + (0.5, 0.25)), batch)
    np.testing.assert_allclose(parts["places"], 0.75, rtol=1e-4)
    values, parts = system.errors(cells._replace(neighbours=cells.neighbours - 2.0), batch)
    np.testing.assert_allclose(parts["neighbours"], 4.0, rtol=1e-4)
    np.testing.assert_allclose(values, 10 * parts["cells"] + parts["places"] + 4.0, rtol=1e-4)


def test_a_point_that_is_no_number_makes_the_loss_so(known):
    system, points, shape = known
    cells, broken = true_cells(*known), points.copy()
    broken[1, 3] = np.nan
    values, _ = system.errors(cells, batch_of(broken))
    assert np.isfinite(values).tolist() == [True, False, True]


def test_a_few_steps_lower_every_part():
    system = PIPNet(scheme="cofw29", size=64, stride=16, neighbours=3, backbone="light_w32")
    variables = filled(system.shapes())
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (2, 64, 64, 3), np.uint8),
        "points": rng.uniform(4, 60, (2, 29, 2)).astype(np.float32),
        "labelled": np.ones((2, 29), bool),
    }
    optimizer = optax.adam(3e-3)

    @partial(jax.jit, compiler_options=QUICKLY)
    def step(params, stats, state):
        def loss(params):
            call = jax.vmap(system.loss, (None, None, 0, None), axis_name=AXIS)
            one = jax.tree.map(lambda a: a[None], batch)
            values, parts, changed = call(params, stats, one, jax.random.key(0))
            return values.mean(), (parts, jax.tree.map(lambda a: a[0], changed))

        (_, (parts, changed)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(grads, state)
        parts = {name: part.mean() for name, part in parts.items()}
        return optax.apply_updates(params, updates), changed, state, parts

    params, stats = variables["params"], variables["batch_stats"]
    state, seen = optimizer.init(params), []
    for _ in range(40):
        params, stats, state, parts = step(params, stats, state)
        seen.append({name: float(part) for name, part in parts.items()})
    for name in seen[0]:
        assert seen[-1][name] < 0.7 * seen[0][name], name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 8}, "system.stride=8: one of 16, 32"),
        ({"neighbours": 0}, "system.neighbours=0: must be 1 or more, and fewer than"),
        ({"neighbours": 68}, "system.neighbours=68: must be 1 or more, and fewer than"),
        ({"backbone": "vgg16_bn"}, "system.backbone='vgg16_bn': one of resnet18"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PIPNet(**settings)
