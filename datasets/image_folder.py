"""A user's own faces: photos with points of any scheme, in one of four layouts.

* pts: iBUG's `.pts` files anywhere below the folder, each beside its photo;
* csv: one table with a header: `file` (the photo) or `id` or both, x0, y0, x1, y1, ... and, where
  known, box_x0, box_y0, box_x1, box_y1 and `split` (train or test); commas, semicolons or tabs
  part its cells;
* jsonl: the same, an object a line; `points` [[x, y], ...] and `box` [x0, y0, x1, y1] may stand
  for the single numbers;
* coco: a JSON file with images and annotations (keypoints, bbox), as COCO and MMPose write it, or
  COCO's own tree: `annotations/*.json`, those with val or test in their names the split test. Where
  the category names its keypoints as the scheme does, they are taken by name.

Photos are named from the folder, from its `images`, or, in COCO's tree, from the folders that the
JSON file is named after (`train2017`). A name that differs in upper and lower case alone finds its
photo, too. Without `file`, a row's `id` is the photo's name, with or without its extension. Without
`id` a face is called after its photo, and the second one of a photo "<photo>#2".

The base is where the coordinates of the files, boxes included, begin to count: 0 or 1. It cannot
be seen in the numbers and has to be known; auto is 1 for `.pts`, as iBUG's count, and 0 otherwise.

The frame is the photo as a viewer shows it, its EXIF rotation applied, as labelling tools and
predictions have it (`frame=viewer`), or its pixels as they are stored (`frame=stored`). A photo's
width and height in COCO's JSON decide, and must be the photo's.

A point that nobody labelled has no place: two empty cells in a csv, null, null in a jsonl, the flag
0 in COCO's. What else tools write there is not guessed; options say what it means. Negative
coordinates are places beyond the photo (`negative=outside`), or, as in MERL-RAV, hidden points
(`occluded`: -x, -y lies hidden at x, y, and -1, -1 was not labelled). 0, 0 is a point without a
label (`zeros=unlabelled`) or a place (`zeros=place`). Coordinates that all lie within 0 to 1 or 0
to 100 may be shares of the photo's sides (`unit=share`, `unit=percent`) or pixels (`unit=pixels`).
"""

import functools
import itertools
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import photos, texts
from jaxalign.datasets.faces import FARTHEST, Bad, Benchmark, Face
from jaxalign.datasets.formats import below, inside, read_pts, unsigned
from jaxalign.errors import InputError
from jaxalign.photos import SUFFIXES
from jaxalign.schemes import SCHEMES


BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
ENDINGS = {"pts": ".pts", "csv": ".csv", "jsonl": ".jsonl", "coco": ".json"}
LAYOUTS = tuple(ENDINGS)
ANNOTATIONS = "annotations"  # the folder of COCO's own tree that holds its files
CHOICES = {
    "base": ("auto", "0", "1"),
    "layout": ("auto", *LAYOUTS),
    "split": ("train", "test"),
    "negative": ("refuse", "outside", "occluded"),
    "zeros": ("refuse", "unlabelled", "place"),
    "frame": ("viewer", "stored"),
    "unit": ("auto", "pixels", "share", "percent"),
}
PERCENT = 200  # pixels of a photo's sides from which coordinates that all end at 100 are doubted


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
    size: np.ndarray | None = None  # (2,), width and height of its photo as the file says
    by_place: bool = False  # called after its photo's place in the folder, not its name in the file


