"""The one TFDS builder behind every benchmark; works without TensorFlow.

Records are written one at a time, in the order in which the reader yields its faces. TFDS's own
GeneratorBasedBuilder would hold a split in memory, shuffle it by hash, and read the benchmark once
for every split. The result is an ordinary TFDS data set all the same.
"""

import contextlib
import dataclasses
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from jaxalign import buckets, places, scheme_files
from jaxalign.datasets.faces import (
    Bad,
    Benchmark,
    Face,
    Noticed,
    Remark,
    as_bad,
    check_face,
    faults_of_archives,
    record,
)
from jaxalign.datasets.index import Index, IndexWriter, read_index
from jaxalign.datasets.reduction import (
    MARGIN,
    Reduction,
    limits,
    reduced,
    reduction_of,
    size_of,
)
from jaxalign.downloads import cache
from jaxalign.errors import InputError
from jaxalign.folders import readable_errors
from jaxalign.locks import Lock
from jaxalign.samples import ATTRIBUTES, BOX_KINDS
from jaxalign.schemes import SCHEMES
from jaxalign.texts import object_of


ARRAY_RECORD = tfds.core.FileFormat.ARRAY_RECORD
EXAMPLE: Any = vars(tf_example_pb2)["Example"]  # protobuf makes it: no checker knows it
INFO = "dataset_info.json"  # TFDS writes it last: with it a data set is whole
DEFAULT = tfds.core.BuilderConfig(name="default", description="All options at their defaults.")
WRITTEN = "group_size:1,uncompressed"  # photos are compressed already, and the rest is small
OWN = "own_scheme"  # in the metadata: the scheme, where it is a user's own


# A shard ends at the first of these limits: array_record (0.8.6) takes 1 us to read a face for each
# thousand faces of its shard, and keeps some 50 bytes in memory for every one.
SHARD_BYTES = 2**28
SHARD_FACES = 10_000


class BadFaces(InputError):
    """Some faces cannot be used; `faces` lists them."""

    def __init__(self, faces: list[Bad], root: Path | None):
        """Makes the message from the first bad face.

        Args:
            faces: The bad faces.
            root: The folder that was read, None where there is none.
        """
        # The root, too: a face inside a larger file is named by its id alone.
        where = f" in {root}" if root else ""
        super().__init__(
            f"{len(faces)} bad faces{where} (first: {faces[0].path}: {faces[0].reason}); nothing "
            "was built. Mend or remove these files, or leave the faces out with --skip-bad"
        )
        self.faces = faces


@dataclass
class Built:
    """What a build wrote.

    Attributes:
        folder: The folder of the data set, or its URL in a bucket.
        found: Split or subset -> faces.
        bad: The faces that were left out.
        noticed: What was noticed of the others.
        reductions: Split -> how its photos were reduced; others are not in it.
    """

    folder: Path | str
    found: dict[str, int]
    bad: list[Bad]
    noticed: Noticed
    reductions: dict[str, Reduction]


@dataclass(frozen=True)
class Split:
    """A stored split.

    A record is a dict of FacesBuilder's features, with the photo as encoded bytes. Reading is safe
    from several threads.

    Attributes:
        records: The stored faces.
        index: Their groups and subsets.
        schemes: The schemes that the points have.
        reduction: How the photos were reduced, None if they were not.
    """

    records: Sequence[dict] = field(repr=False)
    index: Index = field(repr=False)
    schemes: tuple[str, ...]
    reduction: Reduction | None


