"""Files that appear whole or not at all, and what killed processes leave."""

import os

import pytest

from jaxalign import folders, tensors
from jaxalign.errors import InputError


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / ("a" * 250 + ".json")
    with folders.whole(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == [path.name]


def test_a_file_that_fails_leaves_the_older_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), folders.whole(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_leaves_the_older_weights(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    tensors.write(path, {}, {"a": "old"})

    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"a.safetensors: cannot be written \(No space left"):
        tensors.write(path, {}, {"a": "new"})
    assert tensors.read_header(path) == {"a": "old"} and os.listdir(tmp_path) == [path.name]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.write_bytes(b"theirs")
    link.symlink_to(theirs)
    with folders.whole(link) as file:
        file.write(b"ours")
    assert theirs.read_bytes() == b"theirs" and link.read_bytes() == b"ours"
    assert not link.is_symlink()


def test_a_device_is_written_into_and_a_folder_refused(tmp_path):
    null = tmp_path / "null"
    null.symlink_to(os.devnull)
    with folders.whole(null) as file:
        file.write(b"gone")
    assert null.is_symlink() and os.listdir(tmp_path) == ["null"]
    with pytest.raises(InputError, match=r"cannot be written \(Is a directory\)"):
        tensors.write(tmp_path, {}, {})


def test_what_a_kill_left_is_swept(tmp_path):
    with folders.whole(tmp_path / "a.json") as file:
        left = tmp_path / os.path.basename(file.name)
    left.write_bytes(b"half")
    (tmp_path / ".theirs.partial").write_bytes(b"")
    report = tmp_path / f".report.a{folders.PARTIAL}"
    report.mkdir()  # one that another process writes
    folders.claim(tmp_path, "report", ["table.csv"])
    assert left.exists()  # of a process that may be at work
    folders.keep(tmp_path, "report", ["table.csv"])
    report.rmdir()
    assert sorted(os.listdir(tmp_path)) == [".jaxalign-report", ".theirs.partial", "a.json"]
