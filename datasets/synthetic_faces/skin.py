"""Bare skin: its colour, folds, nostrils and freckles."""

import cv2
import numpy as np

from .canvas import DARK, disc, ribbon
from .head import Head
from .scene import Scene


def colour(scene: Scene, head: Head, vertices: np.ndarray) -> np.ndarray:
    """Skin colour at every grid vertex, before light."""
    look, x, y = scene.look, np.abs(vertices[..., 0]), vertices[..., 1]
    front = np.clip(vertices[..., 2], 0, 1)

    def spot(cx, cy, rx, ry):
        return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2) * front

    style = look.surface
    red = 0.5 * spot(0.58, 0.45, 0.28, 0.25) + 0.6 * spot(0, head.nose_tip, 0.2, 0.14)
    red = style.red * (red + 0.25 * spot(0, 1.35, 0.3, 0.2))
    tone = look.skin * (1 - red[..., None] * np.array([0.16, 0.13, 0.0]))
    socket = 0.5 * style.socket * spot(head.eye_x - 0.06, -0.06, 0.24, 0.12)
    socket += style.socket * (0.25 + 0.3 * look.age) * spot(head.eye_x - 0.05, 0.12, 0.17, 0.06)
    tone = tone * (1 - socket[..., None] * np.array([0.3, 0.34, 0.28]))
    if look.blush:
        tone = tone + (look.blush * 0.45 * spot(0.6, 0.38, 0.2, 0.16))[..., None] * (
            np.array([120, 90, 225]) - tone
        )
    return tone


def folds(canvas, scene, rng):
    """Soft dark lines: beside the nose, under the lip, on the lids, of age and of expression."""
    head, look, s = canvas.head, scene.look, scene.shape
    style, shade = look.surface, look.skin * (0.45, 0.42, 0.55)
    tip, mouth, wide = head.nose_tip, head.mouth_y, 1 + s.nose_width
    veils = []
    for sign in (-1, 1):
        fold = np.array([(0.27 * wide, tip - 0.02), (0.37, tip + 0.15), (0.47, mouth)])
        depth = style.fold * (0.12 + 0.3 * look.age + 0.35 * max(s.smile, 0))
        veils.append((ribbon(fold * (sign, 1), [0.005, 0.022, 0.005]), min(depth, 0.9)))
        wing = head.curves["nose_side"][36:55]
        veils.append((ribbon(wing * (sign, 1), 0.014), style.wing))
        side = -scene.light.direction[0] * sign
        if side > 0.1:
            shadow = np.array([(0.1, 0.1), (0.16, 0.3), (0.3, tip), (0.2, tip + 0.13), (0.05, tip)])
            canvas.veil(shadow * (sign, 1), shade, 0.5 * side * style.fold, 0.04)
    lower = head.curves["outlip_lo"][12:49] + (0, 0.035)
    veils.append((ribbon(lower, 0.02), style.under_lip))
    groove = np.array([(0, tip + 0.16), (0, mouth - 0.1)])
    veils.append((ribbon(groove, 0.025), style.groove))
    canvas.veils(veils, shade, 0.018)
    if style.wrinkles:
        _wrinkles(canvas, scene, rng)


def _wrinkles(canvas, scene, rng):
    """Lines of age and frowns: forehead, outer eye corners, between the brows, cheeks, mouth."""
    head, s, style = canvas.head, scene.shape, scene.look.surface
    along = np.linspace(-1, 1, 9)
    lines = []
    for y in np.linspace(-0.9, -0.5, int(rng.integers(1, 6))):
        bow = rng.normal(0, 0.05) * along**2 + rng.normal(0, 0.012, 9)
        lines.append(np.stack([rng.uniform(0.2, 0.6) * along, y + bow], 1))
    for sign in (-1, 1):
        outer = head.eye_x + 0.195 * (1 + s.eye_width)
        for slope in rng.uniform(-0.5, 0.7, int(rng.integers(0, 5))):
            reach = np.linspace(0.06, rng.uniform(0.12, 0.28), 9)
            lines.append(np.stack([sign * (outer + reach), 0.3 * slope * reach + 0.05 * slope], 1))
        for place in rng.uniform(0.1, 0.2, int(rng.integers(0, 3))):
            low = place + 0.03 - 0.06 * along**2
            lines.append(np.stack([sign * (head.eye_x + 0.2 * along), low], 1))
        for x in rng.uniform(0.42, 0.72, int(rng.integers(0, 3))):
            rise = 0.25 * along + head.mouth_y - 0.1
            lines.append(np.stack([sign * (x - 0.07 * along**2), rise], 1))
        lines.append(np.stack([sign * (0.06 + 0.015 * along), 0.09 * along - 0.25], 1))
    canvas.lines(lines, scene.look.skin * (0.42, 0.4, 0.5), style.wrinkles, 0.012)


def blotches(texture: np.ndarray, style, rng) -> np.ndarray:
    """Skin's uneven colour at three scales, from red cheeks' size down to pores."""
    height, width = texture.shape[:2]
    coarse = rng.normal(0, 1, (10, 12, 1)) * style.mottle * (14, 14, 5)
    medium = rng.normal(0, 1, (34, 40, 1)) * (9 * style.mottle) * (1.1, 1.1, 0.7)
    field = cv2.resize(coarse, (40, 34)) + medium + 127
    field = cv2.resize(np.clip(field, 0, 255).astype(np.uint8), (width, height))
    return cv2.addWeighted(texture, 1, field, 1, -127)


def moles(canvas, look, rng):
    """A few dark or red spots anywhere on the face."""
    for _ in range(look.surface.moles):
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 1.4)
        tone = (0.35, 0.35, 0.45) if rng.random() < 0.6 else (0.6, 0.6, 0.95)
        canvas.veil(disc(x, y, rng.uniform(0.008, 0.025)), look.skin * tone, rng.uniform(0.3, 0.9))


def freckles(canvas, look, rng):
    where = rng.normal(0, 1, (40, 2)) * (0.42, 0.18) + (0, 0.32)
    sizes = rng.uniform(0.008, 0.018, 40)
    colour = look.skin * (1 - look.freckles * np.array([0.5, 0.45, 0.3]))
    for (x, y), size in zip(where, sizes, strict=True):
        canvas.fill(disc(x, y, size), colour)


def nostrils(canvas, style):
    head, wide = canvas.head, 1 + canvas.head.shape.nose_width
    for sign in (-1, 1):
        hole = disc(0.1 * wide * sign, head.nose_base_y - 0.035, 0.062 * wide, 0.026)
        canvas.veil(hole, DARK + (6, 6, 18), style.nostril, 0.012)
