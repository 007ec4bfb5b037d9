"""PropagationNet: Propagate points to curve to learn structure information (CVPR 2020)."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxalign import costs
from jaxalign.papers import Column, Figure, Table, Variant, cofw, lines, three_of_300w, wflw
from jaxalign.systems.propagationnet import PropagationNet


NAME = "PropagationNet"
PLAIN = ("system.propagation=False", "system.focal=''")
BASELINE = (*PLAIN, "system.block=bottleneck", "system.blur=0", "system.coordconv=False")
AWING = (
    *PLAIN,
    "system.boundary_channel=True",
    "system.pool=average",
    "system.blur=0",
    "system.beta=1",
    "system.boundary_labels=distance",
)
AREAS = "slip: the areas are below their bound 1 - NME / 10 %; they cannot be of these models"
ONE_RUN = "slip: MHM (Table 5) and BL+AC-3 (Table 6) are the same three numbers, of one training"


def _without(*fields: str) -> tuple[str, ...]:
    """The baseline's settings without these fields, which the recipe has."""
    return tuple(s for s in BASELINE if s.removeprefix("system.").partition("=")[0] not in fields)


def _ablation(title: str, *rows: tuple[str, str, tuple[str, ...]], notes=()) -> tuple[Table, ...]:
    """(label, "NME FR AUC", settings of training) -> the block."""
    columns = (
        Column("NME", "nme", "all"),
        Column("FR10%", "fr@10", "all"),
        Column("AUC10%", "auc@10", "all", unit=1, decimals=4),
    )
    made = (Variant(label, tuple(numbers.split()), train) for label, numbers, train in rows)
    return (Table(f"{title}: WFLW", columns, tuple(made), "wflw/test", (AREAS, *notes)),)


def complexity() -> dict[str, tuple[float, float]]:
    """Millions of parameters and billions of multiply-adds, for 98 points.

    The paper's network is also counted in other readings of its text, whose numbers are nearer.
    """
    net = partial(PropagationNet, "wflw98")
    systems = {
        "AWing": net(propagation=False, boundary_channel=True, pool="average", blur=0),
        "PropNet": net(),
        "PropNet, stem_blur=False": net(stem_blur=False),
        "PropNet, convolutions=1": net(convolutions=1),
        "PropNet, both": net(stem_blur=False, convolutions=1),
    }
    found = {}
    for label, system in systems.items():
        variables = system.shapes()
        crop = jax.ShapeDtypeStruct((1, system.size, system.size, 3), jnp.uint8)
        madds = costs.multiply_adds(system.predict, variables, crop)
        found[label] = costs.count(variables["params"]) / 1e6, sum(madds.values()) / 1e9
    return found


