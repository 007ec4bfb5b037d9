"""Programs that compute begin anew with memory that is kept: once, and only on Linux."""

import os
import subprocess
import sys

import pytest

from jaxalign import memory
from jaxalign.__main__ import main
from tests.helpers import ROOT


@pytest.fixture
def linux(monkeypatch):
    """Linux, with no setting in the environment."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv(memory.SETTING, raising=False)


@pytest.fixture
def begun(monkeypatch):
    """Programs that were begun in place of this one."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def test_the_same_command_begins_with_the_setting(linux, begun):
    memory.restart()
    ((program, words, environment),) = begun
    assert (program, words) == (sys.executable, [sys.executable, *sys.orig_argv[1:]])
    settings = "hugetlb=1", "mmap_max=0", "trim_threshold=1099511627776", "arena_max=1"
    value = ":".join(f"glibc.malloc.{setting}" for setting in settings)
    assert environment == os.environ | {"GLIBC_TUNABLES": value}


@pytest.mark.parametrize("setting", ["", "glibc.malloc.hugetlb=1", "glibc.malloc.check=1"])
def test_not_where_something_is_set(setting, linux, begun, monkeypatch):
    monkeypatch.setenv(memory.SETTING, setting)
    memory.restart()
    assert not begun


def test_not_where_this_is_not_linux(linux, begun, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.restart()
    assert not begun


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (["train", "--help"], 1),
        (["demo", "--help"], 1),
        (["evaluate", "--help"], 1),
        (["predict", "--help"], 1),
        (["export", "--help"], 1),
        (["plan", "--help"], 0),
    ],
)
def test_of_commands_that_compute(words, times, linux, begun, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jaxalign", *words])
    for arguments in (None, words):  # the process's own, and those of a caller
        with pytest.raises(SystemExit):
            main(arguments)
        assert len(begun) == times


@pytest.mark.parametrize("words", [["-m", "jaxalign", "train"], ["train.py"], ["evaluate.py"]])
def test_the_command_runs_once(words):
    environment = {k: v for k, v in os.environ.items() if k != memory.SETTING}
    command = [sys.executable, "-W", "ignore", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and done.stdout.count("usage:") == 1, done.stderr
