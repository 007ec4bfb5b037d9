"""The benchmark of face detectors, of one whose boxes are known; and the drawn crowds."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import crowds, detectors
from jaxalign import geometry
from jaxalign.pipeline import BoxRule
from jaxalign.prediction.detection import Cascade, Detection


class Known:
    """Sees (60, 60) to (100, 100), and something at (0, 0) to (10, 10)."""

    rule = BoxRule(0.8, 0.1)

    def __call__(self, image):
        assert image.shape == (200, 200, 3)
        boxes = np.float32([[60, 60, 100, 100], [0, 0, 10, 10]])
        return [Detection(box, 1.0) for box in boxes]


def shown(*boxes):
    """A photo for each box."""
    return [(np.zeros((200, 200, 3), np.uint8), np.array([box], float)) for box in boxes]


def test_boxes_about_the_landmarks():
    """A square of 40 is wanted 8 pixels higher and a tenth larger; the far face is missed."""
    faces = shown((52, 50, 96, 94), (56, 50, 100, 94), (150, 150, 190, 190))
    found = detectors.measure(Known(), faces)
    np.testing.assert_allclose(found.sides, [1.1, 1.1])
    np.testing.assert_allclose(found.shifts, [[-0.15, -0.2], [-0.05, -0.2]])
    assert len(found.false) == 4 and found.seconds.shape == (3,)
    rule = found.rule(Known.rule)
    # its own boxes are 50 pixels, centred 5 above: (80, 75); the landmarks' at 72 are 3 above
    assert (rule.enlarge, rule.down) == pytest.approx((44 / 50, -3 / 50))
    cells = detectors.row("known", found, Known.rule, doubts=False)
    assert cells | {"ms": ""} == {
        "detector": "known", "faces": "3", "found": "2", "found %": "66.7", "false": "4",
        "side": "1.100 ± 0.000", "right": "-0.100 ± 0.050", "down": "-0.200 ± 0.000",
        "rule": "0.880, -0.060", "ms": "", "doubted": "", "false doubted": "",
    }  # fmt: skip
    head, _, line = detectors.table([cells])
    assert "false |" in head and "doubted" not in head and line.startswith("| known | 3 | 2 | 66.7")


def test_nothing_found():
    found = detectors.measure(lambda image: [], shown((60, 60, 100, 100)))
    cells = detectors.row("none", found, Known.rule, doubts=False)
    assert (cells["found %"], cells["false"], cells["side"]) == ("0.0", "0", "")


def test_a_square_is_compared_with_a_square():
    assert len(detectors.measure(Known(), shown((74, 60, 86, 100))).sides) == 1


def test_a_face_is_found_once():
    """Two boxes on one face: the better one finds it, the other is false."""
    boxes = [np.float32([60, 60, 100, 100]), np.float32([62, 60, 102, 100])]
    faces = [np.float32([61.5, 60, 101.5, 100]), np.float32([0, 0, 20, 20])]
    assert detectors.matched(boxes, faces) == {1: 0}
    assert detectors.matched(faces, boxes) == {0: 1}


def test_what_a_model_doubts():
    """It doubts what does not begin at 60: of each photo the false box."""

    def aligner(photo, boxes):
        return [SimpleNamespace(status="ok" if box[0] == 60 else "low_confidence") for box in boxes]

    faces = shown((60, 60, 100, 100), (150, 150, 190, 190))
    assert detectors.measure(Known(), faces, aligner).doubted == (0, 2)
    assert detectors.measure(Known(), shown((0, 0, 10, 10)), aligner).doubted == (1, 0)


def test_sheet_shows_each_false_box():
    found = detectors.measure(Known(), shown(*9 * [(60, 60, 100, 100)]))
    picture = detectors.sheet(found.false)
    assert picture.shape == (480, 1920, 3)
    reds = (picture[..., 0] == 255).reshape(2, 240, 8, 240).any((1, 3))
    assert reds.ravel().tolist() == 9 * [True] + 7 * [False]


class TestCrowds:
    def test_faces_stand_where_their_boxes_say(self):
        """The cascade finds a face pasted at twice the size of its drawing, and small."""
        flat = np.full((600, 900, 3), 128, np.uint8)
        photo, boxes = crowds.paste([(250, 300, 280), (700, 200, 80)], flat, first=2)
        assert boxes.tolist() == [[110, 160, 390, 440], [660, 160, 740, 240]]
        assert photo.shape == flat.shape and (flat == 128).all()
        assert (photo[:, 500:600] == 128).all() and (photo[300, 250] != 128).any()
        assert any(geometry.iou(face.box, boxes[0]) > 0.7 for face in Cascade()(photo))

    def test_a_crowd(self):
        photo, boxes = crowds.crowd(0, heads=4)
        again, other = crowds.crowd(0, heads=4)[0], crowds.crowd(1, heads=4)[0]
        assert photo.shape == (640, 960, 3) and photo.dtype == np.uint8
        assert (photo == again).all() and (photo != other).any()
        assert boxes.shape == (4, 4) and boxes.min() >= 0
        sides = boxes[:, 2:] - boxes[:, :2]
        assert 29.9 <= sides.min() and sides.max() <= 90.1
        assert (boxes[:, 2] <= 960).all() and (boxes[:, 3] <= 640).all()
        assert all(geometry.iou(a, b) == 0 for i, a in enumerate(boxes) for b in boxes[:i])


def test_crowds_by_the_command(tmp_path, capsys):
    arguments = ["--crowds", "1", "--heads", "2", "--csv", str(tmp_path / "a.csv")]
    assert detectors.main([*arguments, "--sheet", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr().out.splitlines()
    (line,) = csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8"))
    assert line["detector"] == "cascade" and line["faces"] == "2"
    assert printed[0].startswith("| detector | faces | found |") and len(printed) == 3
    if int(line["false"]):
        assert Image.open(tmp_path / "a.png").width == 1920


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--crowds", "0"], "--crowds and --heads"),
        (["--crowds", "1", "--limit", "-1"], "--limit -1"),
        (["--crowds", "1", "--detector", "auto"], "give --ckpt"),
        (["--crowds", "1", "--share", "0.8"], "--share: is auto's"),
        (["--crowds", "1", "--detector", "yunet", "--detector-model", "m.onnx"], "m.onnx"),
        (["--crowds", "1", "--heads", "1", "--csv", "no/a.csv"], "no/a.csv: cannot be written"),
    ],
)
def test_refusals(arguments, reason, capsys):
    assert detectors.main(arguments) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.heavy
def test_command(data_300w, capsys):
    arguments = ["--data", "ibug_300w/train", "--data-dir", str(data_300w)]
    assert detectors.main([*arguments, "--limit", "3"]) == 0
    assert "| cascade | 3 |" in capsys.readouterr().out
