"""What docs/extending.md says of adding a system, a loss, a backbone, ...: done here."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxalign
from jaxalign import backbones, losses, protocols, schemes
from jaxalign import recipe as recipes
from jaxalign.augment import PIXELS, Augment
from jaxalign.backbones.light import patches
from jaxalign.commands import evaluate, export, predict, prepare, train
from jaxalign.datasets import BENCHMARKS
from jaxalign.datasets.faces import Benchmark, Face
from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.evaluation.summary import summarise
from jaxalign.evaluation.truth import truth_of
from jaxalign.optimizers import OPTIMIZERS
from jaxalign.pipeline import Crop, crop_face
from jaxalign.prediction.predictor import Predictor
from jaxalign.recipe import Recipe
from jaxalign.schemes import COFW29, CURVES, Scheme
from jaxalign.sources import open_folder, open_source
from jaxalign.systems import SYSTEMS
from jaxalign.systems.integral import Integral
from jaxalign.systems.interface import System
from jaxalign.training import initial
from tests.helpers import ROOT
from tests.helpers.commands import call, refused
from tests.helpers.small import filled, saved
from tests.helpers.trees import draw


EXAMPLE = ROOT / "examples" / "landmark_queries.py"
SHRUNK = ["system.size=32", "system.width=8", "system.channels=16", "system.layers=1"]
SHRUNK += ["system.blocks=(1,1,1,1)", "system.epochs=30", "system.optimizer.rate=1e-2"]
SHRUNK += ["data.train=ibug_300w/train", "data.val=ibug_300w/test", "data.test=ibug_300w/test"]
SHRUNK += ["training.batch=4", "training.log_steps=1", "data.augmented=False"]
SHRUNK += ["training.eval_epochs=30", "training.save_epochs=30"]


@pytest.fixture(scope="module")
def queries(tmp_path_factory, data_300w):
    """A work directory of the example, shrunk, after so many steps that its loss falls."""
    workdir = tmp_path_factory.mktemp("queries") / "w"
    arguments = ["--config", EXAMPLE, "--workdir", workdir, "--data-dir", data_300w]
    assert call(train, *arguments, "--set", *SHRUNK) == 0
    return workdir


@dataclass(frozen=True)
class Centre(System):
    """Every point is the middle of the crop."""

    def predict(self, variables, images):
        shape = len(images), self.points.num_points
        return jnp.full((*shape, 2), (images.shape[1] - 1) / 2), jnp.ones(shape)


class TestSystem:
    @pytest.mark.heavy
    def test_the_example_learns(self, queries):
        lines = (queries / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if "loss" in row]
        assert len(rows) == 30
        for part in ("loss", "points", "scales"):
            first, last = (np.mean([row[part] for row in few]) for few in (rows[:4], rows[-4:]))
            assert last < 0.7 * first, part

    @pytest.mark.heavy
    def test_the_commands_take_its_file(self, queries, data_300w, tmp_path, capsys):
        own = ["--ckpt", queries, "--system", EXAMPLE]
        data = ["--data-dir", data_300w]
        assert call(evaluate, *own, *data, "--report", tmp_path / "r") == 0
        recipe = json.loads((tmp_path / "r/report.json").read_text())["about"]["recipe"]
        assert recipe["system"]["kind"] == "LandmarkQueries" and str(EXAMPLE) not in str(recipe)
        cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 120, np.uint8))
        (tmp_path / "boxes.csv").write_text("photo,x0,y0,x1,y1\na.png,8,8,50,50\n")
        boxes = ["--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "found"]
        assert call(predict, *own, tmp_path / "a.png", *boxes, "--min-score", 0) == 0
        assert call(export, *own, *data, "--faces", 2, "--out", tmp_path / "m.stablehlo") == 0
        assert "1 photos: 1 ok" in capsys.readouterr().out

    @pytest.mark.heavy
    def test_another_process_needs_the_file(self, queries):
        """The class is looked for among those imported, and no registry is kept."""
        code = f"""
import sys, jaxalign
from jaxalign.errors import InputError
try:
    jaxalign.load({str(queries)!r})
except InputError as error:
    print(error)
