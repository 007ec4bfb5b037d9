"""Faces become batches: decode, crop, augment, stack.

All of it runs on the host. A face is warped once, by one matrix, or twice where the finished crop
is augmented. In training a JPEG is decoded at a smaller size where the crop would shrink it anyway.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from typing import ClassVar

import cv2
import numpy as np

from jaxalign import geometry, photos
from jaxalign.augment import PIXELS, Augment, Pose, draw_pose, photometric
from jaxalign.errors import InputError
from jaxalign.samples import YAWS, Batch, Sample
from jaxalign.schemes import Scheme
from jaxalign.settings import Settings
from jaxalign.workers import cores, made


Square = tuple[np.ndarray, float, float]  # centre (2,), side, degrees, as in geometry.crop_matrix


@dataclass(frozen=True)
class BoxRule(Settings):
    """How a kind of box becomes the square that is cropped (see `geometry.square`).

    Attributes:
        enlarge: Side of the square, as a multiple of the box's longer side. Above 0.
        down: How far the centre moves down, as a share of the box's height.
    """

    enlarge: float = 1.25
    down: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_above(0, "enlarge")


@dataclass(frozen=True)
class Crop(Settings):
    """Which box is cropped, and with how much margin. Boxes are in pixels of the photo.

    Attributes:
        box: The kind of box that is cropped: "landmarks", "dataset" or "detector".
        landmarks: The rule for the box that the labelled points span.
        dataset: The rule for the box that the benchmark gives.
        detector: The rule for the box of a face detector that the benchmark gives.
        centroid: Centres the squares of landmark boxes on the mean of the labelled points that span
            the box. Other boxes know no points, and their squares are centred on the box.

    Examples:
        >>> from jaxalign.pipeline import BoxRule, Crop
        >>> crop = Crop(box="landmarks", landmarks=BoxRule(enlarge=1.5))
    """

    where: ClassVar[str] = "data.crop."

    box: str = "landmarks"
    landmarks: BoxRule = field(default_factory=BoxRule)
    dataset: BoxRule = field(default_factory=BoxRule)
    detector: BoxRule = field(default_factory=BoxRule)
    centroid: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.check_choices(box=[f.name for f in fields(self) if f.type is BoxRule])

    def square(self, sample: Sample) -> tuple[np.ndarray, float]:
        """The square that a sample's box asks for.

        Args:
            sample: A sample of a source.

        Returns:
            Its centre (2,) and its side, in pixels of the photo.

        Raises:
            InputError: The sample has no box of this kind, or the box has no extent.
        """
        box = sample["boxes"].get(self.box)
        if box is None:
            raise InputError(
                f"{sample['id']} has no {self.box} box; it has: {', '.join(sample['boxes'])}; "
                "choose one that every face has (data.crop.box, --box of jaxalign evaluate)"
            )
        points = None
        if self.centroid:
            points = np.asarray(sample["points"])
            points = points[sample.get("framed", np.ones(len(points), bool))]
        centre, side = self._square(box, self.box, points)
        if not side > 0:
            raise InputError(f"{sample['id']}: its {self.box} box {box} has no extent")
        return centre, side

    def around(self, points: np.ndarray, degrees: float = 0.0) -> Square:
        """The square around points, by the rule for landmark boxes.

        The rule is applied to the box that the points have in the turned photo.

        Args:
            points: (K, 2), pixels of the photo.
            degrees: Turn of the crop, as in `geometry.crop_matrix`.

        Returns:
            Centre (2,) and side in pixels of the photo, and `degrees`.
        """
        turn = geometry.crop_matrix(np.zeros(2), 1.0, 1, degrees)
        turned = geometry.transform(turn, points)
        centre, side = self._square(geometry.landmark_box(turned), "landmarks", turned)
        return geometry.transform(geometry.invert(turn), centre[None])[0], side, degrees

    def _square(self, box, kind, points):
        rule = getattr(self, kind)
        centre, side = geometry.square(box, rule.enlarge, rule.down)
        if self.centroid and kind == "landmarks":
            points = np.asarray(points, np.float64)
            true, _ = geometry.square(geometry.landmark_box(points), 1.0)
            centre = centre + np.nanmean(points, 0) - true  # a box that was moved stays moved
        return centre, side


def reach(crop: Crop, augment: Augment | None = None) -> float:
    """How far a crop reaches from the centre of its box at most.

    A crop that is centred on the mean of the points reaches no further than half a side more, for
    that mean lies within the box.

    Args:
        crop: The rule of the crops.
        augment: The augmentations of training, if any.

    Returns:
        The distance along an axis, in the box's longer sides.
    """
    rule = getattr(crop, crop.box)
    half = rule.enlarge / 2
    if augment and augment.of == "photo":
        angle = np.deg2rad(min(augment.rotation, 45.0))
        zoom = (1 + augment.scale) / (1 - augment.shrink)
        half = rule.enlarge * (zoom * (np.cos(angle) + np.sin(angle)) / 2 + augment.shift)
    moved = 0.5 if crop.centroid and crop.box == "landmarks" else 0.0
    return float(half + abs(rule.down) + moved)


def decode(photo: bytes, name: str) -> np.ndarray:
    """Decode a photo without its EXIF rotation, since annotations are in raw pixels.

    Args:
        photo: The encoded photo.
        name: The face's name, for the message.

    Returns:
        The (H, W, 3) uint8 RGB pixels.

    Raises:
        InputError: The bytes are no photo. The message names the face.
    """
    try:
        return photos.decode(photo)
    except InputError as error:
        told = f"{name}: its photo cannot be decoded ({error})"
        raise InputError(f"{told}; prepare the data set again") from None


def reduction(shrink: float) -> int:
    """The factor by which a JPEG may be decoded smaller for a crop that shrinks it.

    It is the largest factor after which `warp` skips no more pixels than it would in the whole
    photo: its averaging leaves less than 3/2 to bilinear sampling.

    Args:
        shrink: How many photo pixels, along a side, become one pixel of the crop.

    Returns:
        A factor of `photos.REDUCED`, or 1.
    """
    for factor in sorted(photos.REDUCED, reverse=True):
        left = shrink / factor
        if left >= 1 and left < 1.5 * int(left):
            return factor
    return 1


def _shrink(matrix):
    return 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))


def _of_reduced(matrix, factor):
    """Adapt a photo's matrix to pixels that are `factor` times as large.

    The rule is: photo pixel = factor * (small + 1/2) - 1/2.
    """
    if factor == 1:
        return matrix
    offset = matrix[:, :2] @ np.full(2, (factor - 1) / 2) + matrix[:, 2]
    return np.concatenate([matrix[:, :2] * factor, offset[:, None]], 1)


def _decoded(sample, factor) -> tuple[np.ndarray, int]:
    """A sample's photo, decoded, and the factor by which its pixels are larger.

    The factor is the one asked for where the photo is decoded faster so, else 1.
    """
    if factor > 1 and (pixels := photos.decode_reduced(sample["photo"], factor)) is not None:
        return pixels, factor
    return decode(sample["photo"], sample["id"]), 1


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut a crop out of a photo.

    A photo that shrinks to less than half is first averaged down by a whole factor, because
    bilinear sampling alone would skip its pixels.

    Args:
        image: (H, W, 3) uint8, the photo.
        matrix: (2, 3), photo -> crop (see `geometry.crop_matrix`).
        size: Side of the crop in pixels.

    Returns:
        The (size, size, 3) uint8 crop, with zeros outside the photo.
    """
    factor = int(_shrink(matrix))
    if factor >= 2:
        height, width = (side // factor * factor for side in image.shape[:2])
        if height and width:
            smaller = (width // factor, height // factor)
            image = cv2.resize(image[:height, :width], smaller, interpolation=cv2.INTER_AREA)
            matrix = _of_reduced(matrix, factor)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def crop_face(
    sample: Sample,
    scheme: Scheme,
    crop: Crop,
    size: int,
    augment: Augment | None = None,
    rng: np.random.Generator | None = None,
    square: Square | None = None,
) -> dict[str, np.ndarray]:
    """Crop one sample, and augment it if asked.

    Args:
        sample: A sample of a source.
        scheme: The scheme of its K points.
        crop: Which square is cropped.
        size: Side of the crop in pixels.
        augment: The augmentations, or None for the plain crop.
        rng: The generator that the augmentations draw from. Needed with `augment`.
        square: The square to crop in place of the one of `crop`: centre (2,) and side in photo
            pixels, and degrees.

    Returns:
        A row of `samples.Batch`: image, points (crop pixels), labelled, visible, attributes,
        matrix.

    Examples:
        >>> import jaxalign
        >>> from jaxalign.pipeline import Crop, crop_face
        >>> from jaxalign.sources import open_source
        >>> scheme = jaxalign.schemes.SCHEMES["ibug68"]
        >>> source = open_source("synthetic_faces/test", scheme)
        >>> row = crop_face(source[0], scheme, Crop(), 256)
        >>> row["image"].shape, row["points"].shape
        ((256, 256, 3), (68, 2))
    """
    centre, side, turned = (*crop.square(sample), 0.0) if square is None else square
    assert augment is None or rng is not None
    pose = draw_pose(augment, rng) if augment and rng else Pose()
    matrix = geometry.crop_matrix(
        centre + side * np.asarray(pose.shift),
        side * pose.zoom,
        size,
        degrees=turned + pose.degrees,
        flip=pose.flip,
    )
    of_crop = augment is not None and augment.of == "crop"
    first = geometry.crop_matrix(centre, side, size, turned) if of_crop else matrix
    photo, factor = _decoded(sample, reduction(_shrink(first)) if augment else 1)
    image = warp(photo, _of_reduced(first, factor), size)
    if of_crop:
        image = warp(image, geometry.after(first, matrix), size)
    if augment and rng:
        height, width = photo.shape[:2]
        image = photometric(image, augment, rng, matrix, (factor * height, factor * width))
    order = list(scheme.flip) if pose.flip else slice(None)
    labelled = np.asarray(sample["labelled"], bool)
    points = geometry.transform(matrix, sample["points"])
    points[~labelled] = (size - 1) / 2  # a mask alone would not keep NaN out of gradients
    return {
        "image": image,
        "points": points[order].astype(np.float32),
        "labelled": labelled[order],
        "visible": np.asarray(sample["visible"])[order],
        "attributes": np.asarray(sample["attributes"], np.uint8),
        "matrix": matrix,
    }


@dataclass(frozen=True, eq=False)  # compared by identity, which is quick to look up
class Bins:
    """Faces in bins that are to be drawn equally often. Empty bins are left out.

    Attributes:
        faces: The indices of the faces of each bin.
    """

    faces: tuple[np.ndarray, ...]


def bins_of(source: Sequence[Sample], by: str) -> Bins:
    """Sort the faces of a source into bins. Reads the source once.

    Args:
        source: The faces.
        by: Only "yaw": the bins of `samples.YAWS`.

    Returns:
        The bins that have faces.

    Raises:
        InputError: The yaw of a face is unknown.
    """
    assert by == "yaw"
    yaw, ids = zip(*((sample["yaw"], sample["id"]) for sample in source), strict=True)
    yaw = abs(np.array(yaw, np.float64))
    unknown = [ids[index] for index in np.flatnonzero(np.isnan(yaw))]
    if unknown:
        raise InputError(
            f"data.balance={by}: no yaw is known for {len(unknown)} of {len(ids)} faces, first "
            f"{unknown[0]}; train on data that tells it (w300_lp, aflw2000_3d, synthetic_faces), "
            "or set data.balance=''"
        )
    found = (np.flatnonzero((low < yaw) & (yaw <= high)) for low, high in YAWS.values())
    return Bins(tuple(faces for faces in found if len(faces)))


@lru_cache(maxsize=4)  # around the end of an epoch, rows of two are read
def _epoch_order(seed, epoch, length, bins=None):
    """The faces that an epoch draws, and how often each was drawn before in it, both (length,).

    Without `bins` each face is drawn once. With them, each bin is drawn equally often, up to one
    draw, and in a bin each face equally often, up to one draw.
    """
    rng = np.random.default_rng((seed, epoch))
    if bins is None:
        return rng.permutation(length), np.zeros(length, int)
    parts = len(bins.faces)
    shares = (length + np.arange(parts)) // parts  # the bins with one more change by epoch
    drawn = []
    for faces, share in zip(bins.faces, rng.permutation(shares), strict=True):
        rounds = -(-share // len(faces))
        order = np.concatenate([rng.permutation(faces) for _ in range(rounds)])[:share]
        drawn.append(np.stack([order, np.arange(share) // len(faces)]))
    return rng.permutation(np.concatenate(drawn, 1), axis=1)


@dataclass(frozen=True)
class _TrainingRows:
    """Random access to the endless training order: position -> augmented face.

    Position p is the p-th face ever trained on: it is of epoch p // N, and each epoch has its own
    order. Every random choice comes from (seed, epoch, index, how often it was drawn before), so a
    row does not depend on threads, on hosts or on where training was resumed.
    """

    source: Sequence[Sample]
    scheme: Scheme
    crop: Crop
    size: int
    augment: Augment | None
    seed: int
    length: int
    local: int  # rows of a batch that are this process's
    process: int
    processes: int
    bins: Bins | None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        batch, place = divmod(index, self.local)
        epoch, nth = divmod(
            (batch * self.processes + self.process) * self.local + place, len(self.source)
        )
        order, before = _epoch_order(self.seed, epoch, len(self.source), self.bins)
        face, again = int(order[nth]), int(before[nth])
        sample = self.source[face]
        key = self.seed, epoch, face + 1  # 0 is the epoch's order
        rng = np.random.default_rng((*key, again) if again else key)
        row = crop_face(sample, self.scheme, self.crop, self.size, self.augment, rng)
        return row | {"index": face}


MOST_THREADS = 8  # that 0 stands for: more would wait for Python's lock


def threads_of(threads: int) -> int:
    """How many threads read.

    Args:
        threads: The setting.

    Returns:
        It, or for 0 the number of cores that this process may use, at most MOST_THREADS.
    """
    return threads or min(cores(), MOST_THREADS)


def _in_threads(dataset, threads):
    """A dataset of Grain, read ahead by threads."""
    import grain  # here: it takes seconds, and crops of single photos go without

    threads = threads_of(threads)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return dataset.to_iter_dataset(options)


def _with_pixels(pixels, make, number):
    """What `make` makes, where PIXELS has these entries, too: in a worker process."""
    PIXELS.update(pixels)
    return make(number)


def _batch(rows, size, number):
    """Batch `number` of the rows, as Grain makes it."""
    batch = [rows[place] for place in range(number * size, (number + 1) * size)]
    return {key: np.stack([row[key] for row in batch]) for key in batch[0]}


def training_batches(
    source: Sequence[Sample],
    scheme: Scheme,
    crop: Crop,
    size: int,
    augment: Augment | None,
    *,
    batch: int,
    seed: int,
    first: int,
    last: int,
    process: int = 0,
    processes: int = 1,
    threads: int = 0,
    workers: int = 0,
    bins: Bins | None = None,
) -> Iterator[Batch]:
    """The augmented batches of training, made ahead by Grain's threads or by worker processes.

    An epoch has as many rows as there are faces. Without `bins` each face comes once; with them,
    each bin equally often.

    Args:
        source: The faces.
        scheme: The scheme of their points.
        crop: Which square is cropped.
        size: Side of the crops in pixels.
        augment: The augmentations, or None for plain crops.
        batch: Faces of a step, over all processes.
        seed: The seed of all random choices.
        first: Number of the first batch, counted from 0 at the start of training.
        last: Number of the batch after the last one.
        process: Index of this process, which gets its share of every batch.
        processes: How many processes train together.
        threads: Threads that read ahead, as in `threads_of`.
        workers: Above 0, worker processes that make the batches, in place of threads. The rows are
            the same. A script that asks for them needs its `if __name__ == "__main__":`.
        bins: The bins that are drawn equally often.

    Yields:
        The batches, `batch // processes` rows each. Their `weight` is 1.

    Raises:
        InputError: A photo cannot be read, or a worker process has ended.
    """
    local = batch // processes
    rows = _TrainingRows(
        source=source,
        scheme=scheme,
        crop=crop,
        size=size,
        augment=augment,
        seed=seed,
        length=last * local,
        local=local,
        process=process,
        processes=processes,
        bins=bins,
    )
    if workers:
        pixels = {name: PIXELS[name] for name in augment.pixels} if augment else {}
        numbers = range(first, last)
        make = partial(_with_pixels, pixels, partial(_batch, rows, local))
        batches = made(make, numbers, workers)
    else:
        import grain  # here: it takes seconds, and crops of single photos go without

        dataset = grain.MapDataset.source(rows)[first * local :].batch(local)
        batches = _in_threads(dataset, threads)
    for found in batches:
        yield found | {"weight": np.ones(local, np.float32)}


def evaluation_batches(
    source: Sequence[Sample],
    scheme: Scheme,
    crop: Crop,
    size: int,
    *,
    batch: int,
    threads: int = 0,
    squares: Mapping[int, Square] | None = None,
) -> Iterator[Batch]:
    """The faces of a source once, in order and without augmentation, read ahead by Grain's threads.

    The last batch is padded to full size by the first faces, with `weight` 0: where batch norm sees
    them, they are as varied as others.

    Args:
        source: The faces.
        scheme: The scheme of their points.
        crop: Which square is cropped.
        size: Side of the crops in pixels.
        batch: Rows of a batch.
        threads: Threads that read ahead, as in `threads_of`.
        squares: Index of a face -> the square to crop in place of the one of `crop`. Only these
            faces come, in the order of the mapping. Default: all faces.

    Yields:
        The batches, `batch` rows each.
    """
    import grain  # here: it takes seconds, and crops of single photos go without

    faces = range(len(source)) if squares is None else list(squares)

    def row(place):
        face = faces[place % len(faces)]
        weight = np.float32(place < len(faces))
        square = None if squares is None else squares[face]
        row = crop_face(source[face], scheme, crop, size, square=square)
        return row | {"index": face, "weight": weight}

    padded = -(-len(faces) // batch) * batch
    dataset = grain.MapDataset.range(padded).map(row).batch(batch)
    yield from _in_threads(dataset, threads)
