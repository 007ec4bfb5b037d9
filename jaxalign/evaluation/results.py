"""Predicted and true points of the evaluated faces, and their file, predictions.jsonl."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign import metrics, texts
from jaxalign.errors import InputError, typed
from jaxalign.folders import whole
from jaxalign.geometry import placed
from jaxalign.records import hidden_of, json_text, numbers, points_of, subsets_of
from jaxalign.schemes import SCHEMES, Scheme


DECIMALS = 3  # of coordinates in pixels, in memory as in the file: both give equal numbers


@dataclass(frozen=True)
class Results:
    """Predicted and true points of N faces of one scheme.

    Points are in photo pixels (counted from 0, x first), rounded to 0.001 px. They may be given in
    any floating type; points and scores are kept as float64. InputError is raised if there is no
    face, shapes disagree, an id comes twice, or a number that is needed is not finite.

    Attributes:
        ids: The name of each face.
        predicted: (N, K, 2), the predicted points.
        truth: (N, K, 2), the true points, NaN exactly where not labelled. These are not scored.
        score: (N, K), the system's confidence in each point, or None (predictions of other tools).
        visible: (N, K) bool.
        subsets: The evaluation subsets that each face belongs to.
        scheme: The scheme of the points.
        norm_box: (N, 4), boxes that errors may be divided by, NaN where a face has none. Default:
            none.
        labelled: (N, K) bool. Default: all.
    """

    ids: tuple[str, ...]
    predicted: np.ndarray
    truth: np.ndarray
    score: np.ndarray | None
    visible: np.ndarray
    subsets: tuple[tuple[str, ...], ...]
    scheme: Scheme
    norm_box: np.ndarray | None = None
    labelled: np.ndarray = field(default_factory=lambda: np.array(True))

    def __post_init__(self):
        for name in ("predicted", "truth"):
            points = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, np.round(points, DECIMALS))
        if self.score is not None:
            object.__setattr__(self, "score", np.round(np.asarray(self.score, np.float64), 4))
        if self.norm_box is not None:
            boxes = np.round(np.asarray(self.norm_box, np.float64), DECIMALS)
            object.__setattr__(self, "norm_box", None if np.isnan(boxes).all() else boxes)
        for name in ("visible", "labelled"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), bool))
        if not self.labelled.ndim:
            object.__setattr__(self, "labelled", np.full(self.truth.shape[:2], self.labelled))
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "subsets", tuple(tuple(names) for names in self.subsets))
        self._check()

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def errors(self) -> np.ndarray:
        """Distances of predicted from true points, (N, K), pixels. NaN where not labelled."""
        return metrics.point_errors(self.predicted, self.truth)

    def normalised(self, normaliser: str) -> np.ndarray:
        """The normalised error of each point.

        Args:
            normaliser: A name of `metrics.NORMALISERS`, or "norm_box".

        Returns:
            The (N, K) fractions of the face's distance, NaN where not labelled.
        """
        return self.errors / self._distances(normaliser)[:, None]

    def offsets(self, normaliser: str) -> np.ndarray:
        """From true to predicted points. The mean of many is a bias: other habits of labelling.

        Args:
            normaliser: A name of `metrics.NORMALISERS`, or "norm_box".

        Returns:
            The (N, K, 2), x to the right and y down the photo, fractions of the face's distance.
                NaN where not labelled.
        """
        return (self.predicted - self.truth) / self._distances(normaliser)[:, None, None]

    def _distances(self, normaliser):
        return metrics.distances(self.truth, self.scheme, normaliser, self.ids, self.norm_box)

    def nme(self, normaliser: str) -> np.ndarray:
        """The NME of each face over its labelled points.

        Args:
            normaliser: A name of `metrics.NORMALISERS`, or "norm_box".

        Returns:
            The (N,) fractions.
        """
        return metrics.over_points(self.normalised(normaliser))

    def subset(self, name: str) -> np.ndarray:
        """Which faces belong to a subset.

        Args:
            name: The subset, or "all" for every face.

        Returns:
            The (N,) bool answers.
        """
        return np.array([name == "all" or name in names for names in self.subsets])

    def by_id(self) -> "Results":
        """Sort the faces by their ids.

        Returns:
            The sorted results.
        """
        return self.take(sorted(range(len(self)), key=self.ids.__getitem__))

    def take(self, indices: Sequence[int]) -> "Results":
        """Take some of the faces.

        Args:
            indices: The faces, in the new order.

        Returns:
            Their results.
        """
        indices = list(indices)
        return Results(
            ids=tuple(self.ids[i] for i in indices),
            predicted=self.predicted[indices],
            truth=self.truth[indices],
            score=None if self.score is None else self.score[indices],
            visible=self.visible[indices],
            subsets=tuple(self.subsets[i] for i in indices),
            scheme=self.scheme,
            norm_box=None if self.norm_box is None else self.norm_box[indices],
            labelled=self.labelled[indices],
        )

    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the list of faces and of their true points, whatever the order of the faces.

        Returns:
            "ids": the hash of the sorted ids, each followed by a line feed, in UTF-8.
                "annotations": the hash of a line for each, "id x0 y0 x1 y1 ...", in photo pixels
                with three decimals, nan where not labelled.
        """
        ids, annotations = hashlib.sha256(), hashlib.sha256()
        for index in sorted(range(len(self)), key=self.ids.__getitem__):
            ids.update(f"{self.ids[index]}\n".encode())
            points = " ".join(f"{x:.3f}" for x in (self.truth[index] + 0.0).ravel().tolist())
            annotations.update(f"{self.ids[index]} {points}\n".encode())
        return {"ids": ids.hexdigest(), "annotations": annotations.hexdigest()}

    def save(self, path: Path | str, normaliser: str) -> None:
        """Write predictions.jsonl: one face a line, in the order of the faces.

        Keys: id, scheme, subsets, nme, points, truth ([null, null] where not labelled) and, where a
            face
        has them, score, hidden (the indices of invisible points) and norm_box. The file appears
        whole or not at all.

        Args:
            path: The file.
            normaliser: The normaliser of its "nme".
        """
        with whole(path) as file:
            for index, error in enumerate(self.nme(normaliser)):
                record = self._record(index) | {"nme": round(float(error), 6)}
                file.write(f"{json_text(record, separators=(',', ':'))}\n".encode())

    @classmethod
    def load(cls, path: Path | str) -> "Results":
        """Read a file that `save` wrote.

        Args:
            path: The file.

        Returns:
            Its results.

        Raises:
            InputError: The file cannot be read. The message names the file and the line.
        """
        path = Path(path)
        lines = texts.lines(texts.read(path, "name a predictions.jsonl"))
        numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
        faces = [_parse(line, f"{path}, line {n}") for n, line in numbered]
        if not faces:
            raise InputError(f"{path}: holds no faces; write it again with {typed('evaluate')}")
        schemes = {face["scheme"].name: face["scheme"] for face in faces}
        if len(schemes) != 1:
            raise InputError(
                f"{path}: holds faces of {len(schemes)} schemes; keep one scheme to a file"
            )
        columns: dict[str, Any] = {
            key: [face[key] for face in faces] for key in faces[0] if key != "scheme"
        }
        unscored = [face["ids"] for face in faces if face["score"] is None]
        if len(unscored) == len(faces):
            columns["score"] = None
        elif unscored:
            raise InputError(f"{path}: {unscored[0]} lacks score, which others have; add it")
        try:
            return cls(**columns, scheme=next(iter(schemes.values())))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def _record(self, index):
        record = {
            "id": self.ids[index],
            "scheme": self.scheme.name,
            "subsets": self.subsets[index],
            "nme": None,
            "points": self.predicted[index].tolist(),
            "truth": [
                point if known else [None, None]
                for point, known in zip(
                    self.truth[index].tolist(), self.labelled[index].tolist(), strict=True
                )
            ],
        }
        if self.score is not None:
            record["score"] = self.score[index].tolist()
        if not self.visible[index].all():
            record["hidden"] = np.flatnonzero(~self.visible[index]).tolist()
        if self.norm_box is not None and np.isfinite(self.norm_box[index]).all():
            record["norm_box"] = self.norm_box[index].tolist()
        return record

    def _check(self):
        faces, points = len(self.ids), self.scheme.num_points
        if not faces:
            raise InputError("no faces to evaluate; choose a split or subset that has some")
        expected = {"predicted": (faces, points, 2), "truth": (faces, points, 2)}
        expected |= dict.fromkeys(("score", "visible", "labelled"), (faces, points))
        expected |= {"norm_box": (faces, 4)}
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise InputError(
                    f"{name} has shape {values.shape}, but {faces} faces of {self.scheme.name} "
                    f"need {shape}; use data and checkpoint of one scheme"
                )
        if len(self.subsets) != faces:
            raise InputError(f"subsets of {len(self.subsets)} faces for {faces}; give all of them")
        if len(set(self.ids)) != faces:
            twice = Counter(self.ids).most_common(1)[0][0]
            raise InputError(f"the id {twice} comes more than once; ids must be unique")
        try:
            "".join(self.ids).encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can hold
            near = error.object[max(0, error.start - 10) : error.end]
            raise InputError(f"an id is no text: ...{near!r}; name faces in UTF-8") from None
        for name in ("predicted", "truth", *(["score"] if self.score is not None else [])):
            right = np.isfinite(getattr(self, name))
            if name == "truth":  # NaN where nobody labelled it, and only there
                right = (right == self.labelled[..., None]) & ~np.isinf(self.truth)
            broken = np.flatnonzero(~right.reshape(faces, -1).all(axis=1))
            if len(broken):
                raise InputError(
                    f"{name} of {len(broken)} faces is not finite, first {self.ids[broken[0]]}; "
                    "mend the file or use another checkpoint"
                )


