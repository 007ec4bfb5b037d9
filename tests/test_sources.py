"""Prepared data sets: what was stored comes back, in order; selections and parts of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from jaxalign.datasets import BENCHMARKS
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import record
from jaxalign.datasets.synthetic_faces import face
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop
from jaxalign.schemes import IBUG68, UNION, WFLW98
from jaxalign.sources import Every, Source, benchmark_of, hold_out, open_source, photos_of, renamed
from tests.helpers.trees import make_300w, write_boxes


def test_samples_are_what_the_files_hold(tmp_path):
    made = make_300w(tmp_path / "300w", 3)
    write_boxes(tmp_path / "300w", "afw", {"134212_1.jpg": ((11, 12, 41, 52), (9, 8, 43, 50))})
    build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "data")
    sources = [open_source(f"ibug_300w/{split}", IBUG68, tmp_path / "data") for split in
               ("train", "test")]  # fmt: skip
    samples = [sample for source in sources for sample in source]
    assert [sample["id"] for sample in samples] == list(made)
    for sample in samples:
        points = made[sample["id"]]
        np.testing.assert_array_equal(sample["points"], points)
        folder, _, name = sample["id"].rpartition("/")
        name = name.replace("_01", " _01") if folder == "ibug" else name
        (photo,) = (tmp_path / "300w" / folder).glob(f"{name}.[jp][pn]g")
        assert sample["photo"] == photo.read_bytes()
        tight = [*points.min(0), *points.max(0)]
        np.testing.assert_array_equal(sample["boxes"]["landmarks"], tight)
    first, last = samples[0], samples[-1]
    assert set(first["boxes"]) == {"landmarks", "dataset", "detector"}
    np.testing.assert_array_equal(first["boxes"]["detector"], [8, 7, 42, 49])
    assert set(last["boxes"]) == {"landmarks"}
    assert first["group"] == "flickr/134212"
    assert last["subsets"] == ("ibug", "challenging", "full")
    assert first["visible"].dtype == bool and first["visible"].all()
    assert first["points"].dtype == np.float32 and first["attributes"].tolist() == [0] * 6
    assert np.isnan(first["norm_box"]).all() and np.isnan(first["yaw"])


@pytest.mark.parametrize(
    ("split", "folders"),
    [
        ("test", ["helen/testset", "lfpw/testset", "ibug"]),
        ("full", ["helen/testset", "lfpw/testset", "ibug"]),
        ("common", ["helen/testset", "lfpw/testset"]),
        ("lfpw_test", ["lfpw/testset"]),
        ("challenging", ["ibug"]),
        ("afw", ["afw"]),
    ],
)
def test_subsets(data_300w, split, folders):
    source = open_source(f"ibug_300w/{split}", IBUG68, data_300w)
    ids = [sample["id"].rpartition("/")[0] for sample in source]
    assert ids == [folder for folder in folders for _ in range(2)]
    assert source[len(source) - 1]["id"] == source[-1]["id"]
    with pytest.raises(IndexError):
        source[len(source)]


@pytest.mark.parametrize(
    ("spec", "scheme", "message"),
    [
        ("ibug_300w", IBUG68, r"expected NAME\[:CONFIG\]/SPLIT"),
        ("300w/test", IBUG68, r"no benchmark '300w'; there are: ibug_300w"),
        ("ibug_300w/test", WFLW98, "has no wflw98 points; it has: ibug68"),
        ("ibug_300w/val", IBUG68, "there are: afw, .*challenging, .*test"),
        ("ibug_300w:big/test", IBUG68, r"not prepared in .*\(prepared there: default\); run: "),
    ],
)
def test_refused_specs(data_300w, spec, scheme, message):
    with pytest.raises(InputError, match=message):
        open_source(spec, scheme, data_300w)


def test_unprepared_says_what_to_run(tmp_path):
    with pytest.raises(InputError) as raised:
        open_source("ibug_300w/test", IBUG68, tmp_path)
    command = f"jaxalign prepare ibug_300w --from DIR --data-dir {tmp_path}"
    assert str(raised.value).endswith(command)


@pytest.mark.parametrize("name", ["*train.array_record*", "metadata.json", "dataset_info.json"])
def test_damaged_files_are_refused(tmp_path, name):
    make_300w(tmp_path / "300w", 1)
    folder = build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "data").folder
    (path,) = folder.glob(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"default/1.0.0: damaged .*--overwrite"):
        open_source("ibug_300w/test", IBUG68, tmp_path / "data")


def test_reading_from_many_threads(data_300w):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    alone = [(sample["id"], sample["photo"]) for sample in source]
    with ThreadPoolExecutor(8) as pool:
        rows = pool.map(lambda index: source[index % len(source)], range(40 * len(source)))
        assert [(sample["id"], sample["photo"]) for sample in rows] == alone * 40


def test_hold_out_keeps_groups_whole(tmp_path):
    make_300w(tmp_path / "300w", 8)
    build(BENCHMARKS["ibug_300w"], tmp_path / "300w", tmp_path / "data")
    source = open_source("ibug_300w/train", IBUG68, tmp_path / "data")
    # AFW: photos 134212 to 134215, two faces each; HELEN: 134212 to 134219; LFPW: 8 of their own.
    assert len({sample["group"] for sample in source}) == 16
    rest, held = hold_out(source, 0.25)
    groups = [{sample["group"] for sample in part} for part in (rest, held)]
    assert (len(groups[0]), len(groups[1])) == (12, 4) and not groups[0] & groups[1]
    ids = [[sample["id"] for sample in part] for part in (source, rest, held)]
    assert sorted(ids[0]) == sorted(ids[1] + ids[2])
    for part in ids[1:]:  # the order stays
        assert part == [name for name in ids[0] if name in part]
    again = hold_out(open_source("ibug_300w/train", IBUG68, tmp_path / "data"), 0.25)
    assert [sample["id"] for sample in again[1]] == ids[2]
    larger = {sample["group"] for sample in hold_out(source, 0.5)[1]}
    assert groups[1] < larger


def test_hold_out_shares(data_300w):
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    rest, held = hold_out(source, 0)
    assert (len(rest), len(held)) == (6, 0)
    assert len(hold_out(source, 0.01)[1]) > 0
    with pytest.raises(InputError, match="at least 0 and below 1"):
        hold_out(source, 1.0)
    with pytest.raises(InputError, match="too few to hold some out"):
        hold_out(source, 0.99)


def test_data_sets_of_older_versions_are_labelled_throughout(data_300w):
    """They were stored without the feature."""
    source = open_source("ibug_300w/train", IBUG68, data_300w)
    records = [{k: v for k, v in row.items() if k != "labelled"} for row in source.records]
    older = replace(source, records=records)
    assert source[0]["labelled"].dtype == older[0]["labelled"].dtype == bool
    assert older[0]["labelled"].shape == (68,) and older[0]["labelled"].all()
    assert source[0]["labelled"].all()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ibug_300w/train", "ibug_300w:attributes1a/afw", True),
        ("ibug_300w/train", "wflw/train", False),
        ("image_folder:namea-schemex/train", "image_folder:namea-schemex-val0.1/val", True),
        ("image_folder:namea-schemex/train", "image_folder:nameb-schemex/train", False),
        ("synthetic_faces/train", "synthetic_faces:size64/train", True),
        ("synthetic_faces/train", "synthetic_faces:seed1/train", False),
    ],
)
def test_the_same_photos(one, other, same):
    assert (photos_of(one) == photos_of(other)) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ibug_300w/train", "w300_lp/train", True),
        ("aflw/train", "merl_rav/test", True),
        ("ibug_300w/train", "ibug_300w/test", False),
        ("ibug_300w/train", "aflw/train", False),
        ("wflw/train", "synthetic_faces/train", False),
        ("mine/train", "ibug_300w/train", False),
    ],
)
def test_the_same_photos_by_other_names(one, other, same):
    assert renamed(one, other) is renamed(other, one) is same


def test_benchmark_of():
    assert benchmark_of("ibug_300w/test") == benchmark_of("ibug_300w:size9/test") == "ibug_300w"


def test_the_landmark_box_of_union_is_that_of_68_points():
    records = [record(face("test", index, 128, seed=0)) for index in range(4)]
    groups = [str(index) for index in range(4)]
    sources = [
        Source(name="drawn", scheme=scheme, records=records, groups=groups, chosen=(0, 1, 2, 3))
        for scheme in (UNION, IBUG68, WFLW98)
    ]
    for union, few, many in zip(*sources, strict=True):
        boxes = [sample["boxes"]["landmarks"] for sample in (union, few, many)]
        np.testing.assert_array_equal(boxes[0], boxes[1])
        assert boxes[2][1] < boxes[1][1]  # the brows' upper line lies higher
        assert union["framed"].sum() == 68 and few["framed"].all() and many["framed"].all()
        crop = Crop(centroid=True)
        np.testing.assert_allclose(crop.square(union)[0], crop.square(few)[0])
        assert not np.allclose(crop.square(union)[0], crop.square(many)[0])


def test_another_scheme_where_the_own_is_not_there(data_300w):
    assert open_source("ibug_300w/test", UNION, data_300w, [WFLW98, IBUG68]).scheme == IBUG68
    with pytest.raises(InputError, match="has no union or wflw98 points; it has: ibug68"):
        open_source("ibug_300w/test", UNION, data_300w, [WFLW98])


@pytest.mark.parametrize("hosts", [1, 2, 3, 9])
def test_every_face_is_in_one_hosts_share(data_300w, hosts):
    source = open_source("ibug_300w/test", IBUG68, data_300w)
    shares = [Every(source, host, hosts) for host in range(hosts)]
    assert sum(map(len, shares)) == len(source)
    rows = [[sample["id"] for sample in share] for share in shares]
    ids = [rows[place % hosts][place // hosts] for place in range(len(source))]
    assert ids == [sample["id"] for sample in source]
