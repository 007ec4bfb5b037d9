"""Inference: crops, photos and videos in, points out."""

from jaxalign.prediction.aligner import Aligner, load
from jaxalign.prediction.face import Face, to_pandas


__all__ = ["Aligner", "Face", "load", "to_pandas"]
