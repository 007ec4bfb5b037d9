"""Weights that come with jaxalign: found by name, used without an argument, known by their hash."""

import json

import jax
import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, weights
from jaxalign.commands import evaluate, export, predict
from jaxalign.errors import InputError
from jaxalign.training import initial
from tests.helpers import ROOT
from tests.helpers.commands import call, refused
from tests.helpers.small import filled, packaged, saved, small_recipe


RECIPE = small_recipe()
VARIABLES = filled(RECIPE.system.shapes())
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
LINE = "jaxalign's own weights 'drawn', learned from drawn faces alone, from no photo"


@pytest.fixture
def own(monkeypatch, tmp_path):
    """The file that stands for the package's, in a folder of its own."""
    (tmp_path / "package").mkdir()
    return packaged(monkeypatch, tmp_path / "package", RECIPE, VARIABLES)


def kernel_of(aligner):
    return np.asarray(aligner.variables["params"]["network"]["logits"]["kernel"])


def test_load_without_an_argument(own):
    kernel = VARIABLES["params"]["network"]["logits"]["kernel"]
    for aligner in (jaxalign.load(), jaxalign.load("drawn"), jaxalign.load(own)):
        np.testing.assert_array_equal(kernel_of(aligner), kernel)


def test_what_is_called_so_where_one_works_goes_before(own, tmp_path, monkeypatch):
    """But not where no name is given: that does not depend on the folder."""
    monkeypatch.chdir(tmp_path)
    other = jax.tree.map(lambda leaf: leaf + 1, VARIABLES)
    saved(RECIPE, other, tmp_path / "drawn")
    assert checkpoints.find_step("drawn") == tmp_path / "drawn/checkpoints/1"
    assert checkpoints.find_step() == own


def test_predict_on_the_astronaut(own, tmp_path, capsys):
    """On the public portrait, whose face the default detector finds."""
    assert call(predict, ASTRONAUT, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert f"\n{LINE}\n" in printed and "1 photos: 1 ok" in printed
    found = json.loads((tmp_path / "out/faces.json").read_text())
    assert found["checkpoint"] == LINE
    (face,) = found["photos"][0]["faces"]
    x0, y0, x1, y1 = face["box"]
    assert x0 < 200 < 245 < x1 and y0 < 115 < y1  # her eyes lie so
    assert (tmp_path / "out" / found["photos"][0]["picture"]).is_file()


def test_evaluate_and_export_by_name(own, data_300w, tmp_path, capsys):
    data = "--data", "ibug_300w/test", "--data-dir", data_300w
    assert call(evaluate, "--ckpt", "drawn", *data, "--report", tmp_path / "report") == 0
    assert f"\n{LINE}\non ibug_300w/test" in capsys.readouterr().out
    assert LINE in (tmp_path / "report/report.json").read_text()
    out = tmp_path / "w.safetensors"
    assert call(export, "--ckpt", "drawn", "--out", out, *data, "--faces", 2) == 0
    assert out.read_bytes() == own.read_bytes()


def test_training_starts_from_them(own):
    zeros = jax.tree.map(np.zeros_like, VARIABLES)
    found, (line,) = initial.start(RECIPE.system, zeros, "drawn")
    jax.tree.map(np.testing.assert_array_equal, found, VARIABLES)
    assert line.endswith(f"arrays from {own}")


def test_another_file_is_refused(own, capsys):
    whole = own.read_bytes()
    for data in (whole[:-1] + b"\1", whole[:-1], b""):
        own.write_bytes(data)
        with pytest.raises(
            InputError, match=f"^{own}: not the file of .*; install jaxalign again$"
        ):
            jaxalign.load()
    assert "install jaxalign again" in refused(capsys, predict, ASTRONAUT)


def test_a_missing_file_is_told(own, capsys):
    own.unlink()
    with pytest.raises(InputError, match=f"^{own}: is missing; install jaxalign again"):
        jaxalign.load()
    assert "is missing; install jaxalign again" in refused(capsys, predict, ASTRONAUT)
    assert "is missing" in refused(capsys, evaluate, "--ckpt", "drawn")


def test_a_copy_elsewhere_is_a_file_like_any(own, tmp_path):
    copy = tmp_path / "copy.safetensors"
    checkpoints.write(copy, RECIPE, VARIABLES, notes={"a": "b"})
    assert weights.told(copy) == str(copy) and weights.told(own) == LINE
    jaxalign.load(copy)


def test_the_table():
    assert weights.DEFAULT in weights.WEIGHTS
    for row in weights.WEIGHTS.values():
        assert row.licence == "Apache-2.0" and "\n" not in row.about
