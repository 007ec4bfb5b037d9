"""The drawn faces' camera: what it does to light and colours, and that it moves nothing."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from jaxalign.datasets.synthetic_faces.sensor import (
    ENLARGE,
    EXPOSED,
    SHRINK,
    Sensor,
    expose,
    sample,
)


ROOM = np.array([0.1, 0.2, 0.05, 0.3])


def exposed(sensor, image, room=ROOM):
    return expose(image.copy(), sensor, 0.25 * len(image), room, np.random.default_rng(0))


def blob(size=192, x=90.3, y=101.6):
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    level = 40 + 170 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 200)
    return np.repeat(np.rint(level)[..., None], 3, -1).astype(np.uint8)


def colours(size=64):
    return np.random.default_rng(1).integers(40, 200, (size, size, 3)).astype(np.uint8)


def test_by_default_nothing_happens():
    np.testing.assert_array_equal(exposed(Sensor(), colours()), colours())


@pytest.mark.parametrize(
    "sensor",
    [Sensor(soft=0.08), Sensor(disc=0.16), Sensor(motion=0.3, angle=0.7), Sensor(sharpen=1.5)]
    + [Sensor(pixels=12.0, shrink=s, enlarge=e) for s in SHRINK for e in ENLARGE]
    + [Sensor(pixels=20.0, quality=30, sharpen=0.5)],
)  # fmt: skip
def test_nothing_moves(sensor):
    after = exposed(sensor, blob())[..., 0].astype(float)
    assert np.abs(after - blob()[..., 0]).max() > 2
    light = np.clip(after - 60, 0, None)
    centre = (light.sum(0) @ np.arange(192), light.sum(1) @ np.arange(192)) / light.sum()
    np.testing.assert_allclose(centre, (90.3, 101.6), atol=0.35)


def test_grey_is_one_channel_thrice_and_sepia_is_brown():
    grey = exposed(Sensor(saturation=0.0), colours())
    assert (grey[..., :1] == grey).all()
    sepia = exposed(Sensor(saturation=0.0, sepia=1.0), colours()).astype(int)
    assert (sepia[..., 0] < sepia[..., 1]).all() and (sepia[..., 1] < sepia[..., 2]).all()


def test_white_balance_multiplies_channels():
    after = exposed(Sensor(white=(0.5, 1.0, 1.2)), colours())
    np.testing.assert_allclose(after, np.clip(colours() * (0.5, 1.0, 1.2), 0, 255), atol=0.51)


@pytest.mark.parametrize(
    "tone",
    [
        {"gamma": 1.5}, {"gamma": 0.6}, {"contrast": 0.9}, {"contrast": -0.4}, {"black": 0.5},
        {"blown": 0.5}, {"fade": (0.2, 0.8)},
    ],
)  # fmt: skip
def test_tone_curves_rise(tone):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 256, 1).repeat(3, -1)
    after = exposed(Sensor(**tone), ramp)[:, 0, 0].astype(int)
    assert (np.diff(after) >= 0).all() and np.abs(after - np.arange(256)).max() > 8
    if "fade" in tone:
        assert (after[0], after[-1]) == (51, 204)
    if "black" in tone:  # half of what lies below the mean level
        assert (after[:64] == 0).all() and after[66] > 0
    if "blown" in tone:
        assert (after[192:] == 255).all() and after[189] < 255


def test_exposure_follows_the_middle_of_the_photo():
    dark = np.full((90, 90, 3), 230, np.uint8)
    dark[30:60, 30:60] = 40
    middles = [int(exposed(Sensor(metered=m), dark)[45, 45, 0]) for m in (0.0, 0.5, 1.0)]
    assert (
        middles[0] == 40
        and 70 < middles[1] < 100
        and middles[2] == pytest.approx(255 * EXPOSED, abs=1)
    )


def test_shade_and_screen_darken():
    flat = np.full((64, 64, 3), 200, np.uint8)
    shaded = exposed(Sensor(shade=0.5, middle=(0.0, 0.0)), flat)[..., 0]
    assert shaded[0, 0] > 195 and 95 < shaded[-1, -1] < 110
    lines = exposed(Sensor(dots=0.4, dot_pitch=(0.0, 1 / 8)), flat)[..., 0]
    assert (lines == lines[:, :1]).all() and lines.min() < 125 < 195 < lines.max()


@pytest.mark.parametrize("field", ["noise", "chroma"])
def test_noise_has_its_strength(field):
    flat = np.full((128, 128, 3), 128, np.uint8)
    step = exposed(Sensor(**{field: 6.0}), flat).astype(float) - 128
    assert 4.5 < step.std() < 7.5 and abs(step.mean()) < 1
    assert (step[..., :1] == step).all() == (field == "noise")


def test_a_frame_covers_no_point():
    flat = np.full((200, 200, 3), 128, np.uint8)
    after = exposed(Sensor(frame=(0.14, 0.14, 0.14, 0.14)), flat)[..., 0]
    left, top, right, bottom = (ROOM * 200).astype(int)
    assert (after[top : 200 - bottom, left : 200 - right] == 128).all()
    assert (after[:28] == 0).all() and (after[:, :16] == 0).all()
    nowhere = exposed(Sensor(frame=(0.14, 0.14, 0.14, 0.14)), flat, np.full(4, 0.001))
    assert (nowhere == 128).all()


def test_text_is_written():
    flat = np.full((200, 200, 3), 128, np.uint8)
    sensor = Sensor(text="face", text_place=(0.1, 0.5, 0.05))
    changed = np.argwhere((exposed(sensor, flat) != 128).any(-1))
    assert len(changed) and (changed[:, 0] > 80).all() and (changed[:, 0] < 115).all()


def test_strong_blur_comes_with_its_label_and_two_in_five_are_clean():
    def strong(s):
        return s.soft > 0.025 or s.disc > 0.05 or s.motion > 0.1 or 0 < s.pixels < 17

    rng = np.random.default_rng(0)
    sharp = [sample(rng, False, False) for _ in range(600)]
    assert not any(map(strong, sharp))
    assert all(strong(sample(rng, True, False)) for _ in range(100))
    clean = [replace(s, noise=0.0, soft=0.0, gamma=1.0, metered=0.0) == Sensor() for s in sharp]
    assert np.mean(clean) == pytest.approx(0.4, abs=0.06)


def test_one_photo_at_two_sizes():
    large = cv2.resize(colours(16), (512, 512), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(2)
    for _ in range(20):
        sensor = replace(sample(rng, False, False), quality=100, text="", sharpen=0.0, dots=0.0)
        shrunk = cv2.resize(exposed(sensor, large), (256, 256), interpolation=cv2.INTER_AREA)
        apart = cv2.blur(shrunk, (9, 9)).astype(int) - cv2.blur(exposed(sensor, small), (9, 9))
        assert np.abs(apart).mean() < 4