def faces(
    root: Path,
    *,
    scheme: str,
    base: str = "auto",
    layout: str = "auto",
    split: str = "train",
    negative: str = "refuse",
    zeros: str = "refuse",
    frame: str = "viewer",
    unit: str = "auto",
) -> Iterator[Face | Bad]:
    """Every face of the folder: in the order of its file, or by name where each has its own.

    `split` (train or test) is that of the faces whose split the files do not name. What the other
    options say of the coordinates, the module tells.
    """
    root, count = Path(root), _num_points(scheme)
    given = {"base": base, "layout": layout, "split": split, "negative": negative, "zeros": zeros}
    given |= {"frame": frame, "unit": unit}
    for option, value in given.items():
        if value not in CHOICES[option]:
            raise InputError(f"image_folder: {option}={value}; it is {', '.join(CHOICES[option])}")
    given["layout"] = layout = _layout(root) if layout == "auto" else layout
    if layout == "pts":
        rows = _pts(root, count)
    else:
        rows = _tables(root, layout, SCHEMES[scheme])
    folder, sides = _Folder(root), functools.cache(photos.sides)
    found = [row if isinstance(row, Bad) else (row, *folder.find(row)) for row in rows]
    if unit == "auto":
        _refuse_percent(root, [face for face in found if not isinstance(face, Bad)], sides)
    shown, ids = Counter(), set()
    for face in found:
        if isinstance(face, Bad):
            yield face
            continue
        row, photo, fault = face
        name = row.photo
        if row.by_place and photo is not None:
            name = photo.relative_to(root).as_posix()
        shown[name] += 1
        row.id = row.id or (name if shown[name] == 1 else f"{name}#{shown[name]}")
        if photo is None:
            yield Bad(row.id, root / row.photo, f"{fault} ({row.where} of {row.path.name})")
        elif row.id in ids:
            yield Bad(row.id, row.path, f"{row.where}: the id {row.id} came before")
        else:
            yield _face(root, row, photo, sides(photo), scheme, given)
        ids.add(row.id)


def _num_points(scheme):
    if scheme not in SCHEMES:
        raise InputError(
            f"image_folder: name the scheme of the points, --set scheme=NAME; there are: "
            f"{', '.join(SCHEMES)}"
        )
    return SCHEMES[scheme].num_points


def _files(folder, layout):
    """A layout's files right in the folder, without the hidden ones (macOS leaves such in
    archives)."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    paths = (path for path in inside if path.suffix.lower() == ENDINGS[layout])
    return [path for path in paths if not path.name.startswith(".")]


def _files_of(root, layout):
    """The files of any layout but pts: one, or, of COCO's, one a split, in `annotations` too."""
    found = _files(root, layout)
    if layout == "coco" and not found and (root / ANNOTATIONS).is_dir():
        found = _files(root / ANNOTATIONS, layout)
        # COCO's own holds captions and outlines as well.
        points = [path for path in found if re.search("keypoint|landmark", path.stem.lower())]
        found = points or found
    return found


def _layout(root):
    found = [layout for layout in LAYOUTS if layout != "pts" and _files_of(root, layout)]
    if any(path.suffix.lower() == ENDINGS["pts"] for path in below(root)):
        found.insert(0, "pts")
    if len(found) != 1:
        what = " and ".join(found) or "no .pts, .csv, .jsonl or .json files"
        raise InputError(f"{root}: holds {what}; name the layout: --set layout={'|'.join(LAYOUTS)}")
    return found[0]


def _split_of(path):
    """The split that a file's name tells, as "person_keypoints_val2017"; "" where it tells none."""
    words = re.split("[^a-z]+", path.stem.lower())
    told = {"train": "train", "val": "test", "valid": "test", "validation": "test", "test": "test"}
    return next((told[word] for word in words if word in told), "")


def _refuse_percent(root, found, sides):
    """Errors: InputError where all coordinates end at 100 and no photo is as small as that."""
    ends = [np.nanmax(np.abs(row.points), initial=0) for row, *_ in found]
    if not 2 < max(ends, default=0) <= 100:
        return
    known = [sides(photo) for _, photo, _ in found if photo is not None]
    if any(known) and all(min(one[0]) >= PERCENT for one in known if one is not None):
        raise InputError(
            f"{root}: all coordinates lie within 0 to 100, and all photos are larger; say by the "
            "option unit=percent or unit=pixels what they are"
        )


