"""Prepared data sets as sequences of samples, and parts of them."""

import bisect
import itertools
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxalign import scheme_files
from jaxalign.errors import InputError, typed
from jaxalign.geometry import landmark_box
from jaxalign.samples import Sample, held_out
from jaxalign.schemes import Scheme


if TYPE_CHECKING:
    from jaxalign.datasets.reduction import Reduction

DEFAULT_DATA_DIR = Path(os.environ.get("JAXALIGN_DATA") or "data")


@dataclass(frozen=True)
class Source(Sequence[Sample]):
    """Faces of a prepared data set or of a folder; safe to read from several threads.

    Items are samples.Sample. A photo's file is read as it is asked for. The landmark box is spanned
    by the scheme's `framed` points.
    """

    name: str  # the spec it was opened by, or a part of it
    scheme: Scheme = field(repr=False)
    records: Sequence[dict] = field(repr=False)  # of a whole split
    groups: Sequence[str] = field(repr=False)  # of the same, in order
    chosen: Sequence[int] = field(repr=False)  # which of them this source holds, in order
    reduction: "Reduction | None" = None  # of its photos, when they were prepared

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[self.chosen[index]]
        photo, points = record["image"], record["points"][self.scheme.name]
        labelled = record.get("labelled", {}).get(self.scheme.name)  # older data sets: all are
        framed = np.ones(len(points), np.bool_)
        if self.scheme.framed:
            framed = np.isin(np.arange(len(points)), self.scheme.framed)
        known = {kind: box for kind, box in record["boxes"].items() if np.isfinite(box).all()}
        return {
            "photo": photo if isinstance(photo, bytes) else photo(),
            "points": points,
            "labelled": np.ones(len(points), np.bool_) if labelled is None else labelled,
            "visible": record["visible"][self.scheme.name],
            "framed": framed,
            "boxes": {"landmarks": landmark_box(points[framed])} | known,
            "norm_box": record["norm_box"],
            "attributes": record["attributes"],
            "subsets": tuple(_text(name) for name in record["subsets"]),
            "yaw": record["yaw"],
            "id": _text(record["id"]),
            "group": _text(record["group"]),
        }


def _text(value):
    return value.decode() if isinstance(value, bytes) else value  # TFDS keeps texts as bytes


def benchmark_of(spec: str) -> str:
    """The benchmark's name in a spec "NAME[:CONFIG]/SPLIT"."""
    return spec.partition("/")[0].partition(":")[0]


