"""A user's own faces: photos with points of any scheme, in one of four layouts.

* pts: iBUG's `.pts` files anywhere below the folder, each beside its photo;
* csv: one table with a header: `file` (the photo) or `id` or both, x0, y0, x1, y1, ... and, where
  known, box_x0, box_y0, box_x1, box_y1 and `split` (train or test);
* jsonl: the same, an object a line; `points` [[x, y], ...] and `box` [x0, y0, x1, y1] may stand
  for the single numbers;
* coco: one JSON file with images and annotations (keypoints, bbox), as COCO and MMPose write it.

Photos are named from the folder, or from its `images`. Without `file`, a row's `id` is the photo's
name, with or without its extension. Without `id` a face is called after its photo, and the second
one of a photo "<photo>#2".

The base is where the coordinates of the files, boxes included, begin to count: 0 or 1. It cannot
be seen in the numbers and has to be known; auto is 1 for `.pts`, as iBUG's count, and 0 otherwise.

A point that nobody labelled has no place: two empty cells in a csv, null, null in a jsonl, 0, 0
with the flag 0 in COCO's. What negative coordinates mean has to be told: places beyond the photo
(`negative=outside`), or, as in MERL-RAV, hidden points (`occluded`: -x, -y lies hidden at x, y, and
-1, -1 was not labelled).
"""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.formats import PHOTOS, photo_of, read_pts, unsigned
from jaxalign.errors import InputError
from jaxalign.schemes import SCHEMES


BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
FILES = {"csv": "*.csv", "jsonl": "*.jsonl", "coco": "*.json"}  # the layouts with one file
LAYOUTS = ("pts", *FILES)
NEGATIVE = ("refuse", "outside", "occluded")


@dataclass
class _Row:
    """What one layout says of a face, numbers as they stand in the file."""

    path: Path
    where: str  # in the file: "line 3"
    photo: str  # as the file names it
    points: np.ndarray  # (K, 2), NaN where not labelled; those of a .pts count from 1
    id: str = ""  # "": called after its photo
    split: str = ""
    box: np.ndarray | None = None  # (4,)
    visible: np.ndarray | None = None  # (K,)
    labelled: np.ndarray | None = None  # (K,)


def faces(
    root: Path,
    *,
    scheme: str,
    base: str = "auto",
    layout: str = "auto",
    split: str = "train",
    negative: str = "refuse",
) -> Iterator[Face | Bad]:
    """Every face of the folder: in the order of its file, or by name where each has its own.

    `split` (train or test) is that of the faces whose split the files do not name. `negative` says
    what negative coordinates mean: outside, occluded, or (refuse) that there are none.
    """
    root, count = Path(root), _num_points(scheme)
    known = {"base": ("auto", "0", "1"), "layout": ("auto", *LAYOUTS), "split": ("train", "test")}
    known["negative"] = NEGATIVE
    given = {"base": base, "layout": layout, "split": split, "negative": negative}
    for option, value in given.items():
        if value not in known[option]:
            raise InputError(f"image_folder: {option}={value}; it is {', '.join(known[option])}")
    layout = _layout(root) if layout == "auto" else layout
    origin = (1 if layout == "pts" else 0) if base == "auto" else int(base)
    rows = _pts(root, count) if layout == "pts" else _rows(_single(root, layout), layout, count)
    shown, ids = Counter(), set()
    for row in rows:
        if isinstance(row, _Row):
            shown[row.photo] += 1
            number = shown[row.photo]
            row.id = row.id or (row.photo if number == 1 else f"{row.photo}#{number}")
            repeated = row.id in ids
            ids.add(row.id)
            row = _face(root, row, scheme, origin, split, negative, repeated)
        yield row


def _num_points(scheme):
    if scheme not in SCHEMES:
        raise InputError(
            f"image_folder: name the scheme of the points, --set scheme=NAME; there are: "
            f"{', '.join(SCHEMES)}"
        )
    return SCHEMES[scheme].num_points


