"""A face that was found: its points by name, its pose, its aligned crop and its picture."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxalign import drawing, photos
from jaxalign.errors import InputError
from jaxalign.prediction import alignment
from jaxalign.prediction.pose import Pose, head_pose
from jaxalign.schemes import Scheme


@dataclass(frozen=True, repr=False)
class Face:
    """A face and its points.

    All in pixels of the image that was given: x first, counted from 0, pixel centres at integers.
    Points may lie outside the image. Left and right are the viewer's.

    Attributes:
        points: (K, 2) float32, in the order of the scheme.
        scores: (K,) float32 in 0..1, as the system's decoder defines them.
        box: (4,) float32 x0, y0, x1, y1 around the landmarks, before the crop's margin; that of the
            points themselves where the network verified the detector's.
        origin: Of the box: the detector's name, or "given".
        score: Mean of the scores of all points that the network gives, converted or not.
        status: "ok", or "low_confidence" where `score` is below the aligner's min_score.
        scheme: Whose points they are; `scheme.names` are their names.
    """

    points: np.ndarray
    scores: np.ndarray
    box: np.ndarray
    origin: str
    score: float
    status: str
    scheme: Scheme

    def __repr__(self) -> str:
        box = ", ".join(f"{number:.0f}" for number in self.box)
        return (
            f"Face({self.status}, score {self.score:.3f}, box [{box}], {len(self.points)} points "
            f"of {self.scheme.name})"
        )

    def __getitem__(self, name: str) -> np.ndarray:
        """Points by their name: `face["left_eye"]`.

        Args:
            name: A feature, as "left_eye", "mouth" or "contour", or one of the scheme's curves, as
                "outlip_up"; or a point, one of `scheme.names`.

        Returns:
            (N, 2) points along the curve or around the feature; (2,) of a single point.

        Raises:
            InputError: Nothing has that name.
        """
        names, lines = self.scheme.names, self.scheme.features
        if name in names:
            return self.points[names.index(name)]
        if name in lines:
            return self.points[list(lines[name])]
        known = [*lines, *(other for other in names if other not in lines)]
        raise InputError(f"face[{name!r}]: the scheme {self.scheme.name} has {', '.join(known)}")

    @cached_property
    def pose(self) -> Pose | None:
        """Yaw, pitch and roll of the head, in degrees; None where the points do not tell them.

        Raises:
            InputError: The scheme lacks eyes, nose or mouth.
        """
        return head_pose(self.points, self.scheme)

    def aligned(
        self,
        image: np.ndarray | Image.Image | Path | str,
        side: int = alignment.SIDE,
        template: str = alignment.TEMPLATE,
    ) -> np.ndarray:
        """The face's aligned crop, for a network that takes such.

        Args:
            image: The one in which the face was found.
            side: Of the crop, in pixels.
            template: Where eyes, nose and mouth lie in it: "ffhq" or "arcface".

        Returns:
            (side, side, 3) uint8 RGB, black where the image ends.

        Raises:
            InputError: The scheme lacks eyes, nose or mouth, there is no such side or template, or
                the points lie in one place.
        """
        return alignment.aligned(photos.as_rgb(image), self.points, self.scheme, side, template)

    def draw(self, image: np.ndarray | Image.Image | Path | str) -> np.ndarray:
        """A copy of the image with the face's points, curves and box drawn.

        Args:
            image: The one in which the face was found.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            InputError: It is no image.
        """
        return annotated(photos.as_rgb(image), [self])

    def to_dict(self) -> dict[str, Any]:
        """The face as JSON types, as it stands in faces.json.

        Returns:
            scheme, status, score, box, origin, pose, points and scores. The pose is None where
            the points, or the scheme, do not tell it.
        """
        try:
            pose = self.pose
        except InputError:
            pose = None
        return {
            "scheme": self.scheme.name,
            "status": self.status,
            "score": round(self.score, 4),
            "box": _plain(self.box, 2),
            "origin": self.origin,
            "pose": pose and {angle: round(value, 2) for angle, value in asdict(pose).items()},
            "points": _plain(self.points, 3),
            "scores": _plain(self.scores, 4),
        }


def _plain(array, digits):
    return np.round(np.asarray(array, np.float64), digits).tolist()


def annotated(image: np.ndarray, faces: Sequence[Face], longest: int = 0) -> np.ndarray:
    """A copy of the image with faces drawn; those of low confidence in the colour of alarm.

    Args:
        image: (H, W, 3) uint8 RGB.
        faces: Of this image.
        longest: The most pixels that a side may have; 0: as many as it has.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not faces:
        return image if not longest else photos.reduced(image, longest)
    return drawing.annotated(
        image,
        [face.points for face in faces],
        [face.box for face in faces],
        [face.status != "ok" for face in faces],
        faces[0].scheme,
        longest or max(image.shape),
    )


def status_of(faces: Sequence[Face]) -> str:
    """What is said of a photo.

    Args:
        faces: Those found in it.

    Returns:
        "ok" where one face is, "low_confidence" where none is, "no_face".
    """
    if not faces:
        return "no_face"
    return "ok" if any(face.status == "ok" for face in faces) else "low_confidence"


def to_pandas(faces: Sequence[Face] | Sequence[Sequence[Face]]):
    """Faces as a table of pandas, a row a face.

    Args:
        faces: Of one image, or a list of such lists: `image` then says which.

    Returns:
        A DataFrame with image, face, status, score, x0, y0, x1, y1, yaw, pitch, roll, and NAME_x,
        NAME_y of each point.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise InputError("to_pandas needs pandas; pip install pandas") from None
    alone = any(isinstance(one, Face) for one in faces)
    several: Any = [faces] if alone else faces
    rows = []
    for image, those in enumerate(several):
        for number, face in enumerate(those):
            held = face.to_dict()
            row = {"image": image, "face": number} | {k: held[k] for k in ("status", "score")}
            row |= dict(zip(("x0", "y0", "x1", "y1"), held["box"], strict=True))
            row |= held["pose"] or dict.fromkeys(("yaw", "pitch", "roll"))
            for name, (x, y) in zip(face.scheme.names, held["points"], strict=True):
                row |= {f"{name}_x": x, f"{name}_y": y}
            rows.append(row)
    return pandas.DataFrame(rows)
