"""Facial landmark detection in JAX and Flax.

`jaxalign.load` reads a trained checkpoint and returns an `Aligner`, which finds the `Face`s of
images. The names below are imported on first use, so `import jaxalign` does not import JAX.

Examples:
    >>> import jaxalign
    >>> aligner = jaxalign.load()  # the weights that come with the package
    >>> image = jaxalign.photos.read("photo.jpg")
    >>> for face in aligner(image):
    ...     print(face.status, face.points.shape)
    ok (68, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING


__version__ = "0.1.0"
__all__ = ["Aligner", "Face", "drawing", "load", "photos", "schemes", "to_pandas"]


if TYPE_CHECKING:
    from jaxalign import drawing, photos, schemes
    from jaxalign.prediction import Aligner, Face, load, to_pandas
else:

    def __getattr__(name):
        if name in ("Aligner", "Face", "load", "to_pandas"):
            return getattr(import_module("jaxalign.prediction"), name)
        if name in ("drawing", "photos", "schemes"):
            return import_module(f"jaxalign.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