def _files(folder, pattern):
    """Files so named, without the hidden ones (macOS leaves such in archives)."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _layout(root):
    patterns = {"pts": "**/*.pts", **FILES}
    found = [layout for layout, pattern in patterns.items() if _files(root, pattern)]
    if len(found) != 1:
        what = " and ".join(found) or "no .pts, .csv, .jsonl or .json files"
        raise InputError(f"{root}: holds {what}; name the layout: --set layout={'|'.join(LAYOUTS)}")
    return found[0]


def _single(root, layout):
    found = _files(root, FILES[layout])
    if len(found) != 1:
        raise InputError(f"{root}: holds {len(found)} {FILES[layout]}; there must be one")
    return found[0]


def _face(root, row, scheme, origin, split, negative, repeated):
    every = np.ones(len(row.points), bool)
    labelled = every if row.labelled is None else row.labelled
    visible = labelled & (every if row.visible is None else row.visible)
    points = row.points
    photo, box, split = _photo(root, row.photo), row.box, row.split or split
    if photo is None:
        return Bad(row.id, root / row.photo, f"no such photo ({row.where} of {row.path.name})")
    reason = None
    if repeated:
        reason = f"the id {row.id} came before"
    elif split not in ("train", "test"):
        reason = f"its split {split!r} is neither train nor test"
    elif not np.isfinite(np.append(points[labelled], [] if box is None else box)).all():
        reason = "a number is NaN or infinite"
    elif negative == "refuse" and (below := int((points < 0).any(1).sum())):
        reason = (
            f"{below} of its points have negative coordinates; say what they mean by the option "
            "negative=outside (a place beyond the photo) or negative=occluded (hidden at the same "
            "place without its sign, and -1 -1 not labelled)"
        )
    elif negative == "occluded":
        try:
            points, seen, has = unsigned(points)
            labelled, visible = labelled & has, visible & seen
        except ValueError as error:
            reason = str(error)
    if reason:
        return Bad(row.id, row.path, f"{row.where}: {reason}")
    return Face(
        split=split,
        id=row.id,
        photo=photo,
        points={scheme: (points - origin).astype(np.float32)},
        visible={scheme: visible},
        labelled={scheme: labelled},
        boxes={} if box is None else {"dataset": (box - origin).astype(np.float32)},
        group=row.photo,
    )


def _photo(root, name):
    names = (name, *(name + extension for extension in PHOTOS))
    paths = (folder / name for name in names for folder in (root, root / "images"))
    return next((path for path in paths if path.is_file()), None)


def _pts(root, count):
    for path in _files(root, "**/*.pts"):
        beside = {other.suffix.lower(): other for other in path.parent.glob(f"{path.stem}.*")}
        name = path.relative_to(root).with_suffix("").as_posix()
        photo = photo_of(beside)
        if photo is None:
            yield Bad(name, path, "there is no photo (.jpg or .png) beside it")
            continue
        try:
            points = read_pts(path, count, base=0)
        except InputError as error:
            yield Bad.of(name, path, error)
            continue
        yield _Row(path, "points", photo.relative_to(root).as_posix(), points, id=name)


def _rows(path, layout, count):
    """The rows of a csv, jsonl or coco file; those that cannot be read are Bad."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    entries, parse = {"csv": _csv, "jsonl": _jsonl, "coco": _coco}[layout](path, text, count)
    found = False
    for where, entry in entries:
        found = True
        try:
            yield parse(where, entry)
        except ValueError as error:
            yield Bad(f"{path.name}, {where}", path, f"{where}: {error}")
    if not found:
        raise InputError(f"{path}: holds no faces")


def _csv(path, text, count):
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        header = reader.fieldnames or []
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is not CSV ({error})") from None
    if not {"file", "id"} & set(header):
        raise InputError(f"{path}: line 1 must be a header with file or id, x0, y0, x1, y1, ...")
    columns = [name for name in header if name[:1] in "xy" and name[1:].isdigit()]
    if sorted(columns) != sorted(_columns(count)):
        raise InputError(
            f"{path}: its header has {len(columns) / 2:g} points, the scheme has {count} "
            f"(x0, y0 to x{count - 1}, y{count - 1}); mend it or name another scheme"
        )
    if set(BOX) & set(header) and not set(BOX) <= set(header):
        raise InputError(f"{path}: its header must hold all of {', '.join(BOX)}, or none")

    def parse(where, entry):
        if None in entry or None in entry.values():
            cells = sum(v is not None for k, v in entry.items() if k) + len(entry.get(None, ()))
            raise ValueError(f"{cells} columns, the header has {len(header)}")
        return _flat(path, where, entry, count)

    return rows, parse


