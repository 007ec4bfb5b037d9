"""ONNX models: as good as their checkpoint, of every system, and run without JAX."""

import subprocess
import sys
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, export, photos, to_onnx
from jaxalign.commands import export as command
from jaxalign.errors import InputError
from jaxalign.layers import pooling
from jaxalign.prediction import files, onnx_model
from jaxalign.systems import SYSTEMS, Integral
from jaxalign.texts import from_json
from tests.helpers import ROOT
from tests.helpers.small import filled, saved, small_recipe


INSTALLED = all(to_onnx.has(name) for name in to_onnx.NEEDED)
needs_onnx = pytest.mark.skipif(
    not INSTALLED, reason="jax2onnx, onnxruntime are not installed: pip install '.[onnx]'"
)
PHOTO = ROOT / "examples" / "astronaut.jpg"

SHRUNK = {  # name -> system, its settings
    "integral": ("Integral", {"size": 32, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8}),
    "integral, large maps": (
        "Integral",
        {"size": 96, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8},
    ),
    "integral with relations and a prior": (
        "Integral",
        {"size": 32, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8, "relations": 8,
         "prior": 0.1},
    ),
    "light": ("GaussianVector", {"size": 32, "backbone": "light_w32", "fpn_width": 8}),
    "heatmaps": (
        "GaussianVector",
        {"size": 32, "backbone": "light_w32", "fpn_width": 8, "bands": ()},
    ),
    "resnet": ("GaussianVector", {"size": 32, "backbone": "resnet50_v2", "fpn_width": 8}),
    "hrnet": ("GaussianVector", {"size": 32, "backbone": "hrnet_w18", "head": "hrnet"}),
    "mobilenet": (
        "GaussianVector",
        {"size": 32, "backbone": "mobilenetv3_small", "fpn_width": 8},
    ),
    "propagation": ("PropagationNet", {"size": 64, "channels": 8, "stacks": 2}),
    "awing": (
        "PropagationNet",
        {"size": 64, "channels": 8, "stacks": 2, "propagation": False, "boundary_channel": True,
         "block": "bottleneck", "pool": "average", "blur": 0},
    ),
    "fan": ("StackedHourglass", {"size": 64, "channels": 16, "stacks": 1}),
    "fan, soft": ("StackedHourglass", {"size": 64, "channels": 16, "stacks": 1, "decoder": "soft"}),
    "fan, logits": (
        "StackedHourglass",
        {"size": 64, "channels": 16, "stacks": 1, "criterion": "star"},
    ),
    "tab": ("TAB", {"size": 64, "channels": 16, "base_width": 8, "stacks": 1}),
    "tab, base": (
        "TAB",
        {"size": 64, "stem": "base", "channels": 16, "base_width": 8, "bridge": "pooled"},
    ),
    "direct": ("PixelWise", {"size": 32, "width": 2, "top": 8, "method": "direct"}),
    "dan": ("PixelWise", {"size": 32, "width": 2, "method": "dan", "stages": 2}),
    "distribution": ("PixelWise", {"size": 32, "width": 2, "top": 8, "method": "distribution"}),
    "regression": ("PixelWise", {"size": 32, "width": 2, "top": 8, "method": "heatmap_regression"}),
    "pwc": ("PixelWise", {"size": 32, "width": 2, "top": 8, "method": "pwc"}),
    "hybrid": ("PixelWise", {"size": 32, "width": 2, "top": 8, "method": "hybrid"}),
    "attention": (
        "AttentionCropping",
        {"size": 128, "global_size": 64, "regional_size": 64, "channels": 8},
    ),
    "attention, shared eyes": (
        "AttentionCropping",
        {"size": 64, "global_size": 64, "regional_size": 64, "channels": 8, "crop": "moments",
         "stacking": True, "share_eyes": True},
    ),
    "cells": ("PIPNet", {"size": 64, "backbone": "light_w32", "stride": 16, "neighbours": 4}),
    "cells, resnet": ("PIPNet", {"size": 64, "backbone": "resnet18", "neighbours": 4}),
}  # fmt: skip


def variables_of(system):
    """Random ones of the size that keeps activations' scale, and the circles that stand for what is
    known of faces."""
    shapes = system.shapes()
    rng = np.random.default_rng(0)

    def made(path, leaf):
        name, shape = path[-1].key, leaf.shape
        if name == "kernel":
            spread = np.sqrt(2 / np.prod(shape[:-1]))
            return rng.normal(0, spread, shape).astype(np.float32)
        angle = 2 * np.pi * np.arange(shape[-2] if len(shape) > 1 else 1) / 68
        circle = np.stack([np.cos(angle), np.sin(angle)], -1)
        if name == "mean_shape":
            return (0.5 + 0.3 * circle).astype(np.float32)
        if name == "shape_modes":
            modes = rng.normal(0, 0.1 / np.sqrt(68), shape).astype(np.float32)
            modes[0] = circle
            return modes
        return filled({name: leaf})[name]

    return jax.tree_util.tree_map_with_path(made, shapes)


