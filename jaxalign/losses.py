"""Losses. Each returns one value per point (B, K) or per face (B,); `weighted_mean` reduces.

LOSSES are those of landmark maps that every heatmap system takes by its `criterion`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num


Given = jax.Array | np.ndarray  # outside a traced function arrays of numpy do too


def weighted_mean(
    values: Float[Given, "*shape"],
    weights: Float[Given, "*shape"],
    axis: int | tuple[int, ...] | None = None,
) -> Float[Array, "..."]:
    """Mean of `values` under `weights` of the same shape; 0 where all weights are 0."""
    total = weights.sum(axis)
    return (values * weights).sum(axis) / jnp.where(total > 0, total, 1)


def mse_maps(
    predicted: Float[Given, "B *place K"],
    target: Float[Given, "B *place K"],
    weights: Num[Given, "B *place K"] | float = 1.0,
) -> Float[Array, "B K"]:
    """(B, h, w, K) maps or (B, w, K) vectors -> (B, K): mean of weights x squared error."""
    errors = weights * jnp.square(predicted.astype(jnp.float32) - target)
    return errors.mean(tuple(range(1, errors.ndim - 1)))


def adaptive_wing(
    predicted: Float[Given, "B h w K"],
    target: Float[Given, "B h w K"],
    weights: Num[Given, "B h w K"] | float = 1.0,
    *,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Float[Array, "B K"]:
    """Adaptive Wing loss (Wang et al., ICCV 2019): (B, h, w, K) maps -> (B, K), the mean of
    weights x loss; in the target's precision.

    omega ln(1 + (d / epsilon)^(alpha - y)) at distance d < theta from the target y in 0..1; beyond,
    the straight line that goes on with the same value and slope.
    """
    power = alpha - target
    distance = abs(predicted.astype(target.dtype) - target)
    knee = (theta / epsilon) ** power
    slope = omega * power * knee / ((1 + knee) * theta)
    line = omega * jnp.log1p(knee) + slope * (distance - theta)
    curve = omega * jnp.log1p((distance / epsilon) ** power)
    return (weights * jnp.where(distance < theta, curve, line)).mean((1, 2))


FOCAL = ("per_sample", "literal", "masked")


def focal_factor(
    attributes: Num[Given, "B C"], weight: Float[Given, " B"], reading: str, axis: str | None = None
) -> Float[Array, " B"]:
    """Focal factor of each face (PropagationNet, Eq. 2 and 3): attributes (B, C) of 0 and 1, weight
    (B,), 0 for padding rows -> (B,).

    sigma_c = N / (faces of the batch with attribute c), 1 where there is none; the batch is that of
    all devices of `axis`. The factor is the mean over c of, by `reading`, `per_sample`: sigma_c if
    the face has c, else 1; `literal`, as printed, the same for every face: sigma_c; `masked`:
    sigma_c if the face or no face has c, else 0. The paper takes the sum; by the mean, faces
    without attributes count as without the factor.
    """
    has = attributes.astype(weight.dtype)
    faces, having = weight.sum(), (weight[:, None] * has).sum(0)
    if axis is not None:
        faces, having = jax.lax.psum((faces, having), axis)
    sigma = jnp.where(having > 0, faces / jnp.where(having > 0, having, 1), 1)[None]
    if reading == "literal":
        return jnp.full_like(weight, sigma.mean())
    if reading == "masked":
        return jnp.where((has > 0) | (having == 0)[None], sigma, 0).mean(-1)
    return jnp.where(has > 0, sigma, 1).mean(-1)


def cross_entropy_maps(
    logits: Float[Given, "B h w K"], target: Float[Given, "B h w K"]
) -> Float[Array, "B K"]:
    """Cross-entropy of softmax(logits) over the pixels with the target maps summed to 1.

    (B, h, w, K) -> (B, K). A target of zeros (its point is far outside) gives 0.
    """
    log_prob = jax.nn.log_softmax(logits.astype(jnp.float32), (1, 2))
    total = target.sum((1, 2))
    return -(target * log_prob).sum((1, 2)) / jnp.where(total > 0, total, 1)


def cross_entropy_pixels(
    logits: Float[Given, "B h w C"], classes: Int[Given, "B h w"]
) -> Float[Array, " B"]:
    """(B, h, w, C) logits, (B, h, w) classes -> (B,): the mean over pixels of the cross-entropy of
    each pixel's softmax over the classes."""
    logits = logits.astype(jnp.float32)
    own = jnp.arange(logits.shape[-1]).reshape(1, 1, 1, -1) == classes[..., None]
    chosen = jnp.where(own, logits, 0).sum(-1)
    return (jax.nn.logsumexp(logits, -1) - chosen).mean((1, 2))


