"""A system at work: crops in, points out; of every face of a source, or as the Aligner needs."""

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
    """A system's `predict` compiled for this host's devices.

    `flip_test` averages the points with those of the mirrored crop, mirrored back.
    """

    def __init__(self, system: System, flip_test: bool = False):
        self.system = system
        self.call = parallel.prediction(_with_flip(system) if flip_test else system.predict)

    def __call__(
        self, variables: dict, images: np.ndarray, real: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, S, S, 3) uint8 crops, B a multiple of the devices -> points (B, K, 2), scores (B, K).

        Points in crop pixels, numpy. `real`: which rows are faces; the others fill the batch.
        Errors: InputError where a number of a face is not finite.
        """
        points, scores = self.call(variables, images)
        check_finite(points[real], scores[real])
        return points, scores


class Trained:
    """A system with its variables on this host's devices: an Aligner's network (looks.Network)."""

    def __init__(self, system: System, variables: dict):
        self.variables = parallel.replicate(variables, local=True)
        self.devices = parallel.local_devices()
        self.together = self.devices if jax.default_backend() == "cpu" else 32
        self._predictor = Predictor(system)

    def __call__(self, images: np.ndarray, faces: int) -> tuple[np.ndarray, np.ndarray]:
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
    threads: int = 2,
    progress: bool = False,
    refine: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """All faces of `source`, in its order: points (N, K, 2) in pixels of the photos, scores (N, K).

    Every host predicts all that it is given, so that none waits for another; a face's result does
    not depend on the batch it stands in.

    Where the system takes crops of several sizes, each face is cropped at the one that fits it, and
    batched with those of its size. `refine`: how often faces are looked at again, see next_squares.
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
