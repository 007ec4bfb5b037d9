"""Points of any tool: CSV, JSON lines, or a JSON list of records, one face each.

CSV: id, x0, y0, x1, y1, ...; a first line may name the columns, and other columns are passed over.
JSON: objects with "id" and "points" (or "landmarks"), K pairs or 2K numbers, or "x0", "y0", ...;
other keys, such as "bbox", are passed over. Without an id the photo stands for it: "imgpath" or
"file".

Annotations may add "subsets" (names), "hidden" (indices of invisible points) and "norm_box" (x0,
y0, x1, y1). They may leave a point that nobody labelled without a place: null, null in JSON, two
empty cells in CSV. All coordinates are 0-based pixels of the photo.

The file that `jaxalign predict` leaves is different: one record for each photo, with any number of
faces.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign import texts
from jaxalign.errors import InputError
from jaxalign.schemes import Scheme


def json_text(value: Any, **options: Any) -> str:
    """A value as JSON, with null for numbers that are not finite: JSON has no NaN and no infinity.

    `options` are json.dumps's. All JSON is written here.
    """
    return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


OBJECTS = "write a list of objects with id and points, or one such object a line"
PHOTO = ("imgpath", "file")  # keys that may stand for an id
WANTED = "name a CSV, JSONL or JSON file of points"


@dataclass(frozen=True)
class Record:
    """One face of a file; `where` names its place there."""

    id: str
    points: np.ndarray  # (K, 2) float64, NaN where nobody labelled a point
    where: str
    subsets: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    norm_box: tuple[float, ...] | None = None


def read_records(
    path: Path | str, scheme: Scheme, keys: tuple[str, ...], partial: bool = False
) -> list[Record]:
    """The faces of a file, with the points under the first of `keys` that a JSON object has.

    With `partial`, points may have no place, as in annotations. Raises InputError naming the file
    and the line (or the record) that cannot be read, a number that is not finite, or an id that
    comes twice.
    """
    path = Path(path)
    text = texts.read(path, WANTED)
    if not text.strip():
        raise InputError(f"{path}: holds no faces; {WANTED}")
    if path.suffix.lower() == ".csv":
        objects = _csv_objects(text, path, scheme)
    elif text.lstrip().startswith("["):
        objects = _listed_objects(text, path)
    else:
        objects = _line_objects(text, path)
    records, seen = [], {}
    for where, value in objects:
        record = _record(where, value, scheme, keys)
        lacking = int(np.isnan(record.points).any(1).sum())
        if lacking and not partial:
            raise InputError(
                f"{where}: {lacking} points of {record.id} have no place; predictions need all"
            )
        if record.id in seen:
            raise InputError(
                f"{where}: the id {record.id} comes more than once, first in {seen[record.id]}; "
                "give each face an id of its own"
            )
        seen[record.id] = where
        records.append(record)
    if not records:
        raise InputError(f"{path}: holds no faces; {WANTED}")
    return records


def is_predicted(value: Any) -> bool:
    """Whether a JSON value is the contents of a faces.json, which `jaxalign predict` leaves."""
    return isinstance(value, dict) and {"scheme", "checkpoint", "frame"} <= {*value}


def read_predicted(path: Path | str) -> dict | None:
    """The value of a faces.json, or None for other files. Raises InputError if it is unreadable."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        return None
    try:
        value = texts.from_json(texts.read(path, WANTED))
    except ValueError:
        return None  # perhaps JSON lines: read_records says
    return value if is_predicted(value) else None


def predicted_photos(value: dict, path: Path) -> list[dict]:
    """The records of a faces.json, each with a photo's name and a list of faces.

    Raises InputError where the file has no such records.
    """
    if "video" in value or not isinstance(value.get("photos"), list):
        raise InputError(f"{path}: predictions of a video; predict its frames as photos")
    for number, record in enumerate(value["photos"], 1):
        held = record if isinstance(record, dict) else {}
        faces = held.get("faces") or []
        listed = isinstance(faces, list) and all(isinstance(face, dict) for face in faces)
        if not (isinstance(held.get("photo"), str) and listed):
            raise InputError(
                f"{path}, record {number}: must have the name of a photo and a list of faces; "
                "predict again"
            )
    return value["photos"]


def numbers(values, shape: tuple[int, ...], key: str, where: str) -> np.ndarray:
    """`values` as a float64 array of that shape. Raises InputError naming `where` and the key."""
    try:
        array = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.empty(0)
    if array.shape != shape:
        raise InputError(f"{where}: {key} must be {' x '.join(map(str, shape))} numbers")
    return array


