import numpy as np
import pytest

from jaxalign.evaluation.bootstrap import intervals, resampled_means


def names(faces):
    return [f"face_{i:05}" for i in range(faces)]


def test_resamples_of_two_faces_by_hand():
    means = resampled_means(np.array([[0.0, 1.0], [1.0, 1.0]]), ["a", "b"], 4000)
    values, counts = np.unique(means[:, 0], return_counts=True)
    np.testing.assert_array_equal(values, [0, 0.5, 1])  # both drawn: half of the resamples
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)
    np.testing.assert_array_equal(means[:, 1], 1)
    np.testing.assert_array_equal(intervals(means), [[0, 1], [1, 1]])


def test_interval_is_the_central_part():
    means = np.arange(1001)[:, None] / 1000
    np.testing.assert_allclose(intervals(means), [[0.025, 0.975]])


def test_interval_holds_the_mean_and_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(3, 1, (400, 1))
    ((low, high),) = intervals(resampled_means(values, names(400), 4000))
    assert low < values.mean() < high
    wanted = 2 * 1.96 * values.std() / np.sqrt(400)
    assert high - low == pytest.approx(wanted, rel=0.06)


def test_interval_shrinks_with_the_root_of_the_faces():
    pattern = np.random.default_rng(1).gamma(4, 0.01, (100, 1))
    widths = []
    for repeats in (1, 4, 16):
        values = np.tile(pattern, (repeats, 1))
        ((low, high),) = intervals(resampled_means(values, names(len(values)), 4000))
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.1)


def test_truth_is_inside_about_as_often_as_promised():
    inside, rng = 0, np.random.default_rng(2)
    for trial in range(200):
        values = rng.normal(1, 1, (80, 1))
        ((low, high),) = intervals(
            resampled_means(values, [f"{trial}/{i}" for i in range(80)], 400)
        )
        inside += low <= 1 <= high
    assert 180 <= inside <= 198  # 95 % of 200, less what 80 faces cost; three deviations


def test_order_of_the_faces_does_not_matter_but_who_they_are_does():
    values, ids = np.random.default_rng(3).random((30, 2)), names(30)
    means = resampled_means(values, ids)
    order = np.random.default_rng(4).permutation(30)
    again = resampled_means(values[order], [ids[i] for i in order])
    np.testing.assert_array_equal(again, means)
    assert (resampled_means(values, [f"x{name}" for name in ids]) != means).any()
    assert (resampled_means(values, ids, seed=1) != means).any()


def test_differences_are_drawn_with_the_runs():
    values, ids = np.random.default_rng(5).random((40, 2)), names(40)
    means = resampled_means(values, ids)
    change = resampled_means(values[:, 1:] - values[:, :1], ids)
    np.testing.assert_allclose(change[:, 0], means[:, 1] - means[:, 0], atol=1e-12)


def test_blocks_do_not_leave_faces_or_resamples_out():
    means = resampled_means(np.ones((30, 1)), names(30), 10, at_once=100)
    np.testing.assert_allclose(means, np.ones((10, 1)))
