"""The reader of 300W: names, order, points, boxes, groups, and files that are wrong."""

import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxalign.datasets.builder import build, open_splits, stored
from jaxalign.datasets.faces import Bad, Face, check_face
from jaxalign.datasets.formats import read_pts
from jaxalign.datasets.ibug_300w import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_folder, open_source
from tests.helpers.trees import (
    FOLDERS_300W,
    SIDE,
    draw,
    face68,
    make_300w,
    write_boxes,
    write_pts,
)


def test_every_face_in_order_with_its_exact_points(tmp_path):
    made = make_300w(tmp_path, 3)
    read = list(faces(tmp_path))
    assert [face.id for face in read] == list(made)
    for face in read:
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id])
        assert face.points["ibug68"].dtype == np.float32
        assert check_face(face) is None


def test_points_count_from_zero(tmp_path):
    path = tmp_path / "a.pts"
    path.write_text("version: 1\nn_points:  2\n{\n1.000000 1.000000 \n11.5 21.25\n}\n")
    np.testing.assert_array_equal(read_pts(path, 2), [[0, 0], [10.5, 20.25]])


def test_splits_subsets_and_complete_counts(tmp_path):
    make_300w(tmp_path, 1)
    read = {face.id.rpartition("/")[0]: (face.split, face.subsets) for face in faces(tmp_path)}
    assert read == {
        "afw": ("train", ("afw",)),
        "helen/trainset": ("train", ("helen_train",)),
        "lfpw/trainset": ("train", ("lfpw_train",)),
        "helen/testset": ("test", ("helen_test", "common", "full")),
        "lfpw/testset": ("test", ("lfpw_test", "common", "full")),
        "ibug": ("test", ("ibug", "challenging", "full")),
    }
    counts = BENCHMARK.counts
    assert counts["train"] == counts["afw"] + counts["helen_train"] + counts["lfpw_train"] == 3148
    assert counts["common"] == counts["helen_test"] + counts["lfpw_test"] == 554
    assert counts["full"] == counts["common"] + counts["challenging"] == 689
    assert counts["private"] == counts["indoor"] + counts["outdoor"] == 600
    assert counts["test"] == counts["full"] + counts["private"]


PRIVATE = ("01_Indoor/indoor_001", "01_Indoor/indoor_002", "02_Outdoor/outdoor_001")


@pytest.mark.parametrize("place", [".", "300W", "images/Test", "Test"])
@pytest.mark.parametrize("beside", [True, False])
def test_private_set(tmp_path, place, beside):
    if beside:
        make_300w(tmp_path / ("images" if place == "images/Test" else "."), 1)
    for number, name in enumerate(PRIVATE):
        path = tmp_path / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f"{path}.png", draw(face68(number), number))
        write_pts(path.with_suffix(".pts"), face68(number))
    read = list(faces(tmp_path))
    assert len(read) == 3 + 6 * beside
    assert [(face.id, face.split, face.subsets) for face in read[-3:]] == [
        ("private/indoor/indoor_001", "test", ("private", "indoor")),
        ("private/indoor/indoor_002", "test", ("private", "indoor")),
        ("private/outdoor/outdoor_001", "test", ("private", "outdoor")),
    ]
    for number, face in enumerate(read[-3:]):
        np.testing.assert_array_equal(face.points["ibug68"], face68(number))
        assert check_face(face) is None


def test_ibug_name_with_and_without_its_blank(tmp_path):
    make_300w(tmp_path, 1)
    ids = [face.id for face in faces(tmp_path)]
    for path in list((tmp_path / "ibug").iterdir()):
        path.rename(path.with_name(path.name.replace(" ", "")))
    assert ids[-1] == "ibug/image_092_01"
    assert [face.id for face in faces(tmp_path)] == ids


def test_extensions_in_capitals_and_strangers(tmp_path):
    make_300w(tmp_path, 1)
    photo = tmp_path / "lfpw/testset/image_0001.png"
    photo.rename(photo.with_suffix(".PNG"))
    (tmp_path / "afw/._134212_1.pts").write_bytes(b"\0\5")
    (tmp_path / "afw/README.txt").write_text("photo without points follows")
    shutil.copy(tmp_path / "afw/134212_1.jpg", tmp_path / "afw/999_1.jpg")
    read = list(faces(tmp_path))
    assert len(read) == len(FOLDERS_300W) and all(isinstance(face, Face) for face in read)
    assert [face.photo.name for face in read if "lfpw/testset" in face.id] == ["image_0001.PNG"]


def test_tree_one_level_down_and_partial(tmp_path):
    make_300w(tmp_path / "300W", 1)
    shutil.rmtree(tmp_path / "300W/helen")
    ids = [face.id for face in faces(tmp_path)]
    assert [name.split("/")[0] for name in ids] == ["afw", "lfpw", "lfpw", "ibug"]


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="not the 300W tree; it must hold at least one of afw"):
        list(faces(tmp_path))


