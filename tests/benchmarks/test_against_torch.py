"""The systems against their twins in PyTorch, and the table of their times."""

import json
import sys

import jax
import numpy as np
import pytest

from benchmarks import against_torch
from jaxalign import recipe as recipes
from jaxalign import to_onnx
from jaxalign.errors import InputError
from jaxalign.systems import TAB, Integral, PixelWise, PropagationNet, StackedHourglass
from tests.helpers.small import small_recipe


SMALL = {
    "integral": Integral(size=64, width=8, blocks=(1, 2, 1, 1), decoder_width=8),
    "fan": StackedHourglass(size=64, stacks=2, channels=8),
    "propnet": PropagationNet(size=128, stacks=2, channels=8),
    "propnet_sum": PropagationNet(
        size=128, stacks=2, channels=8, block="bottleneck", pool="average", blur=0, attends="sum"
    ),
    "awing": PropagationNet(
        size=128, stacks=2, channels=8, blur=2, propagation=False, boundary_channel=True
    ),
    "tab": TAB(size=64, stem="base", channels=8, base_width=4),
    "tab_single": TAB(
        size=64,
        stem="vgg",
        channels=8,
        base_width=4,
        features="ss",
        fusion=3,
        bridge="pooled",
        shape_constraint=False,
        feature_reuse=False,
    ),
    "pixelwise": PixelWise(size=64, method="pwc", discriminator=False, width=4, top=8),
}


@pytest.fixture
def torch():
    """PyTorch on one thread: its threads wait for each other, for long where cores are busy."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def variables_of(system):
    """Random in all their arrays."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        positive = path[-1].key in ("scale", "var")
        values = rng.uniform(0.5, 1.5, leaf.shape) if positive else rng.normal(0, 0.1, leaf.shape)
        return values.astype(np.float32)

    shapes = system.shapes()
    return jax.tree_util.tree_map_with_path(fill, shapes)


def images_of(system, batch):
    return against_torch.random_batch(system, batch)["image"]


@pytest.mark.heavy
@pytest.mark.parametrize("name", SMALL)
def test_maps_equal_pytorchs(name, torch):
    system = SMALL[name]
    variables, images = variables_of(system), images_of(system, 2)
    ours = jax.jit(system.maps)(variables, images)
    ours = ours[:2] if isinstance(system, PropagationNet) else ours
    call = against_torch.Torch("cpu").inference(system, variables, images)
    theirs = [found.numpy() for found in jax.tree.leaves(call.run())]
    for a, b in zip(jax.tree.leaves(ours), theirs, strict=True):
        b = b.transpose(0, 2, 3, 1) if b.ndim == 4 else b
        assert abs(a - b).max() <= 1e-4 * abs(b).max()


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["integral", "tab", "pixelwise"])
def test_training_steps_do_the_same(name, torch):
    system = SMALL[name]
    variables, images = variables_of(system), images_of(system, 4)
    targets = against_torch.random_targets(system, variables, images)
    ours = against_torch.jax_training(system, variables, images, targets)
    theirs = against_torch.Torch("cpu").training(system, variables, images, targets)
    losses = [(float(ours.run()[1]), float(theirs.run())) for _ in range(3)]
    for a, b in losses:
        assert a == pytest.approx(b, rel=1e-4)
    assert losses[2][0] < losses[0][0]


@pytest.fixture
def recipe(tmp_path):
    """The name of a recipe file of a tiny network."""
    file = tmp_path / "tiny.py"
    file.write_text("from tests.helpers.small import small_recipe\nconfig = small_recipe\n")
    return str(file)


