"""Photos and videos as (H, W, 3) uint8 RGB arrays, as a viewer shows them.

No other module decodes them. Files are untrusted: a file is opened by its content, and only if it
is one of FORMATS or of CONTAINERS. The size of a photo is read from its header and checked before
any pixel is decoded.

The EXIF rotation of a photo is applied, whatever the kind of file. 16-bit greys are scaled to 8
bits, transparency is laid on white, and the first frame of an animation is taken. Colour profiles
are ignored.
"""

import glob
import io
import re
import struct
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageOps, JpegImagePlugin, UnidentifiedImageError

from jaxalign import texts
from jaxalign.errors import InputError


# Suffixes of photos in a folder. A file that the user names may have any suffix.
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".ppm", ".pgm",
    ".avif",
)  # fmt: skip
# The formats that are opened, by Pillow's names. Its other readers start programs (EPS:
# Ghostscript), or follow the file to another reader.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "PPM", "AVIF")
# First bytes of videos. FFmpeg's other readers open lists that name further files or addresses.
CONTAINERS = re.compile(
    rb"....(ftyp|moov|mdat|wide|free|skip)|RIFF....AVI |\x1aE\xdf\xa3"  # MP4 and MOV, AVI, Matroska
    rb"|\0\0\0?\x01|G|....G|FLV|OggS|\x30\x26\xb2\x75|GIF8|YUV4MPEG2 ",  # MPEG and raw, WMV, others
    re.DOTALL,
)
LONGEST = 32_766  # pixels of a side: OpenCV cannot warp more
MOST = 178_956_970  # pixels of a photo: Pillow's own limit
LARGEST = 2**30  # bytes of a photo's file
SIDES = 256, 257  # TIFF's tags of the width and the height
BITS = 258  # TIFF's tag of how many a grey has
INTERPRETATION = 262  # TIFF's tag: 0, where white is 0
BLOCK = 16  # pixels of a side of a JPEG's blocks, where its colours have half the resolution
SCANS = 500  # of a JPEG: each goes over all pixels, and real ones have about ten

# They warn of damage that does no harm here. Permanent: catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read(path: Path | str) -> np.ndarray:
    """Read a photo's file, upright.

    Args:
        path: The file.

    Returns:
        The (H, W, 3) uint8 RGB pixels.

    Raises:
        InputError: The file is missing, no photo, damaged or cut short, or has more than 178
            million pixels or a side of more than 32,766. The message names the file.

    Examples:
        >>> from jaxalign import photos
        >>> image = photos.read("photo.jpg")
        >>> height, width, _ = image.shape
    """
    try:
        return decode(encoded(path), upright=True, whole=True)
    except InputError as error:
        remedy = "" if ";" in str(error) else "; give another file"
        raise InputError(f"{path}: {error}{remedy}") from None


def encoded(path: Path | str) -> bytes:
    """Read the bytes of a photo's file.

    Args:
        path: The file.

    Returns:
        The bytes.

    Raises:
        InputError: They cannot be read. The message says why.
    """
    return texts.stored(path, LARGEST)


def decode(photo: bytes, *, upright: bool = False, whole: bool = False) -> np.ndarray:
    """Decode a photo.

    Args:
        photo: The encoded photo.
        upright: Applies the EXIF rotation. Default: the pixels as stored.
        whole: Looks for damage that decoders pass over. A JPEG then takes twice as long.

    Returns:
        The (H, W, 3) uint8 RGB pixels.

    Raises:
        InputError: It cannot be decoded. The message says what is wrong.
    """
    if not photo:
        raise InputError("empty (0 bytes)")
    try:
        # From memory, since Pillow exchanges the sides of turned TIFFs that it opens by name.
        with _opened(photo) as image:
            if whole:
                _check_whole(photo, image)
            if upright:
                ImageOps.exif_transpose(image, in_place=True)  # else a copy of large photos
            elif (pixels := _jpeg(photo, image, 0)) is not None:  # the same, faster
                return pixels
            said = _orientation(image)
            pixels = _rgb(image)
            if said > 1 and _orientation(image) == 1:  # Pillow has turned a TIFF
                pixels = np.array(Image.fromarray(pixels).transpose(TURNS_BACK[said]))
            return pixels
    except InputError as error:
        reason = str(error)
    except UnidentifiedImageError:
        reason = "no photo that can be read here; convert it to JPEG or PNG"
        if photo.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            reason = "damaged or cut short (its header is truncated)"
    except Image.DecompressionBombError:
        reason = f"more than {MOST // 10**6} million pixels; reduce it"
    except MemoryError:
        reason = "not enough memory to decode it; reduce it"
    except Exception as error:  # Pillow's readers raise whatever they stumble over
        reason = f"damaged or cut short ({' '.join(str(error).split())})"
    raise InputError(reason)


