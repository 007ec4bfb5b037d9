"""Pose and projection of the head, and which of its points a viewer can see.

Positions in the photo are fractions of its side ("unit" coordinates), so that a face is the same
at every size: a pixel is `unit * size - 0.5`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from jaxalign.curves import CONTOUR_SAMPLES, USED

from .head import Head


NOSE = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 9), np.linspace(-0.1, 0.75, 11)), -1)
SLIDE = np.sin(np.radians(np.linspace(88, 30, 30)))  # shares of a section's half width
EDGE = int(np.searchsorted(USED, CONTOUR_SAMPLES))  # so many of USED lie on the contour
LINE = np.arange(0, CONTOUR_SAMPLES, 4)
AROUND = 0.02 * np.array([[(1, 0)], [(-1, 0)], [(0, 1)], [(0, -1)]])


@dataclass(frozen=True)
class Camera:
    """Angles in degrees: yaw > 0 turns the nose to image right, pitch > 0 down, roll clockwise."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 0.25  # photo sides per head unit, at the origin's depth
    centre: tuple[float, float] = (0.5, 0.45)  # of the head's origin
    distance: float = 10.0  # of the viewer, in head units

    @cached_property
    def rotation(self) -> np.ndarray:
        yaw, pitch, roll = np.radians([self.yaw, self.pitch, self.roll])
        cy, sy, cp, sp, cr, sr = (f(t) for t in (yaw, pitch, roll) for f in (np.cos, np.sin))
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return tilt @ nod @ turn

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Head frame to camera frame, (..., 3)."""
        return points @ self.rotation.T

    def project(self, turned: np.ndarray) -> np.ndarray:
        """Camera frame (..., 3) to unit coordinates (..., 2)."""
        zoom = self.scale * self.distance / (self.distance - turned[..., 2:])
        return turned[..., :2] * zoom + np.asarray(self.centre)

    def pixels(self, points: np.ndarray, size: int) -> np.ndarray:
        """Head frame (..., 3) to pixels of a photo of the given side (..., 2)."""
        return self.project(self.turn(points)) * size - 0.5


def landmarks(head: Head, camera: Camera) -> np.ndarray:
    """The samples that schemes name, in 3-D (len(USED), 3), where annotators of photos place them.

    On the side that a turned head hides, the contour is marked on the visible outline: its points
    slide forward along the head's section at their height, to where that ends for the viewer
    ("landmark marching", Zhu et al., CVPR 2015). On each side they are then spread evenly from the
    ear to the chin, as the viewer sees them.
    """
    line = head.points(LINE)
    width = np.abs(line[:, :1]) * SLIDE
    flat = np.stack([np.sign(line[:, :1]) * width, np.broadcast_to(line[:, 1:2], width.shape)], -1)
    ways = np.concatenate([line[:, None], head.lift(flat)], 1)
    upright = replace(camera, roll=0.0, centre=(0.0, 0.0))
    seen = upright.project(upright.turn(ways))
    rows = np.arange(len(line))
    furthest = (seen[..., 0] * np.sign(line[:, :1])).argmax(1)
    line, seen = ways[rows, furthest], seen[rows, furthest]
    step = np.hypot(*np.diff(seen, axis=0).T)
    far = np.concatenate([[0.0], np.cumsum(step)])
    middle = len(far) // 2
    share = np.interp(far, far[[0, middle, -1]], (0, CONTOUR_SAMPLES // 2, CONTOUR_SAMPLES - 1))
    points = head.used.copy()
    for axis in range(3):
        points[:EDGE, axis] = np.interp(USED[:EDGE], share, line[:, axis])
    return points


def facing(head: Head, camera: Camera, points: np.ndarray, on_contour: np.ndarray) -> np.ndarray:
    """Whether the surface at each point (N, 3) of the head's front turns towards the viewer."""
    x, y = points[:, 0], points[:, 1]
    height = head.lift(points[:, :2] + AROUND)[..., 2]
    step = np.full(len(x), AROUND.max() * 2)
    normal = np.stack([height[1] - height[0], height[3] - height[2], step], 1)
    low = np.maximum(y - 0.6, 0)
    rim = np.stack([x, 0.6 * low, 0.05 + 0.35 * low], 1)
    normal = np.where(on_contour[:, None], rim, normal)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    view = np.array([0, 0, camera.distance]) - camera.turn(points)
    cosine = (camera.turn(normal) * view).sum(1) / np.linalg.norm(view, axis=1)
    return cosine > np.where(on_contour, -0.15, -0.08)


def behind_nose(head: Head, camera: Camera, points: np.ndarray) -> np.ndarray:
    """Whether the nose stands between the viewer and each point (N, 3)."""
    grid = camera.turn(head.lift(NOSE))
    flat = camera.project(grid)
    corners = (slice(None, -1), slice(1, None))
    order = [(0, 0), (0, 1), (1, 1), (1, 0)]
    quads = np.stack([flat[corners[i], corners[j]] for i, j in order], 2).reshape(-1, 4, 2)
    depth = np.mean([grid[corners[i], corners[j], 2] for i, j in order], 0).reshape(-1)
    turned = camera.turn(points)
    seen = camera.project(turned)
    low, high = quads.min((0, 1)), quads.max((0, 1))
    asked = np.flatnonzero(((seen > low) & (seen < high)).all(1) & (turned[:, 2] < depth.max()))
    hidden = np.zeros(len(points), bool)
    edge = np.roll(quads, -1, 1) - quads
    arm = seen[asked, None, None] - quads
    side = edge[..., 0] * arm[..., 1] - edge[..., 1] * arm[..., 0]
    inside = (side > 0).all(-1) | (side < 0).all(-1)
    hidden[asked] = (inside & (depth > turned[asked, 2:] + 0.12)).any(1)
    return hidden


def visible(head: Head, camera: Camera, points: np.ndarray) -> np.ndarray:
    """Whether the head itself leaves each of the `landmarks` visible."""
    seen = facing(head, camera, points, USED < CONTOUR_SAMPLES)
    inward = np.abs(points[:EDGE, 0]) < 0.995 * head.section(points[:EDGE, 1])[0]
    seen[:EDGE] |= inward  # what slid lies on the outline
    if max(abs(camera.yaw), abs(camera.pitch)) > 10:
        seen[seen] = ~behind_nose(head, camera, points[seen])
    return seen
