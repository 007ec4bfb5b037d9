import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import losses


def test_weighted_mean():
    values, weights = jnp.array([[1.0, 2, 6], [5, 7, 9]]), jnp.array([[1.0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(losses.weighted_mean(values, weights, axis=-1), [1.5, 0])
    assert losses.weighted_mean(values, jnp.array([[1.0, 0, 0], [0, 0, 3]])) == 7


def test_mse_maps_is_the_mean_over_pixels():
    predicted = jnp.zeros((2, 2, 3, 1)).at[1, 0, 2, 0].set(3.0)
    np.testing.assert_allclose(losses.mse_maps(predicted, jnp.zeros_like(predicted)), [[0], [1.5]])


@pytest.mark.parametrize("distance", [0.0, 0.25, 1.999, 2.0, 7.0])
def test_wing_values(distance):
    """width 2, curvature 1/2: 2 ln(1 + 2 d) below 2, d - (2 - 2 ln 5) beyond."""
    expected = 2 * np.log(1 + 2 * distance) if distance < 2 else distance - 2 + 2 * np.log(5)
    predicted = jnp.array([[[3.0 - distance, 1.0]]])
    value = losses.wing(predicted, jnp.array([[[3.0, 1.0]]]), 2.0, 0.5)
    np.testing.assert_allclose(value, [[expected]], rtol=1e-5, atol=1e-6)


def test_wing_is_continuous_and_adds_x_and_y():
    target = jnp.zeros((1, 1, 2))
    below, above = (losses.wing(target + d, target, 2.0, 0.5) for d in (2 - 1e-4, 2 + 1e-4))
    np.testing.assert_allclose(below, above, atol=5e-4)
    np.testing.assert_allclose(below, [[4 * np.log(5)]], atol=1e-3)


def test_wing_pulls_harder_the_nearer_the_target():
    """The slope is width / (curvature + d) = 2 at d = 1/2, and 1 beyond the width."""
    target = jnp.ones((1, 1, 2))
    predicted = target + jnp.array([[[0.5, -3.0]]])
    grad = jax.grad(lambda p: losses.wing(p, target, 2.0, 0.5).sum())(predicted)
    np.testing.assert_allclose(grad, [[[2, -1]]], rtol=1e-6)


def test_cross_entropy_of_equal_distributions_is_the_entropy():
    rng = np.random.default_rng(0)
    target = jnp.array(rng.uniform(0.1, 1, (2, 4, 5, 3)))
    p = target / target.sum((1, 2), keepdims=True)
    entropy = -(p * jnp.log(p)).sum((1, 2))
    value = losses.cross_entropy_maps(jnp.log(target) + 7.0, target)
    np.testing.assert_allclose(value, entropy, rtol=1e-5)
    other = losses.cross_entropy_maps(jnp.array(rng.normal(size=target.shape)), target)
    assert (other > entropy).all()


def test_cross_entropy_hand_value_and_empty_target():
    logits = jnp.log(jnp.array([0.25, 0.75])).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        losses.cross_entropy_maps(logits, jnp.array([3.0, 1.0]).reshape(1, 1, 2, 1)),
        [[-(0.75 * np.log(0.25) + 0.25 * np.log(0.75))]],
        rtol=1e-6,
    )
    assert losses.cross_entropy_maps(logits, jnp.zeros((1, 1, 2, 1))) == 0