def _parse(line, where):
    """Parse a line of predictions.jsonl: the fields of one face, by the names of Results."""
    try:
        record = texts.from_json(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error}); write the file again") from None
    keys = ("id", "scheme", "subsets", "points", "truth")
    lacking = [key for key in keys if not isinstance(record, dict) or key not in record]
    if lacking:
        lacks = f"{where}: lacks {', '.join(lacking)}"
        raise InputError(f"{lacks}; write the file with {typed('evaluate')} --report")
    scheme = SCHEMES.get(str(record["scheme"]))
    if scheme is None:
        raise InputError(
            f"{where}: unknown scheme {record['scheme']!r}; choose one of {', '.join(SCHEMES)}"
        )
    points = scheme.num_points
    truth = points_of(record["truth"], points, "truth", where, record["id"])
    face = {
        "ids": str(record["id"]),
        "predicted": numbers(record["points"], (points, 2), "points", where),
        "truth": truth,
        "labelled": placed(truth),
        "score": None,
        "norm_box": np.full(4, np.nan),
        "visible": placed(truth),
        "subsets": subsets_of(record, where),
        "scheme": scheme,
    }
    for key, shape in (("score", (points,)), ("norm_box", (4,))):
        if key in record:
            face[key] = numbers(record[key], shape, key, where)
    face["visible"][list(hidden_of(record, scheme, where))] = False
    return face
