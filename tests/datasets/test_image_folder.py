"""A user's own faces: the four layouts, their bases, ids and splits, and what is refused."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from jaxalign.commands.prepare import main
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.datasets.image_folder import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.schemes import COFW29, IBUG68
from jaxalign.sources import hold_out, open_folder, open_source
from tests.helpers.trees import draw, face68, write_pts


NAMES = ("a.jpg", "b c.png", "deep/c.jpg")
POINTS = {name: face68(number) for number, name in enumerate(NAMES)}
HEADER = ["file", *(f"{axis}{i}" for i in range(68) for axis in "xy")]


def photos(root):
    for number, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), draw(POINTS[name], number))


def rows(base=0):
    return [[name, *(POINTS[name] + base).reshape(-1).tolist()] for name in NAMES]


def write_csv(root, header=HEADER, table=None, start=""):
    lines = [header, *(rows() if table is None else table)]
    text = start + "".join(",".join(map(str, line)) + "\n" for line in lines)
    (root / "faces.csv").write_text(text, encoding="utf-8")


def coco(base=0, **changes):
    flags = np.full((68, 1), 2)
    return {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(NAMES)],
        "annotations": [
            {
                "id": 10 + n,
                "image_id": n,
                "keypoints": np.hstack([POINTS[name] + base, flags]).reshape(-1).tolist(),
                "bbox": [4 + base, 6 + base, 40, 50],
            }
            | (changes if n == 0 else {})
            for n, name in enumerate(NAMES)
        ],
    }


def write_layout(root, layout, base=0):
    photos(root)
    if layout == "pts":
        for name, points in POINTS.items():
            write_pts((root / name).with_suffix(".pts"), points + base - 1)
    elif layout == "csv":
        write_csv(root, table=rows(base))
    elif layout == "jsonl":
        lines = (dict(zip(HEADER, row, strict=True)) for row in rows(base))
        (root / "faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    else:
        (root / "faces.json").write_text(json.dumps(coco(base)))


def read(root, **options):
    return list(faces(root, **{"scheme": "ibug68", **options}))


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("layout", ["pts", "csv", "jsonl", "coco"])
def test_every_layout_and_base_gives_the_same_faces(tmp_path, layout, base):
    write_layout(tmp_path, layout, base)
    found = read(tmp_path, base=str(base))
    assert len(found) == 3
    for face, name in zip(found, NAMES, strict=True):
        np.testing.assert_array_equal(face.points["ibug68"], POINTS[name])
        assert face.points["ibug68"].dtype == np.float32
        assert (face.photo, face.split) == (tmp_path / name, "train")
        assert face.id == (name.rpartition(".")[0] if layout == "pts" else name)
        assert check_face(face) is None
    if layout == "coco":
        np.testing.assert_array_equal(found[0].boxes["dataset"], [4, 6, 44, 56])
    auto = read(tmp_path, split="test", layout=layout)
    shift = base - (1 if layout == "pts" else 0)
    np.testing.assert_array_equal(auto[2].points["ibug68"], POINTS[NAMES[2]] + shift)
    assert auto[2].split == "test"


@pytest.mark.parametrize("layout", ["pts", "csv", "jsonl", "coco"])
def test_samples_without_tfds_are_those_of_a_prepared_copy(tmp_path, layout):
    write_layout(tmp_path / "own", layout)
    build(BENCHMARK, tmp_path / "own", tmp_path / "data", {"scheme": "ibug68"})
    stored = open_source("image_folder:schemeibug68/train", IBUG68, tmp_path / "data")
    plain = open_folder(tmp_path / "own", IBUG68)
    assert len(plain) == len(stored) == 3
    for one, other in zip(plain, stored, strict=True):
        assert one.keys() == other.keys() and one["boxes"].keys() == other["boxes"].keys()
        for key in ("photo", "id", "group", "subsets"):
            assert one[key] == other[key] and type(one[key]) is type(other[key])
        for key in ("points", "labelled", "visible", "norm_box", "attributes"):
            np.testing.assert_array_equal(one[key], other[key])
            assert one[key].dtype == other[key].dtype
        for kind, box in one["boxes"].items():
            np.testing.assert_array_equal(box, other["boxes"][kind])
        assert np.isnan([one["yaw"], other["yaw"]]).all()


def test_open_folder_imports_no_tfds(tmp_path):
    write_layout(tmp_path, "csv")
    code = (
        "import sys; sys.modules['tensorflow_datasets'] = None\n"
        "from jaxalign.sources import hold_out, open_folder\n"
        "from jaxalign.schemes import IBUG68\n"
        "source = open_folder(sys.argv[1], IBUG68)\n"
        "print(len(source), [len(part) for part in hold_out(source, 0.3)], source[0]['id'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "3 [2, 1] a.jpg\n"


def test_open_folder_takes_one_split_and_no_bad_face(tmp_path):
    photos(tmp_path)
    split = ["train", "test", "test"]
    table = [[*row, name] for row, name in zip(rows(), split, strict=True)]
    write_csv(tmp_path, [*HEADER, "split"], table)
    assert [sample["id"] for sample in open_folder(tmp_path, IBUG68)] == ["a.jpg"]
    assert len(open_folder(tmp_path, IBUG68, "test")) == 2
    (tmp_path / "b c.png").write_bytes(b"")
    with pytest.raises(InputError, match="b c.png: empty .*; mend it"):
        open_folder(tmp_path, IBUG68)


def test_command_and_its_configuration(tmp_path, capsys):
    write_layout(tmp_path / "own", "coco", base=1)
    places = ["--from", str(tmp_path / "own"), "--data-dir", str(tmp_path / "data")]
    assert main(["image_folder", *places]) == 2
    assert "name the scheme of the points, --set scheme=NAME" in capsys.readouterr().err
    assert main(["image_folder", *places, "--set", "scheme=ibug68", "base=1"]) == 0
    capsys.readouterr()
    spec = "image_folder:base1-schemeibug68/train"
    assert len(open_source(spec, IBUG68, tmp_path / "data")) == 3
    with pytest.raises(InputError, match="has no cofw29 points; it has: ibug68"):
        open_source(spec, COFW29, tmp_path / "data")


def test_csv_with_boxes_ids_and_several_faces_of_a_photo(tmp_path):
    photos(tmp_path)
    box = ["box_x0", "box_y0", "box_x1", "box_y1"]
    first = rows()[0]
    table = [
        [*first, 2, 3, 50, 60, ""],
        [*first, "", "", "", "", ""],
        [*first, "", "", "", "", "mine"],
    ]
    write_csv(tmp_path, [*HEADER, *box, "id"], table, start="\ufeff")
    found = read(tmp_path, base="1")
    assert [face.id for face in found] == ["a.jpg", "a.jpg#2", "mine"]
    assert {face.group for face in found} == {"a.jpg"}
    np.testing.assert_array_equal(found[0].boxes["dataset"], [1, 2, 49, 59])
    assert found[1].boxes == found[2].boxes == {}


def test_photos_named_by_id_or_in_images(tmp_path):
    photos(tmp_path / "images")
    table = [[row[0].rpartition(".")[0], *row[1:]] for row in rows()]
    write_csv(tmp_path, ["id", *HEADER[1:]], table)
    assert [face.photo for face in read(tmp_path)] == [tmp_path / "images" / n for n in NAMES]


def test_a_photo_that_is_missing_is_none_of_another_folder(tmp_path):
    """Where its folder is there: that of another one is another photo."""
    photos(tmp_path / "train")
    photos(tmp_path / "other")
    (tmp_path / "train" / NAMES[0]).unlink()
    write_csv(tmp_path, HEADER, [[f"train/{row[0]}", *row[1:]] for row in rows()])
    bad, *faces = read(tmp_path)
    assert bad.reason == "no such photo (line 2 of faces.csv)"
    assert [face.photo.relative_to(tmp_path).parts[0] for face in faces] == ["train", "train"]
    shutil.rmtree(tmp_path / "train")  # now nothing says which
    assert [face.photo.relative_to(tmp_path).parts[0] for face in read(tmp_path)[:3]] == [
        "other"
    ] * 3


def test_a_name_of_a_file_is_no_split(tmp_path):
    """But of COCO's; the option tells it."""
    photos(tmp_path / "photos")
    (tmp_path / "labels").mkdir()
    write_csv(tmp_path / "labels")
    path = (tmp_path / "labels/faces.csv").rename(tmp_path / "labels/train_v2.csv")
    found = read(tmp_path / "photos", labels=path, split="test")
    assert [face.split for face in found] == ["test"] * 3


