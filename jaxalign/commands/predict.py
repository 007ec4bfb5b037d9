"""Find the faces of photos or of a video and their landmarks, with a trained checkpoint.

examples:
  python predict.py --ckpt runs/300w me.jpg --out found
  python predict.py --ckpt runs/300w holiday/ "album/**/*.jpg"
  python predict.py --ckpt runs/300w holiday/ --detector-model face_detection_yunet_2023mar.onnx
  python predict.py --ckpt runs/300w holiday/ --boxes boxes.csv
  python predict.py --ckpt runs/300w --video clip.mp4 --smooth

needs: a checkpoint of train.py, and photos or a video.
leaves: faces.json in the output folder, and for each photo with a face a PNG with its points drawn.
A photo's status is ok, low_confidence (no face reaches --min-score), no_face, or unreadable. Exit
code 2 where no photo could be read.
"""

import argparse
import json
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxalign.commands import add_system, import_system, run


FRAME = (
    "pixels of the photo as a viewer shows it (EXIF rotation applied), x first, counted from 0, "
    "pixel centres at integers"
)
FILE = "faces.json"
AT_ONCE = 100_000_000  # pixels of photos that are held in memory together


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="*", metavar="PHOTO",
                        help="files, folders (the photos right in them) or patterns")  # fmt: skip
    parser.add_argument("--ckpt", required=True, help="a run's work directory, or one of its steps")
    parser.add_argument("--which", default="best", choices=["best", "latest"],
                        help="which step of a work directory (default: %(default)s)")  # fmt: skip
    add_system(parser)
    parser.add_argument("--video", metavar="FILE", help="a video's frames in place of photos")
    parser.add_argument("--smooth", action="store_true",
                        help="with --video: points smoothed by the one-euro filter")  # fmt: skip
    parser.add_argument("--out", default="predictions", metavar="DIR",
                        help="folder (default: %(default)s)")  # fmt: skip
    parser.add_argument("--boxes", metavar="FILE", help="rectangles around the landmarks, "
                        "pixels of the photo counted from 0, in place of a detector: CSV with "
                        "photo,x0,y0,x1,y1, or a JSON list of "
                        "objects with photo (its path as given, or its name), box")  # fmt: skip
    parser.add_argument("--detector-model", metavar="FILE",
                        help="ONNX file of OpenCV's YuNet (default: OpenCV's "
                        "frontal cascade)")  # fmt: skip
    parser.add_argument("--min-score", type=float, metavar="S", help="a face whose mean score is "
                        "below has low confidence (default: what 99 %% of the faces reached that "
                        "training validated on)")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help=f"leave only {FILE}")
    parser.add_argument("--batch", type=int, default=0, help="faces at a time (default: 1 a device "
                        "on CPUs, 32 on accelerators)")  # fmt: skip
    parser.add_argument("--require", default="", choices=["cpu", "gpu", "tpu"],
                        help="refuse to run on anything else")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _predict(arguments))


def _predict(arguments):
    from jaxalign import checkpoints, parallel, photos, prediction
    from jaxalign.prediction.detection import YuNet, read_boxes

    _check(arguments)
    paths = photos.find(arguments.photos)
    frames = photos.frames(arguments.video) if arguments.video else None
    boxes = None
    if arguments.boxes:
        boxes = _boxes_of(paths, read_boxes(arguments.boxes), arguments.boxes)
    detector = YuNet(arguments.detector_model) if arguments.detector_model else None
    import_system(arguments)
    step = checkpoints.find_step(arguments.ckpt, arguments.which)
    print(f"device: {parallel.start(arguments.require)}\n{step}", flush=True)
    aligner = prediction.load(
        step, detector=detector, batch=arguments.batch, min_score=arguments.min_score
    )
    if aligner.system.note:
        print(aligner.system.note)
    below = f"a mean score below {aligner.min_score:.3f}"
    print("low_confidence:", below if aligner.min_score else "never, for this checkpoint notes no "
          "score to compare with; --min-score gives one")  # fmt: skip
    about = {"checkpoint": str(step), "scheme": aligner.system.scheme, "frame": FRAME,
             "min_score": aligner.min_score}  # fmt: skip
    if arguments.video:
        counts = _video(arguments, aligner, about, frames)
    else:
        counts = _photos(arguments, aligner, about, paths, boxes)
    unit = "frames" if arguments.video else "photos"
    found = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{counts.total()} {unit}: {found}")
    print(f"compilations of the network: {aligner.compilations}")
    print(f"written: {Path(arguments.out) / FILE}")
    return 2 if set(counts) == {"unreadable"} else 0


