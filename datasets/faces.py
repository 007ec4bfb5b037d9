"""What every benchmark's reader yields, and how it is checked. Knows nothing of TFDS."""

import contextlib
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

    Coordinates are 0-based pixels of the photo, x first, with pixel centres at integers. The photo
    is as stored (EXIF rotation ignored), or, where the face is `upright`, as a viewer shows it.
    Boxes are (x0, y0, x1, y1) in the same frame.

    Attributes:
        split: "train", "test", or "val" where the benchmark keeps faces for validation apart.
        id: A name, unique within the benchmark, such as "lfpw/testset/image_0001".
        photo: The encoded photo: its file, or its bytes.
        points: (K, 2) float32 by scheme, NaN where nobody labelled a point.
        visible: (K,) bool by scheme; without an entry all points are visible.
        labelled: (K,) bool by scheme: the points that somebody gave a place; without an entry all
            of them. The others are neither trained on nor scored, and are never visible.
        boxes: (4,) float32 by kind (BOX_KINDS).
        norm_box: (4,), where the protocol normalises by a box of its own.
        attributes: 0 or 1 for each of ATTRIBUTES, in their order.
        subsets: The evaluation subsets that the face belongs to.
        yaw: Degrees, NaN where unknown.
        group: Faces of one photo (or person) share it: a held-out part keeps groups whole.
        upright: Whether the photo is stored turned, as its EXIF rotation says.
    """

    split: str
    id: str
    photo: Path | bytes
    points: dict[str, np.ndarray]
    visible: dict[str, np.ndarray] = field(default_factory=dict)
    labelled: dict[str, np.ndarray] = field(default_factory=dict)
    boxes: dict[str, np.ndarray] = field(default_factory=dict)
    norm_box: np.ndarray | None = None
    attributes: tuple[int, ...] = (0,) * len(ATTRIBUTES)
    subsets: tuple[str, ...] = ()
    yaw: float = float("nan")
    group: str = ""
    upright: bool = False


@dataclass
class Bad:
    """A face that cannot be used.

    Attributes:
        id: The face's name.
        path: The file that is at fault.
        reason: What is wrong with it.
    """

    id: str
    path: Path
    reason: str

    @classmethod
    def of(cls, id: str, path: Path, error: InputError) -> "Bad":
        """Makes one of the error that a face's file raised.

        Args:
            id: The face's name.
            path: The file.
            error: The error, which names the file itself.

        Returns:
            The face as one that cannot be used.
        """
        return cls(id, path, str(error).removeprefix(f"{path}: "))


@dataclass
class Remark:
    """What a user should know of the files that is neither a face nor a fault.

    Attributes:
        check: What it is about, in a few words: "photos without a face".
        case: The single case.
    """

    check: str
    case: str


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how to read its official layout, and what a complete download holds.

    `faces(root, **options)` yields a Face or a Bad for every face under `root`, in a fixed order,
    and Remarks. It raises InputError where `root` does not look like this benchmark at all.

    Attributes:
        name: The name under which it is prepared.
        schemes: The schemes that its points have.
        faces: The reader.
        counts: Split or subset -> faces in the complete official download.
        instructions: Where to download it, and what `--from` must hold.
        options: The reader's options with their defaults.
        homepage: Its address, "" where it has none.
        licence: What its owners allow, as far as it is known.
        citation: BibTeX of the papers to cite.
        archives: Official archive -> SHA-256, where the files are fixed and it is known.
        version: The version of what is stored; another one is prepared anew.
        needs_root: False where the program makes the faces, so that `--from` is not needed.
        notes: Known leaks and traps, one sentence each; `prepare --check` prints them.
        variant: Options -> the fields of this record that they change.
        max_face: Pixels that larger faces of train are reduced to; with 0 photos stay whole.
        apart: Options whose other values are other photos, though of the same names.
        family: Benchmarks of one family show some of the same photos, by other names.
    """

    name: str
    schemes: tuple[str, ...]
    faces: Callable[..., Iterator[Face | Bad | Remark]]
    counts: dict[str, int]
    instructions: str
    options: dict[str, int | float | str] = field(default_factory=dict)
    homepage: str = ""
    licence: str = "See the homepage."
    citation: str = ""
    archives: dict[str, str] = field(default_factory=dict)
    version: str = "1.0.0"
    needs_root: bool = True
    notes: tuple[str, ...] = ()
    variant: Callable[[Mapping], dict] | None = None
    max_face: int = 512
    apart: tuple[str, ...] = ()
    family: str = ""

    def under(self, options: Mapping) -> "Benchmark":
        """Adapts the benchmark to its options: schemes and counts may depend on them.

        Args:
            options: The options by name.

        Returns:
            The benchmark under these options.
        """
        return replace(self, **self.variant(options)) if self.variant else self

    def expected(self, options: Mapping) -> dict[str, int]:
        """Gives the numbers of faces to expect.

        Args:
            options: The options by name; one named like a split is the number of faces to draw.

        Returns:
            Split or subset -> faces.
        """
        counts = self.under(options).counts
        return {name: int(options.get(name, count)) for name, count in counts.items()}

    def parse_options(self, settings: list[str]) -> dict[str, int | float | str]:
        """Reads options from texts.

        Args:
            settings: "key=value" each.

        Returns:
            All options; each has the type of its default.

        Raises:
            InputError: An option is unknown, or its value does not fit.
        """
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
            if self._read(self.config(options)) != options:
                raise InputError(f"{setting}: an option's name in its value; choose another value")
        return options

    def options_of(self, config: str) -> dict[str, int | float | str]:
        """Reads options back from the name that `config` gave.

        Args:
            config: The name; "" stands for "default".

        Returns:
            All options.

        Raises:
            InputError: The benchmark has no such options.
        """
        name = config or "default"
        options = self._read(name)
        if self.config(options) != name:
            known = ", ".join(f"{k}{v}" for k, v in self.options.items()) or "none"
            raise InputError(
                f"{self.name} has no configuration {name!r}; it is named by options that are not "
                f"at their defaults (these are: {known}), or default"
            )
        return options

    def photos(self, config: str) -> tuple:
        """Tells which photos data of that name have, without their split.

        Args:
            config: The name, as `config` gave it.

        Returns:
            What is equal for two names where the same group, such as a photo's name, is the same
                photo.
        """
        return self.name, *(self._read(config)[key] for key in self.apart)

    def _read(self, config):
        """The options that a name tells; those that it does not are at their defaults."""
        options, rest = dict(self.options), f"-{config}"
        for key in sorted(options, reverse=True):  # the values may hold "-", the keys do not
            head, found, value = rest.rpartition(f"-{key}")
            with contextlib.suppress(ValueError):  # a value that is no number
                options[key] = type(options[key])(value) if found else options[key]
                rest = head if found else rest
        return options

    def config(self, options: Mapping) -> str:
        """Names the configuration under which data with these options are stored.

        Args:
            options: The options by name.

        Returns:
            The options that are not at their defaults, such as "size512-train100"; else "default".
        """
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
        """Takes note of a remark.

        Args:
            remark: The remark.
        """
        self.remarks.setdefault(remark.check, []).append(remark.case)

    def add(self, face: Face) -> None:
        """Takes note of a face: whether its photo is turned, and whether its points came before.

        Args:
            face: The face.
        """
        self.turned += face.upright
        points = b"".join(np.asarray(p, np.float32).tobytes() for p in face.points.values())
        digest = hashlib.sha1(points, usedforsecurity=False).digest()
        if (first := self.first.setdefault(digest, face.id)) != face.id:
            self.repeated.append(f"{face.id} has those of {first}")

    def told(self) -> Iterator[tuple[str, bool, str, list[str]]]:
        """Reports what was noticed.

        Yields:
            What it is about, whether it should be looked into, the finding in a few words, and the
            cases.
        """
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