@pytest.mark.heavy
def test_table_and_json(recipe, tmp_path, torch, monkeypatch, capsys):
    monkeypatch.setattr(against_torch, "_prepare", lambda torch: {"threads": 1})  # four devices
    out = tmp_path / "x.json"
    options = ["--batches", "4", "--pairs", "3", "--seconds", "0.001", "--out", str(out)]
    options += ["--set", "system.decoder_width=4"]
    assert against_torch.main(["--config", recipe, *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == list(against_torch.COLUMNS)
    assert [row[:2] for row in cells[2:]] == [["4", "inference"], ["4", "training"]]
    rows = json.loads(out.read_text())["rows"]
    for row, shown in zip(rows, cells[2:], strict=True):
        assert all(len(times) == 3 and min(times) > 0 for times in row["ms"].values())
        ratios = np.divide(row["ms"]["jaxalign"], row["ms"]["PyTorch"])
        assert row["ratio"][1] == pytest.approx(np.median(ratios))
        assert row["ratio"] == sorted(row["ratio"])
        assert shown[4].startswith(f"{row['ratio'][1]:.2f} (")
        assert min(row["first_s"].values()) > 0 and row["dtype"] == "float32"


def test_peak_memory_is_a_column_where_it_is_told():
    row = {
        "batch": 1,
        "work": "training",
        "size": 64,
        "dtype": "float32",
        "ms": {"jaxalign": [1.0, 3.0, 2.0], "PyTorch": [4.0] * 3, "whole": [5.0] * 3},
        "ratio": [0.25, 0.5, 0.75],
        "whole_ratio": [1.25] * 3,
        "not_network": 0.6,
        "first_s": {"jaxalign": 1.0, "PyTorch": 2.0},
        "peak_gib": {"jaxalign": 0.5, "PyTorch": 0.25},
    }
    *_, line = against_torch.table("x", [row])
    told = "2 | 4 | 0.50 (0.25-0.75) | 5 | 1.25 (1.25-1.25) | 60% | 1.0, 2.0 | 0.50, 0.25"
    assert line == f"| 1 | training | {told} |"


@pytest.mark.heavy
@pytest.mark.skipif(not all(map(to_onnx.has, to_onnx.NEEDED)), reason="jaxalign[onnx]")
def test_onnx_runtime_beside_them(recipe, torch, monkeypatch, capsys):
    monkeypatch.setattr(against_torch, "_prepare", lambda torch: {"threads": 1})  # four devices
    options = ["--batches", "4", "--pairs", "2", "--seconds", "0.001", "--onnx"]
    assert against_torch.main(["--config", recipe, *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    heads, _, inference, training = (line.strip("|").split("|") for line in lines)
    assert len(heads) == len(inference) == len(training)
    assert [cell.strip() for cell in heads[-4:]] == list(against_torch.ONNX)
    assert "0" < inference[-4].strip() and not "".join(training[-4:]).strip()


def test_turns_alternate_and_first_calls_are_apart():
    ran = []

    def call(name):
        return against_torch.Call(lambda: ran.append(name), lambda found: None)

    first, times = against_torch.alternate({"a": call("a"), "b": call("b")}, 2, 1e-9)
    assert ran == ["a", "b", "a", "b", "a", "a", "b", "b", "b", "b", "a", "a"]
    assert set(first) == {"a", "b"} and [len(found) for found in times.values()] == [2, 2]


@pytest.mark.heavy
def test_programs_are_planned_in_bytes():
    system = small_recipe().system
    variables, images = variables_of(system), images_of(system, 4)
    targets = against_torch.random_targets(system, variables, images)
    inference = against_torch.jax_inference(system, variables, images).planned()
    training = against_torch.jax_training(system, variables, images, targets).planned()
    assert images.nbytes < inference < training


@pytest.mark.parametrize("case", against_torch.CASES)
def test_default_recipes_have_twins(case, torch):
    from benchmarks.torch_systems import twin_of

    recipe = recipes.override(recipes.load(case[0]), case[1:])
    twin_of(recipe.system, variables_of(recipe.system))


def test_networks_without_a_twin(torch):
    from benchmarks.torch_systems import twin_of

    for name, settings, message in (
        ("gv_light_ibug_300w", [], "GaussianVector has no twin in PyTorch"),
        ("integral_ibug_300w", ["system.relations=8"], "--set system.prior=0 system.relations=0"),
        ("tab_light_ibug_300w", ["system.stem=resnet", "system.channels=256"], "no stem resnet"),
        ("pixelwise_light_ibug_300w", ["system.method=dan"], "--set system.method=pwc"),
        ("propnet_light_ibug_300w", ["system.size=64"], "--set system.size=128"),
    ):
        recipe = recipes.override(recipes.load(name), settings, idle_too=True)
        with pytest.raises(InputError, match=message):
            twin_of(recipe.system, {})


def test_without_pytorch(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert against_torch.main([]) == 2
    assert "needs PyTorch: pip install torch" in capsys.readouterr().err


def test_what_cannot_be_run(torch, capsys, recipe):
    for options, message in (
        (["--batches", "0"], "--batches and --pairs: must be 1 or more"),
        (["--config", recipe], "JAX sees 4 devices, and PyTorch would take one"),
        (["--config", "nothing"], "no recipe 'nothing'"),
        (["--work", "training", "--onnx"], "--onnx: times inference"),
    ):
        assert against_torch.main(options) == 2
        assert message in capsys.readouterr().err
