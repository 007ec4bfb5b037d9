"""Predictions and annotations of other tools: every format, and what is refused."""

import csv
import json

import numpy as np
import pytest

from jaxalign import records
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import summarise
from jaxalign.evaluation.truth import match, read_results, read_truth, truth_of
from jaxalign.protocols import DEFAULT
from jaxalign.records import read_records
from jaxalign.schemes import AFLW19, IBUG68
from tests.helpers import ROOT
from tests.helpers.fakes import fake


IDS = ("set/a", "set/b", "set/c")
POINTS = np.random.default_rng(0).uniform(0, 200, (3, 19, 2)).round(3)
NAMES = [f"{axis}{i}" for i in range(19) for axis in "xy"]


def write_csv(path, header=True, ids=IDS, points=POINTS):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(["id", *NAMES])
        for name, face in zip(ids, points, strict=True):
            writer.writerow([name, *face.ravel()])
    return path


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def forms(folder):
    """The same three faces in every form -> {name of the form: its file}."""
    flat = [dict(zip(NAMES, face.ravel().tolist(), strict=True)) for face in POINTS]
    faces = list(zip(IDS, POINTS.tolist(), flat, strict=True))
    listed = [
        {"imgpath": f"{name}.jpg", "bbox": [0, 0, 9, 9], "landmarks": points}
        for name, points, _ in faces
    ]
    (folder / "list.json").write_text(json.dumps(listed, indent=1))
    columns = ["score", *reversed(NAMES), "id"]
    rows = [[0.5, *POINTS[i].ravel()[::-1], IDS[i]] for i in range(3)]
    text = "\n".join(",".join(map(str, row)) for row in [columns, *rows])
    (folder / "columns.csv").write_text("\ufeff" + text + "\n\n")
    return {
        "csv": write_csv(folder / "a.csv"),
        "csv without a header": write_csv(folder / "b.csv", header=False),
        "csv with columns anywhere": folder / "columns.csv",
        "list of records": folder / "list.json",
        "points": write_lines(
            folder / "c.jsonl", [{"id": name, "points": points} for name, points, _ in faces]
        ),
        "single numbers": write_lines(
            folder / "d.jsonl", [{"id": name, **numbers} for name, _, numbers in faces]
        ),
        "flat landmarks": write_lines(
            folder / "e.jsonl",
            [{"file": name, "landmarks": np.ravel(points).tolist()} for name, points, _ in faces],
        ),
    }


def truth_file(folder, ids=IDS, points=POINTS):
    return read_truth(write_csv(folder / "truth.csv", ids=ids, points=points), AFLW19)


def test_every_form_gives_the_same_faces_in_the_order_of_the_truth(tmp_path):
    truth = truth_file(tmp_path, ids=IDS[::-1], points=POINTS[::-1])
    for form, path in forms(tmp_path).items():
        results = read_results(path, truth)
        assert results.ids == IDS[::-1], form
        np.testing.assert_array_equal(results.predicted, POINTS[::-1], err_msg=form)
        assert results.nme("box").max() == 0 and results.score is None


def test_annotations_may_say_more(tmp_path):
    record = {"id": "a", "points": POINTS[0].tolist(), "subsets": ["full"], "hidden": [3, 18]}
    other = {"id": "b", "points": POINTS[1].tolist(), "norm_box": [0, 0, 10, 20]}
    truth = read_truth(write_lines(tmp_path / "t.jsonl", [record, other]), AFLW19)
    assert truth.subsets == (("full",), ())
    assert np.flatnonzero(~truth.visible[0]).tolist() == [3, 18] and truth.visible[1].all()
    np.testing.assert_array_equal(truth.norm_box, [[np.nan] * 4, [0, 0, 10, 20]])


