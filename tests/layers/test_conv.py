"""Convolutions in their quick forms are nn.Conv, parameters, gradients and all."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import export as jax_export

from jaxalign.layers import winograd
from jaxalign.layers.conv import (
    Pointwise,
    as_written,
    convolution,
    convolve,
    dense,
    depthwise,
    product,
)


def arrays(batch, height, width, channels, features, dtype=jnp.float32):
    """Photos, a kernel, and the gradient of the output."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, height, width, channels), dtype)
    kernel = jax.random.normal(keys[1], (3, 3, channels, features), dtype)
    return x, kernel, jax.random.normal(keys[2], (batch, height, width, features), dtype)


def differences(ours, theirs):
    """The largest difference of each array, through the largest value."""
    assert [one.dtype for one in ours] == [other.dtype for other in theirs]
    return [
        float(jnp.abs(one - other).max() / jnp.abs(other).max())
        for one, other in zip(ours, theirs, strict=True)
    ]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_one_pixel_kernels_give_what_conv_gives(strides, use_bias):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 8, 6)).astype(np.float32)  # 5: an odd side keeps its last pixel
    settings = {"strides": strides, "use_bias": use_bias}
    ours, theirs = convolution(4, (1, 1), padding=0, **settings), nn.Conv(4, (1, 1), **settings)
    assert isinstance(ours, Pointwise)
    key = jax.random.key(0)
    variables = theirs.init(key, x)
    if use_bias:
        variables["params"]["bias"] += 0.5
    assert jax.tree.map(jnp.shape, ours.init(key, x)) == jax.tree.map(jnp.shape, variables)

    def value(module, variables, x):
        y = module.apply(variables, x)
        return (y * jnp.arange(y.size).reshape(y.shape)).sum(), y

    found = jax.grad(lambda *a: value(ours, *a), (0, 1), has_aux=True)(variables, x)
    wanted = jax.grad(lambda *a: value(theirs, *a), (0, 1), has_aux=True)(variables, x)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_is_that_of_linen(use_bias):
    x = jax.random.normal(jax.random.key(1), (2, 3, 4, 5))
    ours, theirs = (one(6, use_bias=use_bias) for one in (dense, nn.Dense))
    variables = theirs.init(jax.random.key(0), x)
    assert all(
        jax.tree.leaves(jax.tree.map(jnp.array_equal, ours.init(jax.random.key(0), x), variables))
    )

    def gradients(module):
        def loss(variables, x):
            return (module.apply(variables, x) ** 2).sum()

        return jax.tree.leaves(jax.grad(loss, (0, 1))(variables, x))

    assert max(differences(gradients(ours), gradients(theirs))) < 1e-5


def test_the_kernels_gradient_is_a_product_of_the_input():
    """XLA transposes a product's first factor: not the gradient, which it would compute anew."""
    x, kernel = jnp.zeros((2, 3, 4, 5)), jnp.zeros((5, 6))
    gradient = jax.grad(lambda kernel: jnp.sin(product(x, kernel)).sum())
    text = jax.jit(gradient).lower(kernel).as_text()
    (factors,) = re.findall(r"dot_general.*\((tensor<\S+>, tensor<\S+>)\) -> tensor<5x6xf32>", text)
    assert factors == "tensor<5x24xf32>, tensor<24x6xf32>"


def test_precision_and_start_are_those_of_conv():
    x = jnp.ones((1, 4, 4, 6))
    ours = convolution(4, (1, 1), dtype=jnp.bfloat16)
    theirs = nn.Conv(4, (1, 1), dtype=jnp.bfloat16)
    variables = ours.init(jax.random.key(3), x)
    assert variables["params"]["kernel"].dtype == jnp.float32
    assert ours.apply(variables, x).dtype == jnp.bfloat16
    same = theirs.init(jax.random.key(3), x)
    assert all(jax.tree.leaves(jax.tree.map(jnp.array_equal, variables, same)))


def test_other_kernels_and_groups_are_convolutions():
    assert isinstance(convolution(4, (3, 3), padding=1), nn.Conv)
    assert isinstance(convolution(4, (1, 1), feature_group_count=2), nn.Conv)


def xla(x, kernel):
    dimensions, border = ("NHWC", "HWIO", "NHWC"), ((1, 1), (1, 1))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), border, dimension_numbers=dimensions)


@pytest.mark.parametrize(
    ("shape", "dtype", "products"),
    [
        ((2, 10, 11, 48, 50), jnp.float32, 1),  # the kernel's gradient
        ((16, 14, 14, 194, 192), jnp.float32, 3),
        ((2, 10, 11, 48, 50), jnp.bfloat16, 0),
        ((1, 10, 11, 48, 50), jnp.float32, 0),  # too few pixels
        ((2, 30, 24, 47, 50), jnp.float32, 0),  # too few channels
    ],
)
def test_gradients_of_three_by_three_kernels_are_those_of_xla(shape, dtype, products):
    x, kernel, weight = arrays(*shape, dtype)
    ours, theirs = (
        jax.grad(lambda x, k, one=one: jnp.sum(weight * one(x, k) ** 2), argnums=(0, 1))
        for one in (convolve, xla)
    )
    text = jax.jit(ours).lower(x, kernel).as_text()
    assert len(re.findall(r"call @(convolve|kernel_gradient)", text)) == products
    rounding = 1e-5 if dtype == jnp.float32 else 0.02
    assert max(differences(ours(x, kernel), theirs(x, kernel))) < rounding


