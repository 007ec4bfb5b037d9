"""How each benchmark is scored: its normaliser, limits and subsets. One table, PROTOCOLS."""

from dataclasses import dataclass, field, replace

from jaxalign.metrics import NORMALISERS, supports
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import Scheme


THRESHOLDS = (0.05, 0.07, 0.08, 0.10)  # every report has failure rate and AUC at all of these


@dataclass(frozen=True)
class Protocol:
    """The numbers that papers print for a benchmark, in the order in which they are printed here.

    Attributes:
        normaliser: The headline: the normaliser that papers compare by.
        others: Further normalisers, printed after it.
        limits: Thresholds of the failure rates and AUCs that papers print, as fractions.
        subsets: Each subset of the table -> its number of faces in the complete benchmark, 0 where
            none is fixed.
        means: Further rows: name -> subsets. The row is the unweighted mean of their rows.
        point_sets: Name -> points of a scheme, which are scored like a region of the face.
    """

    normaliser: str = "inter_ocular"
    others: tuple[str, ...] = ("inter_pupil", "box", "diagonal")
    limits: tuple[float, ...] = (0.08, 0.10)
    subsets: dict[str, int] = field(default_factory=dict, hash=False)
    means: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    point_sets: dict[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    @property
    def normalisers(self) -> tuple[str, ...]:
        """The headline and the other normalisers, in this order."""
        return (self.normaliser, *self.others)


_BY_EYES = ("inter_ocular", "inter_pupil", "diagonal")
_YAW_BINS = ("yaw_0_30", "yaw_30_60", "yaw_60_90")

PROTOCOLS = {
    # full = common + challenging; the private set (Sagonas et al., 2016) belongs to none of them.
    # Eye anchors: the 12 points of Hsu et al.'s figures, by the same inter-ocular distance.
    "ibug_300w": Protocol(
        subsets={
            "helen_test": 330, "lfpw_test": 224, "common": 554, "challenging": 135, "full": 689,
            "indoor": 300, "outdoor": 300, "private": 600,
        },
        point_sets={"eye_anchors": tuple(range(36, 48))},
    ),
    # Wu et al., 2018.
    "wflw": Protocol(
        limits=(0.10,),
        subsets=dict(zip(ATTRIBUTES, (326, 314, 698, 206, 736, 773), strict=True)),
    ),
    # Papers print both distances, and mix them in tables: 3.5 by eye corners is 5 by pupils.
    "cofw": Protocol("inter_pupil", ("inter_ocular", "box", "diagonal")),
    # LUVLi, SPIGA: sqrt(w * h) of the true points' rectangle; TAB's code: of the given boxes.
    "cofw68": Protocol("box", ("norm_box", *_BY_EYES), limits=(0.07,)),
    # Zhu et al., 2016: the face box. A newer norm, by the box's diagonal, is smaller by sqrt(2).
    # Frontal: as TAB and the lists of HRNet have it (datasets.aflw).
    "aflw": Protocol(
        "norm_box", ("box", "diagonal"), limits=(0.07,), subsets={"full": 4386, "frontal": 1314}
    ),
    # 3DDFA. The bins' sizes depend on the poses (`prepare --set poses=...`). Papers print the
    # unweighted mean of the bins, which is the mean over equally many faces of each bin.
    "aflw2000_3d": Protocol(
        "box", _BY_EYES, limits=(0.07,),
        subsets=dict.fromkeys(_YAW_BINS, 0), means={"mean_of_bins": _YAW_BINS},
    ),
    # Kumar et al., 2020 (LUVLi): NME_box up to 7 %, the rectangle around the labelled points.
    # box_luvli gives their numbers: their code counts a point without a place as found.
    "merl_rav": Protocol(
        "box", ("box_luvli", "inter_ocular", "inter_pupil"), limits=(0.07, 0.08),
        subsets={"frontal": 2195, "half_profile": 601, "profile": 1069},
    ),
    "w300_lp": Protocol(
        "box", _BY_EYES, limits=(0.07,), subsets=dict.fromkeys(("afw", "helen", "ibug", "lfpw"), 0)
    ),
    # Liu et al., 2019 (the 106-point challenge): sqrt(w * h) of the true points' rectangle.
    "jd_landmark": Protocol("box", _BY_EYES, limits=(0.08,)),
    # PIPNet and mmpose: the outer eye corners, points 66 and 79.
    "lapa": Protocol(others=("inter_pupil", "box", "diagonal"), limits=(0.08,)),
    # by the box: the eyes of a profile nearly coincide
    "synthetic_faces": Protocol("box", _BY_EYES, subsets=dict.fromkeys(ATTRIBUTES, 0)),
}  # fmt: skip
DEFAULT = Protocol()


def protocol_for(benchmark: str, scheme: Scheme) -> Protocol:
    """The protocol of a benchmark, without the normalisers that the scheme does not support.

    If the headline is left out, the next normaliser takes its place: a scheme without eye corners
    is scored by the box. A user's own scheme may name another headline.

    Args:
        benchmark: Its name, "" or an unknown one for DEFAULT.
        scheme: The scheme of the points.

    Returns:
        The protocol.
    """
    protocol = PROTOCOLS.get(benchmark, DEFAULT)
    names = dict.fromkeys([*filter(None, [scheme.normaliser]), *protocol.normalisers])
    headline, *others = (name for name in names if supports(scheme, name))
    return replace(protocol, normaliser=headline, others=tuple(others))


_known = {*NORMALISERS, "norm_box"}
assert all(set(p.normalisers) <= _known for p in (*PROTOCOLS.values(), DEFAULT))
assert all(set(p.limits) <= set(THRESHOLDS) for p in (*PROTOCOLS.values(), DEFAULT))
