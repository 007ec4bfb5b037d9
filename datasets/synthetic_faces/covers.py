"""Things in front of the face, and which points they hide."""

import cv2
import numpy as np

from jaxalign.curves import START, USED

from .glasses import rims
from .hair import behind, curtain, hairline
from .hats import edge_of, visor
from .head import Head
from .paint import mask_top
from .polygons import fixed
from .scene import Scene
from .surface import SHIFT


# A hand in its own frame: (x, y) of both ends and the radius of palm parts, fingers and thumb.
HAND = np.array(
    [(-0.25, 0.35, -0.28, -0.1, 0.2), (0.0, 0.4, 0.0, -0.1, 0.22), (0.25, 0.35, 0.26, -0.08, 0.2),
     (0.0, 0.6, 0.0, 1.9, 0.3),
     (-0.36, -0.1, -0.5, -0.62, 0.095), (-0.13, -0.15, -0.17, -0.85, 0.105),
     (0.1, -0.15, 0.12, -0.9, 0.108), (0.32, -0.1, 0.4, -0.75, 0.1), (0.38, 0.4, 0.8, -0.02, 0.11)]
)  # fmt: skip


# Things held before the face, from their end at the face downwards: as HAND, and what colour each
# part has (0 and 1: the thing's two, 2: skin).
FIST = [(-0.2, 0.75, 0.2, 0.75, 0.16, 2), (-0.2, 0.95, 0.2, 0.95, 0.16, 2),
        (0.0, 1.0, 0.15, 2.6, 0.24, 2)]  # fmt: skip
THINGS = {
    "microphone": [(0, 0.2, 0, 1.3, 0.09, 1), (0, 0, 0, 0.06, 0.2, 0), *FIST],
    "phone": [(0, -0.5, 0, 0.5, 0.17, 0), (0.05, -0.4, 0.05, 0.4, 0.1, 1), *FIST],
    "cigarette": [(0, 0, 0, 0.5, 0.028, 0), (0, 0.5, 0, 0.56, 0.03, 1)],
    "cup": [(-0.12, 0, -0.12, 0.6, 0.2, 0), (0.12, 0, 0.12, 0.6, 0.2, 0), (0, 0.1, 0, 0.5, 0.1, 1),
            *FIST],
    "food": [(-0.15, 0, 0.15, 0.05, 0.2, 0), (-0.1, 0.1, 0.12, 0.12, 0.16, 1), *FIST],
    "finger": [(0, -0.1, 0, 0.6, 0.095, 2), *FIST],
    "fist": [(-0.3, 0, -0.2, 0.25, 0.2, 2), (0, -0.05, 0, 0.25, 0.22, 2),
             (0.3, 0, 0.2, 0.25, 0.2, 2), (0, 0.4, 0.1, 2.5, 0.3, 2)],
}  # fmt: skip


def _placed(parts, x, y, angle, size, camera):
    """Parts (N, 5) of something held at (x, y) before the head, in unit coordinates."""
    turn = np.radians(angle + camera.roll)
    rotate = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    place = camera.pixels(np.array([x, y, 1.0]), 1) + 0.5
    scale = camera.scale * size
    ends = parts[:, :4].reshape(-1, 2, 2) @ rotate * scale + place
    return np.concatenate([ends.reshape(-1, 4), parts[:, 4:5] * scale], 1)


def capsules(scene: Scene) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is held before the face: groups of parts (N, 5) and the colour of each group.

    A part is a line with a radius, in unit coordinates.
    """
    covers, camera, found = scene.covers, scene.camera, []
    if covers.hand is not None:
        parts = _placed(HAND, *covers.hand, camera)
        found += [(parts[:4], scene.look.skin), (parts[4:], scene.look.skin)]  # palm, fingers
    thing = covers.thing
    if thing is not None:
        table = np.array(THINGS[thing.kind], float)
        parts = _placed(table, thing.x, thing.y, thing.angle, thing.size, camera)
        colours = (np.asarray(thing.colour), np.asarray(thing.second), scene.look.skin)
        found += [(parts[i : i + 1], colours[int(k)]) for i, k in enumerate(table[:, 5])]
    return found


def held(image: np.ndarray, scene: Scene) -> None:
    """A hand or a thing held up before the face."""
    light, size = scene.light, len(image)
    tone = (light.ambient + 0.65 * light.strength) * np.asarray(light.colour)
    # Each part is drawn from its dark rim inwards: share of the radius, shade, shift to the light.
    layers = ((1.0, 0.62, 0.0), (0.88, 0.82, 0.05), (0.66, 0.95, 0.14), (0.35, 1.03, 0.2))
    for group, paint in capsules(scene):
        for share, shade, shift in layers:
            move = shift * group[:, 4:].mean() * np.array(light.direction[:2] * 2)
            colour = tuple(np.clip(paint * tone * shade, 0, 255).tolist())
            for part in group:
                a, b = fixed((part[:4] + move).reshape(2, 2), size)
                thick = max(1, round(float(part[4] * 2 * size * share)))
                cv2.line(image, a.tolist(), b.tolist(), colour, thick, cv2.LINE_AA, SHIFT)


def _within(outline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of the points (N, 2) lie inside a polygon."""
    outline = outline.astype(np.float32)
    return np.array([cv2.pointPolygonTest(outline, p, False) > 0 for p in points.tolist()])


def hidden(scene: Scene, head: Head, points: np.ndarray) -> np.ndarray:
    """Whether something opaque, lids included, covers each of camera.landmarks' `points`."""
    covers, camera, look = scene.covers, scene.camera, scene.look
    x, y = points[:, 0], points[:, 1]
    found = np.zeros(len(points), bool)
    seen = camera.project(camera.turn(points))
    if covers.mask is not None:
        found |= y > mask_top(x)
    for parts, _ in capsules(scene):
        start, arm = parts[:, :2], parts[:, 2:4] - parts[:, :2]
        away = seen[:, None] - start
        along = np.clip((away * arm).sum(-1) / np.maximum((arm**2).sum(-1), 1e-9), 0, 1)
        found |= (np.linalg.norm(away - along[..., None] * arm, axis=-1) < parts[:, 4]).any(1)
    if covers.glasses == "sun" and covers.lenses.opacity > 0.8:
        for rim in rims(scene, head):
            outline = camera.project(camera.turn(rim))
            found |= _within(outline, seen)
    width = np.maximum(head.section(y)[0], 1e-6)
    turn = np.arcsin(np.clip(x / width, -1, 1))
    found |= y < hairline(look, turn) - 0.03
    if covers.hat is not None:
        found |= y < edge_of(covers.hat, turn) if covers.hat.kind != "band" else False
        brim = visor(scene, head)
        if brim is not None:
            found |= _within(brim, seen)
    for side in (0, 1):
        hanging = curtain(scene, head, side)
        if hanging is not None and not behind(scene, side):
            found |= _within(np.concatenate([hanging[0], hanging[1][::-1]]), seen)
    for name, closed in zip(("lpupil", "rpupil"), scene.shape.lids, strict=True):
        found[np.searchsorted(USED, START[name])] |= closed > 0.7
    return found
