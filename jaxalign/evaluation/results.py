"""Predicted and true points of the evaluated faces, and their file, predictions.jsonl."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxalign import metrics
from jaxalign.errors import InputError
from jaxalign.schemes import SCHEMES, Scheme


DECIMALS = 3  # of a coordinate, in pixels: in memory as in the file, so both give equal numbers


@dataclass(frozen=True)
class Results:
    """N faces of one scheme, points in photo pixels (0-based, x first), rounded to 0.001 px.

    Any floating type may be given; points and scores are kept as float64. `subsets` names the
    evaluation subsets that each face counts to. Raises InputError where there is no face, shapes
    disagree, an id comes twice, or a number is not finite.
    """

    ids: tuple[str, ...]
    predicted: np.ndarray  # (N, K, 2)
    truth: np.ndarray  # (N, K, 2)
    score: np.ndarray  # (N, K), the system's confidence in each point
    visible: np.ndarray  # (N, K) bool
    subsets: tuple[tuple[str, ...], ...]
    scheme: Scheme

    def __post_init__(self):
        for name in ("predicted", "truth"):
            points = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, np.round(points, DECIMALS))
        object.__setattr__(self, "score", np.round(np.asarray(self.score, np.float64), 4))
        object.__setattr__(self, "visible", np.asarray(self.visible, bool))
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "subsets", tuple(tuple(names) for names in self.subsets))
        self._check()

    def __len__(self) -> int:
        return len(self.ids)

    def nme(self, normaliser: str) -> np.ndarray:
        """NME of each face, (N,), a fraction."""
        return metrics.nme(self.predicted, self.truth, self.scheme, normaliser, self.ids)

    def subset(self, name: str) -> np.ndarray:
        """Which faces count to the subset, (N,) bool; "all" is every face."""
        return np.array([name == "all" or name in names for names in self.subsets])

    def save(self, path: Path | str, normaliser: str) -> None:
        """Write predictions.jsonl: one face a line, in the order of the faces.

        Keys: id, scheme, subsets, nme (by `normaliser`), points, score, truth and, where a face
        has invisible points, hidden (their indices). The file appears whole or not at all.
        """
        path = Path(path)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("w", encoding="utf-8") as file:
                for index, error in enumerate(self.nme(normaliser)):
                    record = self._record(index) | {"nme": round(float(error), 6)}
                    file.write(json.dumps(record, separators=(",", ":")) + "\n")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path | str) -> "Results":
        """Read what `save` wrote. Raises InputError naming the file and the line."""
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise InputError(f"{path}: {reason}; name a predictions.jsonl") from None
        numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
        faces = [_parse(line, f"{path}, line {n}") for n, line in numbered]
        if not faces:
            raise InputError(f"{path}: holds no faces; write it again with evaluate.py")
        schemes = {face["scheme"].name: face["scheme"] for face in faces}
        if len(schemes) != 1:
            raise InputError(
                f"{path}: holds faces of {len(schemes)} schemes; keep one scheme to a file"
            )
        columns = {key: [face[key] for face in faces] for key in faces[0] if key != "scheme"}
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
            "score": self.score[index].tolist(),
            "truth": self.truth[index].tolist(),
        }
        hidden = np.flatnonzero(~self.visible[index]).tolist()
        return record | ({"hidden": hidden} if hidden else {})

    def _check(self):
        faces, points = len(self.ids), self.scheme.num_points
        if not faces:
            raise InputError("no faces to evaluate; choose a split or subset that has some")
        expected = {"predicted": (faces, points, 2), "truth": (faces, points, 2)}
        expected |= {"score": (faces, points), "visible": (faces, points)}
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise InputError(
                    f"{name} has shape {found}, but {faces} faces of {self.scheme.name} need "
                    f"{shape}; use data and checkpoint of one scheme"
                )
        if len(self.subsets) != faces:
            raise InputError(f"subsets of {len(self.subsets)} faces for {faces}; give all of them")
        if len(set(self.ids)) != faces:
            twice = next(name for name in self.ids if self.ids.count(name) > 1)
            raise InputError(f"the id {twice} comes more than once; ids must be unique")
        for name in ("predicted", "truth", "score"):
            values = getattr(self, name).reshape(faces, -1)
            broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
            if len(broken):
                raise InputError(
                    f"{name} of {len(broken)} faces is not finite, first {self.ids[broken[0]]}; "
                    "mend the file or use another checkpoint"
                )


def _parse(line, where):
    """One line of predictions.jsonl -> the fields of one face, by the names of Results."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg}); write the file again") from None
    keys = ("id", "scheme", "subsets", "points", "score", "truth")
    lacking = [key for key in keys if not isinstance(record, dict) or key not in record]
    if lacking:
        raise InputError(f"{where}: lacks {', '.join(lacking)}; write the file with evaluate.py")
    scheme = SCHEMES.get(str(record["scheme"]))
    if scheme is None:
        raise InputError(
            f"{where}: unknown scheme {record['scheme']!r}; choose one of {', '.join(SCHEMES)}"
        )
    if not isinstance(record["subsets"], list):
        raise InputError(f"{where}: subsets must be a list of names")
    points = scheme.num_points
    face = {
        "ids": str(record["id"]),
        "predicted": _numbers(record["points"], (points, 2), "points", where),
        "truth": _numbers(record["truth"], (points, 2), "truth", where),
        "score": _numbers(record["score"], (points,), "score", where),
        "visible": np.ones(points, bool),
        "subsets": tuple(record["subsets"]),
        "scheme": scheme,
    }
    try:
        face["visible"][record.get("hidden", [])] = False
    except IndexError:
        raise InputError(f"{where}: hidden must hold indices below {points}") from None
    return face


def _numbers(values, shape, key, where):
    try:
        array = np.array(values, np.float64)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.shape != shape:
        raise InputError(f"{where}: {key} must be {' x '.join(map(str, shape))} numbers")
    return array
