"""Checkpoints in one plain file: what they hold, and what takes them."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, prediction, tensors
from jaxalign.commands import evaluate, export
from jaxalign.errors import InputError
from jaxalign.evaluation.model import open_model
from jaxalign.recipe import Recipe, to_json
from jaxalign.systems import PixelWise
from jaxalign.training import initial
from tests.helpers import ROOT
from tests.helpers.commands import call, refused
from tests.helpers.small import filled, saved, small_recipe


RECIPE = small_recipe()
VARIABLES = filled(RECIPE.system.shapes())
NOTES = {"commit": "1a2b3c4", "command": "jaxalign train --config x"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoints.write(path, RECIPE, VARIABLES, low_score=0.25, notes=NOTES)
    return path


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return saved(RECIPE, VARIABLES, tmp_path_factory.mktemp("run"), low_score=0.125)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_file_gives_the_checkpoint_back(file):
    recipe, variables, step = checkpoints.load(file)
    assert recipe == RECIPE and step == file
    assert_same(variables, VARIABLES)
    assert checkpoints.low_score(step) == 0.25 and checkpoints.notes(step) == NOTES


def test_any_reader_of_safetensors_finds_what_is_in_it(file):
    arrays, texts = tensors.read(file)
    kernel = VARIABLES["params"]["network"]["logits"]["kernel"]
    np.testing.assert_array_equal(arrays["params/network/logits/kernel"], kernel)
    assert len(arrays) == len(jax.tree.leaves(VARIABLES))
    about = json.loads(texts["jaxalign"])
    assert about["recipe"] == to_json(RECIPE) and about["version"] == jaxalign.__version__


def test_the_same_weights_give_the_same_bytes(file, tmp_path):
    checkpoints.write(tmp_path / "again", RECIPE, VARIABLES, low_score=0.25, notes=NOTES)
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_one_is_told_from_what_had_its_path_before(file, workdir, tmp_path):
    first = checkpoints.identity(file)
    checkpoints.write(file, RECIPE, VARIABLES, low_score=0.25, notes=NOTES)
    assert checkpoints.identity(file) == first
    checkpoints.write(file, RECIPE, VARIABLES, low_score=0.5, notes=NOTES)
    assert checkpoints.identity(file) != first
    changed = jax.tree.map(lambda leaf: leaf + 1, VARIABLES)
    runs = workdir, saved(RECIPE, changed, tmp_path / "w", low_score=0.125)
    one, other = (checkpoints.identity(checkpoints.find_step(run)) for run in runs)
    assert one and other and one != other


def test_half_precision_is_of_kernels_and_of_the_file(file, tmp_path):
    path = tmp_path / "half.safetensors"
    checkpoints.write(path, RECIPE, VARIABLES, half=True)
    stored = {name: array.dtype.name for name, array in tensors.read(path)[0].items()}
    assert stored["params/network/logits/kernel"] == "float16"
    assert {t for n, t in stored.items() if not n.endswith("kernel")} == {"float32"}
    _, variables, _ = checkpoints.load(path)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), variables, VARIABLES
    )
    assert path.stat().st_size < 0.7 * file.stat().st_size


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    large = jax.tree.map(lambda leaf: leaf + 1e5, VARIABLES)
    with pytest.raises(InputError, match=r"x: params/\S+ is too large for half precision; drop"):
        checkpoints.write(tmp_path / "x", RECIPE, large, half=True)
    assert not (tmp_path / "x").exists()


def test_only_what_predicts_is_stored(tmp_path):
    system = PixelWise(size=32, width=2, top=8)  # with a discriminator
    variables = filled(system.shapes())
    assert set(variables["params"]) - set(system.predictors)
    checkpoints.write(tmp_path / "x.safetensors", Recipe(system), variables)
    _, found, _ = checkpoints.load(tmp_path / "x.safetensors")
    assert tuple(found["params"]) == system.predictors
    assert_same(found, checkpoints.predicting(system, variables))


class TestRefused:
    def test_a_file_without_a_recipe(self, tmp_path):
        tensors.write(tmp_path / "torch.safetensors", {"conv1.weight": np.zeros(3)}, {"a": "b"})
        with pytest.raises(InputError, match="holds no recipe, so it is no checkpoint of jaxalign"):
            checkpoints.load(tmp_path / "torch.safetensors")

    def test_damaged_files(self, file):
        whole = file.read_bytes()
        for size in (0, 7, 20, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            with pytest.raises(InputError, match=f"^{file}: damaged or cut short"):
                checkpoints.load(file)

    @pytest.mark.parametrize(
        ("about", "reason"),
        [
            ("{", "not a whole checkpoint"),
            ("[]", "not a whole checkpoint"),
            ('{"recipe": {}}', "not a whole checkpoint"),
            ('{"recipe": {"system": {"kind": "Nobodys"}}}', "unknown system 'Nobodys'"),
        ],
    )
    def test_headers_that_tell_no_recipe(self, about, reason, file):
        tensors.write(file, tensors.read(file)[0], {"jaxalign": about})
        with pytest.raises(InputError, match=reason):
            checkpoints.load(file)

    def test_arrays_of_another_network(self, file):
        arrays, texts = tensors.read(file)
        kernel = arrays.pop("params/network/logits/kernel")
        tensors.write(file, arrays, texts)
        with pytest.raises(InputError, match="params/network/logits/kernel is missing, and should"):
            checkpoints.load(file)
        tensors.write(file, arrays | {"params/network/logits/kernel": kernel[1:]}, texts)
        with pytest.raises(InputError, match=r"logits/kernel is \(7, 68\), and should be \(8, 68"):
            checkpoints.load(file)

    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(InputError, match="none: no such folder or file; give .* drawn$"):
            checkpoints.load(tmp_path / "none")


class TestTaken:
    """Whatever takes a work directory takes a file."""

    def test_by_load(self, file):
        aligner = prediction.load(file)
        assert aligner.system == RECIPE.system and aligner.min_score == 0.25

    def test_by_evaluate(self, file, data_300w):
        model = open_model(file, data_dir=data_300w, settings=["system.sigma=2.0"])
        assert model.recipe.system == replace(RECIPE.system, sigma=2.0)
        assert model.about()["checkpoint"] == str(file)

    def test_by_evaluate_with_settings_where_helpers_are_left_out(self, tmp_path, data_300w):
        system = PixelWise(size=32, width=2, top=8)  # with a discriminator
        variables = filled(system.shapes())
        path = tmp_path / "x.safetensors"
        checkpoints.write(path, replace(RECIPE, system=system), variables)
        model = open_model(path, data_dir=data_300w, settings=["data.threads=3"])
        assert model.recipe.data.threads == 3

    def test_to_start_from(self, file):
        assert checkpoints.is_one(file) and checkpoints.is_one("drawn")
        found, lines = initial.start(RECIPE.system, jax.tree.map(np.zeros_like, VARIABLES), file)
        assert_same(found, VARIABLES)
        count = len(jax.tree.leaves(VARIABLES))
        assert lines == [f"network: {count} of {count} arrays from {file}"]

    def test_to_start_from_beside_the_run_it_is_of(self, workdir):
        """A work directory with an exported file in it is one still."""
        beside = workdir / "weights.safetensors"
        checkpoints.write(beside, RECIPE, VARIABLES)
        zeros = jax.tree.map(np.zeros_like, VARIABLES)
        assert_same(initial.start(RECIPE.system, zeros, str(workdir))[0], VARIABLES)
        beside.unlink()

    def test_of_weights_of_pytorch_is_none(self, tmp_path):
        tensors.write(tmp_path / "torch.safetensors", {"conv1.weight": np.zeros(3)}, {})
        assert not checkpoints.is_one(tmp_path / "torch.safetensors")
        assert not checkpoints.is_one(tmp_path / "none.pth")


def test_nothing_heavy_is_imported(file):
    """Neither Orbax nor what training and data sets need: the first call is to be quick."""
    code = f"""
