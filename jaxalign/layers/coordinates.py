"""CoordConv (Liu et al., NeurIPS 2018): features with the coordinates of their pixels, NHWC."""

import jax.numpy as jnp
import numpy as np


def coordinates(height: int, width: int) -> np.ndarray:
    """Coordinates of the pixels of a map.

    Args:
        height: Pixels.
        width: Pixels.

    Returns:
        (height, width, 3), x and y from -1 to 1, and the distance from the centre, at most 1.
    """
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    radius = np.hypot(x, y)
    return np.stack([x, y, radius / radius.max()], -1)


def with_coordinates(x, boundary=None):
    """Features with the coordinates of their pixels as further channels.

    Args:
        x: (B, h, w, C).
        boundary: (B, h, w, 1), a predicted boundary map, or None. It adds two channels: x and y
            where the boundary is above 0.05, 0 elsewhere (AWing, Wang et al., ICCV 2019).

    Returns:
        (B, h, w, C + 3), or C + 5 with a boundary map.
    """
    batch, height, width, _ = x.shape
    grid = jnp.asarray(coordinates(height, width), x.dtype)
    grid = jnp.broadcast_to(grid, (batch, height, width, 3))
    parts = [x, grid]
    if boundary is not None:
        parts.append(jnp.where(boundary > 0.05, grid[..., :2], 0))
    return jnp.concatenate(parts, -1)
