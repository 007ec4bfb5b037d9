"""Folders that commands write in: they overwrite and delete only what they made there.

What a kind of work ("report", "predictions") made in a folder stands in a file of that folder, by
its names. Whatever else is there is the user's.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from jaxalign.errors import InputError
from jaxalign.records import json_text


def mark(kind: str) -> str:
    """The name of the file that lists what a kind of work made in its folder."""
    return f".jaxalign-{kind}"


def made(folder: Path, kind: str) -> set[str]:
    """The names of the files in a folder that this kind of work made there."""
    try:
        names = json.loads((folder / mark(kind)).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    names = names if isinstance(names, list) else []
    # A path that leads out of the folder is no name in it.
    return {n for n in names if isinstance(n, str) and n == os.path.basename(n)} - {"", ".", ".."}


def check(folder: Path, kind: str, patterns: Sequence[str] = (), names: Iterable[str] = ()) -> None:
    """Errors: InputError where the folder is none, or holds files of these patterns or names that
    this kind of work did not make.
    """
    with readable_errors(folder):
        if not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise InputError(f"{folder}: is a file; name a folder")
        others = set(os.listdir(folder)) - made(folder, kind)
    wanted = set(names)
    theirs = [n for n in others if n in wanted or any(fnmatchcase(n, p) for p in patterns)]
    if theirs:
        raise InputError(
            f"{folder}: holds {min(theirs)}, which would be overwritten, but was not made there as "
            f"{kind}; name another folder, or move it away"
        )


def claim(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Makes the folder, and takes the names in it as this kind's own. Errors: as check."""
    names = set(names)
    check(folder, kind, names=names)
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _note(folder, kind, made(folder, kind) | names)


def keep(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Deletes what this kind of work made in the folder, but for these names."""
    names = set(names)
    with readable_errors(folder):
        for name in made(folder, kind) - names:
            if not (folder / name).is_dir():
                (folder / name).unlink(missing_ok=True)
        _note(folder, kind, names)


@contextmanager
def readable_errors(folder: Path) -> Iterator[None]:
    """What the system says of writing in a folder, as InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from None


def _note(folder, kind, names):
    partial = folder / f"{mark(kind)}.{os.getpid()}"
    try:
        partial.write_text(json_text(sorted(names), indent=0) + "\n", encoding="utf-8")
        os.replace(partial, folder / mark(kind))
    finally:
        partial.unlink(missing_ok=True)
