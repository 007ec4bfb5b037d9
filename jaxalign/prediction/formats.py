"""Predictions in the formats of annotation tools, to be corrected there and trained on.

The files hold the faces of status ok, and are written after faces.json is whole. From then on they
are the user's: an existing file is never overwritten, because it may have been corrected.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import folders
from jaxalign.errors import InputError
from jaxalign.records import json_text
from jaxalign.schemes import SCHEMES, Scheme


LABELME = "5.5.0"  # the version whose format is written
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")


@dataclass(frozen=True)
class Photo:
    """A photo, its faces of status ok, and the folder for the files of labels."""

    path: str
    width: int
    height: int
    faces: list[dict]
    out: Path


def check(name: str, out: Path, paths: Sequence[Path]) -> None:
    """Check a format before anything is computed.

    Raises:
        InputError: There is no such format, or its files exist already.
    """
    if name not in FORMATS:
        raise InputError(f"--format {name}: choose one of {', '.join(FORMATS)}")
    form = FORMATS[name]
    for file in _names(paths, form.ending).values() if form.ending else [form.single]:
        if file and os.path.lexists(out / file):
            raise InputError(
                f"{out}: holds {file}, which may have been corrected; move it away, or name "
                "another folder"
            )


def write(name: str, out: Path, file: Path) -> list[Path]:
    """Write the faces of a whole faces.json in a format.

    Returns:
        The files.

    Raises:
        InputError: A file exists already, or cannot be written.
    """
    held = json.loads(file.read_bytes())
    scheme, left = SCHEMES[held["scheme"]], 0
    photos = []
    for record in held["photos"]:
        faces = record.get("faces", [])
        kept = [face for face in faces if face["status"] == "ok"]
        left += len(faces) - len(kept)
        if "width" in record:
            size = record["width"], record["height"]
            photos.append(Photo(record["photo"], *size, kept, out))
    form, made = FORMATS[name], []
    names = _names([Path(photo.path) for photo in photos], form.ending)
    for path, text in form.texts(photos, scheme, names):
        with folders.readable_errors(out / path, ""):
            if os.path.lexists(out / path):
                raise InputError(f"{out / path}: is there already; move it away")
            with folders.whole(out / path) as stream:
                stream.write(text.encode("utf-8", "backslashreplace"))
        made.append(out / path)
    if left:
        print(f"{left} faces of low confidence are in {file.name} alone")
    return made


def _names(paths, ending) -> dict[str, str]:
    """Photo -> the name of its file of labels. labelme needs the photo's own name."""
    names, taken, own = {}, {"faces.json"}, {f"{path.stem}{ending}" for path in paths}
    for path in paths:
        file, number = f"{path.stem}{ending}", 2
        while file in taken or (number > 2 and file in own):
            file, number = f"{path.stem}.{number}{ending}", number + 1
        names[os.fspath(path)] = file
        taken.add(file)
    return names


def _csv(photos, scheme, names):
    keys = [f"{axis}{i}" for i in range(scheme.num_points) for axis in "xy"]
    lines = [["file", "score", *BOX, *keys]]
    for photo in photos:
        for face in photo.faces:
            points = [value for point in face["points"] for value in point]
            lines.append([_cell(photo.path), face["score"], *face["box"], *points])
    yield "faces.csv", "".join(",".join(map(str, line)) + "\n" for line in lines)


def _cell(text):
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(c in text for c in ',"\n\r;\t') else text


def _coco(photos, scheme, names):
    images, annotations = [], []
    for number, photo in enumerate(photos, 1):
        size = {"width": photo.width, "height": photo.height}
        images.append({"id": number, "file_name": photo.path} | size)
        for face in photo.faces:
            x0, y0, x1, y1 = face["box"]
            width, height = round(x1 - x0, 2), round(y1 - y0, 2)
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1,
                "keypoints": [value for x, y in face["points"] for value in (x, y, 2)],
                "num_keypoints": len(face["points"]), "score": face["score"],
                "bbox": [x0, y0, width, height], "area": round(width * height, 2), "iscrowd": 0,
            })  # fmt: skip
    category = {"id": 1, "name": "face", "supercategory": "face"}
    category |= {"keypoints": list(scheme.names), "skeleton": []}
    whole = {"images": images, "annotations": annotations, "categories": [category]}
    yield "coco.json", json_text(whole, ensure_ascii=False) + "\n"


def _pts(photos, scheme, names):
    """Further faces are in x.face2.pts, ..., without the numbers that are names of photos."""
    taken = set(names.values())
    for photo in photos:
        own = names[photo.path]
        numbered = (f"{own.removesuffix('.pts')}.face{n}.pts" for n in itertools.count(2))
        files = itertools.chain([own], (file for file in numbered if file not in taken))
        for file, face in zip(files, photo.faces, strict=False):
            lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in face["points"])
            count = len(face["points"])
            yield file, f"version: 1\nn_points: {count}\n{{\n{lines}\n}}\n"


def _labelme(photos, scheme, names):
    for photo in photos:
        shapes = []
        for group, face in enumerate(photo.faces, 1):
            x0, y0, x1, y1 = face["box"]
            shapes.append(_shape("face", [[x0, y0], [x1, y1]], "rectangle", group))
            for name, point in zip(scheme.names, face["points"], strict=True):
                shapes.append(_shape(name, [point], "point", group))
        whole = {
            "version": LABELME,
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(os.path.relpath(photo.path, photo.out)).as_posix(),
            "imageData": None,
            "imageHeight": photo.height,
            "imageWidth": photo.width,
        }
        yield names[photo.path], json_text(whole, ensure_ascii=False, indent=2) + "\n"


def _shape(label, points, kind, group):
    """A shape in labelme's coordinates, which count from the edge of the photo."""
    return {
        "label": label,
        "points": (np.asarray(points) + 0.5).round(3).tolist(),
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
    }


@dataclass(frozen=True)
class Format:
    """How a format is written.

    Attributes:
        texts: (name, text) of each file.
        single: The name of its only file.
        ending: Of the names of its files, where each photo has its own.
    """

    texts: Callable[[Iterable[Photo], Scheme, dict[str, str]], Iterator[tuple[str, str]]]
    single: str = ""
    ending: str = ""


FORMATS: dict[str, Format] = {
    "json": Format(lambda photos, scheme, names: iter(())),  # faces.json itself
    "csv": Format(_csv, single="faces.csv"),
    "coco": Format(_coco, single="coco.json"),
    "pts": Format(_pts, ending=".pts"),
    "labelme": Format(_labelme, ending=".json"),
}
