"""jaxalign evaluate without a model: any tool's predictions, and runs side by side."""

import csv
import json

import cv2
import numpy as np
import pytest

from jaxalign import folders
from jaxalign.commands import evaluate
from jaxalign.evaluation import pictures
from jaxalign.evaluation.report import FILES, KIND
from jaxalign.evaluation.truth import truth_of
from jaxalign.geometry import landmark_box, square, transform
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.fakes import fake
from tests.helpers.trees import face68, write_pts


def call(*arguments):
    return evaluate.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    assert call(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def truth(data_300w):
    return truth_of(open_source("ibug_300w/test", IBUG68, data_300w), "test", IBUG68)


@pytest.fixture
def predictions(truth, tmp_path):
    """Six faces of 300W's test as a CSV, each point 1 pixel to the right of the true one."""
    path = tmp_path / "theirs.csv"
    with path.open("w", newline="") as file:
        for name, points in zip(truth.ids, truth.points + (1, 0), strict=True):
            csv.writer(file).writerow([name, *points.ravel()])
    return path


def test_predictions_on_a_prepared_benchmark(data_300w, truth, predictions, tmp_path, capsys):
    arguments = ["--predictions", predictions, "--data", "ibug_300w/test", "--data-dir", data_300w]
    assert call(*arguments, "--report", tmp_path / "r") == 0
    printed = capsys.readouterr().out
    assert "2 of 330" in printed and "NMSE" in printed
    assert {path.name for path in (tmp_path / "r").iterdir()} == {*FILES, folders.mark(KIND)}
    report = json.loads((tmp_path / "r/report.json").read_text())
    eyes = np.linalg.norm(truth.points[:, 36] - truth.points[:, 45], axis=1)
    nme = report["summary"]["rows"][-1]["inter_ocular"]["nme"]
    assert nme == pytest.approx(np.mean(1 / eyes), abs=1e-5)
    assert report["about"]["predictions"] == str(predictions)
    assert report["about"]["benchmark"] == "ibug_300w"


def test_predictions_of_a_tool_that_finds_some_faces(
    data_300w, truth, predictions, tmp_path, capsys, monkeypatch
):
    shown, write_faces = {}, pictures.write_faces

    def noted(path, results, errors, crops):
        for index, name in enumerate(results.ids):
            box = landmark_box(transform(crops(index)[1], results.truth[index]))
            shown[name] = square(box, 1)[0]
        write_faces(path, results, errors, crops)

    monkeypatch.setattr(pictures, "write_faces", noted)
    lines = predictions.read_text().splitlines(keepends=True)
    predictions.write_text("".join(lines[:2] + lines[3:]))
    arguments = ["--predictions", predictions, "--data", "ibug_300w/test", "--data-dir", data_300w]
    assert call(*arguments) == 2
    assert "no points for 1 faces" in (message := capsys.readouterr().err)
    assert "--found-only" in message
    assert call(*arguments, "--found-only", "--report", tmp_path / "r") == 0
    assert "the 5 of 6 faces that have a prediction" in capsys.readouterr().out
    report = json.loads((tmp_path / "r/report.json").read_text())
    assert report["about"]["found_only"] == "5 of 6"
    assert {*shown} == {*np.delete(truth.ids, 2)}  # each in the middle of its own photo's crop
    np.testing.assert_allclose([*shown.values()], np.full((5, 2), 127.5), atol=0.6)
    eyes = np.linalg.norm(truth.points[:, 36] - truth.points[:, 45], axis=1)
    row = report["summary"]["rows"][-1]
    assert row["inter_ocular"]["nme"] == pytest.approx(np.mean(np.delete(1 / eyes, 2)), abs=1e-5)


def test_own_predictions_hold_their_truth_and_name_their_benchmark(
    data_300w, predictions, tmp_path, capsys
):
    arguments = ["--predictions", predictions, "--data", "ibug_300w/test", "--data-dir", data_300w]
    assert call(*arguments, "--report", tmp_path / "r") == 0
    first = capsys.readouterr().out.split("\n\n", 1)[1]
    assert call("--predictions", tmp_path / "r/predictions.jsonl") == 0
    second = capsys.readouterr().out.split("\n\n", 1)[1]
    assert first.startswith(second.rstrip()) and "eye_anchors" in second


def test_predictions_on_a_file_of_true_points(tmp_path, capsys):
    results = fake(5)
    results.save(tmp_path / "truth.jsonl", "box")
    records = [
        {"imgpath": name, "bbox": [0, 0, 1, 1], "landmarks": points.tolist()}
        for name, points in zip(results.ids, results.predicted, strict=True)
    ]
    (tmp_path / "p.json").write_text(json.dumps(records[::-1]))
    arguments = ["--predictions", tmp_path / "p.json", "--truth", tmp_path / "truth.jsonl"]
    assert call(*arguments, "--scheme", "ibug68", "--report", tmp_path / "r") == 0
    assert f"{100 * results.nme('inter_ocular').mean():.2f}" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "r/faces.png"))
    assert sheet.std() > 5  # points on plain ground: there are no photos


