"""Batch normalisation with the house's settings."""

from flax import linen as nn


AXIS = "batch"  # the device axis over which training statistics are taken (parallel.py)


def batch_norm(
    train: bool,
    name: str,
    dtype=None,
    epsilon: float = 1e-5,
    affine: bool = True,
    momentum: float = 0.1,
) -> nn.BatchNorm:
    """BatchNorm, synchronised over devices.

    `affine`: with a trained scale and offset. `momentum` as PyTorch counts it, the share of the new
    batch's statistics: its 0.1 is Flax's 0.9.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=1 - momentum,
        epsilon=epsilon,
        dtype=dtype,
        use_scale=affine,
        use_bias=affine,
        axis_name=AXIS if train else None,
        name=name,
    )
