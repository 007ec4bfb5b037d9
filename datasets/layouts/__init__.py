"""The layouts of a user's own annotations: one module each, and one entry of LAYOUTS.

The contents of its files show which layout a folder has.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jaxalign import texts
from jaxalign.datasets.formats import below
from jaxalign.datasets.layouts import (
    coco,
    cvat,
    dlib,
    label_studio,
    labelme,
    predictions,
    pts,
    supervisely,
    table,
    via,
)
from jaxalign.datasets.layouts.rows import Layout
from jaxalign.errors import InputError


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        pts.LAYOUT,
        table.CSV,
        table.JSONL,
        coco.LAYOUT,
        labelme.LAYOUT,
        cvat.LAYOUT,
        dlib.LAYOUT,
        via.LAYOUT,
        label_studio.LAYOUT,
        supervisely.LAYOUT,
        predictions.LAYOUT,
    )
}
ANNOTATIONS = "annotations"  # the folder of COCO's own tree that holds its files
ENOUGH = 20  # files that tell the layout of a folder with one beside each photo


def document(path: Path) -> Any:
    """What a file holds, by its ending.

    That is a JSON value, the root of an XML tree, the rows of a CSV, or the text of JSON lines;
    None for other files. Raises InputError that names the file and the line.
    """
    ending = path.suffix.lower()
    if ending == ".json":
        return texts.json_of(texts.read(path), path)
    if ending == ".csv":
        return texts.table(texts.read(path), path)
    if ending == ".jsonl":
        return texts.read(path)
    if ending == ".xml":
        return _tree(path)
    return None


def _tree(path):
    stored = texts.file_bytes(path)
    if b"<!ENTITY" in stored:
        raise InputError(f"{path}: declares entities, which annotations have no need of")
    try:
        return ElementTree.fromstring(stored)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path}: not XML ({error}); export it again") from None


def find(root: Path, name: str) -> tuple[Layout, list[Path]]:
    """The layout of a folder or of a single file, and its files in order.

    `name` is the layout's name; with "auto" the files show it. Raises InputError where there is no
    layout, or several fit.
    """
    if root.is_file():
        asked = [LAYOUTS[name]] if name != "auto" else [*LAYOUTS.values()]
        held = document(root)
        if kinds := [one for one in asked if fits(one, root, held)]:
            return kinds[0], [root]
        raise unknown(root, held, asked)
    if name != "auto":
        layout = LAYOUTS[name]
        return layout, _files(root, layout)
    found, other, unreadable = {}, [], []
    if any(path.suffix.lower() == ".pts" for path in below(root)):
        found["pts"] = []
    for stage in _stages(root):
        for path in stage:
            try:
                held = document(path)
            except InputError as error:
                unreadable.append(error)
                continue
            kinds = [one for one in LAYOUTS.values() if fits(one, path, held)]
            for one in kinds:
                found.setdefault(one.name, []).append(path)
            if not kinds:
                other.append(path)
        if found:
            break
    if len(found) > 1:
        found.pop(predictions.LAYOUT.name, None)  # the others may be corrected copies of these
    if len(found) == 1:
        layout = LAYOUTS[next(iter(found))]
        return layout, _files(root, layout)
    choice = f"--set layout={'|'.join(LAYOUTS)}"
    if found:
        names = " and ".join(name for name in LAYOUTS if name in found)
        raise InputError(f"{root}: holds {names}; name the layout: {choice}")
    if unreadable:
        raise unreadable[0]
    if other:
        raise unknown(other[0], document(other[0]), LAYOUTS.values())
    endings = _endings(LAYOUTS.values())
    raise InputError(
        f"{root}: holds no {', '.join(endings[:-1])} or {endings[-1]} files with annotations; put "
        "them beside the photos, or name their file or folder with --labels"
    )


def unknown(path: Path, held: Any, asked: Collection[Layout]) -> InputError:
    """The error of a file that fits none of the layouts that were asked for."""
    kinds = [one.what for one in asked if path.suffix.lower() in one.endings]
    if not kinds:
        return InputError(f"{path}: a file of annotations ends on {', '.join(_endings(asked))}")
    return InputError(
        f"{path}: {_told(held)}, not {' or '.join(kinds)}; see docs/formats.md for their forms"
    )


def _endings(asked):
    return sorted({ending for one in asked for ending in one.endings})


def fits(layout: Layout, path: Path, held: Any) -> bool:
    """Whether a file with this document is one of the layout."""
    return path.suffix.lower() in layout.endings and layout.fits(held)


def _told(held):
    """A document that no layout fits, in a few words."""
    if isinstance(held, ElementTree.Element):
        return f"XML of <{held.tag}>"
    if isinstance(held, dict):
        return f"an object of {', '.join(map(str, [*held][:4])) or 'nothing'}"
    if isinstance(held, list):
        return "a table" if held and isinstance(held[0], tuple) else "a list"
    return "a single value"


def _stages(root) -> Iterator[list[Path]]:
    """The files that may show the layout.

    They lie right in the folder, or else in `annotations`, or else anywhere below. Hidden files are
    passed over (macOS leaves some in archives).
    """
    endings = {*_endings(LAYOUTS.values())} - {".pts"}
    for folder in (root, root / ANNOTATIONS):
        files = _inside(folder, endings) if folder.is_dir() else []
        many = [path for path in files if path.suffix.lower() == ".json"][ENOUGH:]
        yield [path for path in files if path not in many]
    yield [p for p in below(root) if p.suffix.lower() in endings and p.is_file()][:ENOUGH]


def _inside(folder, endings):
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    files = [path for path in files if path.suffix.lower() in endings]
    return [path for path in files if not path.name.startswith(".")]


def _files(root, layout):
    """The files of a layout: one beside each photo, or a single one, or one a split (COCO)."""
    if layout.beside:
        paths = [path for path in below(root) if path.suffix.lower() in layout.endings]
        return sorted(path for path in paths if path.name not in layout.aside)
    found = _inside(root, layout.endings)
    if not found and (root / ANNOTATIONS).is_dir():
        found = _inside(root / ANNOTATIONS, layout.endings)
        # COCO's own holds captions and outlines as well.
        points = [path for path in found if re.search("keypoint|landmark", path.stem.lower())]
        found = points or found
    if len(found) > 1:
        found = [path for path in found if fits(layout, path, document(path))] or found
    several = layout.name == "coco" and all(map(split_of, found))
    if len(found) != 1 and not (found and several):
        endings = " or ".join(f"*{ending}" for ending in layout.endings)
        raise InputError(
            f"{root}: holds {len(found)} {endings}; there must be one of {layout.what}, or name "
            "one by --labels"
        )
    return found


def split_of(path: Path) -> str:
    """The split in a file's name, as "person_keypoints_val2017"; "" where there is none."""
    words = re.split("[^a-z]+", path.stem.lower())
    told = {"train": "train", "val": "test", "valid": "test", "validation": "test", "test": "test"}
    return next((told[word] for word in words if word in told), "")
