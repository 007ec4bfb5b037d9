"""Files that appear whole or not at all, and folders whose other files stay as they are.

A file of the folder lists the names of the files that a kind of work ("report", "predictions") made
there. Whatever else is there is the user's.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from jaxalign import places
from jaxalign.errors import InputError
from jaxalign.records import json_text
from jaxalign.texts import from_json, stored


PARTIAL = ".jaxalign-partial"


@contextmanager
def whole(path: Path | str) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` once it is whole.

    A link there is replaced, not followed; a device or a pipe is written into. Raises OSError, and
    whatever comes up meanwhile; then `path` is as it was. Raises InputError for a path in a bucket.
    """
    places.check_local(path)
    path = Path(path)
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:
            yield file
        return
    # The end of the name, because names may be as long as file systems let them.
    own = f".{path.name[-40:]}.{os.getpid()}-{threading.get_ident()}{PARTIAL}"
    partial = path.with_name(own)
    partial.unlink(missing_ok=True)  # left by a killed process of that number
    try:
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Deletes half-written files of killed processes in a folder that is this process's alone.

    Folders of that name stay: they are reports, which other processes may be writing.
    """
    for path in folder.glob(f".*{PARTIAL}"):
        if not path.is_dir():
            path.unlink(missing_ok=True)


def mark(kind: str) -> str:
    """The name of the file that lists the files that a kind of work made in its folder."""
    return f".jaxalign-{kind}"


def made(folder: Path, kind: str) -> set[str]:
    """The names of the files in a folder that this kind of work made there."""
    try:
        names = from_json(stored(folder / mark(kind)))
    except (InputError, ValueError):
        return set()
    names = names if isinstance(names, list) else []
    # A path that leads out of the folder is no name in it.
    return {n for n in names if isinstance(n, str) and n == os.path.basename(n)} - {"", ".", ".."}


def check(folder: Path, kind: str, patterns: Sequence[str] = (), names: Iterable[str] = ()) -> None:
    """Checks that a kind of work may write into a folder.

    Raises InputError where the folder is in a bucket, is a file, or holds files of these patterns
    or names that this kind of work did not make.
    """
    places.check_local(folder)
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
    """Makes the folder, and claims the names in it for this kind of work. Raises as `check`."""
    names = set(names)
    check(folder, kind, names=names)
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _note(folder, kind, made(folder, kind) | names)


def keep(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Deletes the files that this kind of work made in the folder, except for these names.

    Half-written files go too.
    """
    names = set(names)
    with readable_errors(folder):
        sweep(folder)
        for name in made(folder, kind) - names:
            if not (folder / name).is_dir():
                (folder / name).unlink(missing_ok=True)
        _note(folder, kind, names)


@contextmanager
def readable_errors(path: Path | str, remedy: str = "name another folder") -> Iterator[None]:
    """Turns the system's errors of writing a file, or in a folder, into InputError."""
    try:
        yield
    except OSError as error:
        reason = f"{path}: cannot be written ({error.strerror or error})"
        raise InputError(f"{reason}{remedy and f'; {remedy}'}") from None


def _note(folder, kind, names):
    with whole(folder / mark(kind)) as file:
        file.write(f"{json_text(sorted(names), indent=0)}\n".encode())