# EXIF rotation -> what takes the picture as shown to the one that is stored.
TURNS_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# Factor -> flag with which OpenCV decodes a JPEG to sides of 1 / factor, rounded up. Pixel centres
# then lie as in the maps of `geometry`: small = (photo + 1/2) / factor - 1/2. The flags set the
# size; IMREAD_COLOR_RGB is added for the colours.
REDUCED = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_reduced(photo: bytes, factor: int) -> np.ndarray | None:
    """Decode a JPEG at a smaller size, which is faster. The EXIF rotation is not applied.

    Args:
        photo: The encoded photo.
        factor: A factor of REDUCED.

    Returns:
        The uint8 RGB pixels, with sides of 1 / `factor`, rounded up, or None if the photo is no
            sound JPEG of grey or RGB.
    """
    try:
        with _opened(photo) as image:
            return _jpeg(photo, image, REDUCED[factor])
    except Exception:  # `decode` says what is wrong with it
        return None


def _jpeg(photo, image, flags):
    if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
        return None
    flags |= cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(photo, np.uint8), flags)


def _opened(photo) -> Image.Image:
    """Read a photo's header and check its size."""
    Image.init()  # registers the readers, with AVIF's if Pillow has it
    known = [name for name in FORMATS if name in Image.OPEN]
    image = Image.open(io.BytesIO(photo), formats=known)
    width, height = image.size
    if width * height > MOST:
        raise InputError(f"more than {MOST // 10**6} million pixels; reduce it")
    if max(width, height) > LONGEST:
        raise InputError(f"a side of more than {LONGEST:,} pixels; reduce it")
    return image


def _check_whole(photo, image):
    """Raise InputError where data are missing that the decoder would make up."""
    if image.format == "PNG":
        _check_png(photo)
    elif image.format in ("JPEG", "MPO"):
        tried = _jpeg_with_more_data(photo)
        if tried is not None and ImageChops.difference(image, _opened(tried)).getbbox():
            raise InputError("damaged or cut short (it lacks data)")


def _check_png(photo):
    at, kind = 8, b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", photo.ljust(at + 8), at)
        body, ending = photo[at + 4 : at + 8 + size], photo[at + 8 + size : at + 12 + size]
        if len(ending) < 4:
            raise InputError("truncated (its end marker is missing)")
        if kind[:1].isupper() and zlib.crc32(body) != int.from_bytes(ending, "big"):
            raise InputError("damaged (a checksum is wrong)")  # of a chunk that is needed
        at += 12 + size


_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_END = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")  # of a scan's data: no escape, no restart
_ARITHMETIC = b"\xc9\xca\xcb\xcd\xce\xcf"
_MORE = b"\xd5\x6a\x35\x9a" * 8


def _jpeg_with_more_data(photo) -> bytes | None:
    """A JPEG with more data before every restart and at the end of every scan.

    Where a scan is whole, a decoder passes over these data. Where a scan ends early, its rest comes
    out grey, or as the earlier scans left it, but with more data it comes out otherwise. Returns
    None where data may end early (arithmetic coding). Raises InputError where the end, or a scan,
    is missing.
    """
    at, parts, missing, scans, restarts = 2, [photo[:2]], {}, 0, False
    while found := _MARKER.search(photo, at):
        parts.append(photo[at : found.end()])
        marker, at = found[1], found.end()
        if marker == b"\xd9":
            break
        if marker == b"\x01" or b"\xd0" <= marker <= b"\xd8":
            continue  # those have no length
        size = int.from_bytes(photo[at : at + 2], "big")
        body, after = photo[at + 2 : at + size], at + size
        parts.append(photo[at:after])
        at = after
        if b"\xc0" <= marker <= b"\xcf" and marker not in (b"\xc4", b"\xc8", b"\xcc"):
            if marker in _ARITHMETIC:
                return None
            missing = {body[6 + 3 * k]: np.full(64, 99) for k in range(body[5])}
        if marker == b"\xdd":
            restarts = any(body)
        if marker == b"\xda":
            scans += 1
            first, last, low = body[-3], body[-2], body[-1] & 15
            for k in range(body[0]):
                missing[body[1 + 2 * k]][first : last + 1] = low
            if scans > SCANS:
                raise InputError(f"more than {SCANS} scans; save it again")
            end = _END.search(photo, at)
            data = photo[at : end.start() if end else len(photo)]
            numbers = [restart[0][-1] & 7 for restart in _RESTART.finditer(data)]
            if numbers != [place % 8 for place in range(len(numbers))]:
                raise InputError("damaged or cut short (it lacks a part of a scan)")
            another = bytes([0xFF, 0xD0 + len(numbers) % 8]) + _MORE if restarts else b""
            parts += [_RESTART.sub(lambda restart: _MORE + restart[0], data), _MORE, another]
            at += len(data)
    else:
        raise InputError("truncated (its end marker is missing)")
    if any(levels.any() for levels in missing.values()):
        raise InputError("damaged or cut short (it lacks a scan)")
    return b"".join(parts)


