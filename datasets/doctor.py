"""`jaxalign prepare NAME --check`: what can be told of a download before anything is built.

Every face that the benchmark's reader yields is looked at once; every photo is read, hashed and
decoded once. FAIL stops a build or spoils every number. WARN is what a user should know before
publishing a number. Notes are known of the benchmark and not measured here. Knows no TFDS.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxalign.datasets.faces import (
    Bad,
    Benchmark,
    Noticed,
    Remark,
    as_bad,
    fault_of_boxes,
    fault_of_names,
    fault_of_points,
    faults_of_archives,
    photo_bytes,
    photo_size,
    point_flags,
)
from jaxalign.datasets.symmetry import ENOUGH, MeanShape
from jaxalign.errors import InputError, printable


OK, NOTE, WARN, FAIL = "ok", "note", "WARN", "FAIL"
SHOWN = 8  # details under a line of the printed table; the JSON has all of them
BAD = ("refused by reader", "photos", "points", "boxes")
SIGNS = 3  # so many coordinates on an edge tell where they count from: fewer may be chance


@dataclass(frozen=True)
class Line:
    """One check: its verdict, the finding in a few words, and the cases one by one."""

    check: str
    verdict: str
    finding: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Examination:
    """The findings on one download."""

    benchmark: str
    root: str
    lines: list[Line]

    def count(self, verdict: str) -> int:
        return sum(line.verdict == verdict for line in self.lines)

    @property
    def verdict(self) -> str:
        return next((v for v in (FAIL, WARN) if self.count(v)), OK)

    def as_json(self) -> dict:
        """The whole report as JSON types."""
        return {
            "benchmark": self.benchmark,
            "from": self.root,
            "verdict": self.verdict,
            "lines": [asdict(line) for line in self.lines],
        }

    def table(self) -> str:
        """Aligned text, a line a check and its first details under it; the last line sums up."""
        width = max(len(line.check) for line in self.lines)
        rows = []
        for line in self.lines:
            rows.append(f"{line.check:{width}}  {line.verdict:4}  {line.finding}")
            rows += [f"{'':{width}}        {detail}" for detail in line.details[:SHOWN]]
            if len(line.details) > SHOWN:
                rows.append(f"{'':{width}}        and {len(line.details) - SHOWN} more")
        counts = f"{self.count(FAIL)} FAIL, {self.count(WARN)} WARN"
        return "\n".join([*rows, "", f"{self.benchmark}: {self.verdict} ({counts})"])


@dataclass
class _Seen:
    """What is kept of the faces once they have been looked at."""

    root: Path | None
    bad: dict[str, list[Bad]] = field(default_factory=lambda: {check: [] for check in BAD})
    ids: Counter = field(default_factory=Counter)
    counts: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))  # by split
    # photo file, whether upright -> SHA-1 of its bytes
    files: dict[tuple, str] = field(default_factory=dict)
    photos: dict[str, tuple[int, int] | str] = field(default_factory=dict)  # SHA-1 -> size or fault
    # SHA-1 -> {photo file, or id where there is none: [(split, group) of each face]}
    places: dict[str, dict] = field(default_factory=lambda: defaultdict(dict))
    splits: dict[str, set] = field(default_factory=lambda: defaultdict(set))  # of each group
    outside: list[tuple[float, float, str]] = field(default_factory=list)  # px, share, id
    mean: dict[str, MeanShape] = field(default_factory=dict)
    unlabelled: dict[str, list] = field(default_factory=lambda: defaultdict(list))  # shares a face
    edges: Counter = field(default_factory=Counter)
    noticed: Noticed = field(default_factory=Noticed)

    @property
    def usable(self) -> int:
        return sum(self.ids.values())


def examine(benchmark: Benchmark, root: Path | None, options: Mapping | None = None) -> Examination:
    """Looks at everything that the reader finds under `root`, and builds nothing.

    Raises InputError where `root` is no folder or does not look like this benchmark at all.
    """
    options = dict(benchmark.options) | dict(options or {})
    benchmark = benchmark.under(options)
    if benchmark.needs_root and (root is None or not Path(root).is_dir()):
        raise InputError(f"{root}: no such folder. {benchmark.instructions}")
    arguments = {"root": Path(root), **options} if root and benchmark.needs_root else options
    expected = benchmark.expected(options)
    total = expected.get("train", 0) + expected.get("test", 0) or None
    seen = _Seen(Path(root) if root else None)
    with (
        tqdm(total=total, desc=f"{benchmark.name}: checking", unit=" faces", delay=0.2) as bar,
        np.errstate(over="ignore"),
    ):
        for face in benchmark.faces(**arguments):
            if isinstance(face, Remark):
                seen.noticed.remark(face)
                continue
            bar.update()
            if isinstance(face, Bad):
                seen.bad["refused by reader"].append(face)
            else:
                _take(seen, face)
        bar.total = bar.n
    if not seen.usable and not any(seen.bad.values()):
        raise InputError(f"{root}: no face found. {benchmark.instructions}")
    lines = [
        *_count_lines(seen, expected),
        *_archive_lines(benchmark, seen.root),
        *_bad_lines(seen),
        _copies_line(seen),
        *_shared_lines(seen),
        *_unlabelled_lines(seen),
        *_noticed_lines(seen),
        _outside_line(seen),
        *(_symmetry_line(shape) for shape in seen.mean.values()),
        _base_line(seen),
        *(Line("known", NOTE, note) for note in benchmark.notes),
    ]
    return Examination(benchmark.name, str(root or ""), lines)


def _take(seen, face):
    """Looks at one face and notes what the lines will need."""
    faults = {"points": fault_of_points(face), "boxes": fault_of_boxes(face)}
    try:
        digest = _digest(seen, face)
        size = seen.photos[digest]
        faults["photos"] = size if isinstance(size, str) else fault_of_names(face)
    except InputError as error:
        faults["photos"] = str(error)
    for check, fault in faults.items():
        if fault:
            seen.bad[check].append(as_bad(face, fault))
    if any(faults.values()):
        return
    seen.noticed.add(face)
    group = face.group or face.id
    seen.ids[face.id] += 1
    seen.counts[face.split][face.split] += 1
    seen.counts[face.split].update(face.subsets)
    seen.splits[group].add(face.split)
    place = _shown(seen, face.photo) if isinstance(face.photo, Path) else face.id
    seen.places[digest].setdefault(place, []).append((face.split, group))
    _take_points(seen, face, size)


def _digest(seen, face):
    """SHA-1 of a photo; each file is read once, and decoded once under whatever names."""
    key = face.photo, face.upright
    if key in seen.files:
        return seen.files[key]
    encoded = photo_bytes(face)
    digest = hashlib.sha1(encoded, usedforsecurity=False).hexdigest()
    if isinstance(face.photo, Path):
        seen.files[key] = digest
    if digest not in seen.photos:
        try:
            seen.photos[digest] = photo_size(encoded)
        except InputError as error:
            seen.photos[digest] = str(error)
    return digest


def _take_points(seen, face, size):
    far = 0.0, 0.0
    for scheme, points in face.points.items():
        labelled = point_flags(face, "labelled", scheme)
        visible = point_flags(face, "visible", scheme)
        seen.unlabelled[scheme].append(1 - labelled.mean())
        if labelled.all():
            seen.mean.setdefault(scheme, MeanShape(scheme)).add(points, visible)
        known = points[visible & labelled]
        if not len(known):
            continue
        beyond = np.maximum(-0.5 - known, known - (np.array(size) - 0.5)).max(axis=1)
        far = max(far, (float(beyond.max()), float((beyond > 0).mean())))
        seen.edges["all"] += known.size
        seen.edges["whole"] += int((known == np.round(known)).sum())
        seen.edges["below 1"] += int((known < 1).sum())
        for value in (-1, 0, 1):
            seen.edges[str(value)] += int((known == value).sum())
        seen.edges["last"] += int((known == np.array(size) - 1).sum())
        seen.edges["size"] += int((known == np.array(size)).sum())
    if far[0] > 0:
        seen.outside.append((*far, face.id))


def _shown(seen, path):
    """A path as the table shows it: relative to `root` where it lies there."""
    inside = seen.root is not None and path.is_relative_to(seen.root)
    return printable(path.relative_to(seen.root) if inside else path)


def _number(count, what):
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _count_lines(seen, expected):
    found = {}
    for split in sorted(seen.counts):  # test, train: a subset of both is that of test
        found = dict(seen.counts[split]) | found
    for name in [*expected, *sorted(found.keys() - expected.keys())]:
        number, wanted = found.get(name, 0), expected.get(name)
        if wanted is None or number == wanted:
            of = " (as official)" if wanted is not None else ""
            yield Line(f"faces: {name}", OK, f"{number}{of}")
        else:
            excess = number - wanted
            remark = f"{-excess} missing" if excess < 0 else f"{excess} too many"
            yield Line(f"faces: {name}", WARN, f"{number} of {wanted}, {remark}")


def _archive_lines(benchmark, root):
    if faults := faults_of_archives(benchmark, root):
        yield Line("archives", FAIL, f"not the published files: {len(faults)}", faults)


def _bad_lines(seen):
    for check, faces in seen.bad.items():
        details = [f"{_shown(seen, bad.path)}: {printable(bad.reason)}" for bad in faces]
        finding = _number(len(faces), "bad face") if faces else "none bad"
        yield Line(check, FAIL if faces else OK, finding, details)
    twice = [name for name, count in seen.ids.items() if count > 1]
    if twice:
        yield Line("names", FAIL, _number(len(twice), "name") + " used for two faces", twice)


def _copies_line(seen):
    """Byte-identical photos under several names; those of one group do no harm."""
    copies = [files for files in seen.places.values() if len(files) > 1]
    apart = [
        files
        for files in copies
        if len({group for faces in files.values() for _, group in faces}) > 1
    ]
    if not copies:
        return Line("duplicate photos", OK, f"none among {_number(len(seen.places), 'photo')}")
    finding = f"{_number(len(copies), 'photo')} in {sum(map(len, copies))} files"
    finding += f", {len(apart)} of them in different groups" if apart else ", each in one group"
    details = [" = ".join(files) for files in (apart or copies)]
    return Line("duplicate photos", WARN if apart else OK, finding, details)


def _shared_lines(seen):
    by_content = {
        " = ".join(files): {split for faces in files.values() for split, _ in faces}
        for files in seen.places.values()
    }
    for way, found in (("photo", by_content), ("group", seen.splits)):
        shared = {name: splits for name, splits in found.items() if len(splits) > 1}
        several = sorted(set().union(*shared.values()), key=lambda name: (name == "test", name))
        finding = f"{_number(len(shared), way)} in {' and '.join(several)}" if shared else "none"
        yield Line(f"train/test: {way}s", WARN if shared else OK, finding, list(shared))


def _unlabelled_lines(seen):
    """How many points nobody labelled, where there are any: they neither train nor score."""
    for scheme, shares in seen.unlabelled.items():
        if some := np.count_nonzero(shares):
            faces = _number(len(shares), "face")
            finding = f"{np.mean(shares):.1%} of the points, in {some} of {faces}"
            yield Line(f"unlabelled: {scheme}", NOTE, finding)


def _noticed_lines(seen):
    for check, grave, finding, details in seen.noticed.told():
        yield Line(check, WARN if grave else NOTE, finding, details)


def _outside_line(seen):
    """Points beyond the photo are legitimate; a face mostly beyond it is not its photo's."""
    check = "points outside"
    if not seen.outside:
        return Line(check, OK, "none")
    worst = sorted(seen.outside, reverse=True)
    mostly = sum(share > 0.5 for _, share, _ in worst)
    finding = f"{_number(len(worst), 'face')}, the worst by {worst[0][0]:.1f} px"
    if mostly:
        finding += f"; {mostly} with more than half of the points outside: is it the right photo?"
    details = [f"{name}: by {px:.1f} px, {share:.0%} of its points" for px, share, name in worst]
    return Line(check, WARN if mostly else OK, finding, details)


