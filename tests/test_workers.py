"""Worker processes that make batches: their order, their errors, and that none outlives its use."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxalign.errors import InputError
from jaxalign.workers import made
from tests.helpers.making import broken, killed, paged, refused, told


ROOT = Path(__file__).parents[1]
TRAINER = """
import os, signal, sys
from jaxalign.workers import made
from tests.helpers.making import told
if __name__ == "__main__":
    rows = made(told, range(10**6), 2)
    print(*[next(rows)[1] for _ in range(2)], flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def ended(pid: int) -> bool:
    """Waits up to ten seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # whoever takes orphans has not looked yet
        time.sleep(0.1)
    return False


def test_in_order_without_devices_and_without_signals():
    """What Ctrl-C and schedulers send to all processes is the trainer's alone."""
    rows = made(told, range(3, 9), 2)
    found = [next(rows)]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(found[0][1], number)
    found += rows
    assert [number for number, _, _ in found] == list(range(3, 9))
    pids = [pid for _, pid, _ in found]
    assert len({os.getpid(), *pids}) == 3 and pids == pids[:2] * 3
    assert not any(devices for _, _, devices in found)
    assert all(map(ended, pids))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])  # this thread takes them again


def test_more_workers_than_batches():
    assert [number for number, _, _ in made(told, range(1), 3)] == [0]
    assert list(made(told, range(0), 3)) == []


def test_one_thread_of_opencv_and_memory_that_is_kept():
    threads, pages = zip(*made(paged, range(4), 1), strict=True)
    assert set(threads) == {1}
    if platform.libc_ver()[0] == "glibc":
        assert max(pages[1:]) < 1000 < pages[0]  # of 12,288


def test_closed_early_they_end():
    rows = made(told, range(10**6), 1)
    _, pid, _ = next(rows)
    rows.close()
    assert ended(pid)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (refused, InputError, "^faces/7: its photo is damaged$"),
        (broken, RuntimeError, r"(?s)^in a worker process:.*in broken\n.*Twisted: 1 and 2\n"),
    ],
)
def test_an_error_comes_in_its_turn(make, error, message):
    rows = made(make, range(9), 1)
    assert next(rows) == 0
    with pytest.raises(error, match=message):
        next(rows)


def test_a_killed_one_is_said_in_one_line():
    rows = made(killed, range(9), 2)
    assert [next(rows), next(rows)] == [0, 1]
    line = r"^data.workers=2: a worker process has ended \(exit code -9; .*\); set fewer of them"
    with pytest.raises(InputError, match=line):
        next(rows)


@pytest.mark.parametrize("end", ["killed", "left unclosed"])
def test_they_end_with_their_trainer(tmp_path, end):
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    done = subprocess.run([sys.executable, script, end], capture_output=True, text=True,
                          timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0)
    assert done.stderr == ""
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2 and all(map(ended, pids))
