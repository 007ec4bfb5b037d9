"""Beards: stubble and hair on the skin, and hair that hangs below the jaw."""

import cv2
import numpy as np

from .body import JAW
from .canvas import spread
from .hair import strands
from .head import Head
from .polygons import polygon
from .scene import Scene


def zone(scene: Scene, head: Head, vertices: np.ndarray) -> np.ndarray:
    """How much beard grows at every grid vertex, 0 to 1."""
    style, s = scene.look.whiskers, scene.shape
    x, y = np.abs(vertices[..., 0]), vertices[..., 1]
    width, edge, _ = head.section(y)
    across, base, mouth = x / np.maximum(width, 0.05), head.nose_base_y, head.mouth_y
    low = mouth + head.drop

    def ramp(value, soft):
        return np.clip(value / soft + 0.5, 0, 1)

    cheek = 0.66 + style.cheek
    tops = [base + 0.06, base + 0.06, cheek + 0.32, cheek, 0]
    top = np.interp(across, [0, 0.35, 0.6, 0.8, 1], tops)
    full = ramp(y - top, style.soft)
    reach = 0.36 * (1 + s.mouth_width) + style.handlebar
    lip = ramp(y - base - 0.05, 0.08) * ramp(mouth + 0.02 + 0.35 * style.handlebar - y, 0.08)
    lip = lip * ramp(reach - x, 0.12)
    chin = ramp(y - low - 0.1, 0.1) * ramp(style.chin_width - x, 0.12)
    mouth_gap = np.exp(-((x / 0.35) ** 4) - ((y - mouth - 0.05 - 0.5 * head.drop) / 0.16) ** 4)
    grown = np.maximum(style.full * full * (1 - 0.85 * mouth_gap), style.moustache * lip)
    grown = np.maximum(grown, style.chin * chin)
    return grown * (vertices[..., 2] > edge - 0.25)


def paint(canvas, scene: Scene, vertices: np.ndarray, rng) -> None:
    """The beard's hairs on the skin."""
    look, style = scene.look, scene.look.whiskers
    height, width = canvas.texture.shape[:2]
    grown = spread(zone(scene, canvas.head, vertices)[..., None] * 255, canvas.grid)
    grown = grown.reshape(height, width).astype(np.float32) * np.float32(1 / 255)
    fine = rng.normal(0, 1, (110, 150)).astype(np.float32)
    patches = rng.normal(0, 1, (9, 12)).astype(np.float32)
    texture = style.hairs * cv2.resize(fine, (width, height))
    texture += style.patchy * cv2.resize(patches, (width, height))
    cover = np.clip(grown * look.beard * (1 + texture), 0, 1)
    tone = np.clip(1 + style.contrast * rng.normal(0, 1, (60, 150, 1)), 0.4, 2) * look.beard_colour
    colour = cv2.resize(np.clip(tone, 0, 255).astype(np.uint8), (width, height))
    canvas.texture = cv2.blendLinear(colour, canvas.texture, cover, 1 - cover)


def hanging(image: np.ndarray, scene: Scene, head: Head, near: bool, rng) -> None:
    """A beard that hangs below the jaw, or (`near`) its hairs over the jaw's edge."""
    look, style, camera = scene.look, scene.look.whiskers, scene.camera
    hat = scene.covers.hat
    if not look.beard or not style.length or (hat is not None and hat.wraps):
        return
    if near and abs(camera.yaw) > 55:
        return  # the jaw is inside the profile there
    jaw = head.points(JAW[6:-6])
    low = jaw[len(jaw) // 2, 1]
    width = np.maximum(style.chin_width, style.full * 0.75)
    fall = np.clip((jaw[:, 1] - low + 1.2) / 1.2, 0, 1) * np.exp(-((jaw[:, 0] / width) ** 4))
    down = np.stack([0.3 * jaw[:, 0], 1 + 0 * fall, 0 * fall], 1)
    hang = jaw + style.length * fall[:, None] * down
    light = scene.light
    lit = light.ambient + light.strength * (0.2 + 0.3 * light.direction[2])
    colour = look.beard_colour * lit * light.colour
    places = rng.integers(2, len(jaw) - 2, 110)
    if near:
        root = jaw[places] + (0, -1, 0) * rng.uniform(0, 0.16, (110, 1)) * fall[places, None]
        tip = root + (hang - jaw)[places] * rng.uniform(0.2, 0.7, (110, 1))
    else:
        edge = hang + rng.normal(0, 0.02, hang.shape)
        outline = np.concatenate([jaw, edge[::-1]]) - (0, 0.05, 0)
        polygon(image, camera.project(camera.turn(outline)), colour * 0.8)
        root, tip = jaw[places], hang[places] + rng.normal(0, 0.05, (110, 3))
    bend = rng.normal(0, 0.03, (110, 3))
    lines = np.stack([root, (root + tip) / 2 + bend, tip], 1)
    strands(image, camera.project(camera.turn(lines)), colour, 0.012 * camera.scale)
