"""A checkpoint on files: photos or a video in, a JSON file and pictures with the points out."""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxalign import checkpoints, drawing, parallel, photos, weights
from jaxalign.errors import InputError
from jaxalign.prediction.aligner import REFINE, Aligner, Face, checked, load, status_of
from jaxalign.prediction.detection import YuNet, read_boxes
from jaxalign.prediction.search import named
from jaxalign.prediction.smoothing import Tracks
from jaxalign.schemes import Scheme


FRAME = (
    "pixels of the photo as a viewer shows it (EXIF rotation applied), x first, counted from 0, "
    "pixel centres at integers"
)
FILE = "faces.json"
AT_ONCE = 100_000_000  # pixels of photos that are held in memory together


def predict(
    ckpt: Path | str | None,
    out: Path | str,
    patterns: Sequence[str] = (),
    *,
    which: str = "best",
    video: str = "",
    smooth: bool = False,
    boxes: Path | str = "",
    detector: str = "",
    detector_model: Path | str = "",
    min_score: float | None = None,
    pictures: bool = True,
    batch: int = 0,
    scheme: str = "",
    require: str = "",
    refine: int | None = None,
) -> Counter:
    """The faces of the photos that `patterns` name (as photos.find takes them), or of the frames of
    a `video`, by a checkpoint as checkpoints.find_step takes it (None: weights that come with
    jaxalign): FILE in the folder `out`, and pictures.

    `boxes`: a file of read_boxes, in place of a detector; `detector`: a name of search.DETECTORS,
    as load takes it; `detector_model`: YuNet's file. `smooth` is of a video's points, `min_score`,
    `batch`, `scheme` and `refine` are the Aligner's. Prints what it does. Returns how many photos
    or frames have which status: ok, low_confidence, no_face, unreadable.
    Errors: InputError, before anything is computed where possible.
    """
    paths = photos.find(list(patterns))
    frames = photos.frames(video) if video else None
    known = _boxes_of(paths, read_boxes(boxes), boxes) if boxes else None
    finder = YuNet(detector_model) if detector_model else detector
    if isinstance(finder, str) and finder not in ("", "auto"):
        finder = named(finder)
    step = checkpoints.find_step(ckpt, which)
    print(f"device: {parallel.start(require)}\n{weights.told(step)}", flush=True)
    aligner = load(
        step, detector=finder or None, batch=batch, min_score=min_score, scheme=scheme,
        refine=REFINE if refine is None else refine,
    )  # fmt: skip
    if not boxes:
        print(f"detector: {aligner.detector.name}")
    if aligner.system.note:
        print(aligner.system.note)
    below = f"a mean score below {aligner.min_score:.3f}"
    print("low_confidence:", below if aligner.min_score else "never, for this checkpoint notes no "
          "score to compare with; --min-score gives one")  # fmt: skip
    about = {"checkpoint": weights.told(step), "scheme": aligner.scheme.name, "frame": FRAME,
             "min_score": aligner.min_score, "refine": aligner.refine}  # fmt: skip
    if video:
        about |= {"video": str(video), "smoothed": smooth}
        counts = _of_frames(aligner, frames, out, about, smooth)
        if counts.total() < (said := photos.frame_count(video)):
            print(f"{video}: says it holds {said} frames; it may be cut short")
    else:
        readings = _readings(paths, known, boxes)
        counts = _of_photos(aligner, readings, len(paths), out, about, pictures)
    found = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{counts.total()} {'frames' if video else 'photos'}: {found}")
    print(f"compilations of the network: {aligner.compilations}")
    print(f"written: {Path(out) / FILE}")
    return counts


def _boxes_of(paths, boxes, file):
    """The boxes of each photo, named by its path or its bare name; none for those that the file
    does not name. Errors: InputError where a bare name is of several photos."""
    boxes, given = {Path(name): those for name, those in boxes.items()}, set(paths)
    # A photo goes by its bare name where that is no photo's path.
    names = [p if p in boxes or Path(p.name) in given else Path(p.name) for p in paths]
    for name, count in Counter(names).items():
        if count > 1 and name in boxes:
            raise InputError(
                f"{file}: {name} is the name of {count} of the photos given; name them by their "
                "paths"
            )
    unnamed = sum(name not in boxes for name in names)
    if unnamed == len(paths):
        raise InputError(
            f"{file}: names none of the photos given, but {next(iter(boxes))}; name them by their "
            "path as given, or by the file's name"
        )
    if unnamed:
        print(f"{file}: names no box of {unnamed} photos: no_face")
    if others := set(boxes) - set(names):
        print(f"{file}: {len(others)} of its names are of no photo given, such as {min(others)}")
    return [boxes.get(name, []) for name in names]


