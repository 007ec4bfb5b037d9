"""Square crops out of large pictures, differentiable in their places, NHWC.

A spatial transformer (Jaderberg et al., NIPS 2015) on a mip map (Williams, SIGGRAPH 1983). A square
is its centre x, y and its side, in pixels of the picture, as in geometry; its sample i of R lies at
centre + (i + 1/2 - R/2) side / R.
"""

from functools import reduce
from operator import add

import jax.numpy as jnp

from jaxalign.layers.pooling import every
from jaxalign.layers.warping import bilinear


def pyramid(images, least: int):
    """(B, S, S, 3) uint8 -> the same with sides S, S/2, ..., `least`: rounded means of 2x2 pixels.

    All of them are uint8, together 4/3 of the picture's bytes: 64 MiB for a face of 4096 pixels.
    """
    levels = [jnp.asarray(images)]
    while levels[-1].shape[1] >= 2 * least:
        rows = (every(2, levels[-1], 1, y) for y in (0, 1))
        corners = (every(2, row, 2, x) for row in rows for x in (0, 1))
        total = reduce(add, (corner.astype(jnp.uint16) for corner in corners))
        odd = (total >> 2) & 1  # halves go to the even neighbour, so that no level is brighter
        levels.append(((total + 1 + odd) >> 2).astype(jnp.uint8))
    return levels


def sample_squares(levels, squares, size: int):
    """Squares (B, n, 3) of each picture -> (B, n, size, size, C), float32.

    `levels`: (B, S, S, C), (B, S/2, S/2, C), .... The level whose pixels are as large as the
    sample's is read, bilinearly; between two levels, a blend of both by log2(side / size). Zeros
    outside the picture. Gradients reach the squares and, if they are floats, the levels.
    """
    centre, side = squares[..., :2], squares[..., 2]
    wanted = jnp.clip(jnp.log2(side / size), 0, len(levels) - 1)
    steps = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size - 0.5
    places = centre[..., None, :] + steps[None, None, :, None] * side[..., None, None]
    sampled = jnp.float32(0)
    for level, values in enumerate(levels):
        share = jnp.maximum(1 - abs(wanted - level), 0)
        own = (places + 0.5) / 2**level - 0.5  # (B, n, size, 2)
        seen = bilinear(values, own[:, :, None, :, 0], own[..., None, 1])
        sampled += share[..., None, None, None] * seen
    return sampled


def from_square(points, square, size: int):
    """(B, K, 2) pixels of the sample of a square (B, 3) -> pixels of the picture."""
    centre, side = square[:, None, :2], square[:, None, 2:]
    return centre + ((points + 0.5) / size - 0.5) * side


def to_square(points, square, size: int):
    """The inverse of from_square."""
    centre, side = square[:, None, :2], square[:, None, 2:]
    return ((points - centre) / side + 0.5) * size - 0.5