def test_faces_of_one_flickr_photo_share_a_group(tmp_path):
    make_300w(tmp_path, 2)
    groups = {face.id: face.group for face in faces(tmp_path)}
    assert groups["afw/134212_1"] == groups["afw/134212_2"] == "flickr/134212"
    assert groups["helen/trainset/134212_3"] == "flickr/134212"
    assert groups["helen/trainset/134213_3"] == "flickr/134213"
    assert groups["lfpw/trainset/image_0001"] != groups["lfpw/testset/image_0001"]


def test_official_boxes_count_from_one(tmp_path):
    make_300w(tmp_path, 2)
    write_boxes(tmp_path, "ibug", {"image_092 _01.jpg": ((11, 12, 41, 52), (9, 8, 43.5, 50))})
    write_boxes(
        tmp_path,
        "helen/trainset",
        {f"{n}_3.jpg": ((1, 1, 31, 31), (2, 2, 32, 32)) for n in (134212, 134213)},
    )
    boxes = {face.id: face.boxes for face in faces(tmp_path)}
    np.testing.assert_array_equal(boxes["ibug/image_092_01"]["dataset"], [10, 11, 40, 51])
    np.testing.assert_array_equal(boxes["ibug/image_092_01"]["detector"], [8, 7, 42.5, 49])
    np.testing.assert_array_equal(boxes["helen/trainset/134213_3"]["detector"], [1, 1, 31, 31])
    assert boxes["afw/134212_1"] == boxes["ibug/image_093_01"] == {}


@pytest.mark.parametrize("subset", ["helen/trainset", "helen_trainset"])
def test_detector_table_counts_from_zero_and_wins(tmp_path, subset):
    make_300w(tmp_path, 1)
    write_boxes(tmp_path, "helen/trainset", {"134212_3.jpg": ((1, 1, 31, 31), (2, 2, 32, 32))})
    table = tmp_path / "detector_boxes.csv"
    table.write_text(f"subset,name,x0,y0,x1,y1\n{subset},134212_3,10.5,20,40,50\n")
    boxes = {face.id: face.boxes for face in faces(tmp_path)}["helen/trainset/134212_3"]
    np.testing.assert_array_equal(boxes["detector"], [10.5, 20, 40, 50])
    np.testing.assert_array_equal(boxes["dataset"], [0, 0, 30, 30])


def test_unreadable_box_files_are_named(tmp_path):
    make_300w(tmp_path, 1)
    table = tmp_path / "detector_boxes.csv"
    for line, reason in (
        ("afw,134212_1,1,2,3", "5 cells, the first line has 6"),
        ("afw,134212_2,1,2,3,x", "its box must be 4 numbers"),
        ("afw,134212_1,1,2,3,4", "has another box for 134212_1"),
    ):
        table.write_text(f"subset,name,x0,y0,x1,y1\nafw,134212_1,1,2,3,4\n{line}\n")
        with pytest.raises(InputError, match=rf"detector_boxes.csv, line 3: {reason}"):
            list(faces(tmp_path))
    table.unlink()
    (tmp_path / "Bounding Boxes").mkdir()
    (tmp_path / "Bounding Boxes/bounding_boxes_afw.mat").write_bytes(b"half a download")
    with pytest.raises(InputError, match="bounding_boxes_afw.mat: not an official box file"):
        list(faces(tmp_path))


GOOD = "version: 1\nn_points: 68\n{\n" + "2.5 3.5\n" * 68 + "}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe0", "not a text file"),
        (b"1.5 2.5\n" * 68, "no .pts header"),
        (b"version: 1\nn_points:", "no .pts header"),
        (GOOD[:300].encode(), "truncated, its closing brace is missing"),
        (GOOD.replace("2.5 3.5\n", "", 1).encode(), "67 points under a header that says 68"),
        (GOOD.replace("68", "67").encode(), "68 points under a header that says 67"),
        (GOOD.replace("2.5", "nan", 1).encode(), "a coordinate is NaN or infinite"),
        (GOOD.replace("2.5", "1e999", 1).encode(), "a coordinate is NaN or infinite"),
        (GOOD.replace("2.5", "2,5", 1).encode(), "a coordinate is not a number"),
    ],
)
def test_wrong_pts_files(tmp_path, text, reason):
    make_300w(tmp_path, 1)
    path = tmp_path / "afw/134212_1.pts"
    path.write_bytes(text)
    with pytest.raises(InputError) as raised:
        read_pts(path, 68)
    assert str(raised.value).startswith(f"{path}: {reason}")
    bad = next(faces(tmp_path))
    assert isinstance(bad, Bad) and bad.path == path and bad.reason.startswith(reason)


def test_points_without_photo(tmp_path):
    make_300w(tmp_path, 1)
    (tmp_path / "afw/134212_1.jpg").unlink()
    bad = next(faces(tmp_path))
    assert (bad.id, bad.path.name) == ("afw/134212_1", "134212_1.pts")
    assert "no photo" in bad.reason


def _first(root):
    return next(faces(root))


