"""Conversions between schemes, against the synthetic faces, which have the points of all."""

import numpy as np
import pytest

from jaxalign.conversion import CONVERTERS, checked_target, convert, given
from jaxalign.curves import INDICES
from jaxalign.datasets.synthetic_faces import face
from jaxalign.datasets.synthetic_faces.camera import Camera
from jaxalign.datasets.synthetic_faces.head import Head
from jaxalign.errors import InputError
from jaxalign.schemes import SCHEMES


PAIRS = list(CONVERTERS)
# The drawn faces place 300W's points as its annotators do, who mark other places than WFLW's.
OF_ONE_CONVENTION = [p for p in PAIRS if p[0] == "union" or p[0] == p[1] or "ibug68" not in p]
every_pair = pytest.mark.parametrize(("source", "target"), PAIRS, ids=" to ".join)
TO_68 = ("wflw98", "lapa106", "sensetime106")
# Points that the source cannot tell: the wings of the nose, and two brow lines from one.
IMPOSSIBLE = {
    ("wflw98", "cofw29"): {"lwing", "rwing"},
    ("wflw98", "aflw19"): {"lwing", "rwing"},
    ("ibug68", "aflw19"): {"lwing", "rwing"},
    ("ibug68", "cofw29"): {"lwing", "rwing"}
    | {f"{side}brow_{line}_1" for side in "lr" for line in ("up", "lo")},
    ("ibug68", "wflw98"): {f"lbrow_up_{i}" for i in range(1, 5)}
    | {f"lbrow_lo_{i}" for i in range(4)}
    | {f"rbrow_up_{i}" for i in range(4)}
    | {f"rbrow_lo_{i}" for i in range(1, 5)},
}


@pytest.fixture(scope="module")
def neutral():
    """{scheme: (K, 2)} of the average head seen from the front, in units of its box's diagonal."""
    points = {
        name: Camera().project(Camera().turn(Head().points(i))) for name, i in INDICES.items()
    }
    size = np.linalg.norm(np.ptp(points["wflw98"], axis=0))
    return {name: found / size for name, found in points.items()}


@every_pair
def test_terms_are_weighted_means_of_points_that_exist(source, target):
    terms = CONVERTERS[source, target].terms
    assert len(terms) == SCHEMES[target].num_points
    for term in terms:
        chosen = [point for point, _ in term]
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(range(SCHEMES[source].num_points))
        assert sum(weight for _, weight in term) == pytest.approx(1 if term else 0)


@every_pair
def test_what_is_impossible_is_stated(source, target):
    kinds = CONVERTERS[source, target].kinds
    names = SCHEMES[target].names
    missing = {name for name, kind in zip(names, kinds, strict=True) if kind == "impossible"}
    assert missing == IMPOSSIBLE.get((source, target), set())


@every_pair
def test_converting_commutes_with_mirroring(source, target):
    """A mirrored face converts to the mirrored conversion: no left and right are swapped."""
    points = np.random.default_rng(0).normal(size=(SCHEMES[source].num_points, 2))
    flip = [list(SCHEMES[name].flip) for name in (source, target)]
    there, _ = convert((points * (-1, 1))[flip[0]], source, target)
    back, _ = convert(points, source, target)
    np.testing.assert_allclose(there, (back * (-1, 1))[flip[1]], atol=1e-12)


@pytest.mark.parametrize(("source", "target"), OF_ONE_CONVENTION, ids=" to ".join)
def test_exact_points_of_turned_faces_are_the_same_floats(source, target):
    for index in range(8):
        points = face("train", index, 128, seed=0).points
        found, kinds = convert(points[source], source, target)
        exact = np.array(kinds) == "exact"
        assert found.dtype == np.float32 and exact.sum() >= 10
        np.testing.assert_array_equal(found[exact], points[target][exact])
        assert (np.isnan(found).any(axis=1) == (np.array(kinds) == "impossible")).all()


@every_pair
def test_interpolated_points_of_a_frontal_face(neutral, source, target):
    found, kinds = convert(neutral[source], source, target)
    error = np.linalg.norm(found - neutral[target], axis=1)
    assert np.nanmax(error) < (0.01 if (source, target) in OF_ONE_CONVENTION else 0.06)
    assert (np.isfinite(error) == (np.array(kinds) != "impossible")).all()


