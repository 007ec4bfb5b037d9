"""The one-euro filter against numbers by hand, and faces followed through a video."""

import numpy as np
import pytest

from jaxalign.prediction.smoothing import OneEuro, Tracks


RATE = 1 / (2 * np.pi)  # a cutoff of 1 / 2 pi Hz with steps of a second: new values weigh a half


def test_low_pass_by_hand():
    smooth = OneEuro(cutoff=RATE)
    assert [float(smooth(t, x)) for t, x in enumerate([8.0, 0.0, 0.0, 8.0])] == [8, 4, 2, 5]


def test_cutoff_grows_with_speed_by_hand():
    # From 0 to 6 in a second: speed 6, smoothed by a half 3; cutoff (1 + 3) / 2 pi, weight 4 / 5.
    # From 4.8 to 0: speed -4.8, smoothed -0.9; cutoff 1.9 / 2 pi, weight 1.9 / 2.9.
    smooth = OneEuro(cutoff=RATE, slope=RATE, speed_cutoff=RATE)
    found = [float(smooth(t, x)) for t, x in enumerate([0.0, 6.0, 0.0])]
    np.testing.assert_allclose(found, [0, 4.8, 4.8 * (1 - 1.9 / 2.9)])


def test_numbers_are_filtered_by_themselves_and_steps_may_differ():
    values = np.random.default_rng(0).normal(size=(9, 3, 2))
    times = np.cumsum([0, 0.1, 0.3, 0.02, 0.1, 0.1, 0.2, 0.1, 0.1])
    together, alone = OneEuro(1.0, 2.0), OneEuro(1.0, 2.0)
    for t, value in zip(times, values, strict=True):
        found = together(t, value)
        assert found.shape == (3, 2)
        assert found[1, 0] == alone(t, value[1, 0])
    np.testing.assert_array_equal(together(times[-1], values[0]), found)  # no time went by


def boxes_at(*corners):
    return np.array([[x, y, x + 10, y + 10] for x, y in corners], np.float32)


class TestTracks:
    def test_ids_stay_with_their_faces(self):
        tracks = Tracks(smooth=False)
        points = np.zeros((2, 5, 2))
        assert tracks(0.0, boxes_at((0, 0), (50, 0)), points)[0] == [0, 1]
        assert tracks(0.1, boxes_at((48, 0), (2, 0)), points)[0] == [1, 0]
        assert tracks(0.2, boxes_at((90, 90)), points[:1])[0] == [2]
        assert tracks(0.6, boxes_at((3, 0)), points[:1])[0] == [0]  # unseen for 0.5 s at most
        assert tracks(1.0, boxes_at((90, 90)), points[:1])[0] == [3]
        assert tracks(1.2, boxes_at((3, 0)), points[:1])[0] == [4]  # for longer: another face
        assert tracks(9.9, boxes_at((4, 0)), points[:1])[0] == [4]  # the next frame of a slow video

    def test_the_greatest_overlap_wins(self):
        tracks = Tracks(smooth=False)
        tracks(0.0, boxes_at((0, 0)), np.zeros((1, 5, 2)))
        assert tracks(0.1, boxes_at((4, 0), (1, 0)), np.zeros((2, 5, 2)))[0] == [1, 0]

    def test_no_face(self):
        ids, points = Tracks()(0.0, np.zeros((0, 4)), np.zeros((0, 5, 2)))
        assert ids == [] and points.shape == (0, 5, 2)

    @pytest.mark.parametrize("size", [1, 40])
    def test_smoothing_does_not_depend_on_resolution(self, size):
        noise = np.random.default_rng(0).normal(0, 0.1, (30, 1, 5, 2))
        tracks, found = Tracks(), []
        for frame, points in enumerate(noise):
            _, smoothed = tracks(frame / 30, size * boxes_at((0, 0)), size * points)
            found.append(smoothed / size)
        assert np.std(found[10:]) < 0.5 * noise[10:].std()
        reference, tracks = [], Tracks()
        for frame, points in enumerate(noise):
            reference.append(tracks(frame / 30, boxes_at((0, 0)), points)[1])
        np.testing.assert_allclose(found, reference, atol=1e-9)

    def test_unsmoothed_points_are_untouched(self):
        tracks, points = Tracks(smooth=False), np.random.default_rng(0).normal(size=(2, 1, 5, 2))
        for frame in (0, 1):
            _, found = tracks(frame / 30, boxes_at((0, 0)), points[frame])
            np.testing.assert_array_equal(found, points[frame])
