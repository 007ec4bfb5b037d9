from dataclasses import replace

import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.evaluation import pictures, wilson
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import headed, summarise
from jaxalign.evaluation.tables import (
    normaliser_tables,
    papers_table,
    print_table,
    region_table,
    to_markdown,
    to_text,
)
from jaxalign.protocols import protocol_for
from jaxalign.schemes import COFW29, IBUG68
from tests.helpers.fakes import CHALLENGING, COMMON, PROTOCOL, fake, rows_of


def test_summary_by_hand():
    truth = np.zeros((2, 29, 2))
    truth[:, 9], truth[:, 0] = (100, 0), (0, -25)  # inter-ocular 100, box sqrt(100 * 25) = 50
    truth[:, 16], truth[:, 17] = (20, 0), (70, 0)  # inter-pupil 50
    predicted = truth + np.array([[[3.0, 0]], [[0, 9.0]]])
    ones = np.ones((2, 29))
    results = Results(
        ids=("a", "b"),
        predicted=predicted,
        truth=truth,
        score=ones,
        visible=ones,
        subsets=[(), ("mine",)],
        scheme=COFW29,
    )
    summary = summarise(results, protocol_for("other", COFW29))
    assert summary["headline"] == "inter_ocular"
    rows = rows_of(summary)
    assert list(rows) == ["mine", "all"]
    assert rows["mine"]["faces"] == 1 and rows["all"]["faces"] == 2
    assert rows["all"]["inter_ocular"] == {
        "nme": 0.06, "fr@5": 0.5, "fr@7": 0.5, "fr@8": 0.5, "fr@10": 0.0,
        "auc@5": 0.2, "auc@7": 0.285714, "auc@8": 0.3125, "auc@10": 0.4,
    }  # fmt: skip
    assert rows["all"]["percentiles"]["inter_ocular"] == {
        "25": 0.045, "50": 0.06, "75": 0.075, "90": 0.084, "95": 0.087, "99": 0.0894,
    }  # fmt: skip
    assert rows["mine"]["inter_ocular"]["nme"] == 0.09
    assert rows["mine"]["intervals"]["inter_ocular"]["nme"] == [0.09, 0.09]  # of one face
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
            for percent, threshold in ((5, 0.05), (7, 0.07), (8, 0.08), (10, 0.1)):
                failures = numbers[f"fr@{percent}"] * row["faces"]
                assert failures == pytest.approx(round(failures), abs=1e-9)
                bound = 1 - numbers["nme"] / threshold
                gap = numbers[f"auc@{percent}"] - bound
                assert gap == pytest.approx(0, abs=1.5e-4) if failures == 0 else gap > 1.5e-4
            for key, (low, high) in row["intervals"][normaliser].items():
                assert low <= numbers[key] <= high


def test_no_failure_in_121_faces_is_no_certainty():
    summary = summarise(replace(fake(121), predicted=fake(121).truth + 0.01), PROTOCOL)
    assert "0.00 [0.00, 3.08]" in print_table(summary)
    for table in (papers_table(summary), *normaliser_tables(summary)):
        assert "| 0.00 [0.00, 3.08] |" in to_markdown(table)
    for name in summary["normalisers"]:
        bars = rows_of(summary)["all"]["intervals"][name]
        assert bars["fr@8"] == bars["fr@5"] == [0, 0.030771]
        assert bars["auc@8"][1] - bars["auc@8"][0] < 0.02  # of the resamples


def test_failure_rates_of_a_normaliser_that_some_faces_lack():
    """Wilson's interval is of the faces that are measured."""
    results = replace(fake(30), predicted=fake(30).truth)
    known = np.ones((30, 68), bool)
    known[:10, 36:42] = False
    truth = np.where(known[..., None], results.truth, np.nan)
    some = replace(results, truth=truth, labelled=known)
    summary = summarise(some, headed(PROTOCOL, some))
    row = rows_of(summary)["all"]
    assert row["measured"]["inter_pupil"] == 20
    assert row["intervals"]["inter_pupil"]["fr@8"] == [0, 0.161125]
    assert row["intervals"]["box"]["fr@8"] == [0, 0.113513]


def test_subsets_beyond_the_protocol_follow_by_name():
    summary = summarise(fake(2, subsets=[("zebra", "full"), ("apple",)]), PROTOCOL)
    assert [row["subset"] for row in summary["rows"]] == ["full", "apple", "zebra", "all"]


def test_noise_of_the_hardware_does_not_show():
    results = fake(60)
    noise = np.random.default_rng(4).normal(size=results.predicted.shape) * 1e-6
    noisy = Results(
        ids=results.ids,
        predicted=results.predicted + noise,
        truth=results.truth,
        score=results.score,
        visible=results.visible,
        subsets=results.subsets,
        scheme=IBUG68,
    )
    np.testing.assert_array_equal(noisy.predicted, results.predicted)
    assert summarise(noisy, PROTOCOL) == summarise(results, PROTOCOL)


