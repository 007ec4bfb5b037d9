"""Every variant of every paper makes a recipe, of the paper's size and of a CPU's."""

import importlib
import re

import pytest

from jaxalign.errors import InputError
from jaxalign.papers import PAPERS, Variant
from jaxalign.papers.work import Work
from jaxalign.training import train


RECIPES = {
    "attention_cropping": ("attention_ibug_300w", "attention_light_ibug_300w"),
    "gaussian_vector": ("gv_resnet50_ibug_300w", "gv_light_ibug_300w"),
    "pixelwise": ("pixelwise_ibug_300w", "pixelwise_light_ibug_300w"),
    "propagationnet": ("propnet_wflw", "propnet_light_ibug_300w"),
    "tab": ("tab_ibug_300w", "tab_light_ibug_300w"),
}


@pytest.fixture
def trained(monkeypatch):
    """The recipes that would have been trained."""
    recipes = []
    monkeypatch.setattr(train, "train", lambda recipe, *_, **__: recipes.append(recipe))
    return recipes


def variants(paper):
    module = importlib.import_module(f"jaxalign.papers.{paper}")
    blocks = [block for table in module.TABLES.values() for block in table]
    rows = [row for part in (*blocks, *module.FIGURES.values()) for row in part.rows]
    return [row for row in rows if isinstance(row, Variant)]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_variant_is_trained_once(paper, trained, tmp_path):
    for config in RECIPES[paper]:
        work, made = Work(tmp_path, config=config), len(trained)
        settings = {(row.train, row.after) for row in variants(paper)}
        before = {row.after for row in variants(paper)} - {None}  # whose models are trained first
        for row in variants(paper):
            try:
                work.train(row, work.base.training.seed)
            except InputError as error:  # those that fit no narrow network
                assert config == "tab_light_ibug_300w"
                assert re.search("the stem resnet has 256|or a trained one by --set", str(error))
        found = trained[made:]
        assert len(found) == len(work.trained) <= len(settings) + len(before)
        assert len({str(recipe) for recipe in found}) == len(found) > 1
    assert set(RECIPES) == set(PAPERS)


def test_a_setting_may_be_for_some_variants_alone(trained, tmp_path):
    """Of two optimisers each variant has one; both may be set for the table."""
    rates = ["system.optimizer.rate=0.002", "system.regression_optimizer.rate=0.003"]
    work = Work(tmp_path, config="pixelwise_light_ibug_300w", settings=rates)
    for row in variants("pixelwise")[:3]:
        work.train(row, 0)
    found = {recipe.system.method: recipe.system for recipe in trained}
    assert found["distribution"].optimizer.rate == 0.002
    assert found["direct"].regression_optimizer.rate == 0.003
