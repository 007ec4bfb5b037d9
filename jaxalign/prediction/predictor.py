"""A system at work: crops in, points out, for the faces of a source or of an Aligner."""

from collections.abc import Sequence

import jax
import numpy as np
from tqdm import tqdm

from jaxalign import geometry, parallel
from jaxalign.pipeline import Crop, evaluation_batches
from jaxalign.prediction.looks import by_size, check_finite, fitting_batch, next_squares
from jaxalign.samples import Sample
from jaxalign.systems.interface import System


class Predictor:
    """A system's `predict`, compiled for the devices of this host."""

    def __init__(self, system: System, flip_test: bool = False):
        """Compile on the first call.

        Args:
            system: The system.
            flip_test: Averages the points with those of the mirrored crop, mirrored back.
        """
        self.system = system
        self.call = parallel.prediction(_with_flip(system) if flip_test else system.predict)

    def __call__(
        self, variables: dict, images: np.ndarray, real: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the points of crops.

        Args:
            variables: The system's variables.
            images: (B, S, S, 3) uint8 RGB. B is a multiple of the devices.
            real: The rows that are faces. The others fill the batch.

        Returns:
            Points (B, K, 2) in pixels of the crops, and scores (B, K), both numpy arrays.

        Raises:
            InputError: A number of a face is not finite.
        """
        points, scores = self.call(variables, images)
        check_finite(points[real], scores[real])
        return points, scores


class Trained:
    """A system with its variables on this host's devices: an Aligner's network (looks.Network)."""

    def __init__(self, system: System, variables: dict):
        """Put the variables on the devices.

        Args:
            system: The system.
            variables: Its variables.
        """
        self._predictor = Predictor(system)  # first: it sets how XLA computes
        self.variables = parallel.replicate(variables, local=True)
        self.devices = parallel.local_devices()
        self.together = self.devices if jax.default_backend() == "cpu" else 32

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
        points, scores = self._predictor(self.variables, images, slice(faces))
        return points[:faces], scores[:faces]


def _with_flip(system):
    flip = list(system.points.flip)

    def predict(variables, images):
        points, score = system.predict(variables, images)
        mirrored, mirrored_score = system.predict(variables, images[:, :, ::-1])
        back = mirrored.at[..., 0].set(images.shape[2] - 1 - mirrored[..., 0])[:, flip]
        return (points + back) / 2, (score + mirrored_score[:, flip]) / 2

    return predict


def predict_faces(
    predictor: Predictor,
    variables: dict,
    source: Sequence[Sample],
    crop: Crop,
    *,
    batch: int = 32,
    threads: int = 0,
    progress: bool = False,
    refine: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the points of all faces of a source.

    Each host predicts all faces that it is given, so that none waits for another. The result for a
    face does not depend on its batch. If the system takes crops of several sizes, each face is
    cropped at the size that fits it, and batched with faces of that size.

    Args:
        predictor: The system.
        variables: Its variables.
        source: The N faces.
        crop: Which square is cropped.
        batch: Crops at a time, as in `fitting_batch`.
        threads: Threads that read ahead, as in `pipeline.threads_of`.
        progress: Shows a progress bar.
        refine: How often faces are looked at again (see `next_squares`).

    Returns:
        Points (N, K, 2) in pixels of the photos, and scores (N, K), in the order of the source.
    """
    system = predictor.system
    predicted = np.zeros((len(source), system.points.num_points, 2))
    scores = np.zeros(predicted.shape[:2])
    variables = parallel.replicate(variables, local=True)  # once, not for every batch
    shown = {"unit": "face", "disable": not progress, "leave": False}

    def look(squares, name):
        with tqdm(total=len(squares), desc=name, **shown) as bar:
            for size, those in by_size(system.sizes, squares).items():
                devices = parallel.local_devices()
                together = fitting_batch(system.size, size, batch, len(those), devices)
                for rows in evaluation_batches(
                    source, system.points, crop, size, batch=together, threads=threads,
                    squares=those,
                ):  # fmt: skip
                    real = rows["weight"] > 0
                    points, score = predictor(variables, rows["image"], real)
                    points = points.astype(np.float64)
                    photo = geometry.transform(geometry.invert(rows["matrix"]), points)
                    predicted[rows["index"][real]] = photo[real]
                    scores[rows["index"][real]] = score[real]
                    bar.update(int(real.sum()))

    first = [crop.square(sample) for sample in source]
    look({face: (*square, 0.0) for face, square in enumerate(first)}, "predict")
    for _ in range(refine):
        look(next_squares(predicted, first, crop, system.points), "look again")
    return predicted, scores
