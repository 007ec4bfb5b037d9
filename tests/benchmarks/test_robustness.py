"""The campaign of damage: a small part of it, and that its judge sees what goes wrong."""

import functools
import json
import os
import resource
import signal
import sys
import time
from collections import Counter

import numpy as np
import pytest

from benchmarks import faults, grounds, judging, robustness
from benchmarks.judging import Ended, Started, Verdict, Workers, attempt, judged
from jaxalign import photos
from jaxalign.commands import run
from jaxalign.errors import InputError


def refused():
    raise InputError("photo.jpg: is damaged; give another file")


class TestJudge:
    def test_right_and_one_clear_line(self):
        ended = attempt(lambda: print("done"))
        assert (ended, judged(ended).verdict) == (Ended(0, "done\n", ""), "right")
        ended = attempt(lambda: run(refused))
        assert judged(ended, names=["photo.jpg"]) == Verdict("clear line")

    def test_a_line_that_names_nothing_two_lines_and_other_codes(self):
        ended = attempt(lambda: run(refused))
        assert judged(ended, names=["other.jpg"]).verdict == "unclear line"
        assert judged(Ended(2, "", "error: a\nerror: b\n")).verdict == "unclear line"
        assert judged(Ended(2, "", "")).verdict == "unclear line"
        assert judged(Ended(139, "", "")).verdict == "unclear line"
        assert judged(Ended(143, "", ""), codes=(0, 143)).verdict == "right"

    def test_tracebacks(self):
        verdict = judged(attempt(lambda: 1 // 0))
        assert verdict.verdict == "traceback" and "ZeroDivisionError" in verdict.detail
        text = "Exception in thread\nTraceback (most recent call last):\nValueError\n"
        assert judged(attempt(lambda: os.write(2, text.encode()) and 0)).verdict == "traceback"

    def test_another_result(self):
        sound = Ended(0, "", "")
        assert judged(sound, difference="points").verdict == "silently wrong"
        assert judged(sound, difference="points", seen=False).verdict == "not to be told"
        assert judged(Ended(2, "", "error: x"), difference="points").verdict == "clear line"

    def test_what_is_left(self, tmp_path):
        (tmp_path / "a/.incomplete-wflw-default").mkdir(parents=True)
        (tmp_path / "faces.json").touch()
        left = judging.aside(tmp_path)
        assert left == [str(tmp_path / "a/.incomplete-wflw-default")]
        assert judged(Ended(0, "", ""), left=left).verdict == "left over"
        assert judged(Ended(1, "", ""), left=left).verdict == "unclear line"

    def test_the_worst_counts(self):
        found = [Verdict("right"), Verdict("silently wrong"), Verdict("clear line")]
        assert judging.worst(found) == found[1] and found[1].bad and not found[2].bad


def task(kind: str, number: int) -> Verdict:
    if kind == "slow" and number:
        time.sleep(60)
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "fails":
        raise ValueError(number)
    return Verdict("right", what=f"process {os.getpid()}")


@pytest.mark.heavy
def test_workers_end_what_hangs_and_go_on():
    tasks = [("slow", 0), ("slow", 1), ("dies", 0), ("fails", 0), ("slow", 0)]
    first, hang, dead, failed, last = Workers(task, 1, 2.0)(tasks)
    assert (first.verdict, last.verdict, last.kind) == ("right", "right", "slow")
    assert first.what != last.what  # another process
    assert (hang.verdict, hang.kind, hang.number) == ("hang", "slow", 1)
    assert (dead.verdict, dead.detail) == ("traceback", "its process ended")
    assert failed.verdict == "traceback" and "ValueError: 0" in failed.detail


def printing(count: int, code: int) -> int:
    print("x" * count)
    print("error: y", file=sys.stderr)
    return code


def waiting() -> int:
    print("here", flush=True)
    time.sleep(60)
    return 0


def no_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.heavy
def test_commands_in_processes_of_their_own():
    ended = Started(printing, 100_000, 2, first=no_files).ended()
    assert ended == Ended(2, "x" * 100_000 + "\n", "error: y\n")
    started = Started(waiting)
    while not started.texts[0]:
        assert not started.wait(0.05)
    started.send(signal.SIGKILL)
    assert started.ended() == Ended(137, "here\n", "")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return grounds.build(tmp_path_factory.mktemp("robustness") / "ground", trained=False)


def tried(trial, ground, folder, count, seed=0):
    found = []
    for number in range(count):
        place = folder / f"{seed}-{number}"
        place.mkdir()
        found.append(trial(ground, np.random.default_rng([seed, number]), place))
    return found


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("trial", "count"), [(robustness.try_photo, 60), (robustness.try_annotations, 30)]
)
def test_a_small_campaign(trial, count, ground, tmp_path):
    found = tried(trial, ground, tmp_path, count)
    assert [verdict for verdict in found if verdict.bad] == []
    counts = Counter(verdict.verdict for verdict in found)
    assert counts["clear line"] >= count // 4 and counts["right"] >= 1


def test_photos_taken_as_whole_are_silently_wrong(ground, tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "_check_whole", lambda photo, image: None)
    monkeypatch.setattr(grounds, "photo_names", lambda: ["baseline.jpg"])
    monkeypatch.setattr(faults, "BYTES", [faults._cut])
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    found = tried(robustness.try_photo, ground, tmp_path, 8)
    assert "silently wrong" in {verdict.verdict for verdict in found}


def test_a_reader_that_fails_or_takes_other_points_is_seen(ground, tmp_path, monkeypatch):
    from jaxalign.datasets import formats, ibug_300w

    monkeypatch.setattr(grounds, "TREES", {"ibug_300w": grounds.TREES["ibug_300w"]})
    sound = formats.read_pts

    def shifted(*arguments):
        return sound(*arguments) + 1

    monkeypatch.setattr(ibug_300w, "read_pts", shifted)
    monkeypatch.setattr(faults, "damaged_file", lambda *_: faults.Damage("nothing"))
    (verdict,) = tried(robustness.try_annotations, ground, tmp_path, 1)
    assert verdict.verdict == "silently wrong" and "has other points" in verdict.detail
    monkeypatch.setattr(ibug_300w, "read_pts", lambda *_: 1 // 0)
    (verdict,) = tried(robustness.try_annotations, ground, tmp_path, 1, seed=1)
    assert verdict.verdict == "traceback" and "ZeroDivisionError" in verdict.detail


def test_a_seed_and_a_number_are_the_same_trial(ground, tmp_path):
    trial = functools.partial(tried, robustness.try_photo, ground)
    first, again = (trial(tmp_path / name, 5) for name in _folders(tmp_path, "ab"))
    assert [one.what for one in first] == [one.what for one in again]
    (other,) = (trial(tmp_path / name, 5, seed=1) for name in _folders(tmp_path, "c"))
    assert [one.what for one in first] != [one.what for one in other]


def _folders(parent, names):
    for name in names:
        (parent / name).mkdir()
    return names


def test_every_damage_changes_a_file_or_says_so(tmp_path):
    path = tmp_path / "a.txt"
    text = "version: 1\n12.5 34.25\n"
    whats = set()
    for number in range(100):
        path.write_text(text)
        damage = faults.damaged_file(path, np.random.default_rng(number))
        whats.add(damage.what.partition(": ")[2].split()[0])
        if path.is_symlink() or not path.is_file():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(True)
    assert len(whats) > 12


class TestCommand:
    def test_table_and_list(self, tmp_path, monkeypatch, capsys):
        wrong = Verdict("silently wrong", "a bit", "other points", "photos", 7)
        found = [Verdict("right", kind="photos"), wrong, Verdict("clear line", kind="kills")]

        def campaign(classes, seed, *, show, **_):
            assert (classes, seed) == (["photos", "kills"], 3)
            for verdict in found:
                show(verdict)
            return found

        monkeypatch.setattr(robustness, "campaign", campaign)
        command = ["--out", str(tmp_path / "o"), "--seed", "3", "--classes", "photos", "kills"]
        assert robustness.main(command) == 1
        out = capsys.readouterr().out
        assert "photos 7: silently wrong: a bit" in out
        text = (tmp_path / "o/robustness.md").read_text()
        assert (
            "| photos | 2 | 1 | 0 | 0 | 0 | 0 | 0 | 1 | 0 |\n| kills | 1 |" in text and text in out
        )
        (line,) = (tmp_path / "o/bad.jsonl").read_text().splitlines()
        assert json.loads(line) == {
            "seed": 3, "class": "photos", "number": 7, "verdict": "silently wrong",
            "what": "a bit", "seen": "other points",
        }  # fmt: skip
        del found[1]
        assert robustness.main(command) == 0
        assert (tmp_path / "o/bad.jsonl").read_text() == ""

    def test_refuses(self, tmp_path, capsys):
        assert robustness.main(["--out", str(tmp_path), "--jobs", "0"]) == 2
        assert capsys.readouterr().err.startswith("error: --jobs")
