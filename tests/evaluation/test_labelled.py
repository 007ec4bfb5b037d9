"""Points that nobody labelled: not scored, not drawn, kept apart in every file."""

import csv
import json

import numpy as np
import pytest

from jaxalign import drawing, metrics
from jaxalign.errors import InputError
from jaxalign.evaluation.bootstrap import intervals, resampled_means
from jaxalign.evaluation.compare import Entry, aligned
from jaxalign.evaluation.evaluate import compare_runs, score_predictions
from jaxalign.evaluation.report import write_report
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import headed, summarise
from jaxalign.evaluation.truth import read_results, read_truth
from jaxalign.geometry import landmark_box
from jaxalign.protocols import DEFAULT, Protocol
from jaxalign.schemes import IBUG68
from tests.helpers.fakes import PROTOCOL, crops, fake, rows_of


BOX = Protocol("box", ("inter_ocular", "inter_pupil", "box_luvli"), limits=(0.08,))
GONE = (0, 1, 2, 3, 36, 60)  # of the second face: 36 is an outer eye corner


def partial(faces=4, gone=GONE, **fields):
    """Made-up results; the second face's points `gone` have no place."""
    whole = fake(faces)
    truth, labelled = whole.truth.copy(), np.ones((faces, 68), bool)
    truth[1, list(gone)], labelled[1, list(gone)] = np.nan, False
    values = {
        "ids": whole.ids, "predicted": whole.predicted, "truth": truth, "score": whole.score,
        "visible": whole.visible & labelled, "subsets": whole.subsets, "scheme": IBUG68,
        "labelled": labelled,
    }  # fmt: skip
    return Results(**values | fields)


def test_the_nme_is_over_labelled_points():
    results = partial()
    kept = [i for i in range(68) if i not in GONE]
    truth = results.truth[1, kept]
    errors = np.linalg.norm(results.predicted[1, kept] - truth, axis=1)
    box = np.sqrt(np.prod(np.ptp(truth, axis=0)))
    assert results.nme("box")[1] == pytest.approx(errors.mean() / box, rel=1e-12)
    assert results.nme("box_luvli")[1] == pytest.approx(errors.sum() / 68 / box, rel=1e-12)
    np.testing.assert_array_equal(results.nme("box")[[0, 2, 3]], fake(4).nme("box")[[0, 2, 3]])
    far = results.predicted.copy()
    far[1, GONE] += 1e4  # where nobody knows better
    np.testing.assert_array_equal(partial(predicted=far).nme("box"), results.nme("box"))


@pytest.mark.parametrize(("normaliser", "point"), [("inter_ocular", 36), ("inter_pupil", 38)])
def test_a_distance_without_its_points_is_refused(normaliser, point):
    results = partial(gone=(point,))
    with pytest.raises(InputError, match=f"{normaliser} distance is unknown of face_001: nobody"):
        results.nme(normaliser)
    assert np.isfinite(partial(gone=(0, 8)).nme(normaliser)).all()


def test_a_prediction_that_is_no_number_is_no_missing_label():
    results = fake(2)
    broken = results.predicted.copy()
    broken[0, 3] = np.nan
    with pytest.raises(InputError, match="a predicted point is not a number"):
        metrics.nme(broken, results.truth, IBUG68, "box")


def test_truth_and_mask_must_agree():
    for labelled in (np.ones((4, 68), bool), np.zeros((4, 68), bool)):
        with pytest.raises(InputError, match="truth of . faces is not finite"):
            partial(labelled=labelled)


