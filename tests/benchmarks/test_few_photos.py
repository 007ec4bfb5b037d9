"""NME against the number of training photos: which faces, which rows, and the picture."""

import json

import numpy as np
import pytest

from benchmarks import few_photos
from benchmarks.few_photos import nearest, training_faces
from benchmarks.starts import Pool
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import Source, open_source
from tests.helpers.starts import MISSES, faked, start_of


def pool(groups, name="train"):
    return Pool((Source(name, IBUG68, [{}] * len(groups), groups, tuple(range(len(groups)))),))


def test_fewer_faces_are_among_more_and_photos_stay_whole():
    rng = np.random.default_rng(0)
    groups = [f"photo{n}" for n in range(300) for _ in range(rng.integers(1, 6))]
    data, numbers = pool(groups), [1, 7, 20, 50, 200, len(groups)]
    parts = training_faces(data, pool([], "test"), numbers)
    for part, number in zip(parts, numbers, strict=True):
        assert abs(len(part) - number) <= 4
        assert all(part.groups[group] == data.groups[group] for group in part.groups)
    for fewer, more in zip(parts, parts[1:], strict=False):
        assert set(fewer.parts[0].chosen) < set(more.parts[0].chosen)
    assert len(parts[-1]) == len(groups)
    turned = training_faces(pool(groups[::-1]), pool([], "test"), numbers)
    assert [part.groups for part in turned] == [part.groups for part in parts]


def test_whole_photos_come_as_near_as_they_can():
    groups = {"a": 5, "b": 2, "c": 4}
    found = {number: nearest(groups, number) for number in (1, 5, 6, 7, 9, 10, 11)}
    assert [len(kept) for kept in found.values()] == [1, 1, 1, 2, 2, 3, 3]


def test_no_photo_of_the_test_set_is_trained_on():
    data, test = pool(["a", "b", "a", "c", "d"]), pool(["x", "a"], "test")
    (part,) = training_faces(data, test, [3])
    assert set(part.groups) == {"b", "c", "d"}
    for number in (0, 4):
        with pytest.raises(InputError, match=f"--faces {number}: train has 3 to train on"):
            training_faces(data, test, [number])
    data, test = pool(["a"], "w300_lp/train"), pool(["b"], "ibug_300w/test")
    with pytest.raises(InputError, match="w300_lp/train and ibug_300w/test show some of the same"):
        training_faces(data, test, [1])


def test_command(data_300w, tmp_path, monkeypatch, capsys):
    """Two starts, one of them of more points, twice: the second time nothing is trained."""
    trained = faked(monkeypatch)
    (tmp_path / "tiny.py").write_text("from tests.helpers.small import small_recipe as config")
    start, out = start_of(tmp_path, "union"), tmp_path / "out"
    arguments = [
        "--config", tmp_path / "tiny.py", "--data", "ibug_300w/train", "--test", "ibug_300w/test",
        "--data-dir", data_300w, "--faces", 6, 3, "--starts", "none", start, "--steps", 5,
        "--out", out,
    ]  # fmt: skip
    assert few_photos.main(list(map(str, arguments))) == 0
    # three were asked for, of whole photos
    assert [(run.recipe.training.init_from, len(run.train)) for run in trained] == [
        ("", 4), (start, 4), ("", 6), (start, 6),
    ]  # fmt: skip
    assert {sample["group"] for sample in trained[0].train} <= {
        sample["group"] for sample in trained[2].train
    }
    table = capsys.readouterr().out
    assert table == (out / "few_photos.md").read_text()
    assert "ibug_300w/test, 5 steps on ibug_300w/train: 6 faces, by inter_ocular, %" in table
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
             if line.startswith("| ")]  # fmt: skip
    assert cells[0] == ["start", "faces", "photos", "NME", "difference", "FR@8", "difference"]
    assert [row[:3] for row in cells[1:]] == [
        [start, "0", "0"], ["none", "4", "2"], [start, "4", "2"],
        ["none", "6", "4"], [start, "6", "4"],
    ]  # fmt: skip
    assert f"- from {start}: network: " in table and "union to ibug68 points" in table

    test = open_source("ibug_300w/test", IBUG68, data_300w)
    eyes = np.mean([1 / np.linalg.norm(s["points"][36] - s["points"][45]) for s in test])
    rows = json.loads((out / "few_photos.json").read_text())["rows"]
    found = {(row["start"], row["faces"]): row for row in rows}
    kinds = {(start, 0): "untrained", ("none", 4): "none", ("none", 6): "none",
             (start, 4): "start", (start, 6): "start"}  # fmt: skip
    assert found.keys() == kinds.keys() and len(rows) == 5
    for key, kind in kinds.items():
        numbers, ends = found[key]["numbers"], found[key]["intervals"]["nme"]
        assert numbers["nme"] == pytest.approx(eyes * MISSES[kind], abs=2e-6)
        assert ends[0] - 1e-6 <= numbers["nme"] <= ends[1] + 1e-6
        assert numbers["fr@8"] == (kind == "none")
    for faces in (4, 6):
        difference = found[start, faces]["difference"]["numbers"]["nme"]
        assert difference == pytest.approx(eyes * (0.5 - 2.5), abs=2e-6)
        assert found["none", faces]["difference"] is None
    assert (out / "few_photos.png").stat().st_size > 10_000

    trained.clear()
    assert few_photos.main(list(map(str, arguments))) == 0
    assert not trained and capsys.readouterr().out == table
    assert few_photos.main([*map(str, arguments), "--set", "data.threads=3"]) == 0 and not trained
    assert few_photos.main([*map(str, arguments), "--steps", "6"]) == 2
    assert "run.json is of other data, steps or settings; name another --out" in (
        capsys.readouterr().err
    )
    assert few_photos.main([*map(str, arguments), "--faces", "7"]) == 2
    assert "--faces 7: ibug_300w/train has 6 to train on" in capsys.readouterr().err
    start_of(tmp_path, "union", 1.5)  # other weights in the file
    assert few_photos.main(list(map(str, arguments))) == 2
    assert "is of other data, steps or settings" in capsys.readouterr().err