class _Records(Sequence[dict]):
    """The stored faces of a split, each decoded to what TFDS gives, in less than half its time."""

    def __init__(self, encoded: Sequence[bytes], spec: Mapping[str, Any]):
        """Notes how each feature is stored.

        Args:
            encoded: The serialized examples.
            spec: The features' serialized form, as TFDS gives it, nested.
        """
        self.encoded = encoded
        self.features = [_Stored(key, *_stored_as(info)) for key, info in _flat(spec)]

    def __len__(self) -> int:
        return len(self.encoded)

    def __iter__(self) -> Iterator[dict]:
        return map(self.__getitem__, range(len(self)))  # array_record raises no IndexError

    def __getitem__(self, index):
        stored, found = EXAMPLE.FromString(self.encoded[index]).features.feature, {}
        for feature in self.features:
            values, place = getattr(stored[feature.key], feature.kind).value, found
            *groups, name = feature.key.split("/")
            for group in groups:
                place = place.setdefault(group, {})
            if feature.shape == ():
                place[name] = values[0]
            elif feature.dtype is None:
                place[name] = list(values)
            else:
                place[name] = np.array(values, feature.dtype).reshape(feature.shape)
        return found


class _Stored(NamedTuple):
    """How a feature is stored: the list that holds it, its type (None: texts) and shape."""

    key: str
    kind: str
    dtype: Any
    shape: tuple[int, ...]


def _flat(spec, above=""):
    for key, info in spec.items():
        if isinstance(info, Mapping):
            yield from _flat(info, f"{above}{key}/")
        else:
            yield f"{above}{key}", info


def _stored_as(info):
    if info.np_dtype == np.object_:
        return "bytes_list", None, info.shape
    kind = "float_list" if np.issubdtype(info.np_dtype, np.floating) else "int64_list"
    return kind, info.np_dtype, info.shape


class _Info(tfds.core.DatasetInfo):
    """What is known of a data set from its own files alone.

    TFDS would look for it in Google's bucket, and leave an empty folder among the system's
    temporary ones.
    """

    def initialize_from_bucket(self):
        pass


class FacesBuilder(FileReaderBuilder, skip_registration=True):
    """TFDS builder of one benchmark under one set of options."""

    def __init__(self, benchmark: Benchmark, root: Path | None, options: Mapping, **keywords):
        """Prepares the builder; download_and_prepare builds the data set.

        Args:
            benchmark: The benchmark under these options.
            root: Its official files, None where the program makes the faces.
            options: The reader's options, all of them.
            **keywords: `skip_bad` (leave bad faces out), `max_face` (split -> pixels, as
                reduction.limits makes them), and TFDS's own, such as `data_dir`.
        """
        self.benchmark, self.root, self.options = benchmark, root, dict(options)
        self.bad: list[Bad] = []
        self.noticed = Noticed()
        self.skip_bad = keywords.pop("skip_bad", False)
        self.limits = keywords.pop("max_face", None) or limits(benchmark)
        self.about = tfds.core.MetadataDict()  # of each split
        self.name = benchmark.name  # pyright: ignore[reportAttributeAccessIssue]  # TFDS sets it so
        self.VERSION = tfds.core.Version(benchmark.version)
        name = benchmark.config(options)
        config = DEFAULT if name == DEFAULT.name else tfds.core.BuilderConfig(name=name)
        super().__init__(config=config, **{"file_format": ARRAY_RECORD} | keywords)

    def _info(self):
        return _Info(
            builder=self,
            description=self.benchmark.instructions,
            homepage=self.benchmark.homepage,
            citation=self.benchmark.citation,
            license=self.benchmark.licence,
            features=_features(self.benchmark.schemes),
            metadata=self.about,
            disable_shuffling=True,
        )

    def _download_and_prepare(self, dl_manager, download_config):
        """Reads, checks and writes every face; the metadata indexes groups and subsets."""
        if self.info.file_format is not ARRAY_RECORD:
            raise InputError(f"{self.name} is written in array_record files, and in no others")
        if download_config and download_config.max_examples_per_split is not None:
            raise InputError(f"{self.name} is written whole; leave out max_examples_per_split")
        root = self.files(dl_manager)
        for fault in faults_of_archives(self.benchmark, root):
            raise InputError(fault)
        arguments = self.options if root is None else {"root": root, **self.options}
        expected = self.benchmark.expected(self.options)
        total = expected.get("train", 0) + expected.get("test", 0)
        ids = set()
        with contextlib.ExitStack() as stack, np.errstate(over="ignore"):
            writers = {}
            bar = stack.enter_context(tqdm(total=total, desc=self.name, unit=" faces", delay=0.2))
            for face in self.benchmark.faces(**arguments):
                if isinstance(face, Remark):
                    self.noticed.remark(face)
                    continue
                bar.update()
                face = face if isinstance(face, Bad) else check_face(face) or face
                if isinstance(face, Face) and (face.split, face.id) in ids:
                    face = as_bad(face, f"another face is called {face.id}, too")
                if isinstance(face, Bad):
                    self.bad.append(face)
                elif self.skip_bad or not self.bad:
                    if face.split not in writers:
                        writers[face.split] = stack.enter_context(self._writer(face.split))
                    writers[face.split].write(face)
                    ids.add((face.split, face.id))
                    self.noticed.add(face)
            bar.total = bar.n
        if self.bad and not self.skip_bad:
            raise BadFaces(self.bad, root)
        if not writers:
            raise InputError(f"{root}: no usable face found")
        self.finish(writers)

    def files(self, dl_manager: tfds.download.DownloadManager) -> Path | None:
        """Finds the benchmark's official files.

        Args:
            dl_manager: TFDS's, which knows its own folders.

        Returns:
            Their folder, None where the program makes the faces.
        """
        return self.root

    def finish(self, writers: Mapping[str, "_SplitWriter"]) -> None:
        """Names the shards, and writes index and metadata, once all faces are written.

        Args:
            writers: The writer of each split.
        """
        for writer in writers.values():
            writer.name_shards()
        self.info.set_splits(tfds.core.SplitDict([w.split_info() for w in writers.values()]))
        self.about.update({name: writer.about() for name, writer in writers.items()})
        for name in self.benchmark.schemes:
            if name in scheme_files.own():
                self.about[OWN] = scheme_files.stored(SCHEMES[name])

    def _writer(self, split):
        template = self._get_filename_template(split)
        return _SplitWriter(split, template, self.info.features, self.limits[split])


