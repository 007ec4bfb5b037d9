"""A work directory in a bucket: the same run, whole steps at any moment, and what goes wrong."""

import json
import logging
import os
import shutil
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, history, locks
from jaxalign.commands import evaluate, export
from jaxalign.commands import train as train_command
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.training import mirror
from jaxalign.training.loop import Run
from jaxalign.training.mirror import Mirror
from tests.helpers.small import small_recipe


URL = "gs://b/run"
STEP = "checkpoints/{}/"
PARTS = "metrics/metrics", "variables/a", "variables/b", "training/c", checkpoints.LAST


@pytest.fixture(scope="module")
def faces(data_300w):
    return [open_source(f"ibug_300w/{split}", IBUG68, data_300w) for split in ("train", "test")]


@pytest.fixture
def home():
    """The folder of copies is lost, as with a machine that is gone."""
    return lambda: shutil.rmtree(os.environ["JAXALIGN_CACHE"], ignore_errors=True)


def run(faces, workdir, **options):
    recipe = small_recipe(epochs=4, save_epochs=1.0, eval_epochs=2.0)
    return Run(recipe, *faces, workdir, benchmark="ibug_300w", **options)


@pytest.fixture(scope="module")
def local(faces, tmp_path_factory):
    """An uninterrupted run in a folder of this machine."""
    folder = tmp_path_factory.mktemp("local") / "run"
    run(faces, folder).run()
    return folder


def rows(data):
    values = [json.loads(line) for line in data.splitlines()]
    return [{k: v for k, v in r.items() if k not in ("time", "images_per_second")} for r in values]


def there(gs):
    """What the bucket holds of the run, by name."""
    return {path.removeprefix("/b/run/"): data for path, data in gs.files().items()}


def refusal(take, *arguments, **options):
    with pytest.raises(InputError) as error:
        take(*arguments, **options)
    (line,) = str(error.value).splitlines()
    return line


def write_step(folder, step, text):
    for name in PARTS:
        path = folder / STEP.format(step) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} {step}")


@pytest.fixture
def mirrored(gs):
    """A mirror, with two steps in the bucket."""
    made = Mirror(URL)
    locks.Lock(made.home, "")
    made.pull()
    (made.folder / "recipe.json").write_text("{}")
    for step in (2, 4):
        write_step(made.folder, step, "as saved")
    made.push()
    return made