TABLES = {
    1: (
        cofw(
            """
            LAB      3.92  0.39
            PropNet  3.71  0.20
            """,
            "inter_ocular",
            notes=(
                "slip: the text says inter-pupil, but LAB's numbers are its inter-ocular ones, and "
                "3.71 by the pupils would be 2.6 by the eyes",
            ),
        ),
        cofw(
            """
            Human    5.60      -
            RCPR     8.50  20.00
            TCDCN    8.05      -
            DAC-CSR  6.03   4.73
            Wing     5.44   3.75
            AWing    4.94   0.99
            """,
            "inter_pupil",
            notes=("printed in one column with the block above",),
        ),
    ),
    2: (
        three_of_300w(
            """
            CFAN         5.50  16.78  7.69
            SDM          5.57  15.40  7.50
            LBF          4.95  11.98  6.32
            CFSS         4.73   9.98  5.76
            TCDCN        4.80   8.60  5.54
            MDM          4.83  10.14  5.88
            RAR          4.12   8.35  4.94
            DVLN         3.94   7.62  4.66
            TSR          4.36   7.56  4.99
            DSRN         4.12   9.68  5.21
            LAB          4.20   7.41  4.92
            RCN+ (L+ELT) 4.20   7.78  4.90
            DCFE         3.83   7.54  4.55
            Wing         3.27   7.18  4.04
            AWing        3.77   6.52  4.31
            PropNet      3.70   5.75  4.10
            """,
            "inter_pupil",
        ),
        three_of_300w(
            """
            PCD-CNN      3.67   7.62  4.44
            CPM+SBR      3.28   7.58  4.10
            SAN          3.34   6.60  3.98
            LAB          2.98   5.19  3.49
            DU-Net       2.90   5.15  3.35
            AWing        2.72   4.52  3.07
            PropNet      2.67   3.99  2.93
            """,
            "inter_ocular",
        ),
    ),
    3: wflw(
        """
        ESR      11.13  25.88  11.47  10.49  11.05  13.75  12.20
        SDM      10.29  24.10  11.45   9.32   9.38  13.03  11.28
        CFSS      9.07  21.36  10.09   8.30   8.74  11.76   9.96
        DVLN      6.08  11.54   6.78   5.73   5.98   7.33   6.88
        LAB       5.27  10.24   5.51   5.23   5.15   6.79   6.12
        Wing      5.11   8.75   5.36   4.93   5.41   6.37   5.81
        PropNet   4.05   6.92   3.87   4.07   3.76   4.58   4.36
        """,
        """
        ESR      35.24  90.18  42.04  30.80  38.84  47.28  41.40
        SDM      29.40  84.36  33.44  26.22  27.67  41.85  35.32
        CFSS     20.56  66.26  23.25  17.34  21.84  32.88  23.67
        DVLN     10.84  46.93  11.15   7.31  11.65  16.30  13.71
        LAB       7.56  28.83   6.37   6.73   7.77  13.72  10.74
        Wing      6.00  22.70   4.78   4.30   7.77  12.50   7.76
        PropNet   2.96  12.58   2.55   2.44   1.46   5.16   3.75
        """,
        """
        ESR      0.2774  0.0177  0.1981  0.2953  0.2485  0.1946  0.2204
        SDM      0.3002  0.0226  0.2293  0.3237  0.3125  0.2060  0.2398
        CFSS     0.3659  0.0632  0.3157  0.3854  0.3691  0.2688  0.3037
        DVLN     0.4551  0.1474  0.3889  0.4743  0.4494  0.3794  0.3973
        LAB      0.5323  0.2345  0.4951  0.5433  0.5394  0.4490  0.4630
        Wing     0.5504  0.3100  0.4959  0.5408  0.5582  0.4885  0.4918
        PropNet  0.6158  0.3823  0.6281  0.6164  0.6389  0.5721  0.5836
        """,
        ("slip: LAB's NME on blur, 6.12, is 6.32 in other papers",),
    ),
    4: _ablation(
        "Propagation Module",
        ("Without PM", "4.81 3.36 0.5132", BASELINE),
        ("With PM", "4.48 3.12 0.5421", _without("propagation")),
    ),
    5: _ablation(
        "Multi-view Hourglass Module",
        ("BB", "4.81 3.36 0.5132", BASELINE),
        ("MHM", "4.67 3.16 0.5300", _without("block", "blur")),
        notes=(ONE_RUN, "MHM: HPM blocks and anti-aliased down-sampling (Section 3.3)"),
    ),
    6: _ablation(
        "anti-aliased down-sampling",
        ("BL", "4.81 3.36 0.5132", BASELINE),
        ("BL+AC-2", "4.79 3.80 0.5178", (*_without("blur"), "system.blur=2")),
        ("BL+AC-3", "4.67 3.16 0.5300", (*_without("blur"), "system.blur=3")),
        ("BL+AC-5", "4.75 3.76 0.5200", (*_without("blur"), "system.blur=5")),
        notes=(ONE_RUN,),
    ),
    7: _ablation(
        "Focal Wing loss",
        ("AWing", "4.81 3.36 0.5132", BASELINE),
        ("Focal Wing", "4.64 3.32 0.5195", _without("focal")),
    ),
    8: (
        Table(
            "complexity, 98 points",
            (
                Column("#params (M)", unit=1),
                Column("FLOPS (G)", unit=1),
            ),
            lines(
                """
                LAB      12.29  18.85
                AWing    24.15  26.79
                PropNet  36.30  42.83
                """,
                2,
            ),
            notes=(
                "a FLOP is a multiply-add: AWing's count says so",
                "ours counts the last attention, which reaches nothing; anti-aliased, the stem's "
                "strided convolution costs four times as much",
            ),
            measure=complexity,
        ),
    ),
}

FIGURES = {
    3: Figure("faces under extreme conditions", "shares", (), data="wflw"),
    7: Figure(
        "WFLW: cumulative errors",
        "ced",
        (Variant("AWing", (), AWING), Variant("PropNet", ())),
        (Column("NME", subset="all"),),
        limit=0.10,
    ),
}
