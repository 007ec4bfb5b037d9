import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.evaluation import wilson
from jaxalign.evaluation.compare import (
    FILES,
    Entry,
    aligned,
    compare,
    comparison_table,
    open_entry,
    write_comparison,
)
from jaxalign.evaluation.report import write_report
from jaxalign.evaluation.results import Results
from jaxalign.schemes import WFLW98
from tests.helpers.fakes import PROTOCOL, fake


SUBSETS = [("common", "full")] * 30 + [("challenging", "full")] * 10


def with_errors(results, factor):
    predicted = results.truth + factor * (results.predicted - results.truth)
    return Results(
        ids=results.ids,
        predicted=predicted,
        truth=results.truth,
        score=None,
        visible=results.visible,
        subsets=results.subsets,
        scheme=results.scheme,
    )


def rows_of(comparison, run):
    return {row["subset"]: row for row in comparison["rows"] if row["run"] == run}


def test_identical_runs_differ_by_exactly_nothing():
    results = fake(40, subsets=SUBSETS)
    other = results.take(np.random.default_rng(1).permutation(40))
    comparison = compare(aligned([Entry("a", results), Entry("b", other)]), PROTOCOL)
    first, second = rows_of(comparison, "a"), rows_of(comparison, "b")
    assert list(first) == ["common", "challenging", "all"]  # full is all of them
    for subset, row in second.items():
        assert row["numbers"] == first[subset]["numbers"]
        assert row["intervals"] == first[subset]["intervals"]
        assert set(row["difference"]["numbers"].values()) == {0}
        bars = dict(row["difference"]["intervals"])
        shares = [bars.pop(key) for key in list(bars) if key.startswith("fr")]
        assert all(low == -high < 0 for low, high in shares)  # faces at hand are not all faces
        assert all(ends == [0, 0] for ends in bars.values())
        assert first[subset]["difference"] is None


def test_paired_difference_by_hand():
    results = fake(40, subsets=SUBSETS)
    runs = [Entry("a", with_errors(results, 1)), Entry("b", with_errors(results, 1.1))]
    comparison = compare(aligned(runs), PROTOCOL)
    first, second = rows_of(comparison, "a")["all"], rows_of(comparison, "b")["all"]
    change, (low, high) = (second["difference"][key]["nme"] for key in ("numbers", "intervals"))
    assert change == pytest.approx(0.1 * first["numbers"]["nme"], abs=2e-5)
    # Every face is worse by a tenth, so the difference is sure, though the runs' own bars overlap.
    assert low > 0
    ends = [0.1 * end for end in first["intervals"]["nme"]]
    assert [low, high] == pytest.approx(ends, abs=2e-5)
    assert first["intervals"]["nme"][1] > second["intervals"]["nme"][0]
    table = comparison_table(comparison)
    assert table.heads[:3] == ("run", "NME", "difference") and table.rows[0][2] == "-"
    assert table.rows[1][2][0] == f"{100 * change:+.2f} *"


def test_differences_of_failure_rates_are_newcombes():
    """60 faces, of which the second run fails on 6 more, and on none less."""
    truth, failing = fake(60).truth, np.zeros((60, 68, 2))
    failing[:6] = 100
    one, two = (replace(fake(60), predicted=truth + moved) for moved in (0, failing))
    comparison = compare([Entry("a", one), Entry("b", two)], PROTOCOL)
    row = rows_of(comparison, "b")["all"]
    assert row["numbers"]["fr@8"] == row["difference"]["numbers"]["fr@8"] == 0.1
    first, second = wilson.interval(0, 60), wilson.interval(6, 60)
    assert row["intervals"]["fr@8"] == pytest.approx(second, abs=1e-6)
    low, high = row["difference"]["intervals"]["fr@8"]
    assert low == pytest.approx(0.1 - np.hypot(0.1 - second[0], first[1]), abs=1e-6)
    assert high == pytest.approx(second[1], abs=1e-6)


def test_files_of_a_comparison(tmp_path):
    results = fake(40, subsets=SUBSETS)
    about = {"benchmark": "ibug_300w"}
    write_report(tmp_path / "a", results, PROTOCOL, about)
    with_errors(results, 0.5).save(tmp_path / "b.jsonl", "box")
    paths = [tmp_path / "a", tmp_path / "a" / "predictions.jsonl", tmp_path / "b.jsonl"]
    entries = [open_entry(path) for path in paths]
    assert [entry.benchmark for entry in entries] == ["ibug_300w", "ibug_300w", ""]
    entries = aligned(entries)
    comparison = compare(entries, PROTOCOL)
    write_comparison(tmp_path / "c", entries, comparison, PROTOCOL, {"command": "x"})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(
        {*FILES, ".jaxalign-comparison"}
    )
    stored = json.loads((tmp_path / "c/comparison.json").read_text())
    assert stored == {"about": {"command": "x"}, "comparison": comparison}
    lines = (tmp_path / "c/comparison.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 and len({line.count(",") for line in lines}) == 1
    assert cv2.imread(str(tmp_path / "c/comparison_ced.png")).std() > 5
    page = (tmp_path / "c/comparison.html").read_text()
    assert page.count("data:image/png") == 1 and str(paths[2]) in page
    links = set(re.findall('href="([^"]+)"', page))
    assert links == {"comparison.csv", "comparison_ced.csv"}
    assert links == set(
        re.findall(r"\[.*?\]\((.*?csv)\)", (tmp_path / "c/comparison.md").read_text())
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (fake(11), r"b does not match a: no points for 1 faces \(face_011\)"),
        (fake(13), r"b does not match a: 1 ids that it lacks \(face_012\)"),
        (fake(12, WFLW98), "b holds wflw98, a ibug68"),
        (fake(12, seed=1), r"other true points for 12 faces \(face_000, .* and 2 more\)"),
    ],
)
def test_runs_that_cannot_be_compared(other, message):
    with pytest.raises(InputError, match=message):
        aligned([Entry("a", fake(12)), Entry("b", other)])
