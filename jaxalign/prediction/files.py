"""A checkpoint on files: photos or a video in, a JSON file and pictures with the points out."""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxalign import checkpoints, folders, parallel, photos, signals, texts, weights
from jaxalign.errors import InputError
from jaxalign.locks import HIDDEN, Lock
from jaxalign.prediction import alignment, formats, videos
from jaxalign.prediction.aligner import REFINE, Aligner, checked, load
from jaxalign.prediction.detection import YuNet, read_boxes
from jaxalign.prediction.face import annotated, status_of
from jaxalign.prediction.search import named
from jaxalign.prediction.smoothing import Tracks
from jaxalign.records import json_text
from jaxalign.texts import object_of


FRAME = (
    "pixels of the photo as a viewer shows it (EXIF rotation applied), x first, counted from 0, "
    "pixel centres at integers"
)
KIND = "predictions"
FILE = "faces.json"
MOVIE = "faces.mp4"
LONGEST = 1600  # pixels of a picture's side
JOURNAL = ".faces.jsonl"  # the records until FILE is written; a killed run leaves them
AT_ONCE = 100_000_000  # pixels of photos that are held in memory together


def predict(
    ckpt: Path | str | None,
    out: Path | str,
    patterns: Sequence[str] = (),
    *,
    which: str = "best",
    video: str = "",
    webcam: int | None = None,
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
    skip_existing: bool = False,
    form: str = "json",
    aligned: int = 0,
    template: str = "",
) -> Counter:
    """Predict the faces of photos, a video or a webcam, and write FILE and pictures into a folder.

    Prints its progress. One process at a time writes into `out`.

    Args:
        ckpt: The checkpoint, as `checkpoints.find_step` takes it. None: the packaged weights.
        out: The folder.
        patterns: The photos, as `photos.find` takes them.
        which: The step of a work directory: "best" or "latest".
        video: A video, in place of photos.
        webcam: A camera by its number from 0, in place of photos, until the user ends it.
        smooth: Smooths the points of a video or a webcam.
        boxes: A file of `read_boxes`, in place of a detector.
        detector: A name of `search.DETECTORS`, as `load` takes it.
        detector_model: YuNet's file.
        min_score: As in `load`.
        pictures: Draws the faces of each photo, or into the video MOVIE.
        batch: As in `load`.
        scheme: As in `load`.
        require: The kind of device that is needed, as `parallel.start` takes it. Default: any.
        refine: As in `load`.
        skip_existing: Keeps the results of photos that a run with the same settings left in `out`,
            unless the photos have changed since.
        form: A name of `formats.FORMATS`: further files, for annotation tools.
        aligned: The side of an aligned crop of each face, in pixels. 0: none.
        template: Of these crops, a name of `alignment.TEMPLATES`. Default: "ffhq".

    Returns:
        How many photos or frames have which status: ok, low_confidence, no_face, unreadable.

    Raises:
        InputError: A setting or a file cannot be used. It is raised before anything is computed,
            where possible.
    """
    paths, out = photos.find(list(patterns)), Path(out)
    moving, template = bool(video) or webcam is not None, template or alignment.TEMPLATE
    _check_out(out, paths, pictures, moving, video)
    formats.check(form, out, paths)
    frames = photos.frames(video) if video else None
    batch = batch or int(webcam is not None)  # a webcam's frame waits for no other
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
    about = {"checkpoint": weights.told(step), "checkpoint_sha256": checkpoints.identity(step),
             "scheme": aligner.scheme.name, "frame": FRAME,
             "min_score": aligner.min_score, "refine": aligner.refine,
             "names": list(aligner.scheme.names)}  # fmt: skip
    for name, file in (("boxes", boxes), ("detector_model", detector_model)):
        if file:
            about[f"{name}_sha256"] = hashlib.sha256(texts.file_bytes(Path(file))).hexdigest()
    if aligned:
        alignment.check(aligner.scheme, aligned, template)
        about |= {"aligned": aligned, "template": template}
    with Lock(out, "name another --out", HIDDEN):
        if moving:
            counts = _of_moving(aligner, (video, frames, webcam), out, about, smooth, pictures)
        else:
            about |= {"boxes": str(boxes)} if boxes else {"detector": aligner.detector.name}
            done = _done(out, about, paths, pictures) if skip_existing else {}
            if skip_existing:
                print(f"{len(done)} of {len(paths)} photos are done already")
            try:
                counts = _of_photos(aligner, paths, (known, boxes), done, out, about, pictures,
                                    (aligned, template))  # fmt: skip
            except (KeyboardInterrupt, SystemExit):
                print(f"broken off: what is done is in {out / FILE}; --skip-existing goes on from "
                      "there")  # fmt: skip
                raise
        made = formats.write(form, out, out / FILE) if form != "json" else []
    found = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{counts.total()} {'frames' if moving else 'photos'}: {found}")
    print(f"compilations of the network: {aligner.compilations}")
    print(f"written: {out / FILE}")
    if moving and pictures and counts:
        print(f"written: {out / MOVIE}")
    if made:
        print(f"written: {made[0]}" + (f" and {len(made) - 1} more" if len(made) > 1 else ""))
    return counts


