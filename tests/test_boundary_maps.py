"""Boundary maps, against hand cases and lines that OpenCV draws, measures and blurs."""

from functools import partial
from itertools import pairwise
from math import erf

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import targets
from jaxalign.datasets import synthetic_faces
from jaxalign.geometry import from_map
from jaxalign.schemes import CURVES, SCHEMES, Scheme
from jaxalign.targets import FORMS


UNION = len(CURVES)
every_scheme = pytest.mark.parametrize("name", SCHEMES)
every_form = pytest.mark.parametrize("form", FORMS)


def lines(*curves):
    """A scheme whose first curves are these."""
    count = 1 + max(max(curve, default=0) for curve in curves)
    padded = [*curves, *[()] * (len(CURVES) - len(curves))]
    return Scheme(
        name="lines",
        flip=tuple(range(count)),
        curves=dict(zip(CURVES, padded, strict=True)),
        eye_corners=(),
        pupils=(),
        dots={},
    )


def maps_of(scheme, points, side=12, **settings):
    """Boundary maps of one face, `points` (K, 2) in map pixels at stride 4: (side, side, 16)."""
    crop = from_map(jnp.array(points, jnp.float32)[None], 4)
    made = jax.jit(lambda p: targets.boundary_maps(p, scheme, 4, 4 * side, **settings))
    return np.asarray(made(crop)[0])


def scattered(name, seed=0):
    """(K, 2) map pixels of a 64-pixel map, anywhere on it."""
    count = SCHEMES[name].num_points
    return np.random.default_rng(seed).uniform(1, 62, (count, 2)).astype(np.float32)


