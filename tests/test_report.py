import csv
import json
import re

import cv2
import numpy as np
import pytest

from jaxalign import drawing, metrics
from jaxalign.errors import InputError
from jaxalign.evaluation import pictures
from jaxalign.evaluation.report import FILES, print_table, summarise, write_report
from jaxalign.evaluation.results import Results
from jaxalign.protocols import protocol_for
from jaxalign.schemes import COFW29, IBUG68, LAPA106, WFLW98


PROTOCOL = protocol_for("ibug_300w", IBUG68)
CHALLENGING, COMMON = ("challenging", "full"), ("lfpw_test", "common", "full")


def fake(faces=12, scheme=IBUG68, seed=0, size=0.03, subsets=None):
    """Random faces about 100 pixels wide, with errors of about `size` of that."""
    generator = np.random.default_rng(seed)
    truth = generator.uniform(10, 110, (faces, scheme.num_points, 2))
    truth[:, scheme.eye_corners[0]], truth[:, scheme.eye_corners[1]] = (30, 40), (90, 40)
    levels = size * generator.lognormal(0, 0.5, (faces, 1, 1))
    visible = np.ones(truth.shape[:2], bool)
    visible[0, 3:5] = False
    return Results(
        ids=[f"face_{i:03}" for i in range(faces)],
        predicted=truth + 100 * levels * generator.normal(size=truth.shape),
        truth=truth,
        score=generator.random(truth.shape[:2]),
        visible=visible,
        subsets=subsets or [COMMON] * faces,
        scheme=scheme,
    )


def rearranged(results, order):
    return Results(
        ids=[results.ids[i] for i in order],
        predicted=results.predicted[order],
        truth=results.truth[order],
        score=results.score[order],
        visible=results.visible[order],
        subsets=[results.subsets[i] for i in order],
        scheme=results.scheme,
    )


def crops(index):
    return np.full((128, 128, 3), 90, np.uint8), np.array([[1.0, 0, 4], [0, 1.0, 4]])


def rows_of(summary):
    return {row["subset"]: row for row in summary["rows"]}


def test_summary_by_hand():
    truth = np.zeros((2, 29, 2))
    truth[:, 9], truth[:, 0] = (100, 0), (0, -25)  # inter-ocular 100, box sqrt(100 * 25) = 50
    truth[:, 16], truth[:, 17] = (20, 0), (70, 0)  # inter-pupil 50
    predicted = truth + np.array([[[3.0, 0]], [[0, 9.0]]])
    ones = np.ones((2, 29))
    results = Results(("a", "b"), predicted, truth, ones, ones, [(), ("mine",)], COFW29)
    summary = summarise(results, protocol_for("other", COFW29))
    assert summary["headline"] == "inter_ocular"
    rows = rows_of(summary)
    assert list(rows) == ["mine", "all"]
    assert rows["mine"]["faces"] == 1 and rows["all"]["faces"] == 2
    assert rows["all"]["inter_ocular"] == {
        "nme": 0.06, "fr@8": 0.5, "fr@10": 0.0, "auc@8": 0.3125, "auc@10": 0.4,
    }  # fmt: skip
    assert rows["mine"]["inter_ocular"]["nme"] == 0.09
    assert rows["all"]["inter_pupil"]["nme"] == rows["all"]["box"]["nme"] == 0.12


def test_300w_rows_come_in_order_and_full_is_the_weighted_mean():
    results = fake(689, subsets=[CHALLENGING] * 135 + [COMMON] * 554)
    summary = summarise(results, PROTOCOL)
    rows = rows_of(summary)
    assert list(rows) == ["lfpw_test", "common", "challenging", "full", "all"]
    assert [row["faces"] for row in rows.values()] == [554, 554, 135, 689, 689]
    for normaliser in PROTOCOL.normalisers:
        for key, full in rows["full"][normaliser].items():
            parts = 554 * rows["common"][normaliser][key]
            parts += 135 * rows["challenging"][normaliser][key]
            assert parts / 689 == pytest.approx(full, abs=1.1e-5)
        for row in rows.values():
            numbers = row[normaliser]
            for percent, threshold in ((8, 0.08), (10, 0.1)):
                failures = numbers[f"fr@{percent}"] * row["faces"]
                assert failures == pytest.approx(round(failures), abs=1e-9)
                bound = 1 - numbers["nme"] / threshold
                assert numbers[f"auc@{percent}"] >= bound - 1e-4


def test_subsets_beyond_the_protocol_follow_by_name():
    summary = summarise(fake(2, subsets=[("zebra", "full"), ("apple",)]), PROTOCOL)
    assert [row["subset"] for row in summary["rows"]] == ["full", "apple", "zebra", "all"]