def test_own_predictions_are_read_as_predictions_and_as_truth(tmp_path):
    results = fake(5)
    results.save(tmp_path / "predictions.jsonl", "box")
    truth = read_truth(tmp_path / "predictions.jsonl", IBUG68)
    np.testing.assert_array_equal(truth.points, results.truth)
    again = read_results(tmp_path / "predictions.jsonl", truth)
    np.testing.assert_array_equal(again.predicted, results.predicted)
    assert again.subsets == results.subsets
    np.testing.assert_array_equal(again.visible, results.visible)
    assert summarise(again, DEFAULT) == summarise(results, DEFAULT)


def test_truth_of_samples():
    def sample(index):
        return {
            "id": IDS[index], "group": "", "points": POINTS[index],
            "labelled": np.ones(19, bool), "visible": np.ones(19, bool),
            "subsets": ("full",), "norm_box": np.full(4, np.nan),
        }  # fmt: skip

    truth = truth_of([sample(0), sample(1)], "mine/test", AFLW19)
    assert truth.ids == IDS[:2] and truth.subsets == (("full",), ("full",))
    with pytest.raises(InputError, match="mine/none holds no faces"):
        truth_of([], "mine/none", AFLW19)


def test_ids_that_do_not_match_are_listed(tmp_path):
    wanted = [f"face_{i:02}" for i in range(14)]
    with pytest.raises(InputError) as caught:
        match(wanted, {"face_13": 1, "other": 2}, "wflw/test", "p.csv")
    first_ten = ", ".join(wanted[:10])
    assert str(caught.value) == (
        f"p.csv does not match wflw/test: no points for 13 faces ({first_ten} and 3 more) and 1 "
        "ids that it lacks (other); every face needs exactly one line with its id "
        "(--found-only scores those that have one)"
    )
    with pytest.raises(InputError, match=r"match t: no points for 1 faces \(b\); every"):
        match(["a", "b"], {"a": 1}, "t", "p")
    with pytest.raises(InputError, match=r"match t: 1 ids that it lacks \(b\); every"):
        match(["a"], {"a": 1, "b": 2}, "t", "p")


def test_extensions_of_photos_are_no_difference_where_names_stay_apart():
    assert match(["a", "b"], {"b.PNG": 2, "a.jpg": 1}, "t", "p") == [1, 2]
    assert match(["a.jpg", "b.jpeg"], {"b": 2, "a": 1}, "t", "p") == [1, 2]
    with pytest.raises(InputError, match="does not match"):
        match(["a"], {"a.jpg": 1, "a.png": 2}, "t", "p")
    with pytest.raises(InputError, match=r"no points for 1 faces \(a.png\)"):
        match(["a.jpg", "a.png", "b.jpg"], {"a.jpg": 1, "b.jpg": 2}, "t", "p")


