"""Corrections of points by the shape that they make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.layers.relations import Relations


FACES, POINTS = 3, 5
LAYER = Relations(hidden=8)


@pytest.fixture
def given():
    """Points, features and modes, and variables that correct."""
    random = np.random.default_rng(0)
    mean = random.normal(size=(POINTS, 2))
    mean -= mean.mean(0)
    mean /= np.sqrt(np.square(mean).sum(1).mean())
    modes = np.stack([mean, *0.1 * random.normal(size=(4, POINTS, 2))])
    points = 10 * mean + random.normal(size=(FACES, POINTS, 2)) + 20
    given = tuple(jnp.asarray(a, jnp.float32) for a in (points, np.ones((FACES, 6)), modes))
    variables = LAYER.init(jax.random.key(0), *given, train=False)
    return given, jax.tree.map(lambda a: a + 0.1 * random.normal(size=a.shape), variables)


def test_it_starts_without_a_correction(given):
    given, _ = given
    variables = LAYER.init(jax.random.key(0), *given, train=False)
    np.testing.assert_array_equal(LAYER.apply(variables, *given, train=False), given[0])


def test_a_moved_face_is_corrected_as_before(given):
    """Turned by 30 degrees, half as large, elsewhere."""
    (points, features, modes), variables = given
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    shift = np.array([[[3.0, -7.0]]])
    turn = 0.5 * np.array([[cos, sin], [-sin, cos]])
    corrected = LAYER.apply(variables, points, features, modes, train=False)
    assert abs(corrected - points).max() > 0.1
    moved = LAYER.apply(variables, points @ turn + shift, features, modes, train=False)
    np.testing.assert_allclose(moved, corrected @ turn + shift, atol=2e-3)


def test_points_of_one_place_stay_finite(given):
    (points, features, modes), variables = given
    found = LAYER.apply(variables, jnp.full_like(points, 7.0), features, modes, train=False)
    np.testing.assert_allclose(found, 7.0, atol=1e-2)


def test_every_point_learns_for_itself(given):
    (points, features, modes), variables = given

    def total(points):
        return LAYER.apply(variables, points, features, modes, train=False).sum()

    np.testing.assert_array_equal(jax.grad(total)(points), 1)
