"""Similarity transforms of shapes and warps of maps, on the device, in full float32.

Matrices are (B, 2, 3) and take points of one frame to another, as in geometry.
"""

import jax.numpy as jnp


def similarity(source, target):
    """Points (B, K, 2), (K, 2) -> the turn, zoom and shift that takes source nearest to target in
    the least squares."""
    centre, aim = source.mean(1), target.mean(0)
    x, y = jnp.moveaxis(source - centre[:, None], -1, 0)
    u, v = (target - aim[None]).T[:, None]
    squared = jnp.maximum((x**2 + y**2).sum(1), 1e-6)
    a, b = (x * u + y * v).sum(1) / squared, (x * v - y * u).sum(1) / squared
    linear = jnp.stack([jnp.stack([a, -b], -1), jnp.stack([b, a], -1)], 1)
    return jnp.concatenate([linear, (aim[None] - _rotate(linear, centre))[..., None]], -1)


def invert(matrix):
    """The way back of a similarity transform; one of no extent gives zeros."""
    a, b = matrix[:, 0, 0], matrix[:, 1, 0]
    scale = jnp.maximum(a**2 + b**2, 1e-12)[:, None, None]
    linear = matrix[..., :2].swapaxes(1, 2) / scale
    return jnp.concatenate([linear, -_rotate(linear, matrix[..., 2])[..., None]], -1)


def transform(matrix, points):
    """(B, ..., 2) points of the matrix's first frame -> the same in its second."""
    axes = tuple(range(1, points.ndim - 1))
    linear, shift = matrix[..., :2], jnp.expand_dims(matrix[..., 2], axes)
    return _rotate(jnp.expand_dims(linear, axes), points) + shift


def _rotate(linear, vectors):
    """(..., 2, 2), (..., 2) -> (..., 2); by elements, for accelerators round the factors of
    matrix products."""
    return (linear * vectors[..., None, :]).sum(-1)


def warp(maps, matrix):
    """(B, h, w, C) maps, matrix from the new frame to theirs -> (B, h, w, C) in the new frame,
    bilinear, zeros outside."""
    batch, height, width, _ = maps.shape
    y, x = jnp.mgrid[:height, :width]
    grid = jnp.broadcast_to(jnp.stack([x, y], -1).astype(jnp.float32), (batch, height, width, 2))
    places = transform(matrix, grid)
    corner = jnp.floor(places)
    face, total = jnp.arange(batch)[:, None, None], 0
    for dy in (0, 1):
        for dx in (0, 1):
            at = corner + jnp.array([dx, dy]).reshape(1, 1, 1, 2)
            share = (1 - abs(places - at)).prod(-1)
            x, y = at[..., 0].astype(int), at[..., 1].astype(int)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            found = maps[face, jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
            total += jnp.where(inside, share, 0)[..., None].astype(maps.dtype) * found
    return total
