"""What is known of a split's faces without reading them: their groups and subsets.

It is stored in files beside the shards that are mapped into memory, so that opening a million faces
costs next to nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """Texts one after the other, as UTF-8: text i lies between ends[i] and ends[i + 1]."""

    letters: np.ndarray  # (bytes,) uint8
    ends: np.ndarray  # (texts + 1,) int64, from 0

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self.letters[self.ends[place] : self.ends[place + 1]].tobytes().decode()


@dataclass(frozen=True)
class Index:
    """The group of each face of a split, in order, and which of `kinds` its subsets are."""

    groups: Sequence[str]
    kind: np.ndarray  # (faces,) int32
    kinds: Sequence[Sequence[str]]

    def subsets(self) -> dict[str, np.ndarray]:
        """Subset name -> the places of its faces, in order."""
        names = dict.fromkeys(name for kind in self.kinds for name in kind)
        having = {name: np.array([name in kind for kind in self.kinds]) for name in names}
        return {name: np.flatnonzero(those[self.kind]) for name, those in having.items()}


class IndexWriter:
    """Gathers the index of a split as its faces are written."""

    def __init__(self):
        self.letters, self.ends, self.kind, self.kinds = bytearray(), [0], [], {}

    def add(self, group: str, subsets: Sequence[str]) -> None:
        self.letters += group.encode()
        self.ends.append(len(self.letters))
        self.kind.append(self.kinds.setdefault(tuple(subsets), len(self.kinds)))

    def write(self, folder: Path, split: str) -> dict:
        """Writes the files of the index; returns what the metadata hold of the split."""
        arrays = _files(folder, split)
        np.save(arrays["letters"], np.frombuffer(bytes(self.letters), np.uint8))
        np.save(arrays["ends"], np.array(self.ends, np.int64))
        np.save(arrays["kind"], np.array(self.kind, np.int32))
        return {"kinds": [list(names) for names in self.kinds]}


def read_index(folder: Path, split: str, metadata: Mapping) -> Index:
    """Reads the index of a split; older data sets have all of it in the metadata."""
    if "group" in metadata:
        writer = IndexWriter()
        for subsets in metadata["subsets"]:
            writer.add("", subsets)
        return Index(metadata["group"], np.array(writer.kind, np.int32), list(writer.kinds))
    stored = {name: np.load(file, "r") for name, file in _files(folder, split).items()}
    return Index(Texts(stored["letters"], stored["ends"]), stored["kind"], metadata["kinds"])


def _files(folder, split):
    return {name: Path(folder) / f"{split}-{name}.npy" for name in ("letters", "ends", "kind")}
