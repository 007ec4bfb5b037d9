"""Steps of a work directory: damage is seen, said and passed by; what is no step is ignored."""

import gc
import json
import os
import random
import resource
import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign import checkpoints, parallel
from jaxalign.errors import InputError
from jaxalign.training import state as states
from jaxalign.training.checkpoints import Checkpoints
from tests.helpers.small import small_recipe


RECIPE = small_recipe()
CREATE = partial(states.create, RECIPE.system, RECIPE.system.phases[0], 0, True)
SHAPES = jax.eval_shape(CREATE)
STATE = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), SHAPES)
BEST, LATEST = 2, 4


def state(step):
    scaled = jax.tree.map(lambda leaf: leaf * step if leaf.dtype.kind == "f" else leaf, STATE)
    return scaled.replace(step=np.int32(step))


def save(workdir, *steps, val=None):
    manager = Checkpoints(workdir)
    for step in steps:
        manager.save(parallel.replicate(state(step)), RECIPE, val or step / 10, step / 100)
    manager.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A work directory whose best step is 2, and whose latest is 4."""
    workdir = tmp_path_factory.mktemp("whole")
    save(workdir, 2, 3, 4)
    return workdir


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def older(run):
    """Without what older versions did not write."""
    for step in (run / "checkpoints").iterdir():
        (step / checkpoints.SUMS).unlink(missing_ok=True)
        shutil.rmtree(step / "record", ignore_errors=True)


def resumed(run):
    manager = Checkpoints(run)
    try:
        return manager.resume(lambda step: SHAPES)
    finally:
        manager.close()


def refusal(take, *arguments):
    with pytest.raises(InputError) as error:
        take(*arguments)
    (line,) = str(error.value).splitlines()
    return line


def assert_is(found, step):
    jax.tree.map(np.testing.assert_array_equal, found, state(step))


def flip(path: Path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 16
    path.write_bytes(data)


def test_the_best_and_the_latest_are_kept_and_given_back(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4"]
    assert checkpoints.find_step(run).name == "2"
    assert checkpoints.find_step(run, "latest").name == "4"
    found, lines = resumed(run)
    assert_is(found, LATEST)
    assert not lines
    variables = checkpoints.load(run)[1]
    jax.tree.map(np.testing.assert_array_equal, variables, state(BEST).variables())
    assert checkpoints.low_score(checkpoints.find_step(run)) == 0.02


def test_older_ones_load_and_resume(run):
    older(run)
    found, lines = resumed(run)
    assert_is(found, LATEST)
    assert not lines
    jax.tree.map(np.testing.assert_array_equal, checkpoints.load(run)[1], state(BEST).variables())


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_is_harmless_or_seen(seed, run):
    rng = random.Random(seed)
    folder = run / "checkpoints" / str(LATEST)
    flip(rng.choice(sorted(p for p in folder.rglob("*") if p.is_file())), rng.random())
    try:
        variables = checkpoints.load(run, "latest")[1]
    except InputError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    else:
        jax.tree.map(np.testing.assert_array_equal, variables, state(LATEST).variables())
    found, lines = resumed(run)
    assert_is(found, BEST if lines else LATEST)


def test_pipes_in_place_of_files_are_refused(run):
    """Of every file of the step: reading one would wait for its writer without end."""
    folder = run / "checkpoints" / str(LATEST)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        assert "not a file" in refusal(checkpoints.load, run, "latest"), file
        file.unlink()
        file.write_bytes(data)
    os.remove(folder / "training/_METADATA")
    os.mkfifo(folder / "training/_METADATA")
    found, lines = resumed(run)
    assert_is(found, BEST)
    assert "4.damaged" in lines[0]


@pytest.mark.parametrize("item", ["variables", "training", "record", "metrics", "recipe"])
def test_a_damaged_latest_step_gives_way_to_the_sound_one(item, run):
    folder = run / "checkpoints" / str(LATEST)
    files = [p for p in (folder / item).rglob("*") if p.is_file() and p.suffix != ".txt"]
    file = max(files, key=lambda path: path.stat().st_size)
    flip(file)
    found, lines = resumed(run)
    assert_is(found, BEST)
    assert len(lines) == 2 and lines[0].startswith(f"{folder}: is damaged (")
    assert lines[0].endswith("): set aside as 4.damaged")
    assert lines[1] == "resumed from step 2, which is sound"
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4.damaged"]
    assert checkpoints.find_step(run, "latest").name == "2"
    save(run, 4)  # again, and beside the other
    assert_is(resumed(run)[0], LATEST)


def test_a_damaged_best_step_is_refused_and_the_other_named(run):
    flip(next((run / "checkpoints/2/variables/ocdbt.process_0/d").iterdir()))
    line = refusal(checkpoints.load, run)
    assert "checkpoints/2: is damaged (its variables/" in line
    assert line.endswith(f"; give another checkpoint, such as {run}/checkpoints/4")
    found, lines = resumed(run)
    assert_is(found, LATEST)
    assert "2.damaged" in lines[0]
    assert checkpoints.find_step(run).name == "4"


def test_where_no_step_is_sound(run):
    for step in ("2", "4"):
        flip(run / "checkpoints" / step / "training" / "manifest.ocdbt")
    assert refusal(resumed, run).endswith("; start anew in another --workdir")
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4"]


@pytest.mark.parametrize("item", ["variables", "training", "recipe", "metrics", "record"])
def test_parts_of_another_step_are_seen(item, run):
    folder = run / "checkpoints"
    shutil.rmtree(folder / "4" / item)
    shutil.copytree(folder / "2" / item, folder / "4" / item)
    found, lines = resumed(run)
    assert_is(found, LATEST if item == "recipe" else BEST)
    assert bool(lines) == (item != "recipe")  # which is the same


def test_of_older_ones_the_step_is_compared(run):
    older(run)
    shutil.rmtree(run / "checkpoints/4/training")
    shutil.copytree(run / "checkpoints/2/training", run / "checkpoints/4/training")
    found, lines = resumed(run)
    assert_is(found, BEST)
    assert "4: is damaged (it holds step 2)" in lines[0]


@pytest.mark.parametrize("which", ["params", "ema", "optimizers", "batch_stats"])
def test_arrays_that_are_not_finite_are_refused(which, run):
    def spoilt(leaf):
        return leaf * np.float32(np.nan) if leaf.dtype.kind == "f" else leaf

    broken = state(5).replace(**{which: jax.tree.map(spoilt, getattr(state(5), which))})
    manager = Checkpoints(run)
    manager.save(parallel.replicate(broken), RECIPE, 1.0)
    manager.close()
    found, lines = resumed(run)
    assert_is(found, BEST)
    assert "holds NaN or infinities" in lines[0]


def test_what_is_no_step_is_ignored(run):
    folder = run / "checkpoints"
    (folder / "999").mkdir()
    (folder / "0012").mkdir()
    (folder / ("9" * 5000)[:200]).mkdir()
    (folder / "1000").write_text("a file")
    (folder / "notes").mkdir()
    assert checkpoints.find_step(run).name == "2"
    assert checkpoints.find_step(run, "latest").name == "4"
    assert_is(resumed(run)[0], LATEST)
    save(run, 6)
    assert checkpoints.find_step(run, "latest").name == "6"
    assert (folder / "999").is_dir()


def test_a_step_by_another_name_is_none_of_the_run(run):
    shutil.copytree(run / "checkpoints/2", run / "checkpoints/999")
    assert "999: is damaged (it holds step 2)" in refusal(checkpoints.load, run, "latest")
    found, lines = resumed(run)
    assert_is(found, LATEST)
    assert "999.damaged" in lines[0]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize(
    "text",
    ["[]", "null", "5", '"x"', "", "{", '{"val": "x"}', '{"val": NaN}', '{"val": [1]}',
     '{"val": 1%s}' % ("0" * 400), "[" * 100_000, '{"val": true}'],
)  # fmt: skip
def test_metrics_of_other_types(text, sealed, run):
    if not sealed:
        older(run)
    (run / "checkpoints/2/metrics/metrics").write_text(text)
    assert "checkpoints/2: is damaged (" in refusal(checkpoints.find_step, run)
    assert checkpoints.load(run, "latest")[2].name == "4"
    found, lines = resumed(run)
    assert_is(found, LATEST)
    assert "2.damaged" in lines[0]


@pytest.mark.parametrize(
    "text", ['{"low_score": "x"}', '{"low_score": null}', '{"low_score": NaN}']
)
def test_low_scores_of_other_types(text, run):
    (run / "checkpoints/2/metrics/metrics").write_text(text)
    assert "low_score is no number" in refusal(checkpoints.low_score, run / "checkpoints/2")


@pytest.mark.parametrize("text", ["[]", "5", '{"system": 5}', "[" * 100_000, '{"system": {}}'])
def test_recipes_of_other_types(text, run):
    older(run)
    (run / "checkpoints/2/recipe/metadata").write_text(text)
    assert "checkpoints/2: " in refusal(checkpoints.load, run)


def test_shapes_are_compared_before_anything_is_read(run, monkeypatch):
    """They decide what memory is taken."""
    older(run)
    file = run / "checkpoints/2/recipe/metadata"
    values = json.loads(file.read_text())
    values["system"]["width"] = 16
    file.write_text(json.dumps(values))
    monkeypatch.setattr(checkpoints, "empty", None)
    assert "not a checkpoint of this version of its system" in refusal(checkpoints.load, run)


@pytest.mark.parametrize("name", ["run[1]", "a*b?", "[", "[!a]{b}", "ü$(x) 'y'"])
def test_folders_whose_names_look_like_patterns(name, tmp_path):
    save(tmp_path / name, 1, 2)
    jax.tree.map(
        np.testing.assert_array_equal,
        checkpoints.load(tmp_path / name, "latest")[1], state(2).variables(),
    )  # fmt: skip
    found, lines = resumed(tmp_path / name)
    assert_is(found, 2)
    assert not lines


def test_a_save_that_fails_leaves_those_before_it(run, monkeypatch):
    def full(step):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "file_sums", full)
    manager = Checkpoints(run)
    manager.save(parallel.replicate(state(6)), RECIPE, 0.01)
    assert "a step could not be saved (" in refusal(manager.close)
    monkeypatch.undo()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4"]
    assert_is(resumed(run)[0], LATEST)


def test_what_does_not_fit_on_the_disk_is_told_once(run, caplog):
    """Orbax logs the tracebacks of its threads, and asyncio those of its tasks."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        manager = Checkpoints(run)
        manager.save(parallel.replicate(state(6)), RECIPE, 0.01)
        line = refusal(manager.close)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert "a step could not be saved (" in line and "ile too large" in line
    gc.collect()
    assert [record for record in caplog.records if record.exc_info] == []
    assert_is(resumed(run)[0], LATEST)


def test_only_validated_steps_are_best(tmp_path):
    save(tmp_path, 1, 2, val=np.inf)
    assert Checkpoints(tmp_path).best_step == 0
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert checkpoints.find_step(tmp_path).name == "2"
    text = (tmp_path / "checkpoints/2/metrics/metrics").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["val"] is None
