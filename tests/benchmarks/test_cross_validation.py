"""Cross-validation: every photo in one fold, every face predicted once, by models without it."""

import json

import numpy as np
import pytest

from benchmarks import cross_validation
from benchmarks.cross_validation import folds
from benchmarks.starts import Pool
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.starts import MISSES, faked, start_of


def test_every_photo_is_in_one_fold(data_300w):
    data = Pool.of(["ibug_300w/train", "ibug_300w/test"], IBUG68, data_300w)
    parts = folds(data, 4)
    assert sorted(len(fold.groups) for _, fold in parts) == [2, 2, 3, 3]
    held = [sample["id"] for _, fold in parts for sample in fold]
    assert sorted(held) == sorted(sample["id"] for sample in data)
    for rest, fold in parts:
        assert not rest.groups.keys() & fold.groups.keys()
        assert len(rest) + len(fold) == len(data) == 12
    for number in (1, 11):
        with pytest.raises(InputError, match=f"--folds {number}: .* into 2 to 10"):
            folds(data, number)


def test_command(data_300w, tmp_path, monkeypatch, capsys):
    """Twice: the second time nothing is trained."""
    trained = faked(monkeypatch)
    (tmp_path / "tiny.py").write_text("from tests.helpers.small import small_recipe as config")
    start, out = start_of(tmp_path, "union"), tmp_path / "out"
    specs = ["ibug_300w/train", "ibug_300w/test"]
    arguments = ["--config", tmp_path / "tiny.py", "--data", *specs, "--data-dir", data_300w,
                 "--folds", 3, "--starts", "none", start, "--steps", 5, "--out", out]  # fmt: skip
    arguments = list(map(str, arguments))
    assert cross_validation.main(arguments) == 0
    assert [run.recipe.training.init_from for run in trained] == ["", start] * 3
    data = [sample for spec in specs for sample in open_source(spec, IBUG68, data_300w)]
    everything = Results.load(out / "none.jsonl")
    assert sorted(everything.ids) == sorted(sample["id"] for sample in data)
    for number, run in enumerate(trained[::2], 1):
        own = Results.load(out / f"none_{number}of3" / "predictions.jsonl").ids
        assert {s["id"] for s in run.train} | set(own) == set(everything.ids)
        assert len(run.train) + len(own) == 12

    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    assert names == ["run", "none", start, f"{start}, untrained"]
    assert "12 faces, by inter_ocular" in printed and f"- from {start}: network: " in printed
    assert lines[2] in (out / "comparison.md").read_text()
    rows = json.loads((out / "comparison.json").read_text())["comparison"]["rows"]
    eyes = np.mean([1 / np.linalg.norm(s["points"][36] - s["points"][45]) for s in data])
    rows = {row["run"]: row for row in rows if row["subset"] == "all"}
    kinds = {start: "start", f"{start}, untrained": "untrained"}
    assert rows["none"]["difference"] is None
    for name, kind in kinds.items():
        expected = eyes * (MISSES[kind] - MISSES["none"])
        assert rows[name]["difference"]["numbers"]["nme"] == pytest.approx(expected, abs=2e-6)
        low, high = rows[name]["difference"]["intervals"]["nme"]
        assert low - 1e-6 <= expected <= high + 1e-6 < 0

    trained.clear()
    assert cross_validation.main(arguments) == 0
    assert not trained and capsys.readouterr().out == printed
    assert cross_validation.main([*arguments, "--data", specs[0], specs[0]]) == 2
    assert "comes more than once" in capsys.readouterr().err
