"""Prepared data sets as sequences of samples, and parts of them."""

import bisect
import itertools
import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxalign import places, scheme_files
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

    Items are samples.Sample. A photo's file is read when its face is asked for. The landmark box is
    the box around the scheme's `framed` points.

    Attributes:
        name: The spec it was opened by, or the name of a part of it.
        scheme: The scheme of the points.
        records: The stored faces of a whole split.
        groups: The group of each of these faces, in order.
        chosen: The places in `records` of the faces that this source holds, in order.
        reduction: How the photos were reduced when they were prepared, None if they were not.
    """

    name: str
    scheme: Scheme = field(repr=False)
    records: Sequence[dict] = field(repr=False)
    groups: Sequence[str] = field(repr=False)
    chosen: Sequence[int] = field(repr=False)
    reduction: "Reduction | None" = None

    @classmethod
    def of(cls, name: str, scheme: Scheme, records: Sequence[dict]) -> "Source":
        """Makes a source of faces that no data set holds.

        Args:
            name: What messages call it.
            scheme: The scheme of the points.
            records: The faces, as datasets.faces.record makes them.

        Returns:
            All of them.
        """
        groups = [record["group"] for record in records]
        return cls(name, scheme, records, groups, range(len(records)))

    @cached_property
    def _framed(self):
        places = np.arange(self.scheme.num_points)
        return np.isin(places, self.scheme.framed) if self.scheme.framed else places >= 0

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        record = self.records[self.chosen[index]]
        photo, points = record["image"], record["points"][self.scheme.name]
        labelled = record.get("labelled", {}).get(self.scheme.name)  # older data sets: all are
        known = {kind: box for kind, box in record["boxes"].items() if np.isfinite(box).all()}
        return {
            "photo": photo if isinstance(photo, bytes) else photo(),
            "points": points,
            "labelled": np.ones(len(points), np.bool_) if labelled is None else labelled,
            "visible": record["visible"][self.scheme.name],
            "framed": self._framed,
            "boxes": {"landmarks": landmark_box(points[self._framed])} | known,
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
    """Gives the benchmark's name in a spec.

    Args:
        spec: "NAME[:CONFIG]/SPLIT".

    Returns:
        NAME.

    Examples:
        >>> benchmark_of("synthetic_faces:train100/test")
        'synthetic_faces'
    """
    return spec.partition("/")[0].partition(":")[0]


def photos_of(spec: str) -> tuple:
    """Tells which photos a spec has, without its split.

    Args:
        spec: "NAME[:CONFIG]/SPLIT".

    Returns:
        What is equal for two specs where the same group, such as a photo's name, is the same photo.
    """
    from jaxalign.datasets import BENCHMARKS  # here, because TFDS is slow to import

    name, config = benchmark_of(spec), spec.partition("/")[0].partition(":")[2]
    return BENCHMARKS[name].photos(config) if name in BENCHMARKS else (name,)


def renamed(one: str, other: str) -> bool:
    """Whether two specs show some of the same photos by different names, as 300W and 300W-LP do.

    Args:
        one: "NAME[:CONFIG]/SPLIT".
        other: Another one.

    Returns:
        The answer; False where `photos_of` is equal, for the same name is then the same photo.
    """
    from jaxalign.datasets import BENCHMARKS  # here, because TFDS is slow to import

    names = [benchmark_of(spec) for spec in (one, other)]
    families = {BENCHMARKS[name].family if name in BENCHMARKS else "" for name in names}
    return len(families) == 1 and families != {""} and photos_of(one) != photos_of(other)


def own_scheme(spec: str, data_dir: Path | str = DEFAULT_DATA_DIR) -> str:
    """Adds the scheme of one's own that a prepared data set stores to SCHEMES.

    Args:
        spec: "NAME[:CONFIG]/SPLIT".
        data_dir: Where jaxalign prepare stored the data sets.

    Returns:
        The scheme's name; "" where there is none.

    Raises:
        InputError: Another scheme has the name, or a bucket cannot be read.
    """
    from jaxalign.datasets import BENCHMARKS, builder  # here, because TFDS is slow to import

    dataset = spec.partition("/")[0]
    name, config = benchmark_of(spec), dataset.partition(":")[2] or "default"
    if name not in BENCHMARKS:
        return ""
    here = builder.local(BENCHMARKS[name], config, data_dir)
    held = builder.own_scheme(BENCHMARKS[name], config, here)
    where = f"{dataset} in {data_dir}"
    return scheme_files.register(scheme_files.made(held), where) if held else ""


def open_source(
    spec: str,
    scheme: Scheme,
    data_dir: Path | str = DEFAULT_DATA_DIR,
    others: Sequence[Scheme] = (),
) -> Source:
    """Opens a prepared data set.

    Args:
        spec: "NAME[:CONFIG]/SPLIT", such as "ibug_300w/lfpw_test" or
            "synthetic_faces:train100/test". SPLIT is train, test, or val where a benchmark has it,
            or a subset: the faces of test that belong to it (those of train where test has no
            subset of that name, as with ibug_300w's afw).
        scheme: The scheme of the points.
        data_dir: Where jaxalign prepare stored the data sets.
        others: Schemes to take where the data set has no points of `scheme`: the first that it has.

    Returns:
        The faces.

    Raises:
        InputError: There is no such data set, split or scheme; the message lists what there is, or
            says how to prepare the data set.

    Examples:
        ```python
        from jaxalign.schemes import SCHEMES
        from jaxalign.sources import open_source

        faces = open_source("ibug_300w/test", SCHEMES["ibug68"], "data")
        faces[0]["points"]  # (68, 2) float32, pixels of the photo
        ```
    """
    from jaxalign.datasets import BENCHMARKS, builder  # here, because TFDS is slow to import

    dataset, slash, split = spec.partition("/")
    name, config = benchmark_of(spec), dataset.partition(":")[2] or "default"
    if not slash or not split:
        raise InputError(f"{spec!r}: expected NAME[:CONFIG]/SPLIT, e.g. ibug_300w/test")
    if name not in BENCHMARKS:
        raise InputError(f"{spec}: no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    _fitting(spec, dataset, (scheme, *others), (*benchmark.schemes, *scheme_files.own()))
    asked, data_dir = places.url(data_dir) or data_dir, builder.local(benchmark, config, data_dir)
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
            f"{dataset} is not prepared in {asked}{there}; run: "
            f"{typed('prepare')} {name}{origin} --data-dir {shlex.quote(str(asked))}{settings}"
        )
    own_scheme(spec, data_dir)
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
    """The first scheme of `wanted` that is in `there`."""
    for scheme in wanted:
        if scheme.name in there:
            return scheme
    names = " or ".join(scheme.name for scheme in wanted)
    raise InputError(f"{spec}: {dataset} has no {names} points; it has: {', '.join(there)}")


def open_folder(root: Path | str, scheme: Scheme, split: str = "train", **options) -> Source:
    """Opens a user's own photos (the benchmark image_folder) without preparing them.

    Every photo is checked now, and read again when its face is asked for.

    Args:
        root: The folder of the photos and annotations.
        scheme: The scheme of the points.
        split: The split to hold; where the files name no splits, all faces are of it.
        **options: Further options of datasets.image_folder.faces, such as layout and base.

    Returns:
        The faces.

    Raises:
        InputError: A file cannot be read, there is no face, or a face is unusable.

    Examples:
        ```python
        from jaxalign.schemes import SCHEMES
        from jaxalign.sources import open_folder

        faces = open_folder("photos", SCHEMES["ibug68"], layout="csv")
        faces[0]["points"]  # (68, 2) float32, pixels of the photo
        ```
    """
    # here, because all the readers' imports would slow down every --help
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
    return Source.of(f"{root}/{split}", scheme, records)


@dataclass(frozen=True)
class Joined(Sequence[Sample]):
    """The faces of several sources of one scheme, one source after the other.

    Attributes:
        parts: The sources.
    """

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
        """The names of the sources, with " + " between them."""
        return " + ".join(part.name for part in self.parts)


@dataclass(frozen=True)
class Every(Sequence[Sample]):
    """Every `step`-th face from `start` on: one host's share of the faces.

    Attributes:
        faces: All faces.
        start: The place of the first face.
        step: How far the places of two faces lie apart.
    """

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
    """Keeps the first faces of a source.

    Args:
        source: The source.
        faces: How many to keep.

    Returns:
        The first `faces` of them, or all where there are fewer.
    """
    return replace(source, name=f"{source.name} (first {faces})", chosen=source.chosen[:faces])


def without(source: Source, groups: Collection[str]) -> Source:
    """Leaves out some groups.

    Args:
        source: The source.
        groups: Names of the groups, which it need not have.

    Returns:
        The rest.
    """
    chosen = tuple(index for index in source.chosen if source.groups[index] not in groups)
    return replace(source, chosen=chosen)


def hold_out(source: Source, share: float) -> tuple[Source, Source]:
    """Divides a source into two parts by whole groups.

    The hashes of the groups' names alone decide which groups are held out, not order or chance.

    Args:
        source: The source.
        share: The share of the groups to hold out, at least 0 and below 1; above 0 at least one
            group is held out.

    Returns:
        The rest, and the faces held out.

    Raises:
        InputError: The share is out of range, or all groups would be held out.
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
