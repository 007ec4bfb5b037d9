"""dlib's imglab."""

from pathlib import Path

import numpy as np
import pytest

from jaxalign.errors import InputError
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same


WHOLE = np.round(POINTS)


def box(points=WHOLE, names=None, more="", extra=""):
    names = [f"{i:02}" for i in range(len(points))] if names is None else names
    parts = "".join(
        f"      <part name='{name}' x='{x:g}' y='{y:g}'/>\n"
        for name, (x, y) in zip(names, points, strict=True)
    )
    return f"    <box top='5' left='4' width='55' height='56'{extra}>\n{more}{parts}    </box>\n"


def write(root, *boxes, name="a.jpg", more=""):
    (root / "faces.xml").write_text(
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
        "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n"
        "<dataset>\n<name>imglab dataset</name>\n<comment>Gr\xfc\xdfe</comment>\n<images>\n"
        f"  <image file='{name}' width='64' height='64'>\n{''.join(boxes)}  </image>\n{more}"
        "</images>\n</dataset>",
        encoding="latin-1",
    )


def test_parts_of_boxes(tmp_path):
    photo(tmp_path / "a.jpg")
    order = np.random.default_rng(0).permutation(29)
    write(tmp_path, box(WHOLE[order], [f"{i:02}" for i in order]), box(WHOLE[:28]))
    one, two = good(tmp_path)
    same(one, WHOLE)
    same(two, WHOLE, labelled=np.arange(29) < 28)
    np.testing.assert_array_equal(one.boxes["dataset"], [4, 5, 58, 60])
    assert (one.id, two.id) == ("a.jpg", "a.jpg#2")


def test_boxes_that_are_no_faces_are_told(tmp_path):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
    cat = box(more="      <label>cat</label>\n")
    more = "  <image file='b.jpg'></image>\n"
    write(tmp_path, box(), box(WHOLE[:0]), box(extra=" ignore='1'"), cat, more=more)
    assert len(good(tmp_path)) == 2
    assert remarks(tmp_path) == [
        ("boxes that are no faces", "faces.xml, image a.jpg, box 2: without parts"),
        ("boxes that are no faces", "faces.xml, image a.jpg, box 3: to be ignored"),
        ("photos without a face", "b.jpg of faces.xml"),
    ]
    assert len(good(tmp_path, label="cat")) == 1


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (box(names=["30", *range(28)]), "image a.jpg: its point '30' is none of cofw29, which"),
        (box(names=["1", *range(1, 29)]), "image a.jpg: its points are numbered 1 to 28; say from"),
        (box(names=["left", *range(1, 29)]), "image a.jpg: its points are numbered 1 to 28"),
        (box().replace("x='", "x='b"), "image a.jpg: a coordinate is not a number"),
        (box().replace("x='", "z='"), "image a.jpg: a number is NaN"),
        (box().replace("left='4'", ""), "image a.jpg: a number is NaN"),
    ],
)
def test_wrong_boxes_are_named(tmp_path, held, reason):
    photo(tmp_path / "a.jpg")
    write(tmp_path, held)
    (found,) = reasons(tmp_path)
    assert found.startswith(reason)


@pytest.mark.parametrize("root", ["", "images", "labels/../images"])
def test_photos_from_the_files_place_on(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        photo(tmp_path / f"images/p{number}/1.jpg", number)
    (tmp_path / "labels").mkdir()
    more = f"  <image file='../images/p2/1.jpg'>\n{box()}  </image>\n"
    write(tmp_path / "labels", box(), name="../images/p1/1.jpg", more=more)
    one, two = good(Path(root), labels=Path("labels/faces.xml"))
    for number, face in enumerate((one, two), 1):
        assert face.photo.samefile(tmp_path / f"images/p{number}/1.jpg")
    assert not remarks(Path(root), labels=Path("labels/faces.xml"))


def test_two_files(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path, box())
    (tmp_path / "second.xml").write_bytes((tmp_path / "faces.xml").read_bytes())
    with pytest.raises(InputError, match=r"holds 2 \*.xml; there must be one of dlib's XML"):
        read(tmp_path)
