"""The reader of WFLW: lines, attributes, boxes, and lists that are wrong."""

import numpy as np
import pytest

from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.datasets.wflw import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.schemes import WFLW98
from jaxalign.sources import open_source
from tests.helpers.trees_wflw import FACES, LISTS, make_wflw


TRAIN, TEST = (LISTS / f"list_98pt_rect_attr_{split}.txt" for split in ("train", "test"))


def test_every_line_in_order_with_its_exact_points(tmp_path):
    made = make_wflw(tmp_path)
    read = list(faces(tmp_path))
    assert [face.id for face in read] == list(made)
    assert [face.id for face in read][2:4] == ["train/0003", "test/0001"]
    for face, (split, photo, _) in zip(read, FACES, strict=True):
        np.testing.assert_array_equal(face.points["wflw98"], made[face.id])
        np.testing.assert_array_equal(face.boxes["dataset"], [4, 5, 60, 59])
        assert face.points["wflw98"].dtype == np.float32
        assert (face.split, face.photo, face.group) == (
            split,
            tmp_path / "WFLW_images" / photo,
            photo,
        )
        assert check_face(face) is None


def test_attributes_of_all_and_subsets_of_test_faces(tmp_path):
    make_wflw(tmp_path)
    read = {face.id: (face.attributes, face.subsets) for face in faces(tmp_path)}
    assert read["train/0002"] == ((0, 0, 0, 0, 1, 1), ())
    assert read["test/0001"] == ((0, 1, 0, 1, 0, 0), ("expression", "make-up"))
    assert read["test/0002"] == ((0,) * 6, ())
    everything = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
    assert read["test/0003"] == ((1,) * 6, everything)
    assert {name for name in BENCHMARK.counts} == {"train", "test", *everything}


def test_builds_and_reads_back(tmp_path):
    made = make_wflw(tmp_path / "WFLW")
    built = build(BENCHMARK, tmp_path, tmp_path / "data")
    assert built.found["train"] == built.found["test"] == 3
    assert built.found["expression"] == 2 and built.found["blur"] == 1
    source = open_source("wflw/make-up", WFLW98, tmp_path / "data")
    assert [sample["id"] for sample in source] == ["test/0001", "test/0003"]
    np.testing.assert_array_equal(source[1]["points"], made["test/0003"])
    np.testing.assert_array_equal(source[0]["attributes"], [0, 1, 0, 1, 0, 0])


def test_blank_lines_keep_the_numbers_of_the_others(tmp_path):
    make_wflw(tmp_path)
    text = (tmp_path / TEST).read_text()
    (tmp_path / TEST).write_text("\r\n" + text.replace("\n", " \r\n") + "\r\n\r\n")
    ids = [face.id for face in faces(tmp_path) if face.split == "test"]
    assert ids == ["test/0002", "test/0003", "test/0004"]


def spoil(line, **columns):
    """The line with some of its columns replaced: _3="nan" is the column with index 3."""
    words = line.split()
    for column, word in columns.items():
        words[int(column[1:])] = word
    return " ".join(words)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: line[: len(line) // 2], "columns, there must be 207"),
        (lambda line: " ".join(line.split()[:196] + line.split()[-1:]), "197 columns, there must"),
        (lambda line: line + " more", "208 columns, there must be 207"),
        (lambda line: spoil(line, _3="nan"), "a number is NaN or infinite"),
        (lambda line: spoil(line, _198="inf"), "a number is NaN or infinite"),
        (lambda line: spoil(line, _0="1,5"), "one of its first 206 columns is not a number"),
        (lambda line: spoil(line, _205="2"), "an attribute is neither 0 nor 1"),
    ],
)
def test_wrong_lines_are_named_and_the_others_read(tmp_path, change, reason):
    make_wflw(tmp_path)
    lines = (tmp_path / TRAIN).read_text().splitlines()
    lines[1] = change(lines[1])
    (tmp_path / TRAIN).write_text("\n".join(lines))
    read = list(faces(tmp_path))
    (bad,) = (face for face in read if isinstance(face, Bad))
    assert (bad.id, bad.path) == ("train/0002", tmp_path / TRAIN)
    assert bad.reason.startswith("line 2: ") and reason in bad.reason
    assert len(read) == len(FACES)


def test_missing_photo_and_empty_box(tmp_path):
    make_wflw(tmp_path)
    photo = tmp_path / "WFLW_images/46--Jockey/46_Jockey_3.jpg"
    photo.unlink()
    text = (tmp_path / TRAIN).read_text()
    (tmp_path / TRAIN).write_text(text.replace("4 5 60 59", "4 5 60 5", 1))
    first, *_, missing, again, good = faces(tmp_path)
    assert "its dataset box (4, 5, 60, 5) has no extent" in check_face(first).reason
    assert (missing.id, again.id) == ("test/0001", "test/0002")
    assert missing.path == again.path == photo
    assert again.reason == f"there is no such photo (line 2 of {TEST.name})"
    assert check_face(good) is None


def test_missing_parts_and_other_folders_are_refused(tmp_path):
    make_wflw(tmp_path)
    (tmp_path / TEST).rename(tmp_path / "elsewhere.txt")
    with pytest.raises(InputError, match="attr_test.txt: cannot be read .* unpack WFLW_annotat"):
        next(faces(tmp_path))
    (tmp_path / TEST).write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(InputError, match="attr_test.txt: not a text file"):
        next(faces(tmp_path))
    for empty in ("", "\n \n"):
        (tmp_path / TEST).write_text(empty)
        with pytest.raises(InputError, match="attr_test.txt: holds no faces; unpack WFLW_annota"):
            next(faces(tmp_path))
    (tmp_path / "WFLW_images").rename(tmp_path / "images")
    with pytest.raises(InputError, match="not the WFLW tree; WFLW_images is missing"):
        next(faces(tmp_path))
    with pytest.raises(InputError, match="it must hold WFLW_annotations and WFLW_images"):
        next(faces(tmp_path / "images"))