def test_no_system_is_left_out():
    assert {name for name, _ in SHRUNK.values()} == set(SYSTEMS)


@needs_onnx
def test_functions_are_known_by_what_they_do():
    """A fork's own function is converted as it is, whatever its name."""
    maps = jax.ShapeDtypeStruct((1, 4, 4, 3), np.float32)

    @jax.jit
    def max_pool(x):
        return pooling.every(2, pooling.every(2, x, 1), 2)

    def names(function):
        whole = to_onnx._whole(jax.make_jaxpr(lambda x: function(x) + 1)(maps))
        return [call.primitive.name for call in whole.eqns]

    assert names(pooling.max_pool) == ["jaxalign_max_pool", "add"]
    assert names(max_pool) == ["jit", "add"]


@needs_onnx
@pytest.mark.heavy
@pytest.mark.parametrize("name", SHRUNK)
def test_every_system_converts(name, tmp_path):
    """One file for any number of faces. Where random maps have two peaks alike, a point may be of
    the other one: few are."""
    kind, settings = SHRUNK[name]
    system = SYSTEMS[kind](**settings)
    variables, recipe = variables_of(system), replace(small_recipe(), system=system)
    path = tmp_path / "model.onnx"
    about = export.header(recipe, tmp_path / "none", system.size) | export.ONNX
    to_onnx.write(path, to_onnx.converted(system, variables, system.size), about)
    model, predict = onnx_model.OnnxModel(path), jax.jit(system.predict)
    for faces in (1, 3):
        images = np.random.default_rng(faces).integers(
            0, 256, (faces, system.size, system.size, 3), np.uint8
        )
        images[0, :16] = 0
        points, scores = model.predict(images)
        wanted, wanted_scores = map(np.asarray, predict(variables, images))
        assert points.shape == (faces, 68, 2) and scores.shape == (faces, 68)
        assert points.dtype == scores.dtype == np.float32 and np.isfinite(points).all()
        spread, apart = np.ptp(wanted, 1).min(), np.abs(points - wanted).max(-1)
        assert spread > 1e-3  # points that depend on something
        assert np.quantile(apart, 0.97) < 0.01 * min(1, spread)
        assert np.quantile(np.abs(scores - wanted_scores), 0.97) < 1e-3


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An ONNX model of the weights that come with jaxalign, and what was printed."""
    path = tmp_path_factory.mktemp("onnx") / "drawn.onnx"
    found = export.export_checkpoint("drawn", path, faces=2)
    return path, found


@needs_onnx
@pytest.mark.heavy
def test_the_same_faces_without_jax(exported, tmp_path):
    """In a process where JAX, Flax and Orbax cannot be imported."""
    path, found = exported
    assert found.pixels < 0.01 and found.scores < 1e-3
    code = (
        "import sys\n"
        "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax', 'grain', 'safetensors',"
        " 'tensorflow_datasets', 'matplotlib', 'scipy', 'h5py', 'tqdm'):\n"
        "    sys.modules[name] = None\n"
        "import jaxalign, numpy as np\n"
        f"aligner = jaxalign.load({str(path)!r})\n"
        f"faces = aligner(jaxalign.photos.read({str(PHOTO)!r}))\n"
        "np.savez('found.npz', points=[f.points for f in faces], scores=[f.scores for f in faces],"
        " boxes=[f.box for f in faces], low=aligner.min_score, told=faces[0].status,"
        " pose=[*faces[0].to_dict()['pose'].values()])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "found.npz") as seen:
        aligner = jaxalign.load()
        faces = aligner(photos.read(PHOTO))
        assert len(faces) == len(seen["points"]) == 1
        np.testing.assert_allclose(seen["points"][0], faces[0].points, atol=0.02)
        np.testing.assert_allclose(seen["boxes"][0], faces[0].box, atol=0.02)
        np.testing.assert_allclose(seen["scores"][0], faces[0].scores, atol=1e-3)
        pose = [*faces[0].to_dict()["pose"].values()]
        np.testing.assert_allclose(seen["pose"], pose, atol=0.2)
        assert seen["told"] == faces[0].status == "ok"
        assert seen["low"] == aligner.min_score > 0


@needs_onnx
@pytest.mark.heavy
def test_batches_and_boxes(exported):
    """Several photos, more faces than a batch; the boxes decide; the scheme that is asked for."""
    image = photos.read(PHOTO)
    aligner = jaxalign.load(exported[0], batch=2, refine=0)
    (face,) = jaxalign.load(refine=0)(image)
    found = aligner([image] * 3, [[face.box], [face.box + 3, face.box], []])
    assert [len(faces) for faces in found] == [1, 2, 0]
    np.testing.assert_allclose(found[0][0].points, found[1][1].points, atol=0.01)
    assert abs(found[1][0].points - found[1][1].points).max() > 0.01
    other = jaxalign.load(exported[0], scheme="ibug68")
    assert other.scheme.name == "ibug68"
    with pytest.raises(InputError, match="scheme"):
        jaxalign.load(exported[0], scheme="none")


@needs_onnx
@pytest.mark.heavy
def test_predict_takes_it(exported, tmp_path):
    out = tmp_path / "found"
    counts = files.predict(exported[0], out, [str(PHOTO)], pictures=False)
    assert counts == {"ok": 1}
    (record,) = from_json((out / files.FILE).read_text(encoding="utf-8"))["photos"]
    (face,) = jaxalign.load()(photos.read(PHOTO))
    np.testing.assert_allclose(record["faces"][0]["points"], face.points, atol=0.02)


@needs_onnx
@pytest.mark.heavy
def test_operations_have_quick_kernels(exported):
    """Each by its name, and maps in one layout; batch norm is within the kernels."""
    onnx = pytest.importorskip("onnx")
    nodes = onnx.load(exported[0]).graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count("Relu") > kinds.count("Max")
    assert kinds.count("AveragePool") == kinds.count("Resize") == 3 and "Slice" not in kinds
    after = {node.input[0]: node for node in nodes}
    (stem, *_) = (node for node in nodes if node.op_type == "Conv")
    chain = []
    for _ in range(4):
        stem = after[stem.output[0]]
        chain.append(stem.op_type)
    assert chain == ["Transpose", "Mul", "Add", "Relu"]


@needs_onnx
@pytest.mark.heavy
def test_eight_bits(exported, tmp_path, capsys):
    path = tmp_path / "int8.onnx"
    found = export.export_checkpoint("drawn", path, int8=True, faces=8, data_dir=tmp_path)
    assert "int8: the ranges are those on 128 drawn faces" in capsys.readouterr().out
    assert path.stat().st_size < 0.4 * exported[0].stat().st_size
    exact, rounded = (r.nme("inter_ocular") for r in (found.checkpoint, found.exported))
    assert 0 < abs(rounded - exact).max() < 0.01 and abs(rounded.mean() - exact.mean()) < 5e-4
    (face,) = jaxalign.load(path)(photos.read(PHOTO))
    (wanted,) = jaxalign.load(exported[0])(photos.read(PHOTO))
    side = max(wanted.box[2:] - wanted.box[:2])
    assert np.linalg.norm(face.points - wanted.points, axis=-1).mean() < 0.01 * side


@dataclass(frozen=True)
class Odd(Integral):
    """One's own system, with an operation that ONNX does not have."""

    def decode(self, maps):
        points, scores = super().decode(maps)
        return jax.scipy.special.bessel_jn(points[..., 0], v=1)[-1][..., None] + points, scores