def _features(schemes):
    """What is stored of a face."""
    sizes = {name: SCHEMES[name].num_points for name in schemes}
    features = tfds.features

    def box(about):
        return features.Tensor(shape=(4,), dtype=np.float32, doc=f"{about}: x0, y0, x1, y1.")

    def flags(about):
        return features.FeaturesDict(
            {name: features.Tensor(shape=(size,), dtype=np.bool_) for name, size in sizes.items()},
            doc=f"{about}; by scheme.",
        )

    return features.FeaturesDict(
        {
            "image": features.Image(
                doc="The photo, as its file holds it, or its part around the face."
            ),
            "points": features.FeaturesDict(
                {
                    name: features.Tensor(shape=(size, 2), dtype=np.float32)
                    for name, size in sizes.items()
                },
                doc="x, y of each landmark in pixels of the photo, whose first pixel's centre is "
                "0, 0; NaN where nobody labelled it; by scheme.",
            ),
            "visible": flags("Whether each landmark can be seen"),
            "labelled": flags("Whether somebody gave each landmark a place"),
            "boxes": features.FeaturesDict(
                {kind: box(f"The face's {kind} box") for kind in BOX_KINDS},
                doc="Boxes around the face, in the frame of the points; NaN where there is none.",
            ),
            "norm_box": box("The box by whose size errors are divided, NaN where there is none"),
            "attributes": features.Tensor(
                shape=(len(ATTRIBUTES),), dtype=np.uint8, doc=f"0 or 1: {', '.join(ATTRIBUTES)}."
            ),
            "subsets": features.Sequence(
                features.Text(), doc="The evaluation subsets that the face belongs to."
            ),
            "yaw": features.Scalar(np.float32, doc="Degrees, NaN where it is not known."),
            "id": features.Text(doc="The face's name, unique within its split."),
            "group": features.Text(doc="Faces of one photo or person share it."),
        }
    )


