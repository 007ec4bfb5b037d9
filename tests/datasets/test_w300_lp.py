"""The reader of 300W-LP: which points it takes, groups, yaw, and files that are wrong."""

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from jaxalign.datasets.builder import build
from jaxalign.datasets.faces import Bad, check_face
from jaxalign.datasets.w300_lp import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.trees import face68
from tests.helpers.trees_3d import make_300w_lp, write_pair


@pytest.mark.parametrize("place", [".", "300W_LP"])
def test_points_of_landmarks_where_it_has_the_folder_else_pt2d(tmp_path, place):
    made = make_300w_lp(tmp_path / place)
    read = list(faces(tmp_path))
    assert [face.id for face in read] == list(made)
    for number, face in enumerate(read):
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id])
        assert check_face(face) is None and face.split == "train"
        assert face.yaw == pytest.approx(20 * number, abs=1e-4)


def test_3d_points_are_those_of_landmarks(tmp_path):
    """`pts_3d` of the tree lie 6 pixels beside `pts_2d`; only folders of `landmarks` have them."""
    made = make_300w_lp(tmp_path)
    shutil.rmtree(tmp_path / "LFPW")
    read = list(faces(tmp_path, flips=0, points="3d"))
    assert [face.id for face in read] == list(made)[:3]
    for face in read:
        np.testing.assert_allclose(face.points["ibug68"], made[face.id] + 6, atol=1e-4)
    with pytest.raises(InputError, match=r"landmarks/AFW_Flip: no such .*; --set flips=0 leaves"):
        list(faces(tmp_path, points="3d"))
    with pytest.raises(InputError, match="w300_lp: points=4d; it is 2d or 3d"):
        list(faces(tmp_path, points="4d"))


def test_3d_points_of_a_folder_without_landmarks(tmp_path):
    make_300w_lp(tmp_path)
    with pytest.raises(InputError, match="landmarks/LFPW: no such folder, which alone .*3d$"):
        list(faces(tmp_path, flips=0, points="3d"))


def test_subsets_and_renderings_of_one_photo(tmp_path):
    make_300w_lp(tmp_path)
    assert {face.id: (face.subsets, face.group) for face in faces(tmp_path)} == {
        "AFW/AFW_134212_1_0": (("afw",), "flickr/134212"),
        "AFW/AFW_134212_1_10": (("afw",), "flickr/134212"),
        "IBUG/IBUG_image_008_1_0": (("ibug",), "IBUG_image_008_1"),
        "LFPW/LFPW_image_test_0001_2": (("lfpw",), "LFPW_image_test_0001"),
        "AFW_Flip/AFW_134212_1_0": (("afw",), "flickr/134212"),
    }


def test_mirrored_photos_are_an_option(tmp_path):
    made = make_300w_lp(tmp_path)
    assert [face.id for face in faces(tmp_path, flips=0)] == list(made)[:4]
    options = BENCHMARK.parse_options(["flips=0"])
    assert BENCHMARK.config(options) == "flips0"
    assert BENCHMARK.config(options | {"points": "3d"}) == "flips0-points3d"
    assert BENCHMARK.expected(options)["train"] == 61225 == 5207 + 37676 + 1786 + 16556
    assert BENCHMARK.expected(BENCHMARK.options)["train"] == 122450
    assert BENCHMARK.expected(BENCHMARK.options)["afw"] == 10414


def test_points_as_they_are_stored(tmp_path):
    made = make_300w_lp(tmp_path)
    for face in faces(tmp_path, base=0):
        np.testing.assert_array_equal(face.points["ibug68"], made[face.id] + 1)
    with pytest.raises(InputError, match="w300_lp: base=2; it is 0 or 1"):
        list(faces(tmp_path, base=2))


def test_builds_and_reads_back(tmp_path):
    made = make_300w_lp(tmp_path / "lp")
    build(BENCHMARK, tmp_path / "lp", tmp_path / "data", {"flips": 0})
    source = open_source("w300_lp:flips0/train", IBUG68, tmp_path / "data")
    assert [sample["id"] for sample in source] == list(made)[:4]
    np.testing.assert_array_equal(source[1]["points"], made["AFW/AFW_134212_1_10"])
    assert source[1]["yaw"] == pytest.approx(20, abs=1e-4)


def spoil_mat(path, **changes):
    write_pair(path.with_suffix(""), seed=0, yaw=0, **changes)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:150]), "cut short"),
        (lambda p: p.write_bytes(b"<html>"), "MATLAB file, or cut short"),
        (lambda p: spoil_mat(p, pt2d=np.ones((2, 21))), "shape (2, 21)"),
        (lambda p: spoil_mat(p, pt2d=np.full((2, 68), np.nan)), "NaN"),
        (lambda p: savemat(p, {"pt2d": face68(0).T}), "no variable 'Pose_Para'"),
        (lambda p: p.with_suffix(".jpg").unlink(), "no photo"),
    ],
)
def test_bad_files_are_named(tmp_path, spoil, reason):
    make_300w_lp(tmp_path)
    path = tmp_path / "LFPW" / "LFPW_image_test_0001_2.mat"
    spoil(path)
    (bad,) = (face for face in faces(tmp_path) if isinstance(face, Bad))
    assert bad.path == path and reason in bad.reason


def test_a_photo_without_its_landmarks_is_bad(tmp_path):
    make_300w_lp(tmp_path)
    path = tmp_path / "landmarks/AFW/AFW_134212_1_0_pts.mat"
    path.unlink()
    (bad,) = (face for face in faces(tmp_path) if isinstance(face, Bad))
    assert (bad.id, bad.path) == ("AFW/AFW_134212_1_0", path)


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="not the 300W-LP tree; it must hold at least one of AFW"):
        list(faces(tmp_path))
