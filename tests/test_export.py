"""Exported functions: as good as their checkpoint, and used without jaxalign."""

import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace

import cv2
import jax
import numpy as np
import pytest
from jax import export as jax_export

from jaxalign import checkpoints, export, prediction
from jaxalign.commands import export as command
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.schemes import IBUG68
from jaxalign.systems import SYSTEMS
from tests.helpers import ROOT
from tests.helpers.small import filled, saved, small_recipe


EXAMPLE = ROOT / "examples" / "run_exported.py"
RECIPE = small_recipe()
RECIPE = replace(RECIPE, data=replace(RECIPE.data, crop=Crop(landmarks=BoxRule(1.5, 0.1))))
SYSTEM = RECIPE.system
SIZE = SYSTEM.size


def variables_of(system, kernels=2.0):
    """Random ones, with kernels so large that points depend on what is seen."""
    made = filled(system.shapes())
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: kernels * leaf if path[-1].key == "kernel" else leaf, made
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A work directory of RECIPE, untrained."""
    return saved(RECIPE, variables_of(SYSTEM), tmp_path_factory.mktemp("run"))


def call(*arguments):
    """Exit code and output of jaxalign export."""
    with redirect_stdout(io.StringIO()) as printed:
        code = command.main([*map(str, arguments)])
    return code, printed.getvalue()


@pytest.fixture(scope="module")
def exported(tmp_path_factory, checkpoint, data_300w):
    """The file of an export, and what was printed."""
    path = tmp_path_factory.mktemp("exported") / "model.stablehlo"
    code, printed = call("--ckpt", checkpoint, "--out", path, "--data-dir", data_300w)
    assert code == 0
    return path, printed


@pytest.mark.parametrize("faces", [1, 3])
def test_any_number_of_faces_as_the_checkpoint(exported, faces):
    images = np.random.default_rng(faces).integers(0, 256, (faces, SIZE, SIZE, 3), np.uint8)
    images[0, :16] = 0
    function = jax_export.deserialize(bytearray(exported[0].read_bytes()))
    assert function.platforms == ("cpu", "cuda")
    points, scores = function.call(images)
    wanted, wanted_scores = jax.jit(SYSTEM.predict)(variables_of(SYSTEM), images)
    assert points.shape == (faces, 68, 2) and np.ptp(points[0], axis=0).min() > 1
    np.testing.assert_allclose(points, wanted, atol=1e-3)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-4)


def test_the_header_says_how_to_use_it(exported):
    about = json.loads(export.header_of(exported[0]).read_text(encoding="utf-8"))
    assert (about["size"], about["enlarge"], about["down"]) == (SIZE, 1.5, 0.1)
    assert about["scheme"] == "ibug68" and about["points"] == 68
    assert tuple(about["names"]) == IBUG68.names
    assert about["curves"]["leye_lo"] == list(IBUG68.curves["leye_lo"])
    assert about["framed"] == list(range(68))
    assert about["versions"]["jax"] == jax.__version__
    assert about["recipe"]["system"]["kind"] == "Integral"


def test_what_is_printed(exported):
    path, printed = exported
    assert f"written: {path}" in printed and "on ibug_300w/test (first 16)" in printed
    found = re.search(r"difference +(\S+) pixels of the 32 pixel crop, (\S+) of a score", printed)
    assert max(map(float, found.groups())) < 1e-3
    line = printed.splitlines()[-1]
    assert "NME (inter_ocular)" in line
    nme, other, difference = map(float, re.findall(r"(\S+) %", line))
    assert nme > 5 and abs(nme - other) < 0.01 and difference < 0.01


def test_another_checkpoint_is_noticed(exported):
    other = variables_of(SYSTEM, kernels=2.1)
    faces = export.drawn(SYSTEM, 5)  # more than one batch
    assert len({face["id"] for face in faces}) == 5
    found = export.compare(exported[0], SYSTEM, other, faces, RECIPE.data.crop, SIZE)
    assert found.pixels > 0.05 and found.scores > 1e-3
    assert len(found.exported) == 5
    assert abs(found.exported.predicted - found.checkpoint.predicted).max() > found.pixels


@pytest.mark.heavy
def test_drawn_faces_where_nothing_is_prepared(checkpoint, tmp_path):
    arguments = "--ckpt", checkpoint, "--data-dir", tmp_path, "--faces", 2
    code, printed = call(*arguments, "--out", tmp_path / "m")
    assert code == 0 and "compared on 2 drawn faces" in printed and "NME (box)" in printed
    assert "ibug_300w is not prepared" in printed


def test_ranges_of_8_bits_are_those_of_the_first_training_data(data_300w, monkeypatch, capsys):
    monkeypatch.setattr(export.to_onnx, "quantized", lambda model, crops: crops)
    joined = replace(RECIPE.data, train="ibug_300w/afw + ibug_300w/train")
    crops = export.rounded(None, replace(RECIPE, data=joined), SIZE, data_300w)
    assert capsys.readouterr().out == "int8: the ranges are those on ibug_300w/afw (first 128)\n"
    assert crops.shape[1:] == (SIZE, SIZE, 3) and len(crops)


@pytest.mark.heavy
def test_the_example_runs_without_jaxalign(exported, tmp_path):
    """And finds what jaxalign finds, where the crop is made from a photo averaged down by four."""
    photo = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (240, 320, 3)), (0, 0), 9)
    photo = np.uint8(np.clip(128 + 600 * photo, 0, 255))
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    box = 90.5, 60.0, 190.0, 140.0
    code = (
        "import runpy, sys; sys.modules['jaxalign'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, EXAMPLE, exported[0], tmp_path / "photo.png", *map(str, box)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.splitlines()]
    aligner = prediction.Aligner(SYSTEM, variables_of(SYSTEM), RECIPE.data.crop, refine=0)
    (face,) = aligner(photo[..., ::-1], [box])
    assert [row[0] for row in rows] == list(IBUG68.names)
    numbers = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(numbers[:, :2], face.points, atol=0.02)
    np.testing.assert_allclose(numbers[:, 2], face.scores, atol=2e-3)
    (other,) = aligner(photo[..., ::-1], [np.add(box, 1)])
    assert abs(other.points - face.points).max() > 0.5  # a pixel would have been seen


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"--ckpt": "none"}, "no such folder"),
        ({"--size": 48}, "--size 48: this checkpoint takes crops of 32 pixels"),
        ({"--out": "none/m"}, "there is no folder none; make it first"),
        ({"--out": "."}, "is a folder; name a file"),
        ({"--faces": 0}, "--faces 0: must be 1 or more"),
        ({"--data": "ibug_300w/test"}, "ibug_300w is not prepared"),
    ],
)
def test_refusals(change, reason, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = {"--ckpt": checkpoint, "--out": "m", "--data-dir": tmp_path} | change
    assert call(*(part for pair in arguments.items() for part in pair))[0] == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and reason in line
    assert not list(tmp_path.iterdir())


SHRUNK = {
    "AttentionCropping": {"size": 128, "global_size": 64, "regional_size": 64, "channels": 8},
    "GaussianVector": {"size": 32, "backbone": "light_w32", "fpn_width": 8},
    "Integral": {"size": 32, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8},
    "PIPNet": {"size": 64, "backbone": "light_w32", "stride": 16, "neighbours": 4},
    "PixelWise": {"size": 32, "width": 2, "top": 8},
    "PropagationNet": {"size": 64, "channels": 8, "stacks": 1},
    "StackedHourglass": {"size": 64, "channels": 16, "stacks": 1},
    "TAB": {"size": 64, "channels": 16, "base_width": 8, "stacks": 1},
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_can_be_exported(name):
    """Nothing in its prediction needs to know the number of faces; each size it takes will do."""
    system = SYSTEMS[name](**SHRUNK[name])
    size = system.sizes[-1]
    function = export.lowered(system, variables_of(system), size)
    (images,), (points, scores) = function.in_avals, function.out_avals
    faces = images.shape[0]
    assert jax_export.is_symbolic_dim(faces) and images.shape[1:] == (size, size, 3)
    assert points.shape == (faces, 68, 2) and scores.shape == (faces, 68)
    assert {points.dtype, scores.dtype} == {np.dtype("float32")}


def test_settings_go_into_the_file(checkpoint, tmp_path, data_300w):
    path = tmp_path / "wide.safetensors"
    asked = ("--ckpt", checkpoint, "--out", path, "--data-dir", data_300w, "--faces", "1", "--set")
    assert call(*asked, "data.crop.landmarks.enlarge=1.2")[0] == 0
    recipe, _, _ = checkpoints.load(path)
    assert recipe.data.crop.landmarks.enlarge == 1.2 and recipe.system == SYSTEM
    with pytest.raises(InputError, match="changes the network"):
        export.export_checkpoint(checkpoint, path, settings=["system.width=24"])
