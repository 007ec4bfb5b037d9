"""Batch norm has the numbers of Flax's, over all devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxalign.layers.norm import AXIS, batch_norm


SHARDS = 2


def linens(train, name, dtype, affine, momentum):
    return nn.BatchNorm(
        not train, momentum=1 - momentum, dtype=dtype, use_scale=affine, use_bias=affine,
        axis_name=AXIS if train else None, name=name,
    )  # fmt: skip


class Normed(nn.Module):
    make: Callable
    dtype: Any
    affine: bool

    @nn.compact
    def __call__(self, x, train):
        return self.make(train, "bn", dtype=self.dtype, affine=self.affine, momentum=0.3)(x)


def of_shards(make, dtype, affine, variables, x, train):
    """Outputs, new statistics, and the gradients of variables and inputs, shard by shard."""
    network = Normed(make, dtype, affine)

    def loss(params, x):
        given = {"params": params, "batch_stats": variables["batch_stats"]}
        y, after = network.apply(given, x, train, mutable=["batch_stats"])
        return jnp.sin(y.astype(jnp.float32)).sum(), (y, after)

    gradients = jax.grad(loss, argnums=(0, 1), has_aux=True)
    each = jax.vmap(gradients, in_axes=(None, 0), axis_name=AXIS)
    return jax.jit(each)(variables.get("params", {}), x)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (7, 6)])
def test_it_is_linens(shape, train, affine, dtype):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(1, 2, (SHARDS, *shape)), dtype)
    start = Normed(batch_norm, dtype, affine).init(jax.random.key(0), x[0], False)
    theirs = Normed(linens, dtype, affine).init(jax.random.key(0), x[0], False)
    jax.tree.map(np.testing.assert_array_equal, start, theirs)
    variables = jax.tree.map(lambda v: v + rng.uniform(0, 1, v.shape).astype(np.float32), start)
    own, linen = (
        of_shards(make, dtype, affine, variables, x, train) for make in (batch_norm, linens)
    )
    assert jax.tree.map(lambda v: v.dtype, own) == jax.tree.map(lambda v: v.dtype, linen)
    rounding = 1e-5 if dtype == jnp.float32 else 2e-2
    for found, wanted in zip(jax.tree.leaves(own), jax.tree.leaves(linen), strict=True):
        found, wanted = (np.asarray(v, np.float32) for v in (found, wanted))
        np.testing.assert_allclose(found, wanted, atol=rounding * max(1, np.abs(wanted).max()))


def test_statistics_are_not_moved_by_an_initialisation():
    x = np.ones((2, 3), np.float32)
    network = Normed(batch_norm, jnp.float32, True)
    variables = network.init(jax.random.key(0), x, True)  # outside of any axis
    np.testing.assert_array_equal(variables["batch_stats"]["bn"]["mean"], np.zeros(3))


def test_even_channels_have_no_variance_below_zero():
    x = np.full((SHARDS, 64, 1), 1234.567, np.float32)
    network = Normed(batch_norm, jnp.float32, True)
    variables = network.init(jax.random.key(0), x[0], False)
    apply = jax.vmap(
        lambda x: network.apply(variables, x, True, mutable=["batch_stats"]), axis_name=AXIS
    )
    y, after = apply(x)
    assert np.isfinite(y).all()
    assert jax.tree.leaves(after)[1].min() >= 0.7  # the variances: 0.7 of 1 at least