@pytest.mark.parametrize("source", TO_68)
def test_68_points_of_turned_faces(source):
    """Two conventions: the mean over the points stays within 3 % of the landmark box."""
    for index in range(40):
        points = face("train", index, 128, seed=0).points
        truth = points["ibug68"]
        found, kinds = convert(points[source], source, "ibug68")
        assert (kinds.count("exact"), kinds.count("interpolated")) == (52, 16)
        error = np.linalg.norm(found - truth, axis=1) / np.sqrt(np.prod(np.ptp(truth, axis=0)))
        assert error.mean() < 0.03


def test_98_to_68_by_hand():
    points = np.stack([np.arange(98.0), np.arange(98.0) ** 2], axis=1)
    found, kinds = convert(points, "wflw98", "ibug68")
    np.testing.assert_array_equal(found[[0, 1, 16, 17, 30, 36, 48, 67], 0],
                                  [0, 2, 32, 33, 54, 60, 76, 95])  # fmt: skip
    np.testing.assert_allclose(found[18], [(34 + 41) / 2, (34**2 + 41**2) / 2])
    np.testing.assert_allclose(found[37, 0], 61 + 1 / 3)
    np.testing.assert_allclose(found[41, 0], 66 + 2 / 3)
    assert kinds[17] == "exact" and kinds[18] == kinds[37] == "interpolated"


def test_two_orders_of_106_points_undo_each_other():
    points = np.random.default_rng(0).normal(size=(2, 3, 106, 2))
    there, _ = convert(points, "lapa106", "sensetime106")
    back, kinds = convert(there, "sensetime106", "lapa106")
    np.testing.assert_array_equal(back, points)
    assert set(kinds) == {"exact"} and not np.array_equal(there, points)


def test_a_missing_source_point_spoils_only_what_needs_it():
    points = np.ones((98, 2), np.float32)
    points[34] = np.nan
    found, _ = convert(points, "wflw98", "ibug68")
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [18]


def test_whole_numbers_are_not_truncated():
    found, _ = convert(np.arange(196).reshape(98, 2), "wflw98", "ibug68")
    assert found[18].tolist() == [75.0, 76.0]
    assert found[37, 0] == pytest.approx(122 + 2 / 3)


@pytest.mark.parametrize(
    ("shape", "source", "target", "message"),
    [
        ((68, 2), "aflw19", "ibug68", "no conversion from aflw19 to ibug68; there are: wflw98 to"),
        ((68, 2), "wflw98", "ibug68", r"points of shape \(68, 2\); wflw98 has \(..., 98, 2\)"),
    ],
)
def test_what_is_refused(shape, source, target, message):
    with pytest.raises(InputError, match=message):
        convert(np.zeros(shape), source, target)


def test_what_the_points_of_a_scheme_give():
    assert given("union") == ("union", *(name for name in SCHEMES if name != "union"))
    assert given("wflw98") == ("wflw98", "ibug68")  # COFW and AFLW mark the nose's wings
    assert given("ibug68") == ("ibug68",) and given("mine") == ("mine",)
    assert checked_target("wflw98", "ibug68") == "ibug68"
    message = "scheme 'cofw29': the checkpoint predicts wflw98 points, which give: wflw98, ibug68"
    with pytest.raises(InputError, match=message):
        checked_target("wflw98", "cofw29")


def test_union_gives_every_point_exactly():
    for name in SCHEMES:
        assert set(CONVERTERS["union", name].kinds) == {"exact"}


def test_scores_are_means_as_their_points_are():
    points, scores = np.random.default_rng(0).random((2, 98, 2)), np.linspace(0, 1, 98)
    scores = np.stack([scores, scores**2])
    found, means = CONVERTERS["wflw98", "ibug68"].predicted(points, scores)
    np.testing.assert_array_equal(found, convert(points, "wflw98", "ibug68")[0])
    assert means.shape == (2, 68) and means[1, 30] == scores[1, 54]
    assert means[1, 37] == pytest.approx((2 * scores[1, 61] + scores[1, 62]) / 3)
