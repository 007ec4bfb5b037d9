"""CVAT for images 1.1."""

import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.schemes import COFW29
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same
from tests.helpers.trees import SIDE


META = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>faces</name><mode>annotation</mode><labels><label><name>face</name>
  <type>skeleton</type></label></labels></task></meta>
"""


def pair(point):
    return f"{point[0] + 0.5:.2f},{point[1] + 0.5:.2f}"


def points(name, point, **attributes):
    given = {"label": name, "source": "manual", "outside": 0, "occluded": 0} | attributes
    words = " ".join(f'{key}="{value}"' for key, value in given.items())
    return f'<points {words} points="{pair(point)}"></points>'


def skeleton(names=range(29), label="face", group="", gone=(), hidden=()):
    parts = [
        points(name, point, outside=int(i in gone), occluded=int(i in hidden))
        for i, (name, point) in enumerate(zip(names, POINTS, strict=True))
    ]
    return (
        f'<skeleton label="{label}" source="manual" z_order="0"{group}>{"".join(parts)}</skeleton>'
    )


def box(label="face", group=""):
    corners = 'xtl="4.50" ytl="5.50" xbr="58.50" ybr="60.50"'
    return f'<box label="{label}" source="manual" occluded="0" {corners} z_order="0"{group}></box>'


def write(root, *shapes, name="a.jpg", more=""):
    image = f'<image id="0" name="{name}" width="{SIDE}" height="{SIDE}">{"".join(shapes)}</image>'
    (root / "annotations.xml").write_text(f"{META}{image}{more}</annotations>")


@pytest.mark.parametrize("names", [range(29), range(1, 30), COFW29.names])
def test_skeletons(tmp_path, names):
    photo(tmp_path / "images/a.jpg")
    write(tmp_path, skeleton(names, gone=(3,), hidden=(7,)), box())
    (face,) = good(tmp_path)
    same(face, labelled=np.arange(29) != 3)
    assert np.flatnonzero(~face.visible["cofw29"]).tolist() == [3, 7]
    np.testing.assert_array_equal(face.boxes["dataset"], [4, 5, 58, 60])


def test_points_in_one_shape_and_one_by_one(tmp_path):
    photo(tmp_path / "a.jpg")
    line = f'<points label="face" occluded="0" points="{";".join(map(pair, POINTS))}"></points>'
    write(tmp_path, line)
    same(good(tmp_path)[0])
    single = [points(i, point) for i, point in enumerate(POINTS)]
    write(tmp_path, *single)
    same(good(tmp_path)[0])
    grouped = [points(i, p, group_id=g) for g in (1, 2) for i, p in enumerate(POINTS - g)]
    write(tmp_path, *grouped, box(group=' group_id="2"'))
    one, two = good(tmp_path)
    same(one, POINTS - 1)
    same(two, POINTS - 2)
    assert one.boxes == {} and two.boxes.keys() == {"dataset"}


def test_other_labels_and_empty_photos_are_told(tmp_path):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
    write(tmp_path, skeleton(), skeleton(label="cat"), more='<image id="1" name="b.jpg"></image>')
    assert len(good(tmp_path)) == 2
    assert len(good(tmp_path, label="face")) == 1
    assert remarks(tmp_path, label="face") == [
        ("annotations of other labels", "annotations.xml, image a.jpg: cat"),
        ("photos without a face", "b.jpg of annotations.xml"),
    ]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (points("nose", POINTS[0]), "image a.jpg: its point 'nose' is none of cofw29, which are"),
        (skeleton([0, 0, *range(2, 29)]), "image a.jpg: its point '0' comes twice; give each face"),
        ('<points label="4" points="1,2;3,4"></points>', "image a.jpg: 2 points of 4, the scheme"),
        ('<points label="4" points="1,b"></points>', "image a.jpg: a coordinate is not a number"),
        (skeleton().replace(pair(POINTS[0]), "1"), "image a.jpg: numbers of shape (1, 1)"),
    ],
)
def test_wrong_shapes_are_named(tmp_path, shape, reason):
    photo(tmp_path / "a.jpg")
    write(tmp_path, shape)
    (found,) = reasons(tmp_path)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (META + '<track id="0" label="face"></track></annotations>', "CVAT for video, .* export"),
        (META, r"annotations.xml: not XML \(no element found: line 6.*; export it again"),
        ("<annotation><folder>x</folder></annotation>", "XML of <annotation>, not CVAT's XML or d"),
        (META + "</annotations>", "annotations.xml: holds no faces"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares entities"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path)