def _jsonl(path, text, count):
    def parse(where, line):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise ValueError("not an object { }")
        if "points" in entry:
            points = entry.pop("points")
            _array(points, (count, 2))
            entry |= zip(_columns(count), itertools.chain.from_iterable(points), strict=True)
        if entry.get("box") is not None:
            entry |= zip(BOX, _array(entry.pop("box"), (4,)), strict=True)
        return _flat(path, where, entry, count)

    lines = enumerate(text.splitlines(), 1)
    return ((f"line {number}", line) for number, line in lines if line.strip()), parse


def _flat(path, where, entry, count):
    """A row from {column: value}, text or numbers."""
    file, name, split = (
        "" if entry.get(key) is None else str(entry[key]) for key in ("file", "id", "split")
    )
    if not file and not name:
        raise ValueError("neither file nor id")
    extra = sum(1 for key in entry if key[:1] == "x" and key[1:].isdigit())
    if extra != count:
        raise ValueError(f"{extra} points, the scheme has {count}")
    boxed = any(entry.get(key) not in (None, "") for key in BOX)
    numbers = [entry.get(key) for key in _columns(count)]
    empty = [value in (None, "") for value in numbers]
    labelled = ~np.array([x and y for x, y in zip(empty[::2], empty[1::2], strict=True)])
    numbers = [n if has else None for n, has in zip(numbers, labelled.repeat(2), strict=True)]
    points = _array(numbers, (2 * count,)).reshape(-1, 2)
    box = _array([entry.get(key) for key in BOX], (4,)) if boxed else None
    return _Row(
        path=path, where=where, photo=file or name, points=points, id=name, split=split, box=box,
        labelled=labelled,
    )  # fmt: skip


def _columns(count):
    return [f"{axis}{index}" for index in range(count) for axis in "xy"]


def _array(values, shape):
    try:
        numbers = np.array(values, np.float64)
    except (ValueError, TypeError):
        raise ValueError("a coordinate is not a number, or some are missing") from None
    if numbers.shape != shape:
        raise ValueError(f"numbers of shape {numbers.shape}, there must be {shape}")
    return numbers


def _coco(path, text, count):
    try:
        stored = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(stored, Mapping) or not all(
        isinstance(stored.get(key), list) and all(isinstance(item, dict) for item in stored[key])
        for key in ("images", "annotations")
    ):
        raise InputError(f"{path}: not COCO's JSON; it must hold the lists images and annotations")
    items = stored["annotations"]
    photos = {str(image.get("id")): image.get("file_name") for image in stored["images"]}
    # 0: not labelled, 1: labelled but hidden, 2: visible. A file without any 2 says 1 of all that
    # is labelled, hidden or not.
    keypoints = (item.get("keypoints") for item in items)
    seen = 2 if any(isinstance(k, list) and 2 in k[2::3] for k in keypoints) else 1

    def parse(where, item):
        photo = photos.get(str(item.get("image_id")))
        if not isinstance(photo, str):
            raise ValueError(f"its image_id {item.get('image_id')!r} is none of the images")
        flat = item.get("keypoints")
        flat = flat if isinstance(flat, list) else []
        if len(flat) != 3 * count:
            raise ValueError(f"{len(flat) / 3:g} points, the scheme has {count}")
        table = _array(flat, (3 * count,)).reshape(-1, 3)
        labelled = (table != 0).any(1)
        table[~labelled, :2] = np.nan
        box = None
        if item.get("bbox") is not None:
            x, y, width, height = _array(item["bbox"], (4,))
            box = np.array([x, y, x + width, y + height])
        return _Row(
            path, where, photo, table[:, :2], box=box, visible=table[:, 2] >= seen,
            labelled=labelled,
        )  # fmt: skip

    return ((f"annotation {item.get('id', n)}", item) for n, item in enumerate(items)), parse


def _variant(options):
    _num_points(options["scheme"])
    return {"schemes": (options["scheme"],)}


BENCHMARK = Benchmark(
    name="image_folder",
    schemes=tuple(SCHEMES),
    faces=faces,
    counts={},
    options={
        "scheme": "",
        "base": "auto",
        "layout": "auto",
        "split": "train",
        "negative": "refuse",
    },
    variant=_variant,
    instructions=(
        "Your own photos with .pts files beside, or with one .csv (file, x0, y0, x1, y1, ... in "
        "its header), .jsonl or COCO-style .json in their folder. --set scheme=NAME names the "
        "points, base=0|1 where their coordinates begin to count, split=train|test, "
        "negative=outside|occluded what negative coordinates mean."
    ),
)