def _boxes_of(paths, boxes, file):
    """The boxes of each photo, which is named by its path or its bare name.

    A photo that the file does not name has none. Raises InputError where a bare name stands for
    several photos.
    """
    given, held = set(paths), {}
    for name, those in boxes.items():
        held.setdefault(Path(name), []).extend(those)  # of "x.jpg" and "./x.jpg"
    boxes = held
    # A photo is named by its bare name if that is no photo's path.
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


def _check_out(out, paths, pictures, moving, video):
    """Raise InputError if files would be overwritten that no prediction made."""
    there = out.resolve()
    if video and Path(video).resolve() == there / MOVIE:
        raise InputError(f"--out {out}: {video} would be overwritten; name another folder")
    for path in paths:
        if path.parent.resolve() == there:
            raise InputError(f"--out {out}: {path} lies in it; name another folder")
    folders.check(out, KIND, names=[FILE, *_made(_pictures(paths, {}), pictures, moving)])


def _made(names, pictures, moving):
    """The names of the pictures, or of the movie, that are to be made."""
    if not pictures:
        return ()
    return (MOVIE, videos.partial(MOVIE)) if moving else names.values()


def _pictures(paths, kept) -> dict[Path, str]:
    """The names of the photos' pictures. `kept` holds those of some.

    Photos of two folders may share a name, and file systems limit names to 255 bytes.
    """
    names, taken = dict(kept), set(kept.values())
    for path in paths:
        if path not in names:
            name = path.name if len(os.fsencode(path.name)) < 240 else path.name[-60:]
            picture, number = f"{name}.png", 2
            while picture in taken:
                picture, number = f"{name}.{number}.png", number + 1
            names[path] = picture
            taken.add(picture)
    return names


@dataclass(frozen=True)
class _Done:
    """The record of a photo in an earlier run's file: its place, and the name of its picture.

    The names of crops follow from that one, which may be of no file.
    """

    file: BinaryIO
    place: int
    picture: str | None

    def line(self) -> bytes:
        self.file.seek(self.place)
        return self.file.readline().rstrip(b",\n")


