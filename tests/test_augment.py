from dataclasses import fields, replace
from statistics import NormalDist

import cv2
import numpy as np
import pytest

from jaxalign import augment as augmentations
from jaxalign.augment import LIGHTNESS, Augment, draw_pose, geometric, photometric
from jaxalign.errors import InputError
from jaxalign.geometry import crop_matrix, invert, transform


STILL = Augment(**{f.name: 0.0 for f in fields(Augment) if f.type is float} | {"colour_p": 1.0})


def picture(seed=0):
    return np.random.default_rng(seed).integers(60, 190, (64, 64, 3)).astype(np.uint8)


def changed(augment, seed=0, image=None):
    image = picture() if image is None else image
    before = image.copy()
    after = photometric(image, augment, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before)  # never in place
    assert after.shape == image.shape and after.dtype == np.uint8
    return after


def test_no_strength_changes_nothing():
    np.testing.assert_array_equal(changed(STILL), picture())
    pose = draw_pose(STILL, np.random.default_rng(0))
    assert (pose.degrees, pose.zoom, pose.shift, pose.flip) == (0, 1, (0, 0), False)


def test_what_is_augmented_is_photo_or_crop():
    with pytest.raises(InputError, match="data.augment.of='face': one of photo, crop"):
        Augment(of="face")
    assert geometric(of="crop").of == "crop" and geometric().of == "photo"


def test_poses_fill_their_ranges():
    augment = replace(STILL, rotation=40, rotation_p=0.5, scale=0.2, shift=0.1, flip=0.25)
    rng = np.random.default_rng(0)
    poses = [draw_pose(augment, rng) for _ in range(4000)]
    degrees, zoom = np.array([p.degrees for p in poses]), np.array([p.zoom for p in poses])
    shift = np.array([p.shift for p in poses])
    assert np.mean(degrees == 0) == pytest.approx(0.5, abs=0.03)
    assert np.mean([p.flip for p in poses]) == pytest.approx(0.25, abs=0.03)
    for values, low, high in [(degrees, -40, 40), (zoom, 0.8, 1.2), (shift, -0.1, 0.1)]:
        margin = 0.02 * (high - low)
        assert low <= values.min() < low + margin and high - margin < values.max() <= high


def test_shrinking_leaves_no_face_larger():
    """By up to 0.4: the face's size is drawn from 0.6 to 1, so its mean is 0.8."""
    rng = np.random.default_rng(0)
    poses = [draw_pose(replace(STILL, shrink=0.4), rng) for _ in range(2000)]
    size = 1 / np.array([pose.zoom for pose in poses])
    assert 0.6 <= size.min() < 0.605 and 0.995 < size.max() <= 1
    assert size.mean() == pytest.approx(0.8, abs=0.01)


def test_brightness_adds_one_value():
    step = changed(replace(STILL, brightness=30)).astype(int) - picture()
    assert step.min() == step.max() != 0 and abs(step.max()) <= 30


def test_contrast_turns_about_mid_grey():
    image = np.full((8, 8, 3), 128, np.uint8)
    image[0, 0] = 168
    for seed in range(5):
        after = changed(replace(STILL, contrast=0.5), seed, image)
        assert (after[1:] == 128).all()
        assert 148 <= after[0, 0, 0] <= 188


def test_saturation_leaves_greys_alone():
    grey = np.repeat(picture()[..., :1], 3, -1)
    np.testing.assert_allclose(changed(replace(STILL, saturation=0.9), 1, grey), grey, atol=1)
    assert abs(changed(replace(STILL, saturation=0.9), 1) - picture().astype(int)).max() > 3


def test_grey_is_one_channel_thrice():
    after = changed(replace(STILL, grey=1.0))
    assert (after[..., 0] == after[..., 1]).all() and (after[..., 1] == after[..., 2]).all()


def test_blur_keeps_things_where_they_are():
    y, x = np.mgrid[:64, :64]
    blob = 250 * np.exp(-((x - 30.3) ** 2 + (y - 33.6) ** 2) / 50)
    image = np.repeat(np.round(blob)[..., None], 3, -1).astype(np.uint8)
    after = changed(replace(STILL, blur=1.0), 0, image)[..., 0].astype(float)
    assert after.max() < image.max()
    centre = (after * x).sum() / after.sum(), (after * y).sum() / after.sum()
    np.testing.assert_allclose(centre, (30.3, 33.6), atol=0.05)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 4.0])
def test_blur_is_gaussian(sigma):
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    expected = cv2.GaussianBlur(noise, (0, 0), sigma)
    found = augmentations._blurred(noise, sigma)
    assert found.dtype == np.uint8 and abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_noise_is_normal(sigma):
    grey = np.full((256, 256, 3), 128, np.uint8)
    step = augmentations._noisy(grey, sigma, np.random.default_rng(0))[..., 0].astype(float) - 128
    assert abs(step.mean()) < 0.1 and abs(step.std() - sigma) < 0.03 * sigma
    for level in (-1.5, -0.5, 0.5, 1.5):  # in sigmas
        whole = np.floor(level * sigma) + 0.5  # levels are whole
        assert abs((step < whole).mean() - NormalDist(0, sigma).cdf(whole)) < 0.01
    assert abs((step[:, 1:] * step[:, :-1]).mean()) < 0.02 * sigma**2  # neighbours know nothing