def test_jsonl_with_points_and_box(tmp_path):
    photos(tmp_path)
    line = {"id": "a", "points": POINTS["a.jpg"].tolist(), "box": [2, 3, 50, 60], "split": "test"}
    (tmp_path / "faces.jsonl").write_text(json.dumps(line) + "\n\n")
    (face,) = read(tmp_path)
    np.testing.assert_array_equal(face.points["ibug68"], POINTS["a.jpg"])
    np.testing.assert_array_equal(face.boxes["dataset"], [2, 3, 50, 60])
    assert (face.id, face.split) == ("a", "test")


def test_coco_visibility(tmp_path):
    photos(tmp_path)
    hidden = np.hstack([POINTS["a.jpg"], np.full((68, 1), 2)])
    hidden[5, 2], hidden[6, 2] = 1, 0
    path = tmp_path / "faces.json"
    path.write_text(json.dumps(coco(keypoints=hidden.reshape(-1).tolist())))
    found = read(tmp_path)
    assert np.flatnonzero(~found[0].visible["ibug68"]).tolist() == [5, 6]
    assert found[1].visible["ibug68"].all()
    only_labelled = coco()
    for item in only_labelled["annotations"]:
        item["keypoints"][2::3] = [1] * 68
    path.write_text(json.dumps(only_labelled))
    assert all(face.visible["ibug68"].all() for face in read(tmp_path))