def test_summary_of_regions_landmarks_and_normalisers():
    results = partial()
    summary = summarise(results, BOX)
    rows = rows_of(summary)
    known = results.take([0, 2, 3])
    expected = known.nme("inter_ocular").mean()
    assert rows["all"]["inter_ocular"]["nme"] == pytest.approx(expected, abs=1e-6)
    assert rows["all"]["measured"] == {"inter_ocular": 3, "inter_pupil": 3}
    low, high = rows["all"]["intervals"]["inter_ocular"]["nme"]
    assert low <= expected <= high
    first = summary["landmarks"][0]
    assert first["labelled"] == 0.75 and summary["landmarks"][9]["labelled"] == 1
    errors = results.normalised("box")[[0, 2, 3], 0]
    assert first["nme"] == pytest.approx(errors.mean(), abs=1e-6)
    assert first["median"] == pytest.approx(np.median(results.errors[[0, 2, 3], 0]), abs=1e-3)
    contour = {row["region"]: row for row in summary["regions"]}["contour"]
    errors = results.normalised("box")[:, :17]
    assert contour["nme"] == pytest.approx(np.nanmean(errors, axis=1).mean(), abs=1e-6)
    note = "inter_ocular is of 3 of 4 faces: in the others nobody labelled the points that it needs"
    assert summary["notes"][0] == note


def test_a_region_that_no_face_has(tmp_path):
    """The contour of no face is labelled: a report says so and does not fall over it."""
    whole = fake(3)
    truth, labelled = whole.truth.copy(), np.ones((3, 68), bool)
    truth[:, :17], labelled[:, :17] = np.nan, False
    results = Results(
        ids=whole.ids, predicted=whole.predicted, truth=truth, score=None, visible=labelled,
        subsets=whole.subsets, scheme=IBUG68, labelled=labelled,
    )  # fmt: skip
    summary = write_report(tmp_path / "r", results, PROTOCOL, {}, crops)
    contour, brows = summary["regions"][:2]
    assert contour["nme"] is None and contour["interval"] is None and brows["nme"] > 0
    assert contour["bias"] == [None, None] != brows["bias"]
    assert summary["landmarks"][3]["nme"] is None and summary["landmarks"][3]["median"] is None
    assert "| contour | 17 | - |" in (tmp_path / "r/report.md").read_text()
    json.loads((tmp_path / "r/report.json").read_text(), parse_constant=pytest.fail)  # no NaN
    rows = list(csv.DictReader((tmp_path / "r/landmarks.csv").open()))
    assert (rows[0]["nme"], rows[0]["bias_x"], rows[0]["labelled"]) == ("", "", "0.0")
    biases = [(float(row["bias_x"]), float(row["bias_y"])) for row in rows[17:]]
    offsets = results.offsets(PROTOCOL.normaliser).mean(axis=0)
    np.testing.assert_allclose(biases, offsets[17:], atol=1e-6)


def test_curves_count_labelled_points_alone():
    errors = np.array([[0.01, np.nan], [0.03, 0.05]])
    np.testing.assert_allclose(metrics.pck(errors, np.array([0.02, 0.04])), [1 / 3, 2 / 3])


def test_files_keep_what_has_no_place(tmp_path):
    results = partial()
    path = tmp_path / "predictions.jsonl"
    results.save(path, "box")
    stored = json.loads(path.read_text().splitlines()[1], parse_constant=pytest.fail)
    assert [i for i, point in enumerate(stored["truth"]) if point == [None, None]] == list(GONE)
    again = Results.load(path)
    np.testing.assert_array_equal(again.labelled, results.labelled)
    np.testing.assert_array_equal(again.truth, results.truth)
    assert summarise(again, BOX) == summarise(results, BOX)
    assert again.fingerprints() == results.fingerprints() != fake(4).fingerprints()
    truth = read_truth(path, IBUG68)
    assert not (truth.visible & ~truth.labelled).any()
    assert (
        summarise(read_results(path, truth), BOX)["rows"]
        == summarise(partial(score=None), BOX)["rows"]
    )


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_annotations_of_other_tools_may_lack_places_but_predictions_may_not(tmp_path, ending):
    points = fake(1).truth[0].tolist()
    points[5] = [None, None]
    path = tmp_path / f"faces.{ending}"
    if ending == "csv":
        cells = ["" if number is None else str(number) for point in points for number in point]
        path.write_text(",".join(["face_000", *cells]) + "\n")
    else:
        path.write_text(json.dumps([{"id": "face_000", "points": points}]))
    truth = read_truth(path, IBUG68)
    assert np.flatnonzero(~truth.labelled[0]).tolist() == [5]
    with pytest.raises(InputError, match="1 points of face_000 have no place; predictions need"):
        read_results(path, truth)
    half = path.read_text().replace(",,", ",3,") if ending == "csv" else (
        path.read_text().replace("[null, null]", "[3, null]")
    )  # fmt: skip
    path.write_text(half)
    with pytest.raises(InputError, match="of face_000 is not finite|truth must be 68 x 2"):
        read_truth(path, IBUG68)


