"""What a Face gives: points by name, a dictionary, a picture, a crop, rows of a table."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxalign import scheme_files
from jaxalign.errors import InputError
from jaxalign.prediction import Face, to_pandas
from jaxalign.schemes import COFW29, FEATURES, IBUG68, SCHEMES, WFLW98


OWN = {"name": "mine", "points": ["nose", "a", "b"], "flips": [["a", "b"]]}


def face(scheme=IBUG68, **changes):
    """Point i lies at (i, 2i)."""
    place = np.arange(scheme.num_points, dtype=np.float32)
    given = {"points": np.stack([place, 2 * place], 1), "scores": 0 * place + 0.5}
    given |= {"box": np.float32([1, 2, 30.256, 40]), "origin": "given", "score": 0.5}
    return Face(**given | {"status": "ok", "scheme": scheme} | changes)


def drawn_face(scheme=IBUG68, index=3):
    """A drawn face, its photo, and the true points as those found."""
    from jaxalign.datasets import synthetic_faces
    from jaxalign.photos import decode

    true = synthetic_faces.face("test", index, 256, 0)
    points = true.points[scheme.name]
    box = np.concatenate([points.min(0), points.max(0)])
    scores = np.ones(len(points), np.float32)
    return face(scheme, points=points, box=box, scores=scores), decode(true.photo)


class TestNames:
    def test_features_curves_and_points(self):
        one = face()
        assert one["left_eye"][:, 0].tolist() == [36, 37, 38, 39, 40, 41]
        assert one["outlip_lo"][:, 0].tolist() == [54, 55, 56, 57, 58, 59, 48]
        assert one["contour_8"].tolist() == [8, 16]
        assert one["left_eye"].dtype == np.float32
        assert face(WFLW98)["lpupil"].tolist() == [96, 192]
        assert face(COFW29)["nose_tip"].tolist() == [20, 40]

    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    def test_every_scheme_has_them(self, scheme):
        one = face(scheme)
        for name in FEATURES:
            assert len(one[name])
        for place, name in enumerate(scheme.names):
            assert one[name].tolist() == [place, 2 * place]

    @pytest.mark.parametrize("name", ["left_ear", "", 3, None])
    def test_an_unknown_name_is_refused_with_those_there_are(self, name):
        with pytest.raises(InputError, match="the scheme ibug68 has contour, .*outlip_up, .*_5"):
            face()[name]

    def test_a_scheme_of_ones_own(self):
        one = face(scheme_files.made(OWN))
        assert one["nose"].tolist() == [0, 0]
        with pytest.raises(InputError, match=r"face\['left_eye'\]: the scheme mine has nose, a, b"):
            one["left_eye"]


class TestDictionary:
    def test_json_types(self):
        held = face().to_dict()
        assert json.loads(json.dumps(held)) == held
        assert list(held) == [
            "scheme", "status", "score", "box", "origin", "pose", "points", "scores",
        ]  # fmt: skip
        assert held["scheme"] == "ibug68" and held["box"] == [1, 2, 30.26, 40]
        assert held["points"][3] == [3, 6] and held["scores"][3] == 0.5
        assert held["pose"] is None  # the points lie on a line

    def test_the_pose(self):
        one, _ = drawn_face()
        assert one.to_dict()["pose"] == {
            "yaw": round(one.pose.yaw, 2),
            "pitch": round(one.pose.pitch, 2),
            "roll": round(one.pose.roll, 2),
        }

    def test_a_scheme_without_eyes_has_no_pose(self):
        one = face(scheme_files.made(OWN))
        assert one.to_dict()["pose"] is None
        with pytest.raises(InputError, match="the scheme mine has no left eye"):
            assert one.pose


class TestPicture:
    def test_of_the_images_size_and_a_copy(self, tmp_path):
        one, image = drawn_face()
        before = image.copy()
        picture = one.draw(image)
        np.testing.assert_array_equal(image, before)
        assert picture.shape == image.shape and picture.dtype == np.uint8
        x, y = one["left_eye"].mean(0).round().astype(int)
        assert (picture[y - 4 : y + 5, x - 8 : x + 9] != image[y - 4 : y + 5, x - 8 : x + 9]).any()
        Image.fromarray(image).save(tmp_path / "me.png")
        for same in (tmp_path / "me.png", Image.fromarray(image)):
            np.testing.assert_array_equal(one.draw(same), picture)

    def test_large_photos_are_not_reduced(self):
        image = np.zeros((20, 2000, 3), np.uint8)
        assert face().draw(image).shape == image.shape

    def test_a_box_far_larger_than_the_photo(self):
        one, image = drawn_face()
        far, near = (replace(one, box=np.float32([9, 9, end, end])) for end in (1e7, 1e3))
        np.testing.assert_array_equal(far.draw(image), near.draw(image))

    def test_low_confidence_has_another_colour(self):
        one, image = drawn_face()
        doubted = replace(one, status="low_confidence")
        assert (one.draw(image) != doubted.draw(image)).any()


def test_an_aligned_crop_from_any_image(tmp_path):
    one, image = drawn_face()
    crop = one.aligned(image, 128)
    assert crop.shape == (128, 128, 3)
    Image.fromarray(image).save(tmp_path / "me.png")
    np.testing.assert_array_equal(one.aligned(tmp_path / "me.png", 128), crop)
    assert (one.aligned(image, 128, "arcface") != crop).any()


class TestTable:
    @pytest.fixture(autouse=True)
    def pandas(self, monkeypatch):
        """What is given to pandas, so that the tests need none."""
        monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))

    def test_a_row_a_face(self):
        one, _ = drawn_face()
        rows = to_pandas([one, face()])
        assert [(row["image"], row["face"]) for row in rows] == [(0, 0), (0, 1)]
        assert rows[1]["contour_3_x"] == 3 and rows[1]["contour_3_y"] == 6
        assert rows[0]["yaw"] == round(one.pose.yaw, 2) and rows[1]["yaw"] is None
        assert rows[1]["x1"] == 30.26 and len({len(row) for row in rows}) == 1

    def test_several_images(self):
        rows = to_pandas([[face()], [], [face(), face()]])
        assert [(row["image"], row["face"]) for row in rows] == [(0, 0), (2, 0), (2, 1)]
        assert to_pandas([]) == to_pandas([[]]) == []

    def test_without_pandas(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(InputError, match="to_pandas needs pandas; pip install pandas"):
            to_pandas([face()])
