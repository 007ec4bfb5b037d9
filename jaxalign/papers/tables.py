"""A table or a figure of a paper by one command: the paper's numbers beside ours.

examples:
  jaxalign paper tab --table 1
  jaxalign paper gaussian_vector --table 1 --ckpt runs/300w
  jaxalign paper gaussian_vector --table 3 --ckpt runs/wflw_resnet runs/wflw_hrnet
  jaxalign paper gaussian_vector --table 5 --config gv_light_ibug_300w

needs: for the paper's numbers nothing; for ours data made by prepare.py, and checkpoints of
train.py, reports of evaluate.py, or the recipe of an ablation.
leaves: the printed table; in the work directory models, reports, and a figure as PNG and CSV.

An ablation trains each of its variants once, into WORKDIR/VARIANT (interrupted, it goes on there
when called again); what differs only in the evaluation is not trained. Every number of ours has its
report in WORKDIR/reports. Models and reports that are given follow as further lines or curves.
"""

import argparse
import contextlib
import dataclasses
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints
from jaxalign import recipe as recipes
from jaxalign.commands import evaluate, run, train
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import Entry, open_entry
from jaxalign.evaluation.exchange import read_text
from jaxalign.evaluation.summary import statistics, summarise
from jaxalign.evaluation.tables import Table as Text
from jaxalign.evaluation.tables import size_of, to_text, write_rows
from jaxalign.papers import PAPERS, Column, Figure, Table, Variant, figures
from jaxalign.pipeline import evaluation_batches
from jaxalign.protocols import protocol_for
from jaxalign.sources import DEFAULT_DATA_DIR, benchmark_of, open_source
from jaxalign.training import initial
from jaxalign.training.loop import DEVICE_KEYS


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paper", choices=PAPERS,
        help="whose tables and figures")  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", type=int, metavar="N", help="by the paper's count")
    what.add_argument("--figure", type=int, metavar="N", help="by the paper's count")
    add("--config", help="recipe of an ablation's variants: a file, or its name in configs/")
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="settings",
        help="replace fields of every variant's recipe")  # fmt: skip
    add("--init-from", nargs="+", default=[], metavar="PATH",
        help="as train.py's; a variant starts from the first that fits it")  # fmt: skip
    add("--trainings", type=int, default=1, metavar="N",
        help="train each variant N times, by the recipe's seed and the next ones: the numbers are "
        "means (default: %(default)s)")  # fmt: skip
    add("--ckpt", nargs="+", default=[], help="trained models")
    add("--report", nargs="+", default=[], help="the same by their reports: nothing is evaluated")
    add("--data", default="", help="NAME/SPLIT to evaluate (default: the recipe's, the table's)")
    add("--data-dir", default=DEFAULT_DATA_DIR,
        help="that of prepare.py (default: %(default)s)")  # fmt: skip
    add("--ids", metavar="FILE", help="for a figure of listed faces: their ids, one a line")
    add("--workdir", help="folder of models and reports (default: runs/PAPER)")
    add("--csv", metavar="FILE", help="the printed numbers, with the ends of their intervals")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _make(arguments))


def _make(arguments):
    paper = importlib.import_module(f"jaxalign.papers.{arguments.paper}")
    kind = "table" if arguments.table is not None else "figure"
    number, known = getattr(arguments, kind), getattr(paper, f"{kind.upper()}S")
    if number not in known:
        numbers = ", ".join(map(str, known)) or "none"
        raise InputError(f"--{kind} {number}: there are of {paper.NAME}: {numbers}")
    listed = kind == "figure" and known[number].listed
    if listed and not arguments.ids:
        raise InputError(f"--figure {number} needs --ids FILE, one id a line: {listed}")
    if arguments.ids and not listed:
        raise InputError("--ids is only for a figure that parts the faces by a list")
    work = Work(arguments)
    if kind == "figure":
        return figures.draw(known[number], work, f"figure{number}")
    if arguments.config and not known[number][0].ablation:
        raise InputError(f"--table {number} is of finished models: give --ckpt or --report")
    if known[number][0].grid and work.given:
        raise InputError(f"--table {number} is a grid of its own variants: give --config alone")
    print(f"{paper.NAME}, Table {number}")
    cells = [["block", "row", "by", "column", "value", "low", "high", "sd", "faces", "report"]]
    for index, table in enumerate(known[number], 1):
        lines = _lines(table, work)
        print("\n" + _text(table, lines))
        cells += [[index, *cell] for line in lines for cell in line.cells(table.columns)]
    if arguments.csv:
        write_rows(Path(arguments.csv), cells)


