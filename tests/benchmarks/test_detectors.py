"""The benchmark of face detectors, of one whose boxes are known."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import detectors
from jaxalign.pipeline import BoxRule
from jaxalign.prediction.detection import Detection


class Known:
    """Sees (60, 60) to (100, 100), and something at (0, 0) to (10, 10)."""

    name, rule = "known", BoxRule(0.8, 0.1)

    def __call__(self, image):
        assert image.shape == (200, 200, 3)
        boxes = np.float32([[60, 60, 100, 100], [0, 0, 10, 10]])
        return [Detection(box, 1.0) for box in boxes]


def sample(*box):
    photo = cv2.imencode(".png", np.zeros((200, 200, 3), np.uint8))[1].tobytes()
    return {"id": "a", "photo": photo, "boxes": {"landmarks": np.array(box, float)}}


def test_boxes_about_the_landmarks():
    """A square of 40 is wanted 8 pixels higher and a tenth larger; the far face is missed."""
    faces = [sample(52, 50, 96, 94), sample(56, 50, 100, 94), sample(150, 150, 190, 190)]
    found = detectors.measure(Known(), faces)
    np.testing.assert_allclose(found.sides, [1.1, 1.1])
    np.testing.assert_allclose(found.shifts, [[-0.15, -0.2], [-0.05, -0.2]])
    assert found.elsewhere == 4 and found.seconds.shape == (3,)
    rule = found.rule(Known.rule)
    # its own boxes are 50 pixels, centred 5 above: (80, 75); the landmarks' at 72 are 3 above
    assert (rule.enlarge, rule.down) == pytest.approx((44 / 50, -3 / 50))
    printed = list(detectors.lines(found, Known.rule))
    assert printed[0] == "found            2 of 3 faces (66.7 %)"
    assert "side             median 1.100, mean 1.100, deviation 0.000" in printed
    assert "centre right     median -0.100, mean -0.100, deviation 0.050" in printed


def test_a_square_is_compared_with_a_square():
    assert len(detectors.measure(Known(), [sample(74, 60, 86, 100)]).sides) == 1


def test_what_a_model_doubts():
    """It doubts what does not begin at 60: of each photo the box elsewhere."""

    def aligner(photo, boxes):
        return [SimpleNamespace(status="ok" if box[0] == 60 else "low_confidence") for box in boxes]

    faces = [sample(60, 60, 100, 100), sample(150, 150, 190, 190)]
    assert detectors.measure(Known(), faces, aligner).doubted == (0, 2)
    faces = [sample(0, 0, 10, 10)]
    assert detectors.measure(Known(), faces, aligner).doubted == (1, 0)


@pytest.mark.heavy
def test_command(data_300w, capsys):
    arguments = ["--data", "ibug_300w/train", "--data-dir", str(data_300w)]
    assert detectors.main([*arguments, "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    assert "cascade on 3 of " in printed and " of 3 faces" in printed and "ms a photo" in printed
    assert detectors.main([*arguments, "--limit", "-1"]) == 2
    assert "--limit -1" in capsys.readouterr().err