def test_points_that_nobody_labelled(tmp_path):
    """Two empty cells, null and null, or 0, 0 with the flag 0."""
    photos(tmp_path)
    gone = [3, 67]
    table = rows()
    for point in gone:
        table[0][1 + 2 * point : 3 + 2 * point] = ["", ""]
    write_csv(tmp_path, table=table)
    (tmp_path / "faces.jsonl").write_text("\n".join(
        json.dumps({"file": name, "points": [
            [None, None] if i in gone and name == "a.jpg" else pair
            for i, pair in enumerate(POINTS[name].tolist())
        ]})
        for name in NAMES
    ))  # fmt: skip
    keypoints = np.hstack([POINTS["a.jpg"], np.full((68, 1), 2)])
    keypoints[gone] = 0
    (tmp_path / "faces.json").write_text(json.dumps(coco(keypoints=keypoints.reshape(-1).tolist())))
    for layout in ("csv", "jsonl", "coco"):
        first, second, _ = read(tmp_path, layout=layout)
        assert np.flatnonzero(~first.labelled["ibug68"]).tolist() == gone
        assert np.isnan(first.points["ibug68"][gone]).all() and check_face(first) is None
        assert not first.visible["ibug68"][gone].any() and second.labelled["ibug68"].all()
    sample = open_folder(tmp_path, IBUG68, layout="csv")[0]
    assert np.flatnonzero(~sample["labelled"]).tolist() == gone
    kept = np.delete(POINTS["a.jpg"], gone, axis=0)
    np.testing.assert_array_equal(sample["boxes"]["landmarks"], [*kept.min(0), *kept.max(0)])


@pytest.mark.parametrize("base", [0, 1])
def test_negative_coordinates_mean_what_one_says(tmp_path, base):
    photos(tmp_path)
    table = rows(base)
    stored = np.array(table[0][1:]).reshape(68, 2)
    stored[4], stored[9], stored[12] = -stored[4], (-1, -1), (-2.5, 7)
    table[0][1:] = stored.reshape(-1).tolist()
    write_csv(tmp_path, table=table)
    refused, fine, _ = read(tmp_path, base=str(base))
    assert refused.reason == (
        "line 2: 3 of its points have negative coordinates; say what they mean by the option "
        "negative=outside (a place beyond the photo) or negative=occluded (hidden at the same "
        "place without its sign, and -1 -1 not labelled)"
    )
    assert fine.labelled["ibug68"].all()
    outside = read(tmp_path, base=str(base), negative="outside")[0]
    np.testing.assert_array_equal(outside.points["ibug68"], np.float32(stored - base))
    assert outside.visible["ibug68"].all() and outside.labelled["ibug68"].all()
    mixed = read(tmp_path, base=str(base), negative="occluded")[0]
    assert (
        mixed.reason == "line 2: 1 of its points have one negative coordinate and one that is not"
    )
    table[0][1 + 24 : 3 + 24] = (POINTS["a.jpg"][12] + base).tolist()
    write_csv(tmp_path, table=table)
    occluded = read(tmp_path, base=str(base), negative="occluded")[0]
    kept = np.arange(68) != 9
    np.testing.assert_array_equal(occluded.points["ibug68"][kept], POINTS["a.jpg"][kept])
    assert np.flatnonzero(~occluded.labelled["ibug68"]).tolist() == [9]
    assert np.flatnonzero(~occluded.visible["ibug68"]).tolist() == [4, 9]
    assert check_face(occluded) is None


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([rows()[0][:-1], rows()[1]], "line 2: 136 columns, the header has 137"),
        ([rows()[0], [*rows()[1], 5]], "line 3: 138 columns, the header has 137"),
        ([[*rows()[0][:-1], "nan"]], "line 2: a number is NaN or infinite"),
        ([[*rows()[0][:-1], "left"]], "line 2: a coordinate is not a number"),
        ([["", *rows()[0][1:]]], "line 2: neither file nor id"),
        ([[*rows()[0][:-1], ""]], "line 2: a coordinate is not a number, or some are missing"),
    ],
)
def test_wrong_rows_of_a_csv_are_named(tmp_path, table, reason):
    photos(tmp_path)
    write_csv(tmp_path, table=table)
    (bad,) = (face for face in read(tmp_path) if isinstance(face, Bad))
    assert bad.path == tmp_path / "faces.csv" and bad.reason.startswith(reason)


