"""The skin's texture: everything that lies on the head, painted on its unrolled surface.

Features are polygons of the dense curves themselves, so that the drawing lies where the points are.
"""

import cv2
import numpy as np

from . import beard, eyes, hair, hats, skin
from .canvas import Canvas, disc, ribbon, spread
from .head import Head
from .scene import Scene
from .surface import SHIFT, Grid


LIGHT = 96  # a factor of 1, where light is held in eight bits


def paint(scene: Scene, head: Head, grid: Grid, vertices, light, rng) -> np.ndarray:
    """The lit texture (uint8 BGR). `light` is what lighting.lit tells of every vertex."""
    look = scene.look
    texture = spread(skin.colour(scene, head, vertices), grid)
    height, width = texture.shape[:2]
    pores = rng.integers(0, 256, (90, 100, 1), np.uint8)
    pores = cv2.resize(cv2.merge([pores] * 3), (width, height))
    own = rng.spawn(1)[0]
    if look.surface.mottle:
        texture = skin.blotches(texture, look.surface, own)
    amount = look.surface.pores * (0.035 + 0.05 * look.age)
    texture = cv2.addWeighted(texture, 1, pores, amount, -127 * amount)
    canvas = Canvas(grid, head, texture)
    skin.folds(canvas, scene, own)
    if look.freckles:
        skin.freckles(canvas, look, rng)
    skin.moles(canvas, look, own)
    skin.nostrils(canvas, look.surface)
    if look.beard:
        beard.paint(canvas, scene, vertices, own)
    for index, side in enumerate("lr"):
        if abs(scene.camera.yaw) > 75 and (scene.camera.yaw > 0) == (side == "r"):
            continue  # on the far side
        eyes.eye(canvas, scene, side, index)
        eyes.brow(canvas, look, side, rng)
    _mouth(canvas, look)
    hair.paint(canvas, look, rng)
    if scene.covers.hat is not None:
        hats.paint(canvas, scene.covers.hat, own)
    if scene.covers.mask is not None:
        _mask(canvas, scene.covers.mask)
    factor, gloss = light
    found = cv2.multiply(canvas.texture, spread(factor * LIGHT, grid), scale=1 / LIGHT)
    if scene.light.style.gloss:
        found = cv2.add(found, cv2.merge([spread(gloss * _oily(canvas, rng) * 255, grid)] * 3))
    return found


def _oily(canvas, rng):
    """How much the skin glosses, unevenly, at every grid vertex."""
    (own,) = rng.spawn(1)
    rows, columns = canvas.grid.rows + 1, canvas.grid.columns + 1
    spots = own.uniform(-0.6, 1.6, (14, 14)).astype(np.float32)
    return np.clip(cv2.resize(spots, (columns, rows)), 0, 1)


def _mouth(canvas, look):
    head, curves = canvas.head, canvas.head.curves
    upper = np.concatenate([curves["outlip_up"], curves["inlip_up"][::-1]])
    red = look.skin * (0.62, 0.55, 0.88) * (1 - look.lips) + look.lips * np.array([95, 80, 165])
    strength, edge = look.lip_edge, 0.012
    if look.lipstick is not None:
        red, strength, edge = look.lipstick, 0.95, 0.004
    mouth = np.concatenate([curves["outlip_up"], curves["outlip_lo"][::-1]])
    canvas.veil(mouth, red, strength, edge)
    canvas.veil(upper, red * 0.72, 0.6 * strength, 0.012)
    gleam = (curves["inlip_lo"][18:43] + curves["outlip_lo"][18:43]) / 2
    canvas.veil(ribbon(gleam, 0.018), np.minimum(red * 1.35 + 20, 255), 0.45, 0.02)
    if head.shape.open > 0.02:
        _inside_mouth(canvas, look)
    line = 0.8 if head.shape.open <= 0.02 else 0.45
    canvas.veil(ribbon(curves["inlip_up"], 0.009), red * 0.25, line, 0.005)


def _inside_mouth(canvas, look):
    """Teeth and tongue before the dark, between the inner lips."""
    head, up, low = canvas.head, canvas.head.curves["inlip_up"], canvas.head.curves["inlip_lo"]
    between = np.concatenate([up, low[::-1]])
    round_ = (1 - np.linspace(-1, 1, len(up)) ** 2)[:, None] ** 0.5 * (0, 1)
    bite = np.concatenate([up - (0, 0.03), (up + look.bite * round_)[::-1]])
    below = np.concatenate([low + (0, 0.03), (low - look.lower_teeth * round_)[::-1]])
    tongue = disc(0, head.mouth_y + head.drop, 0.2, 0.45 * head.drop + 1e-3)
    ivory = look.teeth * np.array([212, 226, 236])

    def cavity():
        canvas.fill(between, (22, 16, 42))
        canvas.veil(tongue, (75, 65, 150), 0.75, 0.03)
        if look.lower_teeth:
            canvas.veil(below, ivory * 0.8, 0.9, 0.005)
        canvas.veil(bite, ivory, 0.95, 0.005)
        for x in (-0.16, -0.1, -0.05, 0.0, 0.05, 0.1, 0.16):
            gap = np.array([(x, head.mouth_y - 0.1), (x, head.mouth_y + look.bite)])
            canvas.veil(ribbon(gap, 0.004), ivory * 0.6, 0.5, 0.004)
        for end in (slice(0, 16), slice(45, 61)):  # the cheeks' shadow
            corner = np.concatenate([up[end], low[end][::-1]])
            canvas.veil(corner, (18, 14, 36), 0.75, 0.03)

    canvas.clipped(between, cavity, 0.2)


def mask_top(x: np.ndarray) -> np.ndarray:
    """Height of a face mask's upper edge at frontal positions x."""
    return 0.16 + 0.32 * np.abs(x) ** 1.3


def _mask(canvas, cloth):
    head, grid = canvas.head, canvas.grid
    x = np.linspace(-1, 1, 41)
    width = np.interp(0.3, head.edge_y, head.edge_x)
    edge = np.stack([x * width, mask_top(x)], 1)
    top = grid.texel(head, edge)
    bottom = grid.rows * grid.texels + 2
    outline = np.concatenate([top, [(top[-1, 0], bottom), (top[0, 0], bottom)]])
    fixed = np.rint(outline * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(canvas.texture, [fixed], tuple(map(float, cloth)), cv2.LINE_AA, SHIFT)
    cloth = np.asarray(cloth, float)
    for y in (0.55, 0.8, 1.05):
        line = np.stack([x * 0.8, y + 0.1 * (1 - x**2)], 1)
        canvas.veil(ribbon(line, 0.012), cloth * 0.6, 0.5, 0.01)
    canvas.veil(ribbon(edge + (0, 0.03), 0.02), cloth * 0.85, 0.6, 0.006)
