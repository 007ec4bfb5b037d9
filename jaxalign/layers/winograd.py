"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3).

Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. Tiles of 6 x 6
pixels give 4 x 4 outputs each. Tiles and kernel are transformed to 36 values; the products of both
are 36 matrix products over all tiles, and are transformed back. In float32 the results are those of
the plain sum within 2e-5 of the largest.
"""

from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


SIDE = 4  # outputs of a tile along an axis

# The paper's B^T, G and A^T: for pixels, for the weights of a kernel, and back to outputs.
OF_PIXELS = np.array(
    [[4, 0, -5, 0, 1, 0],
     [0, -4, -4, 1, 1, 0],
     [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0],
     [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]]
)  # fmt: skip
OF_WEIGHTS = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
) / 24  # fmt: skip
TO_OUTPUTS = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)

TILES = 600  # of the images that are taken at a time, so that their values stay in the cache


@jax.jit
def convolve(x, kernel):
    """The convolution with a border of one zero.

    Args:
        x: (B, h, w, C).
        kernel: (3, 3, C, D).

    Returns:
        (B, h, w, D).
    """
    batch, height, width, channels = x.shape
    outputs = kernel.shape[-1]
    tiles = -(-height // SIDE), -(-width // SIDE)
    weights = _both(OF_WEIGHTS, kernel).reshape(-1, channels, outputs)

    def some(x):
        sums = jnp.matmul(_transformed(OF_PIXELS, x, tiles), weights)
        y = _both(TO_OUTPUTS, sums.reshape(6, 6, -1)).reshape(SIDE, SIDE, -1, *tiles, outputs)
        return y.transpose(2, 3, 0, 4, 1, 5).reshape(-1, SIDE * tiles[0], SIDE * tiles[1], outputs)

    parts = _parts(_filled(x, tiles, 1), tiles)
    y = lax.map(some, parts) if parts.shape[0] != 1 else some(parts[0])
    return y.reshape(batch, *y.shape[-3:])[:, :height, :width]


@jax.jit
def kernel_gradient(x, gradient):
    """The gradient of `convolve`'s kernel.

    Args:
        x: (B, h, w, C).
        gradient: Of the output, (B, h, w, D).

    Returns:
        (3, 3, C, D), the sums in float32.
    """
    tiles = -(-x.shape[1] // SIDE), -(-x.shape[2] // SIDE)

    def some(x, gradient):
        pixels = _transformed(OF_PIXELS, x, tiles)
        outputs = _transformed(TO_OUTPUTS.T, gradient, tiles)
        return jnp.matmul(pixels.swapaxes(1, 2), outputs, preferred_element_type=jnp.float32)

    parts = _parts(_filled(x, tiles, 1), tiles), _parts(_filled(gradient, tiles, 0), tiles)
    if parts[0].shape[0] == 1:
        total = some(parts[0][0], parts[1][0])
    else:
        zero = jnp.zeros((36, x.shape[-1], gradient.shape[-1]), jnp.float32)
        total = lax.scan(lambda total, pair: (total + some(*pair), None), zero, parts)[0]
    return _both(OF_WEIGHTS.T, total.reshape(6, 6, *total.shape[1:])).astype(x.dtype)


def _filled(x, tiles, border):
    """Zeros around x: the border, and what the last tiles lack."""
    rest = [SIDE * n - side for n, side in zip(tiles, x.shape[1:3], strict=True)]
    return jnp.pad(x, ((0, 0), *((border, border + more) for more in rest), (0, 0)))


def _parts(x, tiles):
    """(B, ...) -> (B / n, n, ...): n images at a time."""
    batch = x.shape[0]
    if not isinstance(batch, int):  # a program for batches of any size
        return x[:, None]
    fits = max(1, TILES // (tiles[0] * tiles[1]))
    images = max(n for n in range(1, min(fits, batch) + 1) if batch % n == 0)
    return x.reshape(batch // images, images, *x.shape[1:])


def _transformed(matrix, x, tiles):
    """(n, h, w, C) -> (36, n * tiles, C): every tile, by the matrix along both axes."""
    for axis, count in ((1, tiles[0]), (3, tiles[1])):
        last = SIDE * (count - 1) + 1
        pixels = range(matrix.shape[1])
        x = _combined(matrix, [lax.slice_in_dim(x, i, i + last, SIDE, axis) for i in pixels])
    return x.reshape(36, -1, x.shape[-1])


def _both(matrix, x):
    """(k, k, ...) -> (m, m, ...): by the matrix along the first two axes, which change places."""
    for axis in (0, 1):
        pieces = [lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]
        x = _combined(matrix, pieces)
    return x


def _combined(matrix, parts):
    """(m, ...): the sums of the k parts that the rows of the matrix weigh; (m, k)."""
    weighed = ([float(f) * part for f, part in zip(row, parts, strict=True) if f] for row in matrix)
    return jnp.stack([reduce(add, row) for row in weighed])
