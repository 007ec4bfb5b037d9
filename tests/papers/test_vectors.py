"""Gaussian Vector's Fig. 4: which point is shown, and what is drawn of it."""

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.commands import paper
from jaxalign.errors import InputError
from jaxalign.papers import gaussian_vector, vectors
from jaxalign.pipeline import BoxRule, Crop, evaluation_batches
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems.gaussian_vector import GaussianVector


FIGURE = gaussian_vector.FIGURES[4]


class Perfect(GaussianVector):
    """Gives the labels of the points that its variables are."""

    def maps(self, variables, images):
        return variables

    def vectors(self, maps):
        return self.label(maps)


@pytest.fixture
def model(data_300w):
    """Perfect on all six faces, in one batch; a crop that the figure makes smaller still."""
    system = Perfect(size=64, outside="scaled")
    source = open_source("ibug_300w/test", IBUG68, data_300w)
    crop = Crop(landmarks=BoxRule(0.9))
    seen = vectors.shrunk(crop, FIGURE.rows[0].shrink)
    (batch,) = evaluation_batches(source, IBUG68, seen, 64, batch=len(source))
    return SimpleNamespace(
        system=system, source=source, variables=batch["points"], batch=len(source), step=Path("w"),
        recipe=SimpleNamespace(data=SimpleNamespace(crop=crop)),
    )  # fmt: skip


@pytest.mark.heavy
def test_the_point_nearest_to_three_pixels_beyond_is_drawn(model, tmp_path, capsys):
    crop = vectors.shrunk(model.recipe.data.crop, 0.9)
    assert crop.landmarks.enlarge == pytest.approx(0.81)
    one = vectors.find(model, crop)
    true = geometry.to_map(model.variables, 4)
    beyond = np.maximum(-true, true - 15)
    alone = (beyond > 0.5).sum(-1) == 1
    wanted = abs(beyond.max(-1)[alone] - 3).min()
    past = max(-one.true[one.axis], one.true[one.axis] - 15)
    assert past > 0.5 and abs(past - 3) == pytest.approx(wanted, abs=1e-5)
    assert 0 <= one.true[1 - one.axis] <= 15
    np.testing.assert_allclose(one.found[one.axis], one.true[one.axis], atol=1e-3)

    vectors.draw(FIGURE, SimpleNamespace(opened=lambda row, figure: model), tmp_path / "f.png")
    assert one.face in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "f.png")).std() > 10
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    inside = [row for row in rows if row["x"]]
    assert [int(row["map pixel"]) for row in inside] == list(range(16))
    off, usual = ("xy"[axis] for axis in (one.axis, 1 - one.axis))
    for row in inside:  # the label there is Eq. 6, of the point that was found
        assert float(row[off]) == pytest.approx(float(row["Eq. 6"]), abs=1e-4)
    assert max(float(row[usual]) for row in inside) == 4
    highest = max(rows, key=lambda row: float(row["Eq. 6"]))
    assert not highest["x"] and abs(int(highest["map pixel"]) - one.found[one.axis]) <= 0.5


@pytest.mark.heavy
def test_faces_without_such_a_point_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="no point beside its crop"):
        vectors.find(model, Crop(landmarks=BoxRule(3.0)))
    heatmaps = SimpleNamespace(system=replace(model.system, bands=()), step=Path("w"))
    with pytest.raises(InputError, match="w: has no vectors"):
        vectors.draw(FIGURE, SimpleNamespace(opened=lambda *_: heatmaps), tmp_path / "f.png")


def test_the_figure_needs_a_model(tmp_path, capsys):
    assert paper.main(["gaussian_vector", "--figure", "4", "--workdir", str(tmp_path)]) == 2
    assert "--config, the recipe of its models, or --ckpt" in capsys.readouterr().err
