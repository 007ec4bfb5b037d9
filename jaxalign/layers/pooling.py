"""Maps of half the size, plain or without aliasing, and of twice the size, NHWC.

Zhang, "Making convolutional networks shift-invariant again", ICML 2019. By slices: on CPUs the
gradient of nn.max_pool takes long. What jax.jit wraps is known by its name where a program is
converted (to_onnx.OPERATIONS).
"""

from functools import partial, reduce
from math import comb
from operator import add

import jax
import jax.numpy as jnp


def every(step: int, x, axis: int, first: int = 0, end: int | None = None):
    """Every `step`th pixel of an axis, in [first, end).

    As lax.slice: of a batch of any size, x[:, ::2] becomes a gather, which ONNX Runtime is slow at.
    """
    return jax.lax.slice_in_dim(x, first, end, step, axis)


@jax.custom_jvp
def larger(a, b):
    """jnp.maximum(a, b), whose gradient goes to `a` where both are alike.

    JAX's own compares both with their maximum. If XLA computes one of them anew, and rounds it
    otherwise, neither equals it, and the gradient is lost.
    """
    return jnp.maximum(a, b)


@larger.defjvp
def _(values, tangents):
    return larger(*values), jnp.where(values[0] >= values[1], *tangents)


@jax.jit
def average_pool(x):
    """(B, h, w, C), even sides -> (B, h/2, w/2, C): means of 2x2 pixels."""
    for axis in (1, 2):
        x = every(2, x, axis) + every(2, x, axis, 1)
    return x / 4


@jax.jit
def max_pool(x):
    """(B, h, w, C), even sides -> (B, h/2, w/2, C): maxima of 2x2 pixels."""
    for axis in (1, 2):
        x = larger(every(2, x, axis), every(2, x, axis, 1))
    return x


@jax.jit
def overlapping_max_pool(x):
    """(B, h, w, C), even sides -> (B, h/2, w/2, C): of 3x3 pixels around the upper left of 2x2."""
    for axis in (1, 2):
        first, second = every(2, x, axis), every(2, x, axis, 1)
        x = larger(first, second)
        # at the border the first pixel once more
        before = [every(1, y, axis, 0, n) for y, n in ((first, 1), (second, -1))]
        x = larger(x, jnp.concatenate(before, axis))
    return x


@jax.jit
def upsample(x):
    """(B, h, w, C) -> (B, 2h, 2w, C), nearest."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


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
        parts = (every(2, x, axis, i, i + length) for i in range(size))
        x = reduce(add, (tap * part for tap, part in zip(taps, parts, strict=True)))
    return x


def anti_aliased_max_pool(x, size: int):
    """(B, h, w, C), even sides -> (B, h/2, w/2, C): 2x2 maxima at every pixel, then blur_pool."""
    x = larger(x[:, 1:], x[:, :-1])
    return blur_pool(larger(x[:, :, 1:], x[:, :, :-1]), size)


def down_sampling(pool: str, blur: int):
    """The function that halves the sides, plain or anti-aliased by `blur` taps (0: plain).

    `pool` is average or max. As in Zhang's recipe, blur_pool replaces average pooling, and follows
    maxima of stride 1.
    """
    if not blur:
        return {"average": average_pool, "max": max_pool}[pool]
    return partial({"average": blur_pool, "max": anti_aliased_max_pool}[pool], size=blur)
