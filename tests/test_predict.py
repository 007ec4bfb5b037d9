"""The flip test, and the way of a prediction back into the photo."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from small import small_recipe

from jaxalign.evaluation.predict import Predictor, predict_source
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems.interface import System


@dataclass(frozen=True)
class Centroid(System):
    """Every point is the crop's centre of brightness; point i is i pixels below it, and its score
    is i / 100."""

    size: int = 32

    def predict(self, variables, images):
        mass = images.astype(jnp.float32).mean(-1) + 1e-3
        total, grid = mass.sum((1, 2)), jnp.arange(self.size, dtype=jnp.float32)
        x = jnp.einsum("bhw,w->b", mass, grid) / total
        y = jnp.einsum("bhw,h->b", mass, grid) / total
        number = jnp.arange(68, dtype=jnp.float32)
        points = jnp.stack([x, y], -1)[:, None] + jnp.stack([0 * number, number], -1)[None]
        return points, jnp.broadcast_to(number[None] / 100, (len(images), 68))


def test_flip_test_mirrors_points_and_order_back():
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    plain, _ = Predictor(Centroid())({}, images)
    both, score = Predictor(Centroid(), flip_test=True)({}, images)
    np.testing.assert_allclose(both[..., 0], plain[..., 0], atol=1e-4)
    order = np.arange(68)
    expected = (order + order[list(IBUG68.flip)]) / 2
    np.testing.assert_allclose(both[..., 1] - plain[:, :1, 1], np.tile(expected, (4, 1)), atol=1e-4)
    np.testing.assert_allclose(score, np.tile(expected / 100, (4, 1)), atol=1e-6)


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
