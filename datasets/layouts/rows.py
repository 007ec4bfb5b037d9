"""What a layout of a user's own annotations says of a face, and how its points find their places.

A layout reads documents: the JSON value, the XML tree, the table or the text of a file. It gives
the entries of a document, each with its place in the file, and a function that makes a Row of an
entry.
"""

import itertools
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxalign import texts
from jaxalign.datasets.faces import Bad, Remark
from jaxalign.errors import InputError
from jaxalign.schemes import Scheme


if TYPE_CHECKING:
    from jaxalign.datasets.layouts.folder import Folder


@dataclass(frozen=True)
class Asked:
    """What the layouts are told: the folder, the points, and options of image_folder."""

    folder: "Folder"
    scheme: Scheme
    label: str = ""  # the category, class or label that faces have; "": any
    columns: str = "auto"  # of a CSV: "pairs", "halves" or as its header says
    first: str = "auto"  # the number of the first point where points are numbered


class Point(NamedTuple):
    """A labelled point under the name that a tool gave it, "" where it has none."""

    name: str
    x: float
    y: float
    visible: bool = True


@dataclass
class Row:
    """What one layout says of a face, with numbers as they stand in the file.

    It has either `points` in the scheme's order, or `named`: the labelled points with their names.
    """

    path: Path
    where: str  # in the file: "line 3"
    photo: str  # as the file names it
    points: np.ndarray | None = None  # (K, 2), NaN where not labelled
    named: list[Point] | None = None
    id: str = ""  # "": called after its photo
    split: str = ""
    box: np.ndarray | None = None  # (4,)
    visible: np.ndarray | None = None  # (K,)
    labelled: np.ndarray | None = None  # (K,)
    size: np.ndarray | None = None  # (2,), width and height of its photo as the file says
    percent: bool = False  # its numbers are percents of the photo's sides
    by_place: bool = False  # called after its photo's place in the folder, not its name in the file
    folder: str = ""  # from the root on, where the photo's name begins
    names: tuple[str, ...] = ()  # what else the photo may be called

    def resolve(self, names: "Names") -> None:
        """Brings `named` into the scheme's order. Raises ValueError that says what is wrong."""
        if self.named is None:
            return
        places = names.places([point.name for point in self.named])
        count = names.scheme.num_points
        self.points, self.labelled = np.full((count, 2), np.nan), np.zeros(count, bool)
        self.visible = np.zeros(count, bool)
        for place, point in zip(places, self.named, strict=True):
            self.points[place] = point.x, point.y
            self.labelled[place], self.visible[place] = True, point.visible


@dataclass(frozen=True)
class Layout:
    """How one tool lays out its annotations.

    `entries(path, document, asked)` gives (where, entry) of each face, and a function that makes a
    Row, Bad or Remark of an entry. It raises InputError where the whole file is wrong; the function
    raises ValueError where one entry is. With `beside` there is a file beside each photo, anywhere
    below the folder, and a wrong file is one Bad; otherwise there is one file in the folder.
    `aside` names files of the tool that hold no faces.
    """

    name: str
    what: str  # its name in messages: "labelme's JSON"
    endings: tuple[str, ...]
    entries: Callable[[Path, Any, Asked], tuple[Iterable[tuple[str, Any]], Callable]]
    fits: Callable[[Any], bool] = field(default=lambda document: True)
    base: float = 0.0  # where its coordinates begin to count; 0.5: at the photo's edge
    beside: bool = False
    aside: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """How the file was understood, for a message."""
        return f"read as {self.what}"


