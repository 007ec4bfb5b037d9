"""Facial landmark detection in JAX and Flax."""

from pathlib import Path


__version__ = "0.1.0"

# The builders (datasets/) and recipes (configs/) are `jaxalign.datasets` and `jaxalign.configs`.
# pip puts them inside this package (pyproject.toml); in a checkout they stand beside it.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "datasets" / "faces.py").is_file():
    __path__.append(str(_checkout))


def load(path, which: str = "best", **options):
    """A trained checkpoint that finds points on photos: see jaxalign.prediction.load."""
    from jaxalign import prediction  # here, for it imports JAX

    return prediction.load(path, which, **options)