def plain(photo: bytes, upright: bool = False) -> bytes:
    """Rewrite a photo that not every viewer shows alike.

    Args:
        photo: The encoded photo.
        upright: Whether an EXIF rotation is to be applied.

    Returns:
        A PNG if the photo has transparency (it is laid on white), or an EXIF rotation that is to be
            applied. Else the photo as it is, also if it cannot be read.
    """
    try:
        with _opened(photo) as image:
            turned = upright and _orientation(image) != 1
            if not (turned or image.has_transparency_data):
                return photo
        pixels = decode(photo, upright=upright, whole=True)
        return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    except Exception:  # Pillow's readers raise whatever they stumble over
        return photo


def jpeg_like(photo: bytes, pixels: np.ndarray) -> bytes:
    """Encode a part of a JPEG with the tables and the colour resolution of the whole.

    What was cut along its blocks (of BLOCK pixels) so stays as it was, but for rounding.

    Args:
        photo: The encoded JPEG.
        pixels: (H, W, 3) uint8 RGB.

    Returns:
        The encoded part.
    """
    with _opened(photo) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        tables = [image.quantization[kind] for kind in sorted(image.quantization)]
        sampling = JpegImagePlugin.get_sampling(image)
        grey = image.mode == "L"
    part, stored = Image.fromarray(pixels[..., 0] if grey else pixels), io.BytesIO()
    part.save(stored, "JPEG", qtables=tables, subsampling=max(sampling, 0))
    return stored.getvalue()


def sides(photo: Path) -> tuple[tuple[int, int], tuple[int, int], bool] | None:
    """The size of a photo as stored and as a viewer shows it.

    Args:
        photo: The file.

    Returns:
        (width, height) as stored, (width, height) as shown, and whether the EXIF rotation changes
            the picture, or None if the photo cannot be read.
    """
    try:
        with _opened(encoded(photo)) as image:
            said = _orientation(image)
            width, height = image.size
            if tags := getattr(image, "tag_v2", None):  # TIFF's: Pillow tells the size as shown
                width, height = (int(tags[tag]) for tag in SIDES)
            shown = (height, width) if said >= 5 else (width, height)
            return (width, height), shown, bool(said > 1)
    except Exception:  # Pillow's readers raise whatever they stumble over
        return None


def _orientation(image):
    """The EXIF rotation of a photo, 1 (none) to 8. Values of 5 and above exchange the sides."""
    said = image.getexif().get(ExifTags.Base.Orientation, 1)
    return said if said in range(1, 9) else 1


def as_rgb(image: np.ndarray | Image.Image | Path | str) -> np.ndarray:
    """Read an image of any kind as RGB, upright.

    Args:
        image: A photo's file, an image of Pillow (its EXIF rotation is applied), or a uint8 array,
            upright: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA.

    Returns:
        (H, W, 3) uint8 RGB; an array of RGB is returned itself.

    Raises:
        InputError: It is no such image, or as `read`.
    """
    if isinstance(image, str | Path):
        return read(image)
    if isinstance(image, Image.Image):
        try:
            upright = ImageOps.exif_transpose(image)
            upright.format = image.format  # which a copy lacks
            return as_rgb(_rgb(upright))
        except (OSError, ValueError) as error:  # it is read only now
            name = getattr(image, "filename", "") or "an image of Pillow"
            reason = " ".join(str(error).split())
            raise InputError(f"{name}: cannot be read ({reason}); open it again") from None
    image = np.asarray(image)
    grey, colour = image.ndim == 2, image.ndim == 3 and image.shape[2] in (3, 4)
    if image.dtype != np.uint8 or not (grey or colour) or 0 in image.shape:
        raise InputError(
            f"an image of shape {image.shape} and type {image.dtype}; give uint8 of (H, W, 3) "
            "RGB, (H, W, 4) RGBA or (H, W) grey, a photo's file, or an image of Pillow"
        )
    if max(image.shape) > LONGEST:
        raise InputError(f"a side of more than {LONGEST:,} pixels; reduce it")
    if colour and image.shape[2] == 3:
        return image
    return _rgb(Image.fromarray(image))


