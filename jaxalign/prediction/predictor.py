"""A system at work: crops in, points out; of every face of a source, or as the Aligner needs."""

from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from jaxalign import geometry, parallel
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, Square, evaluation_batches
from jaxalign.samples import Sample
from jaxalign.schemes import Scheme
from jaxalign.systems.interface import System


LEAST = 32  # faces: batches up to this are padded to their full size


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
        if not (np.isfinite(points[real]).all() and np.isfinite(scores[real]).all()):
            raise InputError(
                "the network gives points or scores that are not finite numbers: its weights are "
                "damaged, or its training diverged; use another checkpoint"
            )
        return points, scores


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
                together = fitting_batch(system, size, batch, len(those))
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


def next_squares(
    points: np.ndarray, first: Sequence[tuple[np.ndarray, float]], crop: Crop, scheme: Scheme
) -> dict[int, Square]:
    """(N, K, 2) points found, centres and sides of the first look -> the squares of the next one,
    by the place of the face: about the points, by the crop's rule for landmark boxes, upright.

    A face is left out, and keeps its points, where its square ran away: it does not meet its first
    one, or its side is below a third or above three times that one's.
    """
    found, framed = {}, list(scheme.framed or range(scheme.num_points))
    for place, (centre, side) in enumerate(first):
        square = crop.around(points[place][framed], -roll(points[place], scheme))
        near = np.abs(square[0] - centre).max() < (square[1] + side) / 2
        if near and side / 3 <= square[1] <= side * 3:
            found[place] = square
    return found


def roll(points: np.ndarray, scheme: Scheme) -> float:
    """(K, 2) points -> by how many degrees the line of the eyes falls to the image's right.

    0 for a face seen from the side, whose eyes are less than 0.3 of its box's longer side apart:
    there that line says more of the nod than of the roll. 0 for a scheme without eyes too.
    """
    eyes = [[*scheme.curves[f"{eye}_up"], *scheme.curves[f"{eye}_lo"]] for eye in ("leye", "reye")]
    if not all(eyes):
        return 0.0
    x, y = points[eyes[1]].mean(0) - points[eyes[0]].mean(0)
    _, side = geometry.square(geometry.landmark_box(points), 1.0)
    return float(np.rad2deg(np.arctan2(y, x))) if np.hypot(x, y) >= 0.3 * side else 0.0


def fitting_size(sizes: Sequence[int], side: float) -> int:
    """The smallest of `sizes` that loses nothing of a square with this side, in photo pixels; else
    the largest. Half a pixel is nothing."""
    return next((size for size in sizes if size >= side - 0.5), sizes[-1])


def fitting_batch(system: System, size: int, batch: int, faces: int) -> int:
    """How many crops of `size` go together where of system.size `batch` do: fewer of larger ones,
    so that the bytes stay. A multiple of this host's devices.

    Never more than twice as many as there are `faces`, or LEAST: a batch that is not full is
    padded, and one of each number of faces would be compiled anew.
    """
    most = max(1, int(batch * min(1, system.size / size) ** 2))
    most = min(most, max(LEAST, 1 << (faces - 1).bit_length()))
    devices = parallel.local_devices()
    return -(-most // devices) * devices


def by_size(sizes: Sequence[int], squares: Mapping[int, Square]) -> dict[int, dict[int, Square]]:
    """Size of the crop, ascending -> the squares that are cropped so, in their order."""
    fitting = {face: fitting_size(sizes, side) for face, (_, side, _) in squares.items()}
    return {
        size: {face: squares[face] for face, own in fitting.items() if own == size}
        for size in sorted(set(fitting.values()))
    }
