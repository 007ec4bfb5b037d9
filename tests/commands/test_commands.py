"""jaxalign train and evaluate as a user calls them: what they print, leave behind and refuse."""

import ast
import json
import re
import shutil

import numpy as np
import pytest

from jaxalign import costs, folders
from jaxalign import recipe as recipes
from jaxalign.commands import evaluate, train
from jaxalign.datasets import BENCHMARKS
from jaxalign.evaluation.report import FILES, KIND
from jaxalign.sources import Source, benchmark_of
from tests.helpers import slow
from tests.helpers.commands import call, refused
from tests.helpers.small import small_recipe


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "tiny.py"
    path.write_text(
        "from tests.helpers.small import small_recipe\nconfig = lambda: small_recipe(epochs=1)\n"
    )
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe_file, data_300w):
    workdir = tmp_path_factory.mktemp("run") / "w"
    arguments = ["--config", recipe_file, "--workdir", workdir, "--data-dir", data_300w]
    assert train.main([*map(str, arguments)]) == 0
    return workdir


@pytest.mark.heavy
def test_training_leaves_metrics_recipe_and_checkpoints(trained):
    assert {"checkpoints", "metrics.jsonl", "recipe.json", "tensorboard"} == {
        path.name for path in trained.iterdir()
    }
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "phase", "loss", "points", "maps", "rate", "grad_norm"} <= set(rows[0])
    assert rows[-1]["val_nme"] > 0
    stored = recipes.from_json(json.loads((trained / "recipe.json").read_text()))
    assert stored == small_recipe(epochs=1)


@pytest.mark.heavy
def test_evaluation_report(trained, data_300w, tmp_path, capsys):
    arguments = ["--ckpt", trained, "--data-dir", data_300w]
    assert call(evaluate, *arguments, "--data", "ibug_300w/test", "--report", tmp_path / "r") == 0
    printed = capsys.readouterr().out
    assert "helen_test" in printed and "challenging" in printed and "CPU" in printed
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {*FILES, "training.csv", "training.png", folders.mark(KIND)}
    about = json.loads((tmp_path / "r/report.json").read_text())["about"]
    assert about["benchmark"] == "ibug_300w" and about["box"] == "landmarks"
    assert about["recipe"]["system"]["kind"] == "Integral"
    lines = (tmp_path / "r/predictions.jsonl").read_text().splitlines()
    assert len(lines) == 6 and np.shape(json.loads(lines[0])["points"]) == (68, 2)


@pytest.mark.heavy
def test_evaluation_does_not_depend_on_the_batch(trained, data_300w, tmp_path):
    """But for the rounding of float32: XLA compiles each batch's program by itself."""
    words, numbers = [], []
    for batch in (1, 5, 64):
        out = tmp_path / str(batch)
        arguments = ["--ckpt", trained, "--data-dir", data_300w, "--data", "ibug_300w/test"]
        assert call(evaluate, *arguments, "--batch", batch, "--report", out) == 0
        cells = re.split("[,\\n]", (out / "table.csv").read_text())
        found = [re.fullmatch(r"\d+\.\d+", cell) is not None for cell in cells]
        words.append([cell for cell, number in zip(cells, found, strict=True) if not number])
        numbers.append([float(cell) for cell, number in zip(cells, found, strict=True) if number])
    assert words[0] == words[1] == words[2] and len(numbers[0]) > 100
    np.testing.assert_allclose(numbers[1:], [numbers[0]] * 2, atol=2e-6, rtol=0)


@pytest.mark.heavy
def test_flip_test_and_a_single_step(trained, data_300w, capsys):
    steps = sorted((trained / "checkpoints").iterdir())
    arguments = ["--data-dir", data_300w, "--data", "ibug_300w/lfpw_test"]
    assert call(evaluate, "--ckpt", steps[-1], *arguments, "--flip-test") == 0
    assert "landmarks boxes, flip test\n" in capsys.readouterr().out


@pytest.mark.heavy
def test_second_looks_are_told(trained, data_300w, tmp_path, capsys):
    arguments = ["--ckpt", trained, "--data-dir", data_300w, "--data", "ibug_300w/lfpw_test"]
    assert call(evaluate, *arguments, "--refine", 1, "--report", tmp_path / "r") == 0
    assert "landmarks boxes, second look\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "r/report.json").read_text())["about"]["second looks"] == 1
    assert call(evaluate, *arguments, "--boxes", "landmarks", "--refine", 2) == 0
    assert "lfpw_test, 2 second looks\n" in capsys.readouterr().out
    assert "--refine -1: must be 0" in refused(capsys, evaluate, *arguments, "--refine", -1)


