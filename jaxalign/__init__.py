"""Facial landmark detection in JAX and Flax."""

__version__ = "0.1.0"


def load(path, which: str = "best", **options):
    """A trained checkpoint that finds points on photos: see jaxalign.prediction.load."""
    from jaxalign import prediction  # here, for it imports JAX

    return prediction.load(path, which, **options)