@dataclass(frozen=True)
class Number:
    value: float
    low: float | str = ""  # of its interval, "" where it has none
    high: float | str = ""
    sd: float | str = ""  # of its trainings, "" of one alone
    faces: str = ""


@dataclass(frozen=True)
class Line:
    """A printed line: the paper's texts or our numbers, one a column, None where there is none."""

    label: str
    by: str
    numbers: tuple[str | Number | None, ...]
    report: str = ""
    note: str = ""
    trainings: int = 1

    def cells(self, columns: tuple[Column, ...]):
        """[label, by, column, value, low, high, sd, faces, report] of each number."""
        for column, number in zip(columns, self.numbers, strict=True):
            if not isinstance(number, Number):
                number = Number(number or "-")
            yield [self.label, self.by, column.head, *dataclasses.astuple(number), self.report]


class Work:
    """One recipe's variants, each trained once by every seed, and their evaluations, made once."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = Path(arguments.workdir or f"runs/{arguments.paper}")
        self.settings, self.base = arguments.settings, None
        if arguments.config:
            self.base = recipes.override(recipes.load(arguments.config), self.settings)
        if arguments.trainings < 1:
            raise InputError(f"--trainings {arguments.trainings}: must be 1 or more")
        self.listed = []
        if arguments.ids:
            lines = read_text(Path(arguments.ids), "a list of faces").splitlines()
            self.listed = [line.strip() for line in lines]
        self.trained, self.entries = set(), {}

    @property
    def seeds(self) -> range:
        first = self.base.training.seed
        return range(first, first + self.arguments.trainings)

    @property
    def given(self) -> list[str]:
        """Paths of the models and reports that the user names."""
        return [*self.arguments.ckpt, *self.arguments.report]

    def train(self, row: Variant, seed: int) -> Path:
        """The work directory of the row's model; trains it, or what is left of its training."""
        own = [s for s in row.train if recipes.override(self.base, [s]) != self.base]
        workdir = self.folder / (_slug(own) or "base")
        if seed != self.base.training.seed:
            own.append(f"training.seed={seed}")
            workdir = workdir.with_name(f"{workdir.name}-seed{seed}")
        if workdir not in self.trained:
            settings = ["--set", *self.settings, *own] if self.settings or own else []
            start = _fitting(recipes.override(self.base, own).system, self.arguments.init_from)
            settings += ["--init-from", start] if start else []
            self._call(train, "--config", self.arguments.config, "--workdir", workdir, "--resume",
                       *settings)  # fmt: skip
            self.trained.add(workdir)
        return workdir

    def evaluate(self, row: Variant, table: Table | Figure, seed: int) -> Entry:
        """The row's model under the row's settings of evaluation."""
        crop, settings = self.base.data.crop, list(row.test)
        if row.shrink != 1:
            side = getattr(crop, crop.box).enlarge * row.shrink
            settings.append(f"data.crop.{crop.box}.enlarge={side:g}")
        return self.score(self.train(row, seed), self._data(table), settings)

    def score_given(self, table: Table | Figure) -> list[Entry]:
        """Of `given`, in order. Beside variants `--set` is theirs, else of the models named."""
        settings = [] if self.base else self.settings
        made = [self.score(path, self._data(table), settings) for path in self.arguments.ckpt]
        return made + [open_entry(path) for path in self.arguments.report]

    def score(self, ckpt: Path | str, data: str, settings: list[str]) -> Entry:
        path = Path(ckpt)
        name = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        folder = self.folder / "reports" / _slug([str(name), data, *settings])
        if folder not in self.entries:
            more = ["--set", *settings] if settings else []
            self._call(evaluate, "--ckpt", ckpt, "--data", data, "--report", folder, *more)
            self.entries[folder] = open_entry(folder)
        return self.entries[folder]

    def per_face(self, row: Variant, table: Table, seed: int) -> dict[str, np.ndarray]:
        """For columns that are methods of the system: name -> a number of each face."""
        named = {column.statistic for column in table.columns} - set(statistics())
        if not named:
            return {}
        recipe, variables, _ = checkpoints.load(self.train(row, seed))
        source = open_source(self._data(table), recipe.system.points, self.arguments.data_dir)
        batches = evaluation_batches(
            source, recipe.system.points, recipe.data.crop, recipe.system.size, batch=32
        )
        methods = {name: jax.jit(getattr(recipe.system, name)) for name in named}
        found = {name: [] for name in named}
        for batch in batches:
            on_device = {key: batch[key] for key in DEVICE_KEYS}
            for name, method in methods.items():
                found[name].append(np.asarray(method(variables, on_device)))
        return {name: np.concatenate(parts)[: len(source)] for name, parts in found.items()}

    def _data(self, table):
        own = self.base.data.test if self.base else ""
        first = table.data or own if isinstance(table, Figure) else own or table.data
        return self.arguments.data or first

    def _call(self, command, *arguments):
        """A command as a user gives it; what it prints goes to stderr, to keep stdout for ours."""
        line = [*map(str, arguments), "--data-dir", str(self.arguments.data_dir)]
        with contextlib.redirect_stdout(sys.stderr):
            print(f"\n$ {command.__name__.rpartition('.')[2]}.py {' '.join(line)}", flush=True)
            code = command.main(line)
        if code:
            raise SystemExit(code)


