"""The true points of the faces to be evaluated, and predictions brought to their order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign.errors import InputError
from jaxalign.evaluation.found import by_photo
from jaxalign.evaluation.results import Results
from jaxalign.geometry import placed
from jaxalign.metrics import listed
from jaxalign.photos import SUFFIXES
from jaxalign.records import read_predicted, read_records
from jaxalign.samples import Sample
from jaxalign.schemes import Scheme


SHOWN = 10  # ids that a message lists


@dataclass(frozen=True)
class Truth:
    """The annotations of N faces of one scheme, in pixels of the photo.

    Attributes:
        name: The source or the file that they come from.
        scheme: The scheme of the points.
        ids: The name of each face.
        photos: The name of each face's photo, as far as it is known.
        points: (N, K, 2), NaN where not labelled.
        labelled: (N, K) bool.
        visible: (N, K) bool.
        subsets: The evaluation subsets that each face belongs to.
        norm_box: (N, 4), NaN where a face has none.
    """

    name: str
    scheme: Scheme
    ids: tuple[str, ...]
    photos: tuple[str, ...]
    points: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    subsets: tuple[tuple[str, ...], ...]
    norm_box: np.ndarray

    def with_predictions(self, predicted: np.ndarray, score: np.ndarray | None = None) -> Results:
        """Put predicted points beside the true ones.

        Args:
            predicted: (N, K, 2), in the order of the faces, pixels of the photo.
            score: (N, K), if there are scores.

        Returns:
            The results.
        """
        return Results(
            ids=self.ids,
            predicted=predicted,
            truth=self.points,
            score=score,
            visible=self.visible,
            subsets=self.subsets,
            scheme=self.scheme,
            norm_box=self.norm_box,
            labelled=self.labelled,
        )


def truth_of(source: Sequence[Sample], name: str, scheme: Scheme) -> Truth:
    """The annotations of a source. Its photos are not decoded.

    Args:
        source: Samples, as in `samples.Sample`.
        name: Name of the source, for messages.
        scheme: The scheme of the points.

    Returns:
        The annotations, in the order of the source.

    Raises:
        InputError: The source holds no faces.
    """
    keys = ("id", "points", "labelled", "visible", "subsets", "norm_box")
    rows = [[*(sample[key] for key in keys), sample.get("group", "")] for sample in source]
    if not rows:
        raise InputError(f"{name} holds no faces; choose a split or subset that has some")
    ids, points, labelled, visible, subsets, norm_box, groups = zip(*rows, strict=True)
    return Truth(
        name=name,
        scheme=scheme,
        ids=ids,
        photos=tuple(map(_photo, ids, groups)),
        points=np.stack(points),
        labelled=np.stack(labelled),
        visible=np.stack(visible),
        subsets=subsets,
        norm_box=np.stack(norm_box),
    )


def read_truth(path: Path | str, scheme: Scheme) -> Truth:
    """Read annotations from a file.

    Args:
        path: A file of `records.read_records`. A predictions.jsonl gives its true points.
        scheme: The scheme of the points.

    Returns:
        The annotations, in the order of the file.

    Raises:
        InputError: The file cannot be read. The message names the file and the line.
    """
    records = read_records(path, scheme, ("truth", "points", "landmarks"), partial=True)
    points = np.stack([record.points for record in records])
    labelled = placed(points)
    visible = labelled.copy()
    norm_box = np.full((len(records), 4), np.nan)
    for row, record in enumerate(records):
        visible[row, list(record.hidden)] = False
        if record.norm_box is not None:
            norm_box[row] = record.norm_box
    return Truth(
        name=str(path),
        scheme=scheme,
        ids=tuple(record.id for record in records),
        photos=tuple(_photo(record.id) for record in records),
        points=points,
        labelled=labelled,
        visible=visible,
        subsets=tuple(record.subsets for record in records),
        norm_box=norm_box,
    )


def read_results(path: Path | str, truth: Truth, found_only: bool = False) -> Results:
    """Read predictions from a file, and put the true points beside.

    Args:
        path: A file of `records.read_records`, or the faces.json of `jaxalign predict`.
        truth: The annotations.
        found_only: Leaves faces out that have no prediction.

    Returns:
        The results, in the order of the annotations.

    Raises:
        InputError: The file cannot be read, or the faces do not match. The message lists the ids
            that either side lacks; for faces.json the true faces that it lacks.
    """
    if held := read_predicted(path):
        return _found(held, Path(path), truth, found_only)
    records = read_records(path, truth.scheme, ("points", "landmarks"))
    found = {record.id: record.points for record in records}
    kept = list(range(len(truth.ids)))
    if found_only:
        name_of = str if found.keys() <= set(truth.ids) else _stem
        names = set(map(name_of, found))
        kept = [row for row in kept if name_of(truth.ids[row]) in names] or kept
    points = np.zeros(truth.points.shape)
    points[kept] = match([truth.ids[row] for row in kept], found, truth.name, str(path))
    return truth.with_predictions(points).take(kept)


def _found(held, path, truth, found_only):
    """The results of a faces.json."""
    wanted: dict[str, dict[int, np.ndarray]] = {}
    for row, photo in enumerate(truth.photos):
        wanted.setdefault(photo, {})[row] = truth.points[row]
    found = by_photo(held, path, truth.scheme, wanted)
    missing = [name for row, name in enumerate(truth.ids) if row not in found]
    if missing and not found_only:
        raise InputError(
            f"{path} finds {len(found)} of the {len(truth.ids)} faces of {truth.name} and lacks "
            f"{listed(missing, SHOWN)}; --found-only scores those that it finds"
        )
    points = np.zeros(truth.points.shape)
    points[list(found)] = list(found.values())
    return truth.with_predictions(points).take(sorted(found))


def match(wanted: Sequence[str], found: Mapping, truth: str, path: str) -> list:
    """Bring values to the order of wanted ids.

    Where the ids differ, they are compared without the extension of a photo, since tools name faces
    by their files.

    Args:
        wanted: The ids in the wanted order.
        found: Id -> value.
        truth: Where the wanted ids come from, for the message.
        path: Where the values come from, for the message.

    Returns:
        The values.

    Raises:
        InputError: Ids are missing on either side.
    """
    if set(wanted) != set(found):
        stems = {_stem(name): value for name, value in found.items()}
        if len(stems) == len(found) == len(wanted) and set(map(_stem, wanted)) == set(stems):
            return [stems[_stem(name)] for name in wanted]
    missing = sorted(set(wanted) - set(found))
    unknown = sorted(set(found) - set(wanted))
    if missing or unknown:
        faults = []
        if missing:
            faults.append(f"no points for {len(missing)} faces ({listed(missing, SHOWN)})")
        if unknown:
            faults.append(f"{len(unknown)} ids that it lacks ({listed(unknown, SHOWN)})")
        raise InputError(
            f"{path} does not match {truth}: {' and '.join(faults)}; every face needs exactly one "
            "line with its id (--found-only scores those that have one)"
        )
    return [found[name] for name in wanted]


def _photo(name, group=""):
    """The name of a face's photo: its group if that names a photo, else the face's own name.

    AFLW's groups are photos without their ending, in which a face is a row. The number that
    image_folder gives to further faces of a photo is taken off.
    """
    is_photo = group.lower().endswith(SUFFIXES) or (group and name.startswith(f"{group}/"))
    return group if is_photo else re.sub(r"#\d+$", "", name)


def _stem(name):
    return re.sub(r"\.(jpe?g|png|bmp)$", "", name, flags=re.IGNORECASE)