def faults_of_archives(benchmark: Benchmark, root: Path | None) -> list[str]:
    """Checks the official archives that lie beside the files that were unpacked from them.

    Args:
        benchmark: The benchmark.
        root: Its official files, None where the program makes the faces.

    Returns:
        What is wrong, of each archive that is not the published one.
    """
    found = []
    for name, wanted in benchmark.archives.items():
        if root and (path := root / name).is_file():
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                digest = error.strerror
            if digest != wanted:
                found.append(
                    f"{path}: not the published file (its SHA-256 should be {wanted} and is "
                    f"{digest}); download and unpack it again, or remove it"
                )
    return found


def record(face: Face) -> dict:
    """Brings a face into the form in which it is stored.

    Args:
        face: The face.

    Returns:
        The stored features by name; `image` is a function that reads the photo.
    """
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
    """Gives a flag of each of a face's points.

    Args:
        face: The face.
        field: "visible" or "labelled".
        scheme: The scheme of the points.

    Returns:
        (K,) bool; all True where the face has no such flags.
    """
    return np.asarray(
        getattr(face, field).get(scheme, np.ones(len(face.points[scheme]), bool)), bool
    )


def check_face(face: Face) -> Bad | None:
    """Checks whether a face can be used; points outside the photo are no fault.

    Args:
        face: The face; its photo is read and decoded.

    Returns:
        What makes it unusable, None for a sound face.
    """
    faults = (fault_of_names, fault_of_points, fault_of_boxes, _fault_of_photo)
    reason = next((reason for fault in faults if (reason := fault(face))), None)
    return None if reason is None else as_bad(face, reason)


def as_bad(face: Face, reason: str) -> Bad:
    """Marks a face as one that cannot be used.

    Args:
        face: The face.
        reason: What is wrong with it.

    Returns:
        Its id, its file (the id where it has none), and the reason.
    """
    return Bad(face.id, face.photo if isinstance(face.photo, Path) else Path(face.id), reason)


def fault_of_names(face: Face) -> str | None:
    """Checks that a face's id and group can be stored as text.

    Args:
        face: The face.

    Returns:
        What is wrong with them, or None.
    """
    for name in (face.id, face.group):
        try:
            name.encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8; rename the file"
    return None


def fault_of_points(face: Face) -> str | None:
    """Checks the shape, the numbers and the extent of a face's points.

    Args:
        face: The face.

    Returns:
        What is wrong with them, or None.
    """
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
        if framed := SCHEMES[scheme].framed:
            labelled &= np.isin(np.arange(len(points)), framed)
            if not labelled.any():
                return f"nobody labelled a point of {scheme} that spans its box (framed)"
        if not (np.ptp(points[labelled], axis=0) > 0).all():
            return f"the box around the points of {scheme} has no extent"
    return None


def fault_of_boxes(face: Face) -> str | None:
    """Checks that a face's boxes have an extent.

    Args:
        face: The face.

    Returns:
        Which box has none, or None.
    """
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
    """Reads a face's photo, encoded as it will be stored.

    Args:
        face: The face.

    Returns:
        The encoded photo.

    Raises:
        InputError: The photo cannot be read; the message says why.
    """
    encoded = photos.encoded(face.photo) if isinstance(face.photo, Path) else face.photo
    return photos.plain(encoded, face.upright)


def photo_size(encoded: bytes) -> tuple[int, int]:
    """Measures a photo; it is decoded to make sure that it can be.

    Args:
        encoded: The encoded photo.

    Returns:
        Width and height in pixels, as stored.

    Raises:
        InputError: The photo cannot be decoded; the message says why.
    """
    height, width = photos.decode(encoded, whole=True).shape[:2]
    return width, height