def test_missing_photo_wrong_split_and_repeated_id(tmp_path):
    photos(tmp_path)
    a, b, c = rows()
    table = [[*a, "x", ""], [*b, "x", ""], [*c, "y", "val"], ["gone.jpg", *a[1:], "z", ""]]
    write_csv(tmp_path, [*HEADER, "id", "split"], table)
    _, repeated, split, gone = read(tmp_path)
    assert repeated.reason == "line 3: the id x came before"
    assert split.reason == "line 4: its split 'val' is neither train nor test"
    assert (gone.path, gone.reason) == (
        tmp_path / "gone.jpg",
        "no such photo (line 5 of faces.csv)",
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: not JSON"),
        ("[1, 2]", "line 2: not an object"),
        ('{"id": "a", "points": [[1, 2]]}', "line 2: numbers of shape (1, 2)"),
        ('{"id": "a", "x0": 1, "y0": 2}', "line 2: 1 points, the scheme has 68"),
    ],
)
def test_wrong_lines_of_a_jsonl_are_named(tmp_path, line, reason):
    photos(tmp_path)
    good = json.dumps({"id": "a", "points": POINTS["a.jpg"].tolist()})
    (tmp_path / "faces.jsonl").write_text(f"{good}\n{line}\n")
    face, bad = read(tmp_path)
    assert face.id == "a" and bad.reason.startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keypoints": [1, 2, 2] * 67}, "annotation 10: 67 points, the scheme has 68"),
        ({"keypoints": [float("nan"), 3, 2] * 68}, "annotation 10: a number is NaN or infinite"),
        ({"keypoints": None}, "annotation 10: 0 points, the scheme has 68"),
        ({"image_id": 7}, "annotation 10: its image_id 7 is none of the images"),
        ({"bbox": [1, 2]}, "annotation 10: numbers of shape (2,)"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, changes, reason):
    photos(tmp_path)
    (tmp_path / "faces.json").write_text(json.dumps(coco(**changes)))
    (bad,) = (face for face in read(tmp_path) if isinstance(face, Bad))
    assert bad.path == tmp_path / "faces.json" and bad.reason.startswith(reason)


def test_a_face_without_any_label(tmp_path):
    """COCO gives all flags as 0 to what nobody marked; a table has no reason to hold such a row."""
    photos(tmp_path)
    (tmp_path / "faces.json").write_text(json.dumps(coco(keypoints=[0, 0, 0] * 68)))
    remark, second, _ = read(tmp_path)
    assert remark.check == "annotations without a labelled point"
    assert remark.case == "faces.json, annotation 10: a.jpg"
    assert check_face(second) is None
    write_csv(tmp_path, table=[["a.jpg", *[""] * 136], rows()[1]])
    first, second = read(tmp_path, layout="csv")
    assert check_face(first).reason == "nobody labelled a point of ibug68"
    assert check_face(second) is None