def _rgb(photo):
    if photo.format == "TIFF" and photo.mode == "I":
        raise InputError("its pixels have 32 bits; save it with 8 or 16 bits")
    if photo.mode == "I" or photo.mode.startswith("I;16"):  # convert() would clip at 255
        tags = getattr(photo, "tag_v2", {})
        white = 2 ** tags.get(BITS, (16,))[0] - 1
        grey = np.round(np.clip(np.asarray(photo, np.float32), 0, white) * (255 / white))
        grey = 255 - grey if tags.get(INTERPRETATION) == 0 else grey  # white is 0
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if photo.mode == "F":
        raise InputError("its pixels are fractions; save it with 8 or 16 bits")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    return np.array(photo if photo.mode == "RGB" else photo.convert("RGB"))


def reduced(image: np.ndarray, longest: int) -> np.ndarray:
    """Average an image down to a longest side.

    Args:
        image: (H, W, 3).
        longest: Pixels of the longer side at most.

    Returns:
        The reduced image, or the same one if it is not larger.
    """
    height, width = image.shape[:2]
    zoom = longest / max(height, width)
    if zoom >= 1:
        return image
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def find(names: Iterable[Path | str]) -> list[Path]:
    """Find the files that names stand for.

    Args:
        names: Files, folders (the photos right in them, by name), or patterns such as "a/**/*.jpg".

    Returns:
        The files, each once, in the order given.

    Raises:
        InputError: A name leads to no file. The message names it.
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
    """Read the frames of a video, upright.

    If the file gives no times (raw streams), or times that do not grow, a frame follows the one
    before by the file's rate. A file that is cut short gives the frames that it has.

    Args:
        path: The file.

    Returns:
        An iterator over the frames, each its seconds from the start and its (H, W, 3) uint8 RGB
            pixels. It raises InputError where the file has neither times nor a rate.

    Raises:
        InputError: The file is missing, or no video of CONTAINERS. The message names the file.

    Examples:
        >>> from jaxalign import photos
        >>> for seconds, image in photos.frames("video.mp4"):
        ...     print(seconds, image.shape)
        0.0 (720, 1280, 3)
        0.04 (720, 1280, 3)
    """
    video = _video(path)
    going, first = video.read()
    if not going:
        raise InputError(f"{path}: no video that OpenCV can read; convert it to MP4")
    return _frames(path, video, first)


def frame_count(path: Path | str) -> int:
    """The number of frames that a video's file claims to hold.

    Args:
        path: The file.

    Returns:
        The number, 0 if the file does not say.
    """
    count = _video(path).get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if 0 < count < 1e12 else 0


def frame_rate(path: Path | str) -> float:
    """How fast a video is.

    Args:
        path: Its file.

    Returns:
        Frames a second, by what the file says; 0 where it does not say.
    """
    rate = _video(path).get(cv2.CAP_PROP_FPS)
    return float(rate) if 0 < rate < 1000 else 0.0


def camera(number: int) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of a webcam, as long as they are asked for.

    Args:
        number: Which camera, from 0, as OpenCV counts them.

    Returns:
        Of each frame the seconds since the first one, and (H, W, 3) uint8 RGB.

    Raises:
        InputError: There is no such camera, or it gives no picture.
    """
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # it tells every way that it could not take
    try:
        video = cv2.VideoCapture(number)
        going, first = video.read()
    finally:
        logging.setLogLevel(level)
    if not going:
        raise InputError(
            f"webcam {number}: gives no picture; is it connected, allowed, and used by no other "
            "program? --webcam N names another one, from 0"
        )
    video.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the frame of now, where the network is slower
    return _live(video, first)


def _live(video, frame):
    began, going = time.monotonic(), True
    while going:
        yield time.monotonic() - began, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        going, frame = video.read()
    video.release()


def _video(path) -> cv2.VideoCapture:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    with open(path, "rb") as file:
        beginning = file.read(16)
    if not CONTAINERS.match(beginning):
        raise InputError(f"{path}: no video that can be read here; convert it to MP4")
    # The whole path, since a name may look like a protocol or a pattern.
    return cv2.VideoCapture(str(Path(path).absolute()))


def _frames(path, video, frame):
    rate, last = video.get(cv2.CAP_PROP_FPS), None
    going = True
    while going:
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if last is not None and not last < seconds < np.inf:
            if not 0 < rate < np.inf:
                raise InputError(f"{path}: gives no times of its frames; convert it to MP4")
            seconds = last + 1 / rate
        elif last is None and not 0 <= seconds < np.inf:
            seconds = 0.0
        last = seconds
        yield seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        going, frame = video.read()
    video.release()
