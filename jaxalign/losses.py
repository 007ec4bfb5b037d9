"""Losses. Each returns one value per point (B, K) or per face (B,); `weighted_mean` reduces."""

import jax
import jax.numpy as jnp


def weighted_mean(values, weights, axis=None):
    """Mean of `values` under `weights` of the same shape; 0 where all weights are 0."""
    total = weights.sum(axis)
    return (values * weights).sum(axis) / jnp.where(total > 0, total, 1)


def mse_maps(predicted, target, weights=1.0):
    """(B, h, w, K) maps or (B, w, K) vectors -> (B, K): mean of weights x squared error."""
    errors = weights * jnp.square(predicted.astype(jnp.float32) - target)
    return errors.mean(tuple(range(1, errors.ndim - 1)))


def cross_entropy_maps(logits, target):
    """Cross-entropy of softmax(logits) over the pixels with the target maps summed to 1.

    (B, h, w, K) -> (B, K). A target of zeros (its point is far outside) gives 0.
    """
    log_prob = jax.nn.log_softmax(logits.astype(jnp.float32), (1, 2))
    total = target.sum((1, 2))
    return -(target * log_prob).sum((1, 2)) / jnp.where(total > 0, total, 1)


def wing(predicted, target, width: float, curvature: float):
    """Wing loss (Feng et al., 2018, Eq. 5), summed over x and y: (B, K, 2) -> (B, K).

    width * ln(1 + |d| / curvature) for |d| < width, |d| - C beyond; in the points' own unit.
    """
    distance = abs(predicted - target)
    offset = width - width * jnp.log1p(width / curvature)
    small = width * jnp.log1p(distance / curvature)
    return jnp.where(distance < width, small, distance - offset).sum(-1)
