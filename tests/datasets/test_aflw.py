"""The reader of AFLW-19: order, boxes, the frontal rule, and files that are wrong."""

import numpy as np
import pytest
from scipy.io import savemat

from jaxalign.datasets import aflw
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.errors import InputError
from jaxalign.schemes import AFLW19
from jaxalign.sources import open_source
from tests.helpers.trees_aflw import NAMES, aflw_tables, make_aflw


@pytest.fixture(autouse=True)
def two_train_faces(monkeypatch):
    monkeypatch.setattr(aflw, "TRAIN_FACES", 2)


def test_faces_in_the_order_of_ra(tmp_path):
    tables = make_aflw(tmp_path)
    read = list(aflw.faces(tmp_path))
    assert [(face.split, face.id) for face in read] == [
        ("train", "3/image00035/00004"),
        ("train", "0/image00002/00001"),
        ("test", "3/image00036/00005"),
        ("test", "2/image00004/00003"),
        ("test", "0/image00002/00002"),
    ]
    for face, row in zip(read, tables["ra"][0] - 1, strict=True):
        points = face.points["aflw19"]
        np.testing.assert_array_equal(points[:, 0], tables["data"][row, :19])
        np.testing.assert_array_equal(points[:, 1], tables["data"][row, 19:])
        np.testing.assert_array_equal(face.visible["aflw19"], tables["mask_new"][row] == 1)
        for box in (face.boxes["dataset"], face.norm_box):
            np.testing.assert_array_equal(box, [2 + row, 3, 62, 61])
        assert check_face(face) is None
    assert read[1].group == read[4].group == "0/image00002"
    assert read[2].photo == tmp_path / "aflw/data/flickr/3/image00036.jpg"


def test_frontal_is_all_visible_and_inside_the_box(tmp_path):
    make_aflw(tmp_path)
    subsets = {face.id[-5:]: face.subsets for face in aflw.faces(tmp_path)}
    assert subsets == {
        "00004": (),
        "00001": (),
        "00005": ("full",),  # a point outside
        "00003": ("full", "frontal"),
        "00002": ("full",),  # a hidden point
    }


def test_a_point_on_the_edge_of_the_box_is_not_inside(tmp_path):
    tables = make_aflw(tmp_path)
    tables["data"][2, 0] = tables["bbox"][2, 0]
    savemat(tmp_path / aflw.INFO, tables)
    assert all("frontal" not in face.subsets for face in aflw.faces(tmp_path))


def listed(tables, *rows):
    """HRNet's list of these rows: photo, scale, box, centre, and the points x, y."""
    lines = ["image_name,scale,box_size,center_w,center_h,original_0_x"]
    for row in rows:
        points = tables["data"][row - 1].reshape(2, 19).T.ravel() + 0.25
        lines.append(",".join([f"flickr/{NAMES[row - 1]}", "1.8", "362", "4", "5",
                               *map(str, points)]))  # fmt: skip
    return "\n".join(lines) + "\n"


def test_frontal_by_a_list(tmp_path):
    """Of two faces of one photo the one whose points are listed."""
    tables = make_aflw(tmp_path)
    (tmp_path / aflw.LIST).write_text(listed(tables, 2, 5))
    frontal = [f.id[-5:] for f in aflw.faces(tmp_path, front="list") if "frontal" in f.subsets]
    assert sorted(frontal) == ["00002", "00005"]
    assert aflw.BENCHMARK.config({"front": "list"}) == "frontlist"
    assert aflw.BENCHMARK.expected({"front": "list"})["frontal"] == 1314
    with pytest.raises(InputError, match="front=all; it is rule or list"):
        next(aflw.faces(tmp_path, front="all"))


