"""Label Studio's JSON export."""

import json

import numpy as np
import pytest

from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, remarks, same
from tests.helpers.trees import SIDE


def region(name, point, number, **more):
    x, y = (float(value) for value in (np.asarray(point, float) + 0.5) / SIDE * 100)
    value = {"x": x, "y": y, "width": 0.6, "keypointlabels": [name]}
    whole = {"id": f"p{number}", "type": "keypointlabels", "from_name": "kp", "to_name": "img"}
    size = {"original_width": SIDE, "original_height": SIDE, "image_rotation": 0}
    return whole | size | {"value": value} | more


def regions(points=POINTS, **more):
    return [region(str(i), point, i, **more) for i, point in enumerate(points)]


def rectangle(name):
    corner = (np.array([4, 5]) + 0.5) / SIDE * 100
    sides = np.array([54, 55]) / SIDE * 100
    value = dict(zip(("x", "y", "width", "height"), [*corner, *sides], strict=True))
    return {"id": name, "type": "rectanglelabels", "value": value | {"rectanglelabels": ["face"]}}


def task(number, results, image, **more):
    annotation = {"id": 7, "completed_by": 1, "was_cancelled": False, "ground_truth": False}
    return {
        "id": number,
        "data": {"image": image},
        "annotations": [annotation | {"result": results} | more],
        "predictions": [],
        "project": 3,
    }


def write(root, *tasks):
    (root / "project-3.json").write_text(json.dumps(tasks))


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/1a2b3c4d-a%20b.jpg",
        "/data/upload/3/1a2b3c4d-a b.jpg",
        "/data/local-files/?d=photos/a%20b.jpg",
        "https://example.com/faces/a%20b.jpg?token=1",
        "s3://bucket/deep/a b.jpg",
        "photos/a b.jpg",
    ],
)
def test_keypoints_in_percent(tmp_path, image):
    photo(tmp_path / "photos/a b.jpg")
    write(tmp_path, task(1, [*regions(), rectangle("r")], image))
    (face,) = good(tmp_path)
    same(face)
    assert face.photo == tmp_path / "photos/a b.jpg"
    np.testing.assert_allclose(face.boxes["dataset"], [4, 5, 58, 60], atol=1e-4)


def test_faces_by_parent_and_by_relation(tmp_path):
    photo(tmp_path / "a.jpg")
    tied = [region(str(i), p / 2, 100 + i) for i, p in enumerate(POINTS)]
    ties = [{"type": "relation", "from_id": one["id"], "to_id": "s", "direction": "right"}
            for one in tied]  # fmt: skip
    held = [rectangle("r"), rectangle("s"), *regions(parentID="r"), *tied, *ties]
    write(tmp_path, task(1, held, "a.jpg"))
    one, two = good(tmp_path)
    same(one)
    same(two, POINTS / 2)
    assert one.boxes.keys() == two.boxes.keys() == {"dataset"}


def test_which_annotation_counts(tmp_path):
    photo(tmp_path / "a.jpg")
    other = {"result": regions(POINTS / 2), "was_cancelled": True}
    whole = task(1, regions(), "a.jpg")
    whole["annotations"].insert(0, other)
    write(tmp_path, whole)
    same(good(tmp_path)[0])
    other["was_cancelled"] = False
    write(tmp_path, whole)
    assert reasons(tmp_path) == [
        "task 1: 2 annotations of one photo; keep one, or mark it as the ground truth "
        "(read as Label Studio's JSON)"
    ]
    other["ground_truth"] = True
    write(tmp_path, whole)
    same(good(tmp_path)[0], POINTS / 2)


def test_photos_without_a_face_are_told(tmp_path):
    for name in "abc":
        photo(tmp_path / f"{name}.jpg")
    none = task(2, [], "b.jpg") | {"annotations": []}
    write(tmp_path, task(1, regions(), "a.jpg"), none, task(3, [rectangle("r")], "c.jpg"))
    assert len(good(tmp_path)) == 1
    check = "photos without a face"
    assert remarks(tmp_path) == [(check, f"{n}.jpg of project-3.json") for n in "bc"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_rotation": 90}, "task 1: its photo was turned by 90 degrees in the tool; turn it"),
        ({"value": {"x": 1, "y": 2, "keypointlabels": []}}, "task 1: a point has no name"),
        ({"value": {"x": "b", "y": 2, "keypointlabels": ["3"]}}, "task 1: region p3: a coordinate"),
        ({"value": {"x": 1, "y": 2}}, "task 1: region p3: it needs one label"),
        ({"original_width": 128}, "task 1: a.jpg is said to have 128 x 64 pixels, and has 64 x 64"),
    ],
)
def test_wrong_regions_are_named(tmp_path, change, reason):
    photo(tmp_path / "a.jpg")
    held = regions()
    if "value" in change:
        held[3] |= change
    else:
        held[0] |= change
    write(tmp_path, task(1, held, "a.jpg"))
    (found,) = reasons(tmp_path)
    assert found.startswith(reason)


def test_ids_of_any_type_are_ids(tmp_path):
    photo(tmp_path / "a.jpg")
    held = [one | {"id": [place]} for place, one in enumerate(regions())]
    ties = [{"type": "relation", "from_id": one["id"], "to_id": {}} for one in held]
    write(tmp_path, task(1, [*held, *ties], "a.jpg"))
    assert len(good(tmp_path)) == 1


def test_a_task_without_a_photo(tmp_path):
    write(tmp_path, task(1, regions(), "a.jpg") | {"data": {"text": "hello"}})
    assert reasons(tmp_path) == [
        "task 1: its data (text) names no photo (read as Label Studio's JSON)"
    ]
    assert len(read(tmp_path)) == 1
