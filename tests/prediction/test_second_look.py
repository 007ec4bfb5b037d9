"""The second look: a crop about the points found, upright, and what it is not trusted with."""

from dataclasses import dataclass, replace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.errors import InputError
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.prediction.aligner import Aligner
from jaxalign.prediction.looks import next_squares, roll
from jaxalign.prediction.predictor import Predictor, predict_faces
from jaxalign.schemes import AFLW19, IBUG68, SCHEMES, UNION
from jaxalign.systems.interface import System


CROP = Crop(landmarks=BoxRule(1.25))


def shape(tilt=0.0, centre=(100, 90), side=64):
    """68 points in a box of that side before it is turned clockwise by `tilt` degrees."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (68, 2))
    points[:2] = (-0.5, -0.5), (0.5, 0.5)
    points[36:42], points[42:48] = (-0.25, -0.15), (0.25, -0.15)
    return geometry.transform(geometry.crop_matrix(np.zeros(2), 1 / side, 1, tilt), points) + centre


UPRIGHT, TILTED = shape(), shape(tilt=30)
FACES = {False: UPRIGHT, True: TILTED}
x, y = np.meshgrid(np.arange(200), np.arange(180))
PHOTO = np.stack([x, y, np.full_like(x, 255)], -1).astype(np.uint8)  # a pixel tells its place
TRACED = []


@dataclass(frozen=True)
class Knowing(System):
    """Knows where the points of PHOTO's face are, but points to no place outside its crop.

    Crops tell where they lie by their pixels. The score is the share of the points inside.
    """

    size: int = 64
    tilted: bool = False
    several: tuple[int, ...] = ()

    @property
    def sizes(self):
        return self.several or (self.size,)

    def predict(self, variables, images):
        TRACED.append(images.shape)
        return jax.vmap(self.of_one)(images.astype(jnp.float32))

    def of_one(self, pixels):
        size = len(pixels)
        known = pixels[..., 2].reshape(-1, 1) == 255
        grid = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size)), -1).reshape(-1, 2)
        grid = jnp.concatenate([grid / size - 0.5, jnp.ones((size * size, 1))], 1) * known
        places = pixels[..., :2].reshape(-1, 2) * known
        fitted = jnp.linalg.solve(grid.T @ grid + 1e-6 * jnp.eye(3), grid.T @ places)
        points = jnp.asarray(FACES[self.tilted], jnp.float32) - fitted[2:]
        points = (points @ jnp.linalg.inv(fitted[:2]) + 0.5) * size
        inside = jnp.clip(points, 0, size - 1)
        return inside, (inside == points).all(-1) * 1.0


def moved(points, shift=(0, 0), scale=1.0):
    """(4,) float32: the box of the points, moved by shares of its side and scaled."""
    centre, side = geometry.square(geometry.landmark_box(points), 1.0)
    centre, half = centre + side * np.asarray(shift), side * scale / 2
    return np.concatenate([centre - half, centre + half]).astype(np.float32)


def error(points, truth=UPRIGHT):
    return np.linalg.norm(points - truth, axis=-1).max()


BOXES = [moved(UPRIGHT, (0.25, -0.2)), moved(UPRIGHT, scale=0.7), moved(UPRIGHT, (-0.1, 0.3), 1.1)]


class TestAligner:
    def test_a_far_off_box_is_mended(self):
        first = Aligner(Knowing(), {}, CROP, refine=0)(PHOTO, BOXES)
        second = Aligner(Knowing(), {}, CROP, refine=1)(PHOTO, BOXES)
        assert min(error(face.points) for face in first) > 5
        assert max(error(face.points) for face in second) < 0.5
        scores = [[face.score for face in faces] for faces in (first, second)]
        assert max(scores[0]) < 0.9 and min(scores[1]) > 0.95
        for face, box in zip(second, BOXES, strict=True):
            np.testing.assert_array_equal(face.box, box)

    def test_a_face_beyond_one_step_takes_two(self):
        box = [moved(UPRIGHT, (0.4, 0.1), 0.8)]
        errors = [
            error(Aligner(Knowing(), {}, CROP, refine=looks)(PHOTO, box)[0].points)
            for looks in range(3)
        ]
        assert errors[0] > 2 * errors[1] > 10 and errors[2] < 0.5

    def test_a_tilted_face(self):
        system = Knowing(tilted=True)
        (face,) = Aligner(system, {}, CROP, refine=1)(PHOTO, [moved(TILTED, (0.2, 0.1))])
        assert error(face.points, TILTED) < 0.5 and face.score == 1

    def test_what_would_run_away_keeps_its_points(self):
        """A box beside the face: all points are found in the crop's corner."""
        box = [[10, 120, 40, 150]]
        first, second = (
            Aligner(Knowing(), {}, CROP, refine=looks)(PHOTO, box)[0] for looks in (0, 1)
        )
        np.testing.assert_array_equal(first.points, second.points)

    def test_many_equal_one_by_one(self):
        together = Aligner(Knowing(), {}, CROP, batch=2, refine=1)
        boxes = [*BOXES, [10, 120, 40, 150]]
        many = together([PHOTO, PHOTO], [boxes, boxes[::-1]])
        alone = Aligner(Knowing(), {}, CROP, batch=2, refine=1)
        for found, given in zip(many, (boxes, boxes[::-1]), strict=True):
            for face, box in zip(found, given, strict=True):
                (one,) = alone(PHOTO, [box])
                np.testing.assert_array_equal(face.points, one.points)
                np.testing.assert_array_equal(face.scores, one.scores)
        assert together(PHOTO, []) == []

    def test_no_compilation_more(self):
        TRACED.clear()
        aligner = Aligner(Knowing(), {}, CROP, refine=1)
        aligner(PHOTO, BOXES)
        assert aligner.compilations == len(TRACED) == 1

    def test_each_look_at_the_size_that_fits(self):
        """A box too small for the large crop; the second look at the face's true size."""
        TRACED.clear()
        aligner = Aligner(Knowing(several=(64, 96)), {}, CROP, refine=1)
        (face,) = aligner(PHOTO, [moved(UPRIGHT, scale=0.7)])
        assert [size for _, size, _, _ in TRACED] == [64, 96]
        assert error(face.points) < 0.5

    def test_refusal(self):
        with pytest.raises(InputError, match="refine=-1: must be 0 or more"):
            Aligner(Knowing(), {}, CROP, refine=-1)


