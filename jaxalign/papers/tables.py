"""Print a paper's tables and draw its figures, its numbers beside ours: `jaxalign paper`.

For an ablation each of its variants is trained once; variants that differ only in the evaluation
share a training. Given models and reports become further lines or curves (see work.Work).
"""

import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import places
from jaxalign.errors import InputError
from jaxalign.evaluation.summary import is_share, summarise
from jaxalign.evaluation.tables import Table as Text
from jaxalign.evaluation.tables import size_of, to_text, write_rows
from jaxalign.folders import readable_errors
from jaxalign.papers import Column, Table, Variant, figures, resolution_figures
from jaxalign.papers.resolutions import Study
from jaxalign.papers.work import Work
from jaxalign.protocols import protocol_for
from jaxalign.sources import benchmark_of


def contents(paper: str) -> str:
    """The tables and figures of a paper, one of PAPERS: a line each, with its title."""
    module = importlib.import_module(f"jaxalign.papers.{paper}")
    lines = [f"{module.NAME}: jaxalign paper {paper} --table N, or --figure N"]
    for number, blocks in sorted(module.TABLES.items()):
        lines.append(f"  --table {number:<3} {'; '.join(block.title for block in blocks)}")
    for number, figure in sorted(module.FIGURES.items()):
        lines.append(f"  --figure {number:<2} {figure.title}")
    return "\n".join(lines)


def make(
    paper: str,
    *,
    table: int | None = None,
    figure: int | None = None,
    csv: Path | str = "",
    ids: Path | str = "",
    workdir: Path | str = "",
    sizes: Sequence[int] = (),
    common: bool = False,
    normaliser: str = "",
    faces: int | None = None,
    **options,
) -> None:
    """Print a table of a paper, one of PAPERS, or draw a figure into `workdir`.

    `table` or `figure` is its number in the paper. `workdir` is runs/PAPER by default. `csv` is a
    file for the printed numbers. `ids` is a file of faces, one id a line, for a figure that divides
    the faces by a list, or shows some. `sizes`, `common`, `normaliser` and `faces` are those of
    resolutions.Study, for a figure over resolutions. `options` are those of Work. Raises
    InputError.
    """
    module = importlib.import_module(f"jaxalign.papers.{paper}")
    kind = "table" if table is not None else "figure"
    number, known = (table, module.TABLES) if kind == "table" else (figure, module.FIGURES)
    if number not in known:
        numbers = ", ".join(map(str, known)) or "none"
        raise InputError(f"--{kind} {number}: there are of {module.NAME}: {numbers}")
    figure_kind = known[number].kind if kind == "figure" else ""
    listed = kind == "figure" and known[number].listed
    if listed and not ids:
        raise InputError(f"--figure {number} needs --ids FILE, one id a line: {listed}")
    if ids and not listed and figure_kind not in resolution_figures.SHEETS:
        raise InputError("--ids is only for a figure that parts the faces by a list, or shows some")
    if csv and kind == "figure":
        raise InputError("--csv is only for a table; a figure leaves its numbers in the workdir")
    given = {"sizes": sizes, "common": common, "normaliser": normaliser, "faces": faces}
    given = {k: v for k, v in given.items() if v or (k == "faces" and v is not None)}
    places.check_local(workdir)
    work = Work(workdir or f"runs/{paper}", ids=ids, **options)
    if figure_kind in resolution_figures.KINDS:
        resolution_figures.draw(known[number], work, f"figure{number}", Study(**given))
        return
    if given:
        raise InputError(f"--{next(iter(given))} is only for a figure over resolutions")
    if kind == "figure":
        figures.draw(known[number], work, f"figure{number}")
        return
    if (known[number][0].measure or known[number][0].count) and (work.given or work.base):
        raise InputError(
            f"--table {number} needs no model: leave out --config, --ckpt and --report"
        )
    if work.base and not known[number][0].ablation:
        raise InputError(f"--table {number} is of finished models: give --ckpt or --report")
    if known[number][0].grid and work.given:
        raise InputError(f"--table {number} is a grid of its own variants: give --config alone")
    if csv:
        with readable_errors(csv):
            Path(csv).parent.mkdir(parents=True, exist_ok=True)
    print(f"{module.NAME}, " + (f"Table {number}" if number else "numbers of the text"))
    cells = [["block", "row", "by", "column", "value", "low", "high", "sd", "faces", "report"]]
    for index, block in enumerate(known[number], 1):
        lines = _lines(block, work)
        print("\n" + _text(block, lines))
        cells += [[index, *cell] for line in lines for cell in line.cells(block.columns)]
    if csv:
        write_rows(Path(csv), cells)


@dataclass(frozen=True)
class Number:
    value: float
    low: float | None = None  # of its interval, None where it has none
    high: float | None = None
    sd: float | None = None  # of its trainings, None of one alone
    faces: str = ""


@dataclass(frozen=True)
class Line:
    """A printed line: texts of the paper or numbers of ours, one for each column, or None."""

    label: str
    by: str
    numbers: tuple[str | Number | None, ...]
    report: str = ""
    note: str = ""
    trainings: int = 1

    def cells(self, columns: tuple[Column, ...]):
        """[label, by, column, value, low, high, sd, faces, report] of each number."""
        for column, number in zip(columns, self.numbers, strict=True):
            printed = (number or "-", None, None, None, "")
            cells = dataclasses.astuple(number) if isinstance(number, Number) else printed
            yield [self.label, self.by, column.head, *cells, self.report]


