"""Large faces set apart: which they are, what is kept of the rest, and in which sizes."""

import numpy as np
import pytest

from benchmarks import high_resolution
from jaxalign.datasets.ibug_300w import faces
from jaxalign.datasets.image_folder import faces as own_faces
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.schemes import IBUG68
from tests.helpers.trees import face68, make_300w, write_pts


@pytest.fixture
def tree(tmp_path):
    """Eight faces a folder, one of HELEN's smaller; detector boxes beside."""
    root = tmp_path / "300w"
    make_300w(root, 8)
    small = face68(0)
    write_pts(root / "helen/trainset/134213_3.pts", small.mean(0) + (small - small.mean(0)) / 2)
    (root / "detector_boxes.csv").write_text("subset,name,x0,y0,x1,y1\n")
    return root


def test_every_third_large_face_and_its_photo_are_left_out(tree, tmp_path, capsys):
    """HELEN's are 134212 to 134219; AFW has two faces of each of 134212 to 134215."""
    out = tmp_path / "large"
    arguments = ["--from", str(tree), "--out", str(out), "--least", "35"]
    assert high_resolution.main(arguments) == 0
    study = list(faces(out / "study"))
    assert [face.id for face in study] == ["helen/testset/134215_3", "helen/testset/134218_3"]
    assert {face.split for face in study} == {"test"}
    whole, kept = (list(faces(root)) for root in (tree, out / "train"))
    left_out = {face.id for face in whole} - {face.id for face in kept}
    assert left_out == {"helen/trainset/134215_3", "helen/trainset/134218_3",
                        "afw/134215_1", "afw/134215_2"}  # fmt: skip
    own = {face.id: face for face in whole}
    for face in kept:
        np.testing.assert_array_equal(face.points["ibug68"], own[face.id].points["ibug68"])
        assert face.photo.read_bytes() == own[face.id].photo.read_bytes()
    assert (out / "train" / "detector_boxes.csv").is_file()
    assert "20 faces to train on; 4 left out" in capsys.readouterr().out


def test_faces_are_brought_to_sizes_for_other_tools(tree, tmp_path, capsys):
    """As .png and .pts, from which the crop of each has that side."""
    out, smaller = tmp_path / "large", tmp_path / "rest"
    make_300w(smaller, 1)
    sizes = ["--sizes", "32", "64", "--enlarge", "1.1", "--least", "35", "--every", "2"]
    arguments = ["--from", str(tree), "--train", str(smaller), "--out", str(out), *sizes]
    assert high_resolution.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "3 faces of 32 px" in printed and "0 faces of 64 px" in printed
    study, brought = (list(faces(out / name)) for name in ("study", "32"))
    assert [face.id for face in brought] == [face.id for face in study]
    for face in own_faces(out / "32", scheme="ibug68"):
        points = face.points[IBUG68.name]
        box = np.concatenate([points.min(0), points.max(0)])
        _, side = Crop(landmarks=BoxRule(1.1)).square({"boxes": {"landmarks": box}})
        assert side == pytest.approx(32, abs=1e-3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--every", "0"], "--every 0: must be above 0"),
        (["--sizes", "-1"], "--sizes -1: must be above 0"),
        (["--least", "900"], "no 3 faces of helen/trainset have a landmark box of 900 px"),
    ],
)
def test_refusals(tree, tmp_path, more, message, capsys):
    arguments = ["--from", str(tree), "--out", str(tmp_path / "o")]
    assert high_resolution.main([*arguments, *more]) == 2
    assert message in capsys.readouterr().err
    assert high_resolution.main(["--from", str(tree), "--out", str(tree)]) == 2
    assert "is there already" in capsys.readouterr().err
