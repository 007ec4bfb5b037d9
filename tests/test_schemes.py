import numpy as np
import pytest

from jaxalign.conversion import convert
from jaxalign.curves import (
    CONTOUR_SAMPLES,
    INDICES,
    NAMES,
    START,
    TOTAL,
    USED,
    mirrored,
    span,
    used,
)
from jaxalign.datasets.synthetic_faces.head import Head
from jaxalign.schemes import CURVE_FLIP, CURVES, IBUG68, PARTS, REGIONS, SCHEMES, UNION


every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
POINTS = {
    "ibug68": 68, "wflw98": 98, "cofw29": 29, "aflw19": 19, "lapa106": 106, "sensetime106": 106,
    "union": len(USED),
}  # fmt: skip
POINTS_ON_THE_MIDLINE = {
    "ibug68": 10, "wflw98": 10, "cofw29": 7, "aflw19": 3, "lapa106": 10, "sensetime106": 10,
    "union": 17,  # 300W's bridge and base of the nose beside WFLW's; the mouth's middle
}  # fmt: skip


def edges(curve):
    """The unordered pairs of neighbours on a curve; of a single point, the point."""
    return {frozenset(pair) for pair in zip(curve, curve[1:], strict=False)} or {frozenset(curve)}


def test_the_schemes_have_their_points():
    assert {name: scheme.num_points for name, scheme in SCHEMES.items()} == POINTS


@every_scheme
def test_flips_are_permutations_that_undo_themselves(scheme):
    flip = np.array(scheme.flip)
    assert sorted(scheme.flip) == list(range(scheme.num_points))
    np.testing.assert_array_equal(flip[flip], np.arange(scheme.num_points))
    fixed = int((flip == np.arange(scheme.num_points)).sum())
    assert fixed == POINTS_ON_THE_MIDLINE[scheme.name]


def test_curve_flip_swaps_left_and_right():
    for name, other in zip(CURVES, CURVE_FLIP, strict=True):
        swapped = {"l": "r", "r": "l"}.get(name[0], name[0]) + name[1:]
        paired = name.startswith(("lbrow", "rbrow", "leye", "reye"))
        assert CURVES[other] == (swapped if paired else name)


@every_scheme
def test_curves_flip_into_curves_edge_by_edge(scheme):
    for name, other in zip(CURVES, CURVE_FLIP, strict=True):
        mirrored = [scheme.flip[i] for i in scheme.curves[name]]
        assert edges(mirrored) == edges(scheme.curves[CURVES[other]]), name


@every_scheme
def test_curves_name_points_once(scheme):
    assert tuple(scheme.curves) == CURVES
    for curve in scheme.curves.values():
        assert len(set(curve)) == len(curve) >= 1
        assert set(curve) <= set(range(scheme.num_points))


@every_scheme
def test_regions_partition_the_points(scheme):
    regions = scheme.regions
    assert tuple(regions) == tuple(REGIONS)
    everything = [i for points in regions.values() for i in points]
    assert sorted(everything) == list(range(scheme.num_points))
    for points in regions.values():
        assert tuple(sorted(scheme.flip[i] for i in points)) == points


def test_regions_of_68_points():
    sizes = {name: len(points) for name, points in IBUG68.regions.items()}
    assert sizes == {"contour": 17, "brows": 10, "eyes": 12, "nose": 9, "mouth": 20}


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("ibug68", (36, 45)),
        ("wflw98", (60, 72)),
        ("cofw29", (8, 9)),
        ("lapa106", (66, 79)),
        ("sensetime106", (52, 61)),
    ],
)
def test_outer_eye_corners_and_pupils_flip_into_each_other(name, corners):
    scheme = SCHEMES[name]
    left, right = scheme.eye_corners
    assert (left, right) == corners
    assert scheme.flip[left] == right
    left, right = scheme.pupils
    assert {scheme.flip[i] for i in left} == set(right)


def test_aflw_has_no_inter_ocular_convention():
    assert SCHEMES["aflw19"].eye_corners == () == SCHEMES["aflw19"].pupils


@every_scheme
def test_names_are_unique_and_flip_with_their_points(scheme):
    names = scheme.names
    assert len(set(names)) == len(names) == scheme.num_points
    for dot, point in scheme.dots.items():
        assert names[point] == dot
        other = {"l": "r", "r": "l"}.get(dot[0], dot[0]) + dot[1:]
        partner = names[scheme.flip[point]]
        assert partner == (other if other in scheme.dots else dot)
    on_curves = {i for curve in scheme.curves.values() for i in curve}
    assert set(range(scheme.num_points)) - on_curves <= set(scheme.dots.values())


def test_names_of_some_points():
    names = IBUG68.names
    assert [names[i] for i in (8, 17, 30, 36, 48, 54, 59, 67)] == [
        "contour_8", "lbrow_up_0", "bridge_3", "leye_up_0", "outlip_up_0", "outlip_up_6",
        "outlip_lo_5", "inlip_lo_3",
    ]  # fmt: skip
    assert [SCHEMES["wflw98"].names[i] for i in (38, 96, 97)] == ["lbrow_lo_0", "lpupil", "rpupil"]


