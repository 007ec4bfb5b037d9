"""Batch normalisation with the house's settings."""

from flax import linen as nn


AXIS = "batch"  # the device axis over which training statistics are taken (parallel.py)


def batch_norm(
    train: bool, name: str, dtype=None, epsilon: float = 1e-5, affine: bool = True
) -> nn.BatchNorm:
    """BatchNorm with PyTorch's momentum (0.1 there is 0.9 here); synchronised over devices.
    `affine`: with a trained scale and offset."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=epsilon,
        dtype=dtype,
        use_scale=affine,
        use_bias=affine,
        axis_name=AXIS if train else None,
        name=name,
    )
