"""File formats that several benchmarks share."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import numpy as np

from jaxalign import texts
from jaxalign.errors import InputError


PHOTOS = (".jpg", ".jpeg", ".png")
MAT_MATRIX = 14
MAT_COMPRESSED = 15
MAT_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13, MAT_MATRIX, MAT_COMPRESSED, 16, 17, 18)
COMMENT = re.compile(r"\s*(#|//|%)")


def read_pts(path: Path, num_points: int, base: int = 1) -> np.ndarray:
    """Reads a `.pts` text file of iBUG.

    Lines of comments (#, //, %) are passed over.

    Args:
        path: The file.
        num_points: How many points it must hold.
        base: Where the file counts pixels from: 1 in iBUG's own files (Matlab).

    Returns:
        (num_points, 2) float32, pixels of the photo, 0-based.

    Raises:
        InputError: It is no such file, or its points are not `num_points` finite pairs.
    """
    lines = (line for line in texts.lines(_text(path)) if not COMMENT.match(line))
    words = re.sub("[:{}]", r" \g<0> ", " ".join(lines)).split()
    words += [] if "{" in words else ["{"]
    header, body = words[: words.index("{")], words[words.index("{") + 1 :]
    if header[-3:-1] != ["n_points", ":"] or header[:1] not in (["version"], ["n_points"]):
        raise InputError(f"{path}: no .pts header (version, n_points and an opening brace)")
    promised = header[-1]
    if "}" not in body:
        raise InputError(f"{path}: truncated, its closing brace is missing")
    try:
        numbers = np.array(body[: body.index("}")], np.float64)
    except ValueError:
        raise InputError(f"{path}: a coordinate is not a number") from None
    if promised != str(num_points) or numbers.size != 2 * num_points:
        raise InputError(
            f"{path}: {numbers.size / 2:g} points under a header that says {promised}; "
            f"there must be {num_points}"
        )
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: a coordinate is NaN or infinite")
    with np.errstate(over="ignore"):
        return (numbers.reshape(-1, 2) - base).astype(np.float32)


def check_base(benchmark: str, base: int) -> None:
    """Checks the option `base`, where coordinates begin to count.

    Args:
        benchmark: The benchmark's name, for the message.
        base: The option's value.

    Raises:
        InputError: It is neither 0 nor 1.
    """
    if base not in (0, 1):
        raise InputError(f"{benchmark}: base={base}; it is 0 or 1")


def unsigned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads the signs of MERL-RAV's coordinates.

    (-x, -y) is a point at (x, y) that something hides; (-1, -1) is a point that nobody labelled.

    Args:
        points: (K, 2) as stored.

    Returns:
        The places (K, 2), NaN where not labelled; which points are visible (K,), and which are
        labelled (K,).

    Raises:
        ValueError: The two signs of a point differ.
    """
    (x, y), places = points.T, abs(points)
    hidden, labelled = (x < 0) & (y < 0), (x != -1) | (y != -1)
    mixed = int(((x < 0) != (y < 0)).sum())
    if mixed:
        raise ValueError(f"{mixed} of its points have one negative coordinate and one that is not")
    places[~labelled] = np.nan
    return places, ~hidden, labelled


def read_mat(
    path: Path, names: tuple[str, ...], cells: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Reads variables of a MATLAB file older than v7.3.

    Args:
        path: The file.
        names: The variables to read.
        cells: Those of them that are not tables of numbers.

    Returns:
        The variables by name, as scipy reads them (2-D or more).

    Raises:
        InputError: The file is missing, cut short or of another format, or has no such variable.
    """
    try:
        found = load_mat(texts.file_bytes(path), variable_names=names)
    except InputError:
        raise
    except Exception as error:  # scipy raises whatever it stumbles over
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{path}: not a readable MATLAB file, or cut short ({reason}); download it again"
        ) from None
    for name in names:
        if name not in found:
            raise InputError(f"{path}: holds no variable {name!r}; download it again")
        kind = found[name].dtype.kind if isinstance(found[name], np.ndarray) else ""
        if not kind or (kind not in "biuf" and name not in cells):
            raise InputError(f"{path}: {name} is not a table of numbers; download it again")
    return {name: found[name] for name in names}


def load_mat(stored: bytes, **options) -> dict:
    """Reads a MATLAB file's bytes with scipy's loadmat.

    Args:
        stored: The bytes.
        **options: loadmat's.

    Returns:
        The variables by name.

    Raises:
        Exception: Whatever scipy raises for a damaged file.
    """
    from scipy.io import loadmat  # here: slow, and most readers go without

    if 0 not in stored[:4]:  # else of version 4, which has no such elements
        _check_elements(stored[128:], "<" if stored[126:128] == b"IM" else ">")
    return loadmat(io.BytesIO(stored), **options)


def _check_elements(data, order):
    """Raises ValueError where an element of a MATLAB file is of an unknown type.

    scipy looks up such types beyond the end of a table, which ends the process.
    """
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        body, after = data[at + 8 : at + 8 + size], at + 8 + size
        if kind >> 16:  # a small element: its size, its type, and 4 bytes
            kind, body, after = kind & 0xFFFF, b"", at + 8
        if kind not in MAT_TYPES:
            raise ValueError(f"an element of type {kind}")
        if kind == MAT_COMPRESSED:
            _check_elements(zlib.decompress(body), order)
        else:
            after += -after % 8
        if kind == MAT_MATRIX:
            _check_elements(body, order)
        at = after


def places(root: Path) -> list[Path]:
    """Lists the folders where an unpacked download may begin.

    Args:
        root: The folder that the user names.

    Returns:
        `root`, and the folders directly inside it.
    """
    return [root, *sorted(path for path in root.glob("*") if path.is_dir())]


def below(root: Path) -> Iterator[Path]:
    """Walks through the files and folders below a folder, by name.

    Links are followed; a folder that several names lead to comes once. Hidden files, and those that
    macOS leaves in archives, are passed over.

    Args:
        root: The folder.

    Yields:
        The path of each file and folder.

    Raises:
        InputError: A folder cannot be read.
    """

    def refuse(error):
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})")

    seen = {os.path.realpath(root)}
    for folder, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        fresh = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(folder, name))
            if not name.startswith(".") and name != "__MACOSX" and real not in seen:
                seen.add(real)
                fresh.append(name)
        folders[:] = fresh
        yield from (Path(folder, name) for name in fresh)
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def inside(folder: Path, name: str) -> Path | None:
    """Finds a file below a folder.

    Args:
        folder: The folder.
        name: The file's path in it.

    Returns:
        The file; None where there is none, or the name leads out of the folder.
    """
    path = PurePath(name)
    try:
        there = not path.is_absolute() and ".." not in path.parts and (folder / name).is_file()
    except (OSError, ValueError):  # a name that is too long, or holds what no name can
        there = False
    return folder / name if there else None


def listing(
    folder: Path, suffix: str, name: Callable[[str], str] = str
) -> list[tuple[str, dict[str, Path]]]:
    """Lists the files of a folder that have an extension, with those of the same name.

    Args:
        folder: The folder.
        suffix: The extension, in small letters, such as ".pts".
        name: Makes a face's name of a file's stem.

    Returns:
        The name and {extension: path} of each, by name; extensions in small letters.
    """
    names = {}
    for path in sorted(folder.glob("*")):
        if not path.name.startswith("."):
            names.setdefault(name(path.stem), {}).setdefault(path.suffix.lower(), path)
    return [(name, files) for name, files in sorted(names.items()) if suffix in files]


def photo_of(files: dict[str, Path]) -> Path | None:
    """Chooses the photo among files of one name.

    Args:
        files: The files by extension.

    Returns:
        The photo, or None.
    """
    return next((files[extension] for extension in PHOTOS if extension in files), None)


def photo_group(stem: str) -> str:
    """Names the photo behind a rendering or crop that is named after 300W.

    AFW and HELEN name a Flickr photo once for each of its faces, and one photo can be in both; LFPW
    and IBUG do not.

    Args:
        stem: The name of the rendering or crop, such as "HELEN_123_1_0".

    Returns:
        The group; where Flickr's number is known, it is the same as in ibug_300w.

    Examples:
        >>> photo_group("HELEN_123_1_0"), photo_group("LFPW_image_test_0001_3")
        ('flickr/123', 'LFPW_image_test_0001')
    """
    flickr = re.match(r"(?:AFW|HELEN)_(\d+)_\d+(?:_\d+)?$", stem)
    return f"flickr/{flickr[1]}" if flickr else re.sub(r"_\d+$", "", stem)


def read_counted(path: Path, num_points: int) -> np.ndarray:
    """Reads a text that holds a count and as many lines `x y`.

    Args:
        path: The file.
        num_points: How many points it must hold.

    Returns:
        (num_points, 2) float32, as they stand in the file.

    Raises:
        InputError: The file is not so; the message names the line.
    """
    lines = _lines(path)
    if lines[0] != [str(num_points)]:
        raise InputError(f"{path}: line 1 is {' '.join(lines[0])!r}, it must be {num_points}")
    if len(lines) != num_points + 1:
        raise InputError(f"{path}: {len(lines) - 1} points, its first line says {num_points}")
    rows = [_numbers(path, number, words, 2) for number, words in enumerate(lines[1:], 2)]
    return np.array(rows, np.float32)


def read_rect(path: Path) -> np.ndarray:
    """Reads a text of one line `x0 y0 x1 y1`.

    Args:
        path: The file.

    Returns:
        (4,) float32, as they stand in the file.

    Raises:
        InputError: The file is not so.
    """
    return np.array(_numbers(path, 1, _lines(path)[0], 4), np.float32)


def _lines(path):
    """The words of each line of a text, without empty lines around them."""
    return [line.split() for line in texts.lines(_text(path))]


def _text(path):
    """A text file without the white space around it. Errors: InputError, also where it is empty."""
    if not (text := texts.read(path).strip()):
        raise InputError(f"{path}: empty")
    return text


def _numbers(path, line, words, count):
    if len(words) != count:
        raise InputError(f"{path}: line {line} has {len(words)} columns, there must be {count}")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise InputError(f"{path}: line {line} holds something that is not a number") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: line {line} holds NaN or infinity")
    return numbers