import sys, jaxalign
jaxalign.load({str(file)!r})
heavy = "orbax", "grain", "tensorflow_datasets", "matplotlib", "tensorboardX"
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


class TestExport:
    def test_writes_reads_back_and_compares(self, workdir, data_300w, tmp_path, capsys):
        out, again = tmp_path / "w.safetensors", tmp_path / "again.safetensors"
        options = "--data-dir", data_300w, "--faces", 2, "--note"
        assert call(export, "--ckpt", workdir, "--out", out, *options, "a=b=c", "commit=x") == 0
        printed = capsys.readouterr().out
        assert f"written: {out} (" in printed and "SHA-256 " in printed
        assert "largest difference   0.000000 pixels" in printed
        recipe, variables, step = checkpoints.load(out)
        assert recipe == RECIPE and checkpoints.low_score(step) == 0.125
        assert_same(variables, VARIABLES)
        assert call(export, "--ckpt", out, "--out", again, "--half", *options, "commit=y") == 0
        assert checkpoints.notes(again) == {"a": "b=c", "commit": "y"}
        assert checkpoints.low_score(again) == 0.125
        assert sorted(path.name for path in tmp_path.iterdir()) == [again.name, out.name]

    @pytest.mark.parametrize(
        ("out", "options", "reason"),
        [
            ("w.safetensors", ["--size", 64], "--size 64: a .safetensors file takes all sizes"),
            ("w.stablehlo", ["--half"], "--half and --note are for --out NAME.safetensors"),
            ("w.stablehlo", ["--note", "a=b"], "--half and --note are for --out NAME.safetensors"),
            ("w.safetensors", ["--note", "a"], "--note a: write name=text"),
        ],
    )
    def test_refuses(self, out, options, reason, workdir, tmp_path, capsys):
        line = refused(capsys, export, "--ckpt", workdir, "--out", tmp_path / out, *options)
        assert reason in line and not list(tmp_path.iterdir())