class Names:
    """The names that annotations give to points, and their places in a scheme.

    Names are the scheme's, or numbers, perhaps after one word ("p12"). Numbers count from 0 where
    0 is among all names that are `seen`, and from 1 where the number of points is; so they do where
    the scheme's own names are numbers from 0. Points without names, or all of one name, are in the
    scheme's order if there is one for each.
    """

    def __init__(self, scheme: Scheme, seen: Iterable[str], first: str = "auto"):
        self.scheme, self.first = scheme, first
        self.own = {plain(name): place for place, name in enumerate(scheme.names)}
        self.seen = {plain(name) for name in seen}

    @cached_property
    def known(self) -> dict[str, int]:
        """Name -> place. Raises ValueError where it is not clear from where the numbers count."""
        numeric = [*self.own] == [str(number) for number in range(self.scheme.num_points)]
        if self.seen & self.own.keys() and not numeric:
            return self.own
        numbered = {name: re.fullmatch(r"(.*?)0*(\d+)", name) for name in self.seen}
        numbers = {name: int(found[2]) for name, found in numbered.items() if found}
        words = {found[1] for found in numbered.values() if found}
        if not numbers or len(words) > 1:
            return self.own
        count, values = self.scheme.num_points, set(numbers.values())
        first = self.first
        if first == "auto":
            if 0 not in values and count not in values:
                raise ValueError(
                    f"its points are numbered {min(values)} to {max(values)}; say from where by "
                    "the option first=0 or first=1"
                )
            first = "0" if 0 in values else "1"
        places = {name: number - int(first) for name, number in numbers.items()}
        return {name: place for name, place in places.items() if 0 <= place < count}

    def places(self, names: list[str]) -> list[int]:
        """The places of the points of one face. Raises ValueError that says what is wrong."""
        names, count = [plain(name) for name in names], self.scheme.num_points
        if len(set(names)) == 1 and len(names) == count > 1:
            return list(range(count))
        if not any(names):
            raise ValueError(
                f"{len(names)} points without names, the scheme has {count}; name each, or give "
                "all of them in the scheme's order"
            )
        if unknown := next((name for name in names if name not in self.known), None):
            ours = ", ".join(self.scheme.names[:3])
            raise ValueError(
                f"its point {unknown!r} is none of {self.scheme.name}, which are called {ours}, "
                f"..., or 0 to {count - 1}, or 1 to {count}"
            )
        if "" in names:
            raise ValueError("a point has no name; give it one")
        places = [self.known[name] for name in names]
        if twice := texts.repeated([str(place) for place in places]):
            raise ValueError(
                f"its point {names[places.index(int(twice))]!r} comes twice; give each face of a "
                "photo a group of its own"
            )
        return places


def plain(name: str) -> str:
    """A name without the white space around it, in small letters, as names are compared."""
    return name.strip().lower()


def numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`values` as float64 of that shape. Raises ValueError that says what is wrong."""
    listed = values if isinstance(values, list) else []
    flat = itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in listed)
    try:
        if any(isinstance(value, bool) for value in flat):
            raise TypeError("true and false are no numbers")
        found = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a coordinate is not a number, or some are missing") from None
    if found.shape != shape:
        raise ValueError(f"numbers of shape {found.shape}, there must be {shape}")
    return found


def size_of(width: Any, height: Any) -> np.ndarray | None:
    """The size of a photo, None where a file does not tell it. Raises ValueError as `numbers`."""
    return numbers([width, height], (2,)) if width and height else None


def corners(values: Any) -> np.ndarray:
    """The box of x, y, width and height. Raises ValueError as `numbers`."""
    x, y, width, height = numbers(values, (4,))
    return np.array([x, y, x + width, y + height])


def between(values: Any) -> np.ndarray:
    """The box between two opposite corners. Raises ValueError as `numbers`."""
    points = numbers(values, (2, 2))
    return np.concatenate([points.min(0), points.max(0)])


def box_of(
    key: Any, boxes: list[tuple[Any, np.ndarray]], points: list[Point], keys: Container
) -> np.ndarray | None:
    """The box of the face of one group.

    That is the group's own box, or the only box of no face's group (of `keys`) that holds most of
    the face's points.
    """
    own = [box for group, box in boxes if group == key]
    own = own or [box for group, box in boxes if group not in keys and _inside(box, points)]
    return own[0] if len(own) == 1 else None


def _inside(box, points):
    x0, y0, x1, y1 = box
    return 2 * sum(x0 <= p.x <= x1 and y0 <= p.y <= y1 for p in points) > len(points)


def read(layout: Layout, path: Path, document: Any, asked: Asked) -> Iterable[Row | Bad | Remark]:
    """What a layout finds in a file; entries that cannot be read are Bad.

    Raises InputError where the whole file cannot be read, or it holds no faces.
    """
    entries, parse = layout.entries(path, document, asked)
    found = False
    for where, entry in entries:
        found = True
        try:
            yield parse(where, entry)
        except ValueError as error:
            yield Bad(f"{path.name}, {where}", path, f"{where}: {error} ({layout.told})")
    if not found:
        raise InputError(f"{path}: holds no faces")
