"""File formats that several benchmarks share."""

from pathlib import Path

import numpy as np

from jaxalign.errors import InputError


def read_pts(path: Path, num_points: int) -> np.ndarray:
    """iBUG's `.pts` text file -> (num_points, 2) float32 points, image frame.

    The file counts pixels from 1 (Matlab); the result counts from 0.
    Errors: InputError naming the file where it is not such a file, or its points are not
    `num_points` finite pairs.
    """
    try:
        words = path.read_bytes().decode("ascii").replace(":", " : ").split()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    if not words:
        raise InputError(f"{path}: empty")
    words += [] if "{" in words else ["{"]
    header, body = words[: words.index("{")], words[words.index("{") + 1 :]
    if words[0] != "version" or header[-3:-1] != ["n_points", ":"]:
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
    return (numbers.reshape(-1, 2) - 1).astype(np.float32)