@needs_onnx
@pytest.mark.heavy
def test_a_system_that_does_not_convert_is_named():
    system = Odd(**SHRUNK["integral"][1])
    with pytest.raises(InputError, match="Odd: the converter does not take something .*stablehlo"):
        to_onnx.converted(system, variables_of(system), system.size)


@needs_onnx
@pytest.mark.heavy
def test_the_command_says_how_exact_and_how_fast(tmp_path, capsys):
    recipe = small_recipe()
    variables = variables_of(recipe.system)
    work = saved(recipe, variables, tmp_path / "run", low_score=0.25)
    path = tmp_path / "model.onnx"
    asked = ["--ckpt", work, "--out", path, "--data-dir", tmp_path, "--faces", 2]
    assert command.main([*map(str, asked)]) == 0
    printed = capsys.readouterr().out
    assert "compared on 2 drawn faces" in printed and "largest difference   0.00" in printed
    for line in ("1 face: XLA ", "8 faces: XLA "):
        assert line in printed
    model = onnx_model.OnnxModel(path)
    assert model.low_score == 0.25 and model.size == 32 and model.points == recipe.system.points
    assert model.crop.landmarks == recipe.data.crop.landmarks
    with pytest.raises(InputError, match="an ONNX model: it predicts"):
        checkpoints.load(path)


@needs_onnx
def test_what_is_no_model_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    with pytest.raises(InputError, match="no such file"):
        jaxalign.load(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match="no model that ONNX Runtime reads"):
        jaxalign.load(broken)
    node = onnx.helper.make_node("Identity", ["images"], ["points"])
    kinds = [onnx.helper.make_tensor_value_info(n, 1, [1]) for n in ("images", "points")]
    graph = onnx.helper.make_graph([node], "other", kinds[:1], kinds[1:])
    opset = [onnx.helper.make_opsetid("", 21)]
    other = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), other)
    with pytest.raises(InputError, match="its metadata 'jaxalign' does not say"):
        jaxalign.load(other)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match=r"pip install '\.\[onnx\]'"):
        export.export_checkpoint("drawn", path)
    assert not path.exists()
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        jaxalign.load(path)


def test_eight_bits_are_for_onnx(tmp_path):
    with pytest.raises(InputError, match="--int8 is for --out NAME.onnx"):
        export.export_checkpoint("drawn", tmp_path / "model.stablehlo", int8=True)


def test_half_the_digits_are_refused(tmp_path):
    recipe = replace(small_recipe(), system=replace(small_recipe().system, dtype="bfloat16"))
    with pytest.raises(InputError, match="system.dtype=float32"):
        to_onnx.check(recipe.system)
