"""Crops out of a pyramid: where they lie, what reduction does, and their gradients."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.layers.cropping import from_square, pyramid, sample_squares, to_square
from jaxalign.pipeline import warp


@partial(jax.jit, static_argnums=2)
def cut(pictures, squares, size):
    return sample_squares(pyramid(pictures, 64), squares, size)


def sampled(picture, centre, side, size):
    """A square of one uint8 picture (S, S, 3), as systems sample it."""
    square = np.array([[[*centre, side]]], np.float32)
    return np.asarray(cut(picture[None], square, size)[0, 0])


def smooth(side, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    return np.uint8(np.clip(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255))


def test_levels_are_rounded_means():
    picture = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    levels = pyramid(picture, 16)
    assert [level.shape for level in levels] == [(2, n, n, 3) for n in (64, 32, 16)]
    assert {level.dtype for level in levels} == {np.dtype("uint8")}
    means = picture.reshape(2, 32, 2, 32, 2, 3).mean((2, 4))
    np.testing.assert_array_equal(levels[1], np.round(means))  # numpy: halves to even, too
    assert abs(float(levels[2].mean()) - picture.mean()) < 0.1


@pytest.mark.parametrize("side", [40.0, 23.7, 64.0])
def test_a_crop_that_is_not_reduced_is_the_pipeline_s(side):
    """Same frames and the same zeros outside as cv2.warpAffine with geometry's matrix."""
    picture, centre = smooth(128), (100.3, 31.8)
    found = sampled(picture, centre, side, 64)
    wanted = warp(picture, geometry.crop_matrix(np.array(centre), side, 64), 64)
    # OpenCV looks at 1/32 of a pixel, which a border's edge makes 8 grey levels
    assert abs(found - wanted).max() < 9 and abs(found - wanted).mean() < 0.3
    assert side < 60 or (found[:, -1] == 0).all()


@pytest.mark.heavy
@pytest.mark.parametrize("level", [0, 1, 2])
def test_reduction_by_a_power_of_two_is_that_level(level):
    """Aligned to it, a sample is the mean of 2^level x 2^level pixels and of no others."""
    picture, side = smooth(512), 64 * 2**level
    found = sampled(picture, (64 + (side - 1) / 2,) * 2, side, 64)
    first = 64 // 2**level  # pixel of the square, on the level's grid
    wanted = np.asarray(pyramid(picture[None], 64)[level])[0, first:, first:][:64, :64]
    np.testing.assert_allclose(found, wanted, atol=1e-2)


@pytest.mark.heavy
@pytest.mark.parametrize("side", [256, 512, 1024, 2048, 4096])
def test_corners_of_a_checkerboard_stay_in_place(side):
    """To 0.05 px of the sample at every resolution, enlarged or reduced.

    The board's edges are as soft as a lens makes them, 1.5 px of the sample: OpenCV's finder of
    corners, here the measure, is 0.1 px wrong on hard ones.
    """
    centre = np.array([[0.512, 0.4871]], np.float32) * side
    for share, cell in ((0.29, side // 32), (0.8, side // 16)):
        wave = np.float32(np.arange(side) // cell % 2 * 2 - 1)[None]
        wave = cv2.GaussianBlur(wave, (0, 0), 1.5 * max(share * side / 256, 0.5))
        board = np.uint8(np.round(128 + 110 * wave.T * wave))[..., None].repeat(3, -1)
        found = sampled(board, centre[0], share * side, 256)[..., 0]
        corners = np.arange(2, side // cell - 1) * cell - 0.5
        corners = np.stack(np.meshgrid(corners, corners), -1).reshape(1, -1, 2)
        (placed,) = to_square(corners, np.append(centre, [[share * side]], 1), 256)
        placed = np.float32(placed[((placed > 12) & (placed < 243)).all(-1)])
        assert len(placed) > 50
        until = cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-4
        measured = cv2.cornerSubPix(found, placed[:, None] + 0.3, (5, 5), (-1, -1), until)
        assert np.linalg.norm(measured[:, 0] - placed, axis=1).max() < 0.05


def test_points_go_to_the_square_and_back():
    points = np.random.default_rng(0).uniform(0, 1000, (2, 5, 2))
    squares = np.array([[400.0, 300, 100], [10, 900, 777]])
    local = to_square(points, squares, 64)
    np.testing.assert_allclose(from_square(local, squares, 64), points, atol=1e-9)
    for found, square, own in zip(local, squares, points, strict=True):
        matrix = geometry.crop_matrix(square[:2], square[2], 64)
        np.testing.assert_allclose(found, geometry.transform(matrix, own), atol=1e-9)


def test_squares_of_several_pictures():
    """Each face's own, in order."""
    pictures = np.stack([smooth(128, seed) for seed in (0, 1)])
    squares = np.random.default_rng(0).uniform(40, 90, (2, 3, 3)).astype(np.float32)
    found = cut(pictures, squares, 64)
    for face, number in ((0, 2), (1, 0)):
        square = squares[face, number]
        wanted = sampled(pictures[face], square[:2], square[2], 64)
        np.testing.assert_allclose(found[face, number], wanted, atol=1e-3)


@pytest.mark.heavy
@pytest.mark.parametrize("side", [50.3, 150.7])
def test_gradients_are_differences(side):
    """Of centre and side, through the bilinear weights and the blend of two levels."""
    levels = [jnp.asarray(level) for level in pyramid(smooth(256)[None], 32)]
    weights = np.random.default_rng(1).normal(size=(1, 1, 32, 32, 3)).astype(np.float32)

    @jax.jit
    @jax.value_and_grad
    def light(square):
        return (sample_squares(levels, square[None, None], 32) * weights).mean()

    square = np.array([120.23, 131.61, side], np.float32)
    _, slopes = light(square)
    for place, slope in enumerate(np.asarray(slopes)):
        step = 0.02 * np.eye(3, dtype=np.float32)[place]
        rise = float(light(square + step)[0] - light(square - step)[0]) / 0.04
        assert slope != 0 and slope == pytest.approx(rise, rel=0.1, abs=0.02)
