import pytest

from jaxalign.datasets import BENCHMARKS
from jaxalign.metrics import supports
from jaxalign.protocols import DEFAULT, PROTOCOLS, protocol_for
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import AFLW19, COFW29, IBUG68, LAPA106, SCHEMES, WFLW98


def test_300w_is_scored_as_in_the_papers():
    protocol = protocol_for("ibug_300w", IBUG68)
    assert protocol.normalisers == ("inter_ocular", "inter_pupil", "box", "diagonal")
    assert protocol.limits == (0.08, 0.10)
    assert list(protocol.subsets) == [
        "helen_test", "lfpw_test", "common", "challenging", "full", "indoor", "outdoor", "private",
    ]  # fmt: skip
    size = protocol.subsets
    assert size["helen_test"] + size["lfpw_test"] == size["common"] == 554
    assert size["common"] + size["challenging"] == size["full"] == 689
    assert size["indoor"] + size["outdoor"] == size["private"] == 600
    assert protocol.point_sets == {"eye_anchors": tuple(range(36, 48))}
    assert set(IBUG68.regions["eyes"]) == set(protocol.point_sets["eye_anchors"])


@pytest.mark.parametrize(
    ("benchmark", "scheme", "headline", "limits"),
    [
        ("wflw", WFLW98, "inter_ocular", (0.10,)),
        ("cofw", COFW29, "inter_pupil", (0.08, 0.10)),
        ("cofw68", IBUG68, "box", (0.07,)),
        ("aflw", AFLW19, "norm_box", (0.07,)),
        ("aflw2000_3d", IBUG68, "box", (0.07,)),
        ("w300_lp", IBUG68, "box", (0.07,)),
        ("jd_landmark", LAPA106, "box", (0.08,)),
        ("lapa", LAPA106, "inter_ocular", (0.08,)),
        ("merl_rav", IBUG68, "box", (0.07, 0.08)),
    ],
)
def test_headline_and_limits_of_each_benchmark(benchmark, scheme, headline, limits):
    protocol = protocol_for(benchmark, scheme)
    assert (protocol.normaliser, protocol.limits) == (headline, limits)


def test_cofw68_and_aflw_have_the_paper_s_normaliser():
    """Think about boundary: the size of the given box, also where others take the points'."""
    assert protocol_for("cofw68", IBUG68).normalisers[:2] == ("box", "norm_box")
    assert protocol_for("aflw", AFLW19).normalisers == ("norm_box", "box", "diagonal")
    assert protocol_for("aflw", AFLW19).subsets == {"full": 4386, "frontal": 1314}


def test_wflw_subsets_have_their_sizes():
    assert protocol_for("wflw", WFLW98).subsets == {
        "pose": 326, "expression": 314, "illumination": 698, "make-up": 206, "occlusion": 736,
        "blur": 773,
    }  # fmt: skip


@pytest.mark.parametrize("name", PROTOCOLS)
def test_sizes_agree_with_the_benchmark(name):
    counts = BENCHMARKS[name].counts
    for subset, faces in PROTOCOLS[name].subsets.items():
        assert faces in (0, counts.get(subset, faces))
    for parts in PROTOCOLS[name].means.values():
        assert set(parts) <= set(PROTOCOLS[name].subsets)


def test_synthetic_faces_have_the_attributes_for_subsets():
    assert tuple(PROTOCOLS["synthetic_faces"].subsets) == ATTRIBUTES


def test_any_other_benchmark_has_the_default():
    assert protocol_for("faces_of_mine", IBUG68) == DEFAULT


def test_scheme_without_eye_corners_is_scored_by_the_box():
    protocol = protocol_for("synthetic_faces", AFLW19)
    assert protocol.normalisers == ("box", "diagonal")
    assert tuple(protocol.subsets) == ATTRIBUTES


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_protocol_has_a_headline_for_every_scheme(scheme):
    for benchmark in (*PROTOCOLS, "faces_of_mine"):
        protocol = protocol_for(benchmark, scheme)
        assert protocol.normaliser == "norm_box" or supports(scheme, protocol.normaliser)
