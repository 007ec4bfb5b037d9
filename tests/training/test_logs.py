"""metrics.jsonl: what is kept of it, and what is read of it."""

import json

import pytest

from jaxalign.errors import InputError
from jaxalign.history import rows
from jaxalign.training.logs import Log


def line(step, **more):
    return json.dumps({"step": step, "phase": "one"} | more).encode() + b"\n"


ODD = [b"[]", b"5", b"null", b'{"step": "1"}', b'{"step": true}', b'{"step": [1]}', b"\xff\xfe",
       b"[" * 100_000, b'{"loss": 1}', b"", b"9" * 5000, b'{"step": 1, "lo']  # fmt: skip


def test_lines_of_a_run_are_kept_and_others_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1, loss=2.0) + b"\n".join(ODD) + b"\n" + line(2) + line(3) + b'{"st')
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]
    log = Log(tmp_path, 2, 9, 4, quiet=False)
    log.write(3, "one", {"loss": 1.0})
    log.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]
    assert path.read_bytes().startswith(line(1, loss=2.0) + line(2) + b'{"step": 3, "phase"')


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match="metrics.jsonl: cannot be written .*name another"):
        Log(tmp_path, 0, 9, 4, quiet=False)
    with pytest.raises(InputError, match="metrics.jsonl: cannot be read"):
        rows(tmp_path)
