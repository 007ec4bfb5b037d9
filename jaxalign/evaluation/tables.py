"""A summary as tables for the console, CSV and Markdown. Numbers are in percent, except in CSV."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxalign.errors import printable
from jaxalign.evaluation.summary import is_share, statistics
from jaxalign.records import json_text


@dataclass(frozen=True)
class Table:
    """A table of text. A cell with an error bar is a pair (value, interval)."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str | tuple[str, str], ...], ...]


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def with_interval(value: float | None, ends: Sequence[float] | None) -> str | tuple[str, str]:
    """A fraction and the ends of its interval, in percent, or "-" if there is none."""
    return "-" if ends is None else (percent(value), f"[{percent(ends[0])}, {percent(ends[1])}]")


def heading(statistic: str) -> str:
    """Column head of a statistic: "nme" -> "NME", "fr@8" -> "FR@8"."""
    name, at, limit = statistic.partition("@")
    return name.upper() + at + limit


def size_of(row: dict, normaliser: str = "") -> str:
    """How many faces a row of the summary stands for, such as "224" or "224 of 554".

    The second form is for rows where faces are missing, or lack the points of the normaliser.
    """
    if normaliser in row.get("measured", {}):
        return f"{row['measured'][normaliser]} of {row['faces']}"
    incomplete = row["official"] not in (0, row["faces"])
    return f"{row['faces']} of {row['official']}" if incomplete else str(row["faces"])


def print_table(summary: dict) -> str:
    """The results as aligned text: a block for each normaliser, the headline first.

    Each number stands with half the width of its interval. A failure rate stands with the ends,
    because its interval is not symmetric about it.
    """
    columns = statistics(summary["limits"])
    names = [row["subset"] for row in summary["rows"]]
    normalisers = summary["normalisers"]
    sizes = [size_of(row, name) for row in summary["rows"] for name in ("", *normalisers)]
    first = max(map(len, [*names, *(f"{name} %" for name in normalisers)]))
    second = max(map(len, ["faces", *sizes]))
    lines = []
    for normaliser in normalisers:
        cells = "".join(f"{heading(key):>9}{'':{_width(key)}}" for key in columns).rstrip()
        lines.append(f"{normaliser + ' %':<{first}}  {'faces':>{second}}{cells}")
        for row in _having(summary, normaliser):
            cells = "".join(_with_bar(row, normaliser, key) for key in columns).rstrip()
            lines.append(f"{row['subset']:<{first}}  {size_of(row, normaliser):>{second}}{cells}")
        lines.append("")
    lines.append(f"±, [ ]: half, ends of the {interval_name(summary)}")
    return "\n".join([*lines, *fractions(summary), *summary["notes"]])


def _having(summary, normaliser):
    """The rows in which some face has the normaliser's distance."""
    return [row for row in summary["rows"] if normaliser in row]


def interval_name(summary: dict) -> str:
    bootstrap = summary["bootstrap"]
    resamples = f"{bootstrap['resamples']} resamples of faces"
    return f"{100 * bootstrap['level']:g} % interval (FR: Wilson's; else {resamples})"


def fractions(summary: dict) -> list[str]:
    """A line with the NMSE of Hsu et al., if the protocol has point sets of its own."""
    sets = [row for row in summary["regions"] if row["own"]]
    if not sets or summary["headline"] != "inter_ocular":
        return []
    whole = summary["rows"][-1]["inter_ocular"]["nme"]
    parts = "".join(f", {row['region']} {row['nme']:.4f}" for row in sets)
    return [f"NMSE (inter_ocular, as fractions): all points {whole:.4f}{parts}"]


def papers_table(summary: dict) -> Table:
    """The rows and columns that the benchmark's papers print, by the headline normaliser."""
    columns = statistics(summary["limits"])
    return _subset_table(summary, summary["headline"], columns, f"By {summary['headline']}, %")


def normaliser_tables(summary: dict) -> list[Table]:
    """One table for each normaliser, with every threshold."""
    columns = statistics(summary["thresholds"])
    return [_subset_table(summary, name, columns, f"{name}, %") for name in summary["normalisers"]]


def percentile_table(summary: dict) -> Table:
    """Percentiles of the faces' errors by the headline normaliser."""
    headline = summary["headline"]
    rows = [row for row in summary["rows"] if "percentiles" in row]
    shares = list(rows[0]["percentiles"][headline])
    return Table(
        f"Percentiles of the faces' NME by {headline}, %",
        ("subset", *(f"p{share}" for share in shares)),
        tuple(
            (row["subset"], *(percent(row["percentiles"][headline][share]) for share in shares))
            for row in rows
        ),
    )