def sample(box, points=UPRIGHT):
    photo = cv2.imencode(".png", PHOTO[..., ::-1])[1].tobytes()
    return {
        "id": "a", "photo": photo, "points": points, "labelled": np.ones(68, bool),
        "visible": np.ones(68, bool), "attributes": np.zeros(6), "boxes": box,
    }  # fmt: skip


@pytest.mark.parametrize("several", [(), (64, 96)])
def test_evaluation_looks_as_the_aligner_does(several):
    """Whatever kind of box the first look was taken at."""
    system = Knowing(several=several)
    boxes = [*BOXES, np.float32([10, 120, 40, 150])]
    faces = Aligner(system, {}, CROP, refine=1)(PHOTO, boxes)
    source = [sample({"detector": box}) for box in boxes]
    crop = replace(CROP, box="detector", detector=CROP.landmarks)
    points, scores = predict_faces(Predictor(system), {}, source, crop, batch=4, refine=1)
    for place, face in enumerate(faces):
        np.testing.assert_allclose(points[place], face.points, atol=1e-2)
        np.testing.assert_array_equal(scores[place], face.scores)
    once, _ = predict_faces(Predictor(system), {}, source, crop, batch=4)
    assert error(once[0]) > 5


class TestSquares:
    def square(self, points, crop=CROP):
        """The next square where the first one was about UPRIGHT."""
        first = [crop.around(UPRIGHT)[:2]]
        return next_squares(points[None], first, crop, IBUG68).get(0)

    def test_runaways_are_left_out(self):
        centre = UPRIGHT.mean(0)
        assert self.square(UPRIGHT) is not None
        assert self.square(UPRIGHT + (79, 0)) is not None  # 80 is the side
        assert self.square(UPRIGHT + (81, 0)) is None
        assert self.square(UPRIGHT - (0, 81)) is None
        assert self.square((UPRIGHT - centre) / 2.9 + centre) is not None
        assert self.square((UPRIGHT - centre) / 3.1 + centre) is None
        assert self.square((UPRIGHT - centre) * 2.9 + centre) is not None
        assert self.square((UPRIGHT - centre) * 3.1 + centre) is None
        assert self.square(np.tile(centre, (68, 1))) is None
        assert self.square(UPRIGHT * np.nan) is None

    def test_the_square_of_a_tilted_face_is_the_upright_one_turned(self):
        """A crop of it looks as that of the upright face: the same points in crop pixels."""
        for crop in (CROP, Crop(landmarks=BoxRule(1.1, 0.2)), replace(CROP, centroid=True)):
            seen = []
            for points in (UPRIGHT, TILTED):
                centre, side, degrees = self.square(points, crop)
                matrix = geometry.crop_matrix(centre, side, 64, degrees)
                seen.append(geometry.transform(matrix, points))
            assert degrees == pytest.approx(-30, abs=0.01)
            np.testing.assert_allclose(*seen, atol=0.02)

    @pytest.mark.parametrize("centroid", [False, True])
    def test_it_is_the_rule_for_landmark_boxes(self, centroid):
        """The same square as of annotated points, whatever box was cropped before."""
        rules = {"landmarks": BoxRule(1.3, 0.1), "detector": BoxRule(9.0)}
        crop = Crop(box="detector", centroid=centroid, **rules)
        box = geometry.landmark_box(UPRIGHT)
        annotated = replace(crop, box="landmarks").square(sample({"landmarks": box}))
        centre, side, degrees = self.square(UPRIGHT, crop)
        np.testing.assert_allclose(centre, annotated[0], atol=1e-9)
        assert side == pytest.approx(annotated[1]) and degrees == 0

    def test_points_that_do_not_span_the_landmark_box_do_not_count(self):
        points = np.random.default_rng(0).uniform(size=(1, UNION.num_points, 2))
        first = [CROP.around(points[0, list(UNION.framed)])[:2]]
        alone = next_squares(points, first, CROP, UNION)[0]
        eyes = {i for name, curve in UNION.curves.items() if "eye_" in name for i in curve}
        points[:, list(set(range(UNION.num_points)) - eyes - set(UNION.framed))] = 9
        for one, other in zip(alone, next_squares(points, first, CROP, UNION)[0], strict=True):
            np.testing.assert_array_equal(one, other)


class TestRoll:
    @pytest.mark.parametrize("degrees", [-40, 0, 12.5, 60])
    def test_of_a_tilted_face(self, degrees):
        assert roll(shape(tilt=degrees), IBUG68) == pytest.approx(degrees, abs=1e-6)

    def test_of_a_face_seen_from_the_side(self):
        side = shape()
        side[42:48] = side[36:42] + (64 * 0.28, 5)
        assert roll(side, IBUG68) == 0

    @pytest.mark.parametrize("name", SCHEMES)
    def test_every_scheme_has_eyes(self, name):
        scheme, points = SCHEMES[name], np.zeros((SCHEMES[name].num_points, 2))
        points[0] = 40, 40
        for eye, place in (("leye", (10, 10)), ("reye", (30, 20))):
            points[[*scheme.curves[f"{eye}_up"], *scheme.curves[f"{eye}_lo"]]] = place
        assert roll(points, scheme) == pytest.approx(np.rad2deg(np.arctan2(10, 20)))

    def test_without_eyes(self):
        blind = replace(AFLW19, curves=AFLW19.curves | {"reye_up": (), "reye_lo": ()})
        assert roll(np.random.default_rng(0).uniform(size=(19, 2)), blind) == 0