@pytest.mark.heavy
def test_boxes_of_one_checkpoint(trained, data_300w, tmp_path, capsys):
    arguments = ["--ckpt", trained, "--data-dir", data_300w, "--data", "ibug_300w/test"]
    kinds = ["--boxes", "landmarks,detector,jitter", "--report", tmp_path / "b"]
    assert call(evaluate, *arguments, *kinds) == 0
    printed = capsys.readouterr().out
    assert "on 6 faces" in printed and "note: no face has a detector box: left out" in printed
    rows = json.loads((tmp_path / "b/boxes.json").read_text())["rows"]
    assert [row["kind"] for row in rows] == ["landmarks"] + ["jitter"] * 10
    assert call(evaluate, *arguments, "--report", tmp_path / "r") == 0
    summary = json.loads((tmp_path / "r/report.json").read_text())["summary"]
    assert summary["rows"][-1]["inter_ocular"]["nme"] == rows[0]["nme"] == rows[1]["nme"]
    assert len({row["nme"] for row in rows}) == 9  # untouched: landmarks, shift 0 and scale 1
    line = refused(capsys, evaluate, *arguments, "--boxes", "landmarks", "--box", "detector")
    assert "not both" in line
    assert "choose landmarks" in refused(capsys, evaluate, *arguments, "--boxes", "mine")


@pytest.mark.heavy
def test_settings_of_an_evaluation(trained, data_300w, tmp_path, capsys):
    arguments = ["--ckpt", trained, "--data-dir", data_300w, "--data", "ibug_300w/test"]
    settings = ["--set", "data.crop.landmarks.enlarge=1.5", "system.sigma=2"]
    assert call(evaluate, *arguments, *settings, "--report", tmp_path / "r") == 0
    used = json.loads((tmp_path / "r/report.json").read_text())["about"]["recipe"]
    assert used["data"]["crop"]["landmarks"]["enlarge"] == 1.5 and used["system"]["sigma"] == 2
    stored = json.loads((trained / "recipe.json").read_text())
    assert stored["data"]["crop"]["landmarks"]["enlarge"] == 1.25
    assert call(evaluate, *arguments, "--report", tmp_path / "plain") == 0
    tables = [(tmp_path / name / "table.csv").read_text() for name in ("r", "plain")]
    assert tables[0] != tables[1]
    for setting in ("system.width=16", "system.scheme=wflw98", "system.blocks=(1,1,1,2)"):
        line = refused(capsys, evaluate, *arguments, "--set", setting)
        assert f"--set {setting} changes the network" in line
    assert "system.stak" in refused(capsys, evaluate, *arguments, "--set", "system.stak=2")
    line = refused(capsys, evaluate, "--predictions", "p.csv", "--set", "system.sigma=2")
    assert "--set goes with --ckpt" in line


