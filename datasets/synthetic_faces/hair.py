"""Hair: where it grows, on the head and hanging behind it."""

import cv2
import numpy as np

from .backdrop import polygon
from .head import ANGLES, Head
from .scene import Look, Scene
from .surface import Grid


def hairline(look: Look, turn: np.ndarray) -> np.ndarray:
    """Height (head frame y) of the hair's lower edge at every turn around the head."""
    at = np.radians([0, 30, 48, 60, 72, 84, 95, 110, 125, 180])
    top, side = -1.02 - 0.5 * look.hairline, 0.15 if look.style == "long" else -0.1
    edge = [top, top, top + 0.1 - look.hairline, -0.72, -0.5, side, -0.05, 0.3, 0.75, 0.8]
    if look.style == "long":
        edge[3:8] = -0.65, -0.3, 0.5, 1.2, 1.3
    if look.style == "bald":
        edge[:6] = -1.9, -1.9, -1.8, -1.6, -0.9, -0.25
    height = np.interp(np.abs(turn), at, edge)
    apart = turn - 0.5 * look.parting
    height += (
        look.fringe * np.exp(-((turn / 0.75) ** 6)) * (1 - 0.25 * np.exp(-((apart / 0.2) ** 2)))
    )
    if look.lock:
        swept = look.lock * turn
        height += 1.25 * np.clip(swept + 0.1, 0, 0.75) * np.exp(-(((swept - 0.7) / 0.55) ** 4))
    return height


def cover_of(look: Look, head: Head, grid: Grid, noise: np.ndarray) -> np.ndarray:
    """How far hair covers each texel, 0 to 1; `noise` (columns) frays its edge."""
    height, width = grid.texture_shape
    turn = np.interp(np.arange(width) / grid.texels, np.arange(grid.columns + 1),
                     grid.column_turns())  # fmt: skip
    soft = 0.05 if look.style != "bald" else 0.15
    edge = hairline(look, turn) + noise * (0.06 + 0.15 * look.fringe + 0.1 * abs(look.lock))
    row = np.interp(edge, head.edge_y, ANGLES, left=-1) * (grid.rows * grid.texels / np.pi)
    rows = np.arange(height, dtype=np.float32)[:, None]
    slope = np.float32(np.pi / (soft * 2 * grid.rows * grid.texels))
    return np.clip((row.astype(np.float32)[None] - rows) * slope + 0.5, 0, 1)


def paint(canvas, look, rng):
    height, width = canvas.texture.shape[:2]
    strands = rng.normal(0, 1, (3, 90)).astype(np.float32)
    fine = rng.normal(0, 1, (5, 180)).astype(np.float32)
    edge = np.interp(np.linspace(0, 89, width), np.arange(90), strands[0])
    cover = cover_of(look, canvas.head, canvas.grid, edge)
    if look.style == "bald":
        cover *= np.float32(0.5)
    lines = 1 + 0.14 * cv2.resize(strands, (180, 5)) + 0.14 * fine
    colour = np.clip(np.clip(lines, 0.4, 1.9)[..., None] * look.hair, 0, 255).astype(np.uint8)
    colour = cv2.resize(colour, (width, height))
    canvas.texture = cv2.blendLinear(colour, canvas.texture, cover, 1 - cover)


def hanging(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> None:
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