class _SplitWriter:
    """Appends faces to the shards of one split. Raises OSError where they cannot be written."""

    def __init__(self, split, template, features, most):
        self.split, self.template, self.features = split, template, features
        self.most, self.reduced, self.cut = most, 0, 0
        self.serializer = ExampleSerializer(features.get_serialized_info())
        self.index, self.file = IndexWriter(), None
        self.faces, self.sizes = [], []  # of each shard

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @contextlib.contextmanager
    def _errors(self):
        try:
            yield
        except RuntimeError as error:  # array_record's, of a full disk
            reason = str(error).partition("; writing")[0]
            raise OSError(errno.EIO, reason, os.fspath(self._unnamed())) from None

    def write(self, face: Face) -> None:
        smaller = reduced(face, self.most)
        if smaller is not face:
            larger = size_of(face) > self.most
            self.reduced += larger
            self.cut += not larger
        self.append(self.encode(smaller))
        self.index.add(face.group or face.id, face.subsets)

    def encode(self, face: Face) -> bytes:
        example = record(face)
        example["image"] = example["image"]()
        return self.serializer.serialize_example(self.features.encode_example(example))

    def append(self, encoded: bytes) -> None:
        """Writes a record, into a new shard where the last one is full."""
        full = self.file and (self.faces[-1] >= SHARD_FACES or self.sizes[-1] >= SHARD_BYTES)
        if full:
            self.close()
        if self.file is None:
            self.faces.append(0)
            self.sizes.append(0)
            with self._errors():
                self.file = ArrayRecordWriter(os.fspath(self._unnamed()), WRITTEN)
        with self._errors():
            self.file.write(encoded)
        self.faces[-1] += 1
        self.sizes[-1] += len(encoded)

    def _unnamed(self, shard=-1):
        """Where a shard (-1: the last one) is written before the number of shards is known."""
        shard %= len(self.faces)
        return self.template.sharded_filepath(shard_index=shard, num_shards=99_999)

    def close(self):
        file, self.file = self.file, None
        if file:
            with self._errors():
                file.close()

    def name_shards(self):
        """Ends the writing: gives the shards their names, which tell how many there are."""
        self.close()
        for shard in range(len(self.faces)):
            path = self.template.sharded_filepath(shard_index=shard, num_shards=len(self.faces))
            self._unnamed(shard).rename(path)

    def about(self):
        """Writes the index; returns what the metadata hold of the split."""
        reduction = Reduction(self.most, MARGIN, self.reduced, self.cut).stored()
        folder = Path(os.fspath(self.template.data_dir))
        return {"reduction": reduction} | self.index.write(folder, self.split)

    def split_info(self):
        return tfds.core.SplitInfo(
            name=self.split,
            shard_lengths=self.faces,
            num_bytes=sum(self.sizes),
            filename_template=self.template,
        )


def local(benchmark: Benchmark, config: str, data_dir: Path | str) -> Path:
    """Copies a prepared data set that is in a bucket to this machine, unless the copy is there.

    Args:
        benchmark: The benchmark.
        config: The configuration.
        data_dir: Where data sets are stored.

    Returns:
        The `data_dir` on this machine.

    Raises:
        InputError: The bucket cannot be read.
    """
    if not places.url(data_dir):
        return Path(data_dir)
    bucket, here = _in_bucket(benchmark, config, data_dir), buckets.Bucket(data_dir).folder
    there = bucket.files()
    bucket.pull(there if INFO in there else {}, stored(benchmark, config, here))
    return here


def _in_bucket(benchmark, config, data_dir):
    return buckets.Bucket(stored(benchmark, config, Path(data_dir)))


def stored(benchmark: Benchmark, config: str, data_dir: Path) -> Path:
    """Gives the folder of a prepared data set, whether or not it is there.

    Args:
        benchmark: The benchmark.
        config: The configuration, as Benchmark.config names it.
        data_dir: Where data sets are stored.

    Returns:
        DATA_DIR/NAME/CONFIG/VERSION.
    """
    return Path(data_dir) / benchmark.name / config / benchmark.version


