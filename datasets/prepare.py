"""Checking or building a benchmark by its name, with the printed tables."""

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxalign import scheme_files
from jaxalign.datasets import BENCHMARKS, builder, doctor
from jaxalign.datasets.attributes import OPTION, labelled, read
from jaxalign.datasets.faces import Benchmark
from jaxalign.datasets.reduction import limits
from jaxalign.errors import InputError, printable
from jaxalign.folders import readable_errors, whole
from jaxalign.records import json_text


def named(name: str) -> Benchmark:
    """Finds a benchmark.

    Args:
        name: The benchmark's name.

    Returns:
        The benchmark.

    Raises:
        InputError: There is no such benchmark; the message lists all.

    Examples:
        >>> named("wflw").counts["test"]
        2500
    """
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def check(
    name: str,
    root: Path | None = None,
    settings: Sequence[str] = (),
    json_file: Path | None = None,
    *,
    attributes: Path | None = None,
    labels: Path | None = None,
) -> doctor.Examination:
    """Examines the download under `root`, prints the findings, and builds nothing.

    Args:
        name: The benchmark's name.
        root: Its official files, None where the program makes the faces.
        settings: The benchmark's options, "key=value" each.
        json_file: A file to write the findings to as JSON.
        attributes: A file of the faces' attributes (attributes.py).
        labels: The annotations of image_folder, where they are not among the photos.

    Returns:
        The findings.

    Raises:
        InputError: The name, an option, a file or `root` is wrong, or `json_file` cannot be
            written.
    """
    benchmark, options = _asked(name, root, settings, attributes, labels)
    examination = doctor.examine(benchmark, root, options)
    print(examination.table())
    if json_file is not None:
        text = json_text(examination.as_json(), indent=1, ensure_ascii=False)
        with readable_errors(json_file, ""), whole(json_file) as file:
            file.write(f"{text}\n".encode("utf-8", "backslashreplace"))
    return examination


def prepare(
    name: str,
    root: Path | None,
    data_dir: Path | str,
    settings: Sequence[str] = (),
    *,
    attributes: Path | None = None,
    labels: Path | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    max_face: Sequence[str] = (),
) -> tuple[str, builder.Built]:
    """Checks every face of the download under `root` and stores them in `data_dir`.

    Prints the bad faces, and how many faces of each split were found.

    Args:
        name: The benchmark's name.
        root: Its official files, None where the program makes the faces.
        data_dir: Where data sets are stored.
        settings: The benchmark's options, "key=value" each.
        attributes: A file of the faces' attributes, which becomes part of the data set's name
            (attributes.py).
        labels: The annotations of image_folder, where they are not among the photos.
        skip_bad: Leave bad faces out.
        overwrite: Replace a data set that is already there.
        max_face: "PX" or "SPLIT=PX" each: what larger faces are reduced to (reduction.py).

    Returns:
        "NAME[:CONFIG]", by which recipes name the data set, and what was built.

    Raises:
        InputError: Faces are bad and `skip_bad` is off, `attributes` lacks faces, an argument is
            wrong, or the data set is already there and `overwrite` is off.

    Examples:
        ```python
        from pathlib import Path
        from jaxalign.datasets.prepare import prepare

        name, built = prepare("synthetic_faces", None, Path("data"), ["train=8", "test=2"])
        name  # "synthetic_faces:test2-train8"
        built.found["train"]  # 8
        ```
    """
    benchmark, options = _asked(name, root, settings, attributes, labels)
    try:
        built = builder.build(
            benchmark, root, data_dir, options, skip_bad=skip_bad, overwrite=overwrite,
            max_face=limits(benchmark, max_face),
        )  # fmt: skip
    except builder.BadFaces as error:
        _list_bad(error.faces)
        raise
    _list_bad(built.bad)
    print(_table(benchmark.expected(options), built.found))
    for what, _, finding, cases in built.noticed.told():
        first = f" (first: {cases[0]})" if cases else ""
        print(printable(f"{what}: {finding}{first}"), file=sys.stderr)
    for split, reduction in built.reductions.items():
        print(f"{split}: {reduction.told}; --max-face 0 keeps whole photos")
    print(f"\nstored in {built.folder}")
    config = benchmark.config(options)
    return name if config == "default" else f"{name}:{config}", built


def _asked(name, root, settings, attributes, labels):
    benchmark = named(name)
    if benchmark.needs_root and root is None:
        raise InputError(f"--from DIR is missing. {benchmark.instructions}")
    if not benchmark.needs_root and root is not None:
        raise InputError(f"{benchmark.name} is made by the program; leave out --from")
    options = benchmark.parse_options(settings)
    if "scheme" in options:
        options["scheme"] = scheme_files.beside(root, str(options["scheme"]))
    if labels is not None:
        if "layout" not in options:
            raise InputError("--labels goes with image_folder: benchmarks hold their own")
        if not labels.exists():
            raise InputError(f"{labels}: no such file or folder; give that of the annotations")
        benchmark = dataclasses.replace(benchmark, faces=partial(benchmark.faces, labels=labels))
    if attributes is None:
        return benchmark, options
    labels = read(attributes)
    return labelled(benchmark, labels), options | {OPTION: labels.digest}


def _list_bad(faces):
    for bad in faces:
        print(printable(f"bad: {bad.path}: {bad.reason}"), file=sys.stderr)
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