@every_scheme
def test_features_go_around(scheme):
    """Each point once, by neighbours: on the drawn head, where the way round an eye, a brow or the
    lips crosses itself nowhere, it is the shortest of all its turned pieces."""
    head = Head().used[np.searchsorted(USED, INDICES[scheme.name])][:, :2]
    for name in ("left_eye", "right_eye", "left_brow", "right_brow", "outer_lips", "inner_lips"):
        ring = list(scheme.features[name])
        assert len(set(ring)) == len(ring)

        def length(way):
            return np.linalg.norm(head[way] - head[np.roll(way, 1)], axis=1).sum()

        ways = [[*ring[:i], *ring[i:j][::-1], *ring[j:]]
                for i in range(len(ring)) for j in range(i + 2, len(ring) + 1)]  # fmt: skip
        assert all(length(ring) <= length(way) + 1e-9 for way in ways), name


def test_features_of_68_points():
    features = SCHEMES["ibug68"].features
    assert features["left_eye"] == tuple(range(36, 42)) and features["contour"] == tuple(range(17))
    assert features["right_brow"] == tuple(range(22, 27)) == features["rbrow_lo"]
    assert features["mouth"] == tuple(range(48, 68))


def test_points_beside_the_nose_bridge_count_to_the_nose():
    regions = SCHEMES["sensetime106"].regions
    assert {78, 79} <= set(regions["nose"])
    assert {74, 77, 104, 105} <= set(regions["eyes"])
    sizes = {name: len(points) for name, points in regions.items()}
    lapa = {name: len(points) for name, points in SCHEMES["lapa106"].regions.items()}
    assert sizes == lapa == {"contour": 33, "brows": 18, "eyes": 20, "nose": 15, "mouth": 20}


class TestUnion:
    def test_it_holds_every_point_of_every_scheme(self):
        assert (np.diff(USED) > 0).all() and len(USED) == UNION.num_points
        for name, indices in INDICES.items():
            assert len(indices) == SCHEMES[name].num_points
            assert set(indices) <= set(USED)
        for sample in USED:
            assert any(sample in INDICES[name] for name in SCHEMES if name != "union")

    def test_its_points_count_to_the_regions_that_they_count_to_elsewhere(self):
        """And to the same curves; but some schemes draw the nose and the brows more coarsely."""
        for name, scheme in SCHEMES.items():
            found, _ = convert(np.arange(2.0 * UNION.num_points).reshape(-1, 2), "union", name)
            places = (found[:, 0] / 2).astype(int)
            for region, points in scheme.regions.items():
                assert set(places[list(points)]) <= set(UNION.regions[region]), (name, region)
            for curve in CURVES if name == "wflw98" else ():
                line = [i for i in places[list(scheme.curves[curve])] if i in UNION.curves[curve]]
                assert len(line) >= 4
                own = [i for i in UNION.curves[curve] if i in line]
                assert line in (own, own[::-1]), curve
            if scheme.eye_corners and name != "ibug68":
                assert tuple(places[list(scheme.eye_corners)]) == UNION.eye_corners

    def test_curves_begin_and_end_where_lids_and_lips_meet(self):
        at = Head().points(np.arange(TOTAL))
        for name in NAMES:
            if name.endswith("_lo"):
                low, up = (span(n) for n in (name, name.removesuffix("lo") + "up"))
                for end, other in ((low.start, up.start), (low.stop - 1, up.stop - 1)):
                    if end not in USED:
                        np.testing.assert_array_equal(at[end], at[other])
        for name, line in UNION.curves.items():
            assert set(used(name)) <= set(line) and len(line) <= len(used(name)) + 2
            assert (np.linalg.norm(np.diff(at[USED[list(line)]], axis=0), axis=1) > 0).all()
        assert UNION.curves["leye_lo"][0] == UNION.curves["leye_up"][0]
        assert UNION.curves["inlip_lo"][-1] == UNION.curves["inlip_up"][-1]

    def test_mirroring(self):
        np.testing.assert_array_equal(mirrored()[mirrored()], np.arange(len(USED)))
        assert USED[UNION.flip[0]] == CONTOUR_SAMPLES - 1
        tip = int(np.searchsorted(USED, INDICES["cofw29"][20]))
        assert UNION.flip[tip] == tip and UNION.names[tip].startswith("bridge")
        (corner,) = np.flatnonzero(USED == START["leye_up"])
        assert corner == UNION.eye_corners[0] and UNION.flip[corner] == UNION.eye_corners[1]

    def test_names_and_parts(self):
        names = set(UNION.names)
        assert {"lbrow_mid_0", "rbrow_mid_0", "lnose_side_0", "mouth_centre", "leye_up_1"} <= names
        parts = [point for points in UNION.parts.values() for point in points]
        assert tuple(UNION.parts) == tuple(PARTS) and len(set(parts)) == len(parts)
        contour = UNION.regions["contour"]
        assert sorted([*parts, *contour]) == list(range(UNION.num_points))

    def test_the_landmark_box_is_that_of_68_points(self):
        assert len(UNION.framed) == 68
        np.testing.assert_array_equal(USED[list(UNION.framed)], INDICES["ibug68"])
        assert not any(scheme.framed for scheme in SCHEMES.values() if scheme != UNION)