def region_table(summary: dict) -> Table:
    """NME of each region of the face: over all faces, with its interval, and over the subsets."""
    regions = summary["regions"]
    subsets = [name for name in regions[0]["subsets"] if name != "all"]
    return Table(
        f"NME per region by {summary['headline']}, %; mean offset to the right and down",
        ("region", "points", "all", *subsets, "right", "down"),
        tuple(
            (
                row["region"],
                str(row["points"]),
                with_interval(row["nme"], row["interval"]),
                *(percent(row["subsets"][name]) for name in subsets),
                *map(percent, row["bias"]),
            )
            for row in regions
        ),
    )


def landmark_table(summary: dict) -> Table:
    """NME of each landmark over all faces."""
    return Table(
        f"NME per landmark by {summary['headline']}, %; mean offset to the right and down; median "
        "error in pixels",
        ("landmark", "name", "region", "NME", "right", "down", "median, px", "hidden, %"),
        tuple(
            (
                str(row["index"]),
                row["name"],
                ", ".join(row["regions"]),
                with_interval(row["nme"], row["interval"]),
                *map(percent, row["bias"]),
                "-" if row["median"] is None else f"{row['median']:.2f}",
                percent(row["hidden"]),
            )
            for row in summary["landmarks"]
        ),
    )


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown, with its title above."""

    def line(cells):
        texts = (cell if isinstance(cell, str) else " ".join(cell) for cell in cells)
        return "| " + " | ".join(in_markdown(text).replace("|", "\\|") for text in texts) + " |"

    rule = "|---|" + "---:|" * (len(table.heads) - 1)
    lines = [line(table.heads), rule, *(line(row) for row in table.rows)]
    return f"**{in_markdown(table.title)}**\n\n" + "\n".join(lines)


def in_markdown(text: str) -> str:
    """A text as one line of Markdown without HTML, which names of others may hold."""
    return printable(text).replace("<", "&lt;")


def to_text(table: Table) -> str:
    """The table as aligned text for a console."""
    rows = [[cell if isinstance(cell, str) else " ".join(cell) for cell in row] for row in
            (table.heads, *table.rows)]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *cells]))
    return "\n".join([table.title, *lines])


def write_tables(folder: Path, summary: dict) -> None:
    """Write table.csv, regions.csv and landmarks.csv, in fractions."""
    columns = statistics(summary["thresholds"])
    shares = list(summary["rows"][-1]["percentiles"][summary["headline"]])
    heads = [name for key in columns for name in (key, f"{key}_low", f"{key}_high")]
    rows = [["normaliser", "subset", "faces", *heads, *(f"p{share}" for share in shares)]]
    for normaliser in summary["normalisers"]:
        for row in _having(summary, normaliser):
            bars, spread = row["intervals"][normaliser], row.get("percentiles", {})
            numbers = [x for key in columns for x in (row[normaliser][key], *bars[key])]
            spread = [spread[normaliser][share] if spread else "" for share in shares]
            faces = row.get("measured", {}).get(normaliser, row["faces"])
            rows.append([normaliser, row["subset"], faces, *numbers, *spread])
    write_rows(folder / "table.csv", rows)
    subsets = list(summary["regions"][0]["subsets"])
    rows = [["region", "points", "nme", "nme_low", "nme_high", "bias_x", "bias_y",
             *subsets]]  # fmt: skip
    for row in summary["regions"]:
        rows.append([row["region"], row["points"], row["nme"], *(row["interval"] or ("", "")),
                     *row["bias"], *row["subsets"].values()])  # fmt: skip
    write_rows(folder / "regions.csv", rows)
    rows = [["landmark", "name", "regions", "nme", "nme_low", "nme_high", "bias_x", "bias_y",
             "median_px", "hidden", "labelled"]]  # fmt: skip
    for row in summary["landmarks"]:
        rows.append([row["index"], row["name"], " ".join(row["regions"]), row["nme"],
                     *(row["interval"] or ("", "")), *row["bias"], row["median"], row["hidden"],
                     row["labelled"]])  # fmt: skip
    write_rows(folder / "landmarks.csv", rows)


def write_rows(path: Path, rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, indented.

    What JSON does not know becomes text. Bytes of names that are no UTF-8 become escapes.

    Args:
        path: The file.
        value: The value.
    """
    text = json_text(value, indent=2, default=str, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")


def _subset_table(summary, normaliser, columns, title):
    return Table(
        title,
        ("subset", "faces", *map(heading, columns)),
        tuple(
            (
                row["subset"],
                size_of(row, normaliser),
                *(
                    with_interval(row[normaliser][key], row["intervals"][normaliser][key])
                    for key in columns
                ),
            )
            for row in _having(summary, normaliser)
        ),
    )


def _width(key):
    return 17 if is_share(key) else 7


def _with_bar(row, normaliser, key):
    value, ends = row[normaliser][key], row["intervals"][normaliser][key]
    bar = with_interval(value, ends)[1] if is_share(key) else f"±{percent((ends[1] - ends[0]) / 2)}"
    return f"{percent(value):>9} {bar:<{_width(key) - 1}}"
