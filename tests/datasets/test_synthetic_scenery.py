"""What stands behind the drawn heads: the same at every size, varied, with a photo's spectrum."""

import cv2
import numpy as np
import pytest

from jaxalign.datasets.synthetic_faces import scene_of
from jaxalign.datasets.synthetic_faces.people import people
from jaxalign.datasets.synthetic_faces.scenery import GROUNDS, SOFT, palette, pink, scenery


WHAT, _ = scene_of("train", 0, 0)


def place(seed, size=256):
    return scenery(size, WHAT, np.random.default_rng(seed))


def test_a_place_depends_on_its_seed_alone():
    assert (place(3) == place(3)).all() and (place(3) != place(4)).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_place_is_the_same_at_every_size(seed):
    large = place(seed, 512)
    assert large.shape == (512, 512, 3) and large.dtype == np.uint8
    for size in (128, 256, 300):
        shrunk = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(int) - place(seed, size)).mean() < 4


def test_places_run_from_empty_to_cluttered():
    def strength(image):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1), cv2.CV_32F)
        return float(np.abs(edges).mean())

    edges = np.array([strength(place(seed)) for seed in range(150)])
    assert 0.1 < (edges < 0.6).mean() < 0.5 and (edges > 2).mean() > 0.1
    level = np.array([place(seed).mean() for seed in range(150)])
    assert (level < 40).any() and (level > 220).any()


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_ground_fills_the_canvas_and_differs(ground):
    drawn = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drawn.append(ground(palette(WHAT, rng), SOFT, rng))
        assert drawn[-1].shape == (SOFT, SOFT, 3) and drawn[-1].dtype == np.uint8
    assert len({image.tobytes() for image in drawn}) == len(drawn)


def test_the_noise_is_pink():
    """Amplitude falls as 1/f**s, s from about 1 to 2: each octave's band has a smaller mean."""
    slopes = []
    for seed in range(12):
        field = pink(128, np.random.default_rng(seed)).astype(float)
        power = np.abs(np.fft.fft2(field - field.mean()))
        far = np.hypot(*np.meshgrid(*[np.fft.fftfreq(128) * 128] * 2))
        bands = [power[(far >= f) & (far < 2 * f)].mean() for f in (4, 8, 16, 32)]
        slopes.append(np.polyfit(np.arange(4), np.log2(bands), 1)[0])
    assert -2.3 < min(slopes) and max(slopes) < -0.6


@pytest.mark.parametrize("count", (0, 1, 3))
def test_people_stand_beside_the_head(count):
    for seed in range(5):
        image = np.full((128, 128, 3), 128, np.uint8)
        people(image, WHAT, count, np.random.default_rng(seed))
        changed = (image != 128).any(-1)
        assert changed.any() == (count > 0)
        if count == 3:  # on both sides
            assert changed[:, :40].any() and changed[:, -40:].any()