def test_table_puts_the_headline_first_and_tells_incomplete_subsets():
    summary = summarise(fake(224), PROTOCOL)
    lines = print_table(summary).splitlines()
    assert lines[0].split() == "inter_ocular % faces NME FR@8 FR@10 AUC@8 AUC@10".split()
    heads = [line.split()[0] for line in lines if " faces " in line]
    assert heads == list(PROTOCOL.normalisers)
    row = rows_of(summary)["lfpw_test"]
    cells = ["lfpw_test", "224"]
    for key in ("nme", "fr@8", "fr@10", "auc@8", "auc@10"):
        low, high = row["intervals"]["inter_ocular"][key]
        ends = [f"[{100 * low:.2f},", f"{100 * high:.2f}]"]
        cells.append(f"{100 * row['inter_ocular'][key]:.2f}")
        cells += ends if key.startswith("fr") else [f"±{50 * (high - low):.2f}"]
    assert lines[1].split() == cells
    assert lines[2].startswith("common") and "224 of 554" in lines[2]
    ends = {(line.index("±"), line.index("["), line.rindex("±")) for line in lines[1:5]}
    assert len(ends) == 1  # columns stand under each other
    numbers = row["inter_ocular"]
    assert pictures.curve_label(["lfpw_test", "common", "full", "all"], summary) == (
        f"lfpw_test = all (224): NME {100 * numbers['nme']:.2f} %, "
        f"AUC@8 {100 * numbers['auc@8']:.1f} %"
    )
    assert pictures.curve_label(["common"], summary).startswith("common (224 of 554): NME")


def test_regions_and_landmarks_by_hand():
    truth = np.zeros((2, 68, 2))
    truth[:, 45, 0], truth[:, 8, 1] = 100, 50  # inter-ocular 100
    predicted = truth.copy()
    predicted[0, 30] += (0, 9)  # one point of the nose's nine, in one face of two
    predicted[1, 40] += (12, 0)  # one point of the eyes' twelve
    visible = np.ones((2, 68), bool)
    visible[1, 40] = False
    subsets = [("common",), ("challenging",)]
    results = Results(
        ids=("a", "b"),
        predicted=predicted,
        truth=truth,
        score=None,
        visible=visible,
        subsets=subsets,
        scheme=IBUG68,
    )
    summary = summarise(results, PROTOCOL)
    regions = {row["region"]: row for row in summary["regions"]}
    assert list(regions) == ["contour", "brows", "eyes", "nose", "mouth", "eye_anchors"]
    assert [row["points"] for row in regions.values()] == [17, 10, 12, 9, 20, 12]
    assert regions["nose"]["nme"] == 0.005 and regions["mouth"]["nme"] == 0
    assert regions["nose"]["subsets"] == {"common": 0.01, "challenging": 0, "all": 0.005}
    assert regions["eye_anchors"]["nme"] == regions["eyes"]["nme"] == 0.005
    assert regions["eyes"]["interval"] == [0, 0.01]
    landmark = summary["landmarks"][40]
    assert landmark["nme"] == 0.06 and landmark["median"] == 6 and landmark["hidden"] == 0.5
    assert landmark["regions"] == ["eyes"] and summary["landmarks"][30]["regions"] == ["nose"]
    assert "NMSE (inter_ocular, as fractions): all points 0.0015, eye_anchors 0.0050" in (
        print_table(summary)
    )
    assert regions["nose"]["bias"] == [0, 0.005] and regions["eyes"]["bias"] == [0.005, 0]
    assert landmark["bias"] == [0.06, 0] and summary["landmarks"][30]["bias"] == [0, 0.045]
    assert "| nose | 9 | 0.50 [0.00, 1.00] | 1.00 | 0.00 | 0.00 | 0.50 |" in (
        to_markdown(region_table(summary))
    )
    assert to_text(region_table(summary)).splitlines()[1].split()[:3] == ["region", "points", "all"]


def test_mean_of_the_yaw_bins_is_unweighted():
    protocol = protocol_for("aflw2000_3d", IBUG68)
    bins = ["yaw_0_30"] * 6 + ["yaw_30_60"] * 3 + ["yaw_60_90"]
    summary = summarise(fake(10, subsets=[(name,) for name in bins]), protocol)
    rows = rows_of(summary)
    assert list(rows) == ["yaw_0_30", "yaw_30_60", "yaw_60_90", "mean_of_bins", "all"]
    assert summary["headline"] == "box" and rows["mean_of_bins"]["faces"] == 10
    values = [rows[name]["box"]["nme"] for name in list(rows)[:3]]
    assert rows["mean_of_bins"]["box"]["nme"] == pytest.approx(sum(values) / 3, abs=2e-5)
    assert rows["all"]["box"]["nme"] != pytest.approx(sum(values) / 3, abs=1e-3)
    parts = [rows[name] for name in list(rows)[:3]]
    ends = wilson.of_mean(
        [part["box"]["fr@7"] for part in parts],
        [part["intervals"]["box"]["fr@7"] for part in parts],
    )
    assert rows["mean_of_bins"]["intervals"]["box"]["fr@7"] == pytest.approx(ends, abs=1e-6)
    some = summarise(fake(9, subsets=[(name,) for name in bins[:9]]), protocol)
    assert list(rows_of(some)) == ["yaw_0_30", "yaw_30_60", "all"]  # no mean where a bin lacks


def test_normaliser_that_some_face_lacks_is_left_out_and_told():
    results = fake(4)
    results.truth[2, 42:48] = results.truth[2, 36:42]  # both pupils in one place
    summary = summarise(results, PROTOCOL)
    assert summary["normalisers"] == ["inter_ocular", "box", "diagonal"]
    (note,) = summary["notes"]
    assert note.startswith("inter_pupil is left out") and "face_002" in note
    assert print_table(summary).splitlines()[-1] == note
    with pytest.raises(InputError, match="inter_pupil distance is zero"):
        summarise(results, replace(PROTOCOL, normaliser="inter_pupil", others=("box",)))
