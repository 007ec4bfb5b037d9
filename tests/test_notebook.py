"""The notebook in examples/ runs from its first cell to its last."""

import json
import shutil

import numpy as np
import pytest

from tests.helpers import ROOT


NOTEBOOK = ROOT / "examples/photo_to_recipe.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert NOTEBOOK.stat().st_size < 20e3


@pytest.mark.heavy
@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch, capsys):
    """In one process, as Jupyter would, in a folder with nothing but the portrait."""
    shutil.copy(ROOT / "examples/astronaut.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    names: dict = {"__name__": "__main__"}
    for number, cell in enumerate(CODE):
        exec(compile(cell, f"{NOTEBOOK.name}, code cell {number}", "exec"), names)
    assert tmp_path in names["work"].parents and (names["workdir"] / "report/report.html").is_file()
    (first,), (again,) = names["faces"], names["again"]
    assert first.points.shape == again.points.shape == (68, 2)
    assert np.abs(first.points - again.points).mean() < 5  # pixels, of a face of 100
    printed = capsys.readouterr().out
    assert "ok (68, 2)" in printed and "one of constant, step, cosine" in printed
    assert "faces: 8 to train on, 4 to validate on" in printed
    (row,) = (row for row in names["summary"]["rows"] if row["subset"] == "all")
    assert row["faces"] == 4 and row[names["summary"]["headline"]]["nme"] < 0.1
