"""labelme's JSON beside each photo."""

import json

import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.schemes import COFW29
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same
from tests.helpers.trees import SIDE


def shape(label, points, kind="point", group=None, **flags):
    return {
        "label": label,
        "points": np.reshape(points, (-1, 2)).tolist(),
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": flags,
        "mask": None,
    }


def shapes(names=range(29), group=None, points=POINTS):
    """A face as labelme has it: the middle of the first pixel is 0.5, 0.5."""
    return [shape(str(n), p + 0.5, group=group) for n, p in zip(names, points, strict=True)]


def write(path, held, image=None, **changes):
    whole = {
        "version": "5.5.0",
        "flags": {},
        "shapes": held,
        "imagePath": image or f"{path.stem}.jpg",
        "imageData": None,
        "imageHeight": SIDE,
        "imageWidth": SIDE,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole | changes, indent=2))


@pytest.mark.parametrize("names", [range(29), range(1, 30), COFW29.names])
def test_points_by_their_labels(tmp_path, names):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "deep/b.jpg", 1)
    held, order = shapes(names), np.random.default_rng(1).permutation(29)
    write(tmp_path / "a.json", [held[i] for i in order])
    write(tmp_path / "deep/b.json", held[3:])
    first, second = good(tmp_path)
    same(first)
    same(second, labelled=np.arange(29) >= 3)
    assert (first.id, second.id) == ("a.jpg", "deep/b.jpg") and first.upright is False


def test_groups_are_faces_and_rectangles_their_boxes(tmp_path):
    photo(tmp_path / "a.jpg")
    moved = POINTS / 2
    held = shapes(group=1) + shapes(group=2, points=moved)
    held[28]["flags"] = {"occluded": True}
    held.append(shape("face", [[58.5, 60.5], [4.5, 5.5]], "rectangle", 1))
    held.append(shape("hair", [[1, 2], [3, 4], [5, 9]], "polygon"))
    write(tmp_path / "a.json", held)
    one, two = good(tmp_path)
    same(one)
    same(two, moved)
    assert (one.id, two.id, two.group) == ("a.jpg", "a.jpg#2", "a.jpg")
    np.testing.assert_array_equal(one.boxes["dataset"], [4, 5, 58, 60])
    assert two.boxes == {} and np.flatnonzero(~one.visible["cofw29"]).tolist() == [28]


def test_a_line_of_all_points(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path / "a.json", [shape("face", POINTS + 0.5, "linestrip")])
    same(good(tmp_path)[0])


@pytest.mark.parametrize("image", ["..\\images\\a.jpg", "../images/a.jpg", "/gone/elsewhere/a.jpg"])
def test_where_the_photo_is(tmp_path, image):
    photo(tmp_path / "images/a.jpg")
    write(tmp_path / "labels/a.json", shapes(), image)
    (face,) = good(tmp_path)
    assert face.photo == tmp_path / "images/a.jpg"
    told = remarks(tmp_path)
    assert [check for check, _ in told] == (
        ["photos that lie in other folders than the annotations say"] if "gone" in image else []
    )


def test_a_photo_without_points_is_told(tmp_path):
    for name in "abc":
        photo(tmp_path / f"{name}.jpg")
    write(tmp_path / "a.json", [])
    write(tmp_path / "b.json", [shape("face", [[1, 2], [3, 4]], "rectangle")])
    write(tmp_path / "c.json", shapes())
    assert len(good(tmp_path)) == 1
    check = "photos without a face"
    assert remarks(tmp_path) == [
        (check, "a.json: none of its shapes is a point"),
        (check, "b.json: none of its shapes is a point"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda held: held[4].update(label="nose"), "no group: its point 'nose' is none of cofw29"),
        (lambda held: held[4].update(label="5"), "no group: its point '5' comes twice; give each"),
        (lambda held: held[4].update(label=""), "no group: a point has no name"),
        (lambda held: held[4].update(points=[["x", 1]]), "no group: shape 4: a coordinate is not"),
        (lambda held: held[4].update(points=[]), "no group: shape 4: numbers of shape (0,)"),
        (lambda held: held.append(shape("face", POINTS[:5], "linestrip")), "shape 29: numbers of"),
    ],
)
def test_what_is_wrong_with_a_face(tmp_path, change, reason):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
        held = shapes()
        if name == "a":
            change(held)
        write(tmp_path / f"{name}.json", held)
    (found,) = reasons(tmp_path)
    assert found.startswith(reason)


def test_what_is_wrong_with_a_file(tmp_path):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
        write(tmp_path / f"{name}.json", shapes())
    write(tmp_path / "c.json", shapes())
    assert reasons(tmp_path) == ["no such photo (no group of c.json)"]
    (tmp_path / "c.json").write_text('{"a": 1}')
    assert reasons(tmp_path, layout="labelme") == ["not labelme's JSON; mend or remove it"]
    write(tmp_path / "c.json", shapes(), "a.jpg", imageWidth=7)
    assert "a.jpg is said to have 7 x 64 pixels, and has 64 x 64" in reasons(tmp_path)[0]


def test_numbers_whose_begin_cannot_be_seen(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path / "a.json", shapes()[1:])
    (reason,) = reasons(tmp_path)
    assert reason == (
        "no group: its points are numbered 1 to 28; say from where by the option first=0 "
        "or first=1 (read as labelme's JSON)"
    )
    same(good(tmp_path, first="0")[0], labelled=np.arange(29) >= 1)
    moved = np.roll(POINTS, -1, 0)
    same(good(tmp_path, first="1")[0], moved, labelled=np.arange(29) < 28)


def test_the_layout_is_seen_or_named(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path / "a.json", shapes())
    header = ",".join(["file", *(f"{axis}{i}" for i in range(29) for axis in "xy")])
    (tmp_path / "faces.csv").write_text(f"{header}\na.jpg,{','.join(map(str, POINTS.ravel()))}\n")
    with pytest.raises(InputError, match="holds csv and labelme; name the layout: --set layout=pt"):
        read(tmp_path)
    same(good(tmp_path, layout="labelme")[0])
    same(good(tmp_path, layout="csv")[0])
