"""The effect of the box: one checkpoint under every kind of box, and under displaced boxes."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxalign.errors import InputError
from jaxalign.evaluation import pictures
from jaxalign.evaluation.bootstrap import resampled_means
from jaxalign.evaluation.page import beside_in_markdown
from jaxalign.evaluation.report import replaced
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import DECIMALS, mean_intervals, per_face, statistics
from jaxalign.evaluation.tables import (
    Table,
    heading,
    to_markdown,
    with_interval,
    write_json,
    write_rows,
)
from jaxalign.protocols import Protocol
from jaxalign.samples import Sample


KINDS = ("landmarks", "dataset", "detector", "jitter")
SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2)  # of the landmark box's longer side
SCALES = (0.8, 0.9, 1.1, 1.2)
KIND = "boxes"
FILES = ("boxes.md", "boxes.csv", "boxes.json", "boxes.png")


@dataclass(frozen=True)
class Jittered(Sequence[Sample]):
    """A source whose landmark boxes are shifted and scaled. Its points stay as they are.

    Each face's box moves in a direction drawn from `seed` and the face's id, the same for every
    shift.

    Attributes:
        source: The faces.
        shift: How far a box moves, as a share of its longer side.
        scale: Factor on a box's sides, about its centre.
        seed: The seed of the directions.
    """

    source: Sequence[Sample]
    shift: float = 0.0
    scale: float = 1.0
    seed: int = 0

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source[index]
        x0, y0, x1, y1 = np.asarray(sample["boxes"]["landmarks"], np.float64)
        half = np.array([x1 - x0, y1 - y0]) / 2
        rng = np.random.default_rng((self.seed, zlib.crc32(sample["id"].encode())))
        angle = rng.uniform(0, 2 * np.pi)
        step = self.shift * 2 * half.max() * np.array([np.cos(angle), np.sin(angle)])
        centre = np.array([x0 + x1, y0 + y1]) / 2 + step
        box = np.concatenate([centre - self.scale * half, centre + self.scale * half])
        return {**sample, "boxes": sample["boxes"] | {"landmarks": box.astype(np.float32)}}


@dataclass(frozen=True)
class Chosen(Sequence[Sample]):
    """Some faces of a source.

    Attributes:
        source: The source.
        places: The places of the faces in it.
    """

    source: Sequence[Sample]
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        return self.source[self.places[index]]


def parse_kinds(text: str) -> tuple[str, ...]:
    """Parse kinds of box, such as "landmarks,jitter".

    Args:
        text: The kinds, separated by commas.

    Returns:
        The kinds, in the order of KINDS.

    Raises:
        InputError: A kind is unknown.
    """
    asked = {kind.strip() for kind in text.split(",")}
    if not asked <= set(KINDS):
        unknown = ", ".join(sorted(asked - set(KINDS)))
        raise InputError(f"--boxes {text}: no kind of box {unknown!r}; choose {','.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in asked)


def comparable(
    source: Sequence[Sample], kinds: Sequence[str]
) -> tuple[Sequence[Sample], tuple[str, ...], list]:
    """Choose the faces that have all kinds of box.

    A kind that no face has is left out. Then every face that lacks one of the others is left out of
    all rows, because rows over other faces could not be compared.

    Args:
        source: The faces.
        kinds: The kinds of box.

    Returns:
        The faces, the kinds, and what was left out, in words.

    Raises:
        InputError: No kind or no face is left.
    """
    wanted = [kind for kind in kinds if kind != "jitter"]
    known = [set(sample["boxes"]) for sample in source]
    notes = []
    for kind in list(wanted):
        if not any(kind in boxes for boxes in known):
            wanted.remove(kind)
            notes.append(f"no face has a {kind} box: left out")
    kept = tuple(kind for kind in kinds if kind in wanted or kind == "jitter")
    if not kept:
        raise InputError(f"no face has a {' or '.join(kinds)} box; add landmarks to --boxes")
    places = tuple(i for i, boxes in enumerate(known) if set(wanted) <= boxes)
    lacking = len(known) - len(places)
    if lacking:
        each = [f"{sum(k not in boxes for boxes in known)} lack a {k} box" for k in wanted]
        told = ", ".join(text for text in each if not text.startswith("0 "))
        notes.append(f"{lacking} of {len(known)} faces left out of every row: {told}")
    if not places:
        raise InputError(f"no face has all of these boxes: {', '.join(wanted)}; name fewer")
    return Chosen(source, places), kept, notes


def sensitivity(
    source: Sequence[Sample],
    kinds: Sequence[str],
    predict: Callable[[Sequence[Sample], str], Results],
    protocol: Protocol,
) -> list[dict]:
    """Score every kind of box, and every shift and scale if "jitter" is asked for.

    A row is {"kind", "faces", "nme", "fr@8", ..., "interval": {statistic: [low, high]}, "change",
    "change_interval"}, by the headline normaliser. "change" is the NME less that of the first row.
    Rows of jitter have "shift" or "scale" too; both curves hold the landmark box itself.

    Args:
        source: The faces.
        kinds: Kinds of box, of KINDS.
        predict: Scores a source that is cropped by its boxes of a kind: (source, kind) -> results.
        protocol: The protocol.

    Returns:
        The rows, in fractions.
    """
    runs: list[tuple[dict, Sequence[Sample], str]] = [
        ({"kind": kind}, source, kind) for kind in kinds if kind != "jitter"
    ]
    if "jitter" in kinds:
        for key, values in (("shift", SHIFTS), ("scale", sorted((*SCALES, 1.0)))):
            for value in values:
                moved = replace(Jittered(source), **{key: value})
                runs.append(({"kind": "jitter", key: value}, moved, "landmarks"))
    rows, untouched, base = [], None, None
    for head, faces, kind in runs:
        plain = kind == "landmarks" and (
            head["kind"] == kind or head.get("shift") == 0 or head.get("scale") == 1
        )
        if plain and untouched is not None:
            results = untouched
        else:
            results = predict(faces, kind).by_id()
        untouched = results if plain else untouched
        errors = results.nme(protocol.normaliser)
        base = errors if base is None else base
        rows.append(head | _numbers(errors, base, results.ids, protocol))
    return rows


def sensitivity_table(rows: Sequence[dict], protocol: Protocol) -> Table:
    """The rows of `sensitivity` in percent, with the change of the NME and its paired interval.

    Only the first of the protocol's limits is shown.
    """
    names = statistics(protocol.limits[:1])
    first, cells = label(rows[0]), []
    for row in rows:
        low, high = row["change_interval"]
        change = f"{100 * row['change']:+.2f}", f"[{100 * low:+.2f}, {100 * high:+.2f}]"
        numbers = [with_interval(row[name], row["interval"][name]) for name in names]
        cells.append((label(row), str(row["faces"]), *numbers, "-" if row is rows[0] else change))
    heads = ("box", "faces", *map(heading, names), f"NME less {first}")
    return Table(f"By {protocol.normaliser}, %", heads, tuple(cells))


def label(row: dict) -> str:
    """The row's box in words, such as "detector" or "jitter: shift 0.05"."""
    steps = [f"{key} {row[key]:g}" for key in ("shift", "scale") if key in row]
    return ": ".join([row["kind"], *steps])


