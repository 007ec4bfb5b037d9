"""Neck, collar, shoulders and ears."""

import cv2
import numpy as np

from jaxalign.curves import CONTOUR_SAMPLES

from .canvas import darken, wash
from .curves import smooth
from .head import Head
from .polygons import fixed, polygon
from .scene import Scene
from .styles import Neck
from .surface import SHIFT


JAW = np.arange(0, CONTOUR_SAMPLES, (CONTOUR_SAMPLES - 1) // 64)  # 65 samples from ear to ear


def _axis(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Where the neck's middle begins and ends: it follows the head's turn only in part."""
    camera = scene.camera
    top = camera.project(camera.turn(np.array([0.0, 0.75, -0.3])))
    base = camera.project(camera.turn(np.array([0.0, 1.5, -0.35]))) * 0.75 + 0.25 * np.array(
        [camera.centre[0], camera.centre[1] + 1.5 * camera.scale]
    )
    return top, base + (0, (0.75 + scene.look.neck.length) * camera.scale)


def _sides(top, base, neck: Neck, scale: float, shares: np.ndarray) -> np.ndarray:
    """Lines (N, 5, 2) from top to base at these shares of the neck's half width from its middle."""
    down = np.linspace(0, 1, 5)
    line = top + (base - top) * down[:, None] + (0, 0.35 * scale) * down[:, None]
    lines = np.repeat(line[None], len(shares), 0)
    lines[..., 0] += neck.width * (1 + neck.flare * down**3) * shares[:, None] * scale
    return lines


def body(image: np.ndarray, scene: Scene, head: Head, rng: np.random.Generator) -> None:
    """Neck, collar and shoulders."""
    look, light, scale = scene.look, scene.light, scene.camera.scale
    neck, (top, base) = look.neck, _axis(scene)
    places = np.linspace(-1, 1, 13 + len(image) // 64)
    sides = _sides(top, base, neck, scale, places)
    middle = (places[:-1] + places[1:]) / 2
    lit = middle * light.direction[0] + np.sqrt(1 - middle**2) * light.direction[2]
    tone = neck.tone * (light.ambient + 0.75 * light.strength * np.maximum(lit, 0))
    strips = np.concatenate([sides[:-1], np.repeat(sides[-1:, ::-1], len(middle), 0)], 1)
    colours = look.skin * tone[:, None] * light.colour
    colours = np.clip(colours, 0, 255).tolist()
    for strip, colour in zip(fixed(strips, len(image)), colours, strict=True):  # over those right
        cv2.fillPoly(image, [strip], colour, cv2.LINE_AA, SHIFT)
    _chin_shadow(image, scene, head, np.concatenate([sides[0], sides[-1, ::-1]]))
    if neck.double:
        _double_chin(image, scene, head)
    _clothes(image, scene, top, base, rng)


def _double_chin(image, scene, head):
    """A lobe of skin under the jaw, set off from it by a crease."""
    camera, look, light = scene.camera, scene.look, scene.light
    turn = np.linspace(0, np.pi, 24)
    low = head.edge_y[-1]
    across = (0.75 - look.neck.double) * np.cos(turn)
    down = low - 0.35 + (0.35 + look.neck.double) * np.sin(turn)
    lobe = np.stack([across, down, 0 * turn + 0.3], 1)
    points = camera.project(camera.turn(lobe))
    tone = light.ambient + light.strength * (0.35 + 0.25 * light.direction[2])
    skin = look.skin * tone * np.asarray(light.colour)
    darken(image, points + (0, 0.06 * camera.scale), 0.3, 0.05 * camera.scale)
    wash(image, points, skin, 0.95, 0.012 * camera.scale)
    jaw = camera.project(camera.turn(head.points(JAW[12:-12])))
    shadow = np.concatenate([jaw, jaw[::-1] + (0, 0.06 * camera.scale)])
    darken(image, shadow, look.neck.crease, 0.03 * camera.scale)


def _clothes(image, scene, top, base, rng):
    """Shoulders and a collar, which may stand up to the jaw."""
    neck, light, scale = scene.look.neck, scene.light, scene.camera.scale
    lit = (light.ambient + 0.5 * light.strength) * np.asarray(light.colour)
    wide, fall = neck.width * (1 + neck.flare), neck.slope
    dip = 0.75 if neck.collar == "open" else 0.2
    shoulders = np.array(
        [(-9, 8.5 * fall), (-2.4, 0.6 * fall), (-1.3, 0.12 * fall), (-wide - 0.02, -0.15),
         (0, dip), (wide + 0.02, -0.15), (1.3, 0.12 * fall), (2.4, 0.6 * fall), (9, 8.5 * fall),
         (9, 20), (-9, 20)]
    ) * scale + base  # fmt: skip
    shirt = scene.look.shirt * lit
    cloth(image, shoulders, shirt, neck.pattern, rng)
    second = np.asarray(neck.cloth) * lit
    if neck.collar in ("turtle", "scarf"):
        _wrap(image, neck, second, top, base, scale, rng)
    elif neck.collar in ("shirt", "tie"):
        for sign in (-1, 1):
            flap = np.array(
                [(0.98 * wide, -0.35), (wide + 0.25, 0), (0.55 * wide, 0.45), (0, 0.3),
                 (0.6 * wide, 0.05)]
            ) * (sign * scale, scale) + base  # fmt: skip
            darken(image, flap + (0, 0.03 * scale), 0.35, 0.03 * scale)
            polygon(image, flap, second * (1.0 + 0.08 * sign * light.direction[0]))
        if neck.collar == "tie":
            tie = np.array(
                [(-0.11, 0.28), (0.11, 0.28), (0.08, 0.5), (0.2, 3), (-0.2, 3), (-0.08, 0.5)]
            )
            cloth(image, tie * scale + base, 255 - second, 0.4, rng)


def _wrap(image, neck, colour, top, base, scale, rng):
    """A turtleneck or a scarf around the neck."""
    thick, rise = (0.06, rng.uniform(0.05, 0.55)) if neck.collar == "turtle" else (
        rng.uniform(0.2, 0.5), rng.uniform(-0.05, 0.45))  # fmt: skip
    bow = np.array([-1, -0.6, 0, 0.6, 1])
    half = neck.width * (1 + 0.5 * neck.flare) + thick
    upper = np.stack([half * bow, -0.1 - rise + 0.14 * (1 - bow**2)], 1)
    lower = np.stack([half * 1.25 * bow, 0.15 + 0.35 * (1 - bow**2)], 1)
    cloth(image, np.concatenate([upper, lower[::-1]]) * scale + base, colour, neck.pattern, rng)
    for place in rng.uniform(0.05, 0.95, 4):
        fold = (upper + (lower - upper) * place + rng.normal(0, 0.03, (5, 2))) * scale + base
        darken(image, np.concatenate([fold, fold[::-1] + (0, 0.05 * scale)]), 0.35, 0.015 * scale)


def cloth(image: np.ndarray, xy: np.ndarray, colour, pattern: float, rng) -> None:
    """A polygon in unit coordinates filled with cloth: plain, striped, checked or printed."""
    cells = rng.integers(0, 256, (9, 9, 1), np.uint8)
    kind, other = rng.random(), rng.uniform(0, 255, 3)
    polygon(image, xy, colour)
    outline = fixed(np.clip(xy, -1, 2), len(image)) >> SHIFT
    low, high = np.maximum(outline.min(0), 0), np.minimum(outline.max(0) + 1, len(image))
    if (low >= high).any():
        return
    patch = image[low[1] : high[1], low[0] : high[0]]
    if pattern and kind < 0.35:
        cells = np.tile(np.array([0, 255] if kind < 0.2 else [0, 60, 255], np.uint8), (1, 6))[
            ..., None
        ]
    elif pattern and kind < 0.6:
        cells = np.tile(np.array([[0, 120], [120, 255]], np.uint8), (7, 7))[..., None]
    if pattern:
        shade = colour + cells * (pattern / 255) * (other - colour)
    else:
        shade = colour * (0.85 + cells * (0.3 / 255))
    shade = cv2.resize(np.clip(shade, 0, 255).astype(np.uint8), patch.shape[1::-1])
    inside = np.zeros(patch.shape[:2], np.uint8)
    cv2.fillPoly(inside, [outline - low], 255)
    cv2.copyTo(shade, inside, patch)


def melt_jaw(image: np.ndarray, scene: Scene, head: Head) -> None:
    """Soften the edge between jaw and neck, on both sides alike."""
    reach = scene.look.neck.soft * scene.camera.scale * len(image)
    if reach < 0.3 or abs(scene.camera.yaw) > 40:
        return
    jaw = scene.camera.project(scene.camera.turn(head.points(JAW[8:-8])))
    line = fixed(jaw, len(image))
    pad = int(4 * reach) + 3
    x, y, w, h = cv2.boundingRect(line)
    x0, y0 = max((x >> SHIFT) - pad, 0), max((y >> SHIFT) - pad, 0)
    patch = image[y0 : (y + h >> SHIFT) + pad, x0 : (x + w >> SHIFT) + pad]
    if not patch.size:
        return
    weight = np.zeros(patch.shape[:2], np.uint8)
    moved = line - (np.array([x0, y0], np.int32) << SHIFT)
    cv2.polylines(weight, [moved], False, 255, max(1, round(3 * reach)), cv2.LINE_8, SHIFT)
    weight = cv2.GaussianBlur(weight, (0, 0), max(reach, 0.6)).astype(np.float32) / 255
    smooth_patch = cv2.GaussianBlur(patch, (0, 0), max(reach, 0.5))
    patch[:] = cv2.blendLinear(smooth_patch, patch, weight, 1 - weight)


def _chin_shadow(image, scene, head, neck):
    """Darken the neck where the jaw, moved down and away from the light, covers it."""
    size, style = len(image), scene.look.neck
    jaw = head.points(JAW[4:-4])
    points = scene.camera.project(scene.camera.turn(jaw * (0.95, 1, 0.6)))
    points = points + (
        -0.6 * style.shadow_drop * scene.camera.scale * scene.light.direction[0],
        style.shadow_drop * scene.camera.scale,
    )
    small = size // 4
    mask = np.zeros((small, small), np.uint8)
    cv2.fillPoly(mask, [fixed(points, small)], 255, cv2.LINE_AA, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), max(style.shadow_soft * scene.camera.scale * small, 0.3))
    within = np.zeros_like(mask)
    cv2.fillPoly(within, [fixed(neck, small)], 255, cv2.LINE_AA, SHIFT)
    if style.fade:
        y = np.interp(np.arange(small), np.array([neck[:, 1].min(), neck[:, 1].max()]) * small,
                      [0, 255 * style.fade / max(style.shadow, 0.05)])  # fmt: skip
        mask = cv2.max(mask, np.repeat(np.clip(y, 0, 255).astype(np.uint8)[:, None], small, 1))
    mask = cv2.min(mask, within)
    points = np.concatenate([points, neck])
    x0, y0 = np.clip(((points.min(0) - 0.05) * small).astype(int), 0, small - 1)
    x1, y1 = np.clip(((points.max(0) + 0.05) * small).astype(int) + 1, 1, small)
    if x1 <= x0 or y1 <= y0:
        return
    patch = image[y0 * size // small : y1 * size // small, x0 * size // small : x1 * size // small]
    mask = cv2.convertScaleAbs(mask[y0:y1, x0:x1], alpha=-max(style.shadow, 0.05), beta=255)
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
    hat = scene.covers.hat
    if scene.look.style == "long" or (hat is not None and hat.wraps):
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
