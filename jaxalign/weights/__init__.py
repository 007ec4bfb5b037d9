"""Weights that come with jaxalign: a table of the files beside this one.

Whatever takes a checkpoint also takes their names. docs/model_card.md tells what they learned from,
what they are for and where they fail. To replace a file, export one to another folder (jaxalign
export --out NAME.safetensors prints its size and SHA-256), copy it here and change its row.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jaxalign.errors import InputError


FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Weights:
    """A file of checkpoints.write in FOLDER, and how to recognise it.

    Attributes:
        file: The file's name in FOLDER.
        size: Its size in bytes.
        sha256: Its SHA-256, hexadecimal.
        licence: The licence of the weights.
        about: What every user must know of them; the commands print it.
    """

    file: str
    size: int
    sha256: str
    licence: str
    about: str


WEIGHTS = {
    "drawn": Weights(
        file="drawn.safetensors",
        size=9_176_292,
        sha256="5265ad68df724617ffa26cf7ae107ed1c2ad41c2cfd650886258f605af56bd5f",
        licence="Apache-2.0",
        about="learned from drawn faces alone, from no photo",
    ),
}
DEFAULT = "drawn"


def find(name: str = DEFAULT) -> Path:
    """Finds the file of packaged weights.

    Args:
        name: A name of WEIGHTS.

    Returns:
        The file's path.

    Raises:
        InputError: The file is missing.

    Examples:
        >>> find("drawn").name
        'drawn.safetensors'
    """
    path = FOLDER / WEIGHTS[name].file
    if not path.is_file():
        raise InputError(f"{path}: is missing; install jaxalign again, or give other weights")
    return path


def name_of(path: Path) -> str:
    """Gives the name of packaged weights.

    Args:
        path: A path.

    Returns:
        The name of the weights whose file this is; "" for any other path.
    """
    return next((name for name, one in WEIGHTS.items() if FOLDER / one.file == path), "")


def check(path: Path):
    """Checks the file of packaged weights; any other path passes.

    Args:
        path: A path.

    Raises:
        InputError: The file is not the one that came with jaxalign.
    """
    name = name_of(path)
    if not name:
        return
    one, data = WEIGHTS[name], path.read_bytes()
    if len(data) != one.size or hashlib.sha256(data).hexdigest() != one.sha256:
        raise InputError(
            f"{path}: not the file of {one.size} bytes with the SHA-256 {one.sha256} that comes "
            "with jaxalign; install jaxalign again"
        )


def told(path: Path) -> str:
    """Says in words where a checkpoint comes from.

    Args:
        path: The file, or a step's folder.

    Returns:
        For packaged weights their name and what they learned from; else the path.
    """
    name = name_of(path)
    return f"jaxalign's own weights {name!r}, {WEIGHTS[name].about}" if name else str(path)