def configs(benchmark: Benchmark, data_dir: Path) -> list[str]:
    """Lists the configurations of a benchmark that are prepared.

    Args:
        benchmark: The benchmark.
        data_dir: Where data sets are stored.

    Returns:
        Their names, sorted.
    """
    found = Path(data_dir).glob(f"{benchmark.name}/*/{benchmark.version}/{INFO}")
    return sorted(path.parent.parent.name for path in found)


def own_scheme(benchmark: Benchmark, config: str, data_dir: Path) -> dict | None:
    """Reads a user's own scheme from a prepared data set.

    Args:
        benchmark: The benchmark.
        config: The configuration.
        data_dir: Where data sets are stored.

    Returns:
        The scheme as scheme_files stores it; None where the scheme is not a user's own.
    """
    try:
        text = (stored(benchmark, config, data_dir) / "metadata.json").read_bytes()
    except OSError:
        return None  # open_splits says what is damaged
    return object_of(text).get(OWN)


def outdated(benchmark: Benchmark, config: str, data_dir: Path) -> bool:
    """Tells whether a configuration is prepared in older versions only, whose splits were others.

    Args:
        benchmark: The benchmark.
        config: The configuration.
        data_dir: Where data sets are stored.

    Returns:
        True where an older version is there and the present one is not.
    """
    folder = stored(benchmark, config, data_dir).parent
    found = {path.parent.name for path in folder.glob(f"*/{INFO}")}
    return bool(found) and benchmark.version not in found


def build(
    benchmark: Benchmark,
    root: Path | None,
    data_dir: Path | str,
    options: Mapping | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    max_face: Mapping[str, int] | None = None,
) -> Built:
    """Checks every face under `root` and writes the data set below `data_dir`.

    It is written aside and moved into place once whole. A build that fails or is killed leaves no
    data set, and an older one stays as it was until the new one is complete. One process at a time
    builds a data set. One for a bucket is built on this machine and then copied; there the old one
    is gone while the new one comes.

    Args:
        benchmark: The benchmark.
        root: Its official files; not used where the program makes the faces.
        data_dir: Where data sets are stored.
        options: The reader's options that are not at their defaults.
        skip_bad: Leave bad faces out.
        overwrite: Replace a data set that is already there.
        max_face: Split -> pixels that larger faces are reduced to, as reduction.limits makes them
            (default: the benchmark's own).

    Returns:
        What was built.

    Raises:
        BadFaces: Faces are bad, and `skip_bad` is off.
        InputError: `root` is wrong; or the data set is already there and `overwrite` is off, or
            another process builds it; or it cannot be written.
    """
    options = dict(benchmark.options) | dict(options or {})
    if places.url(data_dir):
        chosen = {"skip_bad": skip_bad, "max_face": max_face}
        return _build_there(benchmark, root, data_dir, options, overwrite, chosen)
    benchmark, config = benchmark.under(options), benchmark.config(options)
    data_dir = Path(data_dir)
    folder = stored(benchmark, config, data_dir)
    if benchmark.needs_root and (root is None or not Path(root).is_dir()):
        raise InputError(f"{root}: no such folder. {benchmark.instructions}")
    root = Path(root) if root and benchmark.needs_root else None
    aside = Path(data_dir) / f".incomplete-{benchmark.name}-{config}"
    work, replaced = aside / "work", aside / "replaced"
    lock = Lock(aside, instead := "name another --data-dir")

    def tidy():
        if replaced.exists() and not folder.exists():  # broken off between the two renames below
            replaced.rename(folder)
        for left in (work, replaced):
            shutil.rmtree(left, ignore_errors=True)

    try:
        tidy()  # what a killed build left
        if folder.exists() and not overwrite:
            other = "; another folder takes a name of its own, --set name=NAME"
            raise InputError(
                f"{folder} is already prepared; --overwrite builds it again"
                f"{other if 'name' in options else ''}"
            )
        with quiet():
            builder = FacesBuilder(
                benchmark, root, options, skip_bad=skip_bad, max_face=max_face, data_dir=work
            )
            builder.download_and_prepare(download_dir=work / "downloads")
        splits = open_splits(benchmark, config, work)
        found = {name: len(split.records) for name, split in splits.items()}
        found |= {name: len(faces) for name, (_, faces) in subsets(splits).items()}
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.rename(replaced)
        stored(benchmark, config, work).rename(folder)
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror or error}"
        raise InputError(f"{reason}; nothing was built: make room, or {instead}") from error
    finally:
        tidy()
        lock.release()
        with contextlib.suppress(OSError):  # another build may have begun
            aside.rmdir()
    reductions = {name: split.reduction for name, split in splits.items() if split.reduction}
    return Built(folder, found, builder.bad, builder.noticed, reductions)


