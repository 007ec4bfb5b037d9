"""Tables and figures of papers as data.

Each paper is one module here, with NAME, TABLES and FIGURES. `TABLES[n]` is a tuple of blocks
(Table), which are printed one below the other. `FIGURES[n]` is a Figure. Every number is as the
paper prints it, also where the paper has a slip: `notes` name these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxalign.samples import ATTRIBUTES


PAPERS = ("attention_cropping", "gaussian_vector", "pixelwise", "propagationnet", "tab")
LISTED = ("listed", "unlisted")  # faces that the user's `--ids` names, and all others


@dataclass(frozen=True)
class Column:
    """A statistic of a subset's faces, printed under `head`.

    `statistic` is a key of evaluation.summary.statistics ("nme", "fr@10", "auc@8"), or the name of
    a method of the system, (variables, batch) -> (B,), whose mean over the faces is printed. `unit`
    multiplies fractions. `region` restricts the NME to a region's points, by the benchmark's
    headline. `faces` is the size of the complete subset, if the protocol fixes no number. `subset`
    may be one of LISTED in a figure.
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
    """A line of a table: the paper's numbers, one for each column, "-" where it prints none."""

    label: str
    paper: tuple[str, ...]


@dataclass(frozen=True)
class Variant(Row):
    """A line that can be run. Its settings are as `--set` takes them.

    `train` holds the settings of its training, `test` those of its evaluation alone. `shrink`
    multiplies the side of the evaluated crop. `folder` names the model that is the recipe as it is;
    {} stands for the recipe's name. Other models are named after their settings. `after` is a
    setting, and the shipped recipe whose model it names. That model is trained first, in a folder
    of the recipe's name, unless the user gives the setting.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    shrink: float = 1.0
    folder: str = "base"
    after: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """A block of a table.

    With `grid` = (corner, *heads), rows "row | column" are printed as a grid. `measure()` ->
    {label: numbers or texts, one for each column} is for values of ours that are no scores of a
    model. It need not have all rows; further labels become further lines. `count(data_dir)` is the
    same for prepared data. With `fixed`, models are scored on `data`, whatever test data their
    recipe has.
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
    """Curves of variants, or another kind of figure.

    The kinds are:
    * "convergence": the validation error over steps.
    * "ced": a panel for each column.
    * "vectors": bars of a point's vectors, by the only variant or the first given model.
    * "features": maps of faces, which the columns' methods of the system give.
    * "shares": bars of the attributes in train and test of a data set, without a model.
    * one of resolution_figures.KINDS: a study of faces brought to several sizes.

    `data` names the faces, if they are not the recipe's test data; for "shares" the data set.
    `listed` says what the user's list of faces must name, if a column is of LISTED ones. With
    `limit` > 0 the legend of a CED shows the failure rate at it, with `area` > 0 the AUC up to it.
    `page` of `pages` says which of the shown faces are here, if several figures share them.
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
    """Parse lines "method number number ..." to rows of so many numbers."""
    parts = (line.strip().rsplit(maxsplit=numbers) for line in text.strip().splitlines())
    return tuple(Row(label, tuple(values)) for label, *values in parts)


def wflw(nme: str, failures: str, areas: str, notes: tuple[str, ...] = ()) -> tuple[Table, ...]:
    """The three blocks of WFLW, as papers print it: test set and subsets, AUC as a fraction."""

    def block(title, text, statistic, notes=(), **more):
        columns = [Column(head, statistic, name, **more) for head, name in WFLW.items()]
        return Table(title, tuple(columns), lines(text, len(columns)), "wflw/test", notes)

    return (
        block("NME, %, inter-ocular", nme, "nme"),
        block("failure rate at 10 %, %", failures, "fr@10"),
        block("AUC at 10 %", areas, "auc@10", notes, unit=1, decimals=4),
    )


def three_of_300w(text: str, normaliser: str, notes: tuple[str, ...] = ()) -> Table:
    """The NME on 300W's common, challenging and full sets, by one distance."""
    heads = {"Common": "common", "Challenging": "challenging", "Fullset": "full"}
    columns = [Column(head, subset=name, normaliser=normaliser) for head, name in heads.items()]
    title = f"NME, %, {normaliser.replace('_', '-')}"
    return Table(title, tuple(columns), lines(text, 3), notes=notes)


def cofw(text: str, normaliser: str, notes: tuple[str, ...] = ()) -> Table:
    """The NME and the failure rate on COFW's test set, by one distance."""
    columns = [Column(head, statistic, "all", normaliser) for head, statistic in
               (("NME", "nme"), ("FR10%", "fr@10"))]  # fmt: skip
    title = f"NME and failure rate at 10 %, {normaliser.replace('_', '-')}"
    return Table(title, tuple(columns), lines(text, 2), "cofw/test", notes)
