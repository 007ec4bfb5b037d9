"""The photos below a folder, by the names that annotations give them."""

import itertools
import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from jaxalign.datasets.formats import below, inside
from jaxalign.datasets.layouts.rows import Row
from jaxalign.photos import SUFFIXES


class Folder:
    """Finds the photos below a folder by their names.

    Names begin at the folder, at its `images`, at the place of the file of annotations, or, in
    COCO's tree, at the folders that the file is named after (`train2017`). A name that differs only
    in upper and lower case also finds its photo. A name with folders that are not there finds the
    only photo that is called so, if no other name of the `rows` ends like it; `moved` holds such
    names and their photos. Where its folder is there, it is not looked for elsewhere.
    """

    def __init__(self, root: Path):
        self.root = root
        self.moved: dict[str, Path] = {}
        self._given: dict[str, set[str]] = defaultdict(set)

    def expect(self, rows: Iterable[Row]) -> None:
        """Takes note of the names that will be asked for."""
        for row in rows:
            for name in (row.photo, *row.names):
                self._given[_bare(name)].add(posixpath.join(row.folder, row.photo))

    def find(self, row: Row) -> tuple[Path | None, str]:
        """The photo of a row, or None and why there is none."""
        # "person_keypoints_train2017.json" is of the photos in "train2017".
        words = row.path.stem.split("_")
        trees = ["_".join(words[place:]) for place in range(len(words))]
        folders = [posixpath.join(start, one) for start in ("", *trees) for one in ("", "images")]
        start = "" if posixpath.isabs(row.folder) else row.folder
        folders = [posixpath.join(start, one) for one in folders] if start else folders
        tries = [(row.folder, start, folders)]
        if not row.folder:
            tries.append((self.start(row.path), "", [""]))
        given = [name for one in (row.photo, *row.names) for name in (one, one.replace("\\", "/"))]
        outside = True
        for (place, start, folders), name in itertools.product(tries, dict.fromkeys(given)):
            if (name := self._inner(posixpath.join(place, name), start)) is None:
                continue
            outside = False
            for endings in (("",), SUFFIXES):
                if found := self._in(folders, [name + ending for ending in endings]):
                    return self._single(found)
        homes = self._homes([*folders, self.start(row.path)], given, trees)
        for given in (row.photo, *row.names):
            bare = _bare(given)
            if not bare.strip(".") or len(self._given[bare]) > 1:
                continue
            for endings in (("",), SUFFIXES):
                if found := self._named([bare + ending for ending in endings]):
                    photo, fault = self._single(found)
                    if photo and homes and homes.isdisjoint(photo.parents):
                        continue
                    if photo is not None:
                        self.moved[row.photo] = photo
                    return photo, fault
        if outside:
            return None, "the photo lies outside the folder; name it from the folder on"
        return None, "no such photo"

    def _homes(self, places, names, trees):
        """The folders below the root that names begin with, or else those of COCO's tree."""
        inner = (posixpath.normpath(name) for name in names if not posixpath.isabs(name))
        heads = {posixpath.dirname(name) for name in inner} - {""}
        named = [posixpath.join(place, head) for place in places for head in heads] or trees
        paths = {Path(os.path.normpath(self.root / name)) for name in named}
        root = Path(os.path.normpath(self.root))
        return {path for path in paths if root in path.parents and path.is_dir()}

    def _inner(self, name, start):
        """A name from `start` on, where it lies below the root, or None."""
        name = posixpath.normpath(name)
        if posixpath.isabs(name):
            root = os.path.abspath(self.root)
            if not Path(name).is_relative_to(root):
                return None
            name = Path(name).relative_to(root).as_posix()
        if name.split("/")[0] == "..":
            return None
        return posixpath.relpath(name, start) if start else name

    def start(self, path: Path) -> str:
        """Where names begin that count from the place of their file of annotations.

        That is a folder among the photos' own, or, where the file is not among them, an absolute
        one.
        """
        if not path.is_relative_to(self.root):
            return path.parent.absolute().as_posix()
        folder = path.parent.relative_to(self.root).as_posix()
        return "" if folder == "." else folder

    def beside(self, path: Path) -> list[Path]:
        """The photos that differ from a file of annotations in their extension alone.

        Where there are none, those that also differ in upper and lower case.
        """
        stem = path.with_suffix("")
        return self._stems.get(stem) or self._folded_stems.get(_folded(stem.as_posix()), [])

    def called(self, stem: str) -> list[Path]:
        """The photos of this name, without its extension, that have no annotations beside them."""
        return self._free.get(_folded(stem), [])

    @cached_property
    def _photos(self):
        return [p for p in below(self.root) if p.suffix.lower() in SUFFIXES]

    @cached_property
    def _stems(self):
        return _grouped(self._photos, lambda path: path.with_suffix(""))

    @cached_property
    def _alone(self):
        """The photos that have no annotations of their very name."""
        own = {p.with_suffix("") for p in below(self.root) if p.suffix.lower() not in SUFFIXES}
        return [path for path in self._photos if path.with_suffix("") not in own]

    @cached_property
    def _folded_stems(self):
        return _grouped(self._alone, lambda path: _folded(path.with_suffix("").as_posix()))

    @cached_property
    def _free(self):
        files = [path for path in self._alone if path.is_file()]
        return _grouped(files, lambda path: _folded(path.stem))

    @cached_property
    def _places(self):
        files = [path for path in below(self.root) if path.is_file()]
        return _grouped(files, lambda path: _folded(path.relative_to(self.root).as_posix()))

    @cached_property
    def _by_bare(self):
        files = [path for path in self._photos if path.is_file()]
        return _grouped(files, lambda path: _folded(path.name))

    def _in(self, folders, names):
        """The files of these names in the first of these folders that has any.

        Names are taken as they are written, or else in other cases.
        """
        for folder in folders:
            joined = [posixpath.normpath(posixpath.join(folder, name)) for name in names]
            if found := [path for name in joined if (path := inside(self.root, name))]:
                return found
        for folder in folders:
            joined = [posixpath.normpath(posixpath.join(folder, name)) for name in names]
            keys = {_folded(name) for name in joined}
            if found := [path for key in sorted(keys) for path in self._places.get(key, ())]:
                return found
        return []

    def _named(self, names):
        keys = {_folded(name) for name in names}
        return [path for key in sorted(keys) for path in self._by_bare.get(key, ())]

    def _single(self, found):
        if len(found) == 1:
            return found[0], ""
        several = " and ".join(path.relative_to(self.root).as_posix() for path in found)
        return None, f"there are several such photos, {several}; name one"


def _bare(name):
    return posixpath.basename(name.replace("\\", "/"))


def _grouped(paths, key):
    found = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return found


def _folded(name):
    """A name as file systems compare it that ignore cases and forms of accents."""
    return unicodedata.normalize("NFC", name).casefold()
