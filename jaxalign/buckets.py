"""Folders in buckets (gs://, s3://, az://), and their copies on this machine.

Whatever the package reads or writes is a file of this machine. From a bucket it is copied first,
into a bucket it is copied afterwards. fsspec does so, to which etils.epath hands such paths, too.
"""

import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxalign import places
from jaxalign.downloads import cache
from jaxalign.errors import InputError
from jaxalign.folders import PARTIAL, mark, whole
from jaxalign.records import json_text
from jaxalign.texts import object_of, stored


COPIED = mark("copy")  # in a copy: the version of each file
VERSIONS = ("etag", "ETag", "md5Hash", "mtime", "LastModified", "created")  # the first known counts
DAY = 86_400  # seconds, after which nobody is still writing a file that was begun
TOLD = 2**24  # bytes, from which on the log says that they are copied
LOG = logging.getLogger(__name__)


class Bucket:
    """A folder of a bucket.

    Attributes:
        url: Its URL.
        folder: Where its copy is kept on this machine, by the same name; each URL has its own.
    """

    def __init__(self, path: Path | str):
        """Raises InputError where the package is missing that reaches the bucket."""
        import fsspec  # here, because a machine that only runs ONNX models may lack it

        self.url = places.url(path)
        scheme = self.url.partition(":")[0]
        name = f"{re.sub('[^A-Za-z0-9.]+', '_', self.url)[-80:]}-{_sum(self.url)[:8]}"
        self.folder = cache() / "buckets" / name / self.url.rpartition("/")[2]
        options = {"auto_mkdir": True} if scheme == "file" else {}
        try:
            with _readable_errors(self.url, "read"):
                self._files: Any = fsspec.filesystem(scheme, **options)
        except ImportError:
            need = f"{scheme}:// needs {places.PACKAGES[scheme]}"
            raise InputError(f"{self.url}: {need}; pip install {need.split()[-1]}") from None
        self._base = self._files._strip_protocol(self.url).rstrip("/")

    def files(self) -> dict[str, tuple[str, int]]:
        """The version and the size of each file in it, by its path in the folder.

        Where the URL is that of a file, its path is "". Raises InputError where it cannot be read.
        """
        with _readable_errors(self.url, "read"):
            self._files.invalidate_cache()
            found = self._files.find(self._base, detail=True)
            if self._base in found and not found[self._base]:
                found[self._base] = self._files.info(self._base)
        listed = {}
        for path, about in found.items():
            name = path.removeprefix(self._base).lstrip("/")
            # others are no names of files here: markers of folders, paths that lead out
            if about.get("type") == "file" and not {"..", "."} & {*name.split("/")}:
                version = next((about[key] for key in VERSIONS if about.get(key)), "")
                listed[name] = str(version), about["size"]
        return listed

    def text(self, name: str) -> str:
        """The text of a small file, on one line. Raises InputError where it cannot be read."""
        with _readable_errors(self.url, "read"):
            return " ".join(self._files.cat_file(self._at(name)).decode("utf-8", "replace").split())

    def pull(self, wanted: Mapping[str, tuple[str, int]], folder: Path | None = None) -> Path:
        """Makes `folder` (default: that of the bucket) a copy of files as `files` lists them.

        Files that are there in the same version stay, and those that are not wanted go, but for
        those that another process may be copying. Raises InputError where a file cannot be copied
        whole.
        """
        folder = folder or self.folder
        with _readable_errors(self.url, f"copied to {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            had = _versions(folder)
            kept = {name: one for name, one in wanted.items() if had.get(name) == list(one)}
            kept = {name: one for name, one in kept.items() if _size(folder / name) == one[1]}
            new = {name: one for name, one in wanted.items() if name not in kept}
            if (size := sum(one[1] for one in new.values())) > TOLD:
                LOG.info("copying %.0f MB of %s to %s", size / 1e6, self.url, folder)
            for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder first
                if path.is_dir():
                    with contextlib.suppress(OSError):  # it is not empty
                        path.rmdir()
                    continue
                name = path.relative_to(folder).as_posix()
                with contextlib.suppress(FileNotFoundError):
                    copying = name.endswith(PARTIAL) and time.time() - path.stat().st_mtime < DAY
                    if name not in (COPIED, *wanted) and not copying:
                        path.unlink()
            _note(folder, kept)
            for name, (_, size) in new.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with whole(folder / name) as file:
                    self._files.get_file(self._at(name), file.name)
                    if _size(Path(file.name)) != size:
                        raise OSError(f"{name} was cut short, or changed meanwhile")
            _note(folder, wanted)
        return folder

    def put(self, name: str, file: Path):
        """Copies a file into the bucket, where it appears whole. Raises InputError."""
        with _readable_errors(self.url, "written"):
            self._files.put_file(str(file), self._at(name))

    def remove(self, names: Iterable[str]):
        """Removes files, also those that are not there. Raises InputError."""
        for name in names:
            with _readable_errors(self.url, "written"), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._at(name))

    def _at(self, name):
        return f"{self._base}/{name}" if name else self._base


def file(path: Path | str) -> Path:
    """A file itself, or a copy of one that is in a bucket. Raises InputError."""
    if not places.url(path):
        return Path(path)
    folder, _, name = places.url(path).rpartition("/")
    bucket = Bucket(path)
    there = bucket.files()
    if [*there] != [""]:
        raise InputError(f"{bucket.url}: no such file in the bucket {folder}; name another")
    return Bucket(folder).pull({name: there[""]}, bucket.folder.parent) / name


def _sum(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _size(path):
    return path.stat().st_size if path.is_file() else -1


def _note(folder, files):
    with whole(folder / COPIED) as file:
        file.write(json_text(files).encode())


def _versions(folder):
    try:
        return object_of(stored(folder / COPIED))
    except InputError:
        return {}


@contextlib.contextmanager
def _readable_errors(url, what) -> Iterator[None]:
    """Turns whatever goes wrong with a bucket into InputError; each library has its own errors."""
    try:
        yield
    except (InputError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{url}: cannot be {what} ({reason}); check its name, the network and your rights there"
        ) from error
