"""HRNetV2 and MobileNetV3: counts, shapes, names of public weights, and small ones by hand."""

from functools import cache

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxalign import costs
from jaxalign.backbones import BACKBONES
from jaxalign.backbones.hrnet import FusionModule, HRNetHead
from jaxalign.backbones.mobilenetv3 import InvertedResidual, Row, SqueezeExcite


def shapes_of(module, x):
    """-> (variables, outputs), shapes only."""
    outputs, variables = jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x, train=False), x
    )
    return variables, outputs


@cache
def backbone(key, size, dtype="float32"):
    images = jax.ShapeDtypeStruct((2, size, size, 3), dtype)
    return shapes_of(BACKBONES[key].make(jnp.dtype(dtype)), images)


def madds(module, variables, x):
    found = costs.multiply_adds(lambda v, x: module.apply(v, x, train=False), variables, x)
    return sum(found.values())


def drawn(module, x, low=0.2, high=1.0):
    """Variables drawn evenly, so that no layer of them does nothing."""
    rng = np.random.default_rng(4)
    variables, _ = shapes_of(module, x)
    return jax.tree.map(lambda s: rng.uniform(low, high, s.shape).astype(np.float32), variables)


HRNETS = {"hrnet_w18": 18, "hrnet_w32": 32}
WIDTHS = {
    "hrnet_w18": (18, 36, 72, 144),
    "hrnet_w32": (32, 64, 128, 256),
    "mobilenetv3_small": (16, 24, 48, 576),
    "mobilenetv3_large": (24, 40, 112, 960),
}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("key", "size", "dtype"),
    [
        ("hrnet_w18", 64, "bfloat16"),
        ("hrnet_w32", 256, "float32"),
        ("mobilenetv3_small", 224, "float32"),
        ("mobilenetv3_large", 96, "bfloat16"),
        ("mobilenetv3_large", 224, "float32"),
    ],
)
def test_features(key, size, dtype):
    variables, features = backbone(key, size, dtype)
    assert [f.shape for f in features] == [
        (2, size // stride, size // stride, width)
        for stride, width in zip((4, 8, 16, 32), WIDTHS[key], strict=True)
    ]
    assert {f.dtype for f in features} == {jnp.dtype(dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("key", "body", "totals"),
    [
        ("hrnet_w18", 9_562_260, (9_641_119, 9_643_829, 9_654_398, 9_662_528, 9_664_696)),
        ("hrnet_w32", 29_305_536, (29_546_515, 29_551_325, 29_570_084, 29_584_514, 29_588_362)),
    ],
)
def test_hrnet_parameters(key, body, totals):
    variables, features = backbone(key, 256)
    assert costs.count(variables["params"]) == body
    for points, total in zip((19, 29, 68, 98, 106), totals, strict=True):
        head, maps = shapes_of(HRNetHead(points), features)
        assert body + costs.count(head["params"]) == total
        assert maps.shape == (2, 64, 64, points)


@pytest.mark.parametrize(
    ("key", "body", "whole"), [("hrnet_w18", 4.29, 4.66), ("hrnet_w32", 10.31, 11.38)]
)
def test_hrnet_multiply_adds(key, body, whole):
    variables, features = backbone(key, 256)
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    found = madds(BACKBONES[key].make(jnp.float32), variables, image) / 1e9
    assert found == pytest.approx(body, rel=0.002)
    one = [jax.ShapeDtypeStruct((1, *f.shape[1:]), f.dtype) for f in features]
    head, _ = shapes_of(HRNetHead(68), one)
    assert found + madds(HRNetHead(68), head, one) / 1e9 == pytest.approx(whole, rel=0.005)


@pytest.mark.parametrize(
    ("key", "hidden", "features", "total", "giga"),
    [
        ("mobilenetv3_large", 1280, 2_971_952, 5_483_032, 0.217),
        ("mobilenetv3_small", 1024, 927_008, 2_542_856, 0.0565),
    ],
)
def test_mobilenetv3_is_torchvisions(key, hidden, features, total, giga):
    """`total` and `giga` are of the network with its classifier for ImageNet."""
    variables, outputs = backbone(key, 224)
    last = outputs[-1].shape[-1]
    parameters = costs.count(variables["params"])
    assert parameters == features
    assert parameters + (last + 1) * hidden + (hidden + 1) * 1000 == total
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    found = madds(BACKBONES[key].make(jnp.float32), variables, image)
    assert (found + last * hidden + hidden * 1000) / 1e9 == pytest.approx(giga, rel=0.01)


def layers(variables):
    """Path -> (kernel shape or None) of every layer with parameters."""
    found = {}
    for (*path, leaf), shape in flatten_dict(variables["params"]).items():
        found.setdefault("/".join(path), None)
        if leaf == "kernel":
            found["/".join(path)] = shape.shape
    return found


@pytest.mark.parametrize("key", WIDTHS)
def test_every_layer_has_a_torch_name_of_its_own(key):
    variables, _ = backbone(key, 256 if key in HRNETS else 224)
    names = [BACKBONES[key].torch_name(path) for path in layers(variables)]
    assert None not in names and len(set(names)) == len(names)
    assert BACKBONES[key].torch_name("head") is None and BACKBONES[key].weights


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (
            "hrnet_w32",
            {  # kernels as PyTorch has them: out, in, height, width
                "conv1": (64, 3, 3, 3),
                "bn2": None,
                "layer1.0.conv1": (64, 64, 1, 1),
                "layer1.0.downsample.0": (256, 64, 1, 1),
                "layer1.0.downsample.1": None,
                "layer1.3.conv3": (256, 64, 1, 1),
                "transition1.0.0": (32, 256, 3, 3),
                "transition1.0.1": None,
                "transition1.1.0.0": (64, 256, 3, 3),
                "transition2.2.0.0": (128, 64, 3, 3),
                "transition3.3.0.1": None,
                "stage2.0.branches.0.0.conv1": (32, 32, 3, 3),
                "stage2.0.branches.1.3.bn2": None,
                "stage2.0.fuse_layers.0.1.0": (32, 64, 1, 1),
                "stage2.0.fuse_layers.0.1.1": None,
                "stage2.0.fuse_layers.1.0.0.0": (64, 32, 3, 3),
                "stage3.3.fuse_layers.1.2.0": (64, 128, 1, 1),
                "stage4.2.fuse_layers.3.0.0.0": (32, 32, 3, 3),
                "stage4.2.fuse_layers.3.0.1.1": None,
                "stage4.2.fuse_layers.3.0.2.0": (256, 32, 3, 3),
                "stage4.2.fuse_layers.3.1.1.0": (256, 64, 3, 3),
            },
        ),
        (
            "mobilenetv3_large",
            {
                "features.0.0": (16, 3, 3, 3),
                "features.0.1": None,
                "features.1.block.0.0": (16, 1, 3, 3),
                "features.1.block.1.0": (16, 16, 1, 1),
                "features.2.block.1.0": (64, 1, 3, 3),
                "features.4.block.2.fc1": (24, 72),
                "features.4.block.3.0": (40, 72, 1, 1),
                "features.7.block.2.1": None,
                "features.15.block.2.fc2": (960, 240),
                "features.16.0": (960, 160, 1, 1),
            },
        ),
        (
            "mobilenetv3_small",
            {
                "features.1.block.0.0": (16, 1, 3, 3),
                "features.1.block.1.fc1": (8, 16),
                "features.1.block.2.0": (16, 16, 1, 1),
                "features.4.block.1.0": (96, 1, 5, 5),
                "features.9.block.2.fc2": (288, 72),
                "features.12.0": (576, 96, 1, 1),
            },
        ),
    ],
)
def test_torch_names(key, names):
    variables, _ = backbone(key, 256 if key in HRNETS else 224)
    found = {
        BACKBONES[key].torch_name(path): kernel and (*kernel[:-3:-1], *kernel[:-2])
        for path, kernel in layers(variables).items()
    }
    assert {name: found.get(name, "missing") for name in names} == names


