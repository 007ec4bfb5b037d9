"""Inference: crops, photos and videos in, points out."""

from jaxalign.prediction.aligner import Aligner, Face, load


__all__ = ["Aligner", "Face", "load"]