def test_wrong_pts_and_missing_photo(tmp_path):
    write_layout(tmp_path, "pts")
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n")
    (tmp_path / "deep/c.jpg").unlink()
    truncated, _, missing = read(tmp_path)
    assert (truncated.id, truncated.path) == ("a", tmp_path / "a.pts")
    assert truncated.reason == "truncated, its closing brace is missing"
    assert missing.reason == "there is no photo (.jpg, .png, .webp, ...) beside it"


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({}, {}, "holds no .csv, .json, .jsonl.* files .*; put them beside .* --labels"),
        ({"a.csv": "", "b.pts": ""}, {}, "holds pts and csv; name the layout"),
        ({"a.csv": "", "b.csv": ""}, {}, r"holds 2 \*.csv; there must be one"),
        ({"a.csv": ""}, {}, r"a.csv: line 1 must be a header with file or id, x0, y0"),
        ({"a.csv": "file,x0,y0\n"}, {}, "a.csv: its header has 1 points, the scheme has 68"),
        ({"a.csv": ",".join([*HEADER, "box_x0"])}, {}, "must hold all of box_x0, .*, or none"),
        ({"a.csv": ",".join(HEADER)}, {}, "a.csv: holds no faces"),
        ({"a.csv": b"\xff\xd8\xff"}, {}, "a.csv: not a text file in UTF-8"),
        ({"a.jsonl": ""}, {}, "a.jsonl: holds no faces"),
        ({"a.json": "{'images': []}"}, {}, r"a.json, line 1: not JSON \(Expecting property name"),
        ({"a.json": "[1]"}, {}, "a.json: a list, not COCO's JSON or"),
        ({"a.json": '{"images": [1], "annotations": []}'}, {}, "a.json: not COCO's JSON"),
        ({"a.json": '{"a": []}'}, {"layout": "via"}, "a.json: an object of a, not VGG Image Ann"),
        ({"a.json": '[{"id": 1}]'}, {"layout": "label_studio"}, "a.json: a list, not Label Studio"),
        ({"a.json": "{}"}, {"layout": "predictions"}, "of nothing, not jaxalign's predictions; s"),
        ({"a.csv": ",".join(HEADER)}, {"layout": "via"}, "a.csv: a table, not VGG Image Annotator"),
        ({}, {"scheme": "ibug"}, "name the scheme .* there are: ibug68"),
        ({}, {"base": "2"}, "base=2; it is auto, 0, 0.5, 1"),
        ({}, {"layout": "xlsx"}, "layout=xlsx; it is auto, pts, csv, jsonl, coco"),
        ({}, {"split": "val"}, "split=val; it is train, test"),
        ({}, {"negative": "hidden"}, "negative=hidden; it is refuse, outside, occluded"),
    ],
)
def test_refused(tmp_path, files, options, message):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read(tmp_path, **options)


def test_a_share_of_the_photos_is_val_and_a_second_folder_has_a_name(tmp_path, capsys):
    for root in (tmp_path / "one", tmp_path / "two"):
        photos(root)
        write_csv(root, table=[*rows(), rows()[0]])
    found = read(tmp_path / "one", val=0.34)
    held = {face.group for face in found if face.split == "val"}
    assert len(held) == 1 and {face.group for face in found if face.split == "train"} == (
        set(NAMES) - held
    )
    source = open_folder(tmp_path / "one", IBUG68)
    assert held == {sample["group"] for sample in hold_out(source, 0.34)[1]}
    assert all(face.split == "test" for face in read(tmp_path / "one", val=0.34, split="test"))
    with pytest.raises(InputError, match="3 photos of train, too few for val=0.9"):
        read(tmp_path / "one", val=0.9)
    with pytest.raises(InputError, match="val=1; it is at least 0 and below 1"):
        read(tmp_path / "one", val=1)
    capsys.readouterr()
    data = ["--data-dir", str(tmp_path / "data")]
    prepare = ["image_folder", *data, "--set", "scheme=ibug68", "val=0.34"]
    assert main([*prepare, "--from", str(tmp_path / "one")]) == 0
    spec = "image_folder:schemeibug68-val0.34"
    out = capsys.readouterr().out
    assert out.endswith(f"--set data.train={spec}/train data.val={spec}/val\n")
    assert main([*prepare, "--from", str(tmp_path / "two")]) == 2
    assert "another folder takes a name of its own, --set name=NAME" in capsys.readouterr().err
    assert main([*prepare, "name=two", "--from", str(tmp_path / "two")]) == 0
    spec = "image_folder:nametwo-schemeibug68-val0.34"
    assert len(open_source(f"{spec}/val", IBUG68, tmp_path / "data")) in (1, 2)
    with pytest.raises(InputError, match="an option's name in its value; choose another value"):
        BENCHMARK.parse_options(["scheme=ibug68", "name=a-unitshare"])
