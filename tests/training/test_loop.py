"""The training loop: exact resuming, phases, cycles, guards."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxalign
from jaxalign import checkpoints, drawing
from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import crop_face
from jaxalign.recipe import Training, override
from jaxalign.schemes import IBUG68
from jaxalign.sources import first as first_faces
from jaxalign.sources import open_source
from jaxalign.systems import StackedHourglass
from jaxalign.systems.interface import Objective, Phase, System
from jaxalign.training.checkpoints import Checkpoints
from jaxalign.training.loop import NonFinite, Run
from tests.helpers import ROOT, slow
from tests.helpers.small import small_recipe
from tests.training.test_logs import shown


TINY = """
from tests.helpers.small import small_recipe
config = lambda: small_recipe(epochs=8, save_epochs=2.0, eval_epochs=4.0)
"""


@pytest.fixture(scope="module")
def train(data_300w):
    return open_source("ibug_300w/train", IBUG68, data_300w)


@pytest.fixture(scope="module")
def test(data_300w):
    return open_source("ibug_300w/test", IBUG68, data_300w)


def lines(workdir):
    """metrics.jsonl without what differs between equal runs."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("time", "images_per_second")} for r in rows]


def command(tmp_path, data_300w, workdir, *more, **options):
    (tmp_path / "tiny.py").write_text(TINY)
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", "--config", tmp_path / "tiny.py", "--workdir", workdir,
         "--data-dir", data_300w, "--require", "cpu", *more],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def wait_for_step(process, workdir, step):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        file = workdir / "metrics.jsonl"
        if file.exists() and f'"step": {step},' in file.read_text():
            return
        time.sleep(0.005)
    raise AssertionError(f"step {step} never came: {process.communicate()}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, data_300w):
    folder = tmp_path_factory.mktemp("whole")
    process = command(folder, data_300w, folder / "run")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder / "run"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        slow.row(signal.SIGTERM),
        slow.row(signal.SIGINT),  # taken as SIGTERM is, and so is the next
        slow.row(signal.SIGHUP),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(number, uninterrupted, tmp_path, data_300w):
    run = tmp_path / "run"
    process = command(tmp_path, data_300w, run)
    wait_for_step(process, run, 4)
    process.send_signal(number)
    process.communicate(timeout=300)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:  # saved at once, and left with the signal's code unless it was just through
        assert process.returncode in (128 + number, 0)
    before = Checkpoints(run).latest()
    assert before is None or 2 <= before <= 8
    process = command(tmp_path, data_300w, run, "--resume")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    extra = [] if number == signal.SIGKILL else [r["step"] for r in lines(run)]
    assert lines(run) == lines(uninterrupted), extra
    assert sorted(os.listdir(run / "checkpoints"))[-1] == "8"
    a, b = (checkpoints.load(folder, "latest")[1] for folder in (run, uninterrupted))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.heavy
@pytest.mark.slow
def test_worker_processes_stop_with_the_run_and_change_nothing(uninterrupted, tmp_path, data_300w):
    """Stopped as by a terminal, which sends Ctrl-C to all its processes; resumed with threads."""
    run = tmp_path / "run"
    workers = ["--set", "data.workers=2"]
    process = command(tmp_path, data_300w, run, *workers, start_new_session=True)
    wait_for_step(process, run, 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (128 + signal.SIGINT, 0) and "Traceback" not in errors
    deadline = time.monotonic() + 20  # multiprocessing's own helper ends a moment later
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    process = command(tmp_path, data_300w, run, "--resume")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert lines(run) == lines(uninterrupted)
    a, b = (checkpoints.load(folder, "latest")[1] for folder in (run, uninterrupted))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_killed_worker_process_ends_the_run_in_one_line(train, test, tmp_path):
    recipe = override(small_recipe(epochs=200), ["data.workers=1"])

    def kill(run):
        for worker in multiprocessing.active_children():
            worker.kill()

    run = Run(recipe, train, test, tmp_path, benchmark="ibug_300w", on_step=kill)
    with pytest.raises(InputError, match=r"^data.workers=1: a worker process has ended"):
        run.run()
    assert not multiprocessing.active_children()


@pytest.mark.heavy
def test_a_work_directory_is_not_overwritten(train, test, tmp_path):
    Run(small_recipe(epochs=1), train, test, tmp_path, benchmark="ibug_300w").run()
    with pytest.raises(checkpoints.InputError, match="--resume"):
        Run(small_recipe(epochs=1), train, test, tmp_path, benchmark="ibug_300w")
    with pytest.raises(checkpoints.InputError, match="differs from the recipe"):
        Run(small_recipe(epochs=2), train, test, tmp_path, benchmark="ibug_300w", resume=True)


@pytest.mark.heavy
def test_a_checkpoint_knows_which_scores_are_low(train, test, tmp_path):
    """It is the score that 99 % of the faces reached, and of a checkpoint without it 0."""
    run = Run(small_recipe(epochs=1), train, test, tmp_path, benchmark="ibug_300w")
    run.run()
    step = checkpoints.find_step(tmp_path)
    recipe, variables, _ = checkpoints.load(step)
    results = predict_source(run.predictor, variables, test, recipe.data.crop)
    scores = results.score.mean(1)
    assert checkpoints.low_score(step) == pytest.approx(np.quantile(scores, 0.01), rel=1e-5)
    assert scores.min() <= checkpoints.low_score(step) < np.median(scores)
    assert jaxalign.load(tmp_path).min_score == checkpoints.low_score(step)
    assert jaxalign.load(tmp_path, min_score=0.2).min_score == 0.2
    (step / "metrics" / "metrics").write_text('{"val": 0.1}')
    assert checkpoints.low_score(step) == 0


class TestPictures:
    @pytest.fixture
    def run(self, train, test, tmp_path):
        """One that has been validated, without a step of training; `shown` is what it logs."""
        run = Run(small_recipe(), train, test, tmp_path, benchmark="ibug_300w")
        points = run.truth.points + 1
        run.found = run.truth.with_predictions(points, np.ones(points.shape[:2]))
        run.shown = []
        run.log = SimpleNamespace(board=True, picture=lambda *shown: run.shown.append(shown))
        yield run
        run.checkpoints.close()
        run._release()

    def test_a_validation_shows_its_faces(self, run):
        run.step = run.last
        run._show(1)
        ((step, name, picture),) = run.shown
        assert (step, name, picture.dtype) == (run.last, "validation", np.uint8)
        rows = -(-len(run.val_faces) // 4)
        assert picture.shape == (34 + 34 + rows * (160 + 20 + 6), 4 * 166 + 6, 3)
        assert (picture == drawing.PREDICTED).all(-1).sum() > 100

    def test_they_are_seldom(self, run):
        run.last = 1000
        for run.step in range(10, 1001, 10):
            run._show(10)
        assert [step for step, _, _ in run.shown] == list(range(50, 1001, 50))
        run.shown.clear()
        for run.step in (400, 800, 1000):
            run._show(400)
        assert [step for step, _, _ in run.shown] == [400, 800, 1000]

    def test_not_where_nothing_would_show_them(self, run):
        run.step, run.log.board = run.last, None
        run._show(1)
        run.log.board, run.found = True, None  # a validation of the caller's own
        run._show(1)
        assert run.shown == []


@pytest.mark.heavy
def test_a_run_leaves_faces_and_recipe_for_tensorboard(train, test, tmp_path):
    run = Run(small_recipe(epochs=1), train, test, tmp_path, benchmark="ibug_300w")
    run.run()
    found = shown(tmp_path)
    assert found["validation"][0] == run.last
    assert b"training.batch=4" in found["recipe/text_summary"][1].tensor.string_val[0]


@pytest.mark.heavy
def test_latest_and_best_are_kept(train, tmp_path):
    errors = iter([0.5, 0.2, 0.3, 0.4])
    recipe = two_phases(eval_epochs=1)  # an epoch is one step
    Run(recipe, train, train, tmp_path, validate=lambda run: (next(errors), 0.0)).run()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "4"]
    assert checkpoints.find_step(tmp_path, "best").name == "2"
    assert checkpoints.find_step(tmp_path, "latest").name == "4"


@pytest.mark.heavy
def test_the_last_counts_where_validation_is_not_to_choose(train, tmp_path):
    errors = iter([0.5, 0.2, 0.3, 0.4])
    recipe = two_phases(eval_epochs=1, keep="last")
    Run(recipe, train, train, tmp_path, validate=lambda run: (next(errors), 0.0)).run()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["4"]
    assert checkpoints.find_step(tmp_path, "best").name == "4"
    assert [row["val_nme"] for row in lines(tmp_path) if "val_nme" in row] == [0.5, 0.2, 0.3, 0.4]


@pytest.mark.heavy
def test_the_last_counts_where_nothing_is_validated(train, tmp_path):
    """Not only the last of those at which there would have been a validation."""
    recipe = two_phases(eval_epochs=2, save_epochs=1)  # an epoch is one step
    with pytest.raises(SystemExit):
        Run(recipe, train, [], tmp_path, on_step=stop_at(3)).run()
    assert checkpoints.find_step(tmp_path, "best").name == "3"


def test_recipes_from_before_a_field_was_added_resume(train, test, tmp_path):
    arguments = small_recipe(epochs=1), train, test, tmp_path
    Run(*arguments, benchmark="ibug_300w")
    stored = json.loads((tmp_path / "recipe.json").read_text())
    del stored["training"]["patience"]
    (tmp_path / "recipe.json").write_text(json.dumps(stored))
    Run(*arguments, benchmark="ibug_300w", resume=True)
    for text in (json.dumps(stored)[:-9], json.dumps(stored).replace('"seed": 0', '"seed": 1')):
        (tmp_path / "recipe.json").write_text(text)
        with pytest.raises(checkpoints.InputError, match="differs from the recipe"):
            Run(*arguments, benchmark="ibug_300w", resume=True)


@pytest.mark.heavy
@pytest.mark.slow
def test_a_second_process_is_refused_and_harms_nothing(uninterrupted, tmp_path, data_300w):
    """In a folder whose name looks like a pattern."""
    run = tmp_path / "run[1]*"
    process = command(tmp_path, data_300w, run)
    wait_for_step(process, run, 1)
    process.send_signal(signal.SIGSTOP)  # so that it is there while the others come
    for second in [command(tmp_path, data_300w, run, *more) for more in ([], ["--resume"])]:
        _, errors = second.communicate(timeout=300)
        assert second.returncode == 2 and "Traceback" not in errors
        assert f"{run}: is in use by process {process.pid} on host " in errors.splitlines()[-1]
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert lines(run) == lines(uninterrupted)
    for which in ("best", "latest"):
        a, b = (checkpoints.load(folder, which)[1] for folder in (run, uninterrupted))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not (run / "lock").exists()


class TestResumedUnderOtherCircumstances:
    @pytest.fixture
    def arguments(self, train, test, tmp_path):
        """Those of a run that saved its first state as step 3, and ended."""
        faces = [train[0], train[1], train[2], train[0]]
        run = Run(small_recipe(), faces, test, tmp_path, benchmark="ibug_300w")
        state = run.state.replace(step=run.state.step + 3)
        run.checkpoints.save(state, run.recipe, 0.1, 0.0, run.about)
        run.checkpoints.close()
        run._release()
        return small_recipe(), faces, test, tmp_path

    def refusal(self, *arguments):
        with pytest.raises(checkpoints.InputError) as error:
            Run(*arguments, benchmark="ibug_300w", resume=True)
        (line,) = str(error.value).splitlines()
        assert sorted(p.name for p in arguments[3].iterdir()) == ["checkpoints", "recipe.json"]
        return line

    def test_with_the_same_faces(self, arguments):
        run = Run(*arguments, benchmark="ibug_300w", resume=True)
        assert run.step == 3 and not run.opening

    def test_with_other_threads_or_processes(self, arguments):
        """As those that an older version chose."""
        recipe = override(arguments[0], ["data.threads=2", "data.workers=3"])
        run = Run(recipe, *arguments[1:], benchmark="ibug_300w", resume=True)
        assert run.step == 3 and not run.opening

    def test_with_other_faces(self, arguments):
        recipe, faces, val, workdir = arguments
        more = [*faces, faces[0]]
        line = self.refusal(recipe, more, val, workdir)
        assert f"{workdir}: its run had 4 faces to train on, and now there are 5; " in line
        line = self.refusal(recipe, faces[::-1], val, workdir)
        assert "its run had 4 faces to train on, and now there are others, or in another" in line
        line = self.refusal(recipe, [*faces[:3], faces[1]], val, workdir)
        assert "its run had 4 faces to train on, and now there are others, or in another" in line
        line = self.refusal(recipe, faces, faces[:2], workdir)
        assert f"its run had {len(val)} faces to validate on, and now there are 2; prepare" in line

    def test_with_other_devices_or_versions(self, arguments, monkeypatch):
        monkeypatch.setattr("jaxalign.parallel.devices", lambda: "4 x TPU (v9)")
        monkeypatch.setattr("jaxalign.__version__", "99.0")
        one, other = Run(*arguments, benchmark="ibug_300w", resume=True).opening
        assert one.startswith("resumed with jaxalign 99.0, where it was ")
        assert other.startswith("resumed with devices 4 x TPU (v9), where it was ")

    def test_with_what_says_nothing_of_them(self, arguments):
        """As an older version's."""
        (record,) = arguments[3].glob("checkpoints/*/record/metadata")
        shutil.rmtree(record.parent)
        recipe, faces, val, workdir = arguments
        assert Run(recipe, faces[::-1], val, workdir, benchmark="ibug_300w", resume=True).step == 3

    @pytest.mark.parametrize("text", [b"\xff", b"[" * 100_000, b'{"system": 5}'])
    def test_where_recipe_json_is_damaged(self, text, arguments):
        """The steps have it, whole; before any, there is nothing to compare with."""
        stored = arguments[3] / "recipe.json"
        whole = stored.read_bytes()
        stored.write_bytes(text)
        assert Run(*arguments, benchmark="ibug_300w", resume=True).step == 3
        assert stored.read_bytes() == whole
        other = replace(arguments[0], training=replace(arguments[0].training, seed=7))
        assert "differs from the recipe" in self.refusal(other, *arguments[1:])
        for step in (arguments[3] / "checkpoints").iterdir():
            shutil.rmtree(step)
        stored.write_bytes(text)
        assert "differs from the recipe" in self.refusal(*arguments)

    def test_while_it_still_runs(self, arguments):
        run = Run(*arguments, benchmark="ibug_300w", resume=True)
        unfinished = arguments[3] / "checkpoints/9.orbax-checkpoint-tmp"
        unfinished.mkdir()
        for resume in (True, False):
            with pytest.raises(checkpoints.InputError, match=f"in use by process {os.getpid()} on"):
                Run(*arguments, benchmark="ibug_300w", resume=resume)
        assert unfinished.is_dir()
        run._release()
        Run(*arguments, benchmark="ibug_300w", resume=True)
        assert not unfinished.exists()


@pytest.mark.heavy
def test_non_finite_loss_names_step_and_faces(train, test, tmp_path):
    samples = [train[i] for i in range(len(train))]
    samples[1] = samples[1] | {"points": samples[1]["points"] * np.float32(np.nan)}
    samples[1]["boxes"] = {"landmarks": np.array([5, 5, 50, 50], np.float32)}
    run = Run(small_recipe(epochs=4), samples, test, tmp_path, benchmark="ibug_300w")
    with pytest.raises(NonFinite, match=r"step \d+ is not finite \(faces: " + samples[1]["id"]):
        run.run()
    for step in (tmp_path / "checkpoints").iterdir():
        variables = checkpoints.load(step)[1]
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))


