"""Many photos: what is measured of two runs, and what counts as wrong."""

import json

import pytest

from benchmarks import many_photos
from benchmarks.many_photos import Look, fault, table
from tests.helpers.commands import refused


@pytest.mark.heavy
@pytest.mark.slow
def test_stopped_and_gone_on_with(tmp_path, capsys):
    out = tmp_path / "many"
    assert many_photos.main(["--out", str(out), "--count", "300"]) == 0
    *rows, _, left, whole = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("| photos done | run |")
    names = [row.split("|")[2].strip() for row in rows[2:]]
    assert {"stopped by Ctrl-C", "--skip-existing"} == set(names)
    kept = int(left.split()[3])
    assert 150 <= kept < 300 and whole.startswith("faces.json: every photo once, in order")
    assert f"{kept} of 300 photos are done already" in (out / "log.txt").read_text()
    assert "is not empty" in refused(capsys, many_photos, "--out", out)


def test_marks_of_both_runs():
    first = [Look(done, 100 + done, done / 10) for done in (0, 10, 26, 51)]
    second = [Look(done, 90, done / 10) for done in (51, 60, 76, 100)]
    rows = [line.split("|")[1:-1] for line in table(first, second, 100).splitlines()[2:]]
    assert [(int(row[0]), int(row[3])) for row in rows] == [
        (10, 110), (26, 126), (51, 151), (76, 90), (100, 90)
    ]  # fmt: skip


def test_what_is_wrong(tmp_path):
    out = tmp_path
    links = many_photos._links(out, 10)
    records = [
        {"photo": str(path), "faces": [path.resolve().name]} for path in sorted(links.iterdir())
    ]
    assert fault(records, links) == ""
    assert "9 photos" in fault(records[1:], links) and "another order" in fault(
        records[::-1], links
    )
    changed = json.loads(json.dumps(records))
    changed[7]["faces"] = []
    assert "000007.jpg has other faces than another link" in fault(changed, links)
    assert fault([record | {"faces": []} for record in records], links) == "no face at all"


def test_refuses(tmp_path, capsys):
    assert "--count 9: must be 10 or more" in refused(
        capsys, many_photos, "--out", tmp_path / "x", "--count", 9
    )
