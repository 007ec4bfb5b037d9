"""Maps to points, on the device: (B, h, w, K) -> points (B, K, 2) in map pixels, scores (B, K)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


Given = jax.Array | np.ndarray  # outside a traced function arrays of numpy do too
Maps = Float[Given, "B h w K"]
Found = tuple[Float[Array, "B K 2"], Float[Array, "B K"]]  # points, scores

# Full float32: accelerators otherwise round the factors to 8 or 11 bits, which moves points.
einsum = partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)


def argmax(maps: Maps, quarter: bool = True) -> Found:
    """Highest pixel of each map, moved a quarter pixel towards its higher neighbours.

    The quarter shift is applied if the peak is not on the border (Newell et al., 2016, as in HRNet
    and FAN).

    Args:
        maps: (B, h, w, K).
        quarter: Whether to shift.

    Returns:
        Points (B, K, 2), map pixels, and scores (B, K), the peaks' values clipped to 0..1.
    """
    _, height, width, _ = maps.shape
    at = partial(_at, maps)
    y = maps.max(2).argmax(1)  # the best row, then the best place in it: XLA does not vectorise
    x = jnp.take_along_axis(maps, y[:, None, None], 1)[:, 0].argmax(1)  # argmax over the whole

    position = jnp.stack([x, y], -1).astype(jnp.float32)
    if quarter:
        slope = jnp.stack([at(y, x + 1) - at(y, x - 1), at(y + 1, x) - at(y - 1, x)], -1)
        within = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
        position += 0.25 * jnp.where(within[..., None], jnp.sign(slope), 0)
    return position, jnp.clip(at(y, x), 0, 1)


def _at(maps, row, column):
    """The maps' values there, or at the border's nearest pixel: two (B, ..., K) -> (B, ..., K)."""
    batch, height, width, points = maps.shape
    face = jnp.expand_dims(jnp.arange(batch), range(1, row.ndim))
    point = jnp.expand_dims(jnp.arange(points), range(row.ndim - 1))
    return maps[face, jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1), point]


def soft_argmax(logits: Maps) -> Found:
    """Mean position under softmax(logits) over the map (Sun et al., 2018, "integral regression").

    Args:
        logits: (B, h, w, K).

    Returns:
        Points (B, K, 2), map pixels, and scores (B, K), the probability within one pixel of the
            mean on each axis, up to rounding to the grid. It is near 1 for a sharp peak and near 9
            / (h w) for a flat map.
    """
    _, height, width, _ = logits.shape
    logits = logits.astype(jnp.float32)
    peak = jax.lax.stop_gradient(logits.max((1, 2)))
    mass = jnp.exp(logits - peak[:, None, None])
    # by sums over rows and columns first: on CPUs the gradient takes half as long
    columns, rows = mass.sum(1), mass.sum(2)
    total = columns.sum(1)
    x = einsum("bwk,w->bk", columns, jnp.arange(width, dtype=jnp.float32)) / total
    y = einsum("bhk,h->bk", rows, jnp.arange(height, dtype=jnp.float32)) / total

    # Of the logits, which XLA then computes first: of `mass` alone, it would take the layers that
    # lead to the logits into the sums above, and their convolutions to YNNPACK (see parallel.OWN).
    reach = jnp.array([-1, 0, 1])
    row = jnp.round(y).astype(jnp.int32)[:, None, None] + reach[None, :, None, None]
    column = jnp.round(x).astype(jnp.int32)[:, None, None] + reach[None, None, :, None]
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    near = jnp.exp(_at(logits, row, column) - peak[:, None, None])
    share = jnp.where(within, near, 0).sum((1, 2)) / total
    return jnp.stack([x, y], -1), share


def local_soft_argmax(maps: Maps, radius: int = 4) -> Found:
    """Centre of mass of the positive part of the map near its argmax.

    It decodes maps trained as Gaussians to sub-pixel places. A window that cuts the Gaussian draws
    points to the argmax: a radius of 4 pixels is exact to 0.02 up to sigma 1.5.

    Args:
        maps: (B, h, w, K).
        radius: Half the window's side, map pixels.

    Returns:
        Points (B, K, 2), map pixels, and scores (B, K), as `argmax` has them.
    """
    position, score = argmax(maps, quarter=False)
    _, height, width, _ = maps.shape
    offset_x = jnp.arange(width)[None, :, None] - position[:, None, :, 0]  # (B, w, K)
    offset_y = jnp.arange(height)[None, :, None] - position[:, None, :, 1]
    window = (abs(offset_y) <= radius)[:, :, None] & (abs(offset_x) <= radius)[:, None]
    mass = jnp.where(window, jnp.maximum(maps, 0), 0)
    total = jnp.maximum(mass.sum((1, 2)), 1e-12)
    shift_x = einsum("bhwk,bwk->bk", mass, offset_x) / total
    shift_y = einsum("bhwk,bhk->bk", mass, offset_y) / total
    return position + jnp.stack([shift_x, shift_y], -1), score


DECODERS = {
    "quarter": argmax,
    "argmax": partial(argmax, quarter=False),
    "soft": local_soft_argmax,
}


def read(maps: Maps, decoder: str, logits: bool = False) -> Found:
    """Reads maps by a decoder, or logits by the mean under their softmax.

    Args:
        maps: (B, h, w, K); read in float32.
        decoder: A name in DECODERS.
        logits: The maps are logits; `decoder` is ignored.

    Returns:
        Points (B, K, 2), map pixels, and scores (B, K).

    Example:
        >>> from jaxalign import geometry, targets
        >>> truth = np.array([[[30.0, 41.5]]], np.float32)  # crop pixels
        >>> maps = targets.gaussian_maps(truth, stride=4, size=64, sigma=1.5)
        >>> points, scores = read(maps, "soft")
        >>> geometry.from_map(points, 4).round(1).tolist()
        [[[30.0, 41.5]]]
    """
    maps = maps.astype(jnp.float32)
    return soft_argmax(maps) if logits else DECODERS[decoder](maps)


def vectors(
    x: Float[Given, "B w K"],
    y: Float[Given, "B h K"],
    peak: float,
    tau: float = 0.0,
    sigma: float = 2.0,
) -> Found:
    """Points from pairs of vectors: Gaussian Vector's O(N) decoding.

    On each axis the argmax, moved by a quarter pixel towards the higher neighbour. A vector without
    a value above 0 is read as its middle.

    Args:
        x: (B, w, K).
        y: (B, h, K).
        peak: Height of a perfect maximum.
        tau: Above 0, turns on the Beyond Box Strategy (Eq. 7): a maximum at either end is the tail
            of tau exp(-d^2 / (2 sigma^2)), whose centre lies d outside. Tails count down to tau /
            1000 (d = 3.7 sigma).
        sigma: Width of the tails, map pixels.

    Returns:
        Points (B, K, 2), map pixels, and scores (B, K), the geometric mean of the two maxima over
            `peak`, clipped to 0..1; 0 if a vector has no value above 0.
    """
    (px, mx), (py, my) = (_peak(v, tau, sigma) for v in (x, y))
    return jnp.stack([px, py], -1), jnp.clip(jnp.sqrt(mx * my) / peak, 0, 1)


def _peak(vector, tau, sigma):
    """Position and value (B, K), at least 0, of the maximum of vectors (B, n, K); see `vectors`."""
    last, value = vector.shape[1] - 1, vector.max(1)
    places = jnp.arange(last + 1)[None, :, None]
    # the first as high as the maximum: on CPUs up to four times faster than argmax. Up to rounding:
    # where XLA computes the vector anew for the comparison, nothing may equal the maximum
    best = jnp.where(vector >= value[:, None] * (1 - 1e-6), places, last).min(1)

    def at(index):
        return jnp.take_along_axis(vector, jnp.clip(index, 0, last)[:, None], 1)[:, 0]

    within = (best > 0) & (best < last)
    slope = jnp.sign(at(best + 1) - at(best - 1))
    position = best + 0.25 * jnp.where(within, slope, 0)
    if tau:
        ratio = jnp.clip(value / tau, 1e-3, 1)
        beyond = sigma * jnp.sqrt(-2 * jnp.log(ratio))
        position += jnp.where(within, 0, jnp.where(best == 0, -beyond, beyond))
    return jnp.where(value <= 0, last / 2, position), jnp.maximum(value, 0)


def onto(points: Given, mean: Given) -> tuple[Any, Any, Any]:
    """Points centred, scaled and turned onto a shape.

    NumPy or JAX. The scale makes the root mean square distance from the centre 1.

    Args:
        points: (B, K, 2), any frame.
        mean: (K, 2), a shape about 0.

    Returns:
        The moved points (B, K, 2), their centres before (B, 1, 2), and the matrices (B, 2, 2) that
            the centred points, as rows, were multiplied by.
    """
    xp = jnp if isinstance(points, jax.Array) else np
    centre = points.mean(-2, keepdims=True)
    x, y = points[..., 0] - centre[..., 0], points[..., 1] - centre[..., 1]
    along = (x * mean[None, :, 0] + y * mean[None, :, 1]).sum(-1)
    across = (x * mean[None, :, 1] - y * mean[None, :, 0]).sum(-1)
    size = xp.sqrt((x**2 + y**2).mean(-1) * (along**2 + across**2))
    turn = xp.stack([xp.stack([along, across], -1), xp.stack([-across, along], -1)], -2)
    turn = turn / size[:, None, None]
    moved = ((points - centre)[..., None] * turn[:, None]).sum(-2)  # float32 on accelerators, too
    return moved, centre, turn


def likely(
    points: Float[Array, "B K 2"], modes: Float[Given, "M K 2"], noise: float
) -> Float[Array, "B K 2"]:
    """The most probable shapes for points that were found with errors.

    Shapes are normally distributed about their mean. Errors are normal and independent.

    Args:
        points: (B, K, 2), any frame.
        modes: (1 + M, K, 2), as `layers.facts.shape_modes` gives them: the mean, then the modes.
        noise: Standard deviation of the error of each coordinate, in units of the shape's root mean
            square distance from its centre.

    Returns:
        (B, K, 2), the frame of `points`.
    """
    mean, modes = modes[:1], modes[1:]
    seen, centre, turn = onto(points, mean[0])
    found = amounts(seen - mean, modes, noise)
    return back(mean + einsum("bm,mkd->bkd", found, modes), turn) + centre


def amounts(
    seen: Float[Array, "B K 2"], modes: Float[Given, "M K 2"], noise: float
) -> Float[Array, "B M"]:
    """The most probable amount of each mode in differences from the mean shape, as in `likely`.

    Args:
        seen: (B, K, 2), differences from the mean shape.
        modes: (M, K, 2), without the mean.
        noise: As `likely` takes it.

    Returns:
        (B, M).
    """
    variances = (modes**2).sum((1, 2))[None]
    return einsum("bkd,mkd->bm", seen, modes) / (variances + noise**2)


def back(shapes: Float[Given, "B K 2"], turn: Float[Array, "B 2 2"]) -> Float[Array, "B K 2"]:
    """Undoes the turn and scale of `onto`.

    Args:
        shapes: (B, K, 2), about 0, as `onto` turned them.
        turn: (B, 2, 2), as `onto` returned it.

    Returns:
        (B, K, 2), about 0, as they were before.
    """
    scale = turn[:, 0, 0] ** 2 + turn[:, 0, 1] ** 2
    return einsum("bkd,bed->bke", shapes, turn / scale[:, None, None])