def test_lists_that_are_not_of_the_test_faces(tmp_path):
    tables = make_aflw(tmp_path)
    with pytest.raises(InputError, match=r"frontal.csv: cannot be read \(No such file"):
        next(aflw.faces(tmp_path, front="list"))
    for text in (listed(tables, 5, 4), listed(tables, 5) + "0/image00002.jpg,1,2\n",
                 listed(tables, 5) + "\n", listed(tables, 5) + "nowhere.jpg,1\n"):  # fmt: skip
        (tmp_path / aflw.LIST).write_text(text)  # 4 is for training
        with pytest.raises(InputError, match=r"frontal.csv: line 3 \(.*\) is no test face of AFLW"):
            next(aflw.faces(tmp_path, front="list"))


def test_builds_and_reads_back(tmp_path):
    tables = make_aflw(tmp_path / "AFLW")
    built = build(aflw.BENCHMARK, tmp_path, tmp_path / "data")
    assert built.found == {"train": 2, "test": 3, "full": 3, "frontal": 1}
    sample = open_source("aflw/frontal", AFLW19, tmp_path / "data")[0]
    np.testing.assert_array_equal(sample["points"][:, 1], tables["data"][2, 19:])
    np.testing.assert_array_equal(sample["norm_box"], [4, 3, 62, 61])


@pytest.mark.parametrize("folder", [".", "flickr", "images", "data/flickr"])
def test_photos_of_other_layouts(tmp_path, folder):
    make_aflw(tmp_path / "made")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for path in (tmp_path / "made/aflw/data/flickr").iterdir():
        path.rename(tmp_path / folder / path.name)
    (tmp_path / "made" / aflw.INFO).rename(tmp_path / aflw.INFO)
    assert next(aflw.faces(tmp_path)).photo == tmp_path / folder / "3/image00035.jpg"


def test_missing_photo_nan_and_empty_box(tmp_path):
    tables = make_aflw(tmp_path)
    tables["data"][3, 20] = np.nan
    tables["bbox"][0] = (5, 5, 3, 61)
    savemat(tmp_path / aflw.INFO, tables)
    photo = tmp_path / "aflw/data/flickr/2/image00004.jpg"
    photo.unlink()
    nan, box, _, missing, _ = aflw.faces(tmp_path)
    assert isinstance(nan, Bad) and nan.path == tmp_path / aflw.INFO
    assert nan.reason == "row 4: a coordinate is NaN or infinite"
    assert "dataset box (5, 3, 5, 61) has no extent" in check_face(box).reason
    assert (missing.id, missing.path) == ("2/image00004/00003", photo)
    assert missing.reason == "there is no such photo (row 3 of AFLWinfo_release.mat)"


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="not AFLW; it must hold AFLWinfo_release.mat"):
        next(aflw.faces(tmp_path))
    savemat(tmp_path / aflw.INFO, aflw_tables())
    with pytest.raises(InputError, match="AFLW's photos are missing; unpack aflw-images-{0,2,3}"):
        next(aflw.faces(tmp_path))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("bbox", lambda table: table[:, :3], r"bbox of shape \(5, 3\), it should be \(5, 4\)"),
        ("data", lambda table: table[:4], r"data of shape \(4, 38\), it should be \(5, 38\)"),
        ("ra", lambda table: table - 1, "ra is not an order of 1 to 5"),
        ("ra", lambda table: np.array([[1, 2, 2, 3, 5]]), "ra is not an order of 1 to 5"),
        ("nameList", lambda table: np.ones((5, 1)), "row 1 of nameList is not a photo's name"),
    ],
)
def test_wrong_tables_are_named(tmp_path, name, change, reason):
    tables = make_aflw(tmp_path)
    savemat(tmp_path / aflw.INFO, tables | {name: change(tables[name])})
    with pytest.raises(InputError, match=f"{aflw.INFO}: {reason}"):
        next(aflw.faces(tmp_path))


@pytest.mark.parametrize("share", [0, 0.2, 0.6, 0.98])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_table(tmp_path, share, compressed):
    savemat(tmp_path / aflw.INFO, make_aflw(tmp_path), do_compression=compressed)
    path = tmp_path / aflw.INFO
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError) as raised:
        next(aflw.faces(tmp_path))
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and "download it again" in message
    assert "\n" not in message
