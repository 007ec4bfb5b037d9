import jax.numpy as jnp
import numpy as np

from jaxalign import targets


def test_inside_means_on_a_pixel_of_the_crop():
    points = jnp.array([[[-0.5, 3], [-0.51, 3], [7.5, 7.5], [3, 7.51]]])
    np.testing.assert_array_equal(targets.inside(points, 8), [[True, False, True, False]])


def test_a_point_that_is_no_number_is_not_masked_away():
    points = jnp.array([[[jnp.nan, 3], [jnp.nan, 99]]])
    np.testing.assert_array_equal(targets.inside(points, 8), [[True, False]])


def test_gaussian_peaks_at_the_point():
    """Crop (5.5, 9.5) is map (1, 2) at stride 4: x first, rows are y."""
    maps = targets.gaussian_maps(jnp.array([[[5.5, 9.5]]]), 4, 24, sigma=1.5)
    assert maps.shape == (1, 6, 6, 1)
    assert maps[0, 2, 1, 0] == 1
    np.testing.assert_allclose(maps[0, 2, 2, 0], np.exp(-1 / 4.5), rtol=1e-6)
    np.testing.assert_allclose(maps[0, 5, 0, 0], np.exp(-(9 + 1) / 4.5), rtol=1e-6)


def test_gaussian_keeps_the_sub_pixel_position():
    """Crop (7.5, 9.5) lies half-way between the map pixels 1 and 2 in x."""
    maps = targets.gaussian_maps(jnp.array([[[7.5, 9.5]]]), 4, 24, sigma=1.0)
    np.testing.assert_allclose(maps[0, 2, 1:3, 0], [np.exp(-1 / 8)] * 2, rtol=1e-6)


def test_gaussian_maps_keep_faces_and_points_apart():
    points = jnp.array([[[1.5, 1.5], [13.5, 5.5]], [[9.5, 13.5], [5.5, 1.5]]])
    maps = np.asarray(targets.gaussian_maps(points, 4, 16, sigma=0.8))
    for face in range(2):
        for point in range(2):
            y, x = np.unravel_index(maps[face, :, :, point].argmax(), (4, 4))
            np.testing.assert_array_equal([4 * x + 1.5, 4 * y + 1.5], points[face, point])


def test_cut_zeroes_beyond_its_reach_per_axis():
    maps = targets.gaussian_maps(jnp.array([[[21.5, 21.5]]]), 4, 48, sigma=1.0, cut=3)
    whole = targets.gaussian_maps(jnp.array([[[21.5, 21.5]]]), 4, 48, sigma=1.0)
    np.testing.assert_array_equal(maps[0, 2:9, 2:9], whole[0, 2:9, 2:9])
    assert maps[0, 2, 2, 0] > 0
    assert maps.sum() == maps[0, 2:9, 2:9].sum()


def test_a_point_outside_leaves_its_tail_alone():
    tail = targets.gaussian_maps(jnp.array([[[-2.5, 5.5]]]), 4, 16, sigma=1.0)  # map (-1, 1)
    np.testing.assert_allclose(tail.max(), np.exp(-0.5), rtol=1e-6)
    assert targets.gaussian_maps(jnp.array([[[-400.0, 5.5]]]), 4, 16, sigma=1.0).max() == 0