@pytest.mark.heavy
def test_light_model_overfits_four_faces(train, tmp_path):
    few = [train[i] for i in range(4)]
    recipe = override(
        small_recipe(epochs=60, eval_epochs=60.0, save_epochs=60.0),
        ["system.optimizer.rate=0.01", "data.augmented=False", "system.width=16"],
    )
    Run(recipe, few, few, tmp_path, benchmark="ibug_300w").run()
    errors = [row["points"] for row in lines(tmp_path) if "points" in row]
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.heavy
@pytest.mark.slow
def test_hourglass_learns_maps_and_not_only_their_mean(train, tmp_path):
    few = [train[i] for i in range(4)]
    system = StackedHourglass(
        size=64, stacks=1, channels=16, sigma=3, epochs=100, optimizer=Optimizer("adam", 0.005)
    )
    recipe = small_recipe(epochs=1, eval_epochs=100.0, save_epochs=100.0)
    recipe = replace(override(recipe, ["data.augmented=False"]), system=system)
    Run(recipe, few, few, tmp_path, benchmark="ibug_300w").run()
    losses = [row["loss"] for row in lines(tmp_path) if "loss" in row]
    empty = np.pi * 3**2 / 16**2  # the loss of empty maps: the Gaussian's energy over 16 x 16
    assert losses[-1] < 0.5 * empty


