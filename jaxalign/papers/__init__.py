"""Papers' tables as data. A paper is one module here, with NAME, TABLES and FIGURES.

`TABLES[n]` is a tuple of blocks (Table), printed one below the other; `FIGURES[n]` a Figure. Every
number stands as the paper prints it, slips too: these are named in `notes`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxalign.samples import ATTRIBUTES


PAPERS = ("attention_cropping", "gaussian_vector", "pixelwise", "propagationnet", "tab")
LISTED = ("listed", "unlisted")  # faces that the user's `--ids` names, and all others


@dataclass(frozen=True)
class Column:
    """What is printed under `head`: a statistic of a subset's faces.

    `statistic`: a key of evaluation.summary.statistics ("nme", "fr@10", "auc@8"), or the name of a
    system's method(variables, batch) -> (B,), whose mean over the faces it is. `unit` is what
    fractions are multiplied by. `region`: the NME of a region's points alone, by the benchmark's
    headline. `faces`: how many make the subset complete, where the protocol fixes no number.
    `subset` of a figure's column may be one of LISTED.
    """

    head: str
    statistic: str = "nme"
    subset: str = "full"
    normaliser: str = "inter_ocular"
    unit: float = 100
    decimals: int = 2
    region: str = ""
    faces: int = 0


@dataclass(frozen=True)
class Row:
    """A line of a table: the paper's numbers, one a column, "-" where it prints none."""

    label: str
    paper: tuple[str, ...]


@dataclass(frozen=True)
class Variant(Row):
    """A line that can be run: settings of the recipe as `--set` takes them.

    `train` by which training differs, `test` by which only the evaluation does; `shrink` multiplies
    the side of the evaluated crop. `folder` of the model that is the recipe as it is, others are
    named after their settings: {} is the recipe's name. `after`: a setting, and the shipped recipe
    whose model it names; that model is trained first, in a folder of the recipe's name, unless the
    user gives the setting.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    shrink: float = 1.0
    folder: str = "base"
    after: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """A block of a table. `grid` = (corner, *heads) prints rows "row | column" as a grid.

    `measure()` -> {label: numbers or texts, one a column}, where ours are no scores of a model; for
    as many of the rows as there are ours of. Labels of no row are further lines. `count(data_dir)`
    the same, of prepared data. `fixed`: models are scored on `data`, whatever faces their recipe is
    tested on.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    data: str = "ibug_300w/test"
    notes: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    measure: Callable[[], Mapping[str, tuple[float | str, ...]]] | None = None
    count: Callable[[Path | str], Mapping[str, tuple[float | str, ...]]] | None = None
    fixed: bool = False

    @property
    def ablation(self) -> bool:
        return any(isinstance(row, Variant) for row in self.rows)


@dataclass(frozen=True)
class Figure:
    """Curves of variants: "convergence", validation over steps, or "ced", a panel for each column;
    "vectors", bars of a point's vectors by the only variant or the first model given; "features",
    maps of faces that the columns' methods of the system give; "shares", bars of the attributes in
    train and test of a data set, without a model; or a study of faces brought to several sizes, one
    of resolution_figures.KINDS.

    `data`: whose faces, where not of the recipe's test data; of "shares" the data set. `listed`:
    what the user's list of faces must name, where a column is of LISTED ones. `limit` > 0: a CED's
    legend tells the failure rate at it, `area` > 0: the AUC up to it. `page` of `pages`: which of
    the shown faces, where several figures share them.
    """

    title: str
    kind: str
    rows: tuple[Variant, ...]
    columns: tuple[Column, ...] = (Column("NME"),)
    data: str = ""
    listed: str = ""
    limit: float = 0.0
    area: float = 0.0
    page: int = 0
    pages: int = 1


WFLW = {"Testset": "all"} | {name.capitalize(): name for name in ATTRIBUTES}


def lines(text: str, numbers: int) -> tuple[Row, ...]:
    """Lines "method number number ..." -> rows of so many numbers."""
    parts = (line.strip().rsplit(maxsplit=numbers) for line in text.strip().splitlines())
    return tuple(Row(label, tuple(values)) for label, *values in parts)


def wflw(nme: str, failures: str, areas: str, notes: tuple[str, ...] = ()) -> tuple[Table, ...]:
    """The three blocks in which papers print WFLW: test set and subsets, AUC as a fraction."""

    def block(title, text, statistic, notes=(), **more):
        columns = [Column(head, statistic, name, **more) for head, name in WFLW.items()]
        return Table(title, tuple(columns), lines(text, len(columns)), "wflw/test", notes)

    return (
        block("NME, %, inter-ocular", nme, "nme"),
        block("failure rate at 10 %, %", failures, "fr@10"),
        block("AUC at 10 %", areas, "auc@10", notes, unit=1, decimals=4),
    )


def three_of_300w(text: str, normaliser: str, notes: tuple[str, ...] = ()) -> Table:
    """300W's common, challenging and full NME by one distance."""
    heads = {"Common": "common", "Challenging": "challenging", "Fullset": "full"}
    columns = [Column(head, subset=name, normaliser=normaliser) for head, name in heads.items()]
    title = f"NME, %, {normaliser.replace('_', '-')}"
    return Table(title, tuple(columns), lines(text, 3), notes=notes)