class _Folder:
    """The photos below a folder, by the names that annotations give them."""

    def __init__(self, root: Path):
        self.root, self.names = root, None

    def find(self, row: _Row) -> tuple[Path | None, str]:
        """The photo of a row, and, where there is none, why."""
        name = posixpath.normpath(row.photo)
        if posixpath.isabs(name) and Path(name).is_relative_to(self.root.absolute()):
            name = Path(name).relative_to(self.root.absolute()).as_posix()
        if posixpath.isabs(name) or name.split("/")[0] == "..":
            return None, "the photo lies outside the folder; name it from the folder on"
        # "person_keypoints_train2017.json" is of the photos in "train2017".
        words = row.path.stem.split("_")
        folders = ["", *("_".join(words[place:]) for place in range(len(words)))]
        folders = [posixpath.join(parent, one) for one in folders for parent in ("", "images")]
        names = dict.fromkeys([name, name.replace("\\", "/")])  # as Windows writes it
        for one, endings in itertools.product(names, (("",), SUFFIXES)):
            if found := self._in(folders, [one + ending for ending in endings]):
                break
        else:
            return None, "no such photo"
        if len(found) > 1:
            several = " and ".join(path.name for path in found)
            return None, f"there are several such photos, {several}; name one"
        return found[0], ""

    def _in(self, folders, names):
        """Files of these names in the first of these folders that has any: so written, else in
        other cases."""
        for folder in folders:
            if found := [p for n in names if (p := inside(self.root, posixpath.join(folder, n)))]:
                return found
        if self.names is None:
            self.names = defaultdict(list)
            for path in below(self.root):
                if path.is_file():
                    self.names[_folded(path.relative_to(self.root).as_posix())].append(path)
        for folder in folders:
            keys = {_folded(posixpath.join(folder, name)) for name in names}
            if found := [path for key in sorted(keys) for path in self.names.get(key, ())]:
                return found
        return []


