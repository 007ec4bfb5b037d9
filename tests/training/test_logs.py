"""metrics.jsonl: what is kept of it, and what is read of it."""

import errno
import io
import json
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from jaxalign.errors import InputError
from jaxalign.history import FILE, rows
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


def events(workdir):
    """What a run wrote for TensorBoard."""
    for path in (workdir / "tensorboard").iterdir():
        data = path.read_bytes()
        while data:  # of each record its length, a checksum, itself, a checksum
            end = 12 + struct.unpack("<Q", data[:8])[0]
            yield Event.FromString(data[12:end])
            data = data[end + 4 :]


def shown(workdir):
    """Name -> (step, value) of what TensorBoard shows of a run."""
    return {
        value.tag: (event.step, value) for event in events(workdir) for value in event.summary.value
    }


def test_pictures_and_texts_for_tensorboard(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    log = Log(tmp_path, 4, 9, 4, quiet=False)
    log.text(4, "recipe", "system.size=32\ndata.limit=0")
    log.picture(5, "validation", picture)
    log.write(5, "one", {"loss": 1.0})
    log.close()
    found = shown(tmp_path)
    step, value = found["recipe/text_summary"]
    assert step == 4
    assert value.tensor.string_val[0] == b"```\nsystem.size=32\ndata.limit=0\n```"
    step, value = found["validation"]
    assert step == 5
    image = Image.open(io.BytesIO(value.image.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(image), picture)
    assert found["loss"][1].simple_value == 1


def test_a_resumed_run_keeps_what_tensorboard_shows_of_its_first_step(tmp_path):
    Log(tmp_path, 4, 9, 4, quiet=False).close()
    # earlier events from there on are dropped
    assert [event.step for event in events(tmp_path) if event.HasField("session_log")] == [5]


def test_a_run_without_tensorboardx_has_its_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    log = Log(tmp_path, 0, 9, 4, quiet=False)
    log.text(0, "recipe", "x")
    log.picture(1, "validation", np.zeros((2, 2, 3), np.uint8))
    log.write(1, "one", {"loss": 1.0})
    log.close()
    assert [row["loss"] for row in rows(tmp_path)] == [1]
    assert "tensorboardX is not installed" in capsys.readouterr().out
    assert not (tmp_path / "tensorboard").exists()


def test_other_hosts_write_nothing(tmp_path):
    log = Log(tmp_path, 0, 9, 4, quiet=True)
    log.text(0, "recipe", "x")
    log.picture(1, "validation", np.zeros((2, 2, 3), np.uint8))
    log.write(1, "one", {"loss": 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", [FILE, "tensorboard"])
def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch, file):
    log = Log(tmp_path, 0, 4, 2, False)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if file == FILE:
        log.file.close()
        monkeypatch.setattr(log, "file", SimpleNamespace(write=full, close=full))
    else:
        monkeypatch.setattr(log.board.events, "write_event", full)
    with pytest.raises(InputError) as error:
        log.write(1, "train", {"loss": 1.0})
    reason = "cannot be written (No space left on device); make room; --resume goes on"
    assert str(error.value).startswith(f"{tmp_path / file}: {reason}")
