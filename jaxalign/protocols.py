"""How each benchmark is scored: its normaliser, thresholds and subsets."""

from dataclasses import dataclass, field, replace

from jaxalign.datasets.faces import ATTRIBUTES
from jaxalign.metrics import NORMALISERS, supports
from jaxalign.schemes import Scheme


@dataclass(frozen=True)
class Protocol:
    """What to compute for a benchmark, in the order in which it is printed.

    `normaliser` is the headline, the one the papers compare by; `others` are printed after it.
    `thresholds` are the fractions at which failure rate and AUC are taken. `subsets` maps each
    subset to its number of faces in the complete benchmark, 0 where none is fixed.
    """

    normaliser: str = "inter_ocular"
    others: tuple[str, ...] = ("inter_pupil", "box")
    thresholds: tuple[float, ...] = (0.08, 0.10)
    subsets: dict[str, int] = field(default_factory=dict, hash=False)

    @property
    def normalisers(self) -> tuple[str, ...]:
        return (self.normaliser, *self.others)


PROTOCOLS = {
    "ibug_300w": Protocol(
        subsets={
            "helen_test": 330, "lfpw_test": 224, "common": 554, "challenging": 135, "full": 689,
        },
    ),
    "synthetic_faces": Protocol(subsets=dict.fromkeys(ATTRIBUTES, 0)),
}  # fmt: skip
DEFAULT = Protocol()


def protocol_for(benchmark: str, scheme: Scheme) -> Protocol:
    """The benchmark's protocol (DEFAULT if it has none), less the normalisers `scheme` lacks.

    Where the headline goes, the next normaliser takes its place: a scheme without eye corners is
    scored by the box.
    """
    protocol = PROTOCOLS.get(benchmark, DEFAULT)
    headline, *others = (name for name in protocol.normalisers if supports(scheme, name))
    return replace(protocol, normaliser=headline, others=tuple(others))


assert all(n in NORMALISERS for p in (*PROTOCOLS.values(), DEFAULT) for n in p.normalisers)
