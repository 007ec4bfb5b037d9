"""Intervals of failure rates against printed values and against what they promise."""

import math

import numpy as np
import pytest

from jaxalign.evaluation import wilson


@pytest.mark.parametrize(
    ("failed", "faces", "ends"),
    [
        (0, 10, (0, 0.2775)),
        (10, 10, (0.7225, 1)),
        (1, 10, (0.0179, 0.4042)),
        (0, 121, (0, 0.0308)),
        # Newcombe, Statistics in Medicine 17, 857-872 (1998), Table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_known_intervals(failed, faces, ends):
    found = wilson.interval(failed, faces)
    assert found == pytest.approx(ends, abs=5e-5)
    assert (found[0] == 0) == (failed == 0) and (found[1] == 1) == (failed == faces)


def test_of_no_face_there_is_none():
    assert all(map(math.isnan, wilson.interval(0, 0)))


def test_ends_solve_the_score_equation():
    for end in wilson.interval(7, 90):
        assert abs(7 / 90 - end) == pytest.approx(wilson.Z * math.sqrt(end * (1 - end) / 90))


def pairs(both, first, second, neither):
    """The four numbers of a fourfold table -> who fails in the first run and in the second."""
    one = [1] * both + [1] * first + [0] * (second + neither)
    two = [1] * both + [0] * first + [1] * second + [0] * neither
    return np.array(one), np.array(two)


def test_known_difference():
    """The example of Newcombe (1998), method 10."""
    found = wilson.of_difference(*pairs(36, 12, 2, 0))
    assert found == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_differences_of_runs_that_fail_on_the_same_faces_are_surer():
    apart, alike = (wilson.of_difference(*pairs(*t)) for t in ((0, 20, 20, 60), (20, 0, 0, 80)))
    assert alike[1] < 0.5 * apart[1]
    for low, high in (apart, alike, wilson.of_difference(*pairs(0, 0, 0, 121))):
        assert low == pytest.approx(-high) and high > 0
    one, two = pairs(3, 9, 2, 50)
    low, high = wilson.of_difference(one, two)
    assert wilson.of_difference(two, one) == pytest.approx((-high, -low))


def test_of_mean():
    ends = [wilson.interval(0, 50), wilson.interval(5, 50)]
    assert wilson.of_mean([0.1], ends[1:]) == pytest.approx(ends[1])
    low, high = wilson.of_mean([0, 0.1], ends)
    assert low == pytest.approx(0.05 - (0.1 - ends[1][0]) / 2)
    assert high == pytest.approx(0.05 + math.hypot(ends[0][1], ends[1][1] - 0.1) / 2)


def test_truth_is_inside_about_as_often_as_promised():
    """Where a bootstrap gives [0, 0] for a third of the samples."""
    rates = np.random.default_rng(0).binomial(100, 0.01, 2000)
    found = [wilson.interval(failed, 100) for failed in rates]
    assert 0.9 < np.mean([low <= 0.01 <= high for low, high in found]) <= 0.99
