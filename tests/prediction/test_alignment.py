"""Five points go where the template has them, whatever the turn, the size and the scheme."""

import cv2
import numpy as np
import pytest

from jaxalign import geometry, scheme_files
from jaxalign.errors import InputError
from jaxalign.prediction.alignment import (
    TEMPLATES,
    aligned,
    aligning_matrix,
    check,
    five_points,
    similarity,
)
from jaxalign.schemes import IBUG68, SCHEMES
from tests.prediction.test_face import drawn_face


FIVE = {
    "name": "five",
    "points": ["left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"],
    "flips": [["left_eye", "right_eye"], ["mouth_left", "mouth_right"]],
    "pupils": ["left_eye", "right_eye"],
    "curves": {"outlip_up": ["mouth_left", "mouth_right"]},
}


class TestSimilarity:
    @pytest.mark.parametrize("degrees", [0, 33, 179, -90])
    def test_a_similarity_is_found_exactly(self, degrees):
        source = np.random.default_rng(0).uniform(0, 100, (5, 2))
        matrix = geometry.crop_matrix(np.array([30, 50]), 77, 256, degrees)
        found = similarity(source, geometry.transform(matrix, source))
        np.testing.assert_allclose(found, matrix, atol=1e-9)

    def test_it_is_the_least_squares_and_never_mirrors(self):
        rng = np.random.default_rng(1)
        source, target = rng.uniform(0, 100, (2, 5, 2))
        target[:, 0] = 100 - source[:, 0]  # mirrored, nearly
        target[:, 1] = source[:, 1] + rng.normal(0, 1, 5)
        found = similarity(source, target)
        assert np.linalg.det(found[:, :2]) > 0

        def missed(matrix):
            return ((geometry.transform(matrix, source) - target) ** 2).sum()

        least = missed(found)
        a, b, x, y = found[0, 0], found[1, 0], *found[:, 2]
        for change in 0.01 * np.eye(4):
            for sign in (-1, 1):
                p, q, u, v = np.array([a, b, x, y]) + sign * change
                assert missed(np.array([[p, -q, u], [q, p, v]])) > least

    def test_points_in_one_place_are_refused(self):
        with pytest.raises(InputError, match="lie in one place; it cannot be aligned"):
            similarity(np.ones((5, 2)), TEMPLATES["arcface"][1])


class TestFivePoints:
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    def test_every_scheme_has_them_in_the_same_places(self, scheme):
        """As far as the schemes mark eyes, tip and corners at the same places."""
        own, _ = drawn_face(scheme)
        other, _ = drawn_face(IBUG68)
        found = five_points(own.points, scheme)
        expected = five_points(other.points, IBUG68)
        eyes = np.linalg.norm(expected[1] - expected[0])
        assert found.shape == (5, 2)
        assert np.linalg.norm(found - expected, axis=1).max() < 0.12 * eyes
        assert found[0, 0] < found[1, 0] and found[3, 0] < found[4, 0]

    def test_a_scheme_of_ones_own(self):
        points = np.random.default_rng(0).uniform(0, 9, (5, 2))
        np.testing.assert_array_equal(five_points(points, scheme_files.made(FIVE)), points)

    @pytest.mark.parametrize(
        ("without", "lacking"),
        [("pupils", "left eye"), ("curves", "left corner of the mouth"), ("", "tip of the nose")],
    )
    def test_a_scheme_without_them_is_refused(self, without, lacking):
        held = {key: value for key, value in FIVE.items() if key != without}
        held["points"] = [p if without else p.replace("nose_tip", "n") for p in FIVE["points"]]
        with pytest.raises(InputError, match=f"the scheme five has no {lacking}; aligned crops"):
            check(scheme_files.made(held))


class TestCrops:
    @pytest.mark.parametrize("name", TEMPLATES)
    def test_the_templates_points_at_its_own_size(self, name):
        side, places = TEMPLATES[name]
        scheme = scheme_files.made(FIVE)
        turned = geometry.crop_matrix(np.array([300, 200]), 90, 400, 25)
        points = geometry.transform(geometry.invert(turned), places)
        matrix = aligning_matrix(points, scheme, side, name)
        np.testing.assert_allclose(geometry.transform(matrix, points), places, atol=1e-9)

    def test_other_sizes_are_the_same_picture(self):
        face, image = drawn_face()
        large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        points = (face.points + 0.5) * 4 - 0.5
        for name in TEMPLATES:
            small = aligned(large, points, IBUG68, 112, name).astype(float)
            double = aligned(large, points, IBUG68, 224, name)
            reduced = cv2.resize(double, (112, 112), interpolation=cv2.INTER_AREA)
            assert abs(small - reduced).mean() < 3

    def test_a_marked_nose_lands_on_the_template(self):
        face, image = drawn_face()
        image = np.zeros_like(image)
        x, y = five_points(face.points, IBUG68)[2].round().astype(int)
        image[y, x] = 255
        matrix = aligning_matrix(face.points, IBUG68, 200, "arcface")
        crop = aligned(image, face.points, IBUG68, 200, "arcface")[..., 0].astype(float)
        rows, columns = np.mgrid[:200, :200]
        seen = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
        expected = geometry.transform(matrix, np.array([[x, y]]))[0]
        np.testing.assert_allclose(seen, expected, atol=0.1)

    @pytest.mark.parametrize(
        ("side", "template", "reason"),
        [
            (8, "ffhq", "aligned crops of 8 px: give 16 to 4096"),
            (5000, "ffhq", "give 16 to 4096"),
            (112, "vgg", "template 'vgg': one of arcface, ffhq"),
        ],
    )
    def test_refusals(self, side, template, reason):
        face, image = drawn_face()
        with pytest.raises(InputError, match=reason):
            face.aligned(image, side, template)
