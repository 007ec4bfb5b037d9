"""Faces as they travel: what a source yields, and the batches that are made of it."""

import hashlib
from collections.abc import Iterable
from typing import Generic, NotRequired, TypedDict, TypeVar

import numpy as np


ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # as in WFLW
BOX_KINDS = ("dataset", "detector")  # that annotations may give; the landmarks' own is made of them
# Bins of |yaw|: degrees above the first, up to the second, as aflw2000_3d's subsets (seven of its
# faces turn further than 90).
YAWS = {"yaw 0 to 30": (-1.0, 30.0), "yaw 30 to 60": (30.0, 60.0), "yaw above 60": (60.0, 180.0)}


class Sample(TypedDict):
    """One face of a source. Frame: image; K points of the source's scheme."""

    photo: bytes  # encoded
    points: np.ndarray  # (K, 2) float32, NaN exactly where not labelled
    labelled: np.ndarray  # (K,) bool, False where nobody placed the point
    visible: np.ndarray  # (K,) bool
    framed: NotRequired[np.ndarray]  # (K,) bool: spans the landmark box; not there: all do
    boxes: dict[str, np.ndarray]  # "landmarks" and those of BOX_KINDS it has -> (4,) float32
    norm_box: np.ndarray  # (4,) float32, NaN where there is none
    attributes: np.ndarray  # (6,) uint8, 0 or 1 in the order of ATTRIBUTES
    subsets: tuple[str, ...]  # of its benchmark
    yaw: float  # degrees, or NaN
    id: str
    group: str  # shared by faces of one photo, or person


Array = TypeVar("Array")  # np.ndarray on the host, jax.Array on the device


class DeviceBatch(TypedDict, Generic[Array]):
    """What a training step reads. Frame: crop, a square of side S."""

    image: Array  # (B, S, S, 3) uint8 RGB
    points: Array  # (B, K, 2) float32, the crop's centre where not labelled
    labelled: Array  # (B, K) bool
    attributes: Array  # (B, 6) uint8, in the order of ATTRIBUTES
    weight: Array  # (B,) float32, 0 for padding rows, else 1


class Batch(DeviceBatch[np.ndarray]):
    """What a pipeline yields, on the host."""

    visible: np.ndarray  # (B, K) bool
    matrix: np.ndarray  # (B, 2, 3) float64, image -> crop
    index: np.ndarray  # (B,) int, which face of the source


def by_hash(groups: Iterable[str]) -> list[str]:
    """Names, each once, in the order of their hashes: one that says nothing of what they name, and
    is the same whatever order they come in."""
    return sorted(
        set(groups),
        key=lambda group: hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest(),
    )


def held_out(groups: Iterable[str], share: float) -> set[str]:
    """That share of the groups: at least one where it is above 0. Which they are depends on their
    names alone, not on order or chance."""
    ordered = by_hash(groups)
    return set(ordered[: max(1, round(share * len(ordered))) if share else 0])
