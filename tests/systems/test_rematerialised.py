"""Hourglasses whose insides are computed again for the gradients: less is kept, numbers stay."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.layers.norm import AXIS
from jaxalign.systems import hourglass, propagationnet, tab
from tests.helpers import slow


SMALL = {"scheme": "ibug68", "size": 64, "channels": 8}
SYSTEMS = {
    "FAN": (hourglass.StackedHourglass(**SMALL, stacks=2), "network"),
    "PropagationNet": (propagationnet.PropagationNet(**SMALL, stacks=2), "network"),
    "TAB": (tab.TAB(**SMALL, stacks=2, stem="base", base_width=8), "scbe"),
}
IMAGE = jax.ShapeDtypeStruct((4, 64, 64, 3), jnp.float32)


def loss_of(system, part, variables):
    network = getattr(system, part)

    def loss(params, image):
        given = {**variables, "params": params}
        apply = partial(network.apply, given, train=True, mutable=["batch_stats"])
        outputs, _ = jax.vmap(apply, axis_name=AXIS)(image[None])
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(outputs))

    return loss


@pytest.mark.parametrize("name", slow.but(SYSTEMS, "TAB", "PropagationNet"))
def test_less_is_kept_for_the_gradients(name):
    plain, part = SYSTEMS[name]

    def kept(system):
        network = getattr(system, part)
        start = partial(network.init, train=False)
        variables = jax.eval_shape(start, jax.random.key(1), IMAGE)

        def residuals(variables, image):
            params = variables.pop("params")
            return jax.vjp(partial(loss_of(system, part, variables), image=image), params)[1]

        leaves = jax.tree.leaves(jax.eval_shape(residuals, variables, IMAGE))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves), variables

    (more, wanted), (less, found) = kept(plain), kept(replace(plain, remat=True))
    assert less < 0.8 * more
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, wanted)


def test_predictions_compute_nothing_again():
    """What predicts is the plain network: an export does arithmetic on its weights before."""
    plain = hourglass.StackedHourglass(**SMALL, stacks=1)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
    shapes = plain.shapes()
    wanted, found = (
        str(jax.make_jaxpr(system.predict)(shapes, image))
        for system in (plain, replace(plain, remat=True))
    )
    assert found == wanted


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["FAN", "PropagationNet"])
@pytest.mark.slow
def test_gradients_are_the_same(name):
    plain = replace(SYSTEMS[name][0], stacks=1)
    image = jax.random.normal(jax.random.key(0), IMAGE.shape)
    variables = plain.network.init(jax.random.key(1), image, False)
    params = jax.tree.map(lambda leaf: leaf + 0.01, variables["params"])  # attentions start even
    wanted, found = (
        jax.jit(jax.grad(loss_of(system, "network", variables)))(params, image)
        for system in (plain, replace(plain, remat=True))
    )
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * max(1, np.abs(other).max()))