def points_of(values, num_points: int, key: str, where: str, identity: str) -> np.ndarray:
    """K pairs or 2K numbers as (K, 2) float64, NaN where both numbers of a point are null or empty.

    Raises InputError naming `where`, the key and the face where they are other values, or not
    finite.
    """
    if isinstance(values, list) and len(values) == 2 * num_points:
        values = [values[i : i + 2] for i in range(0, len(values), 2)]
    listed = values if isinstance(values, list) else []
    empty = np.array([pair in ([None, None], ["", ""]) for pair in listed], bool)
    filled = [[np.nan] * 2 if gone else pair for pair, gone in zip(listed, empty, strict=True)]
    points = numbers(filled, (num_points, 2), key, where)
    if not np.isfinite(points[~empty]).all():
        raise InputError(f"{where}: {key} of {identity} is not finite; mend or leave it out")
    return points


def _csv_objects(text, path, scheme) -> Iterator[tuple[str, dict]]:
    names = [f"{axis}{i}" for i in range(scheme.num_points) for axis in "xy"]
    columns = ["id", *names]
    for place, (line, row) in enumerate(texts.table(text, path)):
        where = f"{path}, line {line}"
        if place == 0 and len(row) > 1 and not _is_number(row[1]):
            columns = row
            if twice := texts.repeated(columns):
                raise InputError(f"{where}: holds the column {twice} twice")
            if "id" not in columns:
                columns = ["id" if name in PHOTO else name for name in columns]
            lacking = [name for name in ("id", *names) if name not in columns]
            if lacking:
                raise InputError(
                    f"{where}: lacks the column{'s' if len(lacking) > 1 else ''} "
                    f"{', '.join(lacking[:4])}{', ...' if len(lacking) > 4 else ''}; "
                    f"{scheme.name} needs id, x0, y0, ... {names[-2]}, {names[-1]}"
                )
            continue
        if len(row) != len(columns):
            raise InputError(
                f"{where}: {len(row)} columns instead of {len(columns)}; {scheme.name} needs id, "
                f"x0, y0, ... {names[-2]}, {names[-1]}"
            )
        cells = dict(zip(columns, row, strict=True))
        yield where, {"id": cells["id"], "points": [cells[name] for name in names]}


def _listed_objects(text, path) -> Iterator[tuple[str, dict]]:
    values = texts.json_of(text, path, "mend the file")
    for number, value in enumerate(values, 1):
        yield f"{path}, record {number}", value


def _line_objects(text, path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(texts.lines(text), 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                value = texts.from_json(line)
            except ValueError as error:
                if _is_json(text):
                    fault = f"{path}: one JSON value over several lines; {OBJECTS}"
                    raise InputError(fault) from None
                reason = getattr(error, "msg", error)
                raise InputError(f"{where}: not JSON ({reason}); mend the file") from None
            yield where, value


def _is_json(text):
    try:
        texts.from_json(text)
    except ValueError:
        return False
    return True


def _record(where, value, scheme, keys):
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be an object with id and points")
    named = (value[key] for key in ("id", *PHOTO) if value.get(key) not in (None, ""))
    identity = next(named, None)
    if identity is None:
        raise InputError(f"{where}: lacks id (or imgpath, or file)")
    found = value.get("scheme", scheme.name)
    if found != scheme.name:
        raise InputError(f"{where}: its points are of {found}, not {scheme.name}; give --scheme")
    points = next((value[key] for key in keys if key in value), None)
    if points is None and "x0" in value:
        names = [f"{axis}{i}" for i in range(scheme.num_points) for axis in "xy"]
        if lacking := [name for name in names if name not in value]:
            raise InputError(f"{where}: lacks {lacking[0]}; {scheme.name} needs {names[-1]} too")
        points = [value[name] for name in names]
    if points is None:
        raise InputError(f"{where}: lacks {keys[0]} (or landmarks, or x0, y0, ...)")
    points = points_of(points, scheme.num_points, keys[0], where, identity)
    box = value.get("norm_box")
    return Record(
        id=str(identity),
        points=points,
        where=where,
        subsets=subsets_of(value, where),
        hidden=hidden_of(value, scheme, where),
        norm_box=None if box is None else tuple(numbers(box, (4,), "norm_box", where)),
    )


def subsets_of(record: dict, where: str) -> tuple[str, ...]:
    """The "subsets" of a record, none where it has no such key.

    Errors: InputError, which names `where`, for what is no list of names.
    """
    return _list_of(str, record.get("subsets", []), "subsets must be a list of names", where)


def hidden_of(record: dict, scheme: Scheme, where: str) -> tuple[int, ...]:
    """The indices of invisible points, "hidden", none where a record has no such key.

    Errors: InputError, which names `where`, for what is no list of indices.
    """
    fault = f"hidden must hold indices below {scheme.num_points}"
    hidden = _list_of(int, record.get("hidden", []), fault, where)
    if any(not 0 <= index < scheme.num_points for index in hidden):
        raise InputError(f"{where}: {fault}")
    return hidden


def _list_of(kind, values, fault, where):
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise InputError(f"{where}: {fault}")
    return tuple(values)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