def _done(out, about, paths, pictures) -> dict[Path, _Done]:
    """The photos that need not be predicted again.

    Their records are those that earlier runs left in FILE or, if a run was killed, in JOURNAL,
    which begins with all that it kept of FILE. Raises InputError if settings differ, of both.
    """
    found, owners, names = {}, {}, {os.fspath(path): path for path in paths}
    about = json.loads(json_text({key: about[key] for key in about if key != "names"}))
    files: list[BinaryIO] = []
    for name in (JOURNAL, FILE):
        try:
            file = open(out / name, "rb")
            _check_settings(file, about)
        except OSError:
            continue
        except InputError:
            if files:  # what the journal's run did not keep
                continue
            raise
        files.insert(0, file)
    for file in files:
        place = file.tell()
        while line := file.readline():
            record = object_of(line.rstrip(b",\n"))  # {} where the line is cut
            path, picture = names.get(record.get("photo", "")), record.get("picture")
            drawn = not (pictures and record.get("faces")) or picture and (out / picture).is_file()
            crops = [face["aligned"] for face in record.get("faces", ()) if "aligned" in face]
            drawn = drawn and all((out / crop).is_file() for crop in crops)
            stamp = _stamp(path) if path else {}
            if stamp and stamp.items() <= record.items() and "faces" in record and drawn:
                of_crop = re.sub(r"\.face\d+\.png$", ".png", crops[0]) if crops else None
                shown = picture or of_crop
                if shown:
                    found.pop(owners.get(shown), None)  # whose picture was written over
                    owners[shown] = path
                found[path] = _Done(file, place, shown)
            place = file.tell()
    return found


def _check_settings(file, about):
    """Reads the head of FILE or JOURNAL. Raises InputError where its settings are not `about`."""
    first = file.readline().rstrip()
    earlier = object_of(first + b"]}" if first.endswith(b"[") else first)
    if not earlier:
        raise InputError(f"{file.name}: was not written by predict; leave out --skip-existing")
    for key in ("photos", "names"):  # the scheme says the names
        earlier.pop(key, None)
    for key in {**about, **earlier}:
        now, then = about.get(key), earlier.get(key)
        if now != then:
            raise InputError(
                f"{file.name}: was made with another {key}, {then!r}, not {now!r}; name another "
                "--out, or leave out --skip-existing"
            )


def _stamp(path) -> dict[str, int]:
    """By what a changed photo is known; {} where there is none."""
    try:
        about = os.stat(path)
    except OSError:
        return {}
    return {"bytes": about.st_size, "mtime_ns": about.st_mtime_ns}


def _readings(paths, boxes, file) -> Iterator[tuple]:
    """For each photo: its path, image or None, boxes or why it is unreadable, and its stamp."""
    for place, path in paths:
        stamp = _stamp(path)  # before it is read, for it may change then
        try:
            image = photos.read(path)
        except InputError as error:
            yield path, None, str(error), stamp
            continue
        known = None
        if boxes is not None:
            try:
                known = checked(boxes[place], image)
            except InputError as error:  # the aligner's would name a place in its batch
                raise InputError(f"{file}: {path}: {error}") from None
        yield path, image, known, stamp
        del image  # before the next one is read


def _of_photos(aligner, paths, boxes, done, out, about, pictures, aligned):
    names = _pictures(paths, {path: old.picture for path, old in done.items() if old.picture})
    new = [(place, path) for place, path in enumerate(paths) if path not in done]
    folders.claim(out, KIND, [FILE, *_made(names, pictures, False)])
    crops = _Crops(out, names, *aligned)
    order = [os.fspath(path) for path in paths]
    earlier = (old.line() for old in done.values())
    with _writer(out, about, "photos", earlier, order) as write, _bar(len(new), "photo") as bar:
        for part in _parts(_readings(new, *boxes), aligner.batch):
            known = [boxes for _, image, boxes, _ in part if image is not None]
            images = [image for _, image, _, _ in part if image is not None]
            found = iter(aligner.align(images, known))
            for path, image, more, stamp in part:
                if image is None:
                    bar.write(more, file=sys.stderr)
                    record = {"photo": str(path), "status": "unreadable", "reason": more}
                else:
                    faces = next(found)
                    record = _photo_record(path, image, faces) | stamp
                    if faces and pictures:
                        record["picture"] = names[path]
                        _save(out / names[path], annotated(image, faces, LONGEST))
                    record |= {"faces": [face.to_dict() for face in faces]}
                    crops(path, image, faces, record["faces"], bar)
                write(record)
                bar.update()
            del images, image
    return write.counts


