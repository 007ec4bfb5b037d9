"""What networks are told of the training data before the first step."""

import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, decoding
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, Crop, crop_face
from jaxalign.recipe import Recipe, override
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems import PixelWise
from jaxalign.training import facts
from jaxalign.training.loop import Run
from tests.helpers.small import filled, saved, small_recipe


def test_the_mean_shape_is_that_of_the_crops(data_300w):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    crop = Crop(landmarks=BoxRule(1.4, 0.1))
    rows = [crop_face(sample, IBUG68, crop, 48)["points"] for sample in source]
    expected = (np.mean(rows, 0) + 0.5) / 48
    np.testing.assert_allclose(facts.mean_shape(source, crop), expected, atol=1e-6)


def test_the_mean_shape_is_of_labelled_points(data_300w):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    crop, samples = Crop(), [dict(source[0]), dict(source[1])]
    whole = facts.mean_shape(samples[1:], crop)
    points, labelled = samples[0]["points"].copy(), samples[0]["labelled"].copy()
    points[30], labelled[30] = np.nan, False
    samples[0] |= {"points": points, "labelled": labelled}
    found = facts.mean_shape(samples, crop)
    np.testing.assert_allclose(found[30], whole[30], atol=1e-6)
    with pytest.raises(InputError, match="no training face has the points 30 labelled"):
        facts.mean_shape(samples[:1], crop)


def test_a_run_tells_it_to_the_network_that_asks(data_300w, tmp_path):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    system = PixelWise(size=32, method="dan", discriminator=False, width=2, stages=2, epochs=1)
    recipe = override(small_recipe(), [])
    recipe = Recipe(system, recipe.data, recipe.training)
    Run(recipe, source, [], tmp_path / "w").run()
    _, variables, _ = checkpoints.load(tmp_path / "w")
    expected = facts.mean_shape(source, recipe.data.crop)
    found = variables["batch_stats"]["network"]["mean_shape"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_statistics_that_an_older_version_kept_are_passed_over(tmp_path):
    """DAN counted the steps of its mean shape until it was a fact."""
    recipe = small_recipe()
    variables = filled(recipe.system.shapes())
    older = variables | {
        "batch_stats": {"network": variables["batch_stats"]["network"] | {"steps": np.ones(3)}}
    }
    aligner = jaxalign.load(saved(recipe, older, tmp_path / "w"))
    assert aligner.system == recipe.system


def test_shape_modes_are_those_of_the_shapes():
    rng = np.random.default_rng(0)
    mean, way = rng.normal(size=(2, 12, 2))
    mean -= mean.mean(0)
    mean /= np.sqrt((mean**2).sum(1).mean())
    way -= way.mean(0)
    for shape in (mean, mean[:, ::-1] * (-1, 1)):  # a way that is neither growth nor turn
        way -= shape * (way * shape).sum() / (shape**2).sum()
    way *= 0.2 / np.linalg.norm(way)
    samples = []
    for amount in rng.normal(size=400):
        points = 50 * (mean + amount * way) @ np.array([[0.6, -0.8], [0.8, 0.6]]) + (30, 40)
        samples.append({"points": points, "labelled": np.ones(12, bool)})
    samples.append({"points": 0 * points, "labelled": np.arange(12) > 0})
    found = facts.shape_modes(samples, Crop())
    assert found.shape == (1 + 24, 12, 2)
    turned, _, turn = decoding.onto(mean[None], found[0])
    np.testing.assert_allclose(turned[0], found[0], atol=0.01)
    np.testing.assert_allclose(np.linalg.norm(found[1]), 0.2, rtol=0.1)
    along = (
        np.abs((way @ turn[0] * found[1]).sum()) / np.linalg.norm(way) / np.linalg.norm(found[1])
    )
    assert along > 0.99 and np.abs(found[2:]).max() < 0.01
    with pytest.raises(InputError, match="fewer than two"):
        facts.shape_modes(samples[-1:], Crop())
