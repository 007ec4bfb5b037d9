r"""k-fold cross-validation of a recipe from several starts, for sets too small to be parted.

examples:
  python -m benchmarks.cross_validation --config integral_ibug_300w --data wflw/train wflw/test \
      --folds 5 --starts none drawn --steps 300 --out runs/folds \
      --set system.scheme=wflw98 system.width=56 system.decoder_width=80

needs: data made by jaxalign prepare, and a recipe whose network is that of the starts (here that of
the weights drawn). Leaves in --out a folder for each training, START_FOLD, and for each start as it
is, START_0; the predictions on all faces, NAME.jsonl, and the files that `jaxalign evaluate
--compare` leaves, of which comparison.md has the table that is printed.

The faces of all --data are parted by whole groups (photos), in the order of their names' hashes.
Each face is predicted once, by the model that was trained on the other folds; numbers are over all
faces, scored by the protocol of the first data set. Intervals, and those of the paired differences
to the first start, are of the choice of the faces, not of the chance in training.
"""

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.starts import Pool, Starts, add_arguments, recipe_of, scored_by, told
from jaxalign.commands import import_files, new_parser, run
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import (
    Entry,
    aligned,
    compare,
    comparison_table,
    write_comparison,
)
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import to_markdown
from jaxalign.sources import benchmark_of


def folds(data: Pool, number: int) -> list[tuple[Pool, Pool]]:
    """(rest, fold) of each fold: every group is in one of them, and their numbers of groups differ
    by one at most. Errors: InputError for fewer than two, or more than there are groups."""
    data.check_families(data)
    groups = list(data.groups)
    if not 2 <= number <= len(groups):
        raise InputError(f"--folds {number}: {data.name} can be parted into 2 to {len(groups)}")
    held = [set(groups[start::number]) for start in range(number)]
    return [(data.only(set(groups) - own), data.only(own)) for own in held]


def pooled(files: Iterable[Path], to: Path) -> Results:
    """Several predictions.jsonl as one, which is also written."""
    to.write_text("".join(file.read_text(encoding="utf-8") for file in files), encoding="utf-8")
    return Results.load(to)


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.cross_validation", __doc__)
    add_arguments(parser)
    parser.add_argument("--data", nargs="+", required=True, help="NAME/SPLIT each")
    parser.add_argument("--folds", type=int, default=5, help="(default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    command = shlex.join(sys.argv[1:] if argv is None else argv)
    return run(lambda: _measure(arguments, f"python -m benchmarks.cross_validation {command}"))


def _measure(arguments, command):
    import_files(arguments)
    recipe = recipe_of(arguments)
    data = Pool.of(arguments.data, recipe.system.points, arguments.data_dir)
    parts = folds(data, arguments.folds)
    with told():
        starts = Starts(recipe, arguments.starts, arguments.steps, arguments.out)
        protocol = scored_by(data)
        found = {name: [] for name in starts.names}
        for number, (rest, fold) in enumerate(parts, 1):
            part = f"{number}of{len(parts)}"
            for name, files in found.items():
                files.append(starts.trained(name, part, rest, fold, protocol.normaliser))
        plain = {name: starts.untrained(name, data, protocol.normaliser) for name in starts.names}
    out = Path(arguments.out)
    entries = [Entry(name, pooled(files, out / f"{starts.folders[name]}.jsonl"))
               for name, files in found.items()]  # fmt: skip
    entries += [Entry(f"{name}, untrained", Results.load(file))
                for name, file in plain.items() if file]  # fmt: skip
    entries = aligned(entries)
    comparison = compare(entries, protocol)
    about = {
        "data": data.name,
        "benchmark": benchmark_of(data.name),
        "folds": ", ".join(f"{len(fold)} faces of {len(fold.groups)} photos" for _, fold in parts),
        "steps": starts.steps,
        "starts": starts.lines,
        "command": command,
    }
    write_comparison(out, entries, comparison, protocol, about)
    print(to_markdown(comparison_table(comparison)), starts.about(), sep="\n\n", end="")


if __name__ == "__main__":
    sys.exit(main())