def _symmetry_line(shape):
    scheme, check = shape.scheme, f"flip: {shape.scheme.name}"
    wrong, faces = shape.misplaced(), len(shape.faces)
    if not wrong:
        finding = f"the mean of {_number(faces, 'face')} mirrors onto itself"
        return Line(check, OK, finding)
    finding = f"{len(wrong)} of {scheme.num_points} points miss their partners in the mirrored mean"
    if faces < ENOUGH:
        return Line(check, NOTE, f"{finding}, but {_number(faces, 'face')} cannot tell")
    finding += ": another order of points than the scheme's, or no face from the front"
    names = scheme.names
    details = [
        f"{i} ({names[i]}) lands on {found} ({names[found]}), not on {scheme.flip[i]}"
        for i, found in wrong
    ]
    return Line(check, FAIL if len(wrong) > scheme.num_points / 4 else WARN, finding, details)


def _base_line(seen):
    """Signs of coordinates that count from 1, or from which 1 was subtracted once too often.

    Annotations clipped to their photo end at 0 and width - 1, or, counted from 1, at 1 and width.
    Where nothing was clipped nothing can be told; whole numbers say nothing by themselves.
    """
    edges, check = seen.edges, "coordinate base"
    whole = f"{edges['whole'] / max(edges['all'], 1):.0%} of coordinates are whole numbers"
    if edges["size"] >= SIGNS and edges["size"] > edges["last"] and not edges["0"]:
        finding = f"from 1? {edges['size']} coordinates are the photo's width or height, none is 0"
    elif edges["1"] >= SIGNS and not edges["below 1"]:
        finding = f"from 1? {edges['1']} coordinates are 1, none is less"
    elif edges["-1"] >= SIGNS and edges["-1"] > edges["0"]:
        finding = f"from 0, read as from 1? {edges['-1']} coordinates are -1"
    elif (clipped := edges["0"] + edges["last"]) >= SIGNS:
        return Line(check, OK, f"from 0: {clipped} coordinates end at the photo's edge; {whole}")
    else:
        return Line(check, NOTE, f"cannot be told, too few end at their photo's edge; {whole}")
    return Line(check, WARN, f"{finding}; {whole}")
