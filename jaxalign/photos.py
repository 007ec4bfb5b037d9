"""Photos and videos as (H, W, 3) uint8 RGB, as a viewer shows them.

Of a photo the EXIF rotation is applied, whatever the kind of file; 16-bit greys are scaled to 8
bits, transparency is laid on white, of an animation the first frame is taken. Colour profiles are
ignored.
"""

import glob
import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from jaxalign.errors import InputError


# What is taken for a photo in a folder; a file that is named may have any name.
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".ppm", ".pgm",
    ".avif",
)  # fmt: skip
PLAIN = ("JPEG", "MPO", "PNG", "WEBP")  # formats that OpenCV reads as Pillow does
LONGEST = 32_766  # pixels of a side: more OpenCV cannot warp


def read(path: Path | str) -> np.ndarray:
    """A photo's file -> (H, W, 3) uint8 RGB.

    Errors: InputError naming the file where it is missing, no photo, damaged or cut short, or has
    more than 178 million pixels (Pillow's limit) or a side of more than 32,766.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, of much that does no harm here
            # Of a file by name, Pillow maps turned TIFFs into memory with their sides exchanged.
            with open(path, "rb") as file, Image.open(file) as photo:
                ImageOps.exif_transpose(photo, in_place=True)  # else a copy of large photos
                return _rgb(photo)
    except InputError as error:
        reason = str(error)
    except UnidentifiedImageError:
        reason = "no photo that can be read here; convert it to JPEG or PNG"
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        reason = f"more than {limit} million pixels; reduce it"
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        reason = getattr(error, "strerror", None) or f"damaged or cut short ({error})"
        reason = f"{reason}; give another file"
    raise InputError(f"{path}: {reason}")


def plain(photo: bytes, upright: bool = False) -> bytes:
    """An encoded photo as one that OpenCV decodes to the right pixels, EXIF rotation ignored.

    That is the photo as it is, or a PNG where it is of a format that OpenCV may not read, has
    transparency, which is laid on white, or an EXIF rotation that is to be applied (`upright`).
    What cannot be read stays as it is.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(photo)) as image:
            warnings.simplefilter("ignore")
            turned = upright and _orientation(image) != 1
            if image.format in PLAIN and not image.has_transparency_data and not turned:
                return photo
            if turned:
                ImageOps.exif_transpose(image, in_place=True)
            return cv2.imencode(".png", _rgb(image)[..., ::-1])[1].tobytes()
    except Exception:  # Pillow's readers raise whatever they stumble over
        return photo


def sides(photo: Path) -> tuple[tuple[int, int], tuple[int, int], bool] | None:
    """(width, height) of a photo as stored, and as a viewer shows it, and whether these are two;
    None where it is none that can be read."""
    try:
        with warnings.catch_warnings(), open(photo, "rb") as file, Image.open(file) as image:
            warnings.simplefilter("ignore")
            said = _orientation(image)
            return image.size, image.size[::-1] if said >= 5 else image.size, said > 1
    except Exception:  # Pillow's readers raise whatever they stumble over
        return None


def _orientation(image):
    """What EXIF says of the photo's rotation: 1 (none) to 8; 5 and above exchange the sides."""
    said = image.getexif().get(ExifTags.Base.Orientation, 1)
    return said if said in range(1, 9) else 1


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8 -> (H, W, 3) RGB. Errors: InputError."""
    if isinstance(image, str | Path | Image.Image):
        raise InputError(f"{image}: not an array; photos.read makes one of a photo's file")
    image = np.asarray(image)
    grey, colour = image.ndim == 2, image.ndim == 3 and image.shape[2] in (3, 4)
    if image.dtype != np.uint8 or not (grey or colour) or 0 in image.shape:
        raise InputError(
            f"an image of shape {image.shape} and type {image.dtype}; give uint8 of (H, W, 3) RGB, "
            "(H, W, 4) RGBA or (H, W) grey"
        )
    if max(image.shape) <= LONGEST and image.ndim == 3 and image.shape[2] == 3:
        return image
    return _rgb(Image.fromarray(image))


def _rgb(photo):
    if max(photo.size) > LONGEST:
        raise InputError(f"a side of more than {LONGEST:,} pixels; reduce it")
    if photo.mode == "I" or photo.mode.startswith("I;16"):  # convert() would clip at 255
        grey = np.round(np.clip(np.asarray(photo, np.float32), 0, 65535) / 257)
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if photo.mode == "F":
        raise InputError("its pixels are fractions; save it with 8 or 16 bits")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return np.array(photo if photo.mode == "RGB" else photo.convert("RGB"))


def reduced(image: np.ndarray, longest: int) -> np.ndarray:
    """(H, W, 3) -> the same, averaged down to `longest` pixels where its longer side has more."""
    height, width = image.shape[:2]
    zoom = longest / max(height, width)
    if zoom >= 1:
        return image
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def find(names: Iterable[Path | str]) -> list[Path]:
    """Files, folders (the photos right in them, by name), patterns such as "a/**/*.jpg" -> files.

    Each once, in the order given. Errors: InputError naming what does not lead to a file.
    """
    found = {}
    for name in names:
        try:
            inside = _inside(Path(name))
        except OSError as error:
            raise InputError(f"{name}: cannot be looked for ({error.strerror})") from None
        for path in inside:
            found.setdefault(path.absolute(), path)
    return list(found.values())


def _inside(path):
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise InputError(f"{path}: holds no photo ({', '.join(SUFFIXES)})")
        return inside
    if path.exists():
        return [path]
    inside = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
    if not (inside := [path for path in inside if path.is_file()]):
        raise InputError(f"{path}: no such file or folder, and nothing fits the pattern")
    return inside


def frames(path: Path | str) -> Iterator[tuple[float, np.ndarray]]:
    """A video's file -> of each frame, seconds from the start and (H, W, 3) uint8 RGB, upright.

    A file that is cut short gives the frames it has. Errors: InputError naming the file where it is
    missing or no video, before the first frame.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    video = cv2.VideoCapture(str(path))
    going, first = video.read()
    if not going:
        raise InputError(f"{path}: no video that OpenCV can read; convert it to MP4")
    return _frames(video, first)


def frame_count(path: Path | str) -> int:
    """How many frames a video's file says it holds; 0 where it does not say."""
    return max(0, int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)))


def _frames(video, frame):
    going = True
    while going:
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        going, frame = video.read()
    video.release()