def _readings(paths, boxes, file) -> Iterator[tuple]:
    """(path, its image or None, why it is unreadable or its boxes) of each photo."""
    for place, path in enumerate(paths):
        try:
            image = photos.read(path)
        except InputError as error:
            yield path, None, str(error)
            continue
        known = None
        if boxes is not None:
            try:
                known = checked(boxes[place], image)
            except InputError as error:  # of the aligner it would name a place in its batch
                raise InputError(f"{file}: {path}: {error}") from None
        yield path, image, known


def _of_photos(aligner, readings, total, out, about, pictures):
    counts, taken = Counter(), set()
    with _writer(out, about, "photos") as write, _bar(total, "photo") as bar:
        for part in _parts(readings, aligner.batch):
            readable = [reading for reading in part if reading[1] is not None]
            known = [boxes for _, _, boxes in readable]
            found = iter(aligner.align([image for _, image, _ in readable], known))
            for path, image, more in part:
                if image is None:
                    bar.write(more, file=sys.stderr)
                    record = {"photo": str(path), "status": "unreadable", "reason": more}
                else:
                    faces = next(found)
                    record = _photo_record(path, image, faces)
                    if faces and pictures:
                        record["picture"] = _free_name(path.name, taken)
                        _draw(Path(out) / record["picture"], image, faces, aligner.scheme)
                    record |= {"faces": [_face_record(face) for face in faces]}
                write(record)
                counts[record["status"]] += 1
                bar.update()
    return counts


def _photo_record(path, image, faces):
    height, width = image.shape[:2]
    return {"photo": str(path), "status": status_of(faces), "width": width, "height": height}


def _of_frames(aligner: Aligner, frames, out, about, smooth):
    counts, tracks = Counter(), Tracks(smooth=smooth)
    with _writer(out, about, "frames") as write, _bar(None, "frame") as bar:
        for part in _parts(frames, aligner.batch):
            found = aligner.align([image for _, image in part])
            for (seconds, _), faces in zip(part, found, strict=True):
                boxes = np.array([face.box for face in faces]).reshape(-1, 4)
                points = np.array([face.points for face in faces])
                ids, points = tracks(seconds, boxes, points)
                faces = [replace(face, points=p) for face, p in zip(faces, points, strict=True)]
                those = [{"id": i} | _face_record(f) for i, f in zip(ids, faces, strict=True)]
                status = status_of(faces)
                write({"frame": counts.total(), "seconds": round(seconds, 4), "status": status,
                       "faces": those})  # fmt: skip
                counts[status] += 1
                bar.update()
    return counts


def _parts(items: Iterable[tuple], count: int) -> Iterator[list[tuple]]:
    """Lists, up to `count` items and AT_ONCE pixels; an item's second part is an image or None."""
    part, pixels = [], 0
    for item in items:
        part.append(item)
        pixels += 0 if item[1] is None else item[1].size // 3
        if len(part) == count or pixels > AT_ONCE:
            yield part
            part, pixels = [], 0
    if part:
        yield part


def _bar(total, unit):
    return tqdm(total=total, unit=unit, desc="predict", leave=False)


def _face_record(face: Face) -> dict:
    def plain(array, digits):
        return np.round(np.asarray(array, np.float64), digits).tolist()

    return {
        "status": face.status,
        "score": round(face.score, 4),
        "box": plain(face.box, 2),
        "origin": face.origin,
        "points": plain(face.points, 3),
        "scores": plain(face.scores, 4),
    }


def _free_name(name, taken):
    """A PNG's name for the photo of that name; photos of two folders may share one."""
    name = name if len(os.fsencode(name)) < 240 else name[-60:]  # file systems end at 255 bytes
    picture, number = f"{name}.png", 2
    while picture in taken:
        picture, number = f"{name}.{number}.png", number + 1
    taken.add(picture)
    return picture


def _draw(path: Path, image: np.ndarray, faces: Sequence[Face], scheme: Scheme):
    doubted = [face.status != "ok" for face in faces]
    points, boxes = [face.points for face in faces], [face.box for face in faces]
    picture = Image.fromarray(drawing.annotated(image, points, boxes, doubted, scheme))
    try:
        picture.save(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def _writer(folder, about, name) -> Iterator[Callable[[dict], None]]:
    """Writes FILE while it goes, a record a line: `about` and a list `name`; whole JSON even where
    the work is broken off, by SIGTERM too. What is not UTF-8 in a file's name is escaped."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = open(Path(folder) / FILE, "w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror})") from None
    with file:
        begun = False

        def write(record):
            nonlocal begun
            file.write((",\n" if begun else "\n") + json.dumps(record, ensure_ascii=False))
            begun = True

        file.write(json.dumps(about, ensure_ascii=False)[:-1] + f', "{name}": [')
        before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            yield write
        finally:
            file.write("\n]}\n")
            signal.signal(signal.SIGTERM, before)