class TestCopies:
    def test_steps_in_the_bucket_are_whole_at_every_moment(self, mirrored, gs, monkeypatch):
        seen = []

        def look(self, call, path):
            found = there(gs)
            whole = checkpoints.finished(found)
            for step in whole:
                assert {f"{step}{part}" for part in PARTS} <= found.keys(), (call, path)
            seen.append({int(step.split("/")[1]) for step in whole})

        monkeypatch.setattr(type(gs), "_told", look)
        write_step(mirrored.folder, 6, "as saved")
        steps = mirrored.folder / "checkpoints"
        (steps / "4").rename(steps / "4.old")
        mirrored.push()
        look(None, "", "")
        assert seen[0] == {2, 4} and {2, 4, 6} in seen and seen[-1] == {2, 6}
        assert not [name for name in there(gs) if "4" in name]

    def test_what_is_unfinished_or_not_the_runs_is_left_alone(self, mirrored, gs):
        for name in ("checkpoints/8.orbax-checkpoint-tmp/a", "report/a", "checkpoints/2.old/a",
                     ".recipe.json.1-2.jaxalign-partial"):  # fmt: skip
            path = mirrored.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("a")
        gs.pipe_file(f"{URL}/report/theirs", b"a")
        before = there(gs)
        mirrored.push()
        assert there(gs) == before

    def test_only_changes_are_copied(self, mirrored, gs):
        gs.calls.clear()
        mirrored.push()
        assert not gs.calls
        (mirrored.folder / history.FILE).write_text("{}\n")
        mirrored.push()
        assert gs.calls == [("put", f"/b/run/{history.FILE}")]

    def test_on_another_machine(self, mirrored, gs, home):
        before = there(gs)
        gs.pipe_file(f"{URL}/checkpoints/6/variables/a", b"its machine ended")
        gs.pipe_file(f"{URL}/checkpoints/3.damaged/{checkpoints.LAST}", b"evidence")
        gs.pipe_file(f"{URL}/report/large", b"theirs")
        home()
        other = Mirror(URL)
        other.pull()
        found = {p.relative_to(other.folder).as_posix(): p for p in other.folder.rglob("*")}
        found = {name: path.read_bytes() for name, path in found.items() if path.is_file()}
        assert {k: v for k, v in found.items() if not k.startswith(".")} == before
        gs.calls.clear()
        other.push()
        assert gs.calls == [("remove", "/b/run/checkpoints/6/variables/a")]
        assert {"report/large", f"checkpoints/3.damaged/{checkpoints.LAST}"} <= there(gs).keys()

    def test_a_step_that_is_removed_meanwhile(self, mirrored, gs, monkeypatch):
        write_step(mirrored.folder, 6, "as saved")
        put = mirrored.bucket.put

        def lose(name, path):
            shutil.rmtree(mirrored.folder / "checkpoints/6", ignore_errors=True)
            put(name, path)

        monkeypatch.setattr(mirrored.bucket, "put", lose)
        mirrored.push()
        assert checkpoints.finished(there(gs)) == {STEP.format(2), STEP.format(4)}

    def test_a_step_that_is_half_gone_is_none(self, mirrored, gs):
        (mirrored.folder / STEP.format(4) / checkpoints.LAST).unlink()
        mirrored.push()
        assert checkpoints.finished(there(gs)) == {STEP.format(2)}
        assert not [name for name in there(gs) if name.startswith(STEP.format(4))]

    def test_a_failed_copy_is_tried_again(self, mirrored, gs, monkeypatch, caplog, tmp_path):
        monkeypatch.setattr(mirror, "EVERY", 0.01)
        caplog.set_level(logging.WARNING, "jaxalign")
        mirrored.start()
        gs.failing.add("put")
        (mirrored.folder / history.FILE).write_text("{}\n")
        while not caplog.records:
            time.sleep(0.01)
        assert "403 Forbidden: no rights" in caplog.text and "tried again" in caplog.text
        gs.failing.clear()
        with monkeypatch.context() as patch:  # a folder is renamed while it is read
            patch.setattr(mirrored, "_files", lambda: (tmp_path / "gone").stat())
            seen = len(caplog.records)
            while len(caplog.records) < seen + 2:
                time.sleep(0.01)
        while history.FILE not in there(gs):
            time.sleep(0.01)
        assert locks.FILE in there(gs)
        mirrored.close()
        assert locks.FILE not in there(gs)

    def test_where_the_last_copy_fails_the_folder_is_named(self, mirrored, gs):
        mirrored.start()
        gs.failing.add("put")
        (mirrored.folder / history.FILE).write_text("{}\n")
        line = refusal(mirrored.close)
        assert f"the whole run is in {mirrored.folder}: copy it" in line


class TestReading:
    def test_the_best_step_and_the_numbers_without_what_only_resuming_needs(self, gs, mirrored):
        for step, val in ((2, 0.1), (4, 0.2)):
            gs.pipe_file(f"{URL}/{STEP.format(step)}recipe/metadata", b"{}")
            text = json.dumps({"val": val}).encode()
            gs.pipe_file(f"{URL}/{STEP.format(step)}metrics/metrics", text)
        gs.pipe_file(f"{URL}/{history.FILE}", b'{"step": 2}\n')
        gs.pipe_file(f"{URL}/checkpoints/6/recipe/metadata", b"{}")  # not finished
        best = checkpoints.find_step(URL)
        assert best.name == "2" and checkpoints.find_step(Path(URL), "latest").name == "4"
        assert history.of_step(best) == [{"step": 2}]
        assert {"a", "b"} == {path.name for path in (best / "variables").iterdir()}
        assert not (best / "training").exists()
        assert checkpoints.find_step(f"{URL}/checkpoints").name == "2"
        one = checkpoints.find_step(f"{URL}/checkpoints/4")
        assert (one / "variables/a").read_text() == "as saved 4"
        assert checkpoints.is_one(URL)

    @pytest.mark.parametrize("url", ["gs://b/none", "gs://b", f"{URL}/tensorboard"])
    def test_where_there_is_none(self, url, gs, mirrored):
        assert "no finished checkpoint in such a folder" in refusal(checkpoints.find_step, url)


