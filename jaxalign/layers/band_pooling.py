"""The Band Pooling Module: heatmaps to a pair of vectors (Xiong et al., ACCV 2020, Section 3.3)."""

from functools import reduce
from operator import add

import jax.numpy as jnp

from jaxalign.layers.conv import zeros_around


def band_pool(maps, bands: tuple[int, ...], alpha: float = 0.5):
    """Maps (B, h, w, K) -> x (B, w, K) and y (B, h, K), float32; no parameters.

    Element i of x is the mean of the maps over a vertical band of odd width l around column i, of
    y over a horizontal one around row i (Eq. 4); zeros outside, always divided by h l. Two
    bandwidths are mixed, alpha of the first and 1 - alpha of the second (Eq. 5). As a band runs
    over the whole map, its mean is a moving average of the columns' means.
    """
    shares = (alpha, 1 - alpha) if len(bands) == 2 else (1.0,)
    reach = max(bands) // 2
    weights = [
        sum(share / band for share, band in zip(shares, bands, strict=True) if offset <= band // 2)
        for offset in map(abs, range(-reach, reach + 1))
    ]

    def slide(means):
        padded = zeros_around(means, reach, (1,))
        length = means.shape[1]
        moved = (weight * padded[:, i : i + length] for i, weight in enumerate(weights))
        return reduce(add, moved)

    maps = maps.astype(jnp.float32)
    return slide(maps.mean(1)), slide(maps.mean(2))