class _Scale(nn.Module):
    """One number times the input, and a BatchNorm whose statistics can be seen to move."""

    @nn.compact
    def __call__(self, x, train):
        statistics = nn.BatchNorm(use_running_average=not train, name="bn")(x)
        return x * self.param("scale", nn.initializers.ones, ()) + 0 * statistics


@dataclass(frozen=True)
class TwoPhases(System):
    """Phase one trains `first`; phase two alternates one step of `judge` with two of `second`."""

    size: int = 32
    rate: float = 0.1

    @property
    def predictors(self):
        return ("first", "second")

    @property
    def phases(self):
        def objective(name):
            def loss(params, batch_stats, batch, key):
                values = (params[name]["scale"] - 3.0) ** 2 * jnp.ones(len(batch["image"]))
                return values, {}, {}

            return Objective(name, loss, Optimizer("sgd", self.rate), trains=(name,))

        one, judge, two = (objective(name) for name in ("first", "judge", "second"))
        return (Phase("warm", 2, (one,)), Phase("both", 2, (judge, two, two)))

    def init(self, key):
        names = ("first", "second", "judge")
        return {
            "params": {name: {"scale": jnp.ones(())} for name in names},
            "batch_stats": {name: {} for name in names},
        }

    def predict(self, variables, images):
        points = jnp.ones((len(images), 68, 2)) * variables["params"]["first"]["scale"]
        return points, points[..., 0]