def test_order_of_the_faces_does_not_matter(tmp_path):
    results = fake(50, subsets=[CHALLENGING] * 20 + [COMMON] * 30)
    other = rearranged(results, np.random.default_rng(3).permutation(50))
    assert summarise(other, PROTOCOL) == summarise(results, PROTOCOL)
    for name, faces in (("a", results), ("b", other)):
        write_report(tmp_path / name, faces, PROTOCOL, {}, lambda index: crops(0))
    for name in ("report.json", "table.csv", "ced.csv", "ced.png", "faces.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_noise_of_the_hardware_does_not_show():
    results = fake(60)
    noise = np.random.default_rng(4).normal(size=results.predicted.shape) * 1e-6
    noisy = Results(
        results.ids, results.predicted + noise, results.truth, results.score, results.visible,
        results.subsets, IBUG68,
    )  # fmt: skip
    np.testing.assert_array_equal(noisy.predicted, results.predicted)
    assert summarise(noisy, PROTOCOL) == summarise(results, PROTOCOL)


def test_table_puts_the_headline_first_and_tells_incomplete_subsets():
    summary = summarise(fake(224), PROTOCOL)
    lines = print_table(summary).splitlines()
    assert lines[0].split() == "inter_ocular % faces NME FR@8 FR@10 AUC@8 AUC@10".split()
    assert [line.split()[0] for line in lines if "%" in line] == list(PROTOCOL.normalisers)
    numbers = rows_of(summary)["lfpw_test"]["inter_ocular"]
    assert lines[1].split() == ["lfpw_test", "224", *(f"{100 * v:.2f}" for v in numbers.values())]
    assert lines[2].startswith("common") and "224 of 554" in lines[2]
    assert len({len(line) for line in lines if line}) == 1
    assert pictures.curve_label(["lfpw_test", "common", "full", "all"], summary) == (
        f"lfpw_test = all (224): NME {100 * numbers['nme']:.2f} %, "
        f"AUC@8 {100 * numbers['auc@8']:.1f} %"
    )
    assert pictures.curve_label(["common"], summary).startswith("common (224 of 554): NME")


def test_report_is_complete_and_agrees_with_itself(tmp_path):
    results = fake(40, subsets=[CHALLENGING] * 15 + [COMMON] * 25)
    about = {"checkpoint": "runs/a", "date": "2024-01-01", "versions": {"jax": "0.10.2"}}
    summary = write_report(tmp_path / "deep" / "report", results, PROTOCOL, about, crops)
    folder = tmp_path / "deep" / "report"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    report = json.loads((folder / "report.json").read_text())
    assert report == {"about": about, "summary": summary}

    with (folder / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(summary["rows"]) * 3
    row = next(row for row in table if row["subset"] == "common" and row["normaliser"] == "box")
    assert float(row["auc@8"]) == rows_of(summary)["common"]["box"]["auc@8"]

    curve = np.genfromtxt(folder / "ced.csv", delimiter=",", names=True)
    errors = results.nme("inter_ocular")
    np.testing.assert_allclose(curve["all"], metrics.ced(errors, curve["error"]), atol=1e-6)
    np.testing.assert_allclose(curve["error"][[0, 160, -1]], [0, 0.08, 0.12], atol=1e-12)

    for name in ("ced.png", "faces.png"):
        assert cv2.imread(str(folder / name)).std() > 5


def test_predictions_read_back_give_the_same_numbers(tmp_path):
    results = fake(20, WFLW98, subsets=[("pose",), ()] * 10)
    protocol = protocol_for("mine", WFLW98)
    summary = write_report(tmp_path / "report", results, protocol, {})
    assert not (tmp_path / "report" / "faces.png").exists()
    path = tmp_path / "report" / "predictions.jsonl"
    again = Results.load(path)
    assert (again.ids, again.subsets, again.scheme) == (results.ids, results.subsets, WFLW98)
    for name in ("predicted", "truth", "score", "visible"):
        np.testing.assert_array_equal(getattr(again, name), getattr(results, name))
    assert summarise(again, protocol) == summary

    first = json.loads(path.read_text().splitlines()[0])
    assert first["nme"] == pytest.approx(results.nme("inter_ocular")[0], abs=1e-6)
    assert first["hidden"] == [3, 4]
    assert all(round(x, 3) == x for point in first["points"] for x in point)


def test_failed_report_leaves_the_old_one(tmp_path):
    write_report(tmp_path / "report", fake(5), PROTOCOL, {"run": 1}, crops)
    old = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    def broken(index):
        raise RuntimeError("no photo")

    for folder in ("report", "other"):
        with pytest.raises(RuntimeError, match="no photo"):
            write_report(tmp_path / folder, fake(5, seed=1), PROTOCOL, {"run": 2}, broken)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir()} == old

    (tmp_path / "report" / "notes.txt").write_text("mine")
    write_report(tmp_path / "report", fake(5, seed=1), PROTOCOL, {"run": 2})
    left = {path.name for path in (tmp_path / "report").iterdir()}
    assert left == {*FILES, "notes.txt"} - {"faces.png"}  # no picture of other faces stays
    assert json.loads((tmp_path / "report" / "report.json").read_text())["about"] == {"run": 2}


def test_report_into_a_file_is_refused(tmp_path):
    (tmp_path / "report").write_text("")
    for folder in ("report", "report/deeper"):
        with pytest.raises(InputError, match="name a"):
            write_report(tmp_path / folder, fake(3), PROTOCOL, {})


def change(**fields):
    results = fake(3)
    names = ("ids", "predicted", "truth", "score", "visible", "subsets", "scheme")
    return Results(**{name: getattr(results, name) for name in names} | fields)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"scheme": WFLW98}, r"predicted has shape \(3, 68, 2\).*wflw98 need \(3, 98, 2\)"),
        ({"truth": np.zeros((2, 68, 2))}, "truth has shape"),
        ({"score": np.zeros((3, 68, 1))}, "score has shape"),
        ({"visible": np.zeros((3, 1))}, "visible has shape"),
        ({"subsets": ((),)}, "subsets of 1 faces for 3"),
        ({"ids": ("a", "b", "a")}, "id a comes more than once"),
        ({"ids": ()}, "no faces"),
        ({"predicted": np.full((3, 68, 2), np.nan)}, "predicted of 3 faces.*face_000"),
    ],
)
def test_results_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        change(**fields)


