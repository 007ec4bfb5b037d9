"""What an evaluation leaves behind: the numbers, a table, the CED curve, faces, predictions."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxalign import metrics
from jaxalign.errors import InputError
from jaxalign.evaluation import pictures
from jaxalign.evaluation.results import Results
from jaxalign.protocols import Protocol


# Of every NME and AUC in the summary: 0.001 %, far above what the order of float32 sums can move.
DECIMALS = 5
FILES = ("report.json", "table.csv", "ced.csv", "ced.png", "predictions.jsonl", "faces.png")


def summarise(results: Results, protocol: Protocol) -> dict:
    """The protocol's numbers, ready for JSON; fractions, not percent.

    {"scheme", "headline", "normalisers", "thresholds", "rows": [{"subset", "faces", "official",
    normaliser: {"nme", "fr@8", ..., "auc@8", ...}, ...}, ...]}: a row for each subset that some
    face counts to, in the protocol's order and then by name, and one for "all" faces. "official"
    is the subset's size in the complete benchmark, 0 where none is fixed.
    """
    errors = {name: results.nme(name) for name in protocol.normalisers}
    present = {name for names in results.subsets for name in names} - {"all"}
    ordered = [name for name in protocol.subsets if name in present]
    rows = []
    for subset in (*ordered, *sorted(present - set(ordered)), "all"):
        chosen = results.subset(subset)
        row = {
            "subset": subset,
            "faces": int(chosen.sum()),
            "official": protocol.subsets.get(subset, 0),
        }
        for name in protocol.normalisers:
            row[name] = _numbers(errors[name][chosen], protocol.thresholds)
        rows.append(row)
    return {
        "scheme": results.scheme.name,
        "headline": protocol.normaliser,
        "normalisers": list(protocol.normalisers),
        "thresholds": list(protocol.thresholds),
        "rows": rows,
    }


def print_table(summary: dict) -> str:
    """The summary as aligned text in percent, a block for each normaliser, the headline first."""
    columns = _columns(summary)
    heads = ["NME", *(f"{key.split('@')[0].upper()}@{key.split('@')[1]}" for key in columns[1:])]
    sizes = [pictures.size_of(row) for row in summary["rows"]]
    names = [row["subset"] for row in summary["rows"]]
    normalisers = summary["normalisers"]
    first = max(map(len, [*names, *(f"{name} %" for name in normalisers)]))
    second = max(map(len, ["faces", *sizes]))
    lines = []
    for normaliser in normalisers:
        cells = "".join(f"{head:>9}" for head in heads)
        lines.append(f"{normaliser + ' %':<{first}}  {'faces':>{second}}{cells}")
        for name, size, row in zip(names, sizes, summary["rows"], strict=True):
            cells = "".join(f"{100 * row[normaliser][key]:9.2f}" for key in columns)
            lines.append(f"{name:<{first}}  {size:>{second}}{cells}")
        lines.append("")
    return "\n".join(lines).rstrip()


def write_report(
    folder: Path | str,
    results: Results,
    protocol: Protocol,
    about: dict,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None,
) -> dict:
    """Write FILES into `folder` and return the summary; on failure the folder is as it was.

    `about` says where the numbers come from (checkpoint, recipe, command, data, box, versions,
    device, date) and goes into report.json as it is. `crops(index)` gives a face's square RGB
    crop and its 2x3 matrix image -> crop; without it there is no faces.png.
    """
    folder = Path(folder).resolve()
    summary = summarise(results, protocol)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the report")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot hold the report ({error.strerror}); name another folder"
        ) from None
    try:
        _write_numbers(partial, summary, about)
        levels, curves = _curves(results, protocol, summary)
        _write_rows(partial / "ced.csv", [["error", *curves], *_ced_rows(levels, curves)])
        pictures.write_ced(partial / "ced.png", levels, curves, summary)
        results.save(partial / "predictions.jsonl", protocol.normaliser)
        if crops is not None:
            errors = results.nme(protocol.normaliser)
            pictures.write_faces(partial / "faces.png", results, errors, crops)
        folder.mkdir(exist_ok=True)
        for name in FILES:
            if (partial / name).exists():
                os.replace(partial / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return summary


def _numbers(errors, thresholds):
    errors = np.sort(errors)  # so that the order of the faces cannot move a sum
    numbers = {"nme": round(float(errors.mean()), DECIMALS)}
    numbers |= {f"fr@{100 * t:g}": metrics.failure_rate(errors, t) for t in thresholds}
    aucs = {f"auc@{100 * t:g}": round(metrics.auc(errors, t), DECIMALS) for t in thresholds}
    return numbers | aucs


def _columns(summary):
    return list(summary["rows"][0][summary["headline"]])


def _write_numbers(folder, summary, about):
    report = {"about": about, "summary": summary}
    (folder / "report.json").write_text(
        json.dumps(report, indent=2, default=str, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    columns = _columns(summary)
    rows = [["normaliser", "subset", "faces", *columns]]
    for normaliser in summary["normalisers"]:
        for row in summary["rows"]:
            numbers = [row[normaliser][key] for key in columns]
            rows.append([normaliser, row["subset"], row["faces"], *numbers])
    _write_rows(folder / "table.csv", rows)


def _curves(results, protocol, summary):
    """Levels (M,), by 0.0005 to a fifth beyond the last threshold; subset -> its shares (M,)."""
    levels = np.arange(round(1.2 * max(protocol.thresholds) / 0.0005) + 1) * 5 / 10_000
    errors = results.nme(protocol.normaliser)
    subsets = [row["subset"] for row in summary["rows"]]
    return levels, {name: metrics.ced(errors[results.subset(name)], levels) for name in subsets}


def _ced_rows(levels, curves):
    for index, level in enumerate(levels):
        yield [f"{level:.4f}", *(round(float(share[index]), 6) for share in curves.values())]


def _write_rows(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
