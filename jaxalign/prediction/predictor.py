"""A system at work: crops in, points out; of every face of a source, or as the Aligner needs."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from jaxalign import geometry, parallel
from jaxalign.pipeline import Crop, evaluation_batches
from jaxalign.samples import Sample
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
        return self.call(variables, images)


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
) -> tuple[np.ndarray, np.ndarray]:
    """All faces of `source`, in its order: points (N, K, 2) in pixels of the photos, scores (N, K).

    Every host predicts all of them, so no host waits for
    another; a face's result does not depend on the batch it stands in.

    Where the system takes crops of several sizes, each face is cropped at the one that fits it, and
    batched with those of its size."""
    system = predictor.system
    predicted = np.zeros((len(source), system.points.num_points, 2))
    scores = np.zeros(predicted.shape[:2])
    variables = parallel.replicate(variables, local=True)  # once, not for every batch
    shown = {"unit": "face", "desc": "predict", "disable": not progress, "leave": False}
    with tqdm(total=len(source), **shown) as bar:
        for size, faces in _by_size(system.sizes, source, crop).items():
            together = fitting_batch(system, size, batch)
            for rows in evaluation_batches(
                source, system.points, crop, size, batch=together, threads=threads, faces=faces
            ):
                points, score = predictor(variables, rows["image"])
                points = points.astype(np.float64)
                photo = geometry.transform(geometry.invert(rows["matrix"]), points)
                real = rows["weight"] > 0
                predicted[rows["index"][real]] = photo[real]
                scores[rows["index"][real]] = score[real]
                bar.update(int(real.sum()))
    return predicted, scores


def fitting_size(sizes: Sequence[int], side: float) -> int:
    """The smallest of `sizes` that loses nothing of a square with this side, in photo pixels; else
    the largest. Half a pixel is nothing."""
    return next((size for size in sizes if size >= side - 0.5), sizes[-1])


def fitting_batch(system: System, size: int, batch: int) -> int:
    """How many crops of `size` go together where of system.size `batch` do: fewer of larger ones,
    so that the bytes stay. A multiple of this host's devices."""
    most = max(1, int(batch * min(1, system.size / size) ** 2))
    devices = parallel.local_devices()
    return -(-most // devices) * devices


def _by_size(sizes, source, crop):
    """Size of the crop -> the faces that are cropped so, ascending."""
    if len(sizes) == 1:
        return {sizes[0]: range(len(source))}
    fitting = [fitting_size(sizes, crop.square(sample)[1]) for sample in source]
    return {
        size: [i for i, own in enumerate(fitting) if own == size] for size in sorted(set(fitting))
    }
