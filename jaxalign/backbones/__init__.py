"""The backbones, one file a family; a new one adds one line here."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn


@dataclass(frozen=True)
class Backbone:
    """`make(dtype)` -> a module from normalised images to features; see its file for which.

    `torch_name` takes a module's path inside the backbone ("stage1_block1/conv1") to the layer's
    name in the published file that `weights` describes, or to None where the file has none.
    """

    make: Callable[[jnp.dtype], nn.Module]
    torch_name: Callable[[str], str | None] | None = None
    weights: str = ""


BACKBONES: dict[str, Backbone] = {}
