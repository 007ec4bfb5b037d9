"""Things in front of the face, and which points they hide."""

import cv2
import numpy as np

from jaxalign.curves import START, USED

from .backdrop import fixed
from .camera import Camera
from .glasses import rims
from .hair import curtain, hairline
from .head import Head
from .paint import mask_top
from .scene import Scene
from .surface import SHIFT


# A hand in its own frame: (x, y) of both ends and the radius of palm parts, fingers and thumb.
HAND = np.array(
    [(-0.25, 0.35, -0.28, -0.1, 0.2), (0.0, 0.4, 0.0, -0.1, 0.22), (0.25, 0.35, 0.26, -0.08, 0.2),
     (0.0, 0.6, 0.0, 1.9, 0.3),
     (-0.36, -0.1, -0.5, -0.62, 0.095), (-0.13, -0.15, -0.17, -0.85, 0.105),
     (0.1, -0.15, 0.12, -0.9, 0.108), (0.32, -0.1, 0.4, -0.75, 0.1), (0.38, 0.4, 0.8, -0.02, 0.11)]
)  # fmt: skip


def hand_capsules(held: tuple[float, float, float, float], camera: Camera) -> np.ndarray:
    """Covers.hand -> (N, 5) in unit coordinates: both ends and the radius of each of its parts."""
    x, y, angle, size = held
    turn = np.radians(angle + camera.roll)
    rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    place = camera.pixels(np.array([x, y, 1.0]), 1) + 0.5
    scale = camera.scale * size
    ends = HAND[:, :4].reshape(-1, 2, 2) @ rotate * scale + place
    return np.concatenate([ends.reshape(-1, 4), HAND[:, 4:] * scale], 1)


def hand(image: np.ndarray, scene: Scene) -> None:
    """A hand held up before the face, palm away from it."""
    if scene.covers.hand is None:
        return
    light, size = scene.light, len(image)
    tone = light.ambient + 0.65 * light.strength
    skin = scene.look.skin * tone * np.asarray(light.colour)
    parts = hand_capsules(scene.covers.hand, scene.camera)
    # Each part is drawn from its dark rim inwards: share of the radius, shade, shift to the light.
    layers = ((1.0, 0.62, 0.0), (0.88, 0.82, 0.05), (0.66, 0.95, 0.14), (0.35, 1.03, 0.2))
    for group in (parts[:4], parts[4:]):  # palm and wrist, fingers
        for share, shade, shift in layers:
            move = shift * group[:, 4:].mean() * np.array(light.direction[:2] * 2)
            for part in group:
                a, b = fixed((part[:4] + move).reshape(2, 2), size)
                thick = max(1, round(float(part[4] * 2 * size * share)))
                colour = tuple(float(c) for c in np.clip(skin * shade, 0, 255))
                cv2.line(image, a.tolist(), b.tolist(), colour, thick, cv2.LINE_AA, SHIFT)


def _within(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of the points (N, 2) lie inside a polygon."""
    outline = outline.astype(np.float32)
    return np.array([cv2.pointPolygonTest(outline, p, False) > 0 for p in points.tolist()])


def hidden(scene: Scene, head: Head, points: np.ndarray) -> np.ndarray:
    """Which of camera.landmarks' `points` something opaque covers: the lids, too."""
    covers, camera, look = scene.covers, scene.camera, scene.look
    x, y = points[:, 0], points[:, 1]
    found = np.zeros(len(points), bool)
    seen = camera.project(camera.turn(points))
    if covers.mask is not None:
        found |= y > mask_top(x)
    if covers.hand is not None:
        parts = hand_capsules(covers.hand, camera)
        start, arm = parts[:, :2], parts[:, 2:4] - parts[:, :2]
        away = seen[:, None] - start
        along = np.clip((away * arm).sum(-1) / (arm**2).sum(-1), 0, 1)
        found |= (np.linalg.norm(away - along[..., None] * arm, axis=-1) < parts[:, 4]).any(1)
    if covers.glasses == "sun" and covers.lenses.opacity > 0.8:
        for rim in rims(scene, head):
            outline = camera.project(camera.turn(rim))
            found |= _within(outline, seen)
    width = np.maximum(head.section(y)[0], 1e-6)
    found |= y < hairline(look, np.arcsin(np.clip(x / width, -1, 1))) - 0.03
    for side in (0, 1):
        hair = curtain(scene, head, side)
        if hair is not None:
            found |= _within(np.concatenate([hair[0], hair[1][::-1]]), seen)
    for name, closed in zip(("lpupil", "rpupil"), scene.shape.lids, strict=True):
        found[np.searchsorted(USED, START[name])] |= closed > 0.7
    return found
