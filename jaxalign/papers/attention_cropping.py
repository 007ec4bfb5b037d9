"""Attention-Driven Cropping for Very High Resolution Facial Landmark Detection (CVPR 2020).

Only the supplement is used. Its figures print no numbers that could be copied. The main paper is
not at hand: one of its tables is known from what the supplement says of it.
"""

from jaxalign.papers import Column, Figure, Table, Variant


NAME = "Attention-driven cropping"

OURS = Variant("both stages", ())
FOUR = Variant("4 global stacks", (), ("system.global_stacks=4",))  # its global stage is FAN's
METHODS = (OURS, FOUR)

TABLES = {
    1: (
        Table(
            "stacking, as Section 4.4 of the main paper: NME of 300W's test faces, %, inter-ocular",
            (
                *(Column(name, subset="all", region=name) for name in ("eyes", "nose", "mouth")),
                Column("overall", subset="all"),
                Column("AUC10%", "auc@10", subset="all"),
            ),
            (
                Variant("regional crops alone", ("-",) * 5, ("system.stacking=False",)),
                Variant("and the global maps", ("-",) * 5, ("system.stacking=True",)),
            ),
            notes=(
                "the supplement names the ablation; the main paper's table, its number and what it "
                "prints are not known",
            ),
        ),
    ),
}


def _pages(first: int, title: str, kind: str, rows: tuple[Variant, ...], pages: int):
    return {
        first + page: Figure(title, kind, rows, page=page, pages=pages) for page in range(pages)
    }


FIGURES = {
    1: Figure("gain in AUC over the resolution of the face", "gain", METHODS),
    2: Figure("PCK and NME of the regions over the resolution", "regions", METHODS),
    **_pages(3, "global and regional points", "corrections", (OURS,), 2),
    **_pages(5, "viewpoints of a subject", "views", METHODS, 2),
    **_pages(7, "expressions of a subject", "expressions", METHODS, 5),
}
