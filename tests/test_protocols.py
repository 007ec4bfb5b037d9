import pytest

from jaxalign.datasets.faces import ATTRIBUTES
from jaxalign.protocols import DEFAULT, PROTOCOLS, protocol_for
from jaxalign.schemes import AFLW19, IBUG68, SCHEMES


def test_300w_is_scored_as_in_the_papers():
    protocol = protocol_for("ibug_300w", IBUG68)
    assert protocol.normalisers == ("inter_ocular", "inter_pupil", "box")
    assert protocol.thresholds == (0.08, 0.10)
    assert list(protocol.subsets) == ["helen_test", "lfpw_test", "common", "challenging", "full"]
    size = protocol.subsets
    assert size["helen_test"] + size["lfpw_test"] == size["common"] == 554
    assert size["common"] + size["challenging"] == size["full"] == 689


def test_synthetic_faces_have_the_attributes_for_subsets():
    assert tuple(PROTOCOLS["synthetic_faces"].subsets) == ATTRIBUTES


def test_any_other_benchmark_has_the_default():
    assert protocol_for("faces_of_mine", IBUG68) == DEFAULT


def test_scheme_without_eye_corners_is_scored_by_the_box():
    protocol = protocol_for("synthetic_faces", AFLW19)
    assert protocol.normalisers == ("box",)
    assert tuple(protocol.subsets) == ATTRIBUTES


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_protocol_has_a_headline_for_every_scheme(scheme):
    for benchmark in (*PROTOCOLS, "faces_of_mine"):
        assert protocol_for(benchmark, scheme).normaliser in ("inter_ocular", "box")
