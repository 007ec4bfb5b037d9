"""Chains of residual blocks are computed once, and not anew in each layer that reads them."""

import re

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxalign.backbones.hrnet import FusionModule
from jaxalign.backbones.light import ResidualBlock


MAP = jnp.zeros((1, 8, 8, 4))
LINKS = [
    (lambda name: ResidualBlock(4, name=name), MAP),
    (lambda name: FusionModule(name=name), [MAP, jnp.zeros((1, 4, 4, 8))]),
]


class Chain(nn.Module):
    count: int

    @nn.compact
    def __call__(self, x, link):
        for i in range(self.count):
            x = link(f"link{i}")(x, train=False)
        return x


def lowered(count, link, x, gradients, **settings):
    chain = Chain(count)
    variables = jax.eval_shape(lambda: chain.init(jax.random.key(0), x, link))

    def energy(variables, x):
        found = chain.apply(variables, x, link)
        return sum((one**2).sum() for one in jax.tree.leaves(found))

    work = jax.grad(energy) if gradients else energy
    return jax.jit(work).trace(variables, x).lower(**settings)


@pytest.mark.parametrize(("link", "x"), LINKS)
@pytest.mark.parametrize("gradients", [False, True])
def test_on_cpus(link, x, gradients):
    """XLA's largest loop reads as many arrays, however long the chain is."""
    reads = []
    for count in (3, 4):
        program = lowered(count, link, x, gradients).compile().as_text()
        loops = re.findall("^%fused_computation.*?^}", program, re.MULTILINE | re.DOTALL)
        reads.append(max(loop.count(" parameter(") for loop in loops))
    assert reads[0] == reads[1]


@pytest.mark.parametrize(("link", "x"), LINKS)
def test_programs_for_gpus_are_without_borders(link, x):
    assert "inlineable" in lowered(1, link, x, False).as_text()
    assert "inlineable" not in lowered(1, link, x, False, lowering_platforms=("cuda",)).as_text()