import landmark_queries
system = jaxalign.load({str(queries)!r}).system
print(type(system) is landmark_queries.LandmarkQueries, system.channels)
"""
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={"PYTHONPATH": f"{ROOT}:{EXAMPLE.parent}", "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip
        refusal, loaded = found.stdout.splitlines()
        assert refusal.startswith("unknown system 'LandmarkQueries'; this version has: Stacked")
        assert refusal.endswith("name its file with --import FILE; in Python, import it first")
        assert loaded == "True 16"

    @pytest.mark.heavy
    def test_going_on_from_it(self, queries, data_300w, tmp_path, capsys):
        """Resuming, and starting from, a run whose system is outside the package."""
        resumed, data = tmp_path / "w", ["--data-dir", data_300w]
        shutil.copytree(queries, resumed)
        run = ["--config", EXAMPLE, "--workdir", resumed, *data, "--resume", "--set"]
        capsys.readouterr()
        assert call(train, *run, *SHRUNK) == 0
        last = f"jaxalign evaluate --ckpt {resumed} --import {EXAMPLE} --data ibug_300w/test"
        assert f"{last} --data-dir {data_300w}\n" in capsys.readouterr().out
        assert "resume with the same" in refused(capsys, train, *run, *SHRUNK, "system.layers=2")
        system = jaxalign.load(queries).system
        fresh = filled(system.shapes())
        _, lines = initial.start(system, fresh, str(queries))
        assert re.fullmatch(r"network: (\d+) of \1 arrays from .*", *lines)

    def test_files_that_cannot_be_run(self, capsys, tmp_path):
        def line(text):
            path = tmp_path / "mine.txt"
            path.write_text(text)
            found = refused(capsys, evaluate, "--ckpt", tmp_path, "--system", path)
            assert found.startswith(f"error: {path}") and "file_mine" not in sys.modules
            return found

        assert "line 2: ModuleNotFoundError: No module named 'torhc'" in line("1\nimport torhc")
        assert "SyntaxError" in line("def f(:\n")
        assert "line 1: ValueError: a b" in line("raise ValueError('a\\nb')")
        missing = ["--ckpt", tmp_path, "--system", tmp_path / "no.py"]
        for command, more in ((evaluate, []), (export, ["--out", tmp_path / "m"])):
            assert "no.py: no such file" in refused(capsys, command, *missing, *more)
        assert "goes with --ckpt" in refused(
            capsys, evaluate, "--predictions", "p", "--system", EXAMPLE
        )

    def test_dataclasses_work_in_the_file(self, tmp_path):
        path = tmp_path / "postponed.py"
        path.write_text("""
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from jaxalign.systems.interface import System

@dataclass(frozen=True)
class Postponed(System):
    depth: int = 3
    kept: ClassVar[int] = 1
""")
        module = recipes.import_file(path)
        assert sys.modules.pop(module.__name__) is module
        recipe = recipes.override(Recipe(module.Postponed()), ["system.depth=2"])
        assert recipes.from_json(recipes.to_json(recipe)) == recipe
        again = recipes.import_file(path).Postponed  # as after an edit: the newest counts
        assert type(recipes.from_json(recipes.to_json(recipe)).system) is again

    def test_one_of_the_package_is_known_by_its_line(self, monkeypatch):
        monkeypatch.setitem(SYSTEMS, "Centre", Centre)
        recipe = recipes.override(Recipe(Centre()), ["system.size=64"])
        assert recipes.from_json(recipes.to_json(recipe)) == recipe
        unknown = json.loads(json.dumps(recipes.to_json(recipe)).replace("Centre", "Center"))
        with pytest.raises(InputError, match="unknown system 'Center'; this version has: .*Centre"):
            recipes.from_json(unknown)

    def test_a_name_of_jaxaligns_is_refused(self):
        impostor = dataclass(frozen=True)(type("Integral", (System,), {}))
        with pytest.raises(InputError, match="test_adding.Integral: jaxalign has a system of that"):
            Recipe(impostor())
        assert type(recipes.from_json(recipes.to_json(Recipe(Integral()))).system) is Integral


FORK = """
from dataclasses import replace

import jax.numpy as jnp
import optax

from jaxalign import augment, losses, optimizers, recipe


def squared(maps, label):
    return jnp.square(maps - label.maps).sum((1, 2))


def darker(crop, rng):
    return crop // 2


losses.LOSSES["squared"] = losses.MapLoss(squared)
augment.PIXELS["darker"] = darker
optimizers.OPTIMIZERS["adam98"] = lambda learning_rate: optax.adam(learning_rate, b2=0.98)