def _build_there(benchmark, root, data_dir, options, overwrite, chosen):
    """Builds a data set on this machine, and copies it into a bucket."""
    bucket = _in_bucket(benchmark.under(options), benchmark.config(options), data_dir)
    there = bucket.files()
    if INFO in there and not overwrite:
        raise InputError(f"{bucket.url} is already prepared; --overwrite builds it again")
    with readable_errors(cache(), "set JAXALIGN_CACHE to another folder"):
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="prepare-", dir=cache()) as work:
            built = build(benchmark, root, work, options, **chosen)
            folder = Path(built.folder)
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
            last = files.pop(INFO)
            bucket.remove([INFO, *there.keys() - {INFO}])
            for name, path in [*files.items(), (INFO, last)]:
                bucket.put(name, path)
    return dataclasses.replace(built, folder=bucket.url)


@contextlib.contextmanager
def quiet():
    """Keeps TFDS from announcing a download and from warning of a configuration of our own.

    Yields:
        Nothing; the standard output is silent meanwhile.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def subsets(splits: Mapping[str, Split]) -> dict[str, tuple[Split, Sequence[int]]]:
    """Lists the subsets of a data set.

    Args:
        splits: The splits by name.

    Returns:
        Subset -> its split, and the places of its faces there. A subset of several splits is that
        of test.
    """
    indices = {name: split.index for name, split in splits.items()}
    places: dict[str, Any] = places_of_subsets(indices)
    return {subset: (splits[name], faces) for subset, (name, faces) in places.items()}


def places_of_subsets(indices: Mapping[str, Index]) -> dict[str, tuple[str, np.ndarray]]:
    """Lists the subsets of a data set, of which only the indices are known.

    Args:
        indices: The index of each split.

    Returns:
        Subset -> its split, and the places of its faces there. A subset of several splits is that
        of test.
    """
    found = {}
    for name in sorted(indices, reverse=True):  # train, test
        found |= {subset: (name, faces) for subset, faces in indices[name].subsets().items()}
    return found


def open_splits(benchmark: Benchmark, config: str, data_dir: Path) -> dict[str, Split]:
    """Opens the splits of a prepared data set.

    Args:
        benchmark: The benchmark.
        config: The configuration.
        data_dir: Where data sets are stored.

    Returns:
        The splits by name.

    Raises:
        InputError: The files are damaged.
    """
    folder = stored(benchmark, config, data_dir)
    try:
        return dict(_splits(folder))
    except Exception as error:  # TFDS, protobuf and array_record each have errors of their own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{folder}: damaged ({reason}); prepare {benchmark.name} again with --overwrite"
        ) from None


def _splits(folder):
    builder: Any = tfds.builder_from_directory(folder)  # TFDS types it as more than it can be
    schemes = tuple(builder.info.features["points"])
    spec = builder.info.features.get_serialized_info()
    for name, split in builder.info.splits.items():
        records = _Records(builder.as_data_source(name).data_source, spec)
        for first in np.cumsum([0, *split.shard_lengths[:-1]]):
            records[int(first)]  # opens its file: one cut short fails here, not in the run's middle
        about = builder.info.metadata[name]
        found = read_index(folder, name, about)
        if not len(records) == len(found.groups) == len(found.kind):
            raise InputError(f"{name}: its index is not of as many faces as it holds")
        yield name, Split(records, found, schemes, reduction_of(about))