def _fitting(system, paths):
    """The first of the paths that the system can start from, "" where it can from none."""
    if not paths:
        return ""
    shapes = initial.arrays_of(jax.eval_shape(system.init, jax.random.key(0)))
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"--init-from {path}: no such file")
        try:
            if path.is_dir() or initial.from_file(system, shapes, path):
                return str(path)
        except InputError as error:
            print(f"not from {path}: {error}", file=sys.stderr)
    return ""


def _slug(settings):
    """Settings or paths -> a folder's name: "system.bands=(1,3)" -> "bands_1_3"."""
    short = (s.removeprefix("system.").replace("()", "none") for s in settings)
    return "-".join(re.sub(r"[^\w.]+", "_", text).strip("_.") for text in short)


def _lines(table: Table, work: Work) -> list[Line]:
    """The paper's lines, those of our variants behind each of them, of given models behind all."""
    measured, lines = table.measure() if table.measure else {}, []
    for row in table.rows:
        lines.append(Line(row.label, "paper", row.paper))
        if row.label in measured:
            lines.append(Line(row.label, "ours", tuple(map(Number, measured[row.label]))))
        elif isinstance(row, Variant) and work.base:
            trainings = [
                _scored(row.label, work.evaluate(row, table, seed), table,
                        work.per_face(row, table, seed))
                for seed in work.seeds
            ]  # fmt: skip
            lines.append(_averaged(trainings))
    if not measured:
        given = zip(work.given, work.score_given(table), strict=True)
        lines += [_scored(name, entry, table) for name, entry in given]
    return lines


def _averaged(trainings: list[Line]) -> Line:
    """One line of a variant's trainings: the means of values and intervals, and the deviations."""
    if len(trainings) == 1:
        return trainings[0]
    numbers = []
    for found in zip(*(line.numbers for line in trainings), strict=True):
        mean = found[0]
        if mean is not None:
            values = [number.value for number in found]
            ends = [(number.low, number.high) for number in found]
            ends = ("", "") if mean.low == "" else map(float, np.mean(ends, axis=0))
            sd = float(np.std(values, ddof=1))
            mean = Number(float(np.mean(values)), *ends, sd, mean.faces)
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
    return Line(label, "ours", tuple(numbers), entry.name, note)


def _number(column, entry, summary, own, per_face):
    """The column's statistic; of another benchmark's faces that of all, by its own normaliser."""
    subset, normaliser = column.subset, column.normaliser
    if not own:
        subset, normaliser = "all", summary["headline"]
    row = next((row for row in summary["rows"] if row["subset"] == subset), None)
    if row is None or normaliser not in row:
        return None
    if own and column.faces:
        row = row | {"official": column.faces}
    if column.region:
        region = next(r for r in summary["regions"] if r["region"] == column.region)
        values = (region["subsets"][subset], *(region["interval"] if subset == "all" else ()))
    elif column.statistic in per_face:
        values = (per_face[column.statistic][entry.results.subset(subset)].mean(),)
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
        if table.grid or number.low == "":
            return value
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
        notes.append(f"ours: {among} faces; ± half of the 95 % interval")
    if (trainings := max(line.trainings for line in lines)) > 1:
        notes.append(f"ours: means of {trainings} trainings; {_deviations(table, lines)}")
    return "\n".join([text, *(f"note: {note}" for note in notes)])


def _deviations(table, lines):
    """Each column's largest standard deviation among the trainings of a line, in words."""
    largest = []
    for place, column in enumerate(table.columns):
        found = [number.sd for number in (line.numbers[place] for line in lines)
                 if isinstance(number, Number) and number.sd != ""]  # fmt: skip
        if found:
            largest.append(f"{column.head} {max(found):.{column.decimals}f}")
    return f"largest standard deviation among them: {', '.join(largest)}"


def _folded(grid):
    """{"row | column": numbers} -> a row of cells for each row."""
    rows = {}
    for label, numbers in grid.items():
        rows.setdefault(label.partition(" | ")[0], []).append(" / ".join(numbers))
    return [(label, *cells) for label, cells in rows.items()]


if __name__ == "__main__":
    sys.exit(main())
