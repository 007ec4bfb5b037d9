import numpy as np
import pytest

from jaxalign import geometry


def test_landmark_box_encloses_the_points():
    points = np.array([[[3.0, 9.0], [1.5, 4.0], [2.0, 10.25]], [[0, 0], [1, -1], [-2, 2]]])
    np.testing.assert_array_equal(
        geometry.landmark_box(points), [[1.5, 4, 3, 10.25], [-2, -1, 1, 2]]
    )


def test_square_takes_the_longer_side():
    centre, side = geometry.square(np.array([10, 20, 30, 80]), enlarge=1.5, down=0.1)
    np.testing.assert_allclose(centre, [20, 56])
    assert side == 90


def test_crop_centre_lands_between_the_middle_pixels():
    centre = np.array([40.25, 17.5])
    for degrees, flip in [(0, False), (33, False), (-71, True)]:
        matrix = geometry.crop_matrix(centre, 50.0, 128, degrees, flip)
        np.testing.assert_allclose(geometry.transform(matrix, centre[None]), [[63.5, 63.5]])


def test_unturned_crop_maps_pixel_edges_to_pixel_edges():
    """A square from -1/2 to 99.5 is 100 whole pixels; at size 200 each becomes two."""
    matrix = geometry.crop_matrix(np.array([49.5, 49.5]), 100.0, 200)
    np.testing.assert_allclose(matrix, [[2, 0, 0.5], [0, 2, 0.5]])
    corners = geometry.transform(matrix, np.array([[-0.5, -0.5], [99.5, 99.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [199.5, 199.5]])


def test_positive_angles_turn_clockwise_as_seen():
    matrix = geometry.crop_matrix(np.array([10.0, 10.0]), 4.0, 4, degrees=90)
    right, below = geometry.transform(matrix, np.array([[11.0, 10.0], [10.0, 11.0]]))
    np.testing.assert_allclose(right, [1.5, 2.5], atol=1e-12)  # now below the centre
    np.testing.assert_allclose(below, [0.5, 1.5], atol=1e-12)  # now left of it


def test_flip_mirrors_the_finished_crop():
    points = np.random.default_rng(0).uniform(0, 90, (7, 2))
    args = (np.array([44.0, 51.0]), 60.0, 64, 25.0)
    plain = geometry.transform(geometry.crop_matrix(*args), points)
    flipped = geometry.transform(geometry.crop_matrix(*args, flip=True), points)
    np.testing.assert_allclose(flipped, np.stack([63 - plain[:, 0], plain[:, 1]], 1))


def test_what_is_to_follow_a_matrix():
    first = geometry.crop_matrix(np.array([9.0, 4.0]), 20, 64, degrees=10)
    whole = geometry.crop_matrix(np.array([7.0, 5.0]), 30, 64, degrees=-25, flip=True)
    points = np.random.default_rng(0).uniform(0, 20, (5, 2))
    then = geometry.transform(geometry.after(first, whole), geometry.transform(first, points))
    np.testing.assert_allclose(then, geometry.transform(whole, points), atol=1e-9)


def test_invert_is_the_way_back_for_stacks_of_matrices():
    rng = np.random.default_rng(1)
    matrices = np.stack(
        [
            geometry.crop_matrix(rng.uniform(0, 99, 2), 80.0, 128, angle, flip)
            for angle, flip in [(0, False), (50, True), (-170, False)]
        ]
    )
    points = rng.uniform(-20, 120, (3, 5, 2))
    there = geometry.transform(matrices, points)
    np.testing.assert_allclose(there[1], geometry.transform(matrices[1], points[1]))
    np.testing.assert_allclose(geometry.transform(geometry.invert(matrices), there), points)


@pytest.mark.parametrize(
    ("crop", "stride", "on_map"),
    [(1.5, 4, 0.0), (-0.5, 4, -0.5), (255.5, 4, 63.5), (7.5, 4, 1.5), (3.0, 1, 3.0), (0, 2, -0.25)],
)
def test_map_pixels_are_blocks_of_crop_pixels(crop, stride, on_map):
    """Map pixel 0 at stride 4 covers crop pixels 0 to 3, whose middle is 1.5."""
    assert geometry.to_map(np.float64(crop), stride) == on_map
    assert geometry.from_map(np.float64(on_map), stride) == crop


@pytest.mark.parametrize(
    ("other", "value"),
    [
        ([0, 0, 10, 20], 1),
        ([0, 0, 10, 10], 0.5),
        ([5, 10, 15, 30], 50 / 350),
        ([10, 0, 20, 20], 0),
        ([-20, -30, -10, -10], 0),  # apart in both directions: no overlap of two negatives
    ],
)
def test_iou(other, value):
    assert geometry.iou(np.array([0, 0, 10, 20]), np.array(other)) == pytest.approx(value)