@pytest.mark.heavy
class TestRuns:
    def assert_like(self, local, gs):
        found = there(gs)
        assert rows(found[history.FILE]) == rows((local / history.FILE).read_bytes())
        assert json.loads(found["recipe.json"]) == json.loads((local / "recipe.json").read_text())
        assert sorted(checkpoints.finished(found)) == [
            STEP.format(path.name) for path in sorted((local / "checkpoints").iterdir())
        ]
        assert any(name.startswith("tensorboard/") for name in found)
        assert locks.FILE not in found
        for which in ("best", "latest"):
            one, other = (checkpoints.load(path, which)[1] for path in (URL, local))
            jax.tree.map(np.testing.assert_array_equal, one, other)

    @pytest.mark.slow
    def test_as_in_a_folder(self, faces, local, gs):
        run(faces, URL).run()
        self.assert_like(local, gs)

    def test_stopped_by_a_signal_and_resumed_on_another_machine(self, faces, local, gs, home):
        def stop(run):
            if run.step == 3:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(SystemExit):
            run(faces, URL, on_step=stop).run()
        assert STEP.format(3) in checkpoints.finished(there(gs))
        home()
        resumed = run(faces, URL, resume=True)
        assert resumed.step == 3 and not [line for line in resumed.opening if "warning" in line]
        resumed.run()
        self.assert_like(local, gs)

    @pytest.mark.slow
    def test_killed_and_resumed_on_another_machine(self, faces, local, gs, home, capsys):
        """Of the killed run, the bucket has what a copy in its midst left there."""
        first = run(faces, URL, on_step=lambda run: run.step == 3 and run.mirror.push())
        before = first.mirror.push
        first.mirror.push = lambda: None if first.step == 4 else before()
        gs.failing.add(("remove", f"/b/run/{locks.FILE}"))
        with pytest.raises(InputError):
            first.run()
        gs.failing.clear()
        assert STEP.format(4) not in checkpoints.finished(there(gs))
        home()
        resumed = run(faces, URL, resume=True)
        assert 1 <= resumed.step <= 3
        (line,) = (line for line in resumed.opening if line.startswith("warning: "))
        assert line.startswith(f"warning: {URL} is noted to be in use by process {os.getpid()} on")
        resumed.run()
        self.assert_like(local, gs)

    def test_a_run_that_is_there_is_not_overwritten(self, faces, gs, home):
        run(faces, URL).run()
        home()
        before = there(gs)
        gs.calls.clear()
        line = refusal(run, faces, URL)
        assert line.startswith(f"{URL}: holds checkpoints already; go on with --resume")
        assert there(gs) == before and not [path for _, path in gs.calls if "/variables/" in path]

    def test_steps_that_were_not_sent_are_kept(self, faces, gs):
        first = run(faces, URL)
        first._release()
        write_step(first.workdir, 3, "as saved")
        gs.calls.clear()
        line = refusal(run, faces, URL)
        assert line.startswith(f"{first.workdir}: holds steps of this --workdir that the bucket")
        assert (first.workdir / STEP.format(3) / "variables/a").exists()

    def test_a_bucket_that_cannot_be_written_is_told_before_the_first_step(self, faces, gs):
        gs.failing.add("put")
        line = refusal(run, faces, URL)
        assert line.startswith(f"{URL}: cannot be written (403 Forbidden: no rights); check")
        gs.failing.clear()
        run(faces, URL)._release()  # nobody holds it

    def test_one_process_of_a_machine_at_a_time(self, faces, gs):
        first = run(faces, URL)
        assert "is in use by process" in refusal(run, faces, URL)
        first.mirror.close()
        first._release()


@pytest.mark.heavy
def test_the_commands(gs, data_300w, tmp_path, capsys, faces):
    """Training, with data and work directory in buckets, and all that takes the checkpoint."""
    for path in Path(data_300w).rglob("*"):
        if path.is_file():
            name = path.relative_to(data_300w).as_posix()
            gs.pipe_file(f"gs://b/data/{name}", path.read_bytes())
    config = tmp_path / "tiny.py"
    config.write_text("from tests.helpers.small import small_recipe as config\n")
    data = ["--data-dir", "gs://b/data"]
    asked = ["--config", str(config), *data, "--workdir"]
    assert train_command.main([*asked, URL]) == 0
    out = capsys.readouterr().out
    assert f"--ckpt {URL} --data ibug_300w/test --data-dir gs://b/data" in out.splitlines()[-1]
    assert evaluate.main(["--ckpt", URL, *data, "--report", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report/training.csv").exists()
    assert evaluate.main(["--ckpt", URL, *data, "--report", "gs://b/report"]) == 2
    assert "gs://b/report: only a --workdir" in capsys.readouterr().err

    weights = tmp_path / "w.safetensors"
    assert export.main(["--ckpt", URL, "--out", str(weights)]) == 0
    gs.pipe_file("gs://b/w.safetensors", weights.read_bytes())
    photo = np.zeros((64, 64, 3), np.uint8)
    box = (16.0, 16.0, 48.0, 48.0)
    one, other = (
        jaxalign.load(path, detector="cascade")(photo, boxes=[box])[0].points
        for path in ("gs://b/w.safetensors", URL)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    capsys.readouterr()
    assert train_command.main([*asked, str(tmp_path / "run"), "--init-from", URL]) == 0
    assert "left at random" not in capsys.readouterr().err
