"""Losses. Each returns one value per point (B, K) or per face (B,); `weighted_mean` reduces them.

Heatmap systems choose their landmark loss from LOSSES by the name in `criterion`.
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
    """Weighted mean; 0 where all weights are 0.

    Args:
        values: Any shape.
        weights: The same shape as `values`, 0 or more.
        axis: Axes to reduce; None reduces all of them.

    Returns:
        The shape of `values` without the reduced axes.
    """
    total = weights.sum(axis)
    return (values * weights).sum(axis) / jnp.where(total > 0, total, 1)


def mse_maps(
    predicted: Float[Given, "B *place K"],
    target: Float[Given, "B *place K"],
    weights: Num[Given, "B *place K"] | float = 1.0,
) -> Float[Array, "B K"]:
    """Mean squared error of maps or vectors, weighted by pixel.

    Args:
        predicted: (B, h, w, K) maps or (B, n, K) vectors.
        target: The same shape as `predicted`.
        weights: One factor per pixel, the same shape, or one number.

    Returns:
        (B, K) float32, the mean of weights x squared error over the pixels.

    Example:
        >>> import numpy as np
        >>> mse_maps(np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1))).tolist()
        [[1.0]]
    """
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
    """Adaptive Wing loss of maps (Wang et al., ICCV 2019).

    omega ln(1 + (d / epsilon)^(alpha - y)) at distance d < theta from the target y; beyond theta,
    the straight line that continues it with the same value and slope.

    Args:
        predicted: (B, h, w, K) maps.
        target: (B, h, w, K) target maps, 0 to 1. The loss is computed in their precision.
        weights: One factor per pixel, (B, h, w, K), or one number.
        alpha: Sets the exponent alpha - y; above 2, or the slope at a distance of 0 is not 0 at the
            highest target, 1.
        omega: Factor of the loss.
        epsilon: Scale of the distance.
        theta: Distance at which the straight line begins.

    Returns:
        (B, K), the mean of weights x loss over the pixels.
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
    """Focal factor of each face by its attributes (PropagationNet, Eq. 2 and 3).

    sigma_c = N / (faces of the batch with attribute c), or 1 if there are none. The factor is the
    mean over c. The paper takes the sum; with the mean, a face without attributes keeps the factor
    1.

    Args:
        attributes: (B, C), 0 or 1.
        weight: (B,), 1 for faces and 0 for padding rows.
        reading: One of FOCAL. `per_sample`: sigma_c if the face has c, else 1. `literal`, as
            printed: sigma_c for every face. `masked`: sigma_c if the face has c or no face has it,
            else 0.
        axis: Device axis to count the faces over; None counts those of this device.

    Returns:
        (B,), the factor of each face.
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
    """Cross-entropy between softmax(logits) over the pixels and target maps scaled to sum 1.

    Args:
        logits: (B, h, w, K).
        target: (B, h, w, K), 0 or more.

    Returns:
        (B, K) float32; 0 for a target of zeros, as for a point far outside the crop.
    """
    log_prob = jax.nn.log_softmax(logits.astype(jnp.float32), (1, 2))
    total = target.sum((1, 2))
    return -(target * log_prob).sum((1, 2)) / jnp.where(total > 0, total, 1)


def cross_entropy_pixels(
    logits: Float[Given, "B h w C"], classes: Int[Given, "B h w"]
) -> Float[Array, " B"]:
    """Mean over pixels of the cross-entropy of each pixel's softmax over the classes.

    Args:
        logits: (B, h, w, C).
        classes: (B, h, w) integers, 0 to C - 1.

    Returns:
        (B,) float32.
    """
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
    """Wing loss of points, summed over x and y (Feng et al., 2018, Eq. 5).

    width * ln(1 + |d| / curvature) for |d| < width, |d| - C beyond.

    Args:
        predicted: (B, K, 2) points, any unit.
        target: (B, K, 2) points, the same unit.
        width: |d| at which the loss becomes linear, in that unit.
        curvature: Scale of the logarithm, in that unit.

    Returns:
        (B, K), in that unit.
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
    """STAR loss of maps read by their mean (Zhou et al., CVPR 2023, Eq. 4 to 6).

    The error of the mean place is split along the two axes of the predicted distribution. Each
    distance (smooth L1) is divided by the standard deviation along its axis. The unit is half a
    map's side, as in the released code. That code takes the rows of a matrix for eigenvectors,
    which are its columns; here the axes are the eigenvectors. No gradient passes through their
    direction: a round distribution has none.

    Args:
        logits: (B, h, w, K); their softmax over the map is the distribution of a point's place.
        points: (B, K, 2) true points, map pixels.
        restriction: Factor of the sum of the variances, which keeps the distribution narrow.
        scale: Distance below which the smooth L1 is quadratic, in half sides of the map.
        least: Added to each variance, as in the released code.

    Returns:
        (B, K) float32.
    """
    _, height, width, _ = logits.shape
    share = jax.nn.softmax(logits.astype(jnp.float32), (1, 2))

    def spread(share, side):
        """Shares (B, side, K) -> their mean place (B, K), and all places from it (B, side, K)."""
        place = (2 * jnp.arange(side, dtype=jnp.float32) / (side - 1) - 1)[None, :, None]
        mean = (share * place).sum(1)
        return mean, place - mean[:, None]

    (mean_x, dx), (mean_y, dy) = spread(share.sum(1), width), spread(share.sum(2), height)
    samples = _at_least(least, 1 - jnp.square(share).sum((1, 2)))  # makes variances unbiased
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
        return smooth / jnp.sqrt(_at_least(0, variance) + least)

    first = weighed(cos * error_x + sin * error_y, along)
    second = weighed(cos * error_y - sin * error_x, across)
    return first + second + restriction * (xx + yy)


