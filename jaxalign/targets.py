"""Points to training targets, on the device. Frames as in geometry; maps are (B, h, w, K)."""

import jax.numpy as jnp

from jaxalign import geometry


def inside(points, size: int):
    """(B, K, 2) crop pixels -> (B, K) bool: the point lies on the crop.

    A point that is not a number counts as inside: its loss must not be masked away.
    """
    return ~((points <= -0.5) | (points >= size - 0.5)).any(-1)


def gaussian_maps(points, stride: int, size: int, sigma: float, cut: float = 0.0):
    """Landmark maps: exp(-d^2 / (2 sigma^2)) around each point, peak 1 (Newell et al., 2016).

    points (B, K, 2) crop pixels -> (B, size/stride, size/stride, K); `sigma` in map pixels. The
    centre is the exact sub-pixel point. `cut` > 0 sets values beyond cut * sigma (per axis) to 0.
    """
    centre = geometry.to_map(points, stride)
    grid = jnp.arange(size // stride, dtype=points.dtype)
    dx = grid[None, :, None] - centre[:, None, :, 0]  # (B, w, K)
    dy = grid[None, :, None] - centre[:, None, :, 1]
    gx, gy = (jnp.exp(-(d**2) / (2 * sigma**2)) for d in (dx, dy))
    if cut:
        gx, gy = (jnp.where(abs(d) <= cut * sigma, g, 0) for d, g in ((dx, gx), (dy, gy)))
    return gy[:, :, None] * gx[:, None]