def two_phases(**training):
    recipe = small_recipe()
    return replace(recipe, system=TwoPhases(), training=Training(batch=4, log_steps=1, **training))


def test_phases_train_only_their_networks_and_cycles_alternate(train, tmp_path):
    samples = [train[i % len(train)] for i in range(12)]  # 3 steps an epoch
    seen = {}

    def record(run):
        params = run.state.params
        seen[run.step] = {name: float(params[name]["scale"]) for name in params}

    run = Run(two_phases(), samples, [], tmp_path, on_step=record)
    assert [(s.first, s.last) for s in run.stretches] == [(0, 6), (6, 12)]
    run.run()
    assert list(seen) == [*range(1, 13)]
    first = [row["first"] for row in seen.values()]
    assert len(set(first[:6])) == 6
    assert all(seen[step]["second"] == seen[step]["judge"] == 1.0 for step in range(1, 7))
    assert set(first[5:]) == {first[5]}  # frozen, bit for bit, through the second phase
    final = {name: float(value["scale"]) for name, value in run.state.params.items()}
    assert final == seen[12]
    steps = [[name for name in final if seen[i][name] != seen[i - 1][name]] for i in range(7, 13)]
    assert steps == 2 * [["judge"], ["second"], ["second"]]
    # SGD with momentum on (s - 3)^2: two steps of judge, four of second
    assert final["judge"] == pytest.approx(expected_scale(2), abs=1e-5)
    assert final["second"] == pytest.approx(expected_scale(4), abs=1e-5)


