"""Photos as they are stored to be trained on: the face with its surroundings, reduced.

A face whose box is larger than asked is cut out with MARGIN of its surroundings and averaged down.
One that is not is cut out as it is, where half of its photo goes with that. Points and boxes move
with the face, exactly. Any other face keeps its photo, byte for byte.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np

from jaxalign import photos
from jaxalign.datasets.faces import Benchmark, Face, photo_bytes
from jaxalign.errors import InputError
from jaxalign.geometry import landmark_box


# How far the photo is kept around the centre of each of a face's boxes, in the box's longer sides.
# A crop reaches enlarge * ((1 + scale) * (cos + sin)(rotation) / 2 + shift) of them
# (pipeline.reach), 1.15 at most in configs/; training warns of crops that reach further.
MARGIN = 1.25
QUALITY = [
    cv2.IMWRITE_JPEG_QUALITY, 95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Reduction:
    """What was done to the photos of a split."""

    most: int  # pixels of the longer side of a face's landmark box
    margin: float  # MARGIN
    faces: int  # that were reduced
    cut: int = 0  # that were cut out as they are

    @property
    def told(self) -> str:
        sizes = [f"{self.faces} faces reduced to {self.most} px"] if self.faces else []
        sizes += [f"{self.cut} faces of their own size"] if self.cut else []
        return f"{' and '.join(sizes)}, on photos of their surroundings"

    def stored(self) -> dict:
        """The values as the metadata of a data set hold them."""
        return asdict(self)


def limits(benchmark: Benchmark, asked: Sequence[str] = ()) -> dict[str, int]:
    """Reads the limits of faces: ["PX", "SPLIT=PX", ...] -> split -> pixels.

    PX alone is the limit of train, and 0 keeps whole photos. By default train has the benchmark's
    own limit, and the other splits 0. Raises InputError for anything else.
    """
    found = dict.fromkeys(SPLITS, 0) | {"train": benchmark.max_face}
    for text in asked:
        split, _, pixels = text.rpartition("=")
        split = split or "train"
        if split not in SPLITS or not pixels.isdecimal():
            raise InputError(
                f"--max-face {text}: expected PX or SPLIT=PX, such as 512 or test=1024, with a "
                f"split of {', '.join(SPLITS)}; 0 keeps whole photos"
            )
        found[split] = int(pixels)
    return found


def reduced(face: Face, most: int) -> Face:
    """The face on a photo of its surroundings, averaged down to `most` pixels if it is larger.

    These are the pixels of the longer side of the box around its points. The face itself is
    returned where `most` is 0, or where it is no larger and most of the photo would stay. A JPEG
    stays one: cut along its blocks, of its own quality; reduced, of quality 95 with colours at full
    resolution. Anything else becomes a PNG.
    """
    if not most:
        return face
    around, side = _around(face), size_of(face)
    as_large = side <= most
    encoded = photo_bytes(face)
    photo = photos.decode(encoded)
    boxes = np.array([*around, *face.boxes.values()], np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = MARGIN * np.array([[_longer(box)] for box in boxes])
    size = np.array(photo.shape[1::-1])
    low = np.clip(np.floor((centres - reach).min(0)), 0, size).astype(int)
    high = np.clip(np.ceil((centres + reach).max(0)) + 1, 0, size).astype(int)
    if not (high > low).all():  # all of it lies outside the photo
        return face
    if as_large:
        low -= low % photos.BLOCK
        if 2 * np.prod(high - low) > np.prod(size):
            return face
    cut = photo[low[1] : high[1], low[0] : high[0]]
    smaller = np.maximum(np.floor((high - low) * min(most / side, 1)), 1).astype(int)
    image = cv2.resize(cut, smaller.tolist(), interpolation=cv2.INTER_AREA)
    zoom = smaller / (high - low)  # of each axis: sides are whole pixels

    def moved(places):
        """(..., 2) places in the photo -> in the smaller one."""
        return ((places - low + 0.5) * zoom - 0.5).astype(np.float32)

    def box(corners):
        return moved(np.reshape(corners, (2, 2))).reshape(4)

    return replace(
        face,
        photo=_encoded(image, encoded, as_large),
        points={name: moved(points) for name, points in face.points.items()},
        boxes={kind: box(corners) for kind, corners in face.boxes.items()},
        norm_box=None if face.norm_box is None else box(face.norm_box),
        upright=False,  # its photo is as a viewer shows it
    )


def _encoded(image, photo, as_large):
    """The image (H, W, 3), RGB, as its photo was encoded."""
    is_jpeg = photo.startswith(b"\xff\xd8")
    if is_jpeg and as_large:
        return photos.jpeg_like(photo, image)
    grey = (image == image[..., :1]).all()
    kind, options = (".jpg", QUALITY) if is_jpeg else (".png", [])
    return cv2.imencode(kind, image[..., 0] if grey else image[..., ::-1], options)[1].tobytes()


def size_of(face: Face) -> float:
    """The longer side of the box around a face's points, in pixels; of several schemes, of all."""
    return max(_longer(box) for box in _around(face))


def _around(face):
    return [landmark_box(points) for points in face.points.values()]


def _longer(box):
    return float(max(box[2:] - box[:2]))


def reduction_of(metadata: Mapping) -> Reduction | None:
    """The reduction that a split's metadata tell of, None where all its photos are as they were."""
    stored = metadata.get("reduction")
    found = Reduction(**stored) if stored else None
    return found if found and (found.faces or found.cut) else None