def distances(curves, points, zoom):
    """The distance, in map pixels, from every pixel of a 64-pixel map to curves drawn `zoom` times
    as large, one pixel wide."""
    canvas = np.ones((64 * zoom, 64 * zoom), np.uint8)
    fine = np.round(((points + 0.5) * zoom - 0.5) * 16).astype(np.int32)
    for curve in curves:
        cv2.polylines(canvas, [fine[list(curve)]], False, 0, 1, cv2.LINE_8, shift=4)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if zoom == 1:
        return distance
    centre = slice(zoom // 2 - 1, zoom // 2 + 1)  # a map pixel's centre is between two fine ones
    tiles = distance.reshape(64, zoom, 64, zoom)[:, centre, :, centre]
    return tiles.mean((1, 3)) / zoom


def test_distance_is_to_the_segment_not_to_its_line():
    maps = maps_of(lines((0, 1)), [[2, 3], [6, 3]], sigma=1.5)
    assert maps.shape == (12, 12, 16)
    np.testing.assert_allclose(maps[3, 2:7, 0], 1, rtol=1e-6)
    squared = {(5, 4): 4, (3, 8): 4, (3, 0): 4, (5, 8): 8, (1, 1): 5}  # row, column
    for at, value in squared.items():
        np.testing.assert_allclose(maps[(*at, 0)], np.exp(-value / 4.5), rtol=1e-5)


def test_oblique_segments_keep_the_sub_pixel_position():
    maps = maps_of(lines((0, 1)), [[1, 1.5], [9, 9.5]], sigma=1.0)
    np.testing.assert_allclose(maps[5, 5, 0], np.exp(-(0.5**2) / 2 / 2), rtol=1e-5)
    np.testing.assert_allclose(maps[0, 1, 0], np.exp(-(1.5**2) / 2), rtol=1e-5)


@every_form
def test_curves_of_less_than_two_points_are_empty_and_the_union_is_the_highest(form):
    scheme, points = lines((0, 1), (), (2,), (2, 3, 4)), [[1, 1], [1, 9], [4, 2], [8, 2], [8, 7]]
    maps = maps_of(scheme, points, form=form)
    assert not maps[..., [1, 2, *range(4, UNION)]].any()
    np.testing.assert_array_equal(maps[..., UNION], np.maximum(maps[..., 0], maps[..., 3]))
    assert maps[..., 3].max() > 0.95 and maps[5, 1, 0] == 1
    chosen = maps_of(scheme, points, form=form, union=(CURVES[0], CURVES[1]))
    np.testing.assert_array_equal(chosen[..., UNION], maps[..., 0])
    np.testing.assert_array_equal(chosen[..., :UNION], maps[..., :UNION])


@every_form
def test_two_points_at_one_place_are_a_dot(form):
    maps = maps_of(lines((0, 1)), [[4, 4], [4, 4]], form=form)
    assert maps[4, 4, 0] == 1
    np.testing.assert_allclose(maps[6, 5, 0], np.exp(-5 / 4.5), rtol=1e-3)


def test_a_blurred_segment_by_hand():
    """8 long under sigma 1: its middle is the highest, its ends are half as high as a long line."""
    maps = maps_of(lines((0, 1)), [[2, 3], [10, 3]], sigma=1.0, form="blurred")
    whole = erf(4 / 2**0.5)
    np.testing.assert_allclose(maps[3, 6, 0], 1, rtol=1e-6)
    np.testing.assert_allclose(maps[5, 6, 0], np.exp(-2), rtol=1e-5)
    np.testing.assert_allclose(maps[3, 10, 0], erf(8 / 2**0.5) / 2 / whole, rtol=1e-5)
    beyond = (erf(9 / 2**0.5) - erf(1 / 2**0.5)) / 2 / whole
    np.testing.assert_allclose(maps[4, 1, 0], np.exp(-0.5) * beyond, rtol=1e-5)
    short = maps_of(lines((0, 1)), [[6, 3], [7, 3]], sigma=1.0, form="blurred")
    np.testing.assert_allclose(short[3, 6, 0], erf(1 / 2**0.5) / 2 / erf(0.5 / 2**0.5), rtol=1e-5)


def test_segments_of_a_blurred_line_add_up():
    """A corner in a straight line does not show; at a right angle two half lines meet."""
    points = [[1, 6], [6, 6], [11, 6], [6, 1]]
    maps = maps_of(lines((0, 1, 2), (0, 2), (1, 2), (1, 3), (2, 1, 3)), points, form="blurred")
    np.testing.assert_allclose(maps[..., 0], maps[..., 1], atol=1e-6)
    bent, halves = maps[..., 4], maps[..., 2] + maps[..., 3]
    np.testing.assert_allclose(bent / bent.max(), halves / halves.max(), atol=1e-5)
    assert bent[6, 6] < 0.9 < bent.max()  # the highest place is inside the bend


@pytest.mark.parametrize("x", [-30.0, -6.0, -1.5])
def test_a_blurred_line_off_the_map_is_not_raised_to_its_edge(x):
    maps = maps_of(lines((0, 1)), [[x, -20], [x, 40]], sigma=1.5, form="blurred")
    np.testing.assert_allclose(maps[6, :3, 0], np.exp(-((np.arange(3) - x) ** 2) / 4.5), atol=1e-6)


@pytest.mark.parametrize("setting", [{"cut": 2.0}, {"integer": True}])
def test_blurred_lines_are_neither_cut_nor_drawn_between_whole_pixels(setting):
    points = jnp.zeros((1, 68, 2))
    with pytest.raises(ValueError, match="cut and integer are for form='distance'"):
        targets.boundary_maps(points, SCHEMES["ibug68"], 4, 64, form="blurred", **setting)


def test_cut_empties_what_lies_beyond():
    whole = maps_of(lines((0, 1)), [[2, 3], [6, 3]])
    cut = maps_of(lines((0, 1)), [[2, 3], [6, 3]], cut=2)
    reach = whole >= np.exp(-2) - 1e-6  # D <= 2 sigma
    np.testing.assert_array_equal(cut, np.where(reach, whole, 0))
    assert cut[6, 4, 0] > 0 and whole[7, 4, 0] > 0 == cut[7, 4, 0]


@pytest.mark.parametrize(
    ("form", "integer"), [("distance", False), ("distance", True), ("blurred", False)]
)
def test_points_that_are_no_numbers_are_not_hidden(form, integer):
    points = [[np.nan, 3], [6, 3], [6, 7]]
    maps = maps_of(lines((0, 1), (1, 2)), points, integer=integer, form=form)
    assert np.isnan(maps[..., [0, UNION]]).all()
    assert np.isfinite(maps[..., 1:UNION]).all() and maps[5, 6, 1] == 1


def test_whole_pixels_hold_the_points():
    """Crop pixel edges are at halves: -0.5 to 3.5 is map pixel 0 at stride 4."""
    points = jnp.array([[[0, 3.4], [3.6, 7.4], [-0.6, 30]]])
    np.testing.assert_array_equal(targets.whole_pixels(points, 4), [[[0, 0], [1, 1], [0, 7]]])


def test_whole_pixels_leave_out_segments_at_the_upper_and_left_edge():
    points = [[0.2, 5], [3.4, 5.4], [8.4, 4.6]]
    maps = maps_of(lines((0, 1), (1, 2), (0, 1, 2)), points, integer=True)
    assert not maps[..., 0].any()
    np.testing.assert_allclose(maps[5, 5:7, 1], 1, rtol=0.05)
    np.testing.assert_array_equal(maps[..., 2], maps[..., 1])


@pytest.mark.parametrize("name", ["wflw98", "cofw29"])
def test_maps_are_those_of_lines_drawn_sixteen_times_as_large(name):
    """Drawing and sampling are good to 0.05 pixels; the maps change by up to 0.41 a pixel."""
    points, curves = scattered(name), [c for c in SCHEMES[name].curves.values() if len(c) > 1]
    maps = maps_of(SCHEMES[name], points, side=64)
    drawn = [len(c) > 1 for c in SCHEMES[name].curves.values()]
    found = [*np.moveaxis(maps[..., :UNION], -1, 0)[drawn], maps[..., UNION]]
    for got, group in zip(found, [*([c] for c in curves), curves], strict=True):
        expected = np.exp(-(distances(group, points, 16) ** 2) / 4.5)
        assert abs(got - expected).max() < 0.025


def drawn(line):
    """(n, 2) corners in pixels of a 64-pixel map -> (1024, 1024): their polyline drawn sixteen
    times as large and two of its pixels wide, smooth at the edge, each pixel painted once."""
    canvas = np.zeros((1024, 1024), np.float32)
    for start, end in pairwise((line + 0.5) * 16 - 0.5):
        low = np.floor(np.minimum(start, end)).astype(int) - 2
        high = np.ceil(np.maximum(start, end)).astype(int) + 3
        x, y = np.meshgrid(*(np.arange(*ends) for ends in zip(low, high, strict=True)))
        place, along = np.stack([x, y], -1) - start, end - start
        share = np.clip(place @ along / (along @ along), 0, 1)
        distance = np.linalg.norm(place - share[..., None] * along, axis=-1)
        part = canvas[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, np.clip(1.5 - distance, 0, 1), out=part)
    return canvas


@pytest.mark.parametrize("name", ["wflw98", "cofw29"])
def test_blurred_maps_are_those_of_lines_drawn_sixteen_times_as_large(name):
    """A drawn face under cv2's Gaussian filter. Gaussians of the distance differ by half."""
    scheme = SCHEMES[name]
    points = synthetic_faces.face("train", 0, 256, 0).points[name] / 4
    for sigma in (1.0, 1.5):
        maps = {form: maps_of(scheme, points, side=64, sigma=sigma, form=form) for form in FORMS}
        for i, curve in enumerate(scheme.curves.values()):
            if len(curve) > 1:
                fine = cv2.GaussianBlur(drawn(points[list(curve)]), (0, 0), 16 * sigma)
                expected = fine.reshape(64, 16, 64, 16)[:, 7:9, :, 7:9].mean((1, 3)) / fine.max()
                assert abs(maps["blurred"][..., i] - expected).max() < 0.025
                assert abs(maps["distance"][..., i] - expected).max() > 0.35


def test_whole_pixel_maps_are_near_those_of_the_released_way():
    """cv2.line at map resolution leaves the true line by up to half a pixel."""
    scheme, points = SCHEMES["wflw98"], scattered("wflw98", 1)
    whole = np.trunc(points + 0.5)
    maps = maps_of(scheme, points, side=64, integer=True)
    for i, curve in enumerate(scheme.curves.values()):
        expected = np.exp(-(distances([curve], whole, 1) ** 2) / 4.5)
        assert abs(maps[..., i] - expected).max() < 0.2
        assert maps[expected == 1, i].min() > 0.94


@every_form
@every_scheme
def test_every_scheme_has_sixteen_maps(name, form):
    crops = jax.ShapeDtypeStruct((2, SCHEMES[name].num_points, 2), jnp.float32)
    made = partial(targets.boundary_maps, scheme=SCHEMES[name], stride=4, size=256, form=form)
    maps = jax.eval_shape(made, crops)
    assert maps.shape == (2, 64, 64, 16)


def test_one_line_a_brow_is_drawn_twice():
    maps = maps_of(SCHEMES["ibug68"], scattered("ibug68") / 6)
    for lower, upper in ((2, 1), (4, 3)):
        np.testing.assert_array_equal(maps[..., lower], maps[..., upper])


@pytest.mark.parametrize(
    ("name", "without", "repeated"),
    [
        ("wflw98", [], []),
        ("ibug68", [], [2, 4]),
        ("cofw29", [0], []),
        ("aflw19", [0, 5], [2, 4, 8, 9, 10, 12, 14]),
    ],
)
def test_weights_leave_out_what_cannot_be_drawn_and_repetitions(name, without, repeated):
    plain, masked = (targets.boundary_weights(SCHEMES[name], mask) for mask in (False, True))
    np.testing.assert_array_equal(np.flatnonzero(plain == 0), without)
    np.testing.assert_array_equal(np.flatnonzero(masked == 0), sorted(without + repeated))
    assert plain.shape == masked.shape == (16,) and plain[UNION] == masked[UNION] == 1


@every_form
def test_segments_are_not_all_held_at_once(form):
    """All 91 segments of 16 faces would be 24 MB; the maps themselves are 4 MB."""
    crops = jax.ShapeDtypeStruct((16, 98, 2), jnp.float32)
    made = partial(targets.boundary_maps, scheme=SCHEMES["wflw98"], stride=4, size=256, form=form)
    made = jax.jit(made).lower(crops)
    assert made.compile().memory_analysis().temp_size_in_bytes < 10e6