class _Crops:
    """Writes the aligned crops of faces, and notes their names in the faces' records."""

    def __init__(self, out, names, side, template):
        self.out, self.side, self.template = out, side, template
        self.names, self.claimed = names, 0  # so many faces of each photo have names that are ours

    def __call__(self, path, image, faces, records, bar):
        if not self.side:
            return
        if more := range(self.claimed + 1, len(faces) + 1):
            # Of all photos, for each time the list of what is ours is written anew.
            names = [self._name(photo, number) for photo in self.names for number in more]
            folders.claim(self.out, KIND, names)
            self.claimed = len(faces)
        for number, (face, record) in enumerate(zip(faces, records, strict=True), 1):
            try:
                crop = face.aligned(image, self.side, self.template)
            except InputError as error:
                bar.write(f"{path}, face {number}: {error}", file=sys.stderr)
                continue
            record["aligned"] = self._name(path, number)
            _save(self.out / record["aligned"], crop)

    def _name(self, path, number):
        return f"{self.names[path].removesuffix('.png')}.face{number}.png"


def _photo_record(path, image, faces):
    height, width = image.shape[:2]
    return {"photo": str(path), "status": status_of(faces), "width": width, "height": height}


def _of_moving(aligner: Aligner, source, out, about, smooth, pictures):
    """Of a video, or of a webcam until the user ends it."""
    video, frames, webcam = source
    if video:
        about |= {"video": str(video), "smoothed": smooth}
        said, rate = photos.frame_count(video), photos.frame_rate(video)
        if pictures and not rate:
            print(f"{video}: does not say how fast it is; {MOVIE} has {videos.RATE:g} frames/s")
        window = None
    else:
        about |= {"webcam": webcam, "smoothed": smooth}
        frames, said, rate, window = photos.camera(webcam), 0, 0.0, videos.Window()
        print(f"webcam {webcam}: {window.told}", flush=True)
        # Once ahead, for to compile takes long, and the camera goes on meanwhile.
        aligner(np.zeros((64, 64, 3), np.uint8), [[8, 8, 56, 56]])
    movie = videos.Movie(out / MOVIE, rate or videos.RATE) if pictures else None
    folders.claim(out, KIND, [FILE, *_made({}, pictures, True)])
    beside = set()
    with _writer(out, about, "frames", beside=beside) as write, movie or nullcontext():
        try:
            _of_frames(aligner, frames, write, Tracks(smooth=smooth), said, movie, window)
        except KeyboardInterrupt:
            if not window:
                raise
        finally:
            if movie and movie.count:
                beside.add(MOVIE)
            if window:
                window.close()
    if write.counts.total() < said:
        print(f"{video}: says it holds {said} frames; it may be cut short")
    return write.counts


def _of_frames(aligner, frames, write, tracks, said, movie, window):
    with _bar(said or None, "frame") as bar:
        for part in _parts(frames, 1 if window else aligner.batch):
            found = aligner.align([image for _, image in part])
            for (seconds, image), faces in zip(part, found, strict=True):
                boxes = np.array([face.box for face in faces]).reshape(-1, 4)
                points = np.array([face.points for face in faces])
                ids, points = tracks(seconds, boxes, points)
                faces = [replace(face, points=p) for face, p in zip(faces, points, strict=True)]
                those = [{"id": i} | face.to_dict() for i, face in zip(ids, faces, strict=True)]
                status = status_of(faces)
                about_it = {"frame": write.counts.total(), "seconds": round(seconds, 4)}
                picture = annotated(image, faces)
                if movie:  # a webcam's has the frames of its time, however fast the network is
                    due = int(seconds * movie.rate) + 1 - movie.count if window else 1
                    movie(picture, max(due, 0))
                write(about_it | {"status": status, "faces": those})
                bar.update()
                if window:
                    bar.set_postfix_str(f"{len(faces)} faces")
                    if window(picture):
                        return