def test_the_latest_of_a_file_is_itself(file, data_300w, capsys):
    arguments = "--ckpt", file, "--which", "latest", "--data-dir", data_300w
    assert call(evaluate, *arguments, "--data", "ibug_300w/test") == 0
    assert f"\n{file}\non ibug_300w/test" in capsys.readouterr().out


class TestDamage:
    """Of a file: what it holds is what was written, or it is refused."""

    def test_a_flipped_bit_anywhere(self, file):
        """In the names and texts of the header too."""
        whole = file.read_bytes()
        rng = np.random.default_rng(0)
        for place in [*rng.integers(8, 20_000, 40), *rng.integers(8, len(whole), 40)]:
            data = bytearray(whole)
            data[place] ^= 1 << rng.integers(8)
            file.write_bytes(data)
            try:
                recipe, variables, _ = checkpoints.load(file)
            except InputError as error:
                assert str(file) in str(error) and "\n" not in str(error)
                continue
            assert recipe == RECIPE and checkpoints.low_score(file) == 0.25
            assert_same(variables, VARIABLES)

    def test_arrays_of_another_file(self, file, tmp_path):
        other = jax.tree.map(lambda leaf: leaf + 1, VARIABLES)
        checkpoints.write(tmp_path / "other", RECIPE, other)
        tensors.write(file, tensors.read(tmp_path / "other")[0], tensors.read(file)[1])
        with pytest.raises(InputError, match=f"^{file}: is damaged .its weights are not those"):
            checkpoints.load(file)

    def test_arrays_that_are_not_finite(self, file):
        broken = jax.tree.map(lambda leaf: leaf * np.nan, VARIABLES)
        checkpoints.write(file, RECIPE, broken)
        with pytest.raises(InputError, match=r"is damaged .\S+ holds NaN or infinities"):
            checkpoints.load(file)

    def test_files_of_before_there_were_checksums(self, file):
        arrays, texts = tensors.read(file)
        about = json.loads(texts["jaxalign"])
        del about["seal"], about["arrays"]
        tensors.write(file, arrays, {"jaxalign": json.dumps(about)})
        assert_same(checkpoints.load(file)[1], VARIABLES)
