"""Similarity transforms and warps on the device, against numpy and geometry."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.layers import warping


RNG = np.random.default_rng(0)
SHAPE = RNG.uniform(0, 60, (9, 2)).astype(np.float32)
TURNED = np.stack(
    [
        geometry.crop_matrix(np.array([20, 30]), 40, 64, 25),
        geometry.crop_matrix(np.array([9, 8]), 20, 9),
    ]
)


def test_a_similarity_is_found_again():
    sources = geometry.transform(geometry.invert(TURNED), np.broadcast_to(SHAPE, (2, 9, 2)))
    found = warping.similarity(jnp.asarray(sources, jnp.float32), jnp.asarray(SHAPE))
    np.testing.assert_allclose(found, TURNED, rtol=1e-3, atol=1e-3)


def test_of_all_similarities_it_is_the_nearest():
    source = RNG.uniform(0, 60, (1, 9, 2)).astype(np.float32)
    best = np.array(warping.similarity(jnp.asarray(source), jnp.asarray(SHAPE)))

    def far(matrix):
        return np.square(geometry.transform(matrix, source) - SHAPE).sum()

    for nudge in np.eye(4) * 1e-2:
        a, b, x, y = nudge
        for sign in (-1, 1):
            other = best + sign * np.array([[[a, -b, x], [b, a, y]]])
            assert far(other) > far(best)


def test_there_and_back():
    matrices, points = jnp.asarray(TURNED, jnp.float32), jnp.asarray(RNG.normal(size=(2, 9, 2)))
    there = warping.transform(matrices, points)
    np.testing.assert_allclose(there, geometry.transform(TURNED, np.array(points)), rtol=1e-4)
    back = warping.transform(warping.invert(matrices), there)
    np.testing.assert_allclose(back, points, atol=1e-4)


def test_a_shape_of_no_extent_gives_finite_numbers():
    matrix = warping.similarity(jnp.zeros((1, 9, 2)), jnp.asarray(SHAPE))
    assert np.isfinite(matrix).all() and np.isfinite(warping.invert(matrix)).all()


@pytest.mark.heavy
def test_a_warp_moves_pixels_and_mixes_neighbours():
    maps = jnp.arange(24.0).reshape(1, 4, 3, 2)
    shift = jnp.array([[[1.0, 0, 0.5], [0, 1, -1]]])  # reads half a pixel right, one above
    found = warping.warp(maps, shift)
    expected = np.zeros((4, 3, 2))
    source = np.array(maps[0])
    expected[1:, :2] = (source[:3, :2] + source[:3, 1:]) / 2
    expected[1:, 2] = source[:3, 2] / 2  # the other half lies outside
    np.testing.assert_allclose(found[0], expected)
