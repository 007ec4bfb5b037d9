"""Pixel-wise classification: A detailed look at CNN-based approaches (Hsu et al., 2020)."""

from jaxalign import costs
from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.papers import Column, Figure, Table, Variant, lines
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from jaxalign.systems.pixelwise import PixelWise


NAME = "Pixel-wise classification"


def _variant(label, nmse, method, discriminator=False):
    train = (f"system.method={method}", f"system.discriminator={discriminator}")
    return Variant(label, (*nmse.split(), "-"), train)


DIRECT, CASCADED, DISTRIBUTION, REGRESSION, PWC, PWC_DISC, HYBRID, HYBRID_DISC = MODELS = (
    _variant("Direct", "0.0356 0.0359 0.0495 0.0500 0.0643 0.0452", "direct"),
    _variant("Cascaded", "0.0367 0.0360 0.0520 0.0516 0.0678 0.0469", "dan"),
    _variant("Dist.", "0.0337 0.0347 0.0508 0.0503 0.0700 0.0455", "distribution"),
    _variant("Heat. reg.", "0.0353 0.0371 0.0597 0.0586 0.0812 0.0515", "heatmap_regression"),
    _variant("PWC", "0.0334 0.0356 0.0499 0.0487 0.0656 0.0446", "pwc"),
    _variant("PWC+disc", "0.0336 0.0359 0.0505 0.0492 0.0663 0.0450", "pwc", True),
    _variant("hybrid", "0.0315 0.0336 0.0481 0.0470 0.0637 0.0427", "hybrid"),
    _variant("hybrid+disc", "0.0312 0.0337 0.0486 0.0473 0.0639 0.0428", "hybrid", True),
)
INVESTIGATED = (DIRECT, CASCADED, DISTRIBUTION, REGRESSION, PWC, HYBRID, HYBRID_DISC)
POINTS = Column("all points", subset="all")
EYES = Column("eyes", subset="all", region="eyes")


def parameters() -> dict[str, tuple[float]]:
    """Millions of parameters of each model, and of the discriminator of "hybrid+disc"."""
    found = {}
    for row in MODELS:
        system = recipes.override(recipes.Recipe(PixelWise()), row.train).system
        found[row.label] = system.shapes()["params"]
    found["discriminator"] = found["hybrid+disc"]["discriminator"]
    return {label: (costs.count(tree) / 1e6,) for label, tree in found.items()}


IMAGES = {  # Table 1: set -> data of its training and validation faces, "" if it has none
    "AFW": ("ibug_300w/afw", ""),
    "Helen": ("ibug_300w/helen_train", "ibug_300w/helen_test"),
    "LFPW": ("ibug_300w/lfpw_train", "ibug_300w/lfpw_test"),
    "300-W In": ("", "ibug_300w/indoor"),
    "300-W Out": ("", "ibug_300w/outdoor"),
    "IBUG": ("", "ibug_300w/ibug"),
    "COFW": ("", "cofw68/test"),
}


def images(data_dir) -> dict[str, tuple[int | str, ...]]:
    """How many faces of each set are for training and for validation; "-" if it is not prepared."""

    def faces(spec):
        try:
            return len(open_source(spec, IBUG68, data_dir)) if spec else 0
        except InputError:
            return "-"

    found = {
        label: tuple(faces(specs[part]) for specs in IMAGES.values())
        for part, label in enumerate(("#T", "#V"))
    }
    return found if any(isinstance(n, int) and n for n in sum(found.values(), ())) else {}


TABLES = {
    1: (
        Table(
            "images to train on (#T) and to validate on (#V)",
            tuple(Column(head, unit=1, decimals=0) for head in IMAGES),
            lines(
                """
                #T 337 2000 811   0   0   0   0
                #V   0  330 224 300 300 135 507
                """,
                7,
            ),
            notes=(
                "the paper validates, and stops its trainings, on the faces that Table 2 scores "
                "(data.val=ibug_300w/test data.holdout=0); COFW, by COFW-68's points, is scored "
                "in Figure 14 alone",
            ),
            count=images,
        ),
        Table(
            "parameters (no table of the paper's), as Section 5 names them",
            (Column("#params (M)", unit=1, decimals=6),),
            lines(
                """
                Direct         178.682440
                Cascaded        35.053144
                Dist.           82.871880
                Heat. reg.      82.947658
                PWC             82.947658
                hybrid+disc     82.982347
                discriminator    0.034689
                """,
                1,
            ),
            measure=parameters,
        ),
    ),
    2: (
        Table(
            "NMSE: the NME by the inter-ocular distance, as a fraction",
            (
                *(
                    Column(head, subset=subset, unit=1, decimals=4)
                    for head, subset in {
                        "Helen": "helen_test",
                        "LFPW": "lfpw_test",
                        "300-W In": "indoor",
                        "300-W Out": "outdoor",
                        "IBUG": "challenging",
                    }.items()
                ),
                Column("Total", subset="all", unit=1, decimals=4, faces=1289),
                Column("eyes", subset="all", unit=1, decimals=4, region="eyes", faces=1289),
            ),
            (
                *lines(
                    """
                    Dlib   0.0298 0.0356 0.0677 0.0640 0.0594 0.0496 -
                    TCDCN  0.0474 0.0454 0.0781 0.0746 0.0795 0.0639 -
                    """,
                    7,
                ),
                *MODELS,
            ),
            notes=(
                "Dlib's are over the faces it found: 318 of 330, 218 of 224, 264 of 300, 252 of "
                "300, 98 of 135",
                "the paper's are means of five trainings (--trainings 5), each stopped by the loss "
                "on these very faces",
                "points by argmax, as printed, pass no gradient: PWC, hybrid and their +disc are "
                "then trained alike, and differ by the checkpoint that their losses choose",
                "eyes: their 12 points on all faces, which the paper shows in Figure 9 (b) alone",
            ),
        ),
    ),
}

FIGURES = {
    9: Figure("ECDF of the NMSE", "ced", INVESTIGATED, (POINTS, EYES)),
    10: Figure(
        "ECDF by loss and discriminator",
        "ced",
        (PWC, PWC_DISC, HYBRID, HYBRID_DISC),
        (POINTS, EYES),
    ),
    13: Figure(
        "ECDF without and with occlusion",
        "ced",
        INVESTIGATED,
        (
            Column("without occlusion", subset="unlisted"),
            Column("with occlusion", subset="listed"),
        ),
        listed="the occluded faces (the paper's list of 298 was not published)",
    ),
    14: Figure("ECDF on COFW-68", "ced", INVESTIGATED, (POINTS, EYES), "cofw68/test"),
}