def test_noise_makes_nothing_brighter_and_leaves_greys_grey():
    level = np.full((64, 64, 3), 120, np.uint8)
    noisy = np.stack([changed(replace(STILL, noise=1.0), seed, level) for seed in range(20)])
    assert abs(noisy.mean() - 120) < 0.1
    assert (noisy == noisy[..., :1]).all()
    white = changed(replace(STILL, noise=1.0), 0, np.full((64, 64, 3), 255, np.uint8))
    assert 240 < white.mean() < 255


def test_noise_has_no_more_than_its_strength():
    step = changed(replace(STILL, noise=1.0)).astype(float) - picture()
    assert 2 < step.std() < 12.5 and abs(step.mean()) < 1


@pytest.mark.parametrize("seed", range(8))
def test_occlusion_covers_one_rectangle_and_nothing_else(seed):
    after = changed(replace(STILL, occlusion=1.0, occlusion_area=0.2), seed)
    rows, columns = np.nonzero((after != picture()).any(-1))
    box = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 0.03 < box[0] * box[1] / 64**2 < 0.22
    assert len(rows) > 0.95 * box[0] * box[1]


def test_dropout_blackens_a_fifth_of_the_cells():
    after = changed(replace(STILL, dropout=1.0))
    cells = (after == 0).all(-1).reshape(16, 4, 16, 4).transpose(0, 2, 1, 3).reshape(256, 16)
    assert (cells.all(1) | ~cells.any(1)).all()
    assert 0.1 < cells.all(1).mean() < 0.3
    np.testing.assert_array_equal(after[after > 0], picture()[after > 0])


def test_the_grid_of_dropout_is_an_option():
    after = changed(replace(STILL, dropout=1.0, dropout_cells=4))
    cells = (after == 0).all(-1).reshape(4, 16, 4, 16).transpose(0, 2, 1, 3).reshape(16, 256)
    assert (cells.all(1) | ~cells.any(1)).all() and 0 < cells.all(1).sum() < 16


@pytest.mark.parametrize(("photo", "pitch"), [((600, 400), (50, 50)), ((90, 120), (40, 30))])
def test_dropout_can_be_of_cells_of_the_photo(photo, pitch):
    """2 % of the photo's size, at least 3 cells: all of a cell is black, or none; turned with the
    photo, and nothing outside of it."""
    matrix = crop_matrix(np.array([40.0, 30.0]), 200, 64, degrees=30, flip=True)
    y, x = np.mgrid[:64, :64]
    image = transform(invert(matrix), np.stack([x, y], -1).reshape(-1, 2)).reshape(64, 64, 2)
    places = (image + 0.5) / pitch
    cell, edge = np.floor(places), abs(places - np.round(places)).min(-1) < 0.05
    photo_ends = np.array(photo[::-1])
    inside = ((cell >= 0) & (cell * pitch < photo_ends)).all(-1) & ~edge
    outside = ((image < -5) | (image > photo_ends + 5)).any(-1)
    augment, black = replace(STILL, dropout=1.0, dropout_size=0.02), []
    for seed in range(8):
        after = photometric(picture(), augment, np.random.default_rng(seed), matrix, photo)
        gone = (after == 0).all(-1)
        assert outside.any() and not gone[outside].any()
        for place in np.unique(cell[inside], axis=0):
            chosen = gone[inside & (cell == place).all(-1)]
            assert chosen.all() or not chosen.any()
            black.append(chosen.all())
    assert 0.1 < np.mean(black) < 0.3


@pytest.mark.parametrize("space", range(len(LIGHTNESS)))
def test_light_of_a_channel_leaves_the_colour(space, monkeypatch):
    """It alone changes, within the strengths; under rgb the others change too."""
    there, _, channel = LIGHTNESS[space]
    monkeypatch.setattr(augmentations, "LIGHTNESS", (LIGHTNESS[space],))
    others = [other for other in range(3) if other != channel]
    image = np.full((8, 8, 3), (170, 90, 60), np.uint8)
    before = cv2.cvtColor(image, there)[0, 0].astype(int)

    def moved(light):
        augment = replace(STILL, gain=0.2, brightness=10, light=light)
        after = [cv2.cvtColor(changed(augment, seed, image), there)[0, 0] for seed in range(40)]
        return np.array(after).astype(int) - before

    lightness = moved("channel")[:, channel] + before[channel]
    assert 0.8 * before[channel] - 11 < lightness.min() < before[channel] - 10
    assert before[channel] + 10 < lightness.max() < 1.2 * (before[channel] + 10) + 1
    # what 8 bits a value of RGB cannot hold comes back rounded
    assert abs(moved("channel")[:, others]).max() <= 2 < abs(moved("rgb")[:, others]).max()


