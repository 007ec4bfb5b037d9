"""An ONNX model of jaxalign export, run by ONNX Runtime: without JAX."""

import importlib
from pathlib import Path

import numpy as np

from jaxalign import scheme_files
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.prediction.looks import check_finite
from jaxalign.schemes import SCHEMES, Scheme
from jaxalign.texts import from_json


SUFFIX = ".onnx"
KEY = "jaxalign"  # the metadata's entry that holds the header, JSON


class OnnxModel:
    """An Aligner's network (looks.Network), and what its header says of it. Runs on CPUs."""

    devices = 1
    together = 1

    def __init__(self, path: Path | str):
        """Read the model and its header.

        Args:
            path: A file of jaxalign export.

        Raises:
            InputError: The file is missing or no such model, or ONNX Runtime is not installed.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: no such file; jaxalign export --out NAME{SUFFIX} writes one")
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError:
            raise InputError(f"{path}: needs ONNX Runtime; pip install onnxruntime") from None
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of a type for each fault
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path}: no model that ONNX Runtime reads ({reason}); export it again"
            ) from None
        texts = self._session.get_modelmeta().custom_metadata_map
        try:
            about = from_json(texts[KEY])
            if scheme := about.get("recipe", {}).get("scheme"):  # one of a user's own
                scheme_files.register(scheme_files.made(scheme), str(path))
            self.points: Scheme = SCHEMES[about["scheme"]]
            self.size = int(about["size"])
            rule = BoxRule(about["enlarge"], about["down"])
            self.crop = Crop(landmarks=rule, centroid=about["centroid"])
            self.low_score = float(about["low_score"])
            self.note = str(about["note"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: its metadata {KEY!r} does not say how to crop faces for it "
                f"({type(error).__name__}: {error}); give a file of jaxalign export"
            ) from None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the crops that it takes."""
        return (self.size,)

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the points of crops, whatever numbers come out.

        Args:
            images: (B, S, S, 3) uint8 RGB.

        Returns:
            Points (B, K, 2) in pixels of the crops, and scores (B, K).
        """
        points, scores = self._session.run(["points", "scores"], {"images": images})
        return points, scores

    def __call__(self, images: np.ndarray, faces: int) -> tuple[np.ndarray, np.ndarray]:
        """As looks.Network says.

        Args:
            images: (B, S, S, 3) uint8 RGB crops.
            faces: How many of them, the first ones, are faces.

        Returns:
            Points (faces, K, 2) in pixels of the crops, and scores (faces, K).

        Raises:
            InputError: A number of a face is not finite.
        """
        points, scores = self.predict(images[:faces])
        check_finite(points, scores)
        return points, scores
