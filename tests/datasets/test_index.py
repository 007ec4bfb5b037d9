"""Many faces: shards, the index beside them, and what opening them costs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxalign.datasets import BENCHMARKS, builder
from jaxalign.datasets.index import IndexWriter, read_index
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import hold_out, open_source
from tests.helpers import ROOT
from tests.helpers.trees import make_300w


def test_texts_and_subsets_come_back(tmp_path):
    writer = IndexWriter()
    rows = [("ä/1", ("a", "b")), ("", ()), ("two words", ("b",)), ("ä/1", ("a", "b"))]
    for group, subsets in rows:
        writer.add(group, subsets)
    index = read_index(tmp_path, "train", writer.write(tmp_path, "train"))
    assert list(index.groups) == [group for group, _ in rows]
    assert index.groups[-1] == "ä/1" and index.groups[1:3] == ["", "two words"]
    with pytest.raises(IndexError):
        index.groups[4]
    assert {k: v.tolist() for k, v in index.subsets().items()} == {"a": [0, 3], "b": [0, 2, 3]}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A data_dir with a 300W of 18 faces, in shards of four."""
    monkeypatch.setattr(builder, "SHARD_FACES", 4)
    make_300w(tmp_path / "300w", 3)
    builder.build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "data")
    return tmp_path / "data"


def test_shards_hold_the_faces_in_order(tiny, tmp_path, monkeypatch):
    names = sorted(path.name for path in tiny.rglob("*train.array_record*"))
    assert names == [f"ibug_300w-train.array_record-0000{k}-of-00003" for k in range(3)]
    monkeypatch.setattr(builder, "SHARD_FACES", 1000)
    builder.build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "one")
    for split in ("train", "test", "afw", "full"):
        many, one = (open_source(f"ibug_300w/{split}", IBUG68, d) for d in (tiny, tmp_path / "one"))
        assert [(a["id"], a["photo"]) for a in many] == [(b["id"], b["photo"]) for b in one]
    monkeypatch.setattr(builder, "SHARD_BYTES", 1)
    builder.build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "bytes")
    assert len(list((tmp_path / "bytes").rglob("*train.array_record*"))) == 9


@pytest.mark.parametrize("name", ["*train.array_record-00002*", "test-ends.npy", "train-kind.npy"])
def test_every_shard_and_file_of_the_index_is_looked_at(tiny, name):
    (path,) = tiny.rglob(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"default/1.0.0: damaged .*--overwrite"):
        open_source("ibug_300w/train", IBUG68, tiny)


def test_an_index_of_other_faces_is_refused(tiny):
    (path,) = tiny.rglob("train-kind.npy")
    np.save(path, np.zeros(5, np.int32))
    with pytest.raises(InputError, match="not of as many faces as it holds"):
        open_source("ibug_300w/train", IBUG68, tiny)


def test_data_sets_of_older_versions_have_it_in_their_metadata(tiny):
    wanted = {}
    for split in ("train", "test", "afw", "common"):
        source = open_source(f"ibug_300w/{split}", IBUG68, tiny)
        wanted[split] = [(sample["id"], sample["group"]) for sample in source]
    held = [
        sample["id"] for sample in hold_out(open_source("ibug_300w/train", IBUG68, tiny), 0.3)[1]
    ]
    (path,) = tiny.rglob("metadata.json")
    older = {}
    for split in ("train", "test"):
        source = open_source(f"ibug_300w/{split}", IBUG68, tiny)
        older[split] = {"group": [sample["group"] for sample in source],
                        "subsets": [list(sample["subsets"]) for sample in source]}  # fmt: skip
    path.write_text(json.dumps(older))
    for file in tiny.rglob("*.npy"):
        file.unlink()
    for split, faces in wanted.items():
        source = open_source(f"ibug_300w/{split}", IBUG68, tiny)
        assert [(sample["id"], sample["group"]) for sample in source] == faces
        assert source.reduction is None
    source = open_source("ibug_300w/train", IBUG68, tiny)
    assert [sample["id"] for sample in hold_out(source, 0.3)[1]] == held


OPENED = """
import resource, sys, time
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.datasets import builder

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

open_source("ibug_300w/train", IBUG68, sys.argv[1])  # what it imports
before, started = held(), time.process_time()
source = open_source("ibug_300w/train", IBUG68, sys.argv[2])
seconds = time.process_time() - started
source[len(source) // 2]
print(len(source), seconds, held() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_a_hundred_thousand_faces_open_in_no_time(data_300w, tmp_path):
    """In 0.2 s of the processor and 30 MiB, a tenth of what a million may take."""
    from benchmarks.many_faces import write

    write(tmp_path, 100_000)
    command = [sys.executable, "-c", OPENED, str(data_300w), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    faces, seconds, memory = map(float, done.stdout.split())
    assert faces == 100_000 and seconds < 0.2 and memory < 30