def _thumbnailed(jpeg: bytes) -> bytes:
    """A JPEG whose header holds a whole small JPEG, as cameras write it (Exif)."""
    exif = b"Exif\0\0" + jpeg[:2] + b"thumbnail" + b"\xff\xd9"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.mark.parametrize("folder", ["afw", "lfpw/trainset"])
def test_truncated_photos_are_seen_and_trailing_bytes_are_not_minded(tmp_path, folder):
    make_300w(tmp_path, 1)
    face = next(face for face in faces(tmp_path) if face.id.startswith(folder))
    photo = face.photo.read_bytes()
    for cut in (len(photo) // 2, len(photo) - 2, 20):
        face.photo.write_bytes(photo[:cut])
        bad = check_face(face)
        assert (bad.path, "runcated" in bad.reason) == (face.photo, True), cut
    face.photo.write_bytes(photo + b"\0\0trailing")
    assert check_face(face) is None


def test_thumbnail_does_not_hide_a_truncated_photo(tmp_path):
    make_300w(tmp_path, 1)
    face = _first(tmp_path)
    photo = _thumbnailed(face.photo.read_bytes())
    face.photo.write_bytes(photo)
    assert check_face(face) is None
    face.photo.write_bytes(photo[:-200])
    assert "truncated" in check_face(face).reason


def test_faults_of_photo_points_and_boxes(tmp_path):
    make_300w(tmp_path, 1)
    face = _first(tmp_path)
    good, photo = face.points["ibug68"], face.photo.read_bytes()

    def reason(**changes):
        return check_face(Face(**(vars(face) | changes))).reason

    assert "cannot be read" in reason(photo=tmp_path / "missing.jpg")
    assert "empty" in reason(photo=b"")
    assert "no photo" in reason(photo=b"<html>quota exceeded</html>")
    assert "damaged" in reason(photo=photo[:2] + b"\xff\xda\0\0" + photo[-2:])
    assert "(67, 2)" in reason(points={"ibug68": good[:67]})
    assert "not a finite number" in reason(points={"ibug68": good + np.float32("nan")})
    assert "no extent" in reason(points={"ibug68": good * [1, 0]})
    box = np.array([3, 3, 3, 9], np.float32)
    assert "its detector box (3, 3, 3, 9) has no extent" in reason(boxes={"detector": box})
    assert "its normalising box" in reason(norm_box=box)
    assert check_face(Face(**(vars(face) | {"points": {"ibug68": good - 1000}}))) is None


def test_written_points_survive_the_round(tmp_path):
    points = np.random.default_rng(0).uniform(0, 5000, (68, 2)).round(6)
    write_pts(tmp_path / "a.pts", points)
    np.testing.assert_array_equal(read_pts(tmp_path / "a.pts", 68), points.astype(np.float32))


def test_photos_with_alpha_are_stored_with_three_channels(tmp_path):
    """Laid on white, as a viewer shows them; all other photos stay the bytes that they were."""
    made = make_300w(tmp_path / "300w", 1)
    path = tmp_path / "300w/lfpw/trainset/image_0001.png"
    colours = cv2.imread(str(path))
    alpha = np.full((*colours.shape[:2], 1), 255, np.uint8)
    alpha[:9] = 0
    cv2.imwrite(str(path), np.concatenate([colours, alpha], 2))
    built = build(BENCHMARK, tmp_path / "300w", tmp_path / "data")
    expected = np.where(alpha == 0, 255, colours)
    for sample in open_source("ibug_300w/train", IBUG68, tmp_path / "data"):
        found = cv2.imdecode(np.frombuffer(sample["photo"], np.uint8), cv2.IMREAD_UNCHANGED)
        if sample["id"] == "lfpw/trainset/image_0001":
            np.testing.assert_array_equal(found, expected)
        else:
            folder = tmp_path / "300w" / sample["id"].rpartition("/")[0]
            assert sample["photo"] in [file.read_bytes() for file in folder.iterdir()]
    # so any reader of the stored features gets three channels
    source = tfds.builder_from_directory(built.folder).as_data_source("train")
    assert {face["image"].shape for face in source} == {(SIDE, SIDE, 3)}
    write_pts(path.with_suffix(".pts"), made["lfpw/trainset/image_0001"])
    (sample,) = open_folder(path.parent, IBUG68)
    found = cv2.imdecode(np.frombuffer(sample["photo"], np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, expected)


def test_records_are_what_tfds_reads(data_300w):
    splits = open_splits(BENCHMARK, "default", data_300w)
    theirs = tfds.builder_from_directory(stored(BENCHMARK, "default", data_300w))
    encoded = {"image": tfds.decode.SkipDecoding()}
    subsets = set()
    for split, ours in splits.items():
        source = theirs.as_data_source(split, decoders=encoded)
        for found, expected in zip(ours.records, source, strict=True):
            assert_same(found, expected)
            subsets.add(tuple(found["subsets"]))
    assert len(subsets) > 1  # more and fewer texts


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            assert_same(found[key], expected[key])
    elif isinstance(found, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected or (found != found and expected != expected)
