"""The files of a report: numbers, tables, curves, pictures, predictions, one page."""

import contextlib
import glob
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxalign import folders, metrics, scheme_files
from jaxalign.errors import InputError
from jaxalign.evaluation import pictures
from jaxalign.evaluation.page import write_page
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import point_sets, summarise
from jaxalign.evaluation.tables import write_json, write_rows, write_tables
from jaxalign.locks import HIDDEN, Lock
from jaxalign.protocols import THRESHOLDS, Protocol


KIND = "report"
FILES = (
    "report.html", "report.md", "report.json", "table.csv", "regions.csv", "landmarks.csv",
    "ced.csv", "ced.png", "pck.csv", "pck.png", "landmarks.png", "faces.png", "predictions.jsonl",
)  # fmt: skip
MAPS = "maps_*.png"  # a file for each kind of maps that the system shows
TRAINING = ("training.csv", "training.png")  # if the checkpoint's run left its numbers
PATTERNS = (*FILES, MAPS, *TRAINING)
# Levels of the curves: steps of 0.0005 to a fifth beyond the last threshold.
LEVELS = np.arange(round(1.2 * max(THRESHOLDS) / 0.0005) + 1) * 5 / 10_000


def write_report(
    folder: Path | str,
    results: Results,
    protocol: Protocol,
    about: dict,
    crops: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None,
    summary: dict | None = None,
    maps: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None,
    history: Sequence[dict] = (),
    step: int = 0,
) -> dict:
    """Write a report into a folder. If it fails, the folder stays as it was.

    Args:
        folder: The folder. FILES are written, and MAPS and TRAINING if there is something to show.
        results: The faces.
        protocol: The protocol.
        about: Where the numbers come from (checkpoint, recipe, command, data, box, versions,
            device, date). It goes into report.json as it is.
        crops: Index of a face -> its (S, S, 3) uint8 RGB crop, and the (2, 3) matrix photo -> crop.
            Without it faces.png shows points but no photos.
        summary: The summary, if it is already made.
        maps: Crop -> its (h, w, C) maps in 0..1 by name, as `System.shown` gives them. Needs
            `crops`.
        history: The lines of metrics.jsonl of the checkpoint's run.
        step: The step of that run that is evaluated.

    Returns:
        The summary.

    Raises:
        InputError: The folder cannot be written, or holds other files of these names.
    """
    summary = summary or summarise(results, protocol)
    held = {"about": about, "summary": summary}
    if results.scheme.name in scheme_files.own():
        held["scheme"] = scheme_files.stored(results.scheme)
    with replaced(folder, KIND, PATTERNS) as partial:
        write_json(partial / "report.json", held)
        write_tables(partial, summary)
        _write_curves(partial, results, protocol, summary)
        pictures.write_landmarks(partial / "landmarks.png", results, summary)
        errors = results.nme(protocol.normaliser)
        pictures.write_faces(partial / "faces.png", results, errors, crops)
        if maps and crops:
            pictures.write_maps(partial, results, errors, crops, maps)
        _write_training(partial, history, step)
        results.save(partial / "predictions.jsonl", protocol.normaliser)
        write_page(partial, summary, about, sorted(path.name for path in partial.glob(MAPS)))
    return summary


@contextmanager
def replaced(folder: Path | str, kind: str, files: Sequence[str]) -> Iterator[Path]:
    """Write files in a temporary folder, which then replace those in `folder`.

    Files that earlier work of this kind made in `folder`, and this did not, are removed. Other
    files stay. If writing fails, `folder` stays as it was. What killed processes left beside it is
    removed.

    Args:
        folder: The folder.
        kind: The kind of work.
        files: Names, or patterns, of the files that it writes.

    Yields:
        The temporary folder.

    Raises:
        InputError: The folder cannot be written, or holds files of these names that no such work
            made.
    """
    folders.check(Path(folder), kind, files)
    folder = Path(folder).resolve()
    begun = f".{folder.name[-40:]}."
    with folders.readable_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{glob.escape(begun)}*{folders.PARTIAL}"):
            with contextlib.suppress(InputError), Lock(left, "", HIDDEN):  # else in use
                shutil.rmtree(left)
        partial = Path(tempfile.mkdtemp(folders.PARTIAL, begun, folder.parent))
        try:
            with Lock(partial, "name another folder", HIDDEN):
                yield partial
                written = [path.name for path in partial.iterdir() if path.name != HIDDEN]
                with Lock(folder, "name another folder", HIDDEN):
                    folders.claim(folder, kind, written)
                    for name in written:
                        os.replace(partial / name, folder / name)
                    folders.keep(folder, kind, written)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_columns(path: Path, levels: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Write curves as a CSV, a column each.

    Args:
        path: The file.
        levels: (M,), the first column.
        curves: Name -> (M,) shares.
    """
    shares = np.round(np.stack(list(curves.values()), axis=1), 6).tolist()
    rows = ([f"{level:.4f}", *row] for level, row in zip(levels, shares, strict=True))
    write_rows(path, [["error", *curves], *rows])


def _write_curves(folder, results, protocol, summary):
    errors = results.normalised(protocol.normaliser)
    faces = results.nme(protocol.normaliser)
    # A mean of subsets has no curve, because it is no set of faces.
    subsets = [row["subset"] for row in summary["rows"] if "percentiles" in row]
    curves = {name: metrics.ced(faces[results.subset(name)], LEVELS) for name in subsets}
    write_columns(folder / "ced.csv", LEVELS, curves)
    pictures.write_ced(folder / "ced.png", LEVELS, curves, summary)
    sets = {"all": range(errors.shape[1])} | point_sets(results.scheme, protocol)
    parts = {name: errors[:, list(part)] for name, part in sets.items()}
    curves = {n: metrics.pck(own, LEVELS) for n, own in parts.items() if not np.isnan(own).all()}
    write_columns(folder / "pck.csv", LEVELS, curves)
    pictures.write_pck(folder / "pck.png", LEVELS, curves, summary)


def _write_training(folder, history, step):
    """Write TRAINING from the lines that hold a loss or a validation, if there are any."""
    names = ("loss", "val_nme")
    known = [
        {"step": row["step"], "phase": str(row.get("phase", ""))}
        | {name: row[name] for name in names if _is_number(row.get(name))}
        for row in history
    ]
    rows = [row for row in known if len(row) > 2]
    if not rows:
        return
    heads = ("step", "phase", *names)
    cells = ([row.get(name, "") for name in heads] for row in rows)
    write_rows(folder / "training.csv", [heads, *cells])
    pictures.write_training(folder / "training.png", rows, step)


def _is_number(value):
    return isinstance(value, int | float) and math.isfinite(value)