def wing(
    predicted: Float[Given, "B K 2"],
    target: Float[Given, "B K 2"],
    width: float,
    curvature: float,
) -> Float[Array, "B K"]:
    """Wing loss (Feng et al., 2018, Eq. 5), summed over x and y: (B, K, 2) -> (B, K).

    width * ln(1 + |d| / curvature) for |d| < width, |d| - C beyond; in the points' own unit.
    """
    distance = abs(predicted - target)
    offset = width - width * jnp.log1p(width / curvature)
    small = width * jnp.log1p(distance / curvature)
    return jnp.where(distance < width, small, distance - offset).sum(-1)


def star(
    logits: Float[Given, "B h w K"],
    points: Float[Given, "B K 2"],
    restriction: float = 1.0,
    scale: float = 0.01,
    least: float = 1e-5,
) -> Float[Array, "B K"]:
    """STAR loss (Zhou et al., CVPR 2023, Eq. 4 to 6): logits (B, h, w, K) of a point's place, true
    points (B, K, 2) in map pixels -> (B, K).

    The error of the mean place is taken along the two axes of the predicted distribution, each
    distance (smooth L1, quadratic below `scale`) divided by the deviation along it; `restriction`
    times the sum of the variances keeps the distribution from widening. Unit: half a map's side, as
    in the released code, with whose `least` variance. That code takes rows for eigenvectors, which
    stand in columns; here they are the axes. No gradient passes through their direction, which is
    undefined for a round distribution.
    """
    _, height, width, _ = logits.shape
    share = jax.nn.softmax(logits.astype(jnp.float32), (1, 2))

    def spread(share, side):
        """Shares (B, side, K) -> their mean place (B, K), and all places from it (B, side, K)."""
        place = (2 * jnp.arange(side, dtype=jnp.float32) / (side - 1) - 1)[None, :, None]
        mean = (share * place).sum(1)
        return mean, place - mean[:, None]

    (mean_x, dx), (mean_y, dy) = spread(share.sum(1), width), spread(share.sum(2), height)
    samples = jnp.maximum(1 - jnp.square(share).sum((1, 2)), least)  # makes variances unbiased
    xx = (share.sum(1) * dx * dx).sum(1) / samples
    yy = (share.sum(2) * dy * dy).sum(1) / samples
    precise = jax.lax.Precision.HIGHEST
    xy = jnp.einsum("bhwk,bhk,bwk->bk", share, dy, dx, precision=precise) / samples

    angle = jax.lax.stop_gradient(jnp.arctan2(2 * xy, xx - yy) / 2)  # of the longer axis
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    along = cos * cos * xx + 2 * cos * sin * xy + sin * sin * yy
    across = sin * sin * xx - 2 * cos * sin * xy + cos * cos * yy
    true_x, true_y = (2 * points[..., i] / (n - 1) - 1 for i, n in enumerate((width, height)))
    error_x, error_y = true_x - mean_x, true_y - mean_y

    def weighed(error, variance):
        distance = abs(error)
        smooth = jnp.where(distance < scale, error * error / (2 * scale), distance - scale / 2)
        return smooth / jnp.sqrt(jnp.maximum(variance, 0) + least)

    first = weighed(cos * error_x + sin * error_y, along)
    second = weighed(cos * error_y - sin * error_x, across)
    return first + second + restriction * (xx + yy)


class Label(NamedTuple):
    """What landmark maps (B, h, w, K) are held against."""

    points: Float[Given, "B K 2"] | None  # map pixels; None where the maps are of no points
    maps: Float[Given, "B h w K"]  # a Gaussian around each point, peak 1
    weights: Num[Given, "B h w K"] | float = 1.0  # of the pixels


@dataclass(frozen=True)
class MapLoss:
    """`call(maps, label)` -> (B, K). `logits`: the maps are those of a point's place, read by the
    mean under their softmax; else they are heights, read by the system's decoder."""

    call: Callable[..., Array]
    logits: bool = False


# A new loss is one function and one entry.
LOSSES: dict[str, MapLoss] = {
    "mse": MapLoss(lambda maps, label: mse_maps(maps, label.maps, label.weights)),
    "awing": MapLoss(
        lambda maps, label, **shape: adaptive_wing(maps, label.maps, label.weights, **shape)
    ),
    "cross_entropy": MapLoss(lambda maps, label: cross_entropy_maps(maps, label.maps), logits=True),
    "star": MapLoss(lambda maps, label: star(maps, label.points), logits=True),
}


def idle_decoder(criterion: str) -> dict[str, str]:
    """Of a system with a `decoder`: that it is idle, and why, where this loss makes logits."""
    why = f"criterion={criterion} makes logits, which are read by their mean"
    return {"decoder": why} if LOSSES[criterion].logits else {}