def test_runs_with_other_labels_are_not_compared():
    runs = [Entry("a", partial()), Entry("b", fake(4))]
    with pytest.raises(InputError, match="other true points for 1 faces .face_001."):
        aligned(runs)
    assert [entry.name for entry in aligned([runs[0], Entry("c", partial())])] == ["a", "c"]


def test_resampled_means_pass_over_faces_without_a_number():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [5.0, np.nan]])
    means = resampled_means(values, ["a", "b", "c"], 2000)
    assert set(np.unique(means[~np.isnan(means[:, 1]), 1])) == {5.0}
    assert np.isnan(means[:, 1]).mean() == pytest.approx(8 / 27, abs=0.04)  # b is not drawn
    np.testing.assert_array_equal(intervals(means)[1], [5, 5])
    np.testing.assert_array_equal(
        means[:, 0], resampled_means(values[:, :1], ["a", "b", "c"], 2000)[:, 0]
    )


def test_boxes_enclose_what_has_a_place():
    points = np.array([[1.0, 2], [np.nan, np.nan], [5, 0]])
    np.testing.assert_array_equal(landmark_box(points), [1, 0, 5, 2])
    np.testing.assert_array_equal(landmark_box(points[[1, 1]]), [np.nan] * 4)


def test_nothing_is_drawn_where_there_is_no_place():
    points = np.full((68, 2), np.nan)
    points[:4] = [(5, 20), (15, 20), (25, 20), (35, 20)]
    points[2] = np.nan
    picture = np.zeros((41, 41, 3), np.uint8)
    drawing.draw_curves(picture, points, IBUG68, (255, 255, 255))
    assert picture[20, 6:15].min() > 200 and not picture[20, 17:].any()
    drawing.draw_points(picture, points, (255, 0, 0))
    assert picture[20, 35].any() and not picture[:10].any()
    drawing.draw_differences(picture, points, points + (0, 15), (0, 0, 255))
    assert picture[28, 5].any() and not picture[28, 25].any()


def test_faces_of_ones_own_without_eye_corners_are_scored_by_the_box(tmp_path, capsys):
    results = partial()
    path, report = tmp_path / "faces.jsonl", tmp_path / "report"
    results.save(path, "box")
    summary = score_predictions(path, truth=path, scheme="ibug68", report=report)
    assert summary["headline"] == "box"
    expected = results.nme("box").mean()
    assert rows_of(summary)["all"]["box"]["nme"] == pytest.approx(expected, abs=1e-6)
    assert "inter_ocular is of 3 of 4 faces" in capsys.readouterr().out
    assert compare_runs([report, report / "predictions.jsonl"])["headline"] == "box"
    assert headed(DEFAULT, fake(4)) == DEFAULT  # whole faces change nothing


def test_a_face_without_any_point_is_named():
    """And not those that only lack an eye corner, which the box scores."""
    whole = partial()
    truth, labelled = whole.truth.copy(), whole.labelled.copy()
    truth[3], labelled[3] = np.nan, False
    some = partial(truth=truth, labelled=labelled, visible=whole.visible & labelled)
    with pytest.raises(InputError, match="^box distance is unknown of face_003: nobody labelled"):
        summarise(some, headed(DEFAULT, some))
