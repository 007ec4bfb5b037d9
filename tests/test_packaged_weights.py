"""The weights in the package are those that were trained, and work on the first day."""

import hashlib

import numpy as np
import pytest

import jaxalign
from jaxalign import checkpoints, photos, weights
from tests.helpers import ROOT


SHA256 = "5265ad68df724617ffa26cf7ae107ed1c2ad41c2cfd650886258f605af56bd5f"
# Read off the portrait by eye: middles of her right and left eye, tip of the nose, corners of the
# mouth, in pixels of the photo.
PLACES = np.array([[203.7, 101.3], [248.3, 103.3], [223.3, 126.7], [203.7, 140], [244.2, 141.2]])


def test_the_file_is_the_one_that_was_measured():
    """docs/model_card.md holds for these bytes alone."""
    data = weights.find("drawn").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256 == weights.WEIGHTS["drawn"].sha256
    assert len(data) == weights.WEIGHTS["drawn"].size < 12.01e6
    assert SHA256 in (ROOT / "docs/model_card.md").read_text(encoding="utf-8")


def test_its_header_says_where_it_comes_from():
    recipe, _, step = checkpoints.load("drawn")
    assert recipe.data.train.startswith("synthetic_faces")
    assert recipe.training.init_from == "drawn"  # the file before, by its SHA-256 in the notes
    for spec in (recipe.data.val, recipe.data.test):
        assert not spec or spec.startswith("synthetic_faces")
    assert {"commit", "command", "date", "start"} <= checkpoints.notes(step).keys()
    assert checkpoints.low_score(step) > 0


@pytest.mark.heavy
def test_points_of_the_astronaut():
    """Within an eighth of the distance of her eyes, which is 45 pixels."""
    (face,) = jaxalign.load()(photos.read(ROOT / "examples" / "astronaut.jpg"))
    assert face.status == "ok" and face.points.shape == (68, 2)
    eyes = [face.points[part].mean(0) for part in (slice(36, 42), slice(42, 48))]
    found = np.array([*eyes, *face.points[[30, 48, 54]]])
    assert np.linalg.norm(found - PLACES, axis=1).max() < 45 / 8


def test_nothing_is_left_to_fill_in():
    for page in ("README.md", "docs/model_card.md"):
        assert "@@" not in (ROOT / page).read_text(encoding="utf-8")
    assert (ROOT / "docs/astronaut_points.png").is_file()
