"""benchmarks/prediction.py: the parts are those of a prediction."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import prediction as times
from jaxalign import geometry, photos
from jaxalign.pipeline import Crop
from jaxalign.prediction import Aligner
from jaxalign.prediction.detection import Detection
from jaxalign.systems import StackedHourglass
from tests.helpers.small import filled


class Middle:
    """Finds one face, half as wide as the photo, on photos that are not black."""

    name = "middle"

    def __call__(self, image):
        width = image.shape[1]
        box = np.float32([width / 4, width / 4, 3 * width / 4, 3 * width / 4])
        return [Detection(box, 1.0)] if image.any() else []


@pytest.fixture
def aligner():
    system = StackedHourglass(size=64, stacks=1, channels=8)
    variables = filled(system.shapes())
    return Aligner(system, variables, Crop(), detector=Middle())


@pytest.fixture
def album(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    for name, image in (("a.png", pixels), ("b.png", 0 * pixels)):
        Image.fromarray(image).save(tmp_path / name)
    return sorted(tmp_path.glob("*.png"))


@pytest.mark.heavy
def test_every_part_of_every_photo_with_a_face(aligner, album):
    found = times.measure(aligner, album, 2)
    assert set(found) == set(times.PARTS)
    assert all(ms.shape == (1,) and ms[0] > 0 for ms in found.values())
    with pytest.raises(times.InputError, match="no face"):
        times.measure(aligner, album[1:], 1)


@pytest.mark.heavy
def test_a_photo_is_brought_to_the_side_asked_for(aligner, album, tmp_path):
    copy, face = times.brought_to(aligner, album[0], 200, tmp_path)
    image = photos.read(copy)
    assert image.shape == (320, 320, 3)  # the crop is 50 of 80 pixels
    np.testing.assert_allclose(face.box, [81.5, 81.5, 241.5, 241.5])
    assert geometry.square(face.box, aligner.rule.enlarge)[1] == pytest.approx(200)
    assert times.Known(aligner.detector, face)(image) == [face]
    assert set(times._measure_at(aligner, album, 96, 1)) == set(times.PARTS)
    assert times.brought_to(aligner, album[1], 200, tmp_path) is None


def test_each_side_has_a_process_of_its_own(monkeypatch, capsys):
    commands, codes = [], iter([0, 2, 0])

    def started(command):
        commands.append(times.parser().parse_args(command[3:]))
        return SimpleNamespace(returncode=next(codes))

    monkeypatch.setattr(times.subprocess, "run", started)
    code = times.main(
        ["me.jpg", "--config", "demo", "--sides", "64", "96", "128", "--repeats", "3"]
    )
    assert code == 2 and [command.sides for command in commands] == [[64], [96]]
    assert {(c.config, c.repeats, c.photos[0]) for c in commands} == {("demo", 3, "me.jpg")}
    assert "96 px" in capsys.readouterr().out
    assert times.main(["me.jpg", "--config", "demo", "--repeats", "0"]) == 2