def normalise(x, variables, *path, epsilon=1e-5):
    params, stats = variables["params"], variables["batch_stats"]
    for name in path:
        params, stats = params[name], stats[name]
    x = (x - stats["mean"]) / np.sqrt(stats["var"] + epsilon)
    return x * params["scale"] + params["bias"]


def convolve(x, kernel, stride=1):
    """(H, W, C) by (k, k, C, D) with PyTorch's padding, window by window."""
    half = kernel.shape[0] // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    side = x.shape[0]
    return np.stack(
        [
            [
                np.tensordot(padded[r : r + 2 * half + 1, c : c + 2 * half + 1], kernel, 3)
                for c in range(0, side, stride)
            ]
            for r in range(0, side, stride)
        ]
    )


@pytest.mark.heavy
def test_fusion_of_three_branches_by_hand():
    rng = np.random.default_rng(5)
    shapes = ((8, 8, 2), (4, 4, 3), (2, 2, 4))
    branches = [rng.uniform(0, 1, shape).astype(np.float32) for shape in shapes]
    module = FusionModule()
    inputs = [b[None] for b in branches]
    variables = drawn(module, inputs, -1.0, 1.0)
    variables["batch_stats"] = jax.tree.map(abs, variables["batch_stats"])
    params = variables["params"]
    for name, block in params.items():
        if name.startswith("branch"):  # the blocks pass on what is positive
            params[name] = jax.tree.map(np.zeros_like, block)

    def layer(x, name, stride=1):
        return normalise(convolve(x, params[name]["kernel"], stride), variables, f"{name}_bn")

    def up(x, times):
        size = x.shape[1] * times, x.shape[0] * times
        return cv2.resize(np.ascontiguousarray(x), size, interpolation=cv2.INTER_LINEAR)

    a, b, c = branches
    below = np.maximum(layer(a, "to3_from1_step1", 2), 0)
    expected = [
        a + up(layer(b, "to1_from2"), 2) + up(layer(c, "to1_from3"), 4),
        layer(a, "to2_from1_step1", 2) + b + up(layer(c, "to2_from3"), 2),
        layer(below, "to3_from1_step2", 2) + layer(b, "to3_from2_step1", 2) + c,
    ]
    found = module.apply(variables, inputs, train=False)
    for one, other in zip(found, expected, strict=True):
        assert (other > 0).any() and (other < 0).any()
        np.testing.assert_allclose(one[0], np.maximum(other, 0), rtol=1e-4, atol=1e-4)


