"""What every benchmark's reader yields, and how it is checked. Knows nothing of TFDS."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from jaxalign import photos
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES, BOX_KINDS
from jaxalign.schemes import SCHEMES


FARTHEST = 1e5  # pixels: no photo that can be read is half as large
UNKNOWN_BOX = np.full(4, np.nan, np.float32)


@dataclass
class Face:
    """One annotated face.

    Coordinates are 0-based pixels of the photo as stored (EXIF rotation ignored), or, where it is
    `upright`, as a viewer shows it; x first, pixel centres at integers. Boxes are (x0, y0, x1, y1)
    in the same frame.
    """

    split: str  # "train", "test", or "val" where the benchmark keeps faces for validation apart
    id: str  # unique within the benchmark, e.g. "lfpw/testset/image_0001"
    photo: Path | bytes  # encoded photo: its file, or its bytes
    points: dict[str, np.ndarray]  # scheme name -> (K, 2) float32, NaN where not labelled
    visible: dict[str, np.ndarray] = field(default_factory=dict)  # scheme -> (K,) bool; none: all
    # Which points somebody gave a place, scheme -> (K,) bool; none: all. The others are neither
    # trained on nor scored, and are never visible.
    labelled: dict[str, np.ndarray] = field(default_factory=dict)
    boxes: dict[str, np.ndarray] = field(default_factory=dict)  # BOX_KINDS -> (4,) float32
    norm_box: np.ndarray | None = None  # (4,), where the protocol normalises by a box of its own
    attributes: tuple[int, ...] = (0,) * len(ATTRIBUTES)  # 0/1 in the order of ATTRIBUTES
    subsets: tuple[str, ...] = ()  # evaluation subsets the face counts to
    yaw: float = float("nan")  # degrees, where known
    group: str = ""  # faces of one photo (or person) share it: a held-out part keeps groups whole
    upright: bool = False  # its photo is stored turned as EXIF says


@dataclass
class Bad:
    """A face that cannot be used: which file, and what is wrong with it."""

    id: str
    path: Path
    reason: str

    @classmethod
    def of(cls, id: str, path: Path, error: InputError) -> "Bad":
        """The face whose file `path` raised this error, which names the file itself."""
        return cls(id, path, str(error).removeprefix(f"{path}: "))


@dataclass
class Remark:
    """What a user should know of the files that is neither a face nor a fault."""

    check: str  # what it is of, in a few words: "photos without a face"
    case: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how to read its official layout, and what a complete download holds.

    `faces(root, **options)` yields a Face or a Bad for every face found under `root`, in a fixed
    order, and Remarks; it raises InputError where `root` does not look like this benchmark at all.
    """

    name: str
    schemes: tuple[str, ...]
    faces: Callable[..., Iterator[Face | Bad | Remark]]
    counts: dict[str, int]  # split or subset -> faces in the complete official download
    instructions: str  # where to download it and what `--from` must hold
    options: dict[str, int | float | str] = field(default_factory=dict)  # arguments of faces
    citation: str = ""
    version: str = "1.0.0"
    needs_root: bool = True  # False: made by the program, `--from` is not needed
    notes: tuple[str, ...] = ()  # known leaks and traps, one sentence each; the doctor prints them
    variant: Callable[[Mapping], dict] | None = None  # options -> fields that they change
    max_face: int = 512  # pixels that larger faces of train are reduced to; 0: photos stay whole

    def under(self, options: Mapping) -> "Benchmark":
        """The benchmark as these options make it: schemes and counts may depend on them."""
        return replace(self, **self.variant(options)) if self.variant else self

    def expected(self, options: Mapping) -> dict[str, int]:
        """`counts` under these options: one named like a split says how many faces it draws."""
        counts = self.under(options).counts
        return {name: int(options.get(name, count)) for name, count in counts.items()}

    def parse_options(self, settings: list[str]) -> dict[str, int | float | str]:
        """["key=value", ...] -> all options, each of its default's type. Errors: InputError."""
        options = dict(self.options)
        for setting in settings:
            key, equals, value = setting.partition("=")
            if key not in options:
                known = ", ".join(options) or "none"
                raise InputError(f"{self.name} has no option {key!r}; its options: {known}")
            kind = type(options[key])
            try:
                options[key] = kind(value)
            except ValueError:
                equals = ""
            if not equals or not value or set(value) & set("/:\\ "):
                raise InputError(f"{setting!r}: expected {key}=VALUE ({kind.__name__})")
            if self.options_of(self.config(options)) != options:
                raise InputError(f"{setting}: an option's name in its value; choose another value")
        return options

    def options_of(self, config: str) -> dict[str, int | float | str]:
        """The inverse of `config`, for a name that it gave; "" is the default."""
        options, rest = dict(self.options), "" if config == "default" else f"-{config}"
        for key in sorted(options, reverse=True):  # the values may hold "-", the keys do not
            head, found, value = rest.rpartition(f"-{key}")
            if found:
                rest, options[key] = head, type(options[key])(value)
        return options

    def config(self, options: Mapping) -> str:
        """The name under which these options are stored, e.g. "size512-train100" or "default"."""
        differing = {k: v for k, v in options.items() if v != self.options[k]}
        return "-".join(f"{key}{differing[key]}" for key in sorted(differing)) or "default"


