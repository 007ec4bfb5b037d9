"""The readers of LaPa and JD-landmark: splits, boxes, corrections, and files that are wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxalign.datasets import jd_landmark, lapa
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.datasets.formats import read_counted, read_rect
from jaxalign.errors import InputError
from jaxalign.schemes import LAPA106
from jaxalign.sources import open_source
from tests.helpers.trees_106 import face106, make_jd, make_lapa, write_photo, write_points


@pytest.mark.parametrize("place", [".", "LaPa"])
def test_lapa(tmp_path, place):
    made = make_lapa(tmp_path / place)
    read = list(lapa.faces(tmp_path))
    assert [face.id for face in read] == list(made)
    assert [(face.split, face.group) for face in read] == [
        ("train", "10"),
        ("train", "10"),
        ("val", "20"),
        ("test", "30"),
    ]
    for face in read:
        np.testing.assert_array_equal(face.points["lapa106"], made[face.id])
        assert check_face(face) is None and face.photo.parent.name == "images"


@pytest.mark.parametrize(
    ("stem", "group"),
    [("HELEN_123_1_0", "flickr/123"), ("IBUG_image_003_1_2_0", "IBUG_image_003_1_2")],
)
def test_lapa_s_photos_of_300w(tmp_path, stem, group):
    """One Flickr photo is one group, as in JD-landmark and 300W-LP, whose family it is."""
    write_points(tmp_path / f"train/landmarks/{stem}.txt", face106(0))
    write_photo(tmp_path / f"train/images/{stem}.jpg", face106(0), 0)
    (face,) = lapa.faces(tmp_path)
    assert face.group == group
    assert lapa.BENCHMARK.family == jd_landmark.BENCHMARK.family == "300w"


def test_lapa_builds_and_reads_back(tmp_path):
    made = make_lapa(tmp_path / "lapa")
    built = build(lapa.BENCHMARK, tmp_path / "lapa", tmp_path / "data")
    assert built.found == {"train": 2, "val": 1, "test": 1}
    source = open_source("lapa/val", LAPA106, tmp_path / "data")
    np.testing.assert_array_equal(source[0]["points"], made["val/20_0"])
    trained = open_source("lapa/train", LAPA106, tmp_path / "data")
    assert [sample["id"] for sample in trained] == ["train/10_0", "train/10_1"]


def test_what_an_older_version_prepared_is_asked_for_again(tmp_path):
    """Before version 2 the faces for validation were part of train."""
    make_lapa(tmp_path / "lapa")
    older = replace(lapa.BENCHMARK, version="1.0.0")
    build(older, tmp_path / "lapa", tmp_path / "data")
    with pytest.raises(InputError, match=r"was prepared there is of an older version.*; run: "):
        open_source("lapa/train", LAPA106, tmp_path / "data")
    build(lapa.BENCHMARK, tmp_path / "lapa", tmp_path / "data")
    assert len(open_source("lapa/train", LAPA106, tmp_path / "data")) == 2


def test_jd(tmp_path):
    made = make_jd(tmp_path)
    shadow = tmp_path / "__MACOSX/Test_data1/landmark/._AFW_134212_2_0.jpg.txt"
    shadow.parent.mkdir(parents=True)
    shadow.write_bytes(b"\0\5")
    read = list(jd_landmark.faces(tmp_path))
    assert [face.id for face in read] == list(made)
    assert [(face.split, face.group) for face in read] == [
        ("test", "flickr/134212"),
        ("train", "flickr/134212"),
        ("train", "IBUG_image_008_1"),
    ]
    for face in read:
        np.testing.assert_array_equal(face.points["lapa106"], made[face.id])
        assert check_face(face) is None
    boxes = [face.boxes for face in read]
    for box in boxes[:2]:
        np.testing.assert_array_equal(box["dataset"], [2, 5, 50, 60])
    assert boxes[2] == {}


def test_jd_from_one_of_its_folders(tmp_path, monkeypatch):
    make_jd(tmp_path)
    (face,) = jd_landmark.faces(tmp_path / "Test_data1")
    assert (face.id, face.split) == ("AFW_134212_2_0", "test")
    monkeypatch.chdir(tmp_path / "Test_data1/picture")
    assert [face.split for face in jd_landmark.faces(Path(".."))] == ["test"]
    monkeypatch.chdir("..")
    assert [face.split for face in jd_landmark.faces(Path())] == ["test"]
    (tmp_path / "Test_data1").rename(tmp_path / "Validation_data")
    (face,) = jd_landmark.faces(tmp_path / "Validation_data")
    assert (face.split, face.subsets) == ("val", ())
    built = build(jd_landmark.BENCHMARK, tmp_path, tmp_path / "data")
    assert built.found == {"train": 2, "val": 1}


GOOD = "106\n" + "2.5 3.5\n" * 106


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0", "not a text file in UTF-8; save it so"),
        (GOOD[4:].encode(), "line 1 is '2.5 3.5', it must be 106"),
        (GOOD.replace("106", "68").encode(), "line 1 is '68', it must be 106"),
        (GOOD[:-8].encode(), "105 points, its first line says 106"),
        (GOOD.replace("2.5 3.5", "2.5", 1).encode(), "line 2 has 1 columns, there must be 2"),
        ((GOOD[:-8] + "2.5 nan\n").encode(), "line 107 holds NaN or infinity"),
        ((GOOD[:-8] + "2.5 3,5\n").encode(), "line 107 holds something that is not a number"),
    ],
)
def test_wrong_point_files(tmp_path, text, reason):
    make_lapa(tmp_path / "lapa")
    make_jd(tmp_path / "jd")
    for path, read in [
        (tmp_path / "lapa/train/landmarks/10_0.txt", lapa.faces(tmp_path / "lapa")),
        (
            tmp_path / "jd/Test_data1/landmark/AFW_134212_2_0.jpg.txt",
            jd_landmark.faces(tmp_path / "jd"),
        ),
    ]:
        path.write_bytes(text)
        with pytest.raises(InputError) as raised:
            read_counted(path, 106)
        assert str(raised.value) == f"{path}: {reason}"
        bad = next(read)
        assert isinstance(bad, Bad) and (bad.path, bad.reason) == (path, reason)


def test_wrong_boxes_are_named(tmp_path):
    make_jd(tmp_path)
    path = tmp_path / "Test_data1/rect/AFW_134212_2_0.jpg.rect"
    for text, reason in [("1 2 3", "line 1 has 3 columns, there must be 4"), ("", "empty")]:
        path.write_text(text)
        with pytest.raises(InputError):
            read_rect(path)
        bad = next(jd_landmark.faces(tmp_path))
        assert (bad.path, bad.reason) == (path, reason)


def test_missing_photos_are_named(tmp_path):
    make_lapa(tmp_path / "lapa")
    make_jd(tmp_path / "jd")
    (tmp_path / "lapa/train/images/10_0.jpg").unlink()
    assert "no photo 10_0.jpg in train/images" in next(lapa.faces(tmp_path / "lapa")).reason
    photo = tmp_path / "jd/Test_data1/picture/AFW_134212_2_0.jpg"
    photo.unlink()
    assert next(jd_landmark.faces(tmp_path / "jd")).path == photo


@pytest.mark.parametrize("module", [lapa, jd_landmark])
def test_another_folder_is_refused(tmp_path, module):
    with pytest.raises(InputError, match="it must hold"):
        list(module.faces(tmp_path))