class Counted(list):
    """Faces, and how often each was asked for."""

    def __init__(self, faces):
        super().__init__(faces)
        self.asked = np.zeros(len(faces), int)

    def __getitem__(self, index):
        self.asked[index] += 1
        return super().__getitem__(index)


def test_a_balanced_run_trains_on_equally_many_of_each_yaw(train, tmp_path):
    faces = Counted([train[i % len(train)] | {"yaw": 50.0 * (i > 9)} for i in range(12)])
    recipe = override(two_phases(), ["data.balance=yaw"])
    Run(recipe, faces, [], tmp_path / "balanced").run()  # 12 steps of 4 faces
    assert [faces.asked[:10].sum(), faces.asked[10:].sum()] == [24, 24]
    with pytest.raises(checkpoints.InputError, match="no yaw is known for 6 of 6 faces"):
        Run(recipe, train, [], tmp_path / "unknown")


def test_a_phase_that_cannot_predict_is_not_validated(train, tmp_path, monkeypatch):
    first, second = TwoPhases().phases
    phases = property(lambda self: (replace(first, predicts=False), second))
    monkeypatch.setattr(TwoPhases, "phases", phases)
    run = Run(two_phases(eval_epochs=1), train, first_faces(train, 2), tmp_path)
    run.run()
    validated = [row for row in lines(tmp_path) if "val_nme" in row]
    assert validated and {row["phase"] for row in validated} == {second.name}
    assert int(checkpoints.find_step(tmp_path, "best").name) > run.stretches[0].last


