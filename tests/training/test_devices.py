"""One device, several, changing ones and two processes train and evaluate alike."""

import json
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxalign import checkpoints
from jaxalign.checkpoints import FOLDER, LAST
from jaxalign.datasets import BENCHMARKS
from jaxalign.datasets.builder import build
from jaxalign.evaluation.tables import print_table
from tests.helpers import ROOT
from tests.helpers.small import InTwoPhases
from tests.helpers.trees import make_300w


def start(out, data_dir, *arguments):
    out.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "tests.helpers.worker",
        out,
        "--data-dir",
        data_dir,
        *map(str, arguments),
    ]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def data_8(tmp_path_factory):
    """Eight training faces: one batch an epoch."""
    root, data_dir = tmp_path_factory.mktemp("300w"), tmp_path_factory.mktemp("data")
    make_300w(root, photos_per_folder=3)
    (root / "lfpw/trainset/image_0003.pts").unlink()
    build(BENCHMARKS["ibug_300w"], root, data_dir)
    return data_dir


@pytest.fixture(scope="module")
def one_device(tmp_path_factory, data_8):
    out = tmp_path_factory.mktemp("one")
    finish(start(out, data_8, "--devices", 1))
    return out


def assert_equal_runs(one, other):
    a, b = (np.load(out / "parameters.npz") for out in (one, other))
    assert a.files == b.files
    for name in a.files:
        np.testing.assert_allclose(a[name], b[name], atol=1e-5, rtol=0)
    np.testing.assert_allclose(*map(validated, (one, other)), rtol=1e-5)
    assert print_table(summary(one)) == print_table(summary(other))
    assert summary(one)["rows"][-1]["faces"] == 9


def validated(out):
    """The NMEs in training: of three epochs."""
    rows = map(json.loads, (out / "run" / "metrics.jsonl").read_text().splitlines())
    nmes = [row["val_nme"] for row in rows if "val_nme" in row]
    assert len(nmes) == 3
    return nmes


def summary(out):
    return json.loads((out / "report.json").read_text())["summary"]


@pytest.mark.heavy
@pytest.mark.slow
def test_four_devices_equal_one(one_device, data_8, tmp_path):
    finish(start(tmp_path, data_8, "--devices", 4))
    assert_equal_runs(one_device, tmp_path)


def two_processes(out, data_dir, *arguments, each=((), ())):
    """Both, of two devices each; `each` are arguments of the first and of the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ("--devices", 2, "--processes", 2, "--port", port, *arguments)
    return [start(out, data_dir, *shared, "--process", i, *own) for i, own in enumerate(each)]


@pytest.mark.heavy
def test_two_processes_equal_one(one_device, data_8, tmp_path):
    finish(*two_processes(tmp_path, data_8))
    assert_equal_runs(one_device, tmp_path)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_signal_to_one_host_stops_all_and_saves(one_device, data_8, tmp_path):
    """At one step; the run then goes on to what it would have been."""
    hosts = two_processes(tmp_path, data_8, each=((), ("--sigterm-at", 1)))
    told = [host.communicate(timeout=300)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [128 + signal.SIGTERM] * 2, told
    assert "2" in {path.name for path in (tmp_path / "run" / FOLDER).iterdir()}
    finish(*two_processes(tmp_path, data_8))
    assert_equal_runs(one_device, tmp_path)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(one_device, data_8, tmp_path):
    """Two devices, then eight: the batch is the same, and so is the outcome."""
    stopped = start(tmp_path, data_8, "--devices", 2, "--sigterm-at", 1)
    told = stopped.communicate(timeout=300)[1]
    assert stopped.returncode == 128 + signal.SIGTERM, told
    finish(start(tmp_path, data_8, "--devices", 8))
    assert_equal_runs(one_device, tmp_path)


@pytest.mark.heavy
@pytest.mark.slow
def test_hosts_without_a_shared_folder(one_device, data_8, tmp_path, monkeypatch):
    """Work directory and data are in a bucket; each host has copies, which are lost on the way."""
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "cache"))
    where = "--workdir", f"file://{tmp_path}/bucket/run"
    data = f"file://{data_8}"
    hosts = two_processes(tmp_path, data, *where, each=((), ("--sigterm-at", 2)))
    told = [host.communicate(timeout=300)[1] for host in hosts]
    assert [host.returncode for host in hosts] == [128 + signal.SIGTERM] * 2, told
    assert (tmp_path / "bucket/run" / FOLDER / "3" / LAST).exists()
    shutil.rmtree(tmp_path / "cache")
    finish(*two_processes(tmp_path, data, *where))
    shutil.copytree(tmp_path / "bucket/run", tmp_path / "run")
    assert_equal_runs(one_device, tmp_path)
    recipe, *_ = checkpoints.load(tmp_path / "run")
    assert isinstance(recipe.system, InTwoPhases)
