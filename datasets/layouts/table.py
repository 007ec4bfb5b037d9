"""One table of all faces: a CSV file with a header, or JSON lines.

A CSV has the photo's name in a column `file` (or image_name, filename, path, ...), the face's in
`id`, and the points in pairs of columns: x0, y0; x_0, y_0; 0_x, 0_y; or with the scheme's names in
place of the numbers, which may begin at 1. Their order does not matter. Where columns do not tell x
from y, `columns=pairs` says that they are x, y, x, y, ..., and `columns=halves` all x, then all y.
Further columns are box_x0, box_y0, box_x1, box_y1 (or xmin, ymin, xmax, ymax) and `split` (train or
test); others are passed over. A line of JSON has the same keys, its points as x0, y0, ..., in the
scheme's order, or as `points` [[x, y], ...], and perhaps `box` [x0, y0, x1, y1].
"""

import itertools
import os
import re

import numpy as np

from jaxalign import texts
from jaxalign.datasets.layouts.rows import Layout, Names, Row, numbers
from jaxalign.datasets.layouts.via import is_csv
from jaxalign.errors import InputError


BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
PHOTO = (
    "file", "image_name", "image_file", "image_path", "imgpath", "file_name", "filename", "path",
    "image", "img_name", "img", "photo",
)  # fmt: skip
HEADER = (
    "line 1 must be a header with file or id, x0, y0, x1, y1, ..., parted by commas, semicolons or "
    "tabs"
)


def _csv(path, rows, asked):
    (_, header), *rows = rows or [(1, [])]
    header = [name.lower() for name in header]
    if not {*PHOTO, "id"} & set(header):
        raise InputError(f"{path}: {HEADER}")
    try:
        columns = _columns(header, asked)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    numeric = [place for name, place in columns.items() if name not in ("file", "id", "split")]
    cells = [[row[place] for place in numeric if place < len(row)] for _, row in rows]
    for (_, row), found in zip(rows, texts.with_points(cells, path), strict=True):
        held = (place for place in numeric if place < len(row))  # parse tells of short rows
        for place, number in zip(held, found, strict=True):
            row[place] = number

    def parse(where, row):
        if len(row) != len(header):
            raise ValueError(f"{len(row)} columns, the header has {len(header)}")
        entry = {name: row[place] for name, place in columns.items()}
        return _flat(path, where, entry, asked.scheme.num_points)

    return ((f"line {number}", row) for number, row in rows), parse


def _columns(header, asked):
    """The places of the columns file, id, split, the box and x0, y0, ... in the scheme's order.

    Raises ValueError that says what is wrong with the header.
    """
    count, found = asked.scheme.num_points, {}
    photo = next((name for name in PHOTO if name in header), "id")
    told = {photo: "file", "id": "id", "split": "split"} | dict(zip(BOX, BOX, strict=True))
    if not set(BOX) & set(header) and set(CORNERS) <= set(header):
        told |= zip(CORNERS, BOX, strict=True)
    pairs, rest = {}, []
    for place, name in enumerate(header):
        if name in told:
            key = told[name]
            if key in found:
                raise ValueError(f"its header holds {name!r} twice")
            found[key] = place
            continue
        rest.append(place)
        start = re.fullmatch(r"([xy])[ _.-]?(.+)", name)
        end = re.fullmatch(r"(.+?)[ _.-]?([xy])", name)
        for axis, point in ((start[1], start[2]),) if start else ((end[2], end[1]),) if end else ():
            if axis in pairs.setdefault(point, {}):
                raise ValueError(f"its header holds {name!r} twice")
            pairs[point][axis] = place
    if set(BOX) & set(found) and not set(BOX) <= set(found):
        raise ValueError(f"its header must hold all of {', '.join(BOX)}, or none")
    if asked.columns == "auto":
        places = _named(header, pairs, rest, asked)
    elif len(rest) != 2 * count:
        raise ValueError(
            f"its header has {len(rest) / 2:g} points, the scheme has {count}: for columns="
            f"{asked.columns} leave its {2 * count} columns and those of photo, id, box and split"
        )
    elif asked.columns == "pairs":
        places = [rest[2 * i : 2 * i + 2] for i in range(count)]
    else:
        places = list(zip(rest[:count], rest[count:], strict=True))
    return found | dict(zip(_keys(count), itertools.chain.from_iterable(places), strict=True))


