"""The benchmarks as ordinary builders of TFDS. Importing this module registers them by name.

What they build is what `jaxalign prepare` writes: each reads what the other made. The official
files lie in TFDS's `manual_dir`. A split is train, test or val, a subset's name, or any of TFDS's
expressions of both, such as "common[:10]+ibug". Nothing here needs TensorFlow but `tfds.load` and
`as_dataset`. image_folder is not among them: it takes options, which `jaxalign prepare` asks for.
"""

import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import splits
from tensorflow_datasets.core.example_parser import ExampleParser
from tensorflow_datasets.core.utils.lazy_imports_utils import tensorflow as tf
from tensorflow_datasets.core.utils.lazy_imports_utils import tree

from jaxalign.datasets import BENCHMARKS
from jaxalign.datasets.builder import DEFAULT, FacesBuilder, places_of_subsets
from jaxalign.datasets.faces import Benchmark
from jaxalign.datasets.index import read_index
from jaxalign.errors import InputError


class BenchmarkBuilder(FacesBuilder, skip_registration=True):
    """FacesBuilder as TFDS makes builders itself: from a class and the name of a configuration.

    A configuration is named as `jaxalign prepare` names it, by the options that are not at their
    defaults ("flips0"). `tfds.builder("w300_lp/flips0", data_dir=...)` builds it; once it is there,
    TFDS reads such a data set without this class and so without its subsets, unless it is asked for
    by `config=tfds.core.BuilderConfig(name="flips0")`.
    """

    of: ClassVar[Benchmark]
    BUILDER_CONFIGS = [DEFAULT]

    def __init_subclass__(cls, of: Benchmark, **keywords):
        cls.of, cls.name = of, of.name
        cls.VERSION = tfds.core.Version(of.version)
        cls.MANUAL_DOWNLOAD_INSTRUCTIONS = of.instructions if of.needs_root else None
        super().__init_subclass__(**keywords)

    def __init__(self, *, config: str | tfds.core.BuilderConfig | None = None, **keywords):
        """Prepares the builder.

        Args:
            config: The configuration or its name, None for that of all defaults.
            **keywords: TFDS's own, such as `data_dir`.

        Raises:
            InputError: The benchmark has no such options.
        """
        name = (config if isinstance(config, str) else config and config.name) or DEFAULT.name
        options = self.of.options_of(name)
        super().__init__(self.of.under(options), None, options, **keywords)
        self._original_state["config"] = name  # from which pickle makes the builder again

    def files(self, dl_manager: tfds.download.DownloadManager) -> Path | None:
        """Finds the benchmark's official files.

        Args:
            dl_manager: TFDS's.

        Returns:
            TFDS's manual_dir, None where the program makes the faces.
        """
        return Path(os.fspath(dl_manager.manual_dir)) if self.of.needs_root else None

    def as_data_source(self, split: Any = None, **keywords) -> Any:
        """Opens stored faces, each decoded when it is asked for.

        Args:
            split: A split, a subset, or an expression of them; a tree of such; None for all splits.
            **keywords: TFDS's own.

        Returns:
            The faces, in the order in which they are stored; a tree of them for a tree.
        """
        if split is None:
            split = {name: name for name in self.info.splits}
        whole: Any = super().as_data_source  # TFDS's decorators hide its arguments from checkers
        return tree.map_structure(lambda one: self._source(one, partial(whole, **keywords)), split)

    def _source(self, split, whole):
        stored = self.info.splits
        if split in stored:
            return whole(split)
        places = self._places()
        parts = splits.AbstractSplit.from_spec(split).to_absolute(_Known(stored, places))
        if all(part.splitname in stored for part in parts):
            return whole(split)
        # As ranges of its splits, TFDS would open a file once for each range.
        source = whole("+".join(stored))
        chosen = [places[part.splitname][part.from_ : part.to] for part in parts]
        source.data_source = _Chosen(source.data_source, np.concatenate(chosen).tolist())
        source.split = split
        return source

    def _places(self) -> dict[str, np.ndarray]:
        """Split or subset -> the places of its faces among all that are stored."""
        sizes = {name: split.num_examples for name, split in self.info.splits.items()}
        ends = np.cumsum([0, *sizes.values()])
        whole = {n: np.arange(*ends[i : i + 2]) for i, n in enumerate(sizes)}
        metadata: Any = self.info.metadata
        indices = {name: read_index(Path(self.data_dir), name, metadata[name]) for name in sizes}
        subsets = places_of_subsets(indices)
        return {subset: whole[name][those] for subset, (name, those) in subsets.items()} | whole

    def _as_dataset(self, split, decoders=None, read_config=None, shuffle_files=False):
        """TFDS's own cannot read array_record files."""
        config: Any = read_config or tfds.ReadConfig()
        if config.add_tfds_id:
            raise InputError("add_tfds_id is not supported: a face's name is its feature id")
        features: Any = self.info.features
        spec = self._example_specs
        if isinstance(decoders, tfds.decode.PartialDecoding):
            features = decoders.extract_features(features)
            spec, decoders = features.get_serialized_info(), decoders.decoders
        encoded = self.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
        places = tf.data.Dataset.range(len(encoded))
        if shards := config.input_context:
            places = places.shard(shards.num_input_pipelines, shards.input_pipeline_id)
        if shuffle_files:
            again = config.shuffle_reshuffle_each_iteration
            places = places.shuffle(len(encoded), config.shuffle_seed, again)
        if config.repeat_filenames:
            places = places.repeat()

        def face(place):
            example = tf.numpy_function(lambda index: encoded[index], [place], tf.string)
            example = ExampleParser(spec).parse_example(tf.ensure_shape(example, ()))
            return features.decode_example(example, decoders=decoders)

        faces = places.map(face, num_parallel_calls=config.num_parallel_calls_for_decode)
        return faces.with_options(config.options)

    def _should_cache_ds(self, split, shuffle_files, read_config):
        return False  # decoded photos are many times as large as TFDS reckons


