"""Glasses: frames, tinted lenses, reflections and their shadow."""

import cv2
import numpy as np

from .canvas import coverage, darken, wash
from .head import Head
from .polygons import fixed, polygon
from .scene import Scene
from .surface import SHIFT


TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)


def rims(scene: Scene, head: Head) -> np.ndarray:
    """Both lenses in 3-D: (2, N, 3)."""
    covers, style = scene.covers, scene.covers.lenses
    power = 2 / covers.round
    cosine, sine = np.cos(TURN), np.sin(TURN)
    x = style.width * np.sign(cosine) * np.abs(cosine) ** power
    y = style.height * np.sign(sine) * np.abs(sine) ** power
    front = head.lift(np.array([[0.0, -0.05 + style.drop]]))[0, 2] + 0.06
    found = []
    for sign in (-1, 1):
        across = x + sign * (head.eye_x + 0.02)
        lower = y + style.droop * sign * x * (y > 0) + style.drop + style.tilt * across
        found.append(np.stack([across, lower, front - 0.32 * across**2], 1))
    return np.stack(found)


def draw(image: np.ndarray, scene: Scene, head: Head, near: bool) -> None:
    """The lenses that lie before (`near`) or behind the head's profile, and the temples."""
    if not scene.covers.glasses:
        return
    camera, style, found = scene.camera, scene.covers.lenses, rims(scene, head)
    for index, sign in enumerate((-1, 1)):
        behind = camera.yaw * sign > 38
        if behind == near:
            continue
        rim = camera.project(camera.turn(found[index]))
        if style.shadow and near:
            away = -np.asarray(scene.light.direction[:2]) * (0.12, 0.14) * camera.scale
            shadow = np.concatenate([rim, rim[:1], (rim[:1] * 0.9 + rim.mean(0) * 0.1),
                                     (rim * 0.9 + rim.mean(0) * 0.1)[::-1]])  # fmt: skip
            darken(image, shadow + away, style.shadow, 0.03 * camera.scale)
        _lens(image, scene, rim)
        lines = [(rim[20:] if style.half else rim, not style.half, 1.0)]
        if style.browline:
            lines.append((rim[20:], False, 1 + 2 * style.browline))
        if camera.yaw * sign < 12:
            end = (sign * 1.03, -0.12, -0.12)
            arm = np.stack([found[index][0 if sign > 0 else 20] - (0, 0.08, 0), end])
            lines.append((camera.project(camera.turn(arm)), False, 1.0))
        for line, closed, weight in lines:
            _wire(image, scene, line, closed, weight)
    if near:
        lift = 0.06 + style.drop
        bridge = np.stack([found[0][0], [0, lift - 0.12, found[0][0, 2] + 0.08], found[1][20]])
        _wire(image, scene, camera.project(camera.turn(bridge)), False, 1.0)


def _wire(image, scene, line, closed, weight):
    """A part of the frame, and the light on its upper edge."""
    size, frame = len(image), np.asarray(scene.covers.frame)
    wanted = scene.covers.lenses.thick * weight * scene.camera.scale * size
    thick = max(1, round(wanted))
    colour = tuple(np.clip(frame, 0, 255).tolist())
    cv2.polylines(image, [fixed(line, size)], closed, colour, thick, cv2.LINE_AA, SHIFT)
    if scene.covers.lenses.glint and thick > 1:
        colour = tuple(np.clip(frame + 110 * scene.covers.lenses.glint, 0, 255).tolist())
        line = line - (0, 0.25 * thick / size)
        thin = max(1, thick // 3)
        cv2.polylines(image, [fixed(line, size)], closed, colour, thin, cv2.LINE_AA, SHIFT)


def _lens(image, scene, rim):
    """The glass: its tint, darker at the top, and its reflections."""
    covers, style, scale = scene.covers, scene.covers.lenses, scene.camera.scale
    if covers.glasses == "sun" or style.tint:
        opaque = style.opacity if covers.glasses == "sun" else style.tint
        tint = np.asarray(covers.frame if style.colour is None else style.colour) * 0.12 + 6
        region, cover = coverage(image.shape, fixed(rim, len(image)), 0.0, 2)
        patch = image[region]
        fade = np.linspace(1, 1 - style.gradient, len(patch), dtype=np.float32)[:, None, None]
        patch[:] = patch + cover * fade * np.float32(opaque) * (tint.astype(np.float32) - patch)
        if style.colour is None:
            streak = rim.mean(0) + (rim - rim.mean(0)) * (0.5, 0.25) + (0, -0.06 * scale)
            polygon(image, streak, tint + 24)
    if style.mirror:
        middle, place = rim.mean(0), np.asarray(style.mirror_at)
        bent = (rim - middle) * (0.9, 0.9)
        low, high = place[0] - place[1], place[0] + place[1]
        slant = bent @ np.array([0.8, 0.6]) / (0.3 * scale)
        band = middle + bent[(slant > low) & (slant < high)]
        if len(band) > 2:
            wash(image, band, (250, 245, 240), style.mirror, 0.01 * scale)