def _at_least(least, x):
    """The larger of both; its gradient does not compare it with them (layers.pooling.larger)."""
    return jnp.where(x < least, least, x)


class Label(NamedTuple):
    """What landmark maps are compared with.

    Attributes:
        points: (B, K, 2), map pixels; None for maps that do not belong to points.
        maps: (B, h, w, K), a Gaussian around each point, peak 1.
        weights: One factor per pixel, (B, h, w, K), or one number.
    """

    points: Float[Given, "B K 2"] | None
    maps: Float[Given, "B h w K"]
    weights: Num[Given, "B h w K"] | float = 1.0


@dataclass(frozen=True)
class MapLoss:
    """A loss of landmark maps.

    Attributes:
        call: `call(maps, label)` gives (B, K); `label` is a Label.
        logits: True: the maps are logits of a point's place, read by the mean under their softmax.
            False: they are heights, read by the system's decoder.
        maps: Whether it compares with the label's maps, or with its points alone.
    """

    call: Callable[..., Array]
    logits: bool = False
    maps: bool = True


# A further loss is one function and one entry.
LOSSES: dict[str, MapLoss] = {
    "mse": MapLoss(lambda maps, label: mse_maps(maps, label.maps, label.weights)),
    "awing": MapLoss(
        lambda maps, label, **shape: adaptive_wing(maps, label.maps, label.weights, **shape)
    ),
    "cross_entropy": MapLoss(lambda maps, label: cross_entropy_maps(maps, label.maps), logits=True),
    "star": MapLoss(lambda maps, label: star(maps, label.points), logits=True, maps=False),
}


def idle_decoder(criterion: str) -> dict[str, str]:
    """The idle setting `decoder` of a system whose loss makes logits.

    Args:
        criterion: A name in LOSSES.

    Returns:
        {"decoder": reason} if the loss makes logits, else {}; as `Settings.idle` has it.
    """
    why = f"criterion={criterion} makes logits, which are read by their mean"
    return {"decoder": why} if LOSSES[criterion].logits else {}


def idle_maps(criterion: str, *settings: str) -> dict[str, str]:
    """The settings of target maps, idle where the loss takes none.

    Args:
        criterion: A name in LOSSES.
        *settings: What shapes the maps, such as "sigma".

    Returns:
        Each with the reason if the loss compares with points alone, else {}; as `Settings.idle` has
            it.
    """
    why = f"criterion={criterion} compares with points, not with maps"
    return {} if LOSSES[criterion].maps else dict.fromkeys(settings, why)
