"""ResNet, VGG and light backbones and the FPN: counts, shapes, names of public weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxalign import costs
from jaxalign.backbones import BACKBONES
from jaxalign.backbones.light import patches
from jaxalign.backbones.resnet import PreActivation, ResNet
from jaxalign.backbones.vgg import VGG16BNStem
from jaxalign.layers.fpn import FPN
from jaxalign.systems.integral import Integral


def images(size, dtype="float32"):
    return jax.ShapeDtypeStruct((1, size, size, 3), dtype)


def shapes_of(module, *inputs, **settings):
    """Inputs -> (variables, outputs), shapes only."""
    made = jax.eval_shape(
        lambda *x: module.init_with_output(jax.random.key(0), *x, **settings), *inputs
    )
    return made[1], made[0]


def backbone(key, size=256, dtype="float32"):
    """-> the module, its variables and features."""
    module = BACKBONES[key].make(jnp.dtype(dtype))
    return module, *shapes_of(module, images(size, dtype), train=False)


def giga(module, variables, *inputs, **settings):
    """Multiply-adds, in 1e9."""

    def run(variables, *inputs):
        return module.apply(variables, *inputs, **settings)

    return sum(costs.multiply_adds(run, variables, *inputs).values()) / 1e9


RESNET_WIDTHS = (256, 512, 1024, 2048)


@pytest.mark.heavy
@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize(
    ("key", "widths"),
    [
        ("resnet50_v2", RESNET_WIDTHS),
        ("resnet50", RESNET_WIDTHS),
        ("resnet18", (64, 128, 256, 512)),
        ("vgg16_bn", (256,)),
        ("light_w32", (32, 64, 128, 128)),
        ("light_w64", (64, 128, 256, 256)),
    ],
)
def test_features(key, widths, size):
    _, _, features = backbone(key, size, "bfloat16")
    sides = [size // 4, size // 8, size // 16, size // 32]
    assert [f.shape for f in features] == [
        (1, side, side, width) for side, width in zip(sides, widths, strict=False)
    ]
    assert {f.dtype for f in features} == {jnp.dtype("bfloat16")}


def test_resnet50_v2_is_gluons():
    module, variables, _ = backbone("resnet50_v2")
    parameters = costs.count(variables["params"])
    classifier = 2048 * 1000 + 1000
    assert parameters == 23_500_480
    assert parameters + classifier == 25_549_480
    # Gluon stores the scale and offset of the data's normalisation too, though they are fixed
    assert parameters + classifier + costs.count(variables["batch_stats"]) + 6 == 25_595_060
    assert giga(module, variables, images(256), train=False) == pytest.approx(5.34, abs=0.005)


def test_resnet50_is_torchvisions():
    _, variables, _ = backbone("resnet50")
    assert costs.count(variables["params"]) == 23_508_032


def test_resnet18_is_torchvisions():
    _, variables, _ = backbone("resnet18")
    assert costs.count(variables["params"]) == 11_689_512 - (512 * 1000 + 1000)  # the classifier
    assert "shortcut" not in variables["params"]["stage1_block1"]  # 64 channels in and out


def test_the_first_stage_of_a_resnet_is_a_stem():
    module = ResNet(blocks=(3,))
    variables, (feature,) = shapes_of(module, images(256), train=False)
    assert feature.shape == (1, 64, 64, 256)
    assert costs.count(variables["params"]) == 225_344
    assert giga(module, variables, images(256), train=False) == pytest.approx(1.03, abs=0.005)


def test_vgg16_bn_stem():
    module, variables, _ = backbone("vgg16_bn")
    assert costs.count(variables["params"]) == 1_737_792
    assert giga(module, variables, images(256), train=False) == pytest.approx(12.19, abs=0.005)
    _, (feature,) = shapes_of(VGG16BNStem(width=8), images(64), train=False)
    assert feature.shape == (1, 16, 16, 32)


def test_light_is_the_encoder_of_integral():
    variables = Integral().shapes()
    assert costs.count(variables["params"]) == 5_478_528
    _, encoder, _ = backbone("light_w64", 128)
    assert {kind: tree["network"]["encoder"] for kind, tree in variables.items()} == encoder


def torch_names(key):
    """Layer paths inside a backbone -> the published names, as its entry says."""
    _, variables, _ = backbone(key, 64)
    leaves = flatten_dict(variables["params"]) | flatten_dict(variables["batch_stats"])
    paths = sorted({"/".join(path[:-1]) for path in leaves})
    return {path: BACKBONES[key].torch_name(path) for path in paths}


@pytest.mark.parametrize(
    ("key", "layers", "without", "some"),
    [
        (
            "resnet50_v2",
            1 + 3 * 16 * 2 + 4 + 1,
            {"data_bn", "stem_bn"},
            {
                "stem": "stem.conv",
                "stage1_block1/shortcut": "stages.0.blocks.0.downsample.conv",
                "stage3_block6/bn2": "stages.2.blocks.5.norm2",
                "stage4_block3/conv3": "stages.3.blocks.2.conv3",
                "final_bn": "norm",
            },
        ),
        (
            "resnet50",
            2 + 3 * 16 * 2 + 4 * 2,
            set(),
            {
                "stem": "conv1",
                "stem_bn": "bn1",
                "stage1_block1/conv1": "layer1.0.conv1",
                "stage2_block1/shortcut": "layer2.0.downsample.0",
                "stage2_block1/shortcut_bn": "layer2.0.downsample.1",
                "stage4_block3/bn3": "layer4.2.bn3",
            },
        ),
        (
            "resnet18",
            2 + 2 * 8 * 2 + 3 * 2,
            set(),
            {
                "stage1_block2/conv2": "layer1.1.conv2",
                "stage2_block1/shortcut_bn": "layer2.0.downsample.1",
                "stage4_block2/bn2": "layer4.1.bn2",
            },
        ),
        ("vgg16_bn", 14, set(), {"conv1": "features.0", "bn2": "features.4"}),
    ],
)
def test_names_of_public_weights(key, layers, without, some):
    names = torch_names(key)
    assert {path for path, name in names.items() if name is None} == without
    named = [name for name in names.values() if name]
    assert len(named) == len(set(named)) == layers
    assert some.items() <= names.items()
    assert BACKBONES[key].torch_name("head") is None and BACKBONES[key].weights


def test_vgg_names_are_the_layers_with_weights():
    places = (0, 1, 3, 4, 7, 8, 10, 11, 14, 15, 17, 18, 20, 21)
    assert set(torch_names("vgg16_bn").values()) == {f"features.{i}" for i in places}


def convolve(x, kernel, stride):
    """(H, W, C) by (k, k, C, D), PyTorch's symmetric padding, as sums over windows."""
    k = kernel.shape[0]
    padded = np.pad(x, [(k // 2, k // 2), (k // 2, k // 2), (0, 0)])
    rows, columns = (range(0, side, stride) for side in x.shape[:2])
    return np.stack(
        [
            [np.einsum("ijc,ijcd->d", padded[r : r + k, c : c + k], kernel) for c in columns]
            for r in rows
        ]
    )


@pytest.mark.parametrize(("stride", "projected"), [(2, True), (1, True), (1, False)])
def test_pre_activation_block_by_hand(stride, projected):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 6, 3 if projected else 8)).astype(np.float32)
    module = PreActivation(2, stride)
    variables, _ = shapes_of(module, x[None], train=False)
    drawn = jax.tree.map(lambda s: rng.uniform(0.2, 1, s.shape).astype(np.float32), variables)
    layers, statistics = drawn["params"], drawn["batch_stats"]
    assert ("shortcut" in layers) == projected

    def activate(x, bn):
        scale, bias = layers[bn]["scale"], layers[bn]["bias"]
        mean, var = statistics[bn]["mean"], statistics[bn]["var"]
        return np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + bias, 0)

    first = activate(x, "bn1")
    y = convolve(first, layers["conv1"]["kernel"], 1)
    y = convolve(activate(y, "bn2"), layers["conv2"]["kernel"], stride)
    y = convolve(activate(y, "bn3"), layers["conv3"]["kernel"], 1)
    y += convolve(first, layers["shortcut"]["kernel"], stride) if projected else x

    found = module.apply(drawn, x[None], train=False)[0]
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4)