def write_boxes(
    folder: Path | str, rows: Sequence[dict], table: Table, protocol: Protocol, about: dict
) -> None:
    """Write FILES into `folder`: the rows of `sensitivity`, their table and their picture."""
    with replaced(folder, KIND, FILES) as partial:
        report = {"about": about, "headline": protocol.normaliser, "rows": rows}
        write_json(partial / "boxes.json", report)
        write_rows(partial / "boxes.csv", _csv_rows(rows, protocol))
        pictures.write_boxes(partial / "boxes.png", rows, protocol.normaliser)
        blocks = [to_markdown(table), *about.get("notes", []), "![boxes](boxes.png)",
                  beside_in_markdown("boxes.csv")]  # fmt: skip
        (partial / "boxes.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _csv_rows(rows, protocol):
    names = statistics(protocol.limits)
    heads = [name + end for name in names for end in ("", "_low", "_high")]
    table = [["box", "shift", "scale", "faces", *heads, "change", "change_low", "change_high"]]
    for row in rows:
        numbers = [x for name in names for x in (row[name], *row["interval"][name])]
        table.append([row["kind"], row.get("shift", ""), row.get("scale", ""), row["faces"],
                      *numbers, row["change"], *row["change_interval"]])  # fmt: skip
    return table


def _numbers(errors, base, ids, protocol):
    names = statistics(protocol.limits)
    values = per_face(errors, protocol.limits)
    values = np.concatenate([values, (errors - base)[:, None]], axis=1)
    ends = mean_intervals(values, [*names, "change"], resampled_means(values, ids))
    *ends, change = np.round(ends, DECIMALS).tolist()
    *means, mean_change = np.round(values.mean(axis=0), DECIMALS).tolist()
    return {
        "faces": len(errors),
        **dict(zip(names, means, strict=True)),
        "interval": dict(zip(names, ends, strict=True)),
        "change": mean_change,
        "change_interval": change,
    }