def test_predictions_on_a_folder_of_photos(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    rows = []
    for name in ("one", "two"):
        points = face68(len(rows))
        cv2.imwrite(str(tmp_path / "mine" / f"{name}.png"), np.full((64, 64, 3), 90, np.uint8))
        write_pts(tmp_path / "mine" / f"{name}.pts", points)
        rows.append(f"{name}.png," + ",".join(map(str, points.ravel())))
    (tmp_path / "p.csv").write_text("\n".join(rows))
    arguments = ["--predictions", tmp_path / "p.csv", "--truth", tmp_path / "mine"]
    assert call(*arguments, "--scheme", "ibug68") == 0
    assert "0.00" in capsys.readouterr().out


def test_compare(data_300w, predictions, tmp_path, capsys):
    arguments = ["--predictions", predictions, "--data", "ibug_300w/test", "--data-dir", data_300w]
    for name in ("a", "b"):
        assert call(*arguments, "--report", tmp_path / name) == 0
    capsys.readouterr()
    runs = ["--compare", tmp_path / "a", tmp_path / "b/predictions.jsonl"]
    assert call(*runs, "--report", tmp_path / "c") == 0
    printed = capsys.readouterr().out
    assert "+0.00 [+0.00, +0.00]" in printed and "AUC@8" in printed
    about = json.loads((tmp_path / "c/comparison.json").read_text())["about"]
    assert about["benchmark"] == "ibug_300w"


def test_refusals(data_300w, predictions, tmp_path, capsys):
    given = ["--predictions", predictions]
    data = ["--data", "ibug_300w/test", "--data-dir", data_300w]
    assert "true points are needed" in refused(capsys, *given)
    assert "not both" in refused(capsys, *given, *data, "--truth", predictions)
    assert "give --scheme" in refused(capsys, *given, "--truth", predictions)
    line = refused(capsys, *given, "--truth", predictions, "--scheme", "mine68")
    assert "--scheme mine68: unknown; choose one of ibug68" in line
    line = refused(capsys, *given, "--data", "ibug_300w/lfpw_test", "--data-dir", data_300w)
    assert "does not match ibug_300w/lfpw_test: 4 ids that it lacks (helen/" in line
    assert "two runs or more" in refused(capsys, "--compare", predictions)
    assert "twice" in refused(capsys, "--compare", predictions, predictions)
    line = refused(capsys, "--compare", tmp_path / "none", predictions)
    assert "No such file" in line and "predictions.jsonl" in line
    line = refused(capsys, "--ckpt", "w", "--truth", predictions)
    assert "--truth goes with --predictions" in line
    line = refused(capsys, "--compare", predictions, "b", "--scheme", "ibug68")
    assert "--scheme does not go with --compare" in line
    assert "--boxes goes with --ckpt" in refused(capsys, *given, *data, "--boxes", "jitter")
    assert "--flip-test goes with --ckpt" in refused(capsys, *given, *data, "--flip-test")
    assert "--refine goes with --ckpt" in refused(capsys, *given, *data, "--refine", 1)
    with pytest.raises(SystemExit):
        call("--ckpt", "a", "--predictions", "b")
