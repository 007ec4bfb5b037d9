"""A user's own faces: photos with points of any scheme, in one of the layouts of `layouts`.

Photos are looked for by their names from the folder on, from its `images`, from the place of the
file of annotations, or, in COCO's tree, from the folders that the JSON file is named after
(`train2017`). A name that differs only in upper and lower case also finds its photo; so does the
name of a photo in a folder that is not there, which is then reported. Without `file`, a row's `id`
is the photo's name, with or without its extension. Without `id` a face is called after its photo,
and the second one of a photo "<photo>#2".

Points are in the scheme's order, or have the scheme's names, or numbers.

A photo's width and height in a file of annotations decide in which frame its points are, and must
be the photo's.

A point that nobody labelled has no place: two empty cells in a csv, null, null in a jsonl, the flag
0 in COCO's, a missing name in layouts that name points. What else tools write there is not guessed;
options say what it means.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign import photos
from jaxalign.datasets import layouts
from jaxalign.datasets.faces import FARTHEST, Bad, Benchmark, Face, Remark
from jaxalign.datasets.formats import below, unsigned
from jaxalign.datasets.layouts import LAYOUTS
from jaxalign.datasets.layouts.folder import Folder
from jaxalign.datasets.layouts.rows import Asked, Names, Row, read
from jaxalign.errors import InputError
from jaxalign.samples import held_out
from jaxalign.schemes import SCHEMES


CHOICES = {
    "base": ("auto", "0", "0.5", "1"),
    "layout": ("auto", *LAYOUTS),
    "split": ("train", "test"),
    "negative": ("refuse", "outside", "occluded"),
    "zeros": ("refuse", "unlabelled", "place"),
    "frame": ("viewer", "stored"),
    "unit": ("auto", "pixels", "share", "percent"),
    "first": ("auto", "0", "1"),
    "columns": ("auto", "pairs", "halves"),
}
PERCENT = 200  # sides of photos, in pixels, from which coordinates up to 100 are doubted


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
    first: str = "auto",
    columns: str = "auto",
    label: str = "",
    val: float = 0.0,
    name: str = "",
    labels: Path | None = None,
) -> Iterator[Face | Bad | Remark]:
    """Reads every face of the folder: in the order of its file, or by name where each has its own.

    The base cannot be seen in the numbers and has to be known.

    Args:
        root: The folder of the photos.
        scheme: The name of the points' scheme.
        base: Where the coordinates of the files, boxes included, begin to count: "0" or "1" at the
            middle of the first pixel, or "0.5", which is 0 at the photo's edge; "auto" is the
            layout's own (docs/formats.md).
        layout: The layout's name, or "auto": the one that the files show.
        split: The split ("train" or "test") of the faces whose split the files do not name.
        negative: What negative coordinates mean: "outside", places beyond the photo; or "occluded",
            hidden points as in MERL-RAV (-x, -y lies hidden at x, y, and -1, -1 was not labelled).
            "refuse" accepts none.
        zeros: What 0, 0 means: a point without a label ("unlabelled") or a "place". "refuse"
            accepts none.
        frame: What the points are of: "viewer", the photo with its EXIF rotation applied, as
            labelling tools and predictions have it; or "stored", its pixels as they are stored.
        unit: What the coordinates are: "pixels", or shares of the photo's sides, within 0 to 1
            ("share") or 0 to 100 ("percent"). "auto" means pixels, and refuses coordinates that
            may be shares.
        first: The number of the first point, "0" or "1", where points have numbers; "auto" tells it
            from the numbers.
        columns: How a CSV's columns stand that do not tell x from y: "pairs" (x, y, x, y, ...) or
            "halves" (all x, then all y).
        label: The category or class of faces, where annotations have others too.
        val: The share of the photos of train that become the split val, the same whatever order
            they come in; at least 0 and below 1.
        name: Tells data sets apart that differ in nothing else.
        labels: The file or the folder of annotations, where that is not the photos' own.

    Yields:
        A Face or a Bad for each face, and Remarks.

    Raises:
        InputError: An option or a whole file is wrong, or no layout is found.
    """
    root = Path(root)
    given: dict[str, Any] = {
        "base": base,
        "layout": layout,
        "split": split,
        "negative": negative,
        "zeros": zeros,
    }
    given |= {"frame": frame, "unit": unit, "first": first, "columns": columns}
    _check(scheme, given)
    if not 0 <= val < 1:
        raise InputError(f"image_folder: val={val:g}; it is at least 0 and below 1")
    kind, files = layouts.find(Path(labels or root), layout)
    given["base"] = str(kind.base) if base == "auto" else base
    asked = Asked(Folder(root), SCHEMES[scheme], label, columns, first)
    found = [*(_lost(root) if kind.beside else ()), *_read(kind, files, asked)]
    rows = [row for row in found if isinstance(row, Row)]
    names = Names(SCHEMES[scheme], (p.name for row in rows for p in row.named or ()), first)
    asked.folder.expect(rows)
    found = [_placed(row, names, asked.folder, kind) for row in found]
    sides = functools.cache(photos.sides)
    if unit == "auto":
        _refuse_percent(root, [one for one in found if isinstance(one, tuple)], sides)
    photos_of_train = {
        one[1].relative_to(root).as_posix()
        for one in found
        if isinstance(one, tuple) and one[1] is not None and (one[0].split or split) == "train"
    }
    given["held"] = held_out(photos_of_train, val)
    if given["held"] and given["held"] == photos_of_train:
        raise InputError(f"{root}: {len(photos_of_train)} photos of train, too few for val={val:g}")
    shown, ids = Counter(), set()
    for one in found:
        if not isinstance(one, tuple):
            yield one
            continue
        row, photo, fault = one
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
    for name, photo in asked.folder.moved.items():
        place = photo.relative_to(root).as_posix()
        yield Remark(
            "photos that lie in other folders than the annotations say", f"{name}: {place}"
        )


def _check(scheme, given):
    if scheme not in SCHEMES:
        raise InputError(
            f"image_folder: name the scheme of the points, --set scheme=NAME; there are: "
            f"{', '.join(SCHEMES)}, and yours of NAME.toml in the folder (docs/formats.md)"
        )
    for option, value in given.items():
        if value not in CHOICES[option]:
            raise InputError(f"image_folder: {option}={value}; it is {', '.join(CHOICES[option])}")


def _lost(root):
    for path in below(root):
        if path.is_symlink() and not path.exists():
            name = path.relative_to(root).as_posix()
            yield Bad(name, path, "a link that leads nowhere; mend or remove it")


def _read(kind, files, asked):
    """The rows of the layout's files; files that cannot be read are Bad."""
    for path in files:
        inside = path.is_relative_to(asked.folder.root)
        name = path.relative_to(asked.folder.root).as_posix() if inside else path.name
        try:
            held = layouts.document(path)
            if not layouts.fits(kind, path, held):
                if not kind.beside:
                    raise layouts.unknown(path, held, [kind])
                if not any(layouts.fits(other, path, held) for other in LAYOUTS.values()):
                    yield Bad(name, path, f"not {kind.what}; mend or remove it")
                continue
            rows = [*read(kind, path, held, asked)]
        except InputError as error:
            if not kind.beside:
                raise
            yield Bad.of(name.removesuffix(path.suffix), path, error)
            continue
        split = ""
        if kind.name == "coco" and (len(files) > 1 or path.parent != asked.folder.root):
            split = layouts.split_of(path)
        for row in rows:
            if isinstance(row, Row):
                row.split, row.by_place = row.split or split, len(files) > 1
            yield row


