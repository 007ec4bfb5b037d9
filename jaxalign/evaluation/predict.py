"""Every face of a source through a system: crops in, points in photo pixels out."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from jaxalign import geometry, parallel
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.truth import truth_of
from jaxalign.pipeline import Crop, evaluation_batches
from jaxalign.systems.interface import System


class Predictor:
    """A system's `predict` compiled for this host's devices.

    `flip_test` averages the points with those of the mirrored crop, mirrored back.
    """

    def __init__(self, system: System, flip_test: bool = False):
        self.system = system
        self.call = parallel.prediction(_with_flip(system) if flip_test else system.predict)

    def __call__(self, variables: dict, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, S, S, 3) uint8 crops, B a multiple of the devices -> points (B, K, 2), scores (B, K).

        Points in crop pixels, numpy.
        """
        points, score = self.call(variables, parallel.split(images))
        return parallel.join(points), parallel.join(score)


def _with_flip(system):
    flip = list(system.points.flip)

    def predict(variables, images):
        points, score = system.predict(variables, images)
        mirrored, mirrored_score = system.predict(variables, images[:, :, ::-1])
        back = mirrored.at[..., 0].set(system.size - 1 - mirrored[..., 0])[:, flip]
        return (points + back) / 2, (score + mirrored_score[:, flip]) / 2

    return predict


def predict_source(
    predictor: Predictor,
    variables: dict,
    source: Sequence,
    crop: Crop,
    *,
    batch: int = 32,
    threads: int = 2,
    progress: bool = False,
) -> Results:
    """All faces of `source`, in its order. Every host predicts all of them, so no host waits for
    another; a face's result does not depend on the batch it stands in."""
    system = predictor.system
    devices = parallel.local_devices()
    batch = -(-batch // devices) * devices
    predicted, scores = [], []
    variables = parallel.replicate(variables, local=True)  # once, not for every batch
    batches = evaluation_batches(
        source, system.points, crop, system.size, batch=batch, threads=threads
    )
    shown = {"unit": "face", "desc": "predict", "disable": not progress, "leave": False}
    with tqdm(total=len(source), **shown) as bar:
        for rows in batches:
            points, score = predictor(variables, rows["image"])
            real = rows["weight"] > 0
            photo = geometry.transform(geometry.invert(rows["matrix"]), points.astype(np.float64))
            predicted.append(photo[real])
            scores.append(score[real])
            bar.update(int(real.sum()))
    truth = truth_of(source, "the source", system.points)
    return truth.with_predictions(np.concatenate(predicted), np.concatenate(scores))
