"""Pooling by halves, plain or without aliasing, NHWC.

Zhang, "Making convolutional networks shift-invariant again", ICML 2019.
"""

from functools import partial, reduce
from math import comb
from operator import add

import jax.numpy as jnp
from flax import linen as nn


def average_pool(x):
    """(B, h, w, C) -> (B, h/2, w/2, C)."""
    return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))


def max_pool(x):
    """(B, h, w, C) -> (B, h/2, w/2, C)."""
    return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))


def blur_pool(x, size: int):
    """(B, h, w, C) -> (B, ceil(h/2), ceil(w/2), C), blurred; no parameters.

    Every second pixel, after the binomial filter of `size` taps on both axes: [1 1]/2, [1 2 1]/4 or
    [1 4 6 4 1]/16. The border is reflected, (size - 1) // 2 pixels on the left and size // 2 on the
    right.
    """
    taps = [comb(size - 1, i) / 2 ** (size - 1) for i in range(size)]
    for axis in (1, 2):
        length, reach = x.shape[axis], [(0, 0)] * 4
        reach[axis] = (size - 1) // 2, size // 2
        x = jnp.pad(x, reach, "reflect")
        # sums of slices: on CPUs faster than a convolution of each channel by itself
        places = (slice(i, i + length, 2) for i in range(size))
        parts = (x[:, place] if axis == 1 else x[:, :, place] for place in places)
        x = reduce(add, (tap * part for tap, part in zip(taps, parts, strict=True)))
    return x


def anti_aliased_max_pool(x, size: int):
    """(B, h, w, C), even sides -> (B, h/2, w/2, C): 2x2 maxima at every pixel, then blur_pool."""
    # by slices: on CPUs the gradient of nn.max_pool with stride 1 takes longer than a convolution
    x = jnp.maximum(x[:, 1:], x[:, :-1])
    return blur_pool(jnp.maximum(x[:, :, 1:], x[:, :, :-1]), size)


def down_sampling(pool: str, blur: int):
    """The function that halves the sides, plain or anti-aliased by `blur` taps (0: plain).

    `pool` is average or max. As in Zhang's recipe, blur_pool replaces average pooling, and follows
    maxima of stride 1.
    """
    if not blur:
        return {"average": average_pool, "max": max_pool}[pool]
    return partial({"average": blur_pool, "max": anti_aliased_max_pool}[pool], size=blur)
