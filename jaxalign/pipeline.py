"""From faces to batches: decode, one matrix, one warp (two where the finished crop is augmented),
augment, stack. On the host. Training has JPEGs decoded smaller where the crop shrinks them anyway.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np

from jaxalign import geometry, photos
from jaxalign.augment import Augment, Pose, draw_pose, photometric
from jaxalign.errors import InputError
from jaxalign.samples import YAWS, Batch, Sample
from jaxalign.schemes import Scheme
from jaxalign.settings import Settings


Square = tuple[np.ndarray, float, float]  # centre (2,), side, degrees, as geometry.crop_matrix's


@dataclass(frozen=True)
class BoxRule(Settings):
    """How a kind of box becomes the square that is cropped (see geometry.square)."""

    enlarge: float = 1.25
    down: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_above(0, "enlarge")


@dataclass(frozen=True)
class Crop(Settings):
    """Which box is cropped, and how much more than it. Frame: image.

    `centroid`: of landmark boxes the square is centred on the mean of the labelled points among
    those that span it. Other boxes know no points: theirs is centred on the box.
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
        """Sample -> centre (2,) and side of the square its box asks for."""
        box = sample["boxes"].get(self.box)
        if box is None:
            raise InputError(
                f"{sample['id']} has no {self.box} box; it has: {', '.join(sample['boxes'])}"
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
        """(K, 2) points -> the square about them by the rule for landmark boxes, turned by
        `degrees`: their box is the one that they have in the turned photo."""
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
    """How far from the centre of its box a crop shows the photo at most, in the box's longer sides.

    The mean of the points, where the crop is centred on it, lies within the box.
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
    """Encoded photo -> (H, W, 3) uint8 RGB, EXIF rotation ignored (annotations are in raw pixels).

    Errors: InputError naming the face where the bytes are no photo.
    """
    try:
        return photos.decode(photo)
    except InputError as error:
        told = f"{name}: its photo cannot be decoded ({error})"
        raise InputError(f"{told}; prepare the data set again") from None


def reduction(shrink: float) -> int:
    """The factor of photos.REDUCED, or 1, by which a JPEG may be decoded smaller for a crop that
    shrinks it `shrink` times.

    The largest after which `warp` skips no more pixels than it does of a whole photo: what its
    averaging leaves to bilinear sampling is less than 3/2.
    """
    for factor in sorted(photos.REDUCED, reverse=True):
        left = shrink / factor
        if left >= 1 and left < 1.5 * int(left):
            return factor
    return 1


def _shrink(matrix):
    return 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))


def _of_reduced(matrix, factor):
    """The matrix of a photo's pixels -> that of pixels which are `factor` times as large:
    photo pixel = factor * (small + 1/2) - 1/2."""
    offset = matrix[:, :2] @ np.full(2, (factor - 1) / 2) + matrix[:, 2]
    return np.concatenate([matrix[:, :2] * factor, offset[:, None]], 1)


def _decoded(sample, factor) -> tuple[np.ndarray, int]:
    """A sample's photo -> its pixels, and by what factor they are larger: the one asked for, where
    its photo is decoded faster so, or 1."""
    if factor > 1 and (pixels := photos.decode_reduced(sample["photo"], factor)) is not None:
        return pixels, factor
    return decode(sample["photo"], sample["id"]), 1


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 photo, (2, 3) matrix image -> crop: the (size, size, 3) crop, zeros outside.

    A photo that shrinks to less than half is first averaged down by a whole factor, for bilinear
    sampling alone would skip its pixels.
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
    """One sample of a source -> its row of image, points, labelled, visible, attributes and matrix
    in a samples.Batch. `augment` draws from `rng`; `square` is cropped in place of the crop's.
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


@dataclass(frozen=True, eq=False)  # two are equal where they are one: quick to look up
class Bins:
    """Faces in bins that are to be drawn equally often: the indices of each that is not empty."""

    faces: tuple[np.ndarray, ...]


def bins_of(source: Sequence[Sample], by: str) -> Bins:
    """The faces in bins `by` "yaw", those of samples.YAWS. Errors: InputError where one is unknown.

    Reads the source once.
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


@lru_cache(maxsize=4)  # rows of two epochs are read side by side where one ends
def _epoch_order(seed, epoch, length, bins=None):
    """Which faces an epoch draws, (length,), and how often each was drawn before in it: each once,
    or of each of `bins` equally many, up to one, and there each equally often, up to once."""
    rng = np.random.default_rng((seed, epoch))
    if bins is None:
        return rng.permutation(length), np.zeros(length, int)
    parts = len(bins.faces)
    shares = (length + np.arange(parts)) // parts  # which bins have one more changes by epoch
    drawn = []
    for faces, share in zip(bins.faces, rng.permutation(shares), strict=True):
        rounds = -(-share // len(faces))
        order = np.concatenate([rng.permutation(faces) for _ in range(rounds)])[:share]
        drawn.append(np.stack([order, np.arange(share) // len(faces)]))
    return rng.permutation(np.concatenate(drawn, 1), axis=1)


@dataclass(frozen=True)
class _TrainingRows:
    """Random access to the endless training order: position -> augmented face.

    Position p is the p-th face ever trained on: epoch p // N, an order of its own for each epoch.
    Every random choice comes from (seed, epoch, index, how often it was drawn before), so a row
    does not depend on threads, hosts or on where training was resumed.
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
    threads: int = 2,
    bins: Bins | None = None,
) -> Iterator[Batch]:
    """Batches number first to last - 1 of the training order, read ahead by Grain's threads.

    `batch` faces a step over all processes, of which this one gets its share. Their
    `weight` is 1. An epoch has as many rows as there are faces: each once, or, by `bins`, equally
    many of each of them.
    """
    import grain  # here: it takes seconds, and crops of single photos go without

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
    dataset = grain.MapDataset.source(rows)[first * local :].batch(local)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    for rows in dataset.to_iter_dataset(options):
        yield rows | {"weight": np.ones(local, np.float32)}


def evaluation_batches(
    source: Sequence[Sample],
    scheme: Scheme,
    crop: Crop,
    size: int,
    *,
    batch: int,
    threads: int = 2,
    squares: Mapping[int, Square] | None = None,
) -> Iterator[Batch]:
    """Every face of the source once, in order, or those of the indices of `squares`, in theirs,
    cropped so; unaugmented; the last batch padded to full size.

    As training_batches; `weight` is 0 for padding rows, which repeat the last face.
    """
    import grain  # here: it takes seconds, and crops of single photos go without

    faces = range(len(source)) if squares is None else list(squares)

    def row(place):
        face = faces[min(place, len(faces) - 1)]
        weight = np.float32(place < len(faces))
        square = None if squares is None else squares[face]
        row = crop_face(source[face], scheme, crop, size, square=square)
        return row | {"index": face, "weight": weight}

    padded = -(-len(faces) // batch) * batch
    dataset = grain.MapDataset.range(padded).map(row).batch(batch)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    yield from dataset.to_iter_dataset(options)