def test_which_convolutions_have_a_gradient_of_their_own():
    x = jnp.zeros((1, 16, 16, 48))

    def own(**settings):
        module = convolution(48, (3, 3), **settings)
        variables = module.init(jax.random.key(0), x)
        grad = jax.make_jaxpr(jax.grad(lambda v: module.apply(v, x).sum()))(variables)
        return "platform_index" in str(grad)

    assert own() and own(padding=1, use_bias=False)
    assert own(padding=1, strides=2, feature_group_count=48)
    assert not own(padding=0) and not own(padding=1, feature_group_count=24)
    assert not own(padding=1, strides=2) and not own(padding=0, feature_group_count=48)
    assert not own(kernel_dilation=2) and not own(precision="highest")


@pytest.mark.parametrize(
    ("channels", "features", "side", "stride", "dtype"),
    [
        (6, 6, 3, 1, jnp.float32),
        (6, 6, 5, 2, jnp.float32),
        (6, 6, 3, 2, jnp.bfloat16),
        (12, 6, 3, 1, jnp.float32),  # a group is of two channels
    ],
)
def test_groups_of_one_channel_are_those_of_conv(channels, features, side, stride, dtype):
    x = jax.random.normal(jax.random.key(0), (2, 9, 12, channels))  # 9: an odd side
    settings = {"strides": stride, "padding": side // 2, "feature_group_count": features}
    ours, theirs = (
        one(features, (side, side), dtype=dtype, **settings) for one in (convolution, nn.Conv)
    )
    variables = theirs.init(jax.random.key(1), x)
    own = ours.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, variables)

    def both(module):
        def value(variables, x):
            y = module.apply(variables, x)
            return (jnp.arange(y.size).reshape(y.shape) * y.astype(jnp.float32)).sum(), y

        (_, y), slopes = jax.value_and_grad(value, (0, 1), has_aux=True)(variables, x)
        return jax.tree.leaves((y, slopes))

    rounding = 1e-5 if dtype == jnp.float32 else 1e-9  # of bfloat16 XLA's own is taken
    assert max(differences(both(ours), both(theirs))) < rounding


@pytest.mark.parametrize(("read", "quick"), [(False, True), (True, False)])
def test_groups_of_one_channel_are_sums_unless_they_are_read(read, quick):
    x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 1, 4))
    with as_written(read):
        traced = jax.make_jaxpr(jax.grad(lambda kernel: depthwise(x, kernel, 2).sum()))(kernel)
    assert ("platform_index" in str(traced)) == quick


@pytest.mark.parametrize(("batch", "quick"), [(16, True), (15, False)])
def test_prediction_takes_the_quick_form_unless_it_is_read(batch, quick):
    x, kernel, _ = arrays(batch, 14, 14, 192, 196)
    traced = str(jax.make_jaxpr(convolve)(x, kernel))
    assert ("dot_general" in traced) == quick
    with as_written(True):
        assert "dot_general" not in str(jax.make_jaxpr(convolve)(x, kernel))
        assert "platform_index" not in str(
            jax.make_jaxpr(jax.grad(lambda kernel: convolve(x, kernel).sum()))(kernel)
        )


@pytest.mark.parametrize(
    ("shape", "together"),
    [
        ((3, 13, 18, 5, 7), 3),
        ((24, 24, 21, 2, 3), 12),  # 16 would fit, but leave some over
        ((2, 101, 100, 2, 3), 1),  # none fits
        ((1, 1, 2, 1, 1), 1),
    ],
)
def test_winograd_gives_the_plain_sums(shape, together):
    x, kernel, gradient = arrays(*shape)
    wanted = xla(x, kernel), jax.vjp(lambda k: xla(x, k), kernel)[1](gradient)[0]
    found = winograd.convolve(x, kernel), winograd.kernel_gradient(x, gradient)
    assert max(differences(found, wanted)) < 2e-5
    text = winograd.convolve.lower(x, kernel).as_text()
    assert text.count("stablehlo.while") == (together < shape[0])
    tiles = together * -(-shape[1] // 4) * -(-shape[2] // 4)
    assert f"tensor<36x{tiles}x{shape[3]}xf32>" in text


def test_a_program_for_any_number_of_photos_is_right_for_each():
    x, kernel, _ = arrays(3, 14, 14, 192, 192)
    (faces,) = jax_export.symbolic_shape("faces")
    any_number = jax.ShapeDtypeStruct((faces, *x.shape[1:]), x.dtype)
    for form in (convolve, winograd.convolve):
        made = jax_export.export(jax.jit(form))(any_number, kernel)
        np.testing.assert_allclose(made.call(x, kernel), xla(x, kernel), atol=1e-2)
    made = jax_export.export(jax.jit(partial(depthwise, stride=2)))(any_number, kernel[:, :, :1])
    np.testing.assert_array_equal(made.call(x, kernel[:, :, :1]), depthwise(x, kernel[:, :, :1], 2))