def _lines(table: Table, work: Work) -> list[Line]:
    """The paper's lines, each followed by ours. Lines of given models come last."""
    measured, lines = table.measure() if table.measure else {}, []
    if table.count:
        measured = table.count(work.data_dir)
    for row in table.rows:
        lines.append(Line(row.label, "paper", row.paper))
        if row.label in measured:
            lines.append(_measured(row.label, measured))
        elif isinstance(row, Variant) and work.base:
            trainings = [
                _scored(row.label, work.evaluate(row, table, seed), table,
                        work.per_face(row, table, seed))
                for seed in work.seeds
            ]  # fmt: skip
            lines.append(_averaged(trainings))
    names = {row.label for row in table.rows}
    lines += [_measured(label, measured) for label in measured if label not in names]
    if not (table.measure or table.count):
        given = zip(work.given, work.score_given(table), strict=True)
        lines += [_scored(name, entry, table) for name, entry in given]
    return lines


def _measured(label, measured):
    found = (n if isinstance(n, str) else Number(n) for n in measured[label])
    return Line(label, "ours", tuple(found))


def _averaged(trainings: list[Line]) -> Line:
    """One line for the trainings of a variant: means of values and intervals, and deviations."""
    if len(trainings) == 1:
        return trainings[0]
    numbers = []
    for found in zip(*(line.numbers for line in trainings), strict=True):
        mean = found[0]
        if mean is not None:
            values = [number.value for number in found]
            known = mean.low is not None
            mean = Number(
                value=float(np.mean(values)),
                low=float(np.mean([number.low for number in found])) if known else None,
                high=float(np.mean([number.high for number in found])) if known else None,
                sd=float(np.std(values, ddof=1)),
                faces=mean.faces,
            )
        numbers.append(mean)
    reports = " ".join(line.report for line in trainings)
    return dataclasses.replace(
        trainings[0], numbers=tuple(numbers), report=reports, trainings=len(trainings)
    )


def _scored(label, entry, table, per_face=None):
    benchmark = entry.benchmark or benchmark_of(table.data)
    summary = summarise(entry.results, protocol_for(benchmark, entry.results.scheme))
    own = benchmark == benchmark_of(table.data)
    numbers = [_number(column, entry, summary, own, per_face or {}) for column in table.columns]
    note = "" if own else f"{benchmark}, by {summary['headline']}: not the paper's faces"
    return Line(label, "ours", numbers=tuple(numbers), report=entry.name, note=note)


def _number(column, entry, summary, own, per_face):
    """The column's statistic. On another benchmark: of all faces, by its own normaliser."""
    subset, normaliser = column.subset, column.normaliser
    if not own:
        subset, normaliser = "all", summary["headline"]
    row = next((row for row in summary["rows"] if row["subset"] == subset), None)
    if row is None or normaliser not in row:
        return None
    if own and column.faces:
        row = row | {"official": column.faces}
    if column.region:
        region = next((r for r in summary["regions"] if r["region"] == column.region), None)
        if region is None or region["subsets"].get(subset) is None:
            return None
        values = (region["subsets"][subset], *(region["interval"] if subset == "all" else ()))
    elif column.statistic in per_face:
        values = (per_face[column.statistic][entry.results.subset(subset)].mean(),)
    elif column.statistic not in row[normaliser]:  # of what was trained here alone
        return None
    else:
        ends = row["intervals"][normaliser][column.statistic]
        values = (row[normaliser][column.statistic], *ends)
    values = [column.unit * float(value) for value in values]
    return Number(*values, faces=f"{subset} {size_of(row)}")


def _text(table: Table, lines: list[Line]) -> str:
    def shown(number, column):
        if not isinstance(number, Number):
            return number or "-"
        value = f"{number.value:.{column.decimals}f}"
        if table.grid or number.low is None or number.high is None:
            return value
        if is_share(column.statistic):
            return value, f"[{number.low:.{column.decimals}f}, {number.high:.{column.decimals}f}]"
        return value, f"±{(number.high - number.low) / 2:.{column.decimals}f}"

    rows = []
    for line in lines:
        pairs = zip(line.numbers, table.columns, strict=True)
        rows.append((line.label, line.by, *(shown(*pair) for pair in pairs)))
    heads = ("", "", *(column.head for column in table.columns))
    title = table.title
    if table.grid:  # "row | column" of a single number, ours behind the paper's
        grid = {}
        for label, _, number in rows:
            grid.setdefault(label, []).append(number)
        rows, heads, title = _folded(grid), table.grid, f"{title}; paper / ours"
    text = to_text(Text(title, heads, tuple(rows)))
    faces = [n.faces for line in lines for n in line.numbers if isinstance(n, Number) and n.faces]
    notes = [*table.notes, *dict.fromkeys(line.note for line in lines if line.note)]
    if faces:
        among = ", ".join(dict.fromkeys(faces))
        told = "± half of the 95 % interval"
        if any(is_share(column.statistic) for column in table.columns):
            told += ", that of a failure rate in brackets"
        notes.append(f"ours: {among} faces; {told}")
    if (trainings := max(line.trainings for line in lines)) > 1:
        notes.append(f"ours: means of {trainings} trainings; {_deviations(table, lines)}")
    return "\n".join([text, *(f"note: {note}" for note in notes)])


def _deviations(table, lines):
    """Each column's largest standard deviation among the trainings of a line, in words."""
    largest = []
    for place, column in enumerate(table.columns):
        found = [number.sd for number in (line.numbers[place] for line in lines)
                 if isinstance(number, Number) and number.sd is not None]  # fmt: skip
        if found:
            largest.append(f"{column.head} {max(found):.{column.decimals}f}")
    return f"largest standard deviation among them: {', '.join(largest)}"


def _folded(grid):
    """{"row | column": numbers} -> a row of cells for each row."""
    rows = {}
    for label, numbers in grid.items():
        rows.setdefault(label.partition(" | ")[0], []).append(" / ".join(numbers))
    return [(label, *cells) for label, cells in rows.items()]