def _named(header, pairs, rest, asked):
    """The columns (x, y) of each point, by the names of the columns."""
    count, scheme = asked.scheme.num_points, asked.scheme
    whole = {point: at for point, at in pairs.items() if len(at) == 2}
    if not whole and len(rest) == 2 * count:
        raise ValueError(
            f"its columns {header[rest[0]]}, {header[rest[1]]}, ... do not tell x from y; say by "
            "the option columns=pairs that they are x, y, x, y, ..., or columns=halves all x, then "
            "all y"
        )
    if len(whole) != count:
        raise ValueError(
            f"its header has {len(whole):g} points, the scheme has {count} (x0, y0 to "
            f"x{count - 1}, y{count - 1}); mend it or name another scheme"
        )
    order = Names(scheme, whole, asked.first).places(list(whole))
    placed = dict(zip(order, whole.values(), strict=True))
    return [(placed[point]["x"], placed[point]["y"]) for point in range(count)]


def _jsonl(path, text, asked):
    count = asked.scheme.num_points

    def parse(where, line):
        try:
            entry = texts.from_json(line)
        except ValueError as error:
            raise ValueError(f"not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise ValueError("not an object { }")
        if "points" in entry:
            points = entry.pop("points")
            numbers(points, (count, 2))
            entry |= zip(_keys(count), itertools.chain.from_iterable(points), strict=True)
        if entry.get("box") is not None:
            entry |= zip(BOX, numbers(entry.pop("box"), (4,)), strict=True)
        if not set(BOX) & entry.keys() and set(CORNERS) <= entry.keys():
            entry |= {key: entry[corner] for key, corner in zip(BOX, CORNERS, strict=True)}
        if "file" not in entry:
            named = (entry[key] for key in PHOTO if isinstance(entry.get(key), str))
            entry["file"] = next(named, None)
        return _flat(path, where, entry, count)

    lines = enumerate(texts.lines(text), 1)
    return ((f"line {number}", line) for number, line in lines if line.strip()), parse


def _flat(path, where, entry, count):
    """A row from {column: value}, text or numbers."""
    file, name, split = (
        "" if entry.get(key) is None else str(entry[key]) for key in ("file", "id", "split")
    )
    if not file and not name:
        raise ValueError("neither file nor id")
    found = {key for key in entry if key[:1] == "x" and key[1:].isdigit()}
    if len(found) != count:
        raise ValueError(f"{len(found)} points, the scheme has {count}")
    if not found <= {*_keys(count)}:
        raise ValueError(f"its points must be x0, y0 to x{count - 1}, y{count - 1}")
    boxed = any(entry.get(key) not in (None, "") for key in BOX)
    values = [entry.get(key) for key in _keys(count)]
    empty = [value in (None, "") for value in values]
    labelled = ~np.array([x and y for x, y in zip(empty[::2], empty[1::2], strict=True)])
    values = [n if has else None for n, has in zip(values, labelled.repeat(2), strict=True)]
    points = numbers(values, (2 * count,)).reshape(-1, 2)
    box = numbers([entry.get(key) for key in BOX], (4,)) if boxed else None
    return Row(
        path=path, where=where, photo=file or name, points=points, id=name, split=split, box=box,
        labelled=labelled, names=(os.path.abspath(file or name),),
    )  # fmt: skip


def _keys(count):
    return [f"{axis}{index}" for index in range(count) for axis in "xy"]


CSV = Layout(
    name="csv",
    what="a CSV table",
    endings=(".csv",),
    entries=_csv,
    fits=lambda rows: not is_csv(rows),
)
JSONL = Layout(
    name="jsonl",
    what="JSON lines",
    endings=(".jsonl",),
    entries=_jsonl,
)