def open_source(
    spec: str,
    scheme: Scheme,
    data_dir: Path | str = DEFAULT_DATA_DIR,
    others: Sequence[Scheme] = (),
) -> Source:
    """Opens "NAME[:CONFIG]/SPLIT", e.g. "ibug_300w/lfpw_test" or "synthetic_faces:train100/test".

    Its points are those of `scheme`, or, where the data set has none, of the first of `others` that
    it has. SPLIT is train, test, val where a benchmark has it, or a subset: the faces of test that
    belong to it (those of train where test has no subset of that name, as ibug_300w's afw).
    Errors: InputError that lists what there is, or says how to prepare what there is not.
    """
    from jaxalign.datasets import BENCHMARKS, builder  # here, for TFDS is slow to import

    data_dir = Path(data_dir)
    dataset, slash, split = spec.partition("/")
    name, config = benchmark_of(spec), dataset.partition(":")[2] or "default"
    if not slash or not split:
        raise InputError(f"{spec!r}: expected NAME[:CONFIG]/SPLIT, e.g. ibug_300w/test")
    if name not in BENCHMARKS:
        raise InputError(f"{spec}: no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    _fitting(spec, dataset, (scheme, *others), (*benchmark.schemes, *scheme_files.own()))
    prepared = builder.configs(benchmark, data_dir)
    if config not in prepared:
        if builder.outdated(benchmark, config, data_dir):
            there = f" (what was prepared there is of an older version than {benchmark.version})"
        else:
            there = f" (prepared there: {', '.join(prepared)})" if prepared else ""
        origin = " --from DIR" if benchmark.needs_root else ""
        options = [part for part in config.split("-") if part != "default"]
        kept = [part for part in options if not part.startswith("attributes")]
        settings = " --attributes FILE" if options != kept else ""
        settings += " --set KEY=VALUE" if kept else ""
        raise InputError(
            f"{dataset} is not prepared in {data_dir}{there}; run: "
            f"{typed('prepare')} {name}{origin} --data-dir {shlex.quote(str(data_dir))}{settings}"
        )
    if held := builder.own_scheme(benchmark, config, data_dir):
        scheme_files.register(scheme_files.made(held), f"{dataset} in {data_dir}")
    splits = builder.open_splits(benchmark, config, data_dir)
    parts = builder.subsets(splits)
    parts |= {name: (stored, range(len(stored.records))) for name, stored in splits.items()}
    if split not in parts:
        raise InputError(
            f"{spec}: nothing called {split!r} was prepared; there are: {', '.join(parts)}"
        )
    stored, chosen = parts[split]
    return Source(
        name=spec,
        scheme=_fitting(spec, dataset, (scheme, *others), stored.schemes),
        records=stored.records,
        groups=stored.index.groups,
        chosen=chosen if isinstance(chosen, range) else tuple(map(int, chosen)),
        reduction=stored.reduction,
    )


def _fitting(spec, dataset, wanted, there):
    """The first scheme of `wanted` whose name is there."""
    for scheme in wanted:
        if scheme.name in there:
            return scheme
    names = " or ".join(scheme.name for scheme in wanted)
    raise InputError(f"{spec}: {dataset} has no {names} points; it has: {', '.join(there)}")


def open_folder(root: Path | str, scheme: Scheme, split: str = "train", **options) -> Source:
    """A user's own photos (the benchmark image_folder) as a source: no TFDS, nothing prepared.

    Holds the faces of `split`: all of them where the files name no splits. `options` are the
    reader's layout and base. Every photo is checked now and read again as it is asked for.
    Errors: InputError for files that cannot be read, or naming the first unusable face.
    """
    # here, for what all the readers import would slow down every --help
    from jaxalign.datasets.faces import Bad, Remark, check_face, record
    from jaxalign.datasets.image_folder import faces

    records = []
    for face in faces(Path(root), scheme=scheme.name, split=split, **options):
        if isinstance(face, Remark):
            continue
        face = face if isinstance(face, Bad) else check_face(face) or face
        if isinstance(face, Bad):
            raise InputError(f"{face.path}: {face.reason}; mend it or leave the face out")
        if face.split == split:
            records.append(record(face))
    if not records:
        raise InputError(f"{root}: holds no face of the split {split!r}")
    groups = [record["group"] for record in records]
    return Source(
        name=f"{root}/{split}",
        scheme=scheme,
        records=records,
        groups=groups,
        chosen=tuple(range(len(records))),
    )


@dataclass(frozen=True)
class Joined(Sequence[Sample]):
    """The faces of several sources of one scheme, one source after the other."""

    parts: tuple[Source, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, index: int) -> Sample:
        ends = list(itertools.accumulate(map(len, self.parts)))
        part = bisect.bisect(ends, index)
        if index < 0 or part == len(ends):
            raise IndexError(index)
        return self.parts[part][index - ends[part]]  # from the part's end

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)


@dataclass(frozen=True)
class Every(Sequence[Sample]):
    """Of any faces those at the places start, start + step, ...: one host's share of them."""

    faces: Sequence[Sample]
    start: int
    step: int

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        return self.faces[self._places[index]]

    @property
    def _places(self):
        return range(self.start, len(self.faces), self.step)


def first(source: Source, faces: int) -> Source:
    """The first `faces` faces of a source, or all where it has fewer."""
    return replace(source, name=f"{source.name} (first {faces})", chosen=source.chosen[:faces])


def hold_out(source: Source, share: float) -> tuple[Source, Source]:
    """Parts a source into (rest, held) by whole groups, `held` with that share of the groups.

    Which groups are held depends on their names' hashes alone, not on order or chance; a share
    above 0 holds at least one. Errors: InputError where a part would be empty without need.
    """
    if not 0 <= share < 1:
        raise InputError(f"the share to hold out is {share}; it must be at least 0 and below 1")
    groups = {source.groups[index] for index in source.chosen}
    held = held_out(groups, share)
    if len(held) == len(groups):
        raise InputError(f"{source.name}: {len(held)} groups of faces, too few to hold some out")

    def part(name, keep):
        chosen = tuple(i for i in source.chosen if (source.groups[i] in held) == keep)
        return replace(source, name=f"{source.name} ({name})", chosen=chosen)

    return part("rest", False), part("held out", True)