def config():
    return recipe.override(recipe.load("fan_ibug_300w"), [
        "system.criterion=squared", "system.optimizer.kind=adam98", "system.stacks=1",
        "system.channels=8", "system.size=64", "system.epochs=1", "data.augment.pixels=('darker',)",
        "data.val=ibug_300w/test", "training.batch=4",
    ])
"""


@pytest.mark.slow
def test_a_loss_an_optimiser_and_an_augmentation(data_300w, tmp_path, capsys):
    """Entries of a fork's own file, which train and evaluate take; without it one line says so."""
    fork, workdir = tmp_path / "fork.py", tmp_path / "w"
    fork.write_text(FORK)
    data = ["--data-dir", data_300w]
    assert call(train, "--config", fork, "--workdir", workdir, *data) == 0
    assert f"--ckpt {workdir} --import {fork} --data" in capsys.readouterr().out
    stored = json.loads((workdir / "recipe.json").read_text())
    assert stored["system"]["criterion"] == "squared" and str(fork) not in str(stored)
    own = losses.LOSSES.pop("squared"), PIXELS.pop("darker"), OPTIMIZERS.pop("adam98")
    assert all(own)
    scored = ["--ckpt", workdir, *data, "--data", "ibug_300w/test"]
    line = refused(capsys, evaluate, *scored)
    assert "optimizer.kind='adam98': one of adam, adamw, muon" in line and "--import FILE" in line
    assert call(evaluate, *scored, "--import", fork) == 0
    for table in (losses.LOSSES, PIXELS, OPTIMIZERS):
        table.popitem()


class FourPatches(nn.Module):
    """Features at strides 4 to 32, each a projection of patches."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        return [
            nn.Dense(8, dtype=self.dtype, name=f"stride{side}")(patches(images, side))
            for side in (4, 8, 16, 32)
        ]


def test_a_backbone(monkeypatch):
    made = backbones.Backbone(lambda dtype: FourPatches(dtype))
    monkeypatch.setitem(backbones.BACKBONES, "patches", made)
    settings = ["system.backbone=patches", "system.dtype=bfloat16"]
    system = recipes.override(recipes.load("gv_light_ibug_300w"), settings).system
    variables = system.shapes()
    assert variables["params"]["network"]["backbone"]["stride8"]["kernel"].shape == (192, 8)
    crops = jax.ShapeDtypeStruct((2, system.size, system.size, 3), jnp.uint8)
    points, score = jax.eval_shape(system.predict, variables, crops)
    assert points.shape == (2, 68, 2) and score.shape == (2, 68)
    with pytest.raises(InputError, match="light_w64, patches"):
        recipes.override(recipes.load("gv_light_ibug_300w"), ["system.backbone=patchs"])


def five_faces(root):
    """The reader of a benchmark: five photos of COFW's 29 points, two of them at night."""
    for number in range(5):
        points = np.random.default_rng(number).uniform(16, 48, (29, 2)).astype(np.float32)
        yield Face(
            split="train" if number < 3 else "test",
            id=f"{number}",
            photo=cv2.imencode(".png", draw(points, number))[1].tobytes(),
            points={COFW29.name: points},
            subsets=("night",) if number % 2 == 0 else (),
        )


def test_a_benchmark(monkeypatch, tmp_path, capsys):
    made = Benchmark(
        name="five",
        schemes=(COFW29.name,),
        faces=five_faces,
        counts={"train": 3, "test": 2},
        instructions="Ask for it.",
    )
    monkeypatch.setitem(BENCHMARKS, "five", made)
    rule = protocols.Protocol(
        normaliser="inter_pupil", others=("box",), limits=(0.08,), subsets={"night": 1}
    )
    monkeypatch.setitem(protocols.PROTOCOLS, "five", rule)

    places = ["--from", tmp_path, "--data-dir", tmp_path / "data"]
    assert call(prepare, "five", *places, "--check") == 0
    assert call(prepare, "five", *places) == 0
    assert "data.train=five/train" in capsys.readouterr().out
    assert "Ask for it" in refused(capsys, prepare, "five")
    source = open_source("five/test", COFW29, tmp_path / "data")
    assert [sample["id"] for sample in source] == ["3", "4"]

    recipe = recipes.override(Recipe(Centre(scheme=COFW29.name, size=32)), ["data.test=five/test"])
    results = predict_source(Predictor(recipe.system), {}, source, recipe.data.crop, batch=4)
    protocol = protocols.protocol_for("five", source.scheme)
    rows = {row["subset"]: row for row in summarise(results, protocol)["rows"]}
    assert rows["all"]["faces"] == 2 and rows["night"]["faces"] == 1
    truth = source[1]["points"]
    middle = (truth.min(0) + truth.max(0)) / 2
    expected = np.linalg.norm(truth - middle, axis=1).mean() / np.linalg.norm(truth[17] - truth[16])
    assert rows["night"]["inter_pupil"]["nme"] == pytest.approx(expected, rel=1e-4)