def test_fpn_makes_gv_resnet50():
    module, variables, features = backbone("resnet50_v2")
    fpn = FPN(256)
    pyramid, finest = shapes_of(fpn, features)
    assert finest.shape == (1, 64, 64, 256)
    head = 256 * 68 + 68
    assert costs.count(pyramid) + head == 1_591_620
    assert costs.count((variables["params"], pyramid)) + head == 25_092_100
    whole = (
        giga(module, variables, images(256), train=False)
        + giga(fpn, pyramid, features)
        + math.prod((64, 64, 256, 68)) / 1e9
    )
    assert whole == pytest.approx(8.33, abs=0.005)


@pytest.mark.parametrize("rectifier", ["leaky", "relu", "none"])
def test_fpn_adds_the_levels_at_their_places(rectifier):
    """With laterals of weight one and an identity for smoothing, a coarse pixel covers a square."""
    fpn = FPN(1, rectifier=rectifier)
    fine, coarse = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0].set(2), jnp.zeros((1, 2, 2, 1))
    coarse = coarse.at[0, 1, 0].set(3).at[0, 0, 1].set(-1)
    one, identity = jnp.ones((1, 1)), jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1)
    layers = {name: {"kernel": one, "bias": jnp.zeros(1)} for name in ("lateral1", "lateral2")}
    layers["smooth"] = {"kernel": identity, "bias": jnp.zeros(1)}
    found = fpn.apply({"params": layers}, [fine, coarse])[0, ..., 0]
    left = {"leaky": -0.1, "relu": 0, "none": -1}[rectifier]  # of the -1
    wanted = [[2, 0, left, left], [0, 0, left, left], [3, 3, 0, 0], [3, 3, 0, 0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_patches_keep_the_pixels_of_a_square_together():
    pixels = jnp.arange(4 * 6).reshape(1, 4, 6, 1)
    found = patches(pixels, 2)
    assert found.shape == (1, 2, 3, 4)
    assert found[0, 1, 2].tolist() == [16, 17, 22, 23]  # rows 2-3, columns 4-5