def test_averages_begin_anew_and_go_on_from_the_average(train, tmp_path):
    """A later phase trains on the averaged weights of the one before, which do not move then."""
    samples = [train[i % len(train)] for i in range(12)]
    at_border = {}

    def record(run):
        if run.step == run.stretches[0].last:
            at_border.update(jax.tree.map(float, run.state.ema))

    run = Run(two_phases(ema=0.9), samples, [], tmp_path, on_step=record)
    run.run()
    final = run.state.variables()["params"]
    assert float(run.state.params["first"]["scale"]) == at_border["first"]["scale"]
    assert float(final["first"]["scale"]) == pytest.approx(at_border["first"]["scale"], abs=1e-6)


def expected_scale(steps, rate=0.1):
    """Nesterov momentum 0.9 as Optax has it, by hand."""
    scale, trace = 1.0, 0.0
    for _ in range(steps):
        gradient = 2 * (scale - 3)
        trace = gradient + 0.9 * trace
        scale -= rate * (gradient + 0.9 * trace)
    return scale


def stop_at(step):
    """An on_step that sends the process SIGTERM behind this step."""
    return lambda run: signal.raise_signal(signal.SIGTERM) if run.step == step else None


@pytest.mark.heavy
def test_resumes_at_the_border_of_two_phases(train, tmp_path):
    samples = [train[i % len(train)] for i in range(12)]
    whole = Run(two_phases(), samples, [], tmp_path / "whole")
    whole.run()
    part = Run(two_phases(), samples, [], tmp_path / "part", on_step=stop_at(6))
    with pytest.raises(SystemExit):
        part.run()
    again = Run(two_phases(), samples, [], tmp_path / "part", resume=True)
    assert again.step == part.step == again.stretches[1].first == 6
    again.run()
    jax.tree.map(np.testing.assert_array_equal, again.state.params, whole.state.params)
    assert lines(tmp_path / "part") == lines(tmp_path / "whole")


def impatient(train, workdir, errors, *, resume=False, on_step=None, **training):
    """A run of two phases, steps 1 to 6 and 7 to 12, whose validation after step s says errors[s],
    1 where it says nothing."""
    samples, recipe = [train[i % len(train)] for i in range(12)], two_phases(**training)
    hooks = {"validate": lambda run: (errors.get(run.step, 1.0), 0.0), "on_step": on_step}
    return Run(recipe, samples, samples[:1], workdir, resume=resume, **hooks)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("errors", "best", "last"),
    [
        ({1: 0.1}, 1, 8),  # the first phase is never cut short, the second waits from its start
        ({6: 0.3, 8: 0.2}, 8, 10),  # a gain starts the count anew
        ({7: 0.2, 8: 0.2}, 7, 9),  # an equal error is no gain
        ({7: 0.3, 9: 0.2, 11: 0.1}, 11, 12),  # gains often enough
        ({8: 0.2, 10: 0.1}, 10, 12),  # out of patience where the run ends anyway
    ],
)
def test_the_last_phase_stops_early(train, tmp_path, capsys, errors, best, last):
    impatient(train, tmp_path, errors, eval_epochs=1 / 3, patience=2).run()
    before = lines(tmp_path)
    assert before[-1]["step"] == last
    assert checkpoints.find_step(tmp_path, "best").name == str(best)
    assert checkpoints.find_step(tmp_path, "latest").name == str(last)
    told = f"stopped early at step {last}: 2 validations without gain; the best checkpoint is step"
    assert (f"{told} {best}" in capsys.readouterr().out) == (last < 12)
    again = impatient(train, tmp_path, {}, resume=True, eval_epochs=1 / 3, patience=2)
    again.run()
    assert again.step == last and lines(tmp_path) == before
    assert (told in capsys.readouterr().out) == (last < 12)


