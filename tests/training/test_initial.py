"""Starting from published weights and from other checkpoints."""

import shutil
from dataclasses import dataclass, fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign.backbones.vgg import VGG16BNStem
from jaxalign.commands import train
from jaxalign.errors import InputError
from jaxalign.recipe import Recipe
from jaxalign.systems import Integral
from jaxalign.systems.interface import System, init_networks
from jaxalign.training import initial
from jaxalign.training.initial import arrays_of
from jaxalign.training.loop import Run
from tests.helpers.small import saved, small_recipe
from tests.helpers.torch_writers import write_safetensors


SMALL = small_recipe().system


class StemAndHead(nn.Module):
    @nn.compact
    def __call__(self, images, train: bool):
        features = VGG16BNStem(2, name="backbone")(images, train)
        return nn.Dense(3, name="head")(features[0])


@dataclass(frozen=True)
class Stem(System):
    """A narrow VGG stem, which takes the names of the published one."""

    size: int = 32
    pretrained = {"network/backbone": "vgg16_bn"}

    def init(self, key):
        images = jnp.zeros((1, self.size, self.size, 3))
        return init_networks({"network": StemAndHead()}, key, {"network": (images,)})


@dataclass(frozen=True)
class Heir(Integral):
    """Takes its whole network from another checkpoint."""

    source: str = ""

    @property
    def taken(self):
        return {"network": self.source}


class Picky(Heir):
    """Says what it finds in the recipe of the checkpoint that it takes from."""

    def unlike(self, network, other):
        return [f"trained at {other.size} px as {network}"]


def heir(source, **changed):
    settings = {"size": 32, "width": 8, "blocks": (1, 1, 1, 1), "decoder_width": 8}
    return Heir(source=source, **settings | changed)


def random_variables(system, seed=0):
    random = np.random.default_rng(seed)
    shapes = system.shapes()
    return jax.tree.map(lambda s: random.normal(size=s.shape).astype(s.dtype), shapes)