def test_a_recipe(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("""
from dataclasses import replace
from jaxalign.configs import integral_ibug_300w

def config():
    base = integral_ibug_300w.config()
    return replace(base, system=replace(base.system, width=16))
""")
    assert call(train, "--config", path, "--dry-run", "--set", "system.scheme=wflw98") == 0
    out = capsys.readouterr().out
    assert "encoder" in out and "\nparameters: " in out and "\nmultiply-adds: " in out


FIVE = Scheme(
    name="five",
    flip=(1, 0, 2, 4, 3),
    curves=dict.fromkeys(CURVES, (2,)) | {"outlip_up": (3, 4), "outlip_lo": (3, 4)},
    eye_corners=(0, 1),
    pupils=((0,), (1,)),
    dots={"leye": 0, "reye": 1, "nose_tip": 2},
)


@pytest.mark.heavy
def test_a_scheme(monkeypatch, tmp_path):
    """Points from a file, mirrored crops, a system and its score, with the entry alone."""
    monkeypatch.setitem(schemes.SCHEMES, "five", FIVE)
    points = np.array([[20, 20], [44, 22], [33, 32], [24, 44], [41, 45]], np.float32)
    cv2.imwrite(str(tmp_path / "a.png"), draw(points, 0))
    header = ["file", *(f"{axis}{i}" for i in range(5) for axis in "xy")]
    row = ["a.png", *map(str, points.ravel())]
    (tmp_path / "faces.csv").write_text(f"{','.join(header)}\n{','.join(row)}\n")
    source = open_folder(tmp_path, FIVE)

    rng, mirror = np.random.default_rng(0), Augment(rotation=0, scale=0, shift=0, flip=1)
    plain, mirrored = (crop_face(source[0], FIVE, Crop(), 32, how, rng) for how in (None, mirror))
    flipped = np.array([31, 0]) - plain["points"][[1, 0, 2, 4, 3]] * (1, -1)
    np.testing.assert_allclose(mirrored["points"], flipped, atol=1e-4)
    assert FIVE.names == ("leye", "reye", "nose_tip", "outlip_up_0", "outlip_up_1")
    assert FIVE.regions["mouth"] == (2, 3, 4) and FIVE.regions["eyes"] == (0, 1, 2)

    results = truth_of(source, "five", FIVE).with_predictions(points[None] + (3, 4))
    normaliser = protocols.protocol_for("mine", FIVE).normaliser
    assert normaliser == "inter_ocular"
    assert results.nme(normaliser) == pytest.approx(5 / np.hypot(24, 2), rel=1e-6)
    system = Integral(scheme="five", size=32, width=8, blocks=(1, 1, 1, 1), decoder_width=8)
    variables = filled(system.shapes())
    aligner = jaxalign.load(saved(Recipe(system), variables, tmp_path / "w"))
    (face,) = aligner(np.zeros((64, 64, 3), np.uint8), [[8, 8, 50, 50]])
    assert face.points.shape == (5, 2)


def test_a_scheme_is_one_entry():
    """Everything can be imported with it, and the synthetic faces are of the others alone."""
    code = """
import jaxalign.schemes as schemes
from dataclasses import replace
schemes.SCHEMES["other"] = replace(schemes.COFW29, name="other")
from jaxalign import conversion, metrics, protocols
from jaxalign.datasets import BENCHMARKS
from jaxalign.datasets.synthetic_faces import face
print("other" in BENCHMARKS["image_folder"].schemes, "other" in face("train", 0, 128, 0).points)
print("other" in BENCHMARKS["synthetic_faces"].schemes)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["True", "False", "False"]
