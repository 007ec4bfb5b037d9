"""One process at a time in a folder: who holds it is said, and what a kill leaves is taken over."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from jaxalign import locks
from jaxalign.errors import InputError
from jaxalign.locks import Lock
from tests.helpers import ROOT


def refusal(folder):
    with pytest.raises(InputError) as error:
        Lock(folder, "name another")
    (line,) = str(error.value).splitlines()
    return line


def holder(folder):
    code = f"""
import pathlib, sys
from jaxalign.locks import Lock
lock = Lock(pathlib.Path({str(folder)!r}), "")
print("held", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_who_holds_it_is_said(tmp_path):
    process = holder(tmp_path)
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path}: is in use by process {process.pid} on host ")
    assert f"on host {socket.gethostname()} since 20" in line
    assert line.endswith("; wait for its end, or name another")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / locks.FILE).exists()
    lock = Lock(tmp_path, "")
    assert f"process {process.pid} " in lock.left
    assert f"process {os.getpid()} " in refusal(tmp_path)
    lock.release()
    assert not list(tmp_path.iterdir())


def test_what_others_wrote_into_the_file_is_no_holder(tmp_path):
    (tmp_path / locks.FILE).write_bytes(b"\xff\0process 1 on host elsewhere\n" * 99)
    lock = Lock(tmp_path, "")
    assert (tmp_path / locks.FILE).read_text().count("\n") == 1
    lock.release()
    lock.release()
    assert Lock(tmp_path / "new" / "one", "").left == ""


def test_a_file_removed_in_between_is_made_anew(tmp_path, monkeypatch):
    """Its holder may end between the moment it is opened and the moment it is locked."""
    locked, first = locks._locked, []

    def late(file):
        if not first:
            first.append((tmp_path / locks.FILE).unlink())
        return locked(file)

    monkeypatch.setattr(locks, "_locked", late)
    Lock(tmp_path, "")
    lock = Lock(tmp_path, "") if not (tmp_path / locks.FILE).exists() else None
    assert lock is None


def test_places_that_cannot_be_written_into(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert refusal(place).startswith(f"{place}: cannot be written (")


@pytest.mark.parametrize("new", [True, False])
def test_a_full_disk_leaves_nothing(tmp_path, new):
    folder = tmp_path / "work"
    if not new:
        folder.mkdir()
    code = f"""
import pathlib, resource
from jaxalign.errors import InputError
from jaxalign.locks import Lock
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    Lock(pathlib.Path({str(folder)!r}), "name another")
except InputError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == f"{folder}: cannot be written (File too large); name another\n"
    assert folder.exists() is not new
    assert list(tmp_path.rglob("*")) == ([] if new else [folder])