class Noticed:
    """What a user should know of faces that is no fault by itself."""

    def __init__(self):
        self.turned = 0
        self.first: dict[bytes, str] = {}  # digest of the points -> the first face that has them
        self.repeated: list[str] = []
        self.remarks: dict[str, list[str]] = {}

    def remark(self, remark: Remark) -> None:
        self.remarks.setdefault(remark.check, []).append(remark.case)

    def add(self, face: Face) -> None:
        self.turned += face.upright
        points = b"".join(np.asarray(p, np.float32).tobytes() for p in face.points.values())
        digest = hashlib.sha1(points, usedforsecurity=False).digest()
        if (first := self.first.setdefault(digest, face.id)) != face.id:
            self.repeated.append(f"{face.id} has those of {first}")

    def told(self) -> Iterator[tuple[str, bool, str, list[str]]]:
        """(what is told of, whether it should be looked into, in a few words, the cases)."""
        if self.repeated:
            finding = f"faces that have the very points of another one: {len(self.repeated)}"
            yield "repeated points", True, finding, self.repeated
        for check, cases in self.remarks.items():
            yield "of the files", False, f"{check}: {len(cases)}", cases
        if self.turned:
            finding = (
                "faces on photos with an EXIF rotation, whose points are taken to be of the photo "
                f"as a viewer shows it: {self.turned}"
            )
            yield "turned photos", False, finding, []


def record(face: Face) -> dict:
    """A face under the names of the stored features; `image` is called to read the photo."""
    labelled = {name: point_flags(face, "labelled", name) for name in face.points}
    return {
        "image": partial(photo_bytes, face),
        "points": {name: np.asarray(points, np.float32) for name, points in face.points.items()},
        "visible": {
            name: point_flags(face, "visible", name) & has for name, has in labelled.items()
        },
        "labelled": labelled,
        "boxes": {k: np.asarray(face.boxes.get(k, UNKNOWN_BOX), np.float32) for k in BOX_KINDS},
        "norm_box": UNKNOWN_BOX if face.norm_box is None else np.asarray(face.norm_box, np.float32),
        "attributes": np.array(face.attributes, np.uint8),
        "subsets": list(face.subsets),
        "yaw": face.yaw,
        "id": face.id,
        "group": face.group or face.id,
    }


def point_flags(face: Face, field: str, scheme: str) -> np.ndarray:
    """A face's `visible` or `labelled`: (K,) bool, all True where it has none."""
    return np.asarray(
        getattr(face, field).get(scheme, np.ones(len(face.points[scheme]), bool)), bool
    )


def check_face(face: Face) -> Bad | None:
    """What makes this face unusable, or None. Points outside the photo are no fault."""
    faults = (fault_of_names, fault_of_points, fault_of_boxes, _fault_of_photo)
    reason = next((reason for fault in faults if (reason := fault(face))), None)
    return None if reason is None else as_bad(face, reason)


def as_bad(face: Face, reason: str) -> Bad:
    """The face as one that cannot be used for this reason."""
    return Bad(face.id, face.photo if isinstance(face.photo, Path) else Path(face.id), reason)


def fault_of_names(face: Face) -> str | None:
    """Whether its id or group cannot be stored as text, or None."""
    for name in (face.id, face.group):
        try:
            name.encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8; rename the file"
    return None


def fault_of_points(face: Face) -> str | None:
    """What is wrong with the shape, the numbers or the extent of the points, or None."""
    for scheme, points in face.points.items():
        wanted = (SCHEMES[scheme].num_points, 2)
        if np.shape(points) != wanted:
            return f"points of shape {np.shape(points)}, {scheme} has {wanted}"
        labelled = point_flags(face, "labelled", scheme)
        if not np.isfinite(points[labelled]).all():
            return f"a point of {scheme} is not a finite number"
        if (far := np.abs(points[labelled]).max(initial=0)) > FARTHEST:
            return f"a coordinate of {scheme} is {far:g}; no photo is so large"
        if not np.isnan(points[~labelled]).all():
            return f"a point of {scheme} that nobody labelled has a place"
        if not labelled.any():
            return f"nobody labelled a point of {scheme}"
        if not (np.ptp(points[labelled], axis=0) > 0).all():
            return f"the box around the points of {scheme} has no extent"
    return None


def fault_of_boxes(face: Face) -> str | None:
    """Which of its boxes has no extent, or None."""
    boxes = face.boxes if face.norm_box is None else face.boxes | {"normalising": face.norm_box}
    for kind, (x0, y0, x1, y1) in boxes.items():
        if not (x1 > x0 and y1 > y0 and np.abs([x0, y0, x1, y1]).max() <= FARTHEST):
            box = ", ".join(f"{value:g}" for value in (x0, y0, x1, y1))
            return f"its {kind} box ({box}) has no extent"
    return None


def _fault_of_photo(face):
    try:
        photo_size(photo_bytes(face))
    except InputError as error:
        return str(error)
    return None


def photo_bytes(face: Face) -> bytes:
    """Its photo, encoded as it is stored. Errors: InputError that says why it cannot be read."""
    encoded = photos.encoded(face.photo) if isinstance(face.photo, Path) else face.photo
    return photos.plain(encoded, face.upright)


def photo_size(encoded: bytes) -> tuple[int, int]:
    """(width, height) of a photo, as stored, which is decoded to see that it can be.

    Errors: InputError that says what is wrong with it.
    """
    height, width = photos.decode(encoded, whole=True).shape[:2]
    return width, height
