"""The benchmarks as TFDS sees them: what is built, read, said of them, and refused."""

import json
import pickle
import re
import subprocess
import sys
import unittest
from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxalign.datasets import BENCHMARKS, tfds_builders
from jaxalign.datasets.builder import build
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68, SCHEMES, WFLW98
from jaxalign.sources import open_source
from tests.helpers.trees import make_300w
from tests.helpers.trees_wflw import make_wflw


REGISTERED = sorted(BENCHMARKS.keys() - {"image_folder"})
needs_tensorflow = pytest.mark.skipif(
    not find_spec("tensorflow"), reason="pip install tensorflow-cpu"
)


def manual(folder):
    return tfds.download.DownloadConfig(manual_dir=folder)


def ids(faces):
    return [face["id"].decode() for face in faces]


def of_subset(folder, spec, scheme):
    return [face["id"] for face in open_source(spec, scheme, folder)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of official files, and the data that TFDS's builders made of them."""
    folder = tmp_path_factory.mktemp("tfds")
    make_300w(folder / "300w", 3)
    make_wflw(folder / "wflw")
    for name, files in (("ibug_300w", "300w"), ("wflw", "wflw")):
        builder = tfds.builder(name, data_dir=folder / "data")
        builder.download_and_prepare(download_config=manual(folder / files))
    return folder


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_with_what_is_known_of_it(name, tmp_path):
    builder, benchmark = tfds.builder(name, data_dir=tmp_path), BENCHMARKS[name]
    assert (builder.of, str(builder.version)) == (benchmark, benchmark.version)
    assert builder.info.full_name == f"{name}/default/{benchmark.version}"
    assert builder.info.homepage == benchmark.homepage
    assert re.match("https?://", benchmark.homepage)
    assert builder.info.redistribution_info.license == benchmark.licence != ""
    assert (builder.MANUAL_DOWNLOAD_INSTRUCTIONS is None) == (not benchmark.needs_root)
    for key, feature in builder.info.features.items():
        assert feature.doc.desc, key
    entries = re.split(r"^@", builder.info.citation, flags=re.MULTILINE)[1:]
    assert entries or name == "synthetic_faces"
    for entry in entries:
        assert re.match(r"\w+\{\w+,\n", entry) and entry.count("{") == entry.count("}")
        assert {"title", "author", "year"} <= set(re.findall(r"^  (\w+) = \{", entry, re.MULTILINE))


def test_writes_what_prepare_writes(made, tmp_path):
    for name, files in (("ibug_300w", "300w"), ("wflw", "wflw")):
        ours = build(BENCHMARKS[name], made / files, tmp_path).folder
        both = ours, made / "data" / ours.relative_to(tmp_path)
        stored = [{path.name: path.read_bytes() for path in one.iterdir()} for one in both]
        infos = [json.loads(one.pop("dataset_info.json")) for one in stored]
        assert stored[0] == stored[1] and len(stored[0]) > 8
        modules = [info.pop("moduleName") for info in infos]  # the only difference
        assert infos[0] == infos[1] and modules[1] == tfds_builders.__name__


def test_jaxalign_reads_it(made):
    faces = of_subset(made / "data", "ibug_300w/lfpw_test", IBUG68)
    assert faces == [f"lfpw/testset/image_000{number}" for number in (1, 2, 3)]
    assert of_subset(made / "data", "wflw/make-up", WFLW98) == ["test/0001", "test/0003"]


@pytest.mark.parametrize("name", ["ibug_300w", "wflw"])
def test_subsets_are_splits(made, name):
    """Those of 300W overlap, those of WFLW are scattered."""
    benchmark = BENCHMARKS[name]
    scheme = SCHEMES[benchmark.schemes[0]]
    there = set(benchmark.counts) - {"private", "indoor", "outdoor"}
    for subset in there:
        found = tfds.data_source(name, split=subset, data_dir=made / "data")
        expected = open_source(f"{name}/{subset}", scheme, made / "data")
        for face, sample in zip(found, expected, strict=True):
            assert face["id"].decode() == sample["id"]
            np.testing.assert_array_equal(face["points"][scheme.name], sample["points"])
    assert {"full", "afw"} < there or {"make-up", "pose"} < there


def test_expressions(made):
    def found(split):
        return ids(tfds.data_source("ibug_300w", split=split, data_dir=made / "data"))

    train, test = found("train"), found("test")
    assert len(train) == len(test) == 9
    assert found("test[:2]") == test[:2]
    assert found("all") == train + test or found("all") == test + train
    assert found("common[1:]+ibug") == test[1:]
    assert found("ibug+test[:1]+afw") == test[6:] + test[:1] + train[:3]
    assert found("full[50%:]") == test[4:]
    assert found("common[-2:]") == test[4:6]
    assert found(tfds.core.ReadInstruction("common", to=2)) == test[:2]
    assert [one for part in tfds.even_splits("common", 3) for one in found(part)] == test[:6]
    with pytest.raises(ValueError, match="Unknown split 'indor'. Should be one of .*common"):
        found("indor")
    builder = tfds.builder("ibug_300w", data_dir=made / "data")
    both = builder.as_data_source({"a": "ibug", "b": ["afw", "test"]})
    assert [ids(both["a"]), *map(ids, both["b"])] == [test[6:], train[:3], test]
    assert {name: ids(one) for name, one in builder.as_data_source().items()} == {
        "train": train,
        "test": test,
    }


def test_sources_as_loaders_use_them(made):
    builder = tfds.builder("wflw", data_dir=made / "data")
    encoded = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source("make-up", decoders=encoded)
    assert isinstance(source[1]["image"], bytes)
    for one in (source, pickle.loads(pickle.dumps(source))):
        assert ids(one.__getitems__([1, 0, 1])) == ["test/0003", "test/0001", "test/0003"]
    again = pickle.loads(pickle.dumps(builder))
    assert ids(again.as_data_source("blur")) == ["test/0003"]
    assert "split='make-up'" in repr(source)


def test_another_configuration(tmp_path):
    """TFDS itself reads its splits, and the class its subsets, here scattered ones."""
    name, folder = "synthetic_faces/test12-train1", {"data_dir": tmp_path}
    tfds.builder(name, **folder).download_and_prepare()
    assert len(tfds.builder(name, **folder).as_data_source("test")) == 12
    config = tfds.core.BuilderConfig(name="test12-train1")
    builder = tfds.builder("synthetic_faces", config=config, **folder)
    for subset in ("occlusion", "illumination"):
        expected = of_subset(tmp_path, f"synthetic_faces:test12-train1/{subset}", IBUG68)
        assert ids(builder.as_data_source(subset)) == expected != []


def test_default_data_are_read_without_the_class(made):
    builder = tfds.builder("ibug_300w", data_dir=made / "data", version="1.0.0")
    assert type(builder) is not tfds_builders.IBUG300W
    assert len(builder.as_data_source("test")) == 9


def test_other_configurations(tmp_path):
    builder = tfds.builder("w300_lp/flips0-points3d", data_dir=tmp_path)
    assert builder.options == {"flips": 0, "points": "3d", "base": 1}
    for wrong in ("flip0", "flips1", "flipsx", "attributes123"):
        with pytest.raises(InputError, match=rf"w300_lp has no configuration '{wrong}'.*flips1"):
            tfds_builders.W300LP(config=wrong, data_dir=tmp_path)
    with pytest.raises(InputError, match="wflw has no configuration 'a'.*are: none"):
        tfds_builders.WFLW(config="a", data_dir=tmp_path)


class TestRefused:
    def test_no_official_files(self, tmp_path):
        builder = tfds.builder("wflw", data_dir=tmp_path)
        with pytest.raises(AssertionError, match=r"(?s)does not exist or is empty.*WFLW_images"):
            builder.download_and_prepare()
        assert not builder.data_path.exists()

    def test_a_face_that_cannot_be_used(self, tmp_path):
        make_300w(tmp_path / "300w", 1)
        (tmp_path / "300w/ibug/image_092 _01.jpg").write_bytes(b"")
        builder = tfds.builder("ibug_300w", data_dir=tmp_path)
        with pytest.raises(InputError, match="1 bad faces in .*300w"):
            builder.download_and_prepare(download_config=manual(tmp_path / "300w"))
        assert not builder.data_path.exists()

    def test_what_would_be_ignored(self, made, tmp_path):
        builder = tfds.builder("ibug_300w", data_dir=tmp_path)
        few = tfds.download.DownloadConfig(manual_dir=made / "300w", max_examples_per_split=1)
        with pytest.raises(InputError, match="leave out max_examples_per_split"):
            builder.download_and_prepare(download_config=few)
        with pytest.raises(InputError, match="written in array_record files, and in no others"):
            builder.download_and_prepare(
                download_config=manual(made / "300w"), file_format="tfrecord"
            )

    def test_another_archive_than_the_published_one(self, tmp_path):
        (tmp_path / "AFLW2000-3D.zip").write_bytes(b"cut short")
        (tmp_path / "AFLW2000").mkdir()
        wrong = "AFLW2000-3D.zip: not the published file.*252bc35274d65ff2.*remove it"
        builder = tfds.builder("aflw2000_3d", data_dir=tmp_path / "data")
        with pytest.raises(InputError, match=wrong):
            builder.download_and_prepare(download_config=manual(tmp_path))
        with pytest.raises(InputError, match=wrong):
            build(BENCHMARKS["aflw2000_3d"], tmp_path, tmp_path / "data")


def test_what_is_imported():
    """Readers import no TFDS, and builders no TensorFlow, whether or not it is installed."""
    code = """
import sys
import jaxalign.datasets
print("tensorflow_datasets" in sys.modules)
import jaxalign.datasets.tfds_builders
print("tensorflow_datasets" in sys.modules, "tensorflow" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "False"]


@needs_tensorflow
class TestTensorFlow:
    """Run with TensorFlow 2.21.0: `pip install tensorflow-cpu dill`."""

    def test_load(self, made):
        def found(split, **more):
            return tfds.load("ibug_300w", split=split, data_dir=made / "data", **more)

        test = ids(tfds.data_source("ibug_300w", split="test", data_dir=made / "data"))
        faces = found("common[1:]+ibug")
        assert int(faces.cardinality()) == 8 and ids(tfds.as_numpy(faces)) == test[1:]
        theirs = tfds.data_source("ibug_300w", split="ibug", data_dir=made / "data")
        for face, expected in zip(tfds.as_numpy(found("ibug")), theirs, strict=True):
            np.testing.assert_array_equal(face["points"]["ibug68"], expected["points"]["ibug68"])
            np.testing.assert_array_equal(face["visible"]["ibug68"], expected["visible"]["ibug68"])
            assert face["image"].shape == expected["image"].shape
            assert list(face["subsets"]) == [b"ibug", b"challenging", b"full"]
        assert {name: len(faces) for name, faces in found(None).items()} == {"train": 9, "test": 9}
        (batch,) = tfds.as_numpy(found("full", batch_size=16))
        assert batch["image"].shape == (9, 64, 64, 3)
        shuffled = found("test", shuffle_files=True, read_config=tfds.ReadConfig(shuffle_seed=1))
        orders = [ids(tfds.as_numpy(shuffled)) for _ in range(2)]
        assert sorted(orders[0]) == sorted(orders[1]) == sorted(test)
        assert len({tuple(order) for order in [*orders, test]}) == 3
        twice = found("ibug", read_config=tfds.ReadConfig(repeat_filenames=True)).take(6)
        assert ids(tfds.as_numpy(twice)) == test[6:] * 2
        (face, *_) = found("ibug", decoders=tfds.decode.PartialDecoding({"id": True}))
        assert face.keys() == {"id"}
        with pytest.raises(InputError, match="add_tfds_id is not supported"):
            found("ibug", read_config=tfds.ReadConfig(add_tfds_id=True))

    @pytest.mark.parametrize("name", ["ibug_300w", "wflw"])
    def test_tfds_own_test_of_builders(self, made, name):
        sizes = {"ibug_300w": 9, "wflw": 3}

        class Case(tfds.testing.DatasetBuilderTestCase):
            DATASET_CLASS = tfds.builder_cls(name)
            EXAMPLE_DIR = made / name.removeprefix("ibug_")
            SPLITS = dict.fromkeys(("train", "test"), sizes[name])

        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
        assert result.wasSuccessful() and result.testsRun >= 5, result.failures + result.errors
