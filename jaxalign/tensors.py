"""Named arrays, and texts about them, in one plain file, by the library safetensors."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401  so that NumPy knows bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxalign.errors import InputError
from jaxalign.folders import readable_errors, whole


SUFFIX = ".safetensors"


def read(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, of the types stored, and the texts of its header.

    Raises InputError where the file is missing, of another kind, damaged or cut short.
    """
    return _opened(path, lambda file: {name: file.get_tensor(name) for name in file.keys()})


def read_header(path: Path | str) -> dict[str, str]:
    """The texts of a file's header alone. Raises as `read` does."""
    return _opened(path, lambda file: {})[1]


def write(path: Path | str, arrays: dict[str, np.ndarray], texts: dict[str, str]):
    """Writes arrays and texts to a file that `read` reads.

    One text gives the same bytes each time; several are written in no fixed order. Raises
    InputError where the file cannot be written.
    """
    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, texts)
    with readable_errors(path, ""), whole(path) as file:
        file.write(data)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum over the names, types, shapes and values of arrays, whatever their order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(repr((name, array.dtype.name, array.shape)).encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def not_finite(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of an array that holds NaN or an infinity, "" where none does."""
    for name, array in arrays.items():
        if array.dtype.kind not in "biu" and not np.isfinite(array).all():
            return name
    return ""


def _opened(path, arrays_of):
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give a {SUFFIX} file")
    try:
        with safe_open(path, framework="np") as file:
            return arrays_of(file), file.metadata() or {}
    except (OSError, SafetensorError, AttributeError) as error:  # the last: a type NumPy lacks
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise InputError(
            f"{path}: damaged or cut short, or no {SUFFIX} file ({reason[:200]}); fetch it again"
        ) from error