class _Known(dict):
    """Splits and subsets by name, for TFDS, to which the split "all" is all `keys`."""

    def __init__(self, stored, places):
        super().__init__(
            (name, splits.SplitInfo(name=name, shard_lengths=[len(those)], num_bytes=0))
            for name, those in places.items()
        )
        self.update(stored)
        self.stored = stored

    def keys(self):
        return self.stored.keys()


@dataclasses.dataclass
class _Chosen:
    """Records at some places of a source."""

    source: Any
    places: Sequence[int]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        return self.source[self.places[index]]

    def __getitems__(self, indices):
        return self.source.__getitems__([self.places[index] for index in indices])


class AFLW(BenchmarkBuilder, of=BENCHMARKS["aflw"]):
    """AFLW, 19 points."""


class AFLW2000(BenchmarkBuilder, of=BENCHMARKS["aflw2000_3d"]):
    """AFLW2000-3D, 68 points."""


class COFW(BenchmarkBuilder, of=BENCHMARKS["cofw"]):
    """COFW, 29 points."""


class COFW68(BenchmarkBuilder, of=BENCHMARKS["cofw68"]):
    """The test photos of COFW, 68 points."""


class IBUG300W(BenchmarkBuilder, of=BENCHMARKS["ibug_300w"]):
    """300W, 68 points."""


class JDLandmark(BenchmarkBuilder, of=BENCHMARKS["jd_landmark"]):
    """JD-landmark, 106 points."""


class LaPa(BenchmarkBuilder, of=BENCHMARKS["lapa"]):
    """LaPa, 106 points."""


class MERLRAV(BenchmarkBuilder, of=BENCHMARKS["merl_rav"]):
    """MERL-RAV, 68 points on faces of AFLW."""


class SyntheticFaces(BenchmarkBuilder, of=BENCHMARKS["synthetic_faces"]):
    """Drawn faces, points of all schemes."""


class W300LP(BenchmarkBuilder, of=BENCHMARKS["w300_lp"]):
    """300W-LP, 68 points."""


class WFLW(BenchmarkBuilder, of=BENCHMARKS["wflw"]):
    """WFLW, 98 points."""
