"""Programs that train begin anew with large pages, once, and only where the kernel waits for it."""

import os
import subprocess
import sys

import pytest

from jaxalign import large_pages
from jaxalign.__main__ import main
from tests.helpers import ROOT


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The kernel's file, here one that asks programs; no setting in the environment."""
    file = tmp_path / "enabled"
    file.write_text("always [madvise] never\n")
    monkeypatch.setattr(large_pages, "KERNEL", file)
    monkeypatch.delenv(large_pages.SETTING, raising=False)
    return file


@pytest.fixture
def begun(monkeypatch):
    """Programs that were begun in place of this one."""
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def test_the_same_command_begins_with_the_setting(kernel, begun):
    large_pages.restart()
    ((program, words, environment),) = begun
    assert (program, words) == (sys.executable, [sys.executable, *sys.orig_argv[1:]])
    assert environment == os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.mark.parametrize("setting", ["", "glibc.malloc.hugetlb=1", "glibc.malloc.check=1"])
def test_not_where_something_is_set(setting, kernel, begun, monkeypatch):
    monkeypatch.setenv(large_pages.SETTING, setting)
    large_pages.restart()
    assert not begun


@pytest.mark.parametrize("chosen", ["[always] madvise never", "always madvise [never]", None])
def test_not_where_the_kernel_does_not_ask(chosen, kernel, begun):
    kernel.write_text(chosen) if chosen else kernel.unlink()
    large_pages.restart()
    assert not begun


@pytest.mark.parametrize(
    ("words", "times"),
    [(["train", "--help"], 1), (["demo", "--help"], 1), (["predict", "--help"], 0)],
)
def test_of_commands_that_train(words, times, kernel, begun, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["jaxalign", *words])
    for arguments in (None, words):  # the process's own, and those of a caller
        with pytest.raises(SystemExit):
            main(arguments)
        assert len(begun) == times


@pytest.mark.parametrize("words", [["-m", "jaxalign", "train"], ["train.py"]])
def test_the_command_runs_once(words):
    environment = {k: v for k, v in os.environ.items() if k != large_pages.SETTING}
    command = [sys.executable, "-W", "ignore", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and done.stdout.count("usage:") == 1, done.stderr