def test_settings_of_augmentations_are_checked():
    for settings, message in (
        ({"light": "hsv"}, "one of rgb, channel"),
        ({"dropout_cells": 0}, "1 or more"),
        ({"dropout_size": 2.0}, "in 0..1"),
    ):
        with pytest.raises(InputError, match=message):
            Augment(**settings)
    assert set(Augment().idle) == {"dropout_cells", "dropout_size"}
    assert set(geometric(dropout=0.5, dropout_size=0.02).idle) >= {"light", "dropout_cells"}


def test_gain_multiplies_and_comes_as_often_as_asked():
    image = np.repeat(np.arange(50, 114, dtype=np.uint8)[:, None, None], 3, 2)
    factors = []
    for seed in range(60):
        after = changed(replace(STILL, gain=0.5, colour_p=0.5), seed, image).astype(float)
        factors.append((after / image).mean())
        np.testing.assert_allclose(after, factors[-1] * image, atol=1)
    assert 0.5 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.5
    assert np.mean(np.array(factors) == 1) == pytest.approx(0.5, abs=0.2)


def test_geometric_leaves_the_picture():
    augment = geometric(rotation=10, occlusion=1.0, occlusion_area=0.1)
    assert augment.rotation == 10 and augment.flip == Augment().flip
    assert (changed(replace(augment, occlusion=0.0)) == picture()).all()
    assert (changed(augment) != picture()).any()


def pixels_drawn(name, image, count=200):
    """What an entry of PIXELS makes of an image under each of `count` seeds."""
    return [changed(replace(STILL, pixels=(name,)), seed, image) for seed in range(count)]


@pytest.mark.parametrize("name", ("random_conv", "tone"))
def test_half_of_the_crops_are_changed_and_a_seed_gives_one_crop(name):
    drawn = pixels_drawn(name, picture())
    same = [(after == picture()).all() for after in drawn]
    assert np.mean(same) == pytest.approx(0.5, abs=0.1)
    for after, again in zip(drawn[:20], pixels_drawn(name, picture(), 20), strict=True):
        np.testing.assert_array_equal(after, again)


def test_random_convolutions_saturate_nothing():
    """Only the extreme levels of a crop come to lie on the ends of the range."""
    image = np.random.default_rng(3).integers(5, 251, (64, 64, 3)).astype(np.uint8)
    for after in pixels_drawn("random_conv", image, 100):
        assert np.isin(after, (0, 255)).sum() <= 6 and after.std() > 8


def test_random_convolutions_keep_things_where_they_are():
    """What a symmetric figure becomes lies about its middle, over many kernels."""
    y, x = np.mgrid[:65, :65] - 32
    disc = np.where((x**2 + y**2 < 400)[..., None], (230, 120, 20), (10, 90, 250)).astype(np.uint8)
    centres = []
    for after in pixels_drawn("random_conv", disc):
        step = np.abs(after.astype(float) - after[0, 0]).sum(-1)
        centres.append(((step * x).sum() / step.sum(), (step * y).sum() / step.sum()))
    assert np.abs(np.mean(centres, 0)).max() < 0.2 and np.abs(centres).max() < 2


def test_levels_are_drawn_together_no_more_than_it_takes():
    within = augmentations._within
    levels = np.array([0.0, 100, 255])
    np.testing.assert_array_equal(within(levels), levels)
    np.testing.assert_array_equal(within(levels / 2 - 20), np.rint(levels / 2))
    np.testing.assert_array_equal(within(levels / 2 + 200), np.rint(255 - 127.5 + levels / 2))
    np.testing.assert_array_equal(within(3 * levels - 300), levels)


def test_random_convolutions_mix_the_crop_with_its_convolution(monkeypatch):
    """By hand: alpha times the crop and 1 - alpha times a kernel of one pixel, about mid grey."""

    class Chosen:
        def uniform(self):
            return 0.75

        def choice(self, sizes):
            return 1

        def normal(self, mean, deviation, shape):
            assert (mean, shape) == (0, (3, 3, 1, 1)) and deviation == pytest.approx(3**-0.5)
            return np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]]).reshape(shape)

    image = picture()
    after = augmentations.random_conv(image, Chosen())
    expected = 0.75 * image + 0.25 * image[..., [1, 2, 0]].astype(float)
    np.testing.assert_allclose(after, expected, atol=0.51)


def test_tone_bends_every_channel_by_one_gamma():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, 2)
    gammas = []
    for after in pixels_drawn("tone", ramp):
        curve = after[:, 0].astype(float)
        assert curve[-1].max() == 255 and curve[-1].min() > 0.59 * 255
        assert (np.diff(curve, axis=0) >= 0).all()
        relative = curve / curve[-1]
        np.testing.assert_allclose(relative, np.tile(relative[:, :1], 3), atol=0.01)
        gammas.append(np.log(relative[128, 0]) / np.log(128 / 255))
    assert 0.48 < min(gammas) < 0.6 and 1.8 < max(gammas) < 2.05
