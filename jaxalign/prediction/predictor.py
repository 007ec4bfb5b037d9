"""A system at work: crops in, points out, for the faces of a source or of an Aligner."""

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
        threads: Threads that read ahead.
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
    """The squares of the next look, upright about the points found, by the rule for landmark boxes.

    A face is left out, and keeps its points, if its square ran away: it does not meet the first
    square, or its side is below a third or above three times that one's.

    Args:
        points: (N, K, 2), the points found, in pixels of the photos.
        first: Centre (2,) and side of each face's first square, in pixels of the photo.
        crop: The rule.
        scheme: The scheme of the points.

    Returns:
        Place of a face -> its next square.
    """
    found, framed = {}, list(scheme.framed or range(scheme.num_points))
    for place, (centre, side) in enumerate(first):
        square = crop.around(points[place][framed], -roll(points[place], scheme))
        near = np.abs(square[0] - centre).max() < (square[1] + side) / 2
        if near and side / 3 <= square[1] <= side * 3:
            found[place] = square
    return found


def roll(points: np.ndarray, scheme: Scheme) -> float:
    """By how many degrees the line of the eyes falls to the image's right.

    Args:
        points: (K, 2), pixels.
        scheme: The scheme of the points.

    Returns:
        The degrees. 0 for a scheme without eyes, and for a face seen from the side, whose eyes are
            less than 0.3 of its box's longer side apart: its line of the eyes says more of the nod
            than of the roll.
    """
    eyes = [[*scheme.curves[f"{eye}_up"], *scheme.curves[f"{eye}_lo"]] for eye in ("leye", "reye")]
    if not all(eyes):
        return 0.0
    x, y = points[eyes[1]].mean(0) - points[eyes[0]].mean(0)
    _, side = geometry.square(geometry.landmark_box(points), 1.0)
    return float(np.rad2deg(np.arctan2(y, x))) if np.hypot(x, y) >= 0.3 * side else 0.0


def fitting_size(sizes: Sequence[int], side: float) -> int:
    """The smallest size of a crop that loses no pixels of a square.

    Args:
        sizes: Sides of the crops that a system takes, ascending.
        side: Side of the square in pixels of the photo. Half a pixel may be lost.

    Returns:
        The size, or the largest one if none is large enough.
    """
    return next((size for size in sizes if size >= side - 0.5), sizes[-1])


def fitting_batch(system: System, size: int, batch: int, faces: int) -> int:
    """How many crops of a size go together, so that they take about as much memory as usual ones.

    There are never more than twice as many as `faces`, or LEAST if that is more. A batch that is
    not full is padded, since one for each number of faces would be compiled anew.

    Args:
        system: The system.
        size: Side of the crops in pixels.
        batch: How many go together at `system.size`.
        faces: How many faces there are.

    Returns:
        A multiple of this host's devices.
    """
    most = max(1, int(batch * min(1, system.size / size) ** 2))
    most = min(most, max(LEAST, 1 << (faces - 1).bit_length()))
    devices = parallel.local_devices()
    return -(-most // devices) * devices


def by_size(sizes: Sequence[int], squares: Mapping[int, Square]) -> dict[int, dict[int, Square]]:
    """Sort squares by the size of the crop that fits them.

    Args:
        sizes: Sides of the crops that a system takes, ascending.
        squares: Place of a face -> its square.

    Returns:
        Size of the crop, ascending -> its squares, in their order.
    """
    fitting = {face: fitting_size(sizes, side) for face, (_, side, _) in squares.items()}
    return {
        size: {face: squares[face] for face, own in fitting.items() if own == size}
        for size in sorted(set(fitting.values()))
    }
