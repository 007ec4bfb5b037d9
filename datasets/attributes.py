"""The six attributes of a benchmark's faces from a user's own file: `prepare --attributes FILE`.

The file is a CSV with a header: id and pose, expression, illumination, make-up, occlusion, blur (0
or 1), in any order; other columns are passed over. Ids are the reader's, as in `predictions.jsonl`
of a report. PropagationNet's authors labelled 300W and COFW by hand and did not publish it.

A data set prepared with such a file is stored under the digest of its flags, as
NAME:attributes1a2b3c4d. A changed file makes another data set, and a recipe that names the old one
still trains on the old flags.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxalign import texts
from jaxalign.datasets.faces import Bad, Benchmark, Face, Remark
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES


COLUMNS = ("id", *ATTRIBUTES)
OPTION = "attributes"  # its value is the digest


@dataclass(frozen=True)
class Labels:
    """The flags of a file: id -> six of 0 and 1 in the order of ATTRIBUTES."""

    path: Path
    flags: dict[str, tuple[int, ...]]

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of the flags, whatever their order in the file."""
        lines = (f"{name}:{''.join(map(str, self.flags[name]))}" for name in sorted(self.flags))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def read(path: Path | str) -> Labels:
    """Reads a file of attributes.

    Raises InputError naming the missing columns, or the line with a wrong flag or a missing or
    repeated id.
    """
    path = Path(path)
    text = texts.read(path, f"name a CSV file with the columns {', '.join(COLUMNS)}")
    flags, first = {}, {}
    for where, row in texts.named_rows(text, path, COLUMNS):
        name = row["id"]
        if not name:
            raise InputError(f"{where}: has no id")
        if name in flags:
            raise InputError(f"{where}: the id {name} was in {first[name]} already")
        for attribute in ATTRIBUTES:
            if row[attribute] not in ("0", "1"):
                said = f"{attribute} of {name} is {row[attribute]!r}"
                raise InputError(f"{where}: {said}; write 0 or 1")
        flags[name] = tuple(int(row[attribute]) for attribute in ATTRIBUTES)
        first[name] = where.removeprefix(f"{path}, ")
    if not flags:
        raise InputError(f"{path}: holds no faces below its header")
    return Labels(path, flags)


def labelled(benchmark: Benchmark, labels: Labels) -> Benchmark:
    """The benchmark with these flags, and the subsets that they name, in place of its faces' own.

    It has one more option, OPTION, the digest. Its reader raises InputError, once all faces are
    read, where the file lacks some of them or holds ids of none.
    """

    def faces(*arguments, **options) -> Iterator[Face | Bad | Remark]:
        assert options.pop(OPTION) == labels.digest
        unknown, missing = dict.fromkeys(labels.flags), []
        for face in benchmark.faces(*arguments, **options):
            if isinstance(face, Remark):
                yield face
                continue
            unknown.pop(face.id, None)
            if isinstance(face, Bad):
                yield face
            elif face.id in labels.flags:
                flags = labels.flags[face.id]
                named = (name for name, on in zip(ATTRIBUTES, flags, strict=True) if on)
                others = (name for name in face.subsets if name not in ATTRIBUTES)
                subsets = (*others, *(named if face.split == "test" else ()))
                yield dataclasses.replace(face, attributes=flags, subsets=subsets)
            else:
                missing.append(face.id)
        _complain(labels.path, benchmark.name, missing, list(unknown))

    return dataclasses.replace(with_option(benchmark), faces=faces)


def with_option(benchmark: Benchmark) -> Benchmark:
    """The benchmark with OPTION, which the names of data prepared with a file have."""
    return dataclasses.replace(benchmark, options={**benchmark.options, OPTION: ""})


def _complain(path, name, missing, unknown):
    found = []
    if missing:
        found.append(f"it has no line for {len(missing)} of the faces (first: {missing[0]})")
    if unknown:
        found.append(f"{len(unknown)} of its ids are no face of {name} (first: {unknown[0]})")
    if found:
        raise InputError(f"{path}: {'; '.join(found)}; mend the file")
