"""The default search: candidates of several cascades, verified by a network's scores."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry, prediction
from jaxalign.datasets import synthetic_faces
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, Crop, decode
from jaxalign.prediction import search
from jaxalign.prediction.detection import Cascade, Detection
from jaxalign.prediction.search import Auto, Look, best_of_each, fits, merged, named, overlap
from jaxalign.systems.interface import System


def box(*values):
    return np.float32(values)


@pytest.fixture(scope="module")
def drawn():
    """A drawn face that the cascades find: its photo, and the box of its landmarks."""
    face = synthetic_faces.face("test", 20, 256, 0)
    return decode(face.photo, face.id), geometry.landmark_box(face.points["ibug68"])


def candidates(image, view, longest=256, least=48):
    class One(Auto):
        looks = (Look(longest, least, (view,)),)

    (found,) = One().stages(image)
    return found


class TestViews:
    @pytest.mark.parametrize("change", [{}, {"mirrored": True}, {"frame": 0.3}, {"degrees": 5.0}])
    @pytest.mark.parametrize("view", [search.ALT2, search.DEFAULT])
    def test_a_face_is_where_it_is(self, drawn, view, change):
        image, truth = drawn
        found = candidates(image, replace(view, **change))
        truth = search.squared(truth)
        assert max(geometry.iou(face.box, truth) for face in found) > 0.7

    def test_a_large_wide_photo(self, drawn):
        image, truth = drawn
        large = cv2.resize(image, None, fx=3, fy=3)
        wide = np.full((900, 1500, 3), 128, np.uint8)
        wide[50 : 50 + 768, 600 : 600 + 768] = large
        found = candidates(wide, search.DEFAULT)
        truth = search.squared((truth + 0.5) * 3 - 0.5 + np.float32([600, 50, 600, 50]))
        assert max(geometry.iou(face.box, truth) for face in found) > 0.7

    def test_a_tilted_photo_turns_back(self, drawn):
        """A view that is turned by 30 degrees finds the face of a photo turned by -30."""
        image, truth = drawn
        turned = geometry.crop_matrix(np.array([127.5, 127.5]), 256, 256, degrees=-30)
        tilted = cv2.warpAffine(image, turned, (256, 256), borderMode=cv2.BORDER_REPLICATE)
        view = replace(search.DEFAULT, degrees=30.0)
        centre, side = geometry.square(truth, 1.0)
        where = geometry.transform(turned, centre[None])[0]
        best = max(candidates(tilted, view), key=lambda face: face.score)
        middle, own = geometry.square(best.box, 1.0)
        assert abs(middle - where).max() < 0.15 * side and 0.8 < own / side < 1.25

    def test_where_a_profile_lies(self):
        """Right of the window in a view is left of it where the photo was mirrored."""
        matrix, size = replace(search.ALT2, mirrored=True).matrix(40, 60)
        assert size == (60, 40)
        np.testing.assert_allclose(geometry.transform(matrix, np.array([[0.0, 5]])), [[59, 5]])

    @pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 30)])
    def test_no_face(self, shape):
        image = np.full((*shape, 3), 90, np.uint8)
        assert [*Auto().stages(image)] == [[]] * len(Auto.looks) and Auto()(image) == []

    def test_several_threads(self, drawn):
        image, _ = drawn
        images = [image, image[:, ::-1].copy()] * 4
        auto = Auto()
        alone = [[face.box.tolist() for face in auto(image)] for image in images]
        assert all(alone)
        with ThreadPoolExecutor(4) as pool:
            found = [[face.box.tolist() for face in faces] for faces in pool.map(auto, images)]
        assert found == alone


class TestBoxes:
    def test_merged(self):
        one, two = box(0, 0, 10, 10), box(1, 0, 11, 10)
        far = box(50, 50, 70, 70)
        found = [Detection(one, 3.0), Detection(far, 2.0), Detection(two, 1.0)]
        large, small = merged(found)
        assert large.box.tolist() == far.tolist() and large.score == 2
        assert small.box.tolist() == [0.25, 0, 10.25, 10] and small.score == 4

    def test_best_of_each(self):
        whole, mouth = box(0, 0, 100, 100), box(30, 55, 70, 95)
        beside = box(90, 0, 190, 100)
        faces = [Detection(mouth, 0.5), Detection(whole, 0.6), Detection(beside, 0.1)]
        assert best_of_each(faces) == faces[1:]
        assert best_of_each([replace(faces[0], score=0.7), *faces[1:]])[-1].box is mouth
        assert overlap(whole, mouth) == 1 and overlap(whole, beside) == pytest.approx(0.1)

    def test_points_fit_their_box(self):
        seen = box(0, 0, 10, 12)
        assert fits(box(0, 0, 11, 11), seen)
        assert not fits(box(0, 0, 40, 40), seen) and not fits(box(9, 9, 20, 20), seen)
        assert not fits(box(0, 0, 11, 11), box(0, 0, 0, 0))

    def test_a_portrait_is_enough(self):
        image = np.zeros((100, 200, 3), np.uint8)
        large, small = box(0, 0, 50, 40), box(100, 0, 140, 40)
        assert Auto().enough([large], image)
        assert not any(Auto().enough(faces, image) for faces in ([], [small], [large, small]))


class Squares(System):
    """Points span the middle half of a crop; all scores are the red of its middle pixel."""

    sizes = (32,)

    def predict(self, variables, images):
        count = self.points.num_points
        corners = jnp.array([[7.5, 7.5], [23.5, 23.5]] * count)[:count]
        points = jnp.broadcast_to(corners, (len(images), count, 2))
        score = images[:, 16, 16, 0].astype(jnp.float32) / 255
        return points, jnp.broadcast_to(score[:, None], (len(images), count))


class Staged:
    """Candidates in two stages, for each photo the same; counts what it was asked."""

    name = "staged"
    first = [(20, 20, 60, 60), (22, 20, 62, 60), (120, 20, 160, 60)]
    second = [(21, 20, 61, 60), (200, 20, 260, 80)]

    def __init__(self, portrait=False):
        self.asked, self.portrait = [], portrait

    def stages(self, image):
        for number, boxes in enumerate((self.first, self.second)):
            self.asked.append(number)
            yield [Detection(box(*corners), 1.0) for corners in boxes]

    def enough(self, boxes, image):
        return self.portrait and len(boxes) == 1

    def __call__(self, image):
        raise AssertionError("its candidates are to be verified")


def photo():
    """Red 200 around (40, 40), half of it from 43 on, 90 around (140, 40), 230 around (230, 50)."""
    image = np.zeros((100, 300, 3), np.uint8)
    for x, y, red in ((40, 40, 200), (140, 40, 90), (230, 50, 230)):
        image[y - 10 : y + 10, x - 10 : x + 10, 0] = red
    image[:, 43:50, 0] //= 2
    return image


def aligner(**options):
    return prediction.Aligner(Squares(), {}, Crop(landmarks=BoxRule(2.0)), **options)


class TestVerified:
    def test_by_score_one_for_each_face(self):
        detector = Staged()
        verified = aligner(detector=detector, least_score=0.5)
        large, small = verified(photo())
        assert detector.asked == [0, 1] and large.origin == small.origin == "staged"
        np.testing.assert_allclose(large.box, [200, 20, 260, 80], atol=2)
        np.testing.assert_allclose(small.box, [20, 20, 60, 60], atol=2)
        best, worse = verified(photo(), [Staged.first[0], Staged.first[1]])
        assert small.score == best.score > worse.score > 0.5 and small.box.dtype == np.float32
        np.testing.assert_array_equal(small.box, geometry.landmark_box(small.points))

    def test_of_several_photos(self):
        together = aligner(detector=Staged(), least_score=0.5)
        faces, none, again = together([photo(), np.zeros((100, 300, 3), np.uint8), photo()])
        assert none == [] and len(faces) == len(again) == 2
        alone = together(photo())
        for one, other in zip(faces, alone, strict=True):
            np.testing.assert_array_equal(one.points, other.points)

    def test_enough_ends_the_search(self):
        detector = Staged(portrait=True)
        (face,) = aligner(detector=detector, least_score=0.5)(photo())
        assert detector.asked == [0] and face.box[0] < 30

    def test_all_where_any_score_will_do(self):
        assert len(aligner(detector=Staged())(photo())) == 3

    def test_given_boxes_are_not_verified(self):
        (face,) = aligner(detector=Staged(), least_score=0.99)(photo(), [[120, 20, 160, 60]])
        assert face.origin == "given" and face.box.tolist() == [120, 20, 160, 60]


class TestChoice:
    def test_by_default(self):
        """Candidates are verified where the network says how sure it is of faces."""
        assert isinstance(aligner(least_score=0.3).detector, Auto)
        assert isinstance(aligner(detector="auto", least_score=0.3).detector, Auto)
        assert isinstance(aligner().detector, Cascade)
        assert isinstance(aligner(detector="auto").detector, Cascade)

    def test_by_name(self):
        assert isinstance(aligner(detector="cascade", least_score=0.3).detector, Cascade)
        with pytest.raises(InputError, match="^detector 'mtcnn': one of auto, cascade, yunet"):
            named("mtcnn")

    def test_a_detector_of_ones_own(self, monkeypatch):
        monkeypatch.setitem(search.DETECTORS, "mine", Staged)
        assert isinstance(aligner(detector="mine").detector, Staged)
