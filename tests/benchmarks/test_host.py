"""What the host makes ready: the table has each part, and threads and workers."""

from benchmarks import host


def test_a_table_of_the_parts(data_300w, capsys):
    options = ["--data", "ibug_300w/train", "--data-dir", str(data_300w), "--size", "32"]
    workers = ["--threads", "1", "2", "--workers", "1"]
    assert host.main([*options, "--repeats", "2", *workers]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0][0] == "6" and rows[0][-2:] == ["32", "px"]
    assert [row[0] for row in rows[2:6]] == ["read", "decode", "crop", "augment"]
    named = [["1", "thread"], ["2", "threads"], ["1", "worker"]]
    assert [row[:2] for row in rows[-3:]] == named and all(float(row[2]) > 0 for row in rows[-3:])
    for row in rows[2:6]:
        least, middle, most = float(row[2]), float(row[1]), float(row[3])
        assert 0 < least <= middle <= most and float(row[4]) > 0


def test_recipes_and_what_is_refused(data_300w, capsys):
    options = ["--data", "ibug_300w/train", "--data-dir", str(data_300w)]
    recipe = ["--config", "integral_ibug_300w", "--repeats", "1", "--threads", "1", "--workers"]
    assert host.main([*options, *recipe]) == 0
    assert "crops of 192 px" in capsys.readouterr().out
    for wrong in (["--faces", "0"], ["--threads", "0"], ["--workers", "0"], ["--scheme", "mine"]):
        for added in ([], recipe):
            assert host.main([*options, *added, *wrong]) == 2
            assert f"error: {wrong[0]}" in capsys.readouterr().err