@pytest.mark.heavy
@pytest.mark.parametrize("stopped", [9, 10])
def test_patience_counts_over_an_interruption(train, tmp_path, stopped):
    """Validated after 8 (the best) and 10; stopped by a signal between them, or after 10."""
    errors = {2: 0.3, 8: 0.2}
    settings = {"eval_epochs": 2 / 3, "patience": 1}
    impatient(train, tmp_path / "whole", errors, **settings).run()
    part = impatient(train, tmp_path / "part", errors, on_step=stop_at(stopped), **settings)
    with pytest.raises(SystemExit):
        part.run()
    assert part.step == stopped
    impatient(train, tmp_path / "part", errors, resume=True, **settings).run()
    assert lines(tmp_path / "part") == lines(tmp_path / "whole")
    assert checkpoints.find_step(tmp_path / "part", "latest").name == "10"


def test_eval_steps_validate_and_save(train, tmp_path):
    """Each two steps of the first phase, each two turns of three of the second."""
    errors = {2: 0.5, 4: 0.4, 6: 0.6, 8: 0.1, 12: 0.3}
    kept = {}

    def watch(run):
        kept[run.step] = run.checkpoints.latest()

    run = impatient(train, tmp_path, errors, on_step=watch, eval_steps=2, save_epochs=9.0)
    run.run()
    rows = [row for row in lines(tmp_path) if "val_nme" in row]
    assert [(row["step"], row["val_nme"]) for row in rows] == [
        (2, 0.5), (4, 0.4), (6, 0.6), (12, 0.3)
    ]  # fmt: skip
    saved = (None, None, 2, 2, 4, 4, 6, 6, 6, 6, 6, 6)  # as the next step finds it
    assert tuple(kept.values()) == saved
    assert checkpoints.find_step(tmp_path, "latest").name == "12"
    assert checkpoints.find_step(tmp_path, "best").name == "12"


@dataclass(frozen=True)
class ByPlace(TwoPhases):
    """The judge's loss is what `second` has come to, times where a face's first point is."""

    @property
    def phases(self):
        def loss(params, batch_stats, batch, key):
            return params["second"]["scale"] * batch["points"][:, 0, 0], {}, {}

        two = Objective("second", loss, Optimizer("sgd", 0.01), trains=("second",))
        return (Phase("train", 2, (two,)),)


@pytest.mark.heavy
def test_the_loss_may_judge(train, tmp_path):
    """It falls at every step, as the NME does not; the second batch of the six faces is padded."""
    recipe = replace(two_phases(eval_epochs=1 / 3, judge="loss"), system=ByPlace())
    samples, scales = [train[i % len(train)] for i in range(12)], {}

    def watch(run):
        scales[run.step] = float(run.state.params["second"]["scale"])

    hooks = {"validate": lambda run: (float(run.step), 0.0), "on_step": watch}
    Run(recipe, samples, train, tmp_path, **hooks).run()
    crop, size = recipe.data.crop, recipe.system.size
    places = [crop_face(face, IBUG68, crop, size)["points"][0, 0] for face in train]
    rows = [row for row in lines(tmp_path) if "val_loss" in row]
    assert [row["val_nme"] for row in rows] == list(scales) == [1, 2, 3, 4, 5, 6]
    found = [row["val_loss"] for row in rows]
    np.testing.assert_allclose(found, np.mean(places) * np.array([*scales.values()]), rtol=1e-5)
    assert checkpoints.find_step(tmp_path, "best").name == "6"


def test_patience_needs_faces_to_validate_on(train, tmp_path):
    with pytest.raises(checkpoints.InputError, match="patience=3 needs faces to validate on; set"):
        Run(two_phases(patience=3), train, [], tmp_path)


def test_more_memory_than_there_is_is_not_tried(train, tmp_path):
    """By reckoning, before anything is written."""
    recipe = override(small_recipe(), ["system.decoder_width=16000000"])
    with pytest.raises(InputError, match="one batch of photos need [0-9,.]+ GiB, of [0-9.]+ GiB"):
        Run(recipe, train, [], tmp_path / "run")
    assert not (tmp_path / "run").exists()
