r"""How the error falls with the number of training photos, from several starts.

examples:
  python -m benchmarks.few_photos --config integral_ibug_300w --data ibug_300w/train \
      --test ibug_300w/lfpw_test --faces 50 200 800 2012 --starts none drawn --steps 1500 \
      --set system.width=56 system.decoder_width=80 --out runs/few

needs: data made by jaxalign prepare, and a recipe whose network is that of the starts (here that of
the weights drawn). Leaves in --out few_photos.md, which is printed too, few_photos.json,
few_photos.png, a folder for each training, START_FACES, and for each start as it is, START_0.

Every training takes as many steps, with the recipe's rates stretched over them. Its faces are whole
groups (photos), in the order of their names' hashes: fewer are among more, and the true number is
near the one asked for. Groups that the test set has too are never trained on. Intervals are of the
choice of the test faces, not of the training photos or the chance in training (of that, `--set
training.seed=1` in another --out gives a second sample).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.starts import Pool, Starts, add_arguments, recipe_of, scored_by, told
from jaxalign.commands import import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import Entry, aligned, compare, comparison_table
from jaxalign.evaluation.pictures import COLOURS, NAMES
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import Table, to_markdown
from jaxalign.protocols import Protocol
from jaxalign.records import json_text


LIMIT = 0.08  # NME above which a face counts as failed
KEPT = ("numbers", "intervals", "difference")


def nearest(groups: Mapping[str, int], faces: int) -> list[str]:
    """The first groups, of so many faces each, that have as near to `faces` as whole groups can;
    one at least."""
    kept, total = [], 0
    for group, size in groups.items():
        if kept and abs(total + size - faces) >= abs(total - faces):
            break
        kept.append(group)
        total += size
    return kept


def training_faces(data: Pool, test: Pool, faces: Sequence[int]) -> list[Pool]:
    """Nested parts of `data`, without the groups of `test`, of about so many faces each. Errors:
    InputError where there are not as many."""
    data.check_families(test)
    data = data.only(data.groups.keys() - test.groups.keys())
    for number in faces:
        if not 0 < number <= len(data):
            raise InputError(
                f"--faces {number}: {data.name} has {len(data)} to train on (photos of {test.name} "
                "left out); ask for 1 to as many"
            )
    return [data.only(nearest(data.groups, number)) for number in faces]


def compared(
    train: Pool | None, results: Mapping[str, Results], protocol: Protocol
) -> tuple[list[dict], Table]:
    """Start -> its results after training on these faces, None: as it is. Gives rows for JSON,
    {"start", "faces", "photos"} and KEPT as compare.compare has them, and the same as a table."""
    comparison = compare(aligned([Entry(*pair) for pair in results.items()]), protocol)
    size = {"faces": 0, "photos": 0}
    if train is not None:
        size = {"faces": len(train), "photos": len(train.groups)}
    rows = [{"start": row["run"], **size, **{key: row[key] for key in KEPT}}
            for row in comparison["rows"] if row["subset"] == "all"]  # fmt: skip
    table = comparison_table(comparison)
    cells = [(row[0], *map(str, size.values()), *row[1:5]) for row in table.rows]
    return rows, Table(table.title, ("start", *size, *table.heads[1:5]), tuple(cells))


def draw(path: Path, rows: Sequence[dict], title: str, normaliser: str):
    """NME over the number of faces, a line for each start; dashed where it is not trained."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(7.5, 5.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(row["start"] for row in rows if row["faces"]))
    for place, name in enumerate(names):
        own = [row for row in rows if row["start"] == name and row["faces"]]
        colour = COLOURS[place % len(COLOURS)]
        beside = 1.02 ** (place - (len(names) - 1) / 2)  # bars of one number of faces side by side
        middle = [100 * row["numbers"]["nme"] for row in own]
        ends = [[100 * end for end in row["intervals"]["nme"]] for row in own]
        bars = [[abs(end - at) for (at, end) in zip(middle, side, strict=True)]
                for side in zip(*ends, strict=True)]  # fmt: skip
        axes.errorbar([row["faces"] * beside for row in own], middle, bars, fmt="o-", color=colour,
                      capsize=3, label=f"start: {name}")  # fmt: skip
        for row in rows:
            if row["start"] == name and not row["faces"]:
                axes.axhspan(*(100 * end for end in row["intervals"]["nme"]), color=colour,
                             alpha=0.12, linewidth=0)  # fmt: skip
                axes.axhline(100 * row["numbers"]["nme"], color=colour, linestyle="dashed",
                             label=f"{name}, no photo trained on")  # fmt: skip
    axes.set_xscale("log")
    numbers = sorted({row["faces"] for row in rows if row["faces"]})
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="training faces", ylabel=f"NME, % of {NAMES[normaliser]}", title=title)
    axes.set_ylim(0)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.few_photos", __doc__)
    add_arguments(parser)
    parser.add_argument("--data", required=True, help="NAME/SPLIT to train on")
    parser.add_argument("--test", required=True, help="NAME/SPLIT to score")
    parser.add_argument("--faces", type=int, nargs="+", required=True, help="how many to train on")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _measure(arguments))


def _measure(arguments):
    import_files(arguments)
    recipe = recipe_of(arguments)
    scheme = recipe.system.points
    data, test = (
        Pool.of([spec], scheme, arguments.data_dir) for spec in (arguments.data, arguments.test)
    )
    numbers = sorted(set(arguments.faces))
    parts = training_faces(data, test, numbers)
    with told():
        starts = Starts(recipe, arguments.starts, arguments.steps, arguments.out)
        protocol = replace(scored_by(test), limits=(LIMIT,))
        normaliser = protocol.normaliser
        found: list = [(None, [starts.untrained(name, test, normaliser) for name in starts.names])]
        for train, number in zip(parts, numbers, strict=True):
            files = [starts.trained(name, str(number), train, test, normaliser)
                     for name in starts.names]  # fmt: skip
            found.append((train, files))
    rows, tables = [], []
    for train, files in found:
        pairs = zip(starts.names, files, strict=True)
        results = {name: Results.load(file) for name, file in pairs if file}
        if results:
            more, table = compared(train, results, protocol)
            rows, tables = [*rows, *more], [*tables, table]
    _write(Path(arguments.out), arguments, rows, tables, starts, protocol)


def _write(out, arguments, rows, tables, starts, protocol):
    about = {"config": arguments.config, "settings": arguments.settings, "data": arguments.data,
             "test": arguments.test, "steps": starts.steps, "headline": protocol.normaliser,
             "starts": starts.lines}  # fmt: skip
    text = json_text(about | {"rows": rows}, indent=2) + "\n"
    (out / "few_photos.json").write_text(text, encoding="utf-8")
    title = f"{arguments.test}, {starts.steps} steps on {arguments.data}"
    scored = tables[0].title.removeprefix("all, ")
    head = f"{title}: {scored}; difference: to the first start of as many faces"
    cells = tuple(row for table in tables for row in table.rows)
    text = to_markdown(Table(head, tables[0].heads, cells)) + "\n\n" + starts.about()
    (out / "few_photos.md").write_text(text, encoding="utf-8")
    draw(out / "few_photos.png", rows, title, protocol.normaliser)
    print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
