"""Models whose points are converted to those of the data: which scheme, what is scored and said."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.commands import evaluate
from jaxalign.conversion import CONVERTERS, convert
from jaxalign.datasets.faces import record
from jaxalign.datasets.synthetic_faces import face
from jaxalign.errors import InputError
from jaxalign.evaluation import evaluate as evaluation
from jaxalign.evaluation.model import open_model
from jaxalign.evaluation.report import FILES
from jaxalign.pipeline import Crop
from jaxalign.recipe import Recipe
from jaxalign.schemes import IBUG68, SCHEMES, UNION, WFLW98
from jaxalign.sources import Source
from jaxalign.systems.interface import System
from tests.helpers.commands import call, refused
from tests.helpers.small import filled, saved, small_recipe


@dataclass(frozen=True)
class Still(System):
    """Every face has the points of one drawn face, and scores that grow with their number."""

    size: int = 32

    def predict(self, variables, images):
        drawn = face("test", 0, 128, seed=0).points["union"] / 4
        points, _ = convert(drawn, "union", self.scheme)
        scores = jnp.linspace(0, 1, len(points))
        every = len(images), *points.shape
        return jnp.broadcast_to(points, every), jnp.broadcast_to(scores, every[:2])


@pytest.fixture
def opened(monkeypatch, data_300w):
    """Opens a model of that scheme on a small 300W, without a checkpoint."""

    def of(own, **options):
        recipe = Recipe(Still(scheme=own))
        found = recipe, {}, Path("step")
        monkeypatch.setattr("jaxalign.checkpoints.load", lambda *_: found)
        return open_model("w", data="ibug_300w/test", data_dir=data_300w, batch=4, **options)

    return of


def places(model, scheme):
    """The system's points, converted, in every photo of its source."""
    points, scores = model.predictor(model.variables, np.zeros((4, 32, 32, 3), np.uint8))
    points, scores = CONVERTERS[model.system.scheme, scheme].predicted(points[0], scores[0])
    crop = model.recipe.data.crop
    matrices = [geometry.crop_matrix(*crop.square(sample), 32) for sample in model.source]
    points = np.stack([points.astype(np.float64)] * len(matrices))
    return geometry.transform(geometry.invert(np.stack(matrices)), points), scores


@pytest.mark.parametrize("flip_test", [False, True])
def test_points_and_scores_are_converted_after_the_flip_test(opened, flip_test):
    model = opened("union", flip_test=flip_test)
    assert model.source.scheme == IBUG68 and model.converted == "union to ibug68"
    assert model.protocol.point_sets == {"eye_anchors": tuple(range(36, 48))}
    results = model.predict(model.source, model.recipe.data.crop)
    expected, scores = places(model, "ibug68")
    assert results.scheme == IBUG68
    np.testing.assert_allclose(results.predicted, expected, atol=2e-3)
    np.testing.assert_allclose(results.score, [scores] * len(results), atol=1e-4)


def test_which_scheme_is_scored(opened):
    assert opened("ibug68").converted == "" and opened("ibug68").source.scheme == IBUG68
    assert opened("wflw98").converted == "wflw98 to ibug68"
    assert opened("union", scheme="ibug68").source.scheme == IBUG68
    with pytest.raises(InputError, match="has no wflw98 points; it has: ibug68"):
        opened("union", scheme="wflw98")
    with pytest.raises(InputError, match="predicts ibug68 points, which give: ibug68"):
        opened("ibug68", scheme="wflw98")
    with pytest.raises(InputError, match="has no cofw29 or aflw19 points; it has: ibug68"):
        opened("cofw29")
    with pytest.raises(InputError, match="has no union points; it has: ibug68"):
        opened("union", convert=False)


def test_drawn_faces_by_every_scheme(opened):
    """The points of the one face are found exactly, whichever scheme they are asked for in."""
    records = [record(face("test", 0, 128, seed=0))]
    model = opened("union")
    for name, scheme in SCHEMES.items():
        source = Source("drawn", scheme, records, groups=["0"], chosen=(0,))
        one = replace(model, source=source)
        results = one.predict(source, WholePhoto())
        np.testing.assert_allclose(results.predicted[0], records[0]["points"][name], atol=2)
        assert one.converted == ("" if name == "union" else f"union to {name}")


@dataclass(frozen=True)
class WholePhoto(Crop):
    def square(self, sample):
        return np.array([63.5, 63.5]), 128.0


def test_every_box_is_tried_in_the_datas_scheme(opened, tmp_path, capsys):
    model = opened("union")
    rows = evaluation.try_boxes(model, ("landmarks", "jitter"), report=tmp_path / "b")
    assert (
        len(rows) == 11 and "its points are converted, union to ibug68" in capsys.readouterr().out
    )
    about = json.loads((tmp_path / "b/boxes.json").read_text())["about"]
    assert about["converted"] == "union to ibug68"
    assert rows[0]["nme"] == pytest.approx(rows[1]["nme"])


def test_boxes_of_faces_that_lack_an_eye_corner(opened, tmp_path):
    """They are headed by the box, as the plain evaluation is."""
    records = [record(face("test", index, 128, seed=0)) for index in range(2)]
    records[1]["points"]["ibug68"][36] = np.nan
    records[1]["labelled"]["ibug68"][36] = False
    source = Source("mine/test", IBUG68, records, groups=["0", "1"], chosen=(0, 1))
    model = replace(opened("ibug68"), source=source)
    rows = evaluation.try_boxes(model, ("landmarks",), report=tmp_path / "b")
    assert rows[0]["nme"] == evaluation.score(model)["rows"][-1]["box"]["nme"]
    assert json.loads((tmp_path / "b/boxes.json").read_text())["headline"] == "box"


@pytest.mark.heavy
def test_a_checkpoint_of_union_on_a_benchmark(data_300w, tmp_path, capsys):
    small = small_recipe()
    recipe = replace(small, system=replace(small.system, scheme=UNION.name))
    variables = filled(recipe.system.shapes())
    workdir = saved(recipe, variables, tmp_path / "run")
    given = ["--ckpt", workdir, "--data", "ibug_300w/test", "--data-dir", data_300w]
    assert call(evaluate, *given, "--scheme", "ibug68", "--report", tmp_path / "r") == 0
    assert "\nits points are converted, union to ibug68\n" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "r").iterdir()} >= set(FILES)
    report = json.loads((tmp_path / "r/report.json").read_text())
    assert report["about"]["converted"] == "union to ibug68"
    assert report["about"]["recipe"]["system"]["scheme"] == "union"
    assert report["summary"]["scheme"] == "ibug68" and len(report["summary"]["landmarks"]) == 68
    assert "union to ibug68" in (tmp_path / "r/report.html").read_text()
    line = refused(capsys, evaluate, *given, "--scheme", WFLW98.name)
    assert "ibug_300w has no wflw98 points; it has: ibug68" in line