def published(width=2):
    """A file as torchvision's vgg16_bn, but narrow: its first three stages and a classifier."""
    random, arrays, inputs = np.random.default_rng(1), {}, 3
    layers = {0: 1, 3: 1, 7: 2, 10: 2, 14: 4, 17: 4, 20: 4}
    for layer, factor in layers.items():
        outputs = factor * width
        arrays[f"features.{layer}.weight"] = random.normal(size=(outputs, inputs, 3, 3))
        arrays[f"features.{layer}.bias"] = random.normal(size=outputs)
        for name in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"features.{layer + 1}.{name}"] = random.normal(size=outputs)
        arrays[f"features.{layer + 1}.num_batches_tracked"] = np.array(5)
        inputs = outputs
    arrays["classifier.0.weight"] = random.normal(size=(10, 7))
    return {k: a.astype(np.float32) if a.ndim else a for k, a in arrays.items()}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A work directory of SMALL, and its variables."""
    variables = random_variables(SMALL, seed=5)
    workdir = saved(Recipe(SMALL), variables, tmp_path_factory.mktemp("earlier"))
    return str(workdir), variables


def test_nothing_to_start_from_changes_nothing():
    variables = random_variables(SMALL)
    assert initial.start(SMALL, variables, "") == (variables, [])


def test_published_weights(tmp_path):
    arrays = published()
    write_safetensors(tmp_path / "vgg.safetensors", arrays)
    before = random_variables(Stem())
    after, lines = initial.start(Stem(), before, str(tmp_path / "vgg.safetensors"))

    backbone = after["params"]["network"]["backbone"]
    kernel, weight = backbone["conv2"]["kernel"], arrays["features.3.weight"]
    assert kernel.shape == (3, 3, 2, 2) and kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel[0, 2, 1, 0], weight[0, 1, 0, 2])
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), weight)
    np.testing.assert_array_equal(backbone["conv7"]["bias"], arrays["features.20.bias"])
    np.testing.assert_array_equal(backbone["bn1"]["scale"], arrays["features.1.weight"])
    np.testing.assert_array_equal(backbone["bn1"]["bias"], arrays["features.1.bias"])
    statistics = after["batch_stats"]["network"]["backbone"]["bn4"]
    np.testing.assert_array_equal(statistics["mean"], arrays["features.11.running_mean"])
    np.testing.assert_array_equal(statistics["var"], arrays["features.11.running_var"])

    head = (tree["params"]["network"]["head"] for tree in (before, after))
    jax.tree.map(np.testing.assert_array_equal, *head)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert lines == [
        "network/backbone: 42 of 42 arrays from vgg.safetensors (torchvision's vgg16_bn)",
        "not used of the file: classifier.0.weight",
        "left at random: network/head",
    ]


def test_arrays_that_the_file_lacks_are_told(tmp_path):
    arrays = {k: a for k, a in published().items() if not k.startswith(("features.20", "class"))}
    write_safetensors(tmp_path / "vgg.safetensors", arrays)
    _, lines = initial.start(Stem(), random_variables(Stem()), str(tmp_path / "vgg.safetensors"))
    assert lines == [
        "network/backbone: 40 of 42 arrays from vgg.safetensors (torchvision's vgg16_bn)",
        "left at random: network/backbone/conv7, network/head",
    ]


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1, 1)])
def test_dense_kernels(shape):
    weight = np.arange(24.0).reshape(shape)
    kernel = initial.from_torch(weight, ("params", "fc", "kernel"), rank=2)
    np.testing.assert_array_equal(kernel, weight.reshape(6, 4).T)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"conv1.weight": np.zeros((4, 3, 7, 7), np.float32)},
            "has conv1.weight; wanted: torchvision's vgg16_bn "
            r"\((features.\d+.\w+(, )?){3} and 39 more\)",
        ),
        (published(width=3), r"features.\d+.\w+ of shape \(.*\) does not fit network/backbone/\w+"),
    ],
)
def test_files_that_do_not_fit(arrays, message, tmp_path):
    write_safetensors(tmp_path / "x.safetensors", arrays)
    with pytest.raises(InputError, match=message):
        initial.start(Stem(), random_variables(Stem()), str(tmp_path / "x.safetensors"))


def test_systems_without_published_weights(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", published())
    with pytest.raises(InputError, match="no part of Integral takes published weights"):
        initial.start(SMALL, random_variables(SMALL), str(tmp_path / "x.safetensors"))


def test_another_scheme_takes_the_points_that_it_shares(earlier):
    path, theirs = earlier
    system = replace(SMALL, scheme="wflw98")
    own = random_variables(system)
    after, lines = initial.start(system, own, path)
    for kind in ("params", "batch_stats"):
        for name, tree in after[kind]["network"].items():
            if name != "logits":
                jax.tree.map(np.testing.assert_array_equal, tree, theirs[kind]["network"][name])
    kernel, theirs, own = (
        tree["params"]["network"]["logits"]["kernel"] for tree in (after, theirs, own)
    )
    np.testing.assert_array_equal(kernel[:, 60], theirs[:, 36])  # the outer corner of an eye
    np.testing.assert_allclose(kernel[:, 1], (theirs[:, 0] + theirs[:, 1]) / 2, 1e-6)  # contour
    np.testing.assert_array_equal(kernel[:, 40], own[:, 40])  # under a brow, where 68 have none
    count = len(arrays_of(after))
    assert lines == [
        f"network: {count} of {count} arrays from {path}/checkpoints/1",
        "ibug68 to wflw98 points: network/logits/kernel",
    ]


def test_schemes_without_a_conversion_take_all_but_the_head(earlier):
    path, theirs = earlier
    system = replace(SMALL, scheme="lapa106")
    own = random_variables(system)
    after, lines = initial.start(system, own, path)
    head = after["params"]["network"]["logits"]["kernel"]
    np.testing.assert_array_equal(head, own["params"]["network"]["logits"]["kernel"])
    count = len(arrays_of(own))
    assert lines == [
        f"network: {count - 1} of {count} arrays from {path}/checkpoints/1",
        "not used of the checkpoint: network/logits",
        "left at random: network/logits",
    ]


def test_checkpoints_of_which_nothing_fits(earlier):
    with pytest.raises(InputError, match="has network, of which no array fits"):
        initial.start(Stem(), random_variables(Stem()), earlier[0])


def test_whole_networks_are_taken(earlier):
    path, theirs = earlier
    system = heir(path)
    after, lines = initial.start(system, random_variables(system))
    jax.tree.map(np.testing.assert_array_equal, after, theirs)
    assert lines == [f"network: whole from {path}"]


def test_what_the_stored_recipe_differs_in_is_warned_of(earlier):
    path, _ = earlier
    settings = {field.name: getattr(heir(path), field.name) for field in fields(Heir)}
    system = Picky(**settings)
    _, lines = initial.start(system, random_variables(system), path)
    assert lines[-1] == f"warning: network of {path} was trained at 32 px as network"


def test_networks_that_cannot_be_taken(earlier, monkeypatch):
    path, _ = earlier
    wider = heir(path, decoder_width=16)
    with pytest.raises(InputError, match=rf"{path}: its network/\S+ is \(.*8.*and this .*16"):
        initial.start(wider, random_variables(wider))
    deeper = heir(path, blocks=(1, 2, 1, 1))
    with pytest.raises(InputError, match=r"its network/\S*stage2_block2\S* is nothing, and"):
        initial.start(deeper, random_variables(deeper))
    monkeypatch.setattr(Heir, "taken", {"judge": path})
    with pytest.raises(InputError, match=f"{path}: has no network 'judge' to take, but network"):
        initial.start(heir(path), random_variables(heir(path)))


@pytest.mark.heavy
def test_only_a_fresh_run_needs_what_it_starts_from(earlier, tmp_path, monkeypatch):
    path, theirs = earlier
    zeros = jax.tree.map(np.zeros_like, theirs)  # the random numbers are slow to compile
    monkeypatch.setattr(Integral, "init", lambda self, key: jax.tree.map(jnp.array, zeros))
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    recipe, box = small_recipe(init_from=str(copy)), np.array([0, 0, 9, 9])
    faces = [{"id": str(i), "boxes": {"landmarks": box}} for i in range(8)]
    run = Run(recipe, faces, [], tmp_path / "run")
    assert run.opening[0].startswith("network: ")
    for tree in (run.state.params, run.state.ema):
        jax.tree.map(np.testing.assert_array_equal, tree, theirs["params"])
    run.checkpoints.save(run.state.replace(step=run.state.step + 3), recipe, 0.0)
    run.checkpoints.close()
    run.lock.release()

    shutil.rmtree(copy)
    again = Run(recipe, faces, [], tmp_path / "run", resume=True)
    assert again.step == 3 and not again.opening
    jax.tree.map(np.testing.assert_array_equal, again.state.params, theirs["params"])
    again.checkpoints.close()
    again.lock.release()
    with pytest.raises(InputError, match="copy: no such file"):
        Run(recipe, faces, [], tmp_path / "another")
    with pytest.raises(InputError, match="resume with the same --config, --set and --init-from"):
        Run(small_recipe(init_from="x"), faces, [], tmp_path / "run", resume=True)


def test_the_command_stores_where_it_started(monkeypatch, tmp_path, data_300w):
    (tmp_path / "tiny.py").write_text("from tests.helpers.small import small_recipe as config")
    recipes = []
    monkeypatch.setattr(
        "jaxalign.training.loop.Run.__init__", lambda self, recipe, *_, **__: recipes.append(recipe)
    )
    monkeypatch.setattr("jaxalign.training.loop.Run.run", lambda self: None)
    arguments = ["--config", tmp_path / "tiny.py", "--workdir", tmp_path, "--data-dir", data_300w]
    assert train.main([*map(str, arguments), "--init-from", "1e3"]) == 0
    assert recipes[0] == small_recipe(init_from="1e3")
