import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import decoding, geometry, targets


STRIDE, SIZE = 4, 128


def planted(height, width, values):
    """One map with {(x, y): value}, zero elsewhere."""
    maps = np.zeros((1, height, width, 1), np.float32)
    for (x, y), value in values.items():
        maps[0, y, x, 0] = value
    return jnp.array(maps)


def test_argmax_of_a_planted_peak():
    maps = planted(6, 9, {(7, 2): 0.75})
    for quarter in (True, False):  # equal neighbours: no shift
        points, score = decoding.argmax(maps, quarter)
        np.testing.assert_array_equal(points, [[[7, 2]]])
        np.testing.assert_array_equal(score, [[0.75]])


def test_quarter_shift_goes_to_the_higher_neighbour_of_each_axis():
    maps = planted(6, 9, {(4, 2): 1, (5, 2): 0.2, (3, 2): 0.1, (4, 1): 0.6, (4, 3): 0.5})
    np.testing.assert_array_equal(decoding.argmax(maps)[0], [[[4.25, 1.75]]])
    np.testing.assert_array_equal(decoding.argmax(maps, quarter=False)[0], [[[4, 2]]])


@pytest.mark.parametrize("peak", [(0, 3), (8, 3), (4, 0), (4, 5), (8, 5)])
def test_no_quarter_shift_on_the_border(peak):
    x, y = peak
    neighbours = {(min(x + 1, 7), max(y - 1, 1)): 0.5, (max(x - 1, 1), y): 0.4}
    points, _ = decoding.argmax(planted(6, 9, neighbours | {peak: 1}))
    np.testing.assert_array_equal(points, [[peak]])


def test_argmax_takes_the_first_of_equal_peaks_and_clips_the_score():
    points, score = decoding.argmax(planted(6, 9, {(6, 4): 3, (6, 1): 3, (2, 4): 3}))
    np.testing.assert_array_equal(points, [[[6, 1]]])
    assert score == 1
    points, score = decoding.argmax(planted(6, 9, {(0, 0): -1}) - 0.5)
    np.testing.assert_array_equal(points, [[[1, 0]]])
    assert score == 0


def test_soft_argmax_of_two_pixels():
    """A quarter of the mass at (1, 2), three quarters at (5, 2): the mean is (4, 2)."""
    logits = jnp.full((1, 6, 9, 1), -1e9).at[0, 2, 1, 0].set(0).at[0, 2, 5, 0].set(np.log(3))
    points, score = decoding.soft_argmax(logits)
    np.testing.assert_allclose(points, [[[4, 2]]], rtol=1e-6)
    np.testing.assert_allclose(score, [[0.75]], rtol=1e-6)  # x = 5 is within one pixel, 1 is not


def test_soft_argmax_of_a_flat_map_is_its_centre():
    points, score = decoding.soft_argmax(jnp.zeros((1, 5, 9, 2)))
    np.testing.assert_allclose(points, [[[4, 2]] * 2], rtol=1e-6)
    np.testing.assert_allclose(score, [[9 / 45] * 2], rtol=1e-6)


def test_soft_argmax_computes_in_float32():
    """bfloat16 probabilities would move a sharp peak at x = 30 by up to 0.1 pixel."""
    logits = targets.gaussian_maps(jnp.array([[[121.5, 61.5]]]), STRIDE, SIZE, 1.0)
    points, _ = decoding.soft_argmax((30 * logits).astype(jnp.bfloat16))
    assert points.dtype == jnp.float32
    np.testing.assert_allclose(points, [[[30, 15]]], atol=0.01)


def test_local_soft_argmax_is_the_centre_of_mass_near_the_peak():
    values = {(4, 2): 2, (5, 2): 1, (4, 3): 1, (4, 1): -9, (8, 5): 1.9}
    points, score = decoding.local_soft_argmax(planted(6, 12, values), radius=2)
    np.testing.assert_allclose(points, [[[4.25, 2.25]]])
    assert score == 1
    nothing, score = decoding.local_soft_argmax(jnp.zeros((1, 6, 9, 1)))
    np.testing.assert_array_equal(nothing, [[[0, 0]]])
    assert score == 0


def log_gaussian(points, sigma):
    return jnp.log(targets.gaussian_maps(points, STRIDE, SIZE, sigma) + 1e-30)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("decode", "encode", "error"),
    [
        (lambda maps: decoding.argmax(maps, quarter=False), targets.gaussian_maps, 0.5),
        (decoding.argmax, targets.gaussian_maps, 0.25),
        (decoding.local_soft_argmax, targets.gaussian_maps, 0.02),
        (decoding.soft_argmax, log_gaussian, 0.01),
    ],
    ids=["argmax", "quarter", "local_soft", "soft"],
)
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_encode_then_decode(decode, encode, error, sigma):
    """Random sub-pixel points come back within `error` map pixels on each axis, and no bias."""
    points = jnp.array(np.random.default_rng(0).uniform(24, SIZE - 25, (2, 200, 2)), jnp.float32)
    if encode is log_gaussian:
        maps = log_gaussian(points, sigma)
    else:
        maps = encode(points, STRIDE, SIZE, sigma)
    found, score = decode(maps)
    off = np.asarray(found - geometry.to_map(points, STRIDE))
    assert abs(off).max() <= error + 1e-4
    assert abs(off.mean((0, 1))).max() < 0.05 * max(error, 0.1)
    assert found.shape == (2, 200, 2) and score.shape == (2, 200)


def test_the_peak_of_a_vector_may_be_rounded_otherwise():
    """XLA may compute a value once for the maximum and once more to compare it."""
    vector = np.ones((1, 9, 1), np.float32)
    vector[0, [3, 6], 0] = 4, np.nextafter(np.float32(4), 5)
    points, score = decoding.vectors(jnp.asarray(vector), jnp.asarray(-vector), peak=4)
    np.testing.assert_array_equal(points, [[[3, 4]]])  # without a value above 0: the middle
    assert score == 0


def test_likely_shapes_lose_what_no_training_face_shows():
    rng = np.random.default_rng(0)
    mean, way = rng.normal(size=(2, 30, 2))
    mean -= mean.mean(0)
    mean /= np.sqrt((mean**2).sum(1).mean())
    way -= way.mean(0)
    modes = np.stack([mean, 0.3 * way / np.linalg.norm(way)])
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    truth = 40 * (mean + 0.4 * modes[1]) @ turn + (7, -3)
    found = truth + rng.normal(size=truth.shape)
    likely = np.asarray(decoding.likely(jnp.asarray(found[None]), modes, 0.02))[0]
    error, before = (np.linalg.norm(points - truth, axis=1).mean() for points in (likely, found))
    assert error < 0.45 * before
    moved = np.asarray(decoding.likely(jnp.asarray(3 * found[None] @ turn + (5, 6)), modes, 0.02))
    np.testing.assert_allclose(moved[0], 3 * likely @ turn + (5, 6), atol=2e-3)


def test_shapes_are_turned_in_full_precision():
    """Products of matrices are rounded to 8 or 10 bits on accelerators, unless told otherwise."""
    shapes = jnp.zeros((2, 30, 2)), jnp.zeros((30, 2))
    assert "dot_general" not in str(jax.make_jaxpr(decoding.onto)(*shapes))
