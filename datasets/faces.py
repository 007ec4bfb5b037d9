"""What every benchmark's reader yields, and how it is checked. Knows nothing of TFDS."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from jaxalign.errors import InputError
from jaxalign.schemes import SCHEMES


ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")  # as in WFLW
BOX_KINDS = ("dataset", "detector")


@dataclass
class Face:
    """One annotated face.

    Coordinates are 0-based pixels of the photo as stored (EXIF rotation ignored), x first, pixel
    centres at integers. Boxes are (x0, y0, x1, y1) in the same frame.
    """

    split: str  # "train" or "test"
    id: str  # unique within the benchmark, e.g. "lfpw/testset/image_0001"
    photo: Path | bytes  # encoded photo: its file, or its bytes
    points: dict[str, np.ndarray]  # scheme name -> (K, 2) float32
    visible: dict[str, np.ndarray] = field(default_factory=dict)  # scheme -> (K,) bool; none: all
    boxes: dict[str, np.ndarray] = field(default_factory=dict)  # BOX_KINDS -> (4,) float32
    norm_box: np.ndarray | None = None  # (4,), where the protocol normalises by a box of its own
    attributes: tuple[int, ...] = (0,) * len(ATTRIBUTES)  # 0/1 in the order of ATTRIBUTES
    subsets: tuple[str, ...] = ()  # evaluation subsets the face counts to
    yaw: float = float("nan")  # degrees, where known
    group: str = ""  # faces of one photo (or person) share it: a held-out part keeps groups whole


@dataclass
class Bad:
    """A face that cannot be used: which file, and what is wrong with it."""

    id: str
    path: Path
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how to read its official layout, and what a complete download holds.

    `faces(root, **options)` yields a Face or a Bad for every face found under `root`, in a fixed
    order, and raises InputError where `root` does not look like this benchmark at all.
    """

    name: str
    schemes: tuple[str, ...]
    faces: Callable[..., Iterator[Face | Bad]]
    counts: dict[str, int]  # split or subset -> faces in the complete official download
    instructions: str  # where to download it and what `--from` must hold
    options: dict[str, int | float | str] = field(default_factory=dict)  # arguments of faces
    citation: str = ""
    version: str = "1.0.0"
    needs_root: bool = True  # False: made by the program, `--from` is not needed

    def expected(self, options: Mapping) -> dict[str, int]:
        """`counts` under these options: one named like a split says how many faces it draws."""
        return {name: int(options.get(name, count)) for name, count in self.counts.items()}

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
        return options

    def config(self, options: Mapping) -> str:
        """The name under which these options are stored, e.g. "size512-train100" or "default"."""
        differing = {k: v for k, v in options.items() if v != self.options[k]}
        return "-".join(f"{key}{differing[key]}" for key in sorted(differing)) or "default"


def check_face(face: Face) -> Bad | None:
    """What makes this face unusable, or None. Points outside the photo are no fault."""
    reason = _fault_of_points(face) or _fault_of_boxes(face) or _fault_of_photo(face.photo)
    if reason is None:
        return None
    path = face.photo if isinstance(face.photo, Path) else Path(face.id)
    return Bad(face.id, path, reason)


def _fault_of_points(face):
    for scheme, points in face.points.items():
        wanted = (SCHEMES[scheme].num_points, 2)
        if np.shape(points) != wanted:
            return f"points of shape {np.shape(points)}, {scheme} has {wanted}"
        if not np.isfinite(points).all():
            return f"a point of {scheme} is not a finite number"
        if not (np.ptp(points, axis=0) > 0).all():
            return f"the box around the points of {scheme} has no extent"
    return None


def _fault_of_boxes(face):
    boxes = face.boxes if face.norm_box is None else face.boxes | {"normalising": face.norm_box}
    for kind, (x0, y0, x1, y1) in boxes.items():
        if not (x1 > x0 and y1 > y0 and np.isfinite([x0, y0, x1, y1]).all()):
            box = ", ".join(f"{value:g}" for value in (x0, y0, x1, y1))
            return f"its {kind} box ({box}) has no extent"
    return None


def _fault_of_photo(photo):
    if isinstance(photo, Path):
        try:
            photo = photo.read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror})"
    if not photo:
        return "the photo is empty (0 bytes)"
    # The end is looked for first: OpenCV decodes half a JPEG without complaint, the rest grey.
    if not _is_complete(photo):
        return "the photo is truncated (its end marker is missing)"
    try:
        image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    return "not a photo that can be decoded" if image is None else None


def _is_complete(photo: bytes) -> bool:
    """Whether a JPEG or PNG holds its end marker; whatever follows the marker is no matter."""
    if photo.startswith(b"\x89PNG"):
        return b"IEND\xaeB`\x82" in photo
    if not photo.startswith(b"\xff\xd8"):
        return True
    # An Exif thumbnail is a whole JPEG with an end of its own, so the header is stepped over
    # segment by segment. In the scan behind it every 0xff of the data is followed by 0x00.
    at = 2
    while photo[at : at + 1] == b"\xff" and photo[at : at + 2] != b"\xff\xda":
        length = photo[at + 2 : at + 4]
        at += 1 if photo[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(length, "big")
    return b"\xff\xd9" in photo[at:]