def edited(line, **fields):
    return json.dumps({k: v for k, v in (json.loads(line) | fields).items() if v is not None})


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda line: line[:100], "line 2: not JSON"),
        (lambda line: "[]", "line 2: lacks id"),
        (lambda line: edited(line, truth=None), "line 2: lacks truth"),
        (lambda line: edited(line, points=[[1, 2]] * 67), "line 2: points must be 68 x 2"),
        (lambda line: edited(line, points=[[1, 2], [1]] * 34), "line 2: points must be 68 x 2"),
        (lambda line: edited(line, scheme="mine68"), "line 2: unknown scheme 'mine68'"),
        (lambda line: edited(line, subsets="full"), "line 2: subsets must be a list"),
        (lambda line: edited(line, hidden=[68]), "line 2: hidden must hold indices below 68"),
        (lambda line: edited(line, id="face_000"), "id face_000 comes more than once"),
        (lambda line: re.sub(r'"score":\[[^,]*', '"score":[NaN', line), "score of 1 faces"),
    ],
)
def test_bad_line_is_named(tmp_path, edit, message):
    path = tmp_path / "predictions.jsonl"
    fake(3).save(path, "box")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], edit(lines[1]), lines[2]]))
    with pytest.raises(InputError, match=message) as caught:
        Results.load(path)
    assert str(path) in str(caught.value)


def test_missing_empty_or_mixed_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone.jsonl: No such file"):
        Results.load(tmp_path / "gone.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no faces"):
        Results.load(tmp_path / "empty.jsonl")
    fake(2).save(tmp_path / "a.jsonl", "box")
    fake(2, COFW29).save(tmp_path / "b.jsonl", "box")
    both = (tmp_path / "a.jsonl").read_text() + (tmp_path / "b.jsonl").read_text()
    (tmp_path / "both.jsonl").write_text(both)
    with pytest.raises(InputError, match="2 schemes"):
        Results.load(tmp_path / "both.jsonl")


@pytest.mark.parametrize("point", [(20, 20), (20.5, 12.25), (9.8, 30.1)])
def test_drawn_dot_lies_on_its_point(point):
    picture = np.zeros((41, 41, 3), np.uint8)
    drawing.draw_points(picture, np.array([point]), (0, 255, 0), radius=2.5)
    weight = picture[..., 1].astype(float)
    y, x = np.mgrid[:41, :41]
    centre = [(weight * axis).sum() / weight.sum() for axis in (x, y)]
    np.testing.assert_allclose(centre, point, atol=0.15)
    assert not picture[..., [0, 2]].any()


def test_curves_join_points_in_order_and_single_points_draw_none():
    points = np.zeros((29, 2))
    points[[20, 21]] = [(5, 30), (35, 30)]  # the bridge; all others lie on one spot
    points[28] = (20, 10)  # the chin, a curve of one point
    picture = np.zeros((41, 41, 3), np.uint8)
    drawing.draw_curves(picture, points, COFW29, (255, 255, 255))
    assert picture[30, 6:35].min() > 200
    assert not picture[8:13, 18:23].any()


def test_contact_sheet_holds_every_tile_with_its_label_cut_to_fit():
    picture = np.full((64, 64, 3), 120, np.uint8)
    points = np.random.default_rng(0).uniform(5, 60, (106, 2))
    tile = drawing.Tile(picture, points, points + 1, "3.10 %", "a/very/long/name" * 5)
    marked = drawing.Tile(picture, points, None, "9.99 %", marked=True)
    sheet = drawing.contact_sheet([("Some", [tile] * 5), ("Worst", [marked])], LAPA106, "T", 100, 3)
    # Legend 34; two headings of 34; two rows and one, each 100 + 20 + 6.
    assert sheet.shape == (34 + 2 * 34 + 3 * 126, 560, 3)
    assert np.array_equal(drawing.draw_tile(tile, LAPA106, 100), sheet[68:168, 6:106])
    np.testing.assert_array_equal(sheet[68 + 2 * 126 + 34, 6], drawing.ALARM)
    assert (sheet[:, 3 * 106 + 6 :][68:] == 255).all()  # no label runs out of its column