def _parts(items: Iterable[tuple], count: int) -> Iterator[list[tuple]]:
    """Lists of up to `count` items and AT_ONCE pixels, and the item that exceeds these.

    An item has an image or None second. A list is emptied before the next items are taken.
    """
    part, pixels = [], 0
    for item in items:
        part.append(item)
        pixels += 0 if item[1] is None else item[1].size // 3
        if len(part) == count or pixels > AT_ONCE:
            del item
            yield part
            part.clear()
            pixels = 0
    if part:
        yield part


def _bar(total, unit):
    return tqdm(total=total, unit=unit, desc="predict", leave=False)


def _save(path: Path, picture: np.ndarray):
    with folders.readable_errors(path, ""), folders.whole(path) as file:
        Image.fromarray(picture).save(file, "PNG")


class _Journal:
    """Records that are written as they are made, and at the end as FILE.

    `earlier` are the lines that come first. The journal of a killed run stays until they are
    written. `beside` are the names of other files that stay.
    """

    def __init__(self, folder, about, name, earlier, order, beside):
        self.beside = beside
        self.folder, self.about, self.name, self.order = folder, about, name, order
        self.places, self.counts, self.signal = {}, Counter(), 0
        with folders.whole(folder / JOURNAL) as self.file:
            self.file.write(_line(about) + b"\n")
            for line in earlier:
                self._append(json.loads(line), line)
        self.file = open(folder / JOURNAL, "r+b")
        self.file.seek(0, os.SEEK_END)

    def __call__(self, record: dict) -> None:
        with folders.readable_errors(self.folder):
            self._append(record, _line(record))
            self.file.flush()
        if self.signal:
            sys.exit(128 + self.signal)

    def stop(self, number, frame):
        """Takes a signal: the next record is the last.

        An exception raised here could be lost, in a callback of the garbage collector.
        """
        self.signal = number

    def _append(self, record, line):
        self.places[record.get("photo", self.counts.total())] = self.file.tell()
        self.file.write(line + b"\n")
        self.counts[record["status"]] += 1

    def finish(self):
        """Write FILE, in the order of the photos, and delete pictures of earlier runs."""
        keys = list(self.places) if self.order is None else self.order
        places = [self.places[key] for key in keys if key in self.places]
        begun, pictures = b"\n", set(self.beside)
        with folders.whole(self.folder / FILE) as file:
            file.write(_line(self.about)[:-1] + f', "{self.name}": ['.encode())
            for place in places:
                self.file.seek(place)
                line = self.file.readline().rstrip(b"\n")
                file.write(begun + line)
                begun = b",\n"
                record = json.loads(line)
                pictures.add(record.get("picture", FILE))
                pictures |= {face.get("aligned", FILE) for face in record.get("faces", ())}
            file.write(b"\n]}\n")
        folders.keep(self.folder, KIND, {FILE, *pictures})
        (self.folder / JOURNAL).unlink()


def _line(record):
    """A record as one line. Bytes of a file's name that are not UTF-8 are escaped."""
    return json_text(record, ensure_ascii=False).encode("utf-8", "backslashreplace")


@contextmanager
def _writer(folder, about, name, earlier=(), order=None, beside=()) -> Iterator[_Journal]:
    """Take records, and leave FILE: `about` and a list `name`, with a line for each record.

    FILE is whole JSON even if the work is interrupted, by SIGTERM or SIGHUP too, unless nothing was
    done by then. After an error FILE is as it was, and JOURNAL holds what is done.
    """
    with folders.readable_errors(folder):
        journal = _Journal(folder, about, name, earlier, order, beside)
    whole = False
    with signals.caught(signals.END, journal.stop):
        try:
            yield journal
            whole = True
        except (KeyboardInterrupt, SystemExit):
            whole = bool(journal.counts)
            raise
        finally:
            try:
                with folders.readable_errors(folder):
                    if whole:
                        journal.finish()
                    elif not journal.counts:
                        (folder / JOURNAL).unlink(missing_ok=True)
            finally:
                with contextlib.suppress(OSError):  # what was not written has been told
                    journal.file.close()
