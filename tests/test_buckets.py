"""Folders in buckets: what a path names, exact copies, and what goes wrong; and data sets there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxalign import buckets, folders, locks, places
from jaxalign.commands import prepare
from jaxalign.datasets import BENCHMARKS, builder
from jaxalign.errors import InputError
from jaxalign.evaluation.report import replaced
from jaxalign.schemes import UNION
from jaxalign.sources import open_source


SPEC = "synthetic_faces:test1-train2"


@pytest.fixture
def put(gs):
    def put(path, data):
        gs.pipe_file(f"gs://{path}", data)

    return put


def refusal(take, *arguments):
    with pytest.raises(InputError) as error:
        take(*arguments)
    (line,) = str(error.value).splitlines()
    return line


def held(folder):
    """What the files of a copy hold."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in found.items() if name != buckets.COPIED}


class TestPlaces:
    @pytest.mark.parametrize(
        ("path", "url"),
        [
            ("gs://b/run", "gs://b/run"),
            ("gs://b/run//", "gs://b/run"),
            (Path("gs://b/run"), "gs://b/run"),
            (Path("gs://b") / "run", "gs://b/run"),
            ("s3://b/run", "s3://b/run"),
            ("az://b/run", "az://b/run"),
            ("file:///b/run", "file:///b/run"),
            (Path("file:///b/run"), "file:///b/run"),
            ("gs:", ""),
            ("gs://", ""),
            ("http://b/run", ""),
            ("runs/gs", ""),
            ("./gs", ""),
            (None, ""),
        ],
    )
    def test_what_is_in_a_bucket(self, path, url):
        assert places.url(path) == url

    def test_arguments(self):
        assert places.place("gs://b/run") == "gs://b/run"
        assert places.place("runs/a") == Path("runs/a")

    def test_nothing_else_is_written_there(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        def write(context, *arguments):
            with context(*arguments):
                raise AssertionError

        for take in (
            lambda: write(folders.whole, "gs://b/found.json"),
            lambda: write(replaced, "gs://b/report", "report", []),
            lambda: folders.claim(Path("gs://b/found"), "predictions", ["a"]),
            lambda: locks.Lock(Path("gs://b/found"), ""),
        ):
            line = refusal(take)
            assert line.startswith("gs://b/") and "name a folder of this machine" in line
        assert not [*tmp_path.iterdir()]


class TestCopies:
    def test_exactly_what_is_wanted_in_the_version_of_the_bucket(self, put, gs):
        put("b/run/a.txt", b"one")
        put("b/run/deep/b.txt", b"two")
        put("b/runner/c.txt", b"another folder")
        bucket = buckets.Bucket("gs://b/run")
        folder = bucket.pull(bucket.files())
        assert held(folder) == {"a.txt": "one", "deep/b.txt": "two"}

        gs.calls.clear()
        bucket.pull(bucket.files())
        assert "get" not in {call for call, _ in gs.calls}
        put("b/run/a.txt", b"six")  # of the same size
        gs.rm_file("/b/run/deep/b.txt")
        (folder / "mine.txt").write_text("left")
        assert held(bucket.pull(bucket.files())) == {"a.txt": "six"}
        assert not (folder / "deep").exists()

    def test_a_copy_that_was_cut_is_made_again(self, put):
        put("b/run/a.txt", b"one")
        bucket = buckets.Bucket("gs://b/run")
        folder = bucket.pull(bucket.files())
        (folder / "a.txt").write_text("on")
        (folder / buckets.COPIED).write_text((folder / buckets.COPIED).read_text())
        assert held(bucket.pull(bucket.files())) == {"a.txt": "one"}
        (folder / buckets.COPIED).write_text("[")
        assert held(bucket.pull(bucket.files())) == {"a.txt": "one"}

    def test_a_file_that_is_cut_short_on_its_way_is_none(self, put):
        put("b/run/a.txt", b"one")
        bucket = buckets.Bucket("gs://b/run")
        line = refusal(bucket.pull, {"a.txt": ("1", 4)})
        assert "a.txt was cut short" in line and not held(bucket.folder)

    def test_two_that_copy_at_once(self, put, gs, monkeypatch):
        put("b/run/a.txt", b"one")
        bucket, get = buckets.Bucket("gs://b/run"), type(gs).get_file

        def slow(self, *arguments, **options):
            get(self, *arguments, **options)
            monkeypatch.setattr(type(gs), "get_file", get)
            monkeypatch.setattr("threading.get_ident", lambda: 1)  # as another process has it
            bucket.pull(bucket.files())

        monkeypatch.setattr(type(gs), "get_file", slow)
        assert held(bucket.pull(bucket.files())) == {"a.txt": "one"}

    def test_what_killed_processes_left_goes(self, put):
        put("b/run/a.txt", b"one")
        bucket = buckets.Bucket("gs://b/run")
        old, new = (bucket.folder / f".a.txt.{pid}{folders.PARTIAL}" for pid in (1, 2))
        bucket.folder.mkdir(parents=True)
        old.touch()
        new.touch()
        os.utime(old, (0, 0))
        bucket.pull(bucket.files())
        assert new.exists() and not old.exists()

    def test_a_copy_that_was_broken_off_goes_on(self, put, gs):
        put("b/run/a.txt", b"one")
        bucket = buckets.Bucket("gs://b/run")
        bucket.pull(bucket.files())
        put("b/run/b.txt", b"two")
        gs.failing.add("get")
        refusal(bucket.pull, bucket.files())
        gs.failing.clear()
        gs.calls.clear()
        assert held(bucket.pull(bucket.files())) == {"a.txt": "one", "b.txt": "two"}
        assert [path for call, path in gs.calls if call == "get"] == ["/b/run/b.txt"]

    def test_names_that_lead_out_and_markers_of_folders(self, put):
        put("b/run/../../a.txt", b"one")
        put("b/run/./a.txt", b"one")
        put("b/run/deep/", b"")
        assert "../../a.txt" not in (found := buckets.Bucket("gs://b/run").files())
        assert "./a.txt" not in found and ".." not in "".join(found)

    def test_a_single_file(self, put, tmp_path):
        put("b/w.safetensors", b"one")
        path = buckets.file("gs://b/w.safetensors")
        assert path.name == "w.safetensors" and path.read_bytes() == b"one"
        put("b/w.safetensors", b"two")
        assert buckets.file("gs://b/w.safetensors") == path and path.read_bytes() == b"two"
        line = refusal(buckets.file, "gs://b/v.safetensors")
        assert line.startswith("gs://b/v.safetensors: no such file in the bucket gs://b; ")
        assert buckets.file(tmp_path / "mine") == tmp_path / "mine"

    def test_each_url_has_a_folder_of_its_own(self, gs):
        urls = ["gs://b/a_b", "gs://b/a/b", f"gs://b/{'a' * 300}", f"gs://b/{'a' * 301}"]
        assert len({buckets.Bucket(url).folder for url in urls}) == len(urls)
        assert all(len(buckets.Bucket(url).folder.parent.name) < 100 for url in urls)

    @pytest.mark.parametrize("call", ["find", "get", "put", "remove"])
    def test_errors_are_one_line(self, call, put, gs, tmp_path):
        put("b/run/a.txt", b"one")
        bucket = buckets.Bucket("gs://b/run")
        (tmp_path / "a").write_text("a")
        do = {
            "find": lambda: bucket.files(),
            "get": lambda: bucket.pull({"a.txt": ("2", 3)}),
            "put": lambda: bucket.put("a", tmp_path / "a"),
            "remove": lambda: bucket.remove(["a.txt"]),
        }[call]
        gs.failing.add(call)
        line = refusal(do)
        assert line.startswith("gs://b/run: cannot be ") and "403 Forbidden: no rights" in line
        assert "your rights there" in line

    def test_a_package_that_is_missing_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "s3fs", None)
        assert refusal(buckets.Bucket, "s3://b/run") == (
            "s3://b/run: s3:// needs s3fs; pip install s3fs"
        )


