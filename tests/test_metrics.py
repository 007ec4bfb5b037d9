import numpy as np
import pytest

from jaxalign import metrics
from jaxalign.errors import InputError
from jaxalign.schemes import AFLW19, COFW29, IBUG68


def test_point_errors_are_distances():
    truth = np.zeros((1, 2, 2))
    predicted = np.array([[[3.0, 4.0], [0.0, -2.0]]])
    np.testing.assert_array_equal(metrics.point_errors(predicted, truth), [[5.0, 2.0]])


def test_shapes_that_differ_are_refused():
    with pytest.raises(InputError, match=r"\(2, 68, 2\).*\(2, 98, 2\)"):
        metrics.point_errors(np.zeros((2, 68, 2)), np.zeros((2, 98, 2)))
    with pytest.raises(InputError, match="68 points a face, but cofw29 has 29"):
        metrics.nme(np.zeros((2, 68, 2)), np.zeros((2, 68, 2)), COFW29, "box")


def test_normalisers_of_a_face_by_hand():
    face = np.zeros((1, 68, 2))
    face[0, 36:42, 0] = [10, 20, 30, 40, 30, 20]  # left eye: corner at 10, centre at 25
    face[0, 42:48, 0] = [60, 70, 80, 90, 80, 70]  # right eye: corner at 90, centre at 75
    face[0, 36:48, 1] = 5
    face[0, 8] = [50, 40]
    assert metrics.inter_ocular(face, IBUG68) == [80.0]
    assert metrics.inter_pupil(face, IBUG68) == [50.0]
    assert metrics.box(face, IBUG68) == [60.0]  # sqrt(90 * 40)
    assert metrics.diagonal(face, IBUG68) == [np.sqrt(90**2 + 40**2)]
    moved = face + [3.0, 4.0]
    for normaliser, distance in (("inter_ocular", 80), ("inter_pupil", 50), ("box", 60)):
        assert metrics.nme(moved, face, IBUG68, normaliser) == [5 / distance]


def test_a_box_of_its_own_normalises_where_it_is_known():
    face = np.zeros((2, 19, 2))
    boxes = np.array([[10, 20, 30, 65], [0, 0, 50, 50]])  # sqrt(20 * 45) = 30, and 50
    moved = face + [3.0, 4.0]
    errors = metrics.nme(moved, face, AFLW19, "norm_box", norm_box=boxes)
    np.testing.assert_allclose(errors, [5 / 30, 0.1])
    for unknown in ([np.nan] * 4, [30, 20, 10, 10]):
        boxes = np.array([[0, 0, 50, 50], unknown])
        with pytest.raises(InputError, match="no normalising box is known for b;"):
            metrics.nme(moved, face, AFLW19, "norm_box", ids=("a", "b"), norm_box=boxes)
    with pytest.raises(InputError, match="no normalising box is known for 0, 1;"):
        metrics.nme(moved, face, AFLW19, "norm_box")


def test_pck_counts_landmarks_where_ced_counts_faces():
    errors = np.array([[0.01, 0.03], [0.02, 0.5], [0.01, 0.04]])
    levels = np.array([0.0, 0.01, 0.03, 0.25])
    np.testing.assert_allclose(metrics.pck(errors, levels), [0, 2 / 6, 4 / 6, 5 / 6])
    np.testing.assert_allclose(metrics.ced(errors.mean(axis=1), levels), [0, 0, 2 / 3, 2 / 3])


def test_percentiles_by_hand():
    assert metrics.percentiles(np.arange(101) / 100) == pytest.approx(
        {"25": 0.25, "50": 0.5, "75": 0.75, "90": 0.9, "95": 0.95, "99": 0.99}
    )


def test_only_the_true_points_normalise():
    truth = np.zeros((1, 29, 2))
    truth[0, 9] = [100.0, 0.0]
    wide = truth.copy()
    wide[0, 9] = [129.0, 0.0]  # one point of 29 is 29 pixels off
    assert metrics.nme(wide, truth, COFW29, "inter_ocular") == [0.01]


def test_scheme_without_eye_corners_names_the_normaliser_to_use():
    faces = np.random.default_rng(0).random((2, 19, 2))
    with pytest.raises(InputError, match="aflw19 has no points.*use the normaliser box"):
        metrics.nme(faces, faces, AFLW19, "inter_ocular")
    with pytest.raises(InputError, match="inter_pupil"):
        metrics.nme(faces, faces, AFLW19, "inter_pupil")
    assert not metrics.supports(AFLW19, "inter_ocular")
    assert metrics.supports(AFLW19, "box") and metrics.supports(IBUG68, "inter_pupil")


def test_unknown_normaliser_lists_the_known():
    with pytest.raises(InputError, match="'iod'.*inter_ocular"):
        metrics.nme(np.ones((1, 29, 2)), np.ones((1, 29, 2)), COFW29, "iod")


def test_zero_distance_names_the_faces():
    faces = np.random.default_rng(0).random((3, 29, 2))
    faces[1, 9] = faces[1, 8]
    with pytest.raises(InputError, match="zero.* of second are"):
        metrics.nme(faces, faces, COFW29, "inter_ocular", ids=("first", "second", "third"))
    with pytest.raises(InputError, match="0, 1, 2, 3, 4 and 4 more"):
        metrics.nme(np.ones((9, 29, 2)), np.ones((9, 29, 2)), COFW29, "box")


def test_rates_and_areas_by_hand():
    errors = np.array([0.02, 0.04, 0.08, 0.16])
    assert metrics.failure_rate(errors, 0.08) == 0.25  # 0.08 itself is no failure
    assert metrics.auc(errors, 0.08) == pytest.approx((0.75 + 0.5 + 0 + 0) / 4)
    shares = metrics.ced(errors, np.array([0.0, 0.02, 0.03, 0.08, 0.2]))
    np.testing.assert_array_equal(shares, [0, 0.25, 0.25, 0.75, 1])


@pytest.mark.parametrize("scale", [0.02, 0.05, 0.2])
def test_closed_form_is_the_integral_of_the_ced(scale):
    errors = np.random.default_rng(1).gamma(4, scale / 4, 689)
    for threshold in (0.08, 0.1):
        edges = np.linspace(0, threshold, 200_001)
        middles = (edges[1:] + edges[:-1]) / 2
        assert metrics.auc(errors, threshold) == pytest.approx(
            metrics.ced(errors, middles).mean(), abs=1e-6
        )


def test_area_is_bounded_by_the_mean_with_equality_iff_nothing_fails():
    generator = np.random.default_rng(2)
    kinds = set()
    for scale in np.linspace(0.01, 0.1, 30):
        errors = generator.gamma(4, scale / 4, 135)
        gap = metrics.auc(errors, 0.08) - (1 - errors.mean() / 0.08)
        failures = metrics.failure_rate(errors, 0.08)
        excess = np.maximum(0, errors - 0.08).mean() / 0.08
        assert gap == pytest.approx(excess, abs=1e-12)
        assert (gap > 1e-12) == (failures > 0)
        assert failures * 135 == pytest.approx(round(failures * 135), abs=1e-9)
        kinds.add(failures > 0)
    assert kinds == {True, False}
