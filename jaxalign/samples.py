"""Faces as data: what a source yields, and the batches that are made of it."""

import hashlib
from collections.abc import Iterable
from typing import Generic, NotRequired, TypedDict, TypeVar

import numpy as np


ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # as in WFLW
BOX_KINDS = ("dataset", "detector")  # boxes of annotations; the landmarks' is computed
# Bins of |yaw| in degrees: above the first, up to the second, as the subsets of aflw2000_3d (seven
# of its faces turn farther than 90).
YAWS = {"yaw 0 to 30": (-1.0, 30.0), "yaw 30 to 60": (30.0, 60.0), "yaw above 60": (60.0, 180.0)}


class Sample(TypedDict):
    """One face of a source. Frame: image; K points of the source's scheme.

    Attributes:
        photo: The encoded photo.
        points: (K, 2) float32, image pixels, NaN exactly where not labelled.
        labelled: (K,) bool, False where nobody placed the point.
        visible: (K,) bool.
        framed: (K,) bool, the points that span the landmark box; missing if all do.
        boxes: "landmarks" and the face's other boxes by kind (BOX_KINDS), each (4,) float32.
        norm_box: (4,) float32, the box that errors may be divided by; NaN if there is none.
        attributes: (6,) uint8, 0 or 1, in the order of ATTRIBUTES.
        subsets: Names of the benchmark's subsets that the face is in.
        yaw: Degrees, or NaN.
        id: Name of the face.
        group: Name shared by the faces of one photo, or of one person.
    """

    photo: bytes
    points: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    framed: NotRequired[np.ndarray]
    boxes: dict[str, np.ndarray]
    norm_box: np.ndarray
    attributes: np.ndarray
    subsets: tuple[str, ...]
    yaw: float
    id: str
    group: str


Array = TypeVar("Array")  # np.ndarray on the host, jax.Array on the device


class DeviceBatch(TypedDict, Generic[Array]):
    """What a training step reads. Frame: crop, a square of side S.

    Attributes:
        image: (B, S, S, 3) uint8 RGB.
        points: (B, K, 2) float32, crop pixels, the crop's centre where not labelled.
        labelled: (B, K) bool.
        attributes: (B, 6) uint8, in the order of ATTRIBUTES.
        weight: (B,) float32, 0 for padding rows, else 1.
    """

    image: Array
    points: Array
    labelled: Array
    attributes: Array
    weight: Array


class Batch(DeviceBatch[np.ndarray]):
    """What a pipeline yields, on the host.

    Attributes:
        visible: (B, K) bool.
        matrix: (B, 2, 3) float64, image -> crop.
        index: (B,) integers, the number of each face in its source.
    """

    visible: np.ndarray
    matrix: np.ndarray
    index: np.ndarray


def by_hash(groups: Iterable[str]) -> list[str]:
    """Names, each once, in the order of their hashes.

    The order says nothing about what the names stand for, and does not depend on the order given.

    Args:
        groups: Names; repeats are allowed.

    Returns:
        The distinct names.
    """
    return sorted(
        set(groups),
        key=lambda group: hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest(),
    )


def held_out(groups: Iterable[str], share: float) -> set[str]:
    """A share of the groups, at least one if the share is above 0.

    The choice depends on the names alone, not on order or chance.

    Args:
        groups: Names; repeats are allowed.
        share: 0 to 1, of the distinct names.

    Returns:
        The chosen names.
    """
    ordered = by_hash(groups)
    return set(ordered[: max(1, round(share * len(ordered))) if share else 0])
