"""Bare skin: its colour, folds, nostrils and freckles."""

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

    red = 0.5 * spot(0.58, 0.45, 0.28, 0.25) + 0.6 * spot(0, head.nose_tip, 0.2, 0.14)
    red = red + 0.25 * spot(0, 1.35, 0.3, 0.2)
    tone = look.skin * (1 - red[..., None] * np.array([0.16, 0.13, 0.0]))
    socket = 0.5 * spot(head.eye_x - 0.06, -0.06, 0.24, 0.12)
    socket += (0.25 + 0.3 * look.age) * spot(head.eye_x - 0.05, 0.12, 0.17, 0.06)
    tone = tone * (1 - socket[..., None] * np.array([0.3, 0.34, 0.28]))
    if look.blush:
        tone = tone + (look.blush * 0.45 * spot(0.6, 0.38, 0.2, 0.16))[..., None] * (
            np.array([120, 90, 225]) - tone
        )
    return tone


def folds(canvas, scene):
    """Soft dark lines: beside the nose, under the lip, on the lids, of age and of expression."""
    head, look, s = canvas.head, scene.look, scene.shape
    shade = look.skin * (0.45, 0.42, 0.55)
    tip, mouth, wide = head.nose_tip, head.mouth_y, 1 + s.nose_width
    happy = max(s.smile, 0)
    for sign in (-1, 1):
        fold = np.array([(0.27 * wide, tip - 0.02), (0.37, tip + 0.15), (0.47, mouth)])
        depth = 0.12 + 0.3 * look.age + 0.35 * happy
        canvas.veil(ribbon(fold * (sign, 1), [0.005, 0.022, 0.005]), shade, depth, 0.02)
        wing = head.curves["nose_side"][36:55]
        canvas.veil(ribbon(wing * (sign, 1), 0.014), shade, 0.4, 0.014)
        side = -scene.light.direction[0] * sign
        if side > 0.1:
            shadow = np.array([(0.1, 0.1), (0.16, 0.3), (0.3, tip), (0.2, tip + 0.13), (0.05, tip)])
            canvas.veil(shadow * (sign, 1), shade, 0.5 * side, 0.04)
    lower = head.curves["outlip_lo"][12:49] + (0, 0.035)
    canvas.veil(ribbon(lower, 0.02), shade, 0.4, 0.025)
    canvas.veil(ribbon(np.array([(0, tip + 0.16), (0, mouth - 0.1)]), 0.025), shade, 0.2, 0.02)
    if look.age > 0.45:
        for y in (-0.85, -0.7, -0.55):
            x = np.linspace(-0.5, 0.5, 9)
            line = np.stack([x, y + 0.04 * np.cos(5 * x)], 1)
            canvas.veil(ribbon(line, 0.009), shade, 0.6 * (look.age - 0.3), 0.012)
    if s.frown > 0.3:
        for sign in (-1, 1):
            line = np.array([(0.07 * sign, -0.36), (0.06 * sign, -0.2)])
            canvas.veil(ribbon(line, 0.009), shade, 0.5 * s.frown, 0.012)


def freckles(canvas, look, rng):
    where = rng.normal(0, 1, (40, 2)) * (0.42, 0.18) + (0, 0.32)
    sizes = rng.uniform(0.008, 0.018, 40)
    colour = look.skin * (1 - look.freckles * np.array([0.5, 0.45, 0.3]))
    for (x, y), size in zip(where, sizes, strict=True):
        canvas.fill(disc(x, y, size), colour)


def nostrils(canvas):
    head, wide = canvas.head, 1 + canvas.head.shape.nose_width
    for sign in (-1, 1):
        hole = disc(0.1 * wide * sign, head.nose_base_y - 0.035, 0.062 * wide, 0.026)
        canvas.veil(hole, DARK + (6, 6, 18), 0.85, 0.012)