def _check(arguments):
    from jaxalign.errors import InputError

    if bool(arguments.photos) == bool(arguments.video):
        raise InputError("give photos (files, folders, patterns) or --video FILE")
    if arguments.smooth and not arguments.video:
        raise InputError("--smooth goes with --video: single photos cannot be smoothed")
    if arguments.boxes and (arguments.video or arguments.detector_model):
        raise InputError("--boxes goes with photos, and in place of a detector")
    if arguments.batch < 0:
        raise InputError(f"--batch {arguments.batch}: must be 1 or more")
    if arguments.min_score is not None and not math.isfinite(arguments.min_score):
        raise InputError(f"--min-score {arguments.min_score}: must be a number such as 0.5")


def _boxes_of(paths, boxes, file):
    """The boxes of each photo, named by its path or its bare name; none for those that the file
    does not name. Errors: InputError where a bare name is of several photos."""
    from jaxalign.errors import InputError

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


def _photos(arguments, aligner, about, paths, boxes):
    from jaxalign import photos
    from jaxalign.errors import InputError
    from jaxalign.prediction.aligner import checked

    def readings():
        """(path, its image or None, why it is unreadable or its boxes)"""
        for place, path in enumerate(paths):
            try:
                image = photos.read(path)
            except InputError as error:
                yield path, None, str(error)
            else:
                yield path, image, None if boxes is None else boxes_on(image, place)

    def boxes_on(image, place):
        try:
            return checked(boxes[place], image)
        except InputError as error:  # of the aligner it would name a place in its batch
            raise InputError(f"{arguments.boxes}: {paths[place]}: {error}") from None

    counts, taken = Counter(), set()
    with _writer(arguments.out, about, "photos") as write, _bar(len(paths), "photo") as bar:
        for part in _parts(readings(), aligner.batch):
            readable = [reading for reading in part if reading[1] is not None]
            known = [boxes for _, _, boxes in readable]
            faces = iter(aligner.align([image for _, image, _ in readable], known))
            for path, image, more in part:
                if image is None:
                    bar.write(more, file=sys.stderr)
                    record = {"photo": str(path), "status": "unreadable", "reason": more}
                else:
                    record = _photo_record(arguments, aligner, path, image, next(faces), taken)
                write(record)
                counts[record["status"]] += 1
                bar.update()
    return counts


def _photo_record(arguments, aligner, path, image, faces, taken):
    from jaxalign.prediction.aligner import status_of

    height, width = image.shape[:2]
    record = {"photo": str(path), "status": status_of(faces), "width": width, "height": height}
    if faces and not arguments.no_pictures:
        record["picture"] = _free_name(path.name, taken)
        _draw(Path(arguments.out) / record["picture"], image, faces, aligner.system.points)
    return record | {"faces": [_face_record(face) for face in faces]}


def _video(arguments, aligner, about, frames):
    from dataclasses import replace

    import numpy as np

    from jaxalign import photos
    from jaxalign.prediction.aligner import status_of
    from jaxalign.prediction.smoothing import Tracks

    counts, tracks = Counter(), Tracks(smooth=arguments.smooth)
    about |= {"video": arguments.video, "smoothed": arguments.smooth}
    with _writer(arguments.out, about, "frames") as write, _bar(None, "frame") as bar:
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
    if counts.total() < (said := photos.frame_count(arguments.video)):
        print(f"{arguments.video}: says it holds {said} frames; it may be cut short")
    return counts


def _parts(items, count):
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
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, desc="predict", leave=False)


def _face_record(face):
    import numpy as np

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


def _draw(path, image, faces, scheme):
    from PIL import Image

    from jaxalign import drawing
    from jaxalign.errors import InputError

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
    from jaxalign.errors import InputError

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
