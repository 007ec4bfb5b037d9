"""The table of ONNX models: a row for every system, and numbers in it."""

import pytest

from benchmarks import onnx_models
from jaxalign import recipe as recipes
from jaxalign import to_onnx
from jaxalign.systems import SYSTEMS


needs_onnx = pytest.mark.skipif(
    not all(map(to_onnx.has, to_onnx.NEEDED)), reason="pip install '.[onnx]'"
)


def test_every_system_has_a_row():
    found = [
        recipes.override(recipes.load(c), list(s)).system for c, s in onnx_models.ROWS.values()
    ]
    assert {type(system).__name__ for system in found} == set(SYSTEMS)
    for system in found:
        to_onnx.check(system)


@needs_onnx
@pytest.mark.heavy
def test_a_row(monkeypatch, capsys):
    small = ["size=32", "width=8", "blocks=(1,1,1,1)", "decoder_width=8"]
    row = "integral_ibug_300w", tuple(f"system.{setting}" for setting in small)
    monkeypatch.setattr(onnx_models, "ROWS", {"tiny": row})
    assert onnx_models.main(["--repeats", "1"]) == 0
    header, line, *rows = capsys.readouterr().out.splitlines()[2:]
    assert header.count("|") == line.count("|") == rows[0].count("|") and len(rows) == 1
    name, size, _, exact, rounded, _, apart, *times, nme, moved = rows[0].strip("| ").split(" | ")
    assert (name, size) == ("tiny", "32") and float(apart) < 0.01
    assert float(rounded) <= float(exact)
    assert len(times) == 6 and min(map(float, times)) > 0
    assert float(nme) > 5 and float(moved) != 0  # of random weights


@needs_onnx
def test_refusals(capsys):
    assert onnx_models.main(["--only", "none"]) == 2
    assert "--only none: one of integral" in capsys.readouterr().err
    assert onnx_models.main(["--repeats", "0"]) == 2
