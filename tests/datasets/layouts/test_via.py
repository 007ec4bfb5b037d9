"""VGG Image Annotator 2: the JSON and CSV of its export, and its project."""

import csv
import json

import numpy as np
import pytest

from jaxalign.errors import InputError
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same


WHOLE = np.round(POINTS).astype(int)


def region(point, **attributes):
    shape = {"name": "point", "cx": int(point[0]), "cy": int(point[1])}
    return {"shape_attributes": shape, "region_attributes": attributes}


def regions(points=WHOLE, **more):
    return [region(point, landmark=str(i), **more) for i, point in enumerate(points)]


RECT = {
    "shape_attributes": {"name": "rect", "x": 4, "y": 5, "width": 54, "height": 55},
    "region_attributes": {},
}


def write(root, photos, form="json"):
    images = {
        f"{name}1234": {"filename": name, "size": 1234, "regions": held, "file_attributes": {}}
        for name, held in photos.items()
    }
    if form == "json":
        (root / "via.json").write_text(json.dumps(images))
    elif form == "via 1":
        for image in images.values():
            image["regions"] = {str(n): one for n, one in enumerate(image["regions"])}
        (root / "via.json").write_text(json.dumps(images))
    elif form == "project":
        whole = {"_via_settings": {}, "_via_img_metadata": images, "_via_attributes": {}}
        (root / "via.json").write_text(json.dumps(whole | {"_via_image_id_list": [*images]}))
    else:
        header = ["filename", "file_size", "file_attributes", "region_count", "region_id",
                  "region_shape_attributes", "region_attributes"]  # fmt: skip
        with open(root / "via.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for name, held in photos.items():
                for number, one in enumerate(held or [{}]):
                    keys = ("shape_attributes", "region_attributes")
                    parts = [json.dumps(one.get(key, {})) for key in keys]
                    writer.writerow([name, 1234, "{}", len(held), number, *parts])


@pytest.mark.parametrize("form", ["json", "via 1", "project", "csv"])
def test_every_form(tmp_path, form):
    for name in "abc":
        photo(tmp_path / f"{name}.jpg")
    write(tmp_path, {"a.jpg": [*regions(), RECT], "b.jpg": regions()[2:], "c.jpg": []}, form)
    one, two = good(tmp_path)
    same(one, WHOLE)
    same(two, WHOLE, labelled=np.arange(29) > 1)
    np.testing.assert_array_equal(one.boxes["dataset"], [4, 5, 58, 60])
    file = "via.csv" if form == "csv" else "via.json"
    assert remarks(tmp_path) == [("photos without a face", f"c.jpg of {file}")]


def test_faces_of_one_photo_and_points_without_names(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.jpg")
    plain = [region(point) for point in WHOLE]
    two = regions(face="left") + regions(WHOLE // 2, face="right")
    write(tmp_path, {"a.jpg": two, "b.jpg": plain})
    first, second, third = good(tmp_path)
    same(first, WHOLE)
    same(second, WHOLE // 2)
    same(third, WHOLE)
    line = {"name": "polyline", "all_points_x": WHOLE[:, 0].tolist(),
            "all_points_y": WHOLE[:, 1].tolist()}  # fmt: skip
    write(tmp_path, {"a.jpg": [{"shape_attributes": line, "region_attributes": {}}]})
    same(good(tmp_path)[0], WHOLE)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (regions() + [region(WHOLE[0])], "photo a.jpg: a point has no name; give it one"),
        ([region(p) for p in WHOLE[1:]], "photo a.jpg: 28 points without names, the scheme has 29"),
        (regions(colour="red", kind="x")[:0] + [region(WHOLE[0], kind="a", colour="b")],
         'photo a.jpg: region 0: its attributes are kind, colour; call that of the points\' names'),
        ([region(WHOLE[0], name="0") | {"shape_attributes": {"name": "point", "cx": "b", "cy": 1}}],
         "photo a.jpg: region 0: a coordinate is not a number"),
    ],
)  # fmt: skip
def test_wrong_regions_are_named(tmp_path, held, reason):
    photo(tmp_path / "a.jpg")
    write(tmp_path, {"a.jpg": held})
    (found,) = reasons(tmp_path)
    assert found.startswith(reason)


def test_odd_values_are_no_bugs(tmp_path):
    photo(tmp_path / "a.jpg")
    odd = {"name": "polyline", "all_points_x": 5}, {"all_points_x": WHOLE[:, 0].tolist()}
    held = [{"shape_attributes": shape, "region_attributes": {}} for shape in odd]
    write(tmp_path, {"a.jpg": held})
    (reason,) = reasons(tmp_path)
    assert reason.startswith("photo a.jpg, region 1: region 1: numbers of shape ()")
    write(tmp_path, {"a.jpg": 5})
    with pytest.raises(InputError, match="regions of a.jpg must be a list"):
        good(tmp_path)


def test_a_wrong_csv(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path, {"a.jpg": regions()}, "csv")
    text = (tmp_path / "via.csv").read_text()
    (tmp_path / "via.csv").write_text(text.replace('{""name""', '{name""', 1))
    with pytest.raises(InputError, match="via.csv, line 2: its region is not JSON"):
        read(tmp_path)
    (tmp_path / "via.csv").write_text(text + "a.jpg,3\n")
    with pytest.raises(InputError, match="via.csv, line 31: 2 columns, not 7"):
        read(tmp_path)
