"""The readers of COFW and COFW-68: photos, frames, occlusion, and files that are wrong."""

import shutil

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from jaxalign.datasets import cofw, cofw68
from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.errors import InputError
from jaxalign.evaluation.summary import summarise
from jaxalign.evaluation.truth import truth_of
from jaxalign.protocols import protocol_for
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.trees_cofw import cofw_photos, cofw_tables, make_cofw, make_cofw68, write_cofw


def decoded(photo):
    """The pixels of an encoded photo as they were stored: grey, or RGB."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., ::-1]


def test_photos_points_and_flags_are_exact(tmp_path):
    made = make_cofw(tmp_path)
    read = list(cofw.faces(tmp_path))
    assert [face.id for face in read] == list(made)
    assert [face.split for face in read] == ["train"] * 3 + ["test"] * 2
    for face in read:
        photo, marks = made[face.id]
        np.testing.assert_array_equal(decoded(face.photo), photo)
        np.testing.assert_array_equal(face.points["cofw29"][:, 0], marks[:29] - 1)
        np.testing.assert_array_equal(face.points["cofw29"][:, 1], marks[29:58] - 1)
        np.testing.assert_array_equal(face.visible["cofw29"], marks[58:] == 0)
        assert check_face(face) is None
    assert {decoded(face.photo).shape for face in read} == {(64, 60, 3), (64, 60)}
    np.testing.assert_array_equal(read[1].boxes["dataset"], [5, 5, 45, 50])


def test_occlusion_is_a_share_of_the_points(tmp_path):
    """9 of 29 points are 31 %, 8 are 28 %."""
    make_cofw(tmp_path)
    with h5py.File(tmp_path / "COFW_test_color.mat", "r+") as mat:
        mat["phisT"][58:, 0], mat["phisT"][58:, 1] = np.arange(29) < 9, np.arange(29) < 8

    def found(**options):
        return [face.attributes for face in cofw.faces(tmp_path, **options)][-2:]

    none, occluded = (0,) * 6, (0, 0, 0, 0, 1, 0)
    assert found() == [occluded, none]
    assert found(occluded=0.25) == [occluded] * 2 and found(occluded=0.5) == [none] * 2
    for share in (0, 1.5):
        with pytest.raises(InputError, match="above 0 and at most 1"):
            found(occluded=share)


def test_grey_set_where_the_colour_set_is_not(tmp_path):
    make_cofw(tmp_path / "pose")
    path = tmp_path / "pose/COFW_test_color.mat"
    grey = path.with_name("COFW_test.mat")
    shutil.copy(path, grey)
    with h5py.File(path, "r+") as mat:
        mat["bboxesT"][2] += 1
    assert [f.boxes["dataset"][2] for f in cofw.faces(tmp_path) if f.split == "test"] == [45, 46]
    path.unlink()
    (tmp_path / "pose/COFW_train_color.mat").unlink()
    assert [face.boxes["dataset"][2] for face in cofw.faces(tmp_path)] == [44, 45]


def test_files_are_found_as_deep_as_the_archives_put_them(tmp_path):
    made = make_cofw(tmp_path / "COFW/common/xpburgos/behavior/code/pose")
    shadow = tmp_path / "COFW/__MACOSX/COFW_test_color.mat"
    shadow.parent.mkdir()
    shadow.write_bytes(b"\0\5")
    for path in (tmp_path / "COFW").rglob("*_color.mat"):
        path.rename(path.with_name(path.name.replace("_color", "")))
    assert [face.id for face in cofw.faces(tmp_path)] == list(made)
    make_cofw(tmp_path / "color", train=1, test=1)  # colour goes before grey
    assert [face.id for face in cofw.faces(tmp_path)] == ["train/0001", "test/0001"]


def test_cofw_builds(tmp_path):
    make_cofw(tmp_path / "mat")
    built = build(cofw.BENCHMARK, tmp_path / "mat", tmp_path / "data")
    assert built.found == {"train": 3, "test": 2}


def test_faults_of_single_cofw_faces(tmp_path):
    made = make_cofw(tmp_path, train=6)
    path = tmp_path / "COFW_train_color.mat"
    with h5py.File(path, "r+") as mat:
        mat["phisTr"][30, 0] = np.nan
        mat["phisTr"][60, 1] = 7
        damaged = mat["#refs#/p2"].id.read_direct_chunk((0, 0, 0))[1]
        mat["#refs#/floats"] = np.zeros((3, 4))
        mat["IsTr"][0, 3] = mat["#refs#/floats"].ref
        mat["IsTr"][0, 4] = h5py.Reference()
    path.write_bytes(path.read_bytes().replace(damaged, bytes(len(damaged))))
    *bad, good = list(cofw.faces(tmp_path))[:6]
    assert all(isinstance(face, Bad) and face.path == path for face in bad)
    assert [face.id for face in bad] == [f"train/000{n}" for n in range(1, 6)]
    starts = (
        "face 1: its points hold NaN",
        "face 2: its points hold NaN, or flags not 0 or 1",
        "face 3: its photo cannot be read",
        "face 4: its photo is float64 of shape (4, 3)",
        "face 5: its photo cannot be read",
    )
    for face, start in zip(bad, starts, strict=True):
        assert face.reason.startswith(start)
    np.testing.assert_array_equal(decoded(good.photo), made["train/0006"][0])


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_truncated_cofw(tmp_path, share):
    make_cofw(tmp_path)
    path = tmp_path / "COFW_train_color.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError) as raised:
        list(cofw.faces(tmp_path))
    message = str(raised.value)
    assert message.startswith(f"{path}: not a MATLAB v7.3 (HDF5) file, or cut short")
    assert "\n" not in message


def test_cofw_files_that_hold_something_else(tmp_path):
    path = tmp_path / "COFW_test_color.mat"
    with pytest.raises(InputError, match="not COFW; it must hold COFW_train_color.mat or COFW_te"):
        list(cofw.faces(tmp_path))
    savemat(path, {"IsT": 1})
    with pytest.raises(InputError, match=r"COFW_test_color.mat: not a MATLAB v7.3"):
        list(cofw.faces(tmp_path))
    photos, (marks, boxes) = cofw_photos(2, 0), cofw_tables(2, 0)
    write_cofw(path, "Tr", photos, marks, boxes)
    with pytest.raises(InputError, match="IsT cannot be read from it"):
        list(cofw.faces(tmp_path))
    write_cofw(path, "T", photos, marks[:, :58], boxes)
    with pytest.raises(InputError, match=r"phisT appears as \(58, 2\), it should be \(87, 2\)"):
        list(cofw.faces(tmp_path))
    write_cofw(path, "T", photos, marks, boxes[:1])
    with pytest.raises(InputError, match=r"bboxesT appears as \(4, 1\), it should be \(4, 2\)"):
        list(cofw.faces(tmp_path))
    with h5py.File(path, "r+") as mat:
        del mat["IsT"]
        mat["IsT"] = np.zeros((1, 2))
    with pytest.raises(InputError, match="IsT is not a column of photos"):
        list(cofw.faces(tmp_path))


@pytest.mark.parametrize("inside", [False, True])
def test_cofw68_takes_its_photos_from_cofw(tmp_path, inside):
    made = make_cofw68(tmp_path)
    photos = [face.photo for face in cofw.faces(tmp_path) if face.split == "test"]
    if inside:
        name = "COFW_test_color.mat"
        (tmp_path / name).rename(tmp_path / "COFW68_Data" / name)
    read = list(cofw68.faces(tmp_path))
    assert [face.id for face in read] == list(made)
    for number, (face, photo) in enumerate(zip(read, photos, strict=True), 1):
        assert (face.split, face.photo) == ("test", photo)
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id])
        np.testing.assert_array_equal(face.visible["ibug68"], np.arange(68) >= number)
        assert check_face(face) is None
    np.testing.assert_array_equal(read[1].boxes["detector"], [4, 8, 24, 24])
    np.testing.assert_array_equal(read[1].norm_box, [4, 8, 24, 24])
    assert "dataset" not in read[1].boxes


def test_cofw68_points_and_boxes_as_they_are_stored(tmp_path):
    made = make_cofw68(tmp_path)
    read = list(cofw68.faces(tmp_path, base=0))
    for face in read:
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id] + 1)
    np.testing.assert_array_equal(read[1].boxes["detector"], [5, 9, 25, 25])
    with pytest.raises(InputError, match="cofw68: base=2; it is 0 or 1"):
        list(cofw68.faces(tmp_path, base=2))


def test_cofw68_builds_and_reads_back(tmp_path):
    made = make_cofw68(tmp_path / "cofw68")
    assert build(cofw68.BENCHMARK, tmp_path / "cofw68", tmp_path / "data").found == {"test": 3}
    sample = open_source("cofw68/test", IBUG68, tmp_path / "data")[2]
    np.testing.assert_array_equal(sample["points"], made["test/0003"])
    assert sample["visible"].sum() == 65
    np.testing.assert_array_equal(sample["boxes"]["detector"], [5, 8, 25, 24])
    np.testing.assert_array_equal(sample["norm_box"], [5, 8, 25, 24])


def test_cofw68_is_normalised_by_the_given_boxes_and_by_the_points(tmp_path):
    """Both by name: 20 x 16 pixels of every given box, and the rectangle of the points."""
    make_cofw68(tmp_path / "cofw68")
    build(cofw68.BENCHMARK, tmp_path / "cofw68", tmp_path / "data")
    truth = truth_of(open_source("cofw68/test", IBUG68, tmp_path / "data"), "here", IBUG68)
    moved = truth.with_predictions(truth.points + [3.0, 4.0], None)
    summary = summarise(moved, protocol_for("cofw68", IBUG68))
    (row,) = (row for row in summary["rows"] if row["subset"] == "all")
    assert row["norm_box"]["nme"] == pytest.approx(5 / np.sqrt(20 * 16), abs=1e-5)
    sizes = np.sqrt(np.prod(np.ptp(truth.points, axis=1), axis=1))
    assert row["box"]["nme"] == pytest.approx(np.mean(5 / sizes), abs=1e-5)


def test_cofw68_without_photos_or_annotations(tmp_path):
    make_cofw68(tmp_path)
    (tmp_path / "COFW_test_color.mat").unlink()
    with pytest.raises(InputError, match="COFW's photos are missing; put COFW_test_color.mat"):
        list(cofw68.faces(tmp_path))
    make_cofw(tmp_path, test=2)
    with pytest.raises(InputError, match="2 photos, but 3 boxes in COFW68_Data"):
        list(cofw68.faces(tmp_path))
    (tmp_path / "COFW68_Data/cofw68_test_bboxes.mat").unlink()
    with pytest.raises(InputError, match="cofw68_test_bboxes.mat: cannot be read"):
        list(cofw68.faces(tmp_path))
    shutil.rmtree(tmp_path / "COFW68_Data")
    with pytest.raises(InputError, match="not COFW-68; it must hold COFW68_Data/test_annotations"):
        list(cofw68.faces(tmp_path))


def test_wrong_cofw68_annotations(tmp_path):
    good = make_cofw68(tmp_path, 6)["test/0001"]
    folder = tmp_path / "COFW68_Data/test_annotations"
    flags = np.zeros((1, 68), np.uint8)
    whole = (folder / "1_points.mat").read_bytes()
    (folder / "1_points.mat").write_bytes(whole[: len(whole) // 2])
    (folder / "2_points.mat").unlink()
    savemat(folder / "3_points.mat", {"Points": good[:67], "Occ": flags})
    savemat(folder / "4_points.mat", {"Points": good * np.nan, "Occ": flags})
    savemat(folder / "5_points.mat", {"points": good, "Occ": flags})
    *bad, last = cofw68.faces(tmp_path)
    reasons = (
        "not a readable MATLAB file, or cut short",
        "cannot be read (No such file",
        "points of shape (67, 2) with 68 flags, there must be (68, 2) and 68",
        "its points hold NaN, or flags not 0 or 1",
        "holds no variable 'Points'",
    )
    for number, (face, reason) in enumerate(zip(bad, reasons, strict=True), 1):
        assert isinstance(face, Bad) and face.path == folder / f"{number}_points.mat"
        assert face.reason.startswith(reason)
    assert last.id == "test/0006" and check_face(last) is None


def test_wrong_cofw68_boxes(tmp_path):
    make_cofw68(tmp_path)
    savemat(tmp_path / "COFW68_Data/cofw68_test_bboxes.mat", {"bboxes": np.ones((3, 5))})
    with pytest.raises(InputError, match=r"bboxes of shape \(3, 5\), there must be 4 columns"):
        list(cofw68.faces(tmp_path))
