"""Caps, hats, hoods and cloths on the head, and the shadow they cast."""

import cv2
import numpy as np

from .body import cloth
from .canvas import darken
from .hair import outward
from .head import ANGLES, Head
from .polygons import polygon
from .scene import Scene
from .surface import Grid
from .wear import Hat


VISOR_TURN = np.radians(np.linspace(-58, 58, 15))


def edge_of(hat: Hat, turn: np.ndarray) -> np.ndarray:
    """Height (head frame y) of a hat's lower edge at every turn around the head."""
    away = np.degrees(np.abs(turn))
    if hat.kind in ("scarf", "hood"):
        at, drop = [0, 30, 50, 62, 72, 80], [0, 0.05, 0.3, 0.75, 1.5, 3]
    elif hat.kind == "helmet":
        at, drop = [0, 40, 62, 72, 80, 120], [0, 0.05, 0.25, 0.6, 1.4, 1.8]
    else:
        at, drop = [0, 60, 90, 120, 180], [0, 0.12, 0.28, 0.42, 0.5]
    return hat.low + np.interp(away, at, drop) + hat.tilt * np.sin(turn)


def puff(hat: Hat | None, grid: Grid, vertices: np.ndarray) -> np.ndarray:
    """The surface raised where a hat sits."""
    if hat is None or hat.kind == "band":
        return vertices
    above = edge_of(hat, grid.column_turns())[None] - vertices[..., 1]
    cover = np.clip(above / 0.06, 0, 1)
    crown = hat.thick + hat.height * np.clip(above / 0.9, 0, 1) ** 0.7
    return vertices + outward(vertices) * (cover * crown)[..., None]


def paint(canvas, hat: Hat, rng) -> None:
    """The hat on the head's texture, over hair and brows, and its shadow below it."""
    (height, width), grid = canvas.texture.shape[:2], canvas.grid
    edge = edge_of(hat, grid.texel_turns())
    scale = grid.rows * grid.texels / np.pi
    rows = np.arange(height, dtype=np.float32)[:, None]

    def row(y):
        return (np.interp(y, canvas.head.edge_y, ANGLES) * scale).astype(np.float32)[None]

    cover = np.clip(row(edge) - rows + 0.5, 0, 1)
    if hat.kind == "band":
        cover = cover * np.clip(rows - row(edge - hat.height) + 0.5, 0, 1)
    if hat.shadow:
        reach = np.float32(max(hat.shadow_reach * scale, 1))
        dark = np.clip(1 - (rows - row(edge)) / reach, 0, 1) * np.float32(hat.shadow)
        shade = cv2.merge([((1 - dark) * 255).astype(np.uint8)] * 3)
        canvas.texture = cv2.multiply(canvas.texture, shade, scale=1 / 255)
    colour = np.asarray(hat.colour)
    weave = 1 + hat.weave * rng.normal(0, 1, (60, 120, 1)) + 0.1 * rng.normal(0, 1, (1, 120, 1))
    fabric = np.clip(weave * colour, 0, 255)
    if hat.pattern:
        cells = (rng.random((14, 34, 1)) < 0.4).astype(float)
        cells = cv2.resize(cells, (120, 60), interpolation=cv2.INTER_NEAREST)[..., None]
        fabric += hat.pattern * cells * (np.asarray(hat.second) - fabric)
    fabric = cv2.resize(fabric.astype(np.uint8), (width, height))
    canvas.texture = cv2.blendLinear(fabric, canvas.texture, cover, 1 - cover)
    if hat.hem:
        line = np.clip(1.5 - np.abs(rows - row(edge - 0.05)) / (0.03 * scale), 0, 1)
        line = line * np.float32(hat.hem)
        hem = np.full_like(canvas.texture, np.clip(colour * 0.5, 0, 255).astype(np.uint8))
        canvas.texture = cv2.blendLinear(hem, canvas.texture, line, 1 - line)


def visor(scene: Scene, head: Head) -> np.ndarray | None:
    """A cap's visor or the front half of a hat's brim, in unit coordinates (N, 2)."""
    hat = scene.covers.hat
    if hat is None or not hat.brim:
        return None
    turn = VISOR_TURN if hat.kind == "cap" else np.radians(np.linspace(-95, 95, 21))
    return _ring(scene, head, turn)


def _ring(scene, head, turn):
    hat, camera = scene.covers.hat, scene.camera
    y = edge_of(hat, turn)
    width, edge, front = head.section(y)
    inner = np.stack([width * np.sin(turn), y, edge + front * np.cos(turn)], 1)
    out = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], 1)
    reach = hat.brim * (np.cos(turn * 90 / 60) ** 0.7 if hat.kind == "cap" else 1 + 0 * turn)
    outer = inner + reach[:, None] * (out + (0, hat.fall, 0))
    if hat.kind != "cap":
        inner = inner + 0.1 * out
    return camera.project(camera.turn(np.concatenate([inner, outer[::-1]])))


def behind(image: np.ndarray, scene: Scene, head: Head, rng) -> None:
    """The parts of a hat behind the head: a brim's far half, a hood's or a scarf's folds."""
    hat, camera, light = scene.covers.hat, scene.camera, scene.light
    if hat is None:
        return
    colour = np.asarray(hat.colour) * (light.ambient + 0.4 * light.strength) * light.colour
    if hat.brim and hat.kind != "cap":
        polygon(image, _ring(scene, head, np.radians(np.linspace(85, 275, 21))), colour * 0.6)
    if hat.kind in ("scarf", "hood"):
        turn = np.linspace(0, 2 * np.pi, 40)
        wide, low = 1.08 + hat.thick + hat.height, head.edge_y[-1]
        drape = np.stack([wide * np.sin(turn), 0.1 - (low + 0.25) * np.cos(turn), 0 * turn], 1)
        drape[:, 0] *= 1 + np.clip(drape[:, 1] - 0.6, 0, 2) * hat.drape
        drape[:, 1] += np.clip(drape[:, 1] - 0.9, 0, 2) * 0.6
        points = camera.project(camera.turn(drape))
        cloth(image, points, colour * 0.8, hat.pattern, rng)
        inner = points.mean(0) + (points - points.mean(0)) * (0.85, 0.88)
        darken(image, inner, 0.35, 0.06 * camera.scale)


def before(image: np.ndarray, scene: Scene, head: Head) -> None:
    """The visor or brim that stands out before the face."""
    hat, light, found = scene.covers.hat, scene.light, visor(scene, head)
    if hat is None or found is None:
        return
    below = scene.camera.pitch < -8 or hat.fall < -0.1
    lit = light.ambient + light.strength * (0.1 if below else 0.7)
    colour = np.asarray(hat.second if hat.two_tone else hat.colour) * lit * light.colour
    polygon(image, found, colour)
    half = len(found) // 2
    rim = np.concatenate([found[half:], found[half:][::-1] * 0.93 + found[:half] * 0.07])
    polygon(image, rim, colour * 0.7)
