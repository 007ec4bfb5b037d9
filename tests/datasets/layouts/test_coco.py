"""COCO's JSON with photos in other folders, several categories, and photos without a face."""

import json

import numpy as np
import pytest

from jaxalign.datasets.builder import build
from jaxalign.datasets.image_folder import BENCHMARK
from jaxalign.errors import InputError
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same


def keypoints(points=POINTS, flags=2):
    flags = np.broadcast_to(flags, len(points))
    return np.column_stack([points, flags]).ravel().tolist()


def write(root, *names, **changes):
    whole = {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "keypoints": keypoints()}
            for n in range(len(names))
        ],
        "categories": [{"id": 1, "name": "face", "keypoints": [f"k{i}" for i in range(29)]}],
    }
    (root / "faces.json").write_text(json.dumps(whole | changes))
    return whole


def test_photos_in_other_folders(tmp_path):
    photo(tmp_path / "here/a.jpg")
    photo(tmp_path / "b.jpg")
    write(tmp_path, "data/train/a.jpg", "C:\\photos\\b.jpg")
    one, two = good(tmp_path)
    assert (one.photo, two.photo) == (tmp_path / "here/a.jpg", tmp_path / "b.jpg")
    check = "photos that lie in other folders than the annotations say"
    assert remarks(tmp_path) == [
        (check, "data/train/a.jpg: here/a.jpg"), (check, "C:\\photos\\b.jpg: b.jpg"),
    ]  # fmt: skip


def test_no_photo_is_taken_where_two_names_or_two_photos_could_be_meant(tmp_path):
    photo(tmp_path / "here/a.jpg")
    write(tmp_path, "train/a.jpg", "test/a.jpg")
    assert [r.partition(" (")[0] for r in reasons(tmp_path)] == ["no such photo"] * 2
    photo(tmp_path / "there/a.jpg")
    write(tmp_path, "train/a.jpg")
    (reason,) = reasons(tmp_path)
    assert reason.startswith("there are several such photos, here/a.jpg and there/a.jpg; name one")


def test_what_is_no_face_is_told_and_left_out(tmp_path, capsys):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
    whole = write(tmp_path, "a.jpg", "b.jpg")
    face, _ = whole["annotations"]
    cat = {"id": 2, "name": "cat", "keypoints": ["nose", "tail"]}
    car = {"id": 3, "name": "car"}
    outline = {"segmentation": [[1, 2, 3, 4, 5, 6]], "bbox": [1, 2, 3, 4]}
    more = [
        face,
        {"id": 5, "image_id": 0, "category_id": 2, "keypoints": [1, 2, 2, 3, 4, 2]},
        {"id": 6, "image_id": 0, "category_id": 3, **outline},
        {"id": 7, "image_id": 0, "category_id": 1, **outline},
        {"id": 8, "image_id": 0, "category_id": 1, "keypoints": keypoints(flags=0) , **outline},
    ]  # fmt: skip
    write(tmp_path, "a.jpg", "b.jpg", annotations=more, categories=[*whole["categories"], cat, car])
    same(good(tmp_path)[0])
    assert remarks(tmp_path) == [
        ("annotations of other categories", "faces.json, annotation 5: cat"),
        ("annotations of other categories", "faces.json, annotation 6: car"),
        ("annotations without a labelled point", "faces.json, annotation 7: a.jpg"),
        ("annotations without a labelled point", "faces.json, annotation 8: a.jpg"),
        ("photos without a face", "b.jpg of faces.json"),
    ]
    built = build(BENCHMARK, tmp_path, tmp_path / "data", {"scheme": "cofw29"})
    assert built.found == {"train": 1}
    assert ("photos without a face: 1", ["b.jpg of faces.json"]) in [
        (finding, cases) for _, _, finding, cases in built.noticed.told()
    ]


def test_one_of_two_categories_of_as_many_points(tmp_path):
    for name in "ab":
        photo(tmp_path / f"{name}.jpg")
    whole = write(tmp_path, "a.jpg", "b.jpg")
    whole["categories"].append(whole["categories"][0] | {"id": 2, "name": "mask"})
    whole["annotations"][1]["category_id"] = 2
    (tmp_path / "faces.json").write_text(json.dumps(whole))
    assert len(good(tmp_path)) == 2
    (face,) = good(tmp_path, label="mask")
    assert face.id == "b.jpg"
    with pytest.raises(InputError, match="no category is called dog; there are: face, mask"):
        read(tmp_path, label="dog")
