"""Anti-aliased down-sampling and coordinate channels, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign.layers.conv import zeros_around
from jaxalign.layers.coordinates import coordinates, with_coordinates
from jaxalign.layers.pooling import (
    average_pool,
    blur_pool,
    down_sampling,
    max_pool,
    overlapping_max_pool,
)


TAPS = {2: [1, 1], 3: [1, 2, 1], 5: [1, 4, 6, 4, 1]}


def reference(x, size):
    """Reflect, correlate with the outer product of the taps, take every second pixel."""
    kernel = np.outer(TAPS[size], TAPS[size]) / np.sum(TAPS[size]) ** 2
    before, after = {2: (0, 1), 3: (1, 1), 5: (2, 2)}[size]
    padded = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), "reflect")
    out = np.zeros((x.shape[0], -(-x.shape[1] // 2), -(-x.shape[2] // 2), x.shape[3]))
    for row, column in np.ndindex(out.shape[1:3]):
        window = padded[:, 2 * row : 2 * row + size, 2 * column : 2 * column + size]
        out[:, row, column] = np.einsum("bijc,ij->bc", window, kernel)
    return out


@pytest.mark.parametrize("size", TAPS)
@pytest.mark.parametrize(("height", "width"), [(6, 8), (7, 5), (2, 1)])
def test_blur_pool(size, height, width):
    x = np.random.default_rng(0).normal(size=(2, height, width, 3))
    found = blur_pool(jnp.asarray(x, jnp.float32), size)
    np.testing.assert_allclose(found, reference(x, size), atol=1e-6)


def test_blur_pool_by_hand():
    """Rows 0 4 8 0: reflected 4 | 0 4 8 0 | 8; [1 2 1]/4 at the first and third: 2 and 5."""
    x = jnp.array([0.0, 4, 8, 0]).reshape(1, 1, 4, 1)
    np.testing.assert_allclose(blur_pool(x, 3)[0, 0, :, 0], [2, 5])


@pytest.mark.parametrize("size", TAPS)
def test_maxima_are_blurred(size):
    x = np.random.default_rng(1).normal(size=(1, 6, 8, 2))
    highest = np.maximum(x[:, :-1], x[:, 1:])
    highest = np.maximum(highest[:, :, :-1], highest[:, :, 1:])
    found = down_sampling("max", size)(jnp.asarray(x, jnp.float32))
    assert found.shape == (1, 3, 4, 2)
    np.testing.assert_allclose(found, reference(highest, size), atol=1e-6)


def test_averages_give_way_to_the_blur():
    x = jnp.asarray(np.random.default_rng(2).normal(size=(1, 4, 4, 2)), jnp.float32)
    np.testing.assert_array_equal(down_sampling("average", 3)(x), blur_pool(x, 3))
    np.testing.assert_allclose(down_sampling("average", 2)(x), average_pool(x), rtol=1e-5)


def test_windows_by_slices():
    """As Flax's own pooling, whose gradient at the maxima is theirs."""
    x = jnp.asarray(np.random.default_rng(3).normal(size=(2, 6, 8, 3)), jnp.float32)
    two = {"window_shape": (2, 2), "strides": (2, 2)}
    np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, **two))
    np.testing.assert_allclose(average_pool(x), nn.avg_pool(x, **two), atol=1e-6)

    def overlapping(x):
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))

    np.testing.assert_array_equal(overlapping_max_pool(x), overlapping(x))
    slopes = [jax.grad(lambda x, pool=pool: (pool(x) ** 3).sum())(x)
              for pool in (overlapping_max_pool, overlapping)]  # fmt: skip
    np.testing.assert_allclose(*slopes, atol=1e-5)


def test_the_first_of_equal_pixels_has_the_gradient():
    """None is lost, and none counts twice."""
    x = jnp.ones((1, 4, 4, 1))
    slopes = jax.grad(lambda x: max_pool(x).sum())(x)[0, ..., 0]
    np.testing.assert_array_equal(slopes, np.kron(np.ones((2, 2)), [[1, 0], [0, 0]]))


def test_zeros_around():
    x = jnp.asarray(np.random.default_rng(4).normal(size=(2, 3, 4)), jnp.bfloat16)
    wanted = jnp.pad(x, ((0, 0), (2, 2), (2, 2)))
    found = zeros_around(x, 2, (1, 2))
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_without_blur_it_is_plain():
    assert down_sampling("max", 0) is max_pool and down_sampling("average", 0) is average_pool


@pytest.mark.heavy
def test_stripes_of_one_pixel_vanish_wherever_they_stand():
    """Plain pooling gives 1 of them, or 0 or 1 by where they stand; their mean is 1/2."""
    stripes = jnp.tile(jnp.array([0.0, 1.0]), 8).reshape(1, 1, 16, 1)
    for size in TAPS:
        for shift in (0, 1):
            found = blur_pool(jnp.roll(stripes, shift, 2), size)
            np.testing.assert_allclose(found, jnp.full_like(found, 0.5), atol=1e-6)


def test_types_are_kept():
    x = jax.ShapeDtypeStruct((1, 8, 8, 2), jnp.bfloat16)
    assert jax.eval_shape(down_sampling("max", 3), x).dtype == jnp.bfloat16
    assert jax.eval_shape(with_coordinates, x).dtype == jnp.bfloat16


def test_coordinates():
    """Five columns, three rows: x by halves, y by ones; the corners are sqrt(2) away."""
    grid = coordinates(3, 5)
    np.testing.assert_allclose(grid[0, :, 0], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(grid[:, 3, 1], [-1, 0, 1])
    assert grid[1, 2, 2] == 0 and grid[0, 0, 2] == grid[2, 4, 2] == 1
    np.testing.assert_allclose(grid[1, 3, 2], 0.5 / np.sqrt(2))


def test_coordinates_stand_behind_the_features_of_every_face():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5, 4)), jnp.float32)
    found = with_coordinates(x)
    np.testing.assert_array_equal(found[..., :4], x)
    for face in found[..., 4:]:
        np.testing.assert_allclose(face, coordinates(3, 5), rtol=1e-6)


def test_coordinates_of_the_boundary():
    boundary = jnp.zeros((1, 3, 5, 1)).at[0, 0, 1].set(0.06).at[0, 2, 4].set(0.05)
    boundary = boundary.at[0, 1, 3].set(-0.4)
    found = with_coordinates(jnp.zeros((1, 3, 5, 2)), boundary)[0, ..., 5:]
    assert found.shape == (3, 5, 2)
    np.testing.assert_allclose(found[0, 1], [-0.5, -1])
    assert np.count_nonzero(found) == 2
