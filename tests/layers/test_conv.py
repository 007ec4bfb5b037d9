"""Convolutions in their quick forms are nn.Conv, parameters, gradients and all."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign.layers.conv import Pointwise, as_written, convolution, convolve


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


@pytest.mark.parametrize(
    ("shape", "stride", "dtype", "loops"),
    [
        ((3, 30, 24, 5, 7), 1, jnp.float32, 1),  # the kernel's gradient
        ((3, 30, 24, 5, 7), 1, jnp.bfloat16, 1),
        ((2, 40, 42, 48, 50), 1, jnp.float32, 3),
        ((2, 40, 42, 5, 50), 1, jnp.bfloat16, 2),  # not the input's gradient
        ((3, 30, 24, 5, 7), 2, jnp.float32, 1),
        ((3, 25, 27, 5, 7), 2, jnp.bfloat16, 1),
        ((1, 4, 6, 3, 2), 1, jnp.float32, 0),
        ((1, 12, 24, 3, 2), 2, jnp.float32, 0),
    ],
)
def test_gradients_of_three_by_three_kernels_are_those_of_xla(shape, stride, dtype, loops):
    batch, height, width, channels, features = shape
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, height, width, channels), dtype)
    kernel = jax.random.normal(keys[1], (3, 3, channels, features), dtype)
    output = batch, -(-height // stride), -(-width // stride), features
    weight = jax.random.normal(keys[2], output, dtype)

    def xla(x, kernel):
        dimensions, border = ("NHWC", "HWIO", "NHWC"), ((1, 1), (1, 1))
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), border, dimension_numbers=dimensions
        )

    ours_of = partial(convolve, stride=stride)
    ours, theirs = (
        jax.grad(lambda x, k, one=one: jnp.sum(weight * one(x, k) ** 2), argnums=(0, 1))(x, kernel)
        for one in (ours_of, xla)
    )
    step = jax.value_and_grad(lambda x, k: jnp.sum(weight * ours_of(x, k)), argnums=(0, 1))
    text = jax.jit(step).lower(x, kernel).as_text()
    assert text.count("stablehlo.while") == loops  # over images
    rounding = 1e-5 if dtype == jnp.float32 else 0.02
    for mine, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert mine.dtype == reference.dtype
        difference = jnp.abs(mine - reference).max() / jnp.abs(reference).max()
        assert difference < rounding


def test_which_convolutions_take_the_quick_gradient():
    x = jnp.zeros((1, 12, 12, 4))

    def quick(x, **settings):
        module = convolution(4, (3, 3), **settings)
        variables = module.init(jax.random.key(0), x)
        grad = jax.make_jaxpr(jax.grad(lambda v: module.apply(v, x).sum()))(variables)
        return "platform_index" in str(grad)

    assert quick(x) and quick(x, padding=1, use_bias=False)
    assert not quick(x, padding=0) and not quick(x, padding=1, feature_group_count=4)
    assert not quick(x[:, :8])
    twice = jnp.zeros((1, 24, 24, 4))
    assert quick(twice, padding=1, strides=2) and not quick(x, padding=1, strides=2)
    assert not quick(x, kernel_dilation=2) and not quick(x, precision="highest")
    assert not quick(twice, strides=2)  # SAME has its zeros on one side


@pytest.mark.parametrize(
    ("side", "channels", "quick"), [(40, 48, True), (39, 48, False), (40, 8, False)]
)
def test_prediction_takes_the_quick_form_unless_it_is_read(side, channels, quick):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side, 4)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 4, channels)).astype(np.float32)
    traced = str(jax.make_jaxpr(convolve)(x, kernel))
    assert ("dot_general" in traced) == quick
    with as_written(True):
        assert "dot_general" not in str(jax.make_jaxpr(convolve)(x, kernel))
        assert "platform_index" not in str(
            jax.make_jaxpr(jax.grad(lambda kernel: convolve(x, kernel).sum()))(kernel)
        )
        plain = convolve(x, kernel)
    np.testing.assert_allclose(jax.jit(convolve)(x, kernel), plain, atol=1e-4)