def test_head_sees_all_branches_at_the_finest_size():
    """A coarse pixel is spread with half-pixel centres: 1/4, 3/4 beside it."""
    fine, coarse = jnp.zeros((1, 4, 4, 1)), jnp.array([[0.0, 4.0]] * 2)[None, ..., None]
    head = HRNetHead(1)
    variables = drawn(head, [fine, coarse])
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    params["conv"]["kernel"] = jnp.eye(2)[None, None]
    params["bn"]["scale"] = jnp.full(2, np.sqrt(1 + 1e-5))
    params["maps"]["kernel"] = jnp.array([10.0, 1.0]).reshape(1, 1, 2, 1)
    stats = {"bn": {"mean": jnp.zeros(2), "var": jnp.ones(2)}}
    found = head.apply(
        {"params": params, "batch_stats": stats}, [fine.at[:, 0, 0].set(1), coarse], train=False
    )
    rows = np.tile([0.0, 1, 3, 4], (4, 1))
    rows[0, 0] += 10
    np.testing.assert_allclose(found[0, ..., 0], rows, rtol=1e-5, atol=1e-5)


def squeeze_excite(x, params):
    y = np.maximum(x.mean((0, 1)) @ params["fc1"]["kernel"] + params["fc1"]["bias"], 0)
    y = y @ params["fc2"]["kernel"] + params["fc2"]["bias"]
    return x * np.clip((y + 3) / 6, 0, 1)


@pytest.mark.parametrize(("channels", "squeezed"), [(16, 8), (72, 24), (144, 40), (672, 168)])
def test_squeezed_channels(channels, squeezed):
    x = jax.ShapeDtypeStruct((1, 2, 2, channels), jnp.float32)
    variables = jax.eval_shape(SqueezeExcite().init, jax.random.key(0), x)
    assert variables["params"]["fc1"]["kernel"].shape == (channels, squeezed)


@pytest.mark.parametrize(
    "row",
    [
        Row(
            kernel=5, inputs=4, expanded=6, outputs=4, squeeze=True, nonlinearity="HS", stride=1
        ),  # with the shortcut
        Row(kernel=3, inputs=4, expanded=6, outputs=4, squeeze=False, nonlinearity="RE", stride=2),
        Row(
            kernel=3, inputs=4, expanded=4, outputs=5, squeeze=True, nonlinearity="RE", stride=1
        ),  # nothing to expand
    ],
    ids=["shortcut", "stride", "narrow"],
)
def test_inverted_residual_by_hand(row):
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, (6, 6, row.inputs)).astype(np.float32)
    module = InvertedResidual(row)
    variables = drawn(module, x[None], -1.0, 1.0)
    variables["batch_stats"] = jax.tree.map(abs, variables["batch_stats"])
    params = variables["params"]
    assert ("expand" in params) == (row.expanded != row.inputs)
    assert ("squeeze" in params) == row.squeeze

    def activate(y):
        gate = np.clip((y + 3) / 6, 0, 1) if row.nonlinearity == "HS" else y > 0
        return y * gate

    def norm(y, name):
        return normalise(y, variables, name, "bn", epsilon=1e-3)

    y = x
    if "expand" in params:
        y = activate(norm(convolve(y, params["expand"]["conv"]["kernel"]), "expand"))
    depthwise = params["depthwise"]["conv"]["kernel"]  # (k, k, 1, C): each channel by itself
    full = depthwise * np.eye(row.expanded)
    y = activate(norm(convolve(y, full, row.stride), "depthwise"))
    if row.squeeze:
        y = squeeze_excite(y, params["squeeze"])
    y = norm(convolve(y, params["project"]["conv"]["kernel"]), "project")
    if row.stride == 1 and row.inputs == row.outputs:
        y = x + y
    found = module.apply(variables, x[None], train=False)[0]
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4)
