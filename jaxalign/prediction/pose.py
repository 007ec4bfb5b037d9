"""The head's pose by a face's points: yaw, pitch and roll, in degrees.

yaw > 0 turns the nose to the image's right, pitch > 0 turns it down, roll > 0 turns the head
clockwise, as the viewer sees it; all are 0 for a face that looks into the camera. The head is
first turned by yaw, then by pitch, then by roll, about the axes of the photo.

The points are fitted to those of the average drawn head (datasets.synthetic_faces) by PnP, seen by
a camera that looks straight at the head from DISTANCE: the angles are those against the line of
sight, wherever in the photo the face is. The mouth is left out, for it opens. The contour is that
of the head in its pose, whose far half follows the outline that is seen (Zhu et al., CVPR 2015).
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from jaxalign.curves import INDICES, USED
from jaxalign.prediction.alignment import five_points
from jaxalign.scheme_files import SHIPPED
from jaxalign.schemes import UNION, Scheme


DISTANCE = 12.0  # of the camera, in halves of a face's width: about 0.9 m
LOOKS = 3  # fits: contour, distance and middle of each are those of the pose before
TOWARDS = np.diag([1.0, 1.0, -1.0])  # the head's z leads to the viewer, the camera's away from it


@dataclass(frozen=True)
class Pose:
    """Angles of a head, in degrees.

    Attributes:
        yaw: Above 0 the nose points to the image's right.
        pitch: Above 0 it points down.
        roll: Above 0 the head is turned clockwise.
    """

    yaw: float
    pitch: float
    roll: float


def head_pose(points: np.ndarray, scheme: Scheme) -> Pose | None:
    """The pose of the head with these points.

    Args:
        points: (K, 2) points of a face, in pixels of its photo.
        scheme: Whose points they are. Of one that does not come with the package, the five points
            of alignment.five_points are taken.

    Returns:
        The pose, or None where the points do not tell it, as those on a line.

    Raises:
        InputError: The scheme lacks eyes, nose or mouth.
    """
    seen = _told(points, scheme)
    if not np.isfinite(seen).all():
        return None
    longer, shorter = np.linalg.svd(seen - seen.mean(0), compute_uv=False)
    if not shorter > 1e-3 * longer:  # in one place, or on a line
        return None
    pose, centre = Pose(0.0, 0.0, 0.0), seen.mean(0)
    length = DISTANCE * np.ptp(seen, 0).max() / np.ptp(_head(pose, scheme)[:, :2], 0).max()
    for _ in range(LOOKS):
        camera = np.array([[length, 0, centre[0]], [0, length, centre[1]], [0, 0, 1]])
        if (fit := _fitted(_head(pose, scheme), seen, camera)) is None:
            return None
        rotation, shift = fit
        yaw = np.arctan2(-rotation[2, 0], rotation[2, 2])
        pitch = -np.arcsin(np.clip(rotation[2, 1], -1, 1))
        roll = np.arctan2(-rotation[0, 1], rotation[1, 1])
        pose = Pose(*np.degrees([yaw, pitch, roll]).tolist())
        centre = centre + length * shift[:2] / shift[2]
        length *= DISTANCE / shift[2]
    return pose


def _fitted(head, seen, camera) -> tuple[np.ndarray, np.ndarray] | None:
    """(N, 3) points of a head, (N, 2) where a camera sees them -> how and where the head is.

    That is its rotation, (3, 3), and its middle in the camera's frame, (3,); None where there is
    no telling.
    """
    head = np.ascontiguousarray(head @ TOWARDS)
    try:
        found, turn, shift = cv2.solvePnP(head, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        if found:
            turn, shift = cv2.solvePnPRefineLM(head, seen, camera, None, turn, shift)
    except cv2.error:
        return None
    whole = found and np.isfinite([turn, shift]).all() and shift[2, 0] > 0
    return (TOWARDS @ cv2.Rodrigues(turn)[0] @ TOWARDS, shift[:, 0]) if whole else None


def _told(points, scheme):
    """(K, 2) points of a face -> (N, 2) float64, those that tell the pose."""
    if scheme.name in SHIPPED:
        return np.asarray(points, np.float64)[_rigid(scheme)]
    return five_points(points, scheme)


def _head(pose, scheme):
    """The same of the drawn head, in this pose: (N, 3)."""
    # Here, for it opens the readers of all benchmarks.
    from jaxalign.datasets.synthetic_faces.camera import Camera, landmarks

    camera = Camera(pose.yaw, pose.pitch, pose.roll, distance=DISTANCE)
    points = landmarks(_average(), camera)
    if scheme.name in SHIPPED:
        return points[np.searchsorted(USED, INDICES[scheme.name][_rigid(scheme)])]
    return five_points(points, UNION)


@lru_cache(1)
def _average():
    from jaxalign.datasets.synthetic_faces.head import Head

    return Head()


def _rigid(scheme) -> list[int]:
    return sorted({*range(scheme.num_points)} - {*scheme.regions["mouth"]})
