"""Several runs on the same faces, side by side: their numbers, differences and curves."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import metrics, scheme_files, texts
from jaxalign.errors import InputError
from jaxalign.evaluation import page, pictures, wilson
from jaxalign.evaluation.bootstrap import intervals, resampled_means
from jaxalign.evaluation.report import LEVELS, replaced, write_columns
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import (
    DECIMALS,
    is_share,
    mean_intervals,
    per_face,
    statistics,
    subset_names,
)
from jaxalign.evaluation.tables import (
    Table,
    heading,
    percent,
    to_markdown,
    with_interval,
    write_json,
    write_rows,
)
from jaxalign.evaluation.truth import match
from jaxalign.protocols import Protocol


KIND = "comparison"
FILES = (
    "comparison.html", "comparison.md", "comparison.json", "comparison.csv",
    "comparison_ced.csv", "comparison_ced.png",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A run to be compared.

    Attributes:
        name: Its name.
        results: Its faces.
        benchmark: The name of the benchmark, if it is known.
    """

    name: str
    results: Results
    benchmark: str = ""


def open_entry(path: Path | str) -> Entry:
    """Open a run.

    Args:
        path: A report's folder, or a predictions.jsonl. The report beside it names the benchmark,
            and holds the scheme where that is a user's own.

    Returns:
        The run.

    Raises:
        InputError: The file cannot be read, or another scheme has the name of its own.
    """
    path = Path(path)
    file = path / "predictions.jsonl" if path.is_dir() else path
    benchmark, own = "", None  # no report beside it: the default protocol, or that of --data
    try:
        report = texts.json_of(texts.read(name := file.with_name("report.json")), name)
        benchmark = str(report["about"].get("benchmark", ""))
        own = scheme_files.made(report["scheme"])
    except (InputError, KeyError, TypeError, AttributeError, ValueError):
        pass
    if own:
        scheme_files.register(own, str(name))
    return Entry(str(path), Results.load(file), benchmark)


def aligned(entries: Sequence[Entry]) -> list[Entry]:
    """Bring runs to the same order of faces.

    Args:
        entries: The runs.

    Returns:
        The runs, with their faces in the order of the ids.

    Raises:
        InputError: Faces, schemes or true points are not the same in all runs. A difference of runs
            on different faces would say nothing.
    """
    first = entries[0]
    whole = [Entry(first.name, first.results.by_id(), first.benchmark)]
    wanted = whole[0].results
    for entry in entries[1:]:
        found = entry.results
        if found.scheme != wanted.scheme:
            raise InputError(
                f"{entry.name} holds {found.scheme.name}, {first.name} {wanted.scheme.name}; "
                "compare runs of one scheme"
            )
        places = {name: index for index, name in enumerate(found.ids)}
        order = match(wanted.ids, places, first.name, entry.name)
        found = found.take(order)
        same = np.isclose(found.truth, wanted.truth, rtol=0, atol=0.01, equal_nan=True)
        apart = ~same.all(axis=(1, 2))
        if apart.any():
            names = [wanted.ids[index] for index in np.flatnonzero(apart)]
            raise InputError(
                f"{entry.name} and {first.name} have other true points for {len(names)} faces "
                f"({metrics.listed(names, 10)}); score both against the same annotations"
            )
        whole.append(Entry(entry.name, found, entry.benchmark))
    return whole


def compare(entries: Sequence[Entry], protocol: Protocol) -> dict:
    """Compare aligned runs by the headline normaliser, over all faces and over the proper subsets.

    The keys are "headline", "limits", "statistics", "runs" and "rows". A row is of a subset and a
    run: {"subset", "faces", "run", "numbers": {statistic: value}, "intervals": {statistic: [low,
    high]}, "difference"}. "difference" holds the numbers and intervals of this run less the first,
    or None for the first. Its intervals are paired: the resamples of the faces are the same for
    both runs (failure rates have Newcombe's intervals, see `wilson.of_difference`).

    Args:
        entries: The runs, from `aligned`.
        protocol: The protocol.

    Returns:
        The comparison, ready for JSON, in fractions.
    """
    headline, rows = protocol.normaliser, []
    names, ids = statistics(protocol.limits), entries[0].results.ids
    values = [per_face(entry.results.nme(headline), protocol.limits) for entry in entries]
    for subset in subset_names(entries[0].results, protocol):
        chosen = np.flatnonzero(entries[0].results.subset(subset))
        if subset != "all" and len(chosen) == len(ids):
            continue
        some = [ids[index] for index in chosen]
        for entry, numbers in zip(entries, values, strict=True):
            row = {"subset": subset, "faces": len(chosen), "run": entry.name}
            ours, first = numbers[chosen], values[0][chosen]
            means = resampled_means(ours, some)
            row |= _numbers(ours, names, mean_intervals(ours, names, means))
            row["difference"] = None
            if entry is not entries[0]:
                ends = _change_intervals(ours, first, names, some)
                row["difference"] = _numbers(ours - first, names, ends)
            rows.append(row)
    return {
        "headline": headline,
        "limits": list(protocol.limits),
        "statistics": names,
        "runs": [entry.name for entry in entries],
        "rows": rows,
    }


