"""Faces brought to several sizes, and the points that models and reports find on them.

This is the study of the supplement to attention-driven cropping (Chandran et al., CVPR 2020). The
system here is a reconstruction, and the paper's numbers are known from pictures alone. Each face is
brought to a crop of 256, 512, ... pixels. A smaller face is not enlarged but left out, and counted.
So a line for a larger resolution has fewer faces, unless the faces that are smaller than the
largest size are left out from all lines. Compare models within a resolution. If a system has two
stages, the global one is scored beside the whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jaxalign import geometry, metrics, parallel
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import Entry, open_entry
from jaxalign.evaluation.model import predict_source
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.truth import match, truth_of
from jaxalign.metrics import NORMALISERS
from jaxalign.pipeline import Crop, decode, warp
from jaxalign.prediction.predictor import Predictor
from jaxalign.samples import YAWS
from jaxalign.schemes import Scheme
from jaxalign.systems.interface import System


REGIONS = ("eyes", "nose", "mouth", "overall")  # in the order of the supplement's Fig. 2
LEVELS = np.linspace(0, 0.1, 101)  # of the normalising distance
LIMIT = 0.1  # of the AUC
WIDER = 1.5  # the surroundings kept, for models that crop more than the first
GROUPS = ("all", *YAWS, "expression")


@dataclass(frozen=True)
class Study:
    """The settings of the study.

    `sizes` are sides of the faces' crops in pixels. With `common`, every size has only the faces
    that reach the largest. Errors are divided by the distance of `normaliser`. A figure shows
    `faces` faces.
    """

    sizes: Sequence[int] = (256, 512, 1024, 2048)
    common: bool = False
    normaliser: str = "inter_ocular"
    faces: int = 4

    def __post_init__(self):
        for name, value in {"sizes": min(self.sizes), "faces": self.faces}.items():
            if value < 1:
                raise InputError(f"--{name} {value}: must be 1 or more")
        if self.normaliser not in (known := (*NORMALISERS, "norm_box")):
            raise InputError(f"--normaliser {self.normaliser}: one of {', '.join(known)}")


class GlobalStage:
    """The first of a system's two stages, as Predictor takes a system."""

    def __init__(self, system: Any):
        self.points, self.size, self.sizes = system.points, system.size, system.sizes
        self.stages = system.stages

    def predict(self, variables, images):
        found = self.stages(variables, images)
        return found.global_points, found.global_scores


def two_stages(system: System) -> bool:
    """Whether it has regions for a second stage (`stages` may be a number in other systems)."""
    return hasattr(system, "regions") and callable(getattr(system, "stages", None))


@dataclass(frozen=True)
class Model:
    """A system, or its global stage alone, that is scored under a name."""

    name: str
    predictor: Predictor
    variables: dict = field(repr=False)
    crop: Crop

    def results(self, faces: Sequence, side: int) -> Results:
        """The results on faces that were brought to a size."""
        return predict_source(self.predictor, self.variables, faces, self.crop, progress=True)


def models_of(name: str, system: System, variables: dict, crop: Crop) -> list[Model]:
    """The system, and its global stage if it has two."""
    parts: dict[str, Any] = {name: system}
    if two_stages(system):
        parts[f"{name}, global stage"] = GlobalStage(system)
    variables = parallel.replicate(variables, local=True)
    return [Model(part, Predictor(one), variables, crop) for part, one in parts.items()]


@dataclass(frozen=True)
class Report:
    """Points of any tool, such as dlib, from its reports.

    There is a report for each size, of the faces brought to it, or one of the photos as they are,
    which stands for every size.
    """

    name: str
    sized: dict[int, Entry]
    whole: Entry | None

    @classmethod
    def open(cls, path: Path | str, scheme: Scheme) -> "Report":
        """Open a report, or a folder of reports that are named by their sizes."""
        folders = [one for one in Path(path).glob("*") if one.name.isdecimal()]
        sized = {int(one.name): open_entry(one) for one in folders}
        whole = None if sized else open_entry(path)
        for entry in (*sized.values(), *([whole] if whole else [])):
            if entry.results.scheme != scheme:
                found = entry.results.scheme.name
                raise InputError(f"{entry.name}: of {found}, the models of {scheme.name}")
        return cls(str(path), sized, whole)

    def results(self, faces: Sequence, side: int) -> Results | None:
        """The results on faces that were brought to a size, or None if there is no such report.

        Raises InputError if the report lacks a face, or has other true points.
        """
        entry = self.sized.get(side, self.whole)
        if entry is None:
            return None
        results, ids = entry.results, [face["id"] for face in faces]
        places = {name: row for row, name in enumerate(results.ids) if name in ids}
        order = match(ids, places, f"the {len(ids)} faces of {side} px", entry.name)
        truth, points = results.truth[order], results.predicted[order]
        if entry is self.whole:
            matrices = np.stack([face["brought"] for face in faces])
            truth, points = (geometry.transform(matrices, those) for those in (truth, points))
        wanted = truth_of(faces, entry.name, results.scheme)
        apart = np.nanmax(abs(truth - wanted.points), (1, 2)) > 0.02
        if apart.any():
            names = metrics.listed(np.array(ids)[apart].tolist(), 10)
            raise InputError(
                f"{entry.name}: other true points than the faces of {side} px have for "
                f"{apart.sum()} faces ({names}); score the same faces, cropped by the same rule"
            )
        return wanted.with_predictions(points)


