"""Prepare a benchmark: check every face of an official download and store it for training.

examples:
  python prepare.py ibug_300w --from ~/downloads/300w --check
  python prepare.py ibug_300w --from ~/downloads/300w
  python prepare.py synthetic_faces --set train=1000 test=200

needs: the benchmark's official files, unpacked; without --from it says where they are and how they
must lie. synthetic_faces needs nothing: they are drawn.
leaves: DATA_DIR/NAME, which train.py and evaluate.py read; printed: the faces of each split.

TFDS's own command line (`tfds build`) cannot do this: it needs TensorFlow and Apache Beam, and
this project needs neither. What is written is a TFDS data set in array_record files all the same.
"""

import argparse
import json
import sys
from pathlib import Path

from jaxalign.commands import run
from jaxalign.errors import InputError
from jaxalign.sources import DEFAULT_DATA_DIR


def main(argv: list[str] | None = None) -> int:
    """The command `prepare`; returns its exit code."""
    arguments = parser().parse_args(argv)
    return run(lambda: _prepare(arguments))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="the benchmark; a wrong one lists those there are")
    add("--from", dest="root", type=Path, metavar="DIR", help="folder of its files, as downloaded")
    add(
        "--data-dir",
        type=Path,
        default=DEFAULT_DATA_DIR,
        metavar="D",
        help="where to store it (default: JAXALIGN_DATA of the environment, else ./data)",
    )
    add(
        "--check",
        action="store_true",
        help="build nothing, tell what is missing, broken, twice there or known to leak; the exit "
        "code is 2 where something FAILs",
    )
    add("--json", type=Path, metavar="FILE", help="with --check: the same as JSON")
    add("--skip-bad", action="store_true", help="leave faces out that cannot be used")
    add("--overwrite", action="store_true", help="build again what is already prepared")
    add(
        "--set",
        dest="settings",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="options of the benchmark; a wrong key lists those it has",
    )
    return parser


def _prepare(arguments):
    from jaxalign.datasets import BENCHMARKS

    if arguments.name not in BENCHMARKS:
        raise InputError(f"no benchmark {arguments.name!r}; there are: {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[arguments.name]
    if benchmark.needs_root and arguments.root is None:
        raise InputError(f"--from DIR is missing. {benchmark.instructions}")
    if not benchmark.needs_root and arguments.root is not None:
        raise InputError(f"{benchmark.name} is made by the program; leave out --from")
    options = benchmark.parse_options(arguments.settings)
    if arguments.check:
        return _check(benchmark, arguments, options)
    if arguments.json is not None:
        raise InputError("--json goes with --check; a build writes no JSON")
    return _build(benchmark, arguments, options)


def _check(benchmark, arguments, options):
    from jaxalign.datasets import doctor

    examination = doctor.examine(benchmark, arguments.root, options)
    print(examination.table())
    if arguments.json is not None:
        text = json.dumps(examination.as_json(), indent=1, ensure_ascii=False)
        try:
            arguments.json.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{arguments.json}: cannot be written ({error.strerror})") from None
    return 2 if examination.count(doctor.FAIL) else 0


def _build(benchmark, arguments, options):
    from jaxalign.datasets import builder

    data_dir = arguments.data_dir
    try:
        built = builder.build(
            benchmark, arguments.root, data_dir, options, arguments.skip_bad, arguments.overwrite
        )
    except builder.BadFaces as error:
        _list_bad(error.faces)
        raise
    _list_bad(built.bad)
    print(_table(benchmark.expected(options), built.found))
    config = benchmark.config(options)
    name = benchmark.name if config == "default" else f"{benchmark.name}:{config}"
    print(f"\nstored in {built.folder}")
    print(_next_step(name, built.found, data_dir))


def _list_bad(faces):
    for bad in faces:
        print(f"bad: {bad.path}: {bad.reason}", file=sys.stderr)
    if faces:
        print(f"{len(faces)} bad faces", file=sys.stderr)


def _table(expected, found):
    names = [*expected, *(name for name in found if name not in expected)]
    rows = [("split or subset", "expected", "found", "")]
    for name in names:
        number, wanted = found.get(name, 0), expected.get(name)
        missing = wanted is not None and number < wanted
        remark = f"{wanted - number} missing" if missing else ""
        rows.append((name, "-" if wanted is None else str(wanted), str(number), remark))
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{a:{width}}  {b:>8}  {c:>8}  {d}".rstrip() for a, b, c, d in rows)


def _next_step(name, found, data_dir):
    where = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    if "train" in found:
        command = f"python train.py --config configs/RECIPE.py --workdir W{where}"
        return f"next: {command} --set data.train={name}/train"
    return f"next: python evaluate.py --ckpt W{where} --data {name}/test"