def comparison_table(comparison: dict, subset: str = "all") -> Table:
    """The runs on one subset by the protocol's first limit, and their differences to the first run.

    A difference is marked if 0 lies outside its interval.

    Args:
        comparison: From `compare`.
        subset: The subset.

    Returns:
        The table.
    """
    names, rows = statistics(comparison["limits"][:1]), []
    chosen = [row for row in comparison["rows"] if row["subset"] == subset]
    for row in chosen:
        cells = [row["run"]]
        for name in names:
            cells.append(with_interval(row["numbers"][name], row["intervals"][name]))
            cells.append(_change(row["difference"], name))
        rows.append(tuple(cells))
    heads = [head for name in names for head in (heading(name), "difference")]
    faces = f"{chosen[0]['faces']} faces"
    return Table(
        f"{subset}, {faces}, by {comparison['headline']}, %; *: 0 lies outside the interval",
        ("run", *heads),
        tuple(rows),
    )


def write_comparison(
    folder: Path | str,
    entries: Sequence[Entry],
    comparison: dict,
    protocol: Protocol,
    about: dict,
) -> None:
    """Write FILES into a folder: the comparison and the curves of aligned runs.

    Args:
        folder: The folder.
        entries: The runs, from `aligned`.
        comparison: From `compare`.
        protocol: The protocol.
        about: Where the numbers come from.
    """
    subsets = list(dict.fromkeys(row["subset"] for row in comparison["rows"]))
    ordered = ["all", *(name for name in subsets if name != "all")]
    tables = [comparison_table(comparison, subset) for subset in ordered]
    with replaced(folder, KIND, FILES) as partial:
        write_json(partial / "comparison.json", {"about": about, "comparison": comparison})
        write_rows(partial / "comparison.csv", _csv_rows(comparison))
        _write_curves(partial, entries, protocol)
        _write_pages(partial, comparison, tables, about)


def _change_intervals(ours, first, names, ids):
    ends = intervals(resampled_means(ours - first, ids))
    for column in (i for i, name in enumerate(names) if is_share(name)):
        ends[column] = wilson.of_difference(ours[:, column], first[:, column])
    return ends


def _numbers(values, names, ends):
    means = values.mean(axis=0)
    return {
        "numbers": {
            name: round(float(value), DECIMALS) for name, value in zip(names, means, strict=True)
        },
        "intervals": {
            name: [round(float(low), DECIMALS), round(float(high), DECIMALS)]
            for name, (low, high) in zip(names, ends, strict=True)
        },
    }


def _change(difference, name):
    if difference is None:
        return "-"
    value, (low, high) = difference["numbers"][name], difference["intervals"][name]
    mark = " *" if low > 0 or high < 0 else ""
    return f"{100 * value:+.2f}{mark}", f"[{100 * low:+.2f}, {100 * high:+.2f}]"


def _csv_rows(comparison):
    names = comparison["statistics"]
    parts = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    yield ["subset", "faces", "run", *(name + part for name in names for part in parts)]
    for row in comparison["rows"]:
        cells = []
        for name in names:
            cells += [row["numbers"][name], *row["intervals"][name]]
            change = row["difference"]
            cells += (
                ["", "", ""]
                if change is None
                else [change["numbers"][name], *change["intervals"][name]]
            )
        yield [row["subset"], row["faces"], row["run"], *cells]


def _write_curves(folder, entries, protocol):
    limit = protocol.limits[0]
    errors = {entry.name: entry.results.nme(protocol.normaliser) for entry in entries}
    curves = {name: metrics.ced(error, LEVELS) for name, error in errors.items()}
    write_columns(folder / "comparison_ced.csv", LEVELS, curves)
    lines = [
        (
            f"{name}: NME {percent(errors[name].mean())} %, "
            f"AUC@{100 * limit:g} {100 * metrics.auc(errors[name], limit):.1f} %",
            share,
            False,
        )
        for name, share in curves.items()
    ]
    pictures.write_curves(
        folder / "comparison_ced.png",
        LEVELS,
        lines,
        limits=protocol.limits,
        across=f"normalised mean error of a face, % of {pictures.NAMES[protocol.normaliser]}",
        up="faces with no larger error, %",
    )


def _write_pages(folder, comparison, tables, about):
    title = f"{len(comparison['runs'])} runs compared"
    note = (
        "Differences are to the first run, with 95 % intervals of a paired bootstrap: the same "
        "resamples of the faces for both runs. Failure rates have Wilson's interval, their "
        "differences Newcombe's for pairs. Intervals measure the choice of the faces, not the "
        "chance in training."
    )
    first, *others = [page.to_html(table) for table in tables]
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="lead">{html.escape(note)}</p>',
        first,
        page.beside("comparison.csv"),
        page.figure(folder / "comparison_ced.png", "Cumulative error distributions."),
        page.beside("comparison_ced.csv"),
        page.folded("Subsets", *others) if others else "",
        "<h2>How it was measured</h2>",
        page.facts(about),
    ]
    (folder / "comparison.html").write_text(page.page(title, sections), encoding="utf-8")
    links = page.beside_in_markdown("comparison.csv", "comparison_ced.csv")
    blocks = [f"# {title}", note, to_markdown(tables[0]), "![CED](comparison_ced.png)", links,
              *map(to_markdown, tables[1:]), page.listed(about)]  # fmt: skip
    (folder / "comparison.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
