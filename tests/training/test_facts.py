"""What networks are told of the training data before the first step."""

import jax
import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints
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
    variables = filled(jax.eval_shape(recipe.system.init, jax.random.key(0)))
    older = variables | {
        "batch_stats": {"network": variables["batch_stats"]["network"] | {"steps": np.ones(3)}}
    }
    aligner = jaxalign.load(saved(recipe, older, tmp_path / "w"))
    assert aligner.system == recipe.system


def test_the_mean_shape_is_over_the_faces_that_have_a_point(data_300w):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    whole, some = list(source), [dict(sample) for sample in source]
    some[1]["points"] = some[1]["points"].copy()
    some[1]["points"][5] = np.nan
    crop = Crop()
    without = facts.mean_shape(whole[:1] + whole[2:], crop)
    # the landmark box, and so the crop, is the same: point 5 lies within the contour's extent
    found, complete = facts.mean_shape(some, crop), facts.mean_shape(whole, crop)
    np.testing.assert_allclose(found[5], without[5], atol=1e-12)
    np.testing.assert_allclose(np.delete(found, 5, 0), np.delete(complete, 5, 0), atol=1e-12)
    for sample in some:
        sample["points"] = sample["points"].copy()
        sample["points"][[5, 7]] = np.nan
    with pytest.raises(InputError, match="no training face has the points 5, 7"):
        facts.mean_shape(some, crop)
