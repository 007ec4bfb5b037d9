"""The flip test, and the way of a prediction back into the photo."""

from dataclasses import dataclass

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.prediction.looks import LEAST, fitting_batch, fitting_size
from jaxalign.prediction.predictor import Predictor
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems.interface import System
from tests.helpers.small import small_recipe


@dataclass(frozen=True)
class Centroid(System):
    """Every point is the crop's centre of brightness; point i is i pixels below it, and its score
    is i / 100."""

    size: int = 32

    def predict(self, variables, images):
        mass = images.astype(jnp.float32).mean(-1) + 1e-3
        total, grid = mass.sum((1, 2)), jnp.arange(images.shape[2], dtype=jnp.float32)
        x = jnp.einsum("bhw,w->b", mass, grid) / total
        y = jnp.einsum("bhw,h->b", mass, grid) / total
        number = jnp.arange(68, dtype=jnp.float32)
        points = jnp.stack([x, y], -1)[:, None] + jnp.stack([0 * number, number], -1)[None]
        return points, jnp.broadcast_to(number[None] / 100, (len(images), 68))


@pytest.mark.parametrize("side", [32, 48])
def test_flip_test_mirrors_points_and_order_back(side):
    images = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    plain, _ = Predictor(Centroid())({}, images)
    both, score = Predictor(Centroid(), flip_test=True)({}, images)
    np.testing.assert_allclose(both[..., 0], plain[..., 0], atol=1e-4)
    order = np.arange(68)
    expected = (order + order[list(IBUG68.flip)]) / 2
    np.testing.assert_allclose(both[..., 1] - plain[:, :1, 1], np.tile(expected, (4, 1)), atol=1e-4)
    np.testing.assert_allclose(score, np.tile(expected / 100, (4, 1)), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 8, 32, 48, 64, 10**6, 10**15])
@pytest.mark.parametrize("faces", [0, 1, 6, 33, 5000])
def test_a_batch_is_no_larger_than_the_faces_need(batch, faces):
    for size in (32, 64):
        rows = fitting_batch(Centroid().size, size, batch, faces, devices=4)
        assert rows <= max(LEAST, 2 * faces) and rows % 4 == 0
        assert rows <= batch + 3
        if size == 32 and batch <= LEAST:
            assert rows >= batch


@dataclass(frozen=True)
class Broken(System):
    """A point of one face is no number."""

    size: int = 32
    scores: bool = False

    def predict(self, variables, images):
        wrong = jnp.where(images[:, 0, 0, 0] > 9, jnp.nan, 1.0)
        points = jnp.ones((len(images), 68, 2))
        if self.scores:
            return points, jnp.broadcast_to(wrong[:, None], (len(images), 68))
        return points * wrong[:, None, None], jnp.ones((len(images), 68))


@pytest.mark.parametrize("scores", [False, True])
def test_what_is_no_number_is_refused(scores):
    images = np.zeros((4, 32, 32, 3), np.uint8)
    predictor = Predictor(Broken(scores=scores))
    predictor({}, images)
    images[2] = 10
    predictor({}, images, slice(2))  # the others fill the batch
    with pytest.raises(InputError, match="not finite numbers: its weights are damaged"):
        predictor({}, images)


@dataclass(frozen=True)
class Middle(System):
    """Every point is the middle of the crop."""

    size: int = 32

    def predict(self, variables, images):
        middle = (self.size - 1) / 2
        return jnp.full((len(images), 68, 2), middle), jnp.ones((len(images), 68))


def test_points_come_back_in_photo_pixels(data_300w):
    source = open_source("ibug_300w/test", IBUG68, data_300w)
    crop = small_recipe().data.crop
    results = predict_source(Predictor(Middle()), {}, source, crop, batch=4)
    assert results.ids == tuple(source[i]["id"] for i in range(len(source)))
    for index in range(len(source)):
        centre, _ = crop.square(source[index])
        np.testing.assert_allclose(results.predicted[index], np.tile(centre, (68, 1)), atol=1e-3)


COMPILED = []  # shapes of images that Several was traced for, on one of the four devices


@dataclass(frozen=True)
class Several(System):
    """As Middle, for crops of three sizes; scores are the crop's side over 100."""

    size: int = 32

    @property
    def sizes(self):
        return 16, 32, 64

    def predict(self, variables, images):
        COMPILED.append(images.shape[:2])
        faces, side = images.shape[:2]
        return jnp.full((faces, 68, 2), (side - 1) / 2), jnp.full((faces, 68), side / 100)


def test_each_face_is_cropped_at_the_size_that_fits_it():
    """Batched by size, and back in the source's order; one compilation a size."""
    photo = cv2.imencode(".png", np.zeros((100, 120, 3), np.uint8))[1].tobytes()
    sides = [60, 10, 30, 16.4, 33, 90, 12, 16.6]
    faces = []
    for number, side in enumerate(sides):
        points = np.full((68, 2), 20.0 + number, np.float32)
        points[0] += side
        faces.append({
            "id": str(number), "photo": photo, "points": points, "labelled": np.ones(68, bool),
            "visible": np.ones(68, bool),
            "attributes": np.zeros(6), "boxes": {"landmarks": points[[1, 0]].ravel()},
            "subsets": (), "norm_box": np.full(4, np.nan),
        })  # fmt: skip
    crop = Crop("landmarks", landmarks=BoxRule(1.0))
    COMPILED.clear()
    results = predict_source(Predictor(Several()), {}, faces, crop, batch=32)
    assert results.ids == tuple("01234567")
    wanted = [64, 16, 32, 16, 64, 64, 16, 32]
    np.testing.assert_allclose(100 * results.score[:, 0], wanted)
    middles = 20 + np.arange(8) + np.array(sides) / 2
    np.testing.assert_allclose(results.predicted[:, 5, 0], middles, atol=1e-2)
    # 32 faces of 32 pixels or fewer, 8 of 64: as many bytes; over four devices
    assert COMPILED == [(8, 16), (8, 32), (2, 64)]


@pytest.mark.parametrize(("side", "size"), [(1, 16), (16.5, 16), (16.6, 32), (64, 64), (999, 64)])
def test_the_size_that_fits(side, size):
    assert fitting_size((16, 32, 64), side) == size