def test_the_faces_found_are_those_of_their_names(tmp_path):
    """--found-only: a photo of another ending is another face where all names are known."""
    names = ["a.jpg", "a.png", "b.jpg"]
    truth = [{"id": name, "points": POINTS[0].tolist()} for name in names]
    truth = read_truth(write_lines(tmp_path / "t.jsonl", truth), AFLW19)

    def found(*ids):
        lines = [{"id": name, "points": POINTS[1].tolist()} for name in ids]
        return read_results(write_lines(tmp_path / "p.jsonl", lines), truth, found_only=True).ids

    assert found("a.jpg", "b.jpg") == ("a.jpg", "b.jpg")
    assert found("b.jpeg") == ("b.jpg",)
    with pytest.raises(InputError, match="does not match"):
        found("a.bmp", "b.jpg")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "holds no faces"),
        ("a.csv", "id," + ",".join(NAMES) + "\n", "holds no faces"),
        ("a.csv", "a,1,2,3\n", "line 1: 4 columns instead of 39; aflw19 needs id, x0, y0"),
        ("a.csv", "id,x0,y0\n", "line 1: lacks the columns x1, y1, x2, y2, ...; aflw19 needs"),
        ("a.csv", "a" + ",1" * 38 + "\nb" + ",1" * 37 + ",\n", "line 2: points must be 19 x 2"),
        ("a.csv", "a" + ",1" * 37 + ",nan\n", "line 1: points of a is not finite"),
        ("a.csv", ("a" + ",1" * 38 + "\n") * 2, "line 2: the id a comes more than once, first in"),
        ("a.jsonl", "\n{", "line 2: not JSON"),
        ("a.jsonl", "3", "line 1: must be an object"),
        ("a.jsonl", '{"points": []}', r"line 1: lacks id \(or imgpath, or file\)"),
        ("a.jsonl", '{"id": "a"}', "line 1: lacks points"),
        ("a.jsonl", '{"id": "a", "points": [[1, 2]]}', "line 1: points must be 19 x 2 numbers"),
        ("a.jsonl", '{"id": "a", "x0": 1}', "line 1: lacks y0; aflw19 needs y18 too"),
        ("a.jsonl", '{"id": "a", "scheme": "wflw98", "points": []}', "of wflw98, not aflw19; give"),
        ("a.json", '[{"id": "a"},', "line 1: not JSON"),
        ("a.json", '{\n"id": "a",\n"points": []}', "one JSON value over several lines; write a"),
        ("a.json", "[1]", "record 1: must be an object"),
    ],
)
def test_broken_files_are_refused_with_their_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_records(tmp_path / name, AFLW19, ("points", "landmarks"))
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"hidden": [19]}, "hidden must hold indices below 19"),
        ({"hidden": "3"}, "hidden must hold indices"),
        ({"hidden": [-1]}, "hidden must hold indices below 19"),
        ({"hidden": None}, "hidden must hold indices"),
        ({"subsets": "full"}, "subsets must be a list of names"),
        ({"subsets": [1]}, "subsets must be a list of names"),
        ({"norm_box": [1, 2]}, "norm_box must be 4 numbers"),
    ],
)
def test_broken_annotations_are_refused(tmp_path, more, message):
    record = {"id": "a", "points": POINTS[0].tolist()} | more
    path = write_lines(tmp_path / "t.jsonl", [record])
    with pytest.raises(InputError, match=message):
        read_truth(path, AFLW19)
    if "norm_box" not in more:
        whole = {"scheme": "aflw19", "subsets": [], "truth": record["points"]} | record
        with pytest.raises(InputError, match=f"{path.name}, line 1: {message}"):
            Results.load(write_lines(path, [whole]))


def test_ids_may_be_numbers_and_must_be_text(tmp_path):
    lines = [{"id": number, "points": POINTS[0].tolist(), "file": "a.jpg"} for number in (0, 1)]
    records = read_records(write_lines(tmp_path / "p.jsonl", lines), AFLW19, ("points",))
    assert [record.id for record in records] == ["0", "1"]
    lines = [{"id": "caf\udce9.jpg", "points": POINTS[0].tolist()}]
    path = write_lines(tmp_path / "p.jsonl", lines)
    with pytest.raises(InputError, match=r"an id is no text: ...'caf\\udce9'; name faces in UTF-8"):
        read_results(path, read_truth(path, AFLW19))


def test_missing_file_and_a_photo_are_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\x89PNG\xff\xfe")
    for name in ("gone.csv", "p.csv"):
        with pytest.raises(InputError, match="name a CSV, JSONL or JSON file"):
            read_records(tmp_path / name, AFLW19, ("points",))


def test_json_has_no_nan():
    value = {"a": [np.nan, (1.5, -np.inf)], "b": {"c": np.float64("inf")}, "d": "NaN", "e": None}
    found = json.loads(records.json_text(value), parse_constant=pytest.fail)
    assert found == {"a": [None, [1.5, None]], "b": {"c": None}, "d": "NaN", "e": None}
    with pytest.raises(TypeError):
        records.json_text(object())


def test_json_is_written_in_one_place():
    for folder in ("jaxalign", "datasets", "configs", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            inside = path.name != "records.py" and "json.dump" in path.read_text(encoding="utf-8")
            assert not inside, f"{path}: use records.json_text, which writes no NaN"