def _placed(row, names, folder, kind):
    """(row, its photo or None, why there is none), with points in the scheme's order; or Bad."""
    if not isinstance(row, Row):
        return row
    try:
        row.resolve(names)
    except ValueError as error:
        return Bad(row.id or row.photo, row.path, f"{row.where}: {error} ({kind.told})")
    return (row, *folder.find(row))


def _refuse_percent(root, found, sides):
    """Raises InputError where all coordinates end at 100 and no photo is as small as that."""
    found = [face for face in found if not face[0].percent]
    ends = [np.nanmax(np.abs(row.points), initial=0) for row, *_ in found]
    if not 2 < max(ends, default=0) <= 100:
        return
    known = [sides(photo) for _, photo, _ in found if photo is not None]
    if any(known) and all(min(one[0]) >= PERCENT for one in known if one is not None):
        raise InputError(
            f"{root}: all coordinates lie within 0 to 100, and all photos are larger; say by the "
            "option unit=percent or unit=pixels what they are"
        )


def _face(root, row, photo, known, scheme, given):
    """The face of a row on its photo, whose sizes are `known` (photos.sides), or what is wrong."""
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
    percent = row.percent or given["unit"] == "percent"
    if (percent or given["unit"] == "share") and known is not None:
        sides = np.array(known[1 if viewed else 0]) / (100 if percent else 1)
        points, box = points * sides, None if box is None else box * np.tile(sides, 2)
    origin = float(given["base"])
    points = points - origin
    if reason := reason or _fits_other(points[labelled], known, viewed):
        return Bad(row.id, row.path, f"{row.where}: {reason}")
    group, split = photo.relative_to(root).as_posix(), row.split or given["split"]
    return Face(
        split="val" if split == "train" and group in given["held"] else split,
        id=row.id,
        photo=photo,
        points={scheme: points.astype(np.float32)},
        visible={scheme: visible},
        labelled={scheme: labelled},
        boxes={} if box is None else {"dataset": (box - origin).astype(np.float32)},
        group=group,
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
    if given["unit"] == "auto" and not row.percent and len(points) and np.abs(points).max() <= 2:
        return (
            "all its coordinates are about 0 to 1; where they are shares of the photo's sides, say "
            "so by the option unit=share, or else unit=pixels"
        )
    return None


def _by(size):
    return f"{size[0]:g} x {size[1]:g}"


def _fits_other(points, known, viewed):
    """Why the points seem to be of the photo's other frame, or None.

    That is so where a photo has an EXIF rotation and the points lie in the other frame alone.
    """
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


def _variant(options):
    _check(options["scheme"], {})
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
        "first": "auto",
        "columns": "auto",
        "label": "",
        "val": 0.0,
        "name": "",
    },
    variant=_variant,
    licence="That of your own photos.",
    max_face=0,  # a user's own faces are evaluated, too
    apart=("name",),
    instructions=(
        "Your own photos with annotations of one of these layouts: "
        + ", ".join(f"{one.name} ({one.what})" for one in LAYOUTS.values())
        + ". docs/formats.md tells their forms. --set scheme=NAME names the points, layout=NAME "
        "the layout where files of several lie there, base=0|0.5|1 where coordinates begin, "
        "first=0|1 the number of the first point, columns=pairs|halves how a CSV's columns stand, "
        "label=NAME the category of faces, split=train|test, val=SHARE the photos kept for "
        "validation, name=NAME another data set than that of another folder, "
        "negative=outside|occluded what negative coordinates mean, zeros=unlabelled|place what 0 0 "
        "means, frame=stored that points are of photos without their EXIF rotation, "
        "unit=share|percent that they are of the photo's sides."
    ),
)
