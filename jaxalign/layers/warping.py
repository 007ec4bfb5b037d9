"""Similarity transforms of shapes and warps of maps, on the device, in full float32.

Matrices are (B, 2, 3) and take points of one frame to another, as in geometry.
"""

import jax.numpy as jnp


def similarity(source, target):
    """The turn, zoom and shift that takes source points nearest to the target in the least squares.

    Points (B, K, 2), (K, 2) -> (B, 2, 3).
    """
    centre, aim = source.mean(1), target.mean(0)
    x, y = jnp.moveaxis(source - centre[:, None], -1, 0)
    u, v = (target - aim[None]).T[:, None]
    squared = jnp.maximum((x**2 + y**2).sum(1), 1e-6)
    a, b = (x * u + y * v).sum(1) / squared, (x * v - y * u).sum(1) / squared
    linear = jnp.stack([jnp.stack([a, -b], -1), jnp.stack([b, a], -1)], 1)
    return jnp.concatenate([linear, (aim[None] - _rotate(linear, centre))[..., None]], -1)


def invert(matrix):
    """The inverse of a similarity transform; one of no extent gives zeros."""
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
    """(..., 2, 2), (..., 2) -> (..., 2), by elements.

    Accelerators round the factors of matrix products.
    """
    return (linear * vectors[..., None, :]).sum(-1)


def warp(maps, matrix):
    """Maps in another frame, bilinear, zeros outside.

    (B, h, w, C) maps, matrix from the new frame to theirs -> (B, h, w, C) in the new frame.
    """
    batch, height, width, _ = maps.shape
    y, x = jnp.mgrid[:height, :width]
    grid = jnp.broadcast_to(jnp.stack([x, y], -1).astype(jnp.float32), (batch, height, width, 2))
    places = transform(matrix, grid)
    return bilinear(maps, places[..., 0], places[..., 1]).astype(maps.dtype)


def bilinear(maps, x, y):
    """Maps (B, h, w, C) at places x and y, bilinear, zeros outside.

    The places have shapes (B, ...) that broadcast -> (B, ..., C), float32.
    """
    batch, height, width, _ = maps.shape
    face, sampled = jnp.arange(batch).reshape(batch, *[1] * (x.ndim - 1)), jnp.float32(0)
    for row, of_row in _neighbours(y, height):
        for column, of_column in _neighbours(x, width):
            found = maps[face, row, column].astype(jnp.float32)
            sampled += (of_row * of_column)[..., None] * found
    return sampled


def _neighbours(places, length):
    """The pixels below and above each place, and their weights: 0 where there is no such pixel."""
    low = jnp.floor(places)
    for pixel in (low, low + 1):
        within = (pixel >= 0) & (pixel < length)
        weight = jnp.where(within, 1 - abs(places - pixel), 0)
        yield jnp.clip(pixel, 0, length - 1).astype(int), weight
