"""Where the faces of a photo are: detectors, and boxes from a file.

Boxes are (x0, y0, x1, y1) in pixels of the photo as a viewer shows it. Each detector frames a face
in its own way, some with the forehead, some with the ears. All detectors here return the square
that the rectangle of the landmarks (brows to chin, ear to ear) would span, so that it fits the crop
of a checkpoint that was trained on landmark boxes. Two constants of a detector give it, as in
`geometry.square`: how far the centre moves down, and how the side changes.
"""

import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import cv2.data
import numpy as np

from jaxalign import downloads, geometry, photos, texts
from jaxalign.errors import InputError, typed
from jaxalign.pipeline import BoxRule
from jaxalign.records import numbers


CORNERS = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Detection:
    """A face that a detector found.

    Attributes:
        box: (4,) float32, the square about its landmarks, in pixels of the photo.
        score: The detector's own score.
    """

    box: np.ndarray
    score: float


class Detector(Protocol):
    """Anything that finds faces. A fork may bring its own.

    Attributes:
        name: Its name, which the faces carry as their origin.
    """

    name: str

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of a photo.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The faces, the largest first.
        """
        ...


class EachThread(threading.local):
    """Gives each thread its own object, `own`, since only one thread may use it at a time."""

    def __init__(self, make: Callable[[], Any]):
        """Make the object of this thread.

        Args:
            make: Makes an object.
        """
        self.own = make()


def haar(name: str) -> cv2.CascadeClassifier:
    """Open a cascade that comes with OpenCV.

    Args:
        name: Such as "frontalface_alt" or "profileface".

    Returns:
        The cascade.
    """
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / f"haarcascade_{name}.xml"))


class Cascade:
    """OpenCV's frontal-face cascade (Viola and Jones, CVPR 2001; Lienhart's `alt`).

    It needs no download. It finds upright faces seen from the front, and takes some patterns for
    faces. The photo is first reduced to 960 pixels; faces below 30 of those pixels are not looked
    for. If it finds none, it looks again with a black frame around the photo, because its windows
    are wider than a close-up. The score is the number of neighbouring windows that agreed, at least
    5.

    Attributes:
        name: "cascade".
    """

    name: str = "cascade"
    # As `python -m benchmarks.detectors --data ibug_300w/train --limit 400` measures it.
    rule: ClassVar[BoxRule] = BoxRule(enlarge=0.89, down=0.159)
    longest: ClassVar[int] = 960
    least: ClassVar[int] = 30
    neighbours: ClassVar[int] = 4
    frame: ClassVar[float] = 0.2  # of the longer side

    def __init__(self):
        self._cascade = EachThread(lambda: haar("frontalface_alt"))

    def __call__(self, image: np.ndarray) -> list[Detection]:
        small = photos.reduced(image, self.longest)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        boxes, scores = self._found(grey)
        if not len(boxes):
            frame = round(self.frame * max(grey.shape))
            framed = cv2.copyMakeBorder(grey, frame, frame, frame, frame, cv2.BORDER_CONSTANT)
            boxes, scores = self._found(framed)
            boxes = boxes - [frame, frame, 0, 0]
        return _detections(boxes, scores, image, small, self.rule)

    def _found(self, grey):
        """(h, w) uint8 -> boxes (n, 4), corner, width and height; scores (n,)."""
        boxes, scores = self._cascade.own.detectMultiScale2(
            grey, 1.1, self.neighbours, minSize=(self.least, self.least)
        )
        scores = np.asarray(scores, np.float32)
        best = cv2.dnn.NMSBoxes(boxes, scores.tolist(), 0, 0.3)  # of nested ones
        kept = np.asarray(best, np.int64)
        return np.reshape(boxes, (-1, 4))[kept], scores[kept]


class YuNet:
    """OpenCV's YuNet (Wu et al., 2023), from its ONNX file (opencv_zoo: face_detection_yunet).

    The photo is first reduced to 640 pixels, where its faces are 10 to 300 pixels wide. The score
    is a probability, at least 0.9 (OpenCV's default).

    Attributes:
        name: "yunet".
    """

    name: str = "yunet"
    # As `python -m benchmarks.detectors --data ibug_300w/train --detector yunet` measures it.
    rule: ClassVar[BoxRule] = BoxRule(enlarge=0.79, down=0.122)
    longest: ClassVar[int] = 640

    def __init__(self, model: Path | str = ""):
        """Open the network.

        Args:
            model: The ONNX file. Default: the file in the cache of `downloads.fetch`, which is
                downloaded on first use.

        Raises:
            InputError: The file is missing or another one, or it cannot be downloaded. The message
                names the file or the URL.
        """
        file = str(model or downloads.fetch(downloads.FILES[self.name]))
        size, fault = (self.longest, self.longest), "no such file"
        if Path(file).is_file():  # OpenCV would wait for a pipe's writer
            try:
                self._net = EachThread(lambda: cv2.FaceDetectorYN.create(file, "", size))
                self(np.zeros((64, 64, 3), np.uint8))
                return
            except cv2.error:
                fault = "not YuNet's ONNX file"
        raise InputError(
            f"{file}: {fault}; `{typed('download')} yunet` fetches it from "
            f"{downloads.FILES[self.name].url}"
        )

    def __call__(self, image: np.ndarray) -> list[Detection]:
        small = photos.reduced(image, self.longest)
        self._net.own.setInputSize((small.shape[1], small.shape[0]))
        _, found = self._net.own.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        found = np.zeros((0, 15)) if found is None else found
        return _detections(found[:, :4], found[:, -1], image, small, self.rule)


class Dlib:
    """dlib's frontal face detector (HOG and a linear SVM; King, 2015), if dlib is installed.

    The photo is first reduced to 960 pixels, and searched at twice that size, because the
    detector's windows are 80 pixels wide. The score is the SVM's, 0 or more.

    Attributes:
        name: "dlib".
    """

    name: str = "dlib"
    # As `python -m benchmarks.detectors --data ibug_300w/train --detector dlib` measures it.
    rule: ClassVar[BoxRule] = BoxRule(enlarge=0.976, down=0.089)
    longest: ClassVar[int] = 960

    def __init__(self):
        """Open the detector.

        Raises:
            InputError: dlib is not installed.
        """
        try:
            dlib = importlib.import_module("dlib")
        except ImportError:
            raise InputError(
                "--detector dlib: dlib is not installed; pip install dlib-bin (prebuilt) or dlib "
                "(compiled)"
            ) from None
        self._detector = EachThread(dlib.get_frontal_face_detector)

    def __call__(self, image: np.ndarray) -> list[Detection]:
        small = photos.reduced(image, self.longest)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        found, scores, _ = self._detector.own.run(grey, 1, 0.0)
        boxes = [(box.left(), box.top(), box.width(), box.height()) for box in found]
        return _detections(boxes, scores, image, small, self.rule)


def _detections(boxes, scores, image, small, rule):
    """Corner, width and height in pixels of the reduced image -> detections, largest first."""
    found = []
    zoom = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]])
    for (x, y, width, height), score in zip(boxes, scores, strict=True):
        corners = np.array([[x, y], [x + width, y + height]], np.float64) * zoom - 0.5
        centre, side = geometry.square(corners.reshape(4), rule.enlarge, rule.down)
        box = np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)
        found.append(Detection(box, float(score)))
    return sorted(found, key=lambda face: face.box[0] - face.box[2])


def read_boxes(path: Path | str) -> dict[str, np.ndarray]:
    """Read a file of boxes.

    It is a CSV whose first line names the columns photo, x0, y0, x1, y1, or a JSON list of objects
    {"photo": name, "box": [x0, y0, x1, y1]}. Boxes are rectangles around the landmarks, in pixels
    of the photo as a viewer shows it, counted from 0.

    Args:
        path: The file.

    Returns:
        Name of a photo, as in the file -> its boxes, (N, 4) float32, in the order of the file.

    Raises:
        InputError: The file cannot be read, holds no box, or a box has no extent. The message names
            the file and the place.
    """
    path = Path(path)
    text, boxes = texts.read(path, "name a CSV or JSON file of boxes"), {}
    rows = _csv_boxes if path.suffix.lower() == ".csv" else _json_boxes
    for where, photo, values in rows(text, path):
        box = numbers(values, (4,), "box", where)
        if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
            raise InputError(f"{where}: the box {box.tolist()} has no extent; give x0, y0, x1, y1")
        boxes.setdefault(photo, []).append(box)
    if not boxes:
        raise InputError(f"{path}: holds no box; it must name photo, x0, y0, x1, y1")
    return {photo: np.array(those, np.float32) for photo, those in boxes.items()}


def _csv_boxes(text, path) -> Iterator[tuple[str, str, Any]]:
    for where, row in texts.named_rows(text, path, ("photo", *CORNERS)):
        yield where, row["photo"], [row[name] for name in CORNERS]


def _json_boxes(text, path) -> Iterator[tuple[str, str, Any]]:
    values = texts.json_of(text, path)
    if not isinstance(values, list):
        raise InputError(f"{path}: must be a list of objects with photo and box")
    for number, value in enumerate(values, 1):
        where = f"{path}, record {number}"
        if not isinstance(value, dict) or not isinstance(value.get("photo"), str):
            raise InputError(f"{where}: must be an object with photo and box")
        yield where, value["photo"], value.get("box")