class TestData:
    def test_prepared_in_a_bucket_and_read_from_a_copy(self, gs, tmp_path, capsys):
        asked = ["synthetic_faces", "--data-dir", "gs://b/data", "--set", "train=2", "test=1"]
        assert prepare.main(asked) == 0
        told = capsys.readouterr().out
        assert "stored in gs://b/data/synthetic_faces/test1-train2/" in told
        assert "--data-dir gs://b/data" in told.splitlines()[-1]
        names = [path for call, path in gs.calls if call == "put"]
        assert names[-1].endswith("/dataset_info.json")
        assert not [*Path(os.environ["JAXALIGN_CACHE"]).glob("prepare-*")]

        builder.build(BENCHMARKS["synthetic_faces"], None, tmp_path, {"train": 2, "test": 1})
        there = open_source(f"{SPEC}/train", UNION, "gs://b/data")
        here = open_source(f"{SPEC}/train", UNION, tmp_path)
        for one, other in zip(there, here, strict=True):
            assert one["photo"] == other["photo"]
            np.testing.assert_array_equal(one["points"], other["points"])
        gs.calls.clear()
        open_source(f"{SPEC}/test", UNION, Path("gs://b/data"))
        assert {call for call, _ in gs.calls} == {"find"}

        assert prepare.main(asked) == 2
        assert "is already prepared; --overwrite builds it again" in capsys.readouterr().err
        assert prepare.main([*asked, "--overwrite"]) == 0
        assert len(open_source(f"{SPEC}/train", UNION, "gs://b/data")) == 2

    def test_what_is_half_there_is_not_prepared(self, gs, capsys):
        asked = ["synthetic_faces", "--data-dir", "gs://b/data", "--set", "train=2", "test=1"]
        assert prepare.main(asked) == 0
        open_source(f"{SPEC}/train", UNION, "gs://b/data")
        (info,) = (path for path in gs.files() if path.endswith("/dataset_info.json"))
        gs.failing.add(("put", info))
        assert prepare.main([*asked, "--overwrite"]) == 2
        assert "cannot be written (403 Forbidden: no rights)" in capsys.readouterr().err
        line = refusal(open_source, f"{SPEC}/train", UNION, "gs://b/data")
        assert line.startswith(f"{SPEC} is not prepared in gs://b/data; run: ")
        assert "--data-dir gs://b/data" in line


def test_only_buckets_import_fsspec():
    """Machines that only run ONNX models may lack it."""
    code = "import sys, jaxalign.buckets; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
