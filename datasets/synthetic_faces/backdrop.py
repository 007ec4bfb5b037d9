"""What belongs to the head and stands behind the face: the body, hair that hangs down, ears."""

import cv2
import numpy as np

from .curves import smooth
from .head import Head
from .scene import Scene
from .surface import SHIFT


def fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Unit coordinates (N, 2) as OpenCV's fixed-point pixels."""
    return np.rint((points * size - 0.5) * 2**SHIFT).astype(np.int32)


def polygon(image: np.ndarray, points: np.ndarray, colour) -> None:
    """A filled polygon in unit coordinates, edges anti-aliased."""
    shade = tuple(float(c) for c in np.clip(colour, 0, 255))
    cv2.fillPoly(image, [fixed(points, len(image))], shade, cv2.LINE_AA, SHIFT)


def hanging_hair(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> None:
    """Long hair behind the head, as strands between its two outlines."""
    look, camera = scene.look, scene.camera
    if look.style not in ("long", "tied"):
        return
    volume = look.volume
    end = rng.uniform(1.6, 3.0)
    if look.style == "tied":
        turn = np.linspace(0, 2 * np.pi, 24)
        knot = np.stack([0.42 * np.cos(turn), -1.15 + 0.42 * np.sin(turn), 0 * turn - 1.3], 1)
        polygon(image, camera.project(camera.turn(knot)), look.hair * 0.7)
        return
    side = [(1.0 + volume, -0.75, -0.25), (1.16 + volume, 0.0, -0.35),
            (1.2 + volume, 0.8, -0.4), (1.1 + volume, end, -0.3)]  # fmt: skip
    right = np.array(side)
    right, left = (camera.project(camera.turn(right * (s, 1, 1))) for s in (1, -1))
    polygon(image, np.concatenate([right, left[::-1]]), look.hair * 0.55)
    share = np.sort(rng.uniform(0, 1, 26))
    for place, tone in zip(share, rng.uniform(0.45, 0.85, 26), strict=True):
        strand = left + (right - left) * place
        wide = np.linspace(0.03, 0.012, 4)[:, None] * (1, 0)
        polygon(image, np.concatenate([strand - wide, (strand + wide)[::-1]]), look.hair * tone)


def body(image: np.ndarray, scene: Scene, head: Head) -> None:
    """Neck and shoulders, which follow the head's turn only in part."""
    camera, look, size = scene.camera, scene.look, len(image)
    scale = camera.scale
    top = camera.project(camera.turn(np.array([0.0, 0.75, -0.3])))
    base = camera.project(camera.turn(np.array([0.0, 1.5, -0.35]))) * 0.75 + 0.25 * np.array(
        [camera.centre[0], camera.centre[1] + 1.5 * scale]
    )
    base = base + (0, 0.75 * scale)
    radius = 0.6 * scale
    slope = 0.35 * scale
    shoulders = np.array(
        [(-9, 9), (-2.4, 0.62), (-1.3, 0.12), (-0.62, -0.15), (0, 0.2), (0.62, -0.15),
         (1.3, 0.12), (2.4, 0.62), (9, 9)]
    ) * scale + base  # fmt: skip
    steps = np.linspace(-1, 1, 13 + size // 64)
    light = scene.light
    for left, right in zip(steps[:-1], steps[1:], strict=True):  # each over all further right
        middle = (left + right) / 2
        lit = middle * light.direction[0] + np.sqrt(1 - middle**2) * light.direction[2]
        tone = light.ambient + 0.75 * light.strength * max(lit, 0)
        strip = np.array(
            [top + (left * radius, 0), top + (radius, 0),
             base + (radius, slope), base + (left * radius, slope)]
        )  # fmt: skip
        polygon(image, strip, look.skin * tone * np.asarray(light.colour) * 0.92)
    neck = np.array([top - (radius, 0), top + (radius, 0), base + (radius, slope),
                     base + (-radius, slope)])  # fmt: skip
    _chin_shadow(image, scene, head, neck)
    collar = light.ambient + 0.5 * light.strength
    polygon(image, shoulders, look.shirt * collar)


def _chin_shadow(image, scene, head, neck):
    """Darken the neck where the jaw, moved down and away from the light, covers it."""
    size = len(image)
    jaw = head.points(np.arange(4, 61))
    points = scene.camera.project(scene.camera.turn(jaw * (0.95, 1, 0.6)))
    points = points + (
        -0.12 * scene.camera.scale * scene.light.direction[0],
        0.22 * scene.camera.scale,
    )
    small = size // 4
    mask = np.zeros((small, small), np.uint8)
    cv2.fillPoly(mask, [fixed(points, small)], 255, cv2.LINE_AA, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.07 * scene.camera.scale * small)
    within = np.zeros_like(mask)
    cv2.fillPoly(within, [fixed(neck, small)], 255, cv2.LINE_AA, SHIFT)
    mask = cv2.min(mask, within)
    x0, y0 = np.clip(((points.min(0) - 0.05) * small).astype(int), 0, small - 1)
    x1, y1 = np.clip(((points.max(0) + 0.05) * small).astype(int) + 1, 1, small)
    if x1 <= x0 or y1 <= y0:
        return
    patch = image[y0 * size // small : y1 * size // small, x0 * size // small : x1 * size // small]
    mask = cv2.convertScaleAbs(mask[y0:y1, x0:x1], alpha=-0.45, beta=255)
    mask = cv2.cvtColor(cv2.resize(mask, patch.shape[1::-1]), cv2.COLOR_GRAY2BGR)
    patch[:] = cv2.multiply(patch, mask, scale=1 / 255)


EAR = smooth(np.array(
    [(0, -0.14, -0.02), (0.06, -0.27, -0.12), (0.13, -0.27, -0.26), (0.15, -0.1, -0.36),
     (0.12, 0.12, -0.32), (0.08, 0.28, -0.2), (0.07, 0.4, -0.12), (0.02, 0.44, -0.04),
     (0, 0.36, -0.02)]
), 33)  # fmt: skip


def ears(image: np.ndarray, scene: Scene, head: Head, near: bool) -> None:
    """The ears that lie before (`near`) or behind the head."""
    camera, light = scene.camera, scene.light
    if scene.look.style == "long":
        return
    for sign in (-1, 1):
        out = camera.rotation @ np.array([sign, 0, -0.15])
        if (out[2] > 0.1) != near:
            continue
        width = np.interp(0.1, head.edge_y, head.edge_x)
        shell = EAR * (sign, 1, 1) + (sign * (width - 0.02), 0.1, -0.02)
        lit = max(float(out @ np.asarray(light.direction)), 0.0)
        tone = light.ambient + light.strength * (0.25 + 0.6 * lit)
        colour = scene.look.skin * (0.88, 0.88, 0.97) * tone * np.asarray(light.colour)
        middle = shell.mean(0)
        for zoom, shade in ((1.0, 0.8), (0.9, 1.0), (0.62, 0.72), (0.45, 0.85)):
            points = camera.project(camera.turn(middle + (shell - middle) * zoom))
            polygon(image, points, colour * shade)