@pytest.mark.heavy
def test_dry_run_ends_with_the_counts(recipe_file, capsys):
    settings = ["data.holdout=0.1", "system.optimizer.rate=0.5"]
    assert call(train, "--config", "fan_ibug_300w", "--dry-run", "--set", *settings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {*settings, "system.stacks=4", "training.batch=16"} <= set(lines)
    assert lines[-2] == "parameters: 23820176"
    assert lines[-1] == "multiply-adds: 25235292160"


class TestRefusals:
    def test_unknown_recipe(self, capsys):
        line = refused(capsys, train, "--config", "nothing_like_it", "--workdir", "w")
        assert "fan_ibug_300w" in line and "demo" in line

    def test_unknown_key(self, capsys, recipe_file):
        line = refused(
            capsys, train, "--config", recipe_file, "--dry-run", "--set", "system.stak=2"
        )
        assert "system.stak" in line and "width" in line

    def test_data_not_prepared(self, capsys, recipe_file, tmp_path):
        line = refused(
            capsys, train, "--config", recipe_file, "--workdir", tmp_path / "w",
            "--data-dir", tmp_path,
        )  # fmt: skip
        assert "jaxalign prepare ibug_300w --from DIR" in line
        assert not (tmp_path / "w").exists()

    def test_required_device(self, capsys, recipe_file, tmp_path, data_300w):
        line = refused(
            capsys, train, "--config", recipe_file, "--workdir", tmp_path / "w",
            "--data-dir", data_300w, "--require", "tpu",
        )  # fmt: skip
        assert "--require tpu" in line and "CPU" in line

    def test_batch_that_does_not_divide(self, capsys, recipe_file, tmp_path, data_300w):
        line = refused(
            capsys, train, "--config", recipe_file, "--workdir", tmp_path / "w",
            "--data-dir", data_300w, "--set", "training.batch=6",
        )  # fmt: skip
        assert "training.batch=6" in line and "training.batch=8" in line

    def test_missing_checkpoint(self, capsys, tmp_path):
        assert "no such folder" in refused(capsys, evaluate, "--ckpt", tmp_path / "none")
        (tmp_path / "empty").mkdir()
        line = refused(capsys, evaluate, "--ckpt", tmp_path / "empty")
        assert "holds no finished checkpoint" in line

    @pytest.mark.heavy
    def test_half_written_checkpoint(self, capsys, trained, tmp_path):
        workdir = tmp_path / "w"
        shutil.copytree(trained, workdir)
        for file in (workdir / "checkpoints").rglob("*"):
            if file.is_file() and file.parent.name == "d":
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert str(workdir) in refused(capsys, evaluate, "--ckpt", workdir)

    @pytest.mark.heavy
    def test_checkpoint_of_another_system(self, capsys, trained, tmp_path):
        shutil.copytree(trained, tmp_path / "w")
        for record in tmp_path.glob("w/checkpoints/*/record"):
            shutil.rmtree(record)  # an older version kept none
        for file in tmp_path.glob("w/checkpoints/*/recipe/metadata"):
            file.write_text(file.read_text().replace('"Integral"', '"Differential"'))
        line = refused(capsys, evaluate, "--ckpt", tmp_path / "w")
        assert "unknown system 'Differential'" in line and "--import FILE" in line

    @pytest.mark.heavy
    def test_box_that_is_not_there(self, capsys, trained, data_300w):
        line = refused(
            capsys, evaluate, "--ckpt", trained, "--data-dir", data_300w,
            "--data", "ibug_300w/test", "--box", "detector",
        )  # fmt: skip
        assert "has no detector box; it has: landmarks" in line

    @pytest.mark.heavy
    def test_report_of_a_wrong_subset(self, capsys, trained, data_300w, tmp_path):
        line = refused(
            capsys, evaluate, "--ckpt", trained, "--data-dir", data_300w,
            "--data", "ibug_300w/nothing", "--report", tmp_path / "r",
        )  # fmt: skip
        assert "lfpw_test" in line and not (tmp_path / "r").exists()


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("integral_ibug_300w", ["system.width=8", "system.size=32", "training.init_from="]),
        # tests/systems/ train these, too
        slow.row(
            "gv_light_ibug_300w", ["system.fpn_width=8", "system.size=32", "system.dtype=bfloat16"]
        ),
        slow.row(
            "pixelwise_light_ibug_300w",
            ["system.width=2", "system.top=8", "system.size=32", "system.discriminator=True"],
        ),
        slow.row("demo", ["system.width=8", "system.size=32", "data.train=ibug_300w/train"]),
        slow.row(
            "fan_ibug_300w",
            ["system.channels=16", "system.size=64", "system.stacks=1", "system.dtype=bfloat16"],
        ),
        slow.row(
            "tab_light_ibug_300w",
            ["system.channels=16", "system.base_width=8", "system.size=64", "system.stacks=1"],
        ),
        slow.row(
            "propnet_light_ibug_300w", ["system.channels=8", "system.size=64", "system.stacks=1"]
        ),
    ],
)
def test_every_system_trains_when_shrunk(config, settings, data_300w, tmp_path):
    shrunk = ["training.batch=4", "data.holdout=0", "data.val=ibug_300w/test"]
    system = recipes.load(config).system
    shrunk += [f"system.{name}=1" for name in vars(system) if name.endswith("epochs")]
    arguments = ["--config", config, "--workdir", tmp_path, "--data-dir", data_300w]
    assert call(train, *arguments, "--set", *shrunk, *settings) == 0


RECIPES = sorted(path.stem for path in recipes.configs_folder().glob("[!_]*.py"))


@pytest.mark.heavy
@pytest.mark.parametrize("config", RECIPES)
def test_every_recipe_is_whole(config):
    """It can be stored, its data fit its scheme, and the size in its header is true."""
    recipe = recipes.load(config)
    assert recipes.from_json(json.loads(json.dumps(recipes.to_json(recipe)))) == recipe
    for spec in (recipe.data.train, recipe.data.test):
        assert recipe.system.scheme in BENCHMARKS[benchmark_of(spec)].schemes
    header = ast.get_docstring(ast.parse((recipes.configs_folder() / f"{config}.py").read_text()))
    if stated := re.search(r"([\d,]+) parameters", header):
        variables = recipe.system.shapes()
        networks = [variables["params"][name] for name in recipe.system.predictors]
        assert int(stated[1].replace(",", "")) == costs.count(networks)


def test_a_photo_that_does_not_decode_is_named(
    recipe_file, data_300w, tmp_path, capsys, monkeypatch
):
    whole = Source.__getitem__

    def damaged(self, index):
        return whole(self, index) | {"photo": whole(self, index)["photo"][:600]}

    monkeypatch.setattr(Source, "__getitem__", damaged)
    line = refused(
        capsys, train, "--config", recipe_file, "--workdir", tmp_path, "--data-dir", data_300w,
    )  # fmt: skip
    assert "its photo cannot be decoded (" in line and "prepare the data set again" in line