def _folded(name):
    """A name as file systems compare it that do not tell cases, or forms of accents, apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _face(root, row, photo, known, scheme, given):
    """The face of a row on this photo, of which `known` are photos.sides, or what is wrong."""
    every = np.ones(len(row.points), bool)
    labelled = every if row.labelled is None else row.labelled
    visible = labelled & (every if row.visible is None else row.visible)
    points, box, zero = row.points, row.box, (row.points == 0).all(1)
    reason = _fault(row, known, labelled, given)
    viewed = _viewed(row, known, given["frame"])
    if reason is None and given["negative"] == "occluded":
        try:
            points, seen, has = unsigned(points)
            labelled, visible = labelled & has, visible & seen
        except ValueError as error:
            reason = str(error)
    if given["zeros"] == "unlabelled":
        labelled, visible = labelled & ~zero, visible & ~zero
    points = np.where(labelled[:, None], points, np.nan)
    if given["unit"] in ("share", "percent") and known is not None:
        sides = np.array(known[1 if viewed else 0]) / (100 if given["unit"] == "percent" else 1)
        points, box = points * sides, None if box is None else box * np.tile(sides, 2)
    auto = 1 if given["layout"] == "pts" else 0
    origin = auto if given["base"] == "auto" else int(given["base"])
    points = points - origin
    if reason := reason or _fits_other(points[labelled], known, viewed):
        return Bad(row.id, row.path, f"{row.where}: {reason}")
    return Face(
        split=row.split or given["split"],
        id=row.id,
        photo=photo,
        points={scheme: points.astype(np.float32)},
        visible={scheme: visible},
        labelled={scheme: labelled},
        boxes={} if box is None else {"dataset": (box - origin).astype(np.float32)},
        group=photo.relative_to(root).as_posix(),
        upright=viewed and known is not None and known[2],
    )


def _viewed(row, known, frame):
    """Whether the points are of the photo as a viewer shows it: its size in the file decides."""
    if known is None or row.size is None or known[0] == known[1]:
        return frame == "viewer"
    return tuple(row.size) == known[1]


def _fault(row, known, labelled, given):
    """Why the numbers of a row cannot be what they should be, or None."""
    points, split = row.points[labelled], row.split or given["split"]
    numbers = np.append(points, [] if row.box is None else row.box)
    if split not in ("train", "test"):
        return f"its split {split!r} is neither train nor test"
    if not np.isfinite(numbers).all():
        return "a number is NaN or infinite"
    if (far := np.abs(numbers).max(initial=0)) > FARTHEST:
        return f"a coordinate is {far:g}; no photo is so large"
    if known is not None and row.size is not None and tuple(row.size) not in known[:2]:
        return (
            f"{row.photo} is said to have {_by(row.size)} pixels, and has {_by(known[1])}: points "
            "of a resized copy? Give the points and the size of this photo"
        )
    if given["negative"] == "refuse" and (negative := int((points < 0).any(1).sum())):
        return (
            f"{negative} of its points have negative coordinates; say what they mean by the option "
            "negative=outside (a place beyond the photo) or negative=occluded (hidden at the same "
            "place without its sign, and -1 -1 not labelled)"
        )
    if given["zeros"] == "refuse" and (zeros := int((points == 0).all(1).sum())):
        return (
            f"{zeros} of its points lie at 0 0; say what it means by the option zeros=unlabelled "
            "(nobody labelled them) or zeros=place"
        )
    if given["unit"] == "auto" and len(points) and np.abs(points).max() <= 2:
        return (
            "all its coordinates are about 0 to 1; where they are shares of the photo's sides, say "
            "so by the option unit=share, or else unit=pixels"
        )
    return None


def _by(size):
    return f"{size[0]:g} x {size[1]:g}"


def _fits_other(points, known, viewed):
    """Why the points seem to be of the photo's other frame, or None: of a photo with an EXIF
    rotation, they lie in that one alone."""
    if known is None or not known[2] or not len(points):
        return None
    stored, shown, _ = known
    inside = [bool(((points > -1) & (points < np.array(s) + 1)).all()) for s in (stored, shown)]
    if inside[viewed] or not inside[not viewed]:
        return None
    there, here = ("stored", "viewer")[:: 1 if viewed else -1]
    return (
        f"the photo has an EXIF rotation, and the points lie in it with frame={there} alone, not "
        f"with frame={here}; say by this option what they are of"
    )


def _pts(root, count):
    own, beside = [], defaultdict(list)
    for path in below(root):
        if path.suffix.lower() == ENDINGS["pts"]:
            own.append(path)
        elif path.suffix.lower() in SUFFIXES:
            beside[path.with_suffix("")].append(path)
        elif path.is_symlink() and not path.exists():
            name = path.relative_to(root).as_posix()
            yield Bad(name, path, "a link that leads nowhere; mend or remove it")
    folded = defaultdict(list)  # photos that have no .pts of their very name
    for name in sorted(beside.keys() - {path.with_suffix("") for path in own}):
        folded[_folded(name.as_posix())] += beside[name]
    for path in sorted(own):
        name = path.relative_to(root).with_suffix("").as_posix()
        found = beside.get(path.with_suffix("")) or folded[_folded(path.with_suffix("").as_posix())]
        if len(found) != 1:
            reason = "there is no photo (.jpg, .png, .webp, ...) beside it"
            if found:
                names = " and ".join(photo.name for photo in found)
                reason = f"there are several photos beside it, {names}; leave one"
            yield Bad(name, path, reason)
            continue
        try:
            points = read_pts(path, count, base=0)
        except InputError as error:
            yield Bad.of(name, path, error)
            continue
        yield _Row(path, "points", found[0].relative_to(root).as_posix(), points, id=name)


def _tables(root, layout, scheme):
    """The rows of csv, jsonl or coco files; those that cannot be read are Bad."""
    files = _files_of(root, layout)
    several = layout == "coco" and all(map(_split_of, files))
    if len(files) != 1 and not (files and several):
        raise InputError(f"{root}: holds {len(files)} *{ENDINGS[layout]}; there must be one")
    for path in files:
        split = _split_of(path) if len(files) > 1 or path.parent != root else ""
        for row in _rows(path, layout, scheme):
            if isinstance(row, _Row):
                row.split, row.by_place = row.split or split, len(files) > 1
            yield row


def _rows(path, layout, scheme):
    entries, parse = {"csv": _csv, "jsonl": _jsonl, "coco": _coco}[layout](
        path, texts.read(path), scheme
    )
    found = False
    for where, entry in entries:
        found = True
        try:
            yield parse(where, entry)
        except ValueError as error:
            yield Bad(f"{path.name}, {where}", path, f"{where}: {error}")
    if not found:
        raise InputError(f"{path}: holds no faces")


def _csv(path, text, scheme):
    count = scheme.num_points
    (_, header), *rows = texts.table(text, path) or [(1, [])]
    header = [name.lower() for name in header]
    if not {"file", "id"} & set(header):
        raise InputError(
            f"{path}: line 1 must be a header with file or id, x0, y0, x1, y1, ..., parted by "
            "commas, semicolons or tabs"
        )
    columns = [name for name in header if re.fullmatch("[xy][0-9]+", name)]
    wanted = _columns(count)
    if len(columns) != len(wanted):
        raise InputError(
            f"{path}: its header has {len(columns) / 2:g} points, the scheme has {count} "
            f"(x0, y0 to x{count - 1}, y{count - 1}); mend it or name another scheme"
        )
    known = {"file", "id", "split", *BOX, *wanted}
    if twice := texts.repeated([name for name in header if name in known]):
        raise InputError(f"{path}: its header holds {twice!r} twice")
    if lacking := [name for name in wanted if name not in columns]:
        others = [name for name in columns if name not in wanted]
        raise InputError(
            f"{path}: its header holds {', '.join(others[:4])} and lacks {', '.join(lacking[:4])}; "
            f"name the points x0, y0 to x{count - 1}, y{count - 1}"
        )
    if set(BOX) & set(header) and not set(BOX) <= set(header):
        raise InputError(f"{path}: its header must hold all of {', '.join(BOX)}, or none")
    numeric = [place for place, name in enumerate(header) if name in {*wanted, *BOX}]
    cells = [[row[place] for place in numeric if place < len(row)] for _, row in rows]
    for (_, row), numbers in zip(rows, texts.with_points(cells, path), strict=True):
        for place, number in zip(numeric, numbers, strict=False):
            row[place] = number

    def parse(where, row):
        if len(row) != len(header):
            raise ValueError(f"{len(row)} columns, the header has {len(header)}")
        return _flat(path, where, dict(zip(header, row, strict=True)), count)

    return ((f"line {number}", row) for number, row in rows), parse


def _jsonl(path, text, scheme):
    count = scheme.num_points

    def parse(where, line):
        try:
            entry = texts.from_json(line)
        except ValueError as error:
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

    lines = enumerate(texts.lines(text), 1)
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
    listed = values if isinstance(values, list) else []
    flat = itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in listed)
    try:
        if any(isinstance(value, bool) for value in flat):
            raise TypeError("true and false are no numbers")
        numbers = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a coordinate is not a number, or some are missing") from None
    if numbers.shape != shape:
        raise ValueError(f"numbers of shape {numbers.shape}, there must be {shape}")
    return numbers


def _coco(path, text, scheme):
    count = scheme.num_points
    try:
        stored = texts.from_json(text)
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(stored, Mapping) or not all(
        isinstance(stored.get(key), list) and all(isinstance(item, dict) for item in stored[key])
        for key in ("images", "annotations")
    ):
        raise InputError(f"{path}: not COCO's JSON; it must hold the lists images and annotations")
    items, images = stored["annotations"], {}
    for image in stored["images"]:
        key, name = str(image.get("id")), image.get("file_name")
        if (first := images.setdefault(key, image).get("file_name")) != name:
            raise InputError(
                f"{path}: the image id {key} is of {first} and of {name}; give each an id of its "
                "own"
            )
    orders = _orders(path, stored.get("categories"), scheme)
    # 0: not labelled, 1: labelled but hidden, 2: visible. A file without any 2 says 1 of all that
    # is labelled, hidden or not.
    keypoints = (item.get("keypoints") for item in items)
    seen = 2 if any(isinstance(k, list) and 2 in k[2::3] for k in keypoints) else 1

    def parse(where, item):
        image = images.get(str(item.get("image_id")), {})
        photo, size = image.get("file_name"), [image.get("width"), image.get("height")]
        if not isinstance(photo, str):
            raise ValueError(f"its image_id {item.get('image_id')!r} is none of the images")
        flat = item.get("keypoints")
        flat = flat if isinstance(flat, list) else []
        if len(flat) != 3 * count:
            raise ValueError(f"{len(flat) / 3:g} points, the scheme has {count}")
        table = _array(flat, (3 * count,)).reshape(-1, 3)
        kind = item.get("category_id", next(iter(orders)) if len(orders) == 1 else None)
        table = table[orders.get(str(kind), slice(None))]
        if not np.isin(table[:, 2], (0, 1, 2)).all():
            raise ValueError("a flag of its keypoints is neither 0, 1 nor 2")
        labelled = table[:, 2] > 0
        table[~labelled, :2] = np.nan
        box = None
        if item.get("bbox") is not None:
            x, y, width, height = _array(item["bbox"], (4,))
            box = np.array([x, y, x + width, y + height])
        return _Row(
            path, where, photo, table[:, :2], box=box, visible=table[:, 2] >= seen,
            labelled=labelled, size=_array(size, (2,)) if all(size) else None,
        )  # fmt: skip

    return ((f"annotation {item.get('id', n)}", item) for n, item in enumerate(items)), parse


def _orders(path, categories, scheme):
    """Category id -> which keypoint each point of the scheme is, for those that name keypoints.

    Names are the scheme's, or numbers from 0 or 1; what has other names is in the scheme's order.
    Errors: InputError where some names are the scheme's, and stand at other places than there.
    """
    orders, count = {}, scheme.num_points
    categories = categories if isinstance(categories, list) else []
    for category in categories:
        names = category.get("keypoints") if isinstance(category, dict) else None
        names = [str(name).strip().lower() for name in names] if isinstance(names, list) else []
        if len(names) != count:
            continue
        known = {name: place for place, name in enumerate(scheme.names)}
        first = next((str(n) for n in (0, 1) if str(n) in names), "")
        known |= {str(n + int(first)): n for n in range(count)} if first else {}
        places = [known.get(name) for name in names]
        wrong = [i for i, place in enumerate(places) if place not in (None, i)]
        told = [place for place in places if place is not None]
        if sorted(told) == [*range(count)]:
            orders[str(category.get("id"))] = np.argsort(told)
        elif wrong:
            raise InputError(
                f"{path}: a category calls its keypoint {wrong[0]} {names[wrong[0]]}, which is "
                f"point {places[wrong[0]]} of {scheme.name}; name all points as the scheme does, "
                "or bring them into its order"
            )
    return orders


def _variant(options):
    _num_points(options["scheme"])
    return {"schemes": (options["scheme"],)}


BENCHMARK = Benchmark(
    name="image_folder",
    schemes=tuple(SCHEMES),
    faces=faces,
    counts={},
    version="2.0.0",  # 1.0.0: EXIF rotation was ignored, COCO's flag 0 was a hidden point
    options={
        "scheme": "",
        "base": "auto",
        "layout": "auto",
        "split": "train",
        "negative": "refuse",
        "zeros": "refuse",
        "frame": "viewer",
        "unit": "auto",
    },
    variant=_variant,
    instructions=(
        "Your own photos with .pts files beside, or with one .csv (file, x0, y0, x1, y1, ... in "
        "its header), .jsonl or COCO-style .json in their folder. --set scheme=NAME names the "
        "points, base=0|1 where their coordinates begin to count, split=train|test, "
        "negative=outside|occluded what negative coordinates mean, zeros=unlabelled|place what 0 0 "
        "means, frame=stored that points are of photos without their EXIF rotation, "
        "unit=share|percent that they are of the photo's sides."
    ),
)