def brought_to(source: Sequence, crop: Crop, side: int, least: int = 0) -> list[Any]:
    """The faces whose square is at least `side` and `least` photo pixels wide, reduced to `side`.

    They are samples of a source. Their photos are cut to WIDER times the square, and `brought` (2,
    3) is the matrix from the original photo.
    """
    faces, wide = [], round(WIDER * side)
    for sample in source:
        centre, own = crop.square(sample)
        if own < max(side, least) - 0.5:
            continue
        matrix = geometry.crop_matrix(centre, own * wide / side, wide)
        photo = warp(decode(sample["photo"], sample["id"]), matrix, wide)
        boxes = sample["boxes"] | {"norm": sample["norm_box"]}
        boxes = {
            kind: geometry.transform(matrix, np.reshape(box, (2, 2))).ravel()
            for kind, box in boxes.items()
        }
        changed = {
            "photo": cv2.imencode(".png", photo[..., ::-1])[1].tobytes(),
            "points": geometry.transform(matrix, sample["points"]),
            "norm_box": boxes.pop("norm"),
            "boxes": boxes,
            "brought": matrix,
        }
        faces.append(sample | changed)
    return faces


@dataclass(frozen=True)
class Level:
    """The faces of one size, the number of smaller ones, and the results of each tool, by name."""

    side: int
    faces: list[Any] = field(repr=False)
    left_out: int
    found: dict[str, Results] = field(repr=False)


def levels(
    tools: Sequence[Model | Report],
    source: Sequence,
    crop: Crop,
    study: Study,
    largest_first: bool = False,
) -> Iterator[Level]:
    """Each size that some face reaches, cropped by `crop`.

    Raises InputError if no face reaches any.
    """
    sides, least = sorted(set(study.sizes), reverse=largest_first), 0
    if study.common:
        least = max(sides)
    reached = False
    for side in sides:
        faces = brought_to(source, crop, side, least)
        if not faces:
            print(f"{side} px: all {len(source)} faces are smaller")
            continue
        reached = True
        found = {tool.name: tool.results(faces, side) for tool in tools}
        known = {name: results for name, results in found.items() if results is not None}
        yield Level(side, faces, len(source) - len(faces), known)
    if not reached:
        raise InputError(f"no face reaches {max(least, min(sides))} px; lower --sizes")


def measures(results: Results, normaliser: str) -> dict[str, dict]:
    """Region -> its NME, AUC up to LIMIT and PCK at LEVELS.

    NME and AUC are over the faces that have a labelled point there, PCK is over points.
    """
    errors, found = results.normalised(normaliser), {}
    for region in REGIONS:
        points = list(results.scheme.regions.get(region, range(results.scheme.num_points)))
        own = errors[:, points]
        faces = metrics.over_points(own)
        faces = faces[~np.isnan(faces)]
        found[region] = {
            "nme": faces.mean(),
            "auc": metrics.auc(faces, LIMIT),
            "pck": metrics.pck(own, LEVELS),
        }
    return found


def squared_errors(results: Results) -> np.ndarray:
    """(N,): mean squared distance of each face's points, square pixels of the crop."""
    return metrics.over_points(np.square(results.errors))


def by_group(results: Results, faces: Sequence) -> dict[str, tuple[int, float]]:
    """Group of faces -> how many there are, and their mean squared error.

    The groups are those of GROUPS, as far as the faces tell their yaw and expression.
    """
    yaw = abs(np.array([face["yaw"] for face in faces], np.float64))
    groups = {name: results.subset(name) for name in ("all", "expression")}
    groups |= {name: (low < yaw) & (yaw <= high) for name, (low, high) in YAWS.items()}
    squares = squared_errors(results)
    return {
        name: (int(groups[name].sum()), float(squares[groups[name]].mean()))
        for name in GROUPS
        if groups[name].any()
    }
