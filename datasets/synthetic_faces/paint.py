"""The skin's texture: everything that lies on the head, painted on its unrolled surface.

Features are polygons of the dense curves themselves, so what is seen lies where the points are.
"""

import math

import cv2
import numpy as np

from .head import ANGLES, Head
from .scene import Look, Scene
from .surface import SHIFT, Grid


LIGHT = 96  # a factor of 1, where light is held in eight bits
DARK = np.array([18.0, 14, 16])


def ribbon(line: np.ndarray, half_width) -> np.ndarray:
    """The outline of a band along a line (N, 2); `half_width` is a number or (N,)."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    length = np.maximum(np.sqrt(along[:, 0] ** 2 + along[:, 1] ** 2), 1e-9)
    across = along[:, ::-1] * (-1, 1) * (half_width / length)[:, None]
    return np.concatenate([line + across, (line - across)[::-1]])


TURNS = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.stack([np.cos(TURNS), np.sin(TURNS)], 1)


def disc(x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
    return CIRCLE * (rx, ry or rx) + (x, y)


class Canvas:
    """Paints in frontal head coordinates on the texture."""

    def __init__(self, grid: Grid, head: Head, texture: np.ndarray):
        self.grid, self.head, self.texture = grid, head, texture
        self.unit = grid.rows * grid.texels / np.pi  # texels per head unit, near the middle

    def fixed(self, xy):
        return np.rint(self.grid.texel(self.head, xy) * 2**SHIFT).astype(np.int32)

    def fill(self, xy, colour):
        """A polygon (N, 2) of one colour, edges anti-aliased."""
        cv2.fillPoly(self.texture, [self.fixed(xy)], tuple(map(float, colour)), cv2.LINE_AA, SHIFT)

    def inside(self, xy, blur=0.0, reach=0.0):
        """The region within `reach` of a polygon and its coverage there, 0 to 1, (h, w, 1)."""
        points = self.fixed(xy)
        pad = 2 + math.ceil((2 * blur + reach) * self.unit)
        height, width = self.texture.shape[:2]
        x, y, w, h = cv2.boundingRect(points)
        x0, y0 = max((x >> SHIFT) - pad, 0), max((y >> SHIFT) - pad, 0)
        x1, y1 = min((x + w >> SHIFT) + pad + 2, width), min((y + h >> SHIFT) + pad + 2, height)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        moved = points - (np.array([x0, y0], np.int32) << SHIFT)
        cv2.fillPoly(mask, [moved], 255, cv2.LINE_AA, SHIFT)
        if blur:
            spread_by = max(blur * self.unit, 0.5)
            mask = cv2.GaussianBlur(mask, (2 * math.ceil(2 * spread_by) + 1,) * 2, spread_by)
        return (slice(y0, y1), slice(x0, x1)), (mask * np.float32(1 / 255))[..., None]

    def veil(self, xy, colour, strength, blur=0.0):
        """A polygon laid over what is there, `strength` opaque, its edge blurred."""
        region, cover = self.inside(xy, blur)
        patch = self.texture[region]
        cover = cover * np.float32(strength)
        patch[:] = patch + cover * (np.asarray(colour, np.float32) - patch)

    def clipped(self, xy, draw, reach):
        """Let `draw()` paint within `reach` of a polygon, but keep only what falls inside it."""
        region, cover = self.inside(xy, reach=reach)
        before = self.texture[region].copy()
        draw()
        patch = self.texture[region]
        patch[:] = before + cover * (patch.astype(np.float32) - before)


def skin(scene: Scene, head: Head, vertices: np.ndarray) -> np.ndarray:
    """Skin colour at every grid vertex, before light."""
    look, x, y = scene.look, np.abs(vertices[..., 0]), vertices[..., 1]
    front = np.clip(vertices[..., 2], 0, 1)

    def spot(cx, cy, rx, ry):
        return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2) * front

    red = 0.5 * spot(0.58, 0.45, 0.28, 0.25) + 0.6 * spot(0, head.nose_tip, 0.2, 0.14)
    red = red + 0.25 * spot(0, 1.35, 0.3, 0.2)
    colour = look.skin * (1 - red[..., None] * np.array([0.16, 0.13, 0.0]))
    socket = 0.5 * spot(head.eye_x - 0.06, -0.06, 0.24, 0.12)
    socket += (0.25 + 0.3 * look.age) * spot(head.eye_x - 0.05, 0.12, 0.17, 0.06)
    colour = colour * (1 - socket[..., None] * np.array([0.3, 0.34, 0.28]))
    if look.beard:
        width, edge, _ = head.section(y)
        across = x / np.maximum(width, 0.05)
        top = head.nose_base_y + 0.06
        top = np.interp(across, [0, 0.35, 0.6, 0.8, 1], [top, top, 0.98, 0.66, 0.0])
        zone = np.clip((y - top) / 0.16 + 0.5, 0, 1) * (vertices[..., 2] > edge - 0.25)
        zone *= 1 - 0.6 * np.exp(-((x / 0.35) ** 4) - ((y - head.mouth_y - 0.05) / 0.16) ** 4)
        shade = (0.3 + 0.55 * look.beard) * zone[..., None]
        colour = colour * (1 - shade) + shade * (0.75 * look.hair + 0.1 * look.skin)
    if look.blush:
        colour = colour + (look.blush * 0.45 * spot(0.6, 0.38, 0.2, 0.16))[..., None] * (
            np.array([120, 90, 225]) - colour
        )
    return colour


def spread(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Values at the grid's vertices, as bytes, interpolated to every texel."""
    height, width = grid.texture_shape
    zoom = np.array([[grid.texels, 0, 0], [0, grid.texels, 0]], float)
    return cv2.warpAffine(
        np.clip(values, 0, 255).astype(np.uint8), zoom, (width, height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


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


def hair_cover(look: Look, head: Head, grid: Grid, noise: np.ndarray) -> np.ndarray:
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


def paint(scene: Scene, head: Head, grid: Grid, vertices, light, rng) -> np.ndarray:
    """The lit texture (uint8 BGR). `light` is the light at every vertex, (rows, columns, 3)."""
    look = scene.look
    texture = spread(skin(scene, head, vertices), grid)
    height, width = texture.shape[:2]
    pores = rng.integers(0, 256, (90, 100, 1), np.uint8)
    pores = cv2.resize(cv2.merge([pores] * 3), (width, height))
    amount = 0.035 + 0.05 * look.age
    texture = cv2.addWeighted(texture, 1, pores, amount, -127 * amount)
    canvas = Canvas(grid, head, texture)
    _folds(canvas, scene)
    if look.freckles:
        _freckles(canvas, look, rng)
    _nostrils(canvas)
    for index, side in enumerate("lr"):
        if abs(scene.camera.yaw) > 75 and (scene.camera.yaw > 0) == (side == "r"):
            continue  # on the far side
        _eye(canvas, scene, side, index)
        _brow(canvas, look, side, rng)
    _mouth(canvas, look)
    _hair(canvas, look, rng)
    if scene.covers.mask is not None:
        _mask(canvas, scene.covers.mask)
    return cv2.multiply(canvas.texture, spread(light * LIGHT, grid), scale=1 / LIGHT)


def _folds(canvas, scene):
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


def _freckles(canvas, look, rng):
    where = rng.normal(0, 1, (40, 2)) * (0.42, 0.18) + (0, 0.32)
    sizes = rng.uniform(0.008, 0.018, 40)
    colour = look.skin * (1 - look.freckles * np.array([0.5, 0.45, 0.3]))
    for (x, y), size in zip(where, sizes, strict=True):
        canvas.fill(disc(x, y, size), colour)


def _nostrils(canvas):
    head, wide = canvas.head, 1 + canvas.head.shape.nose_width
    for sign in (-1, 1):
        hole = disc(0.1 * wide * sign, head.nose_base_y - 0.035, 0.062 * wide, 0.026)
        canvas.veil(hole, DARK + (6, 6, 18), 0.85, 0.012)


def _eye(canvas, scene, side, index):
    look, curves = scene.look, canvas.head.curves
    up, low = curves[f"{side}eye_up"], curves[f"{side}eye_lo"]
    pupil_x, pupil_y = curves[f"{side}pupil"][0]
    sign = -1 if side == "l" else 1
    crease = up + (0, -0.05 - 0.02 * max(0, -scene.shape.lids[index]))
    if look.shadow is not None:
        arc = 0.13 * np.sin(np.linspace(0, np.pi, len(up))) ** 0.5
        lid = np.concatenate([up, np.stack([up[:, 0], up[:, 1] - arc], 1)[::-1]])
        canvas.veil(lid, look.shadow, 0.6, 0.02)
    canvas.veil(ribbon(crease[6:55], 0.012), look.skin * 0.45, 0.5, 0.01)
    opening = np.concatenate([up, low[::-1]])
    white = np.array([222, 226, 232]) * (1 - 0.08 * look.age)

    def ball():
        canvas.fill(opening, white)
        canvas.veil(ribbon(up + (0, 0.01), 0.03), white * 0.35, 0.55, 0.012)
        canvas.fill(disc(pupil_x, pupil_y, 0.088), look.iris * 0.45)
        canvas.fill(disc(pupil_x, pupil_y, 0.072), look.iris)
        canvas.fill(disc(pupil_x, pupil_y + 0.045, 0.04, 0.02), look.iris * 1.2)
        canvas.fill(disc(pupil_x, pupil_y, 0.036), DARK * 0.6)
        light = scene.light.direction
        canvas.fill(disc(pupil_x + 0.04 * light[0], pupil_y + 0.05 * light[1], 0.014), [245] * 3)

    canvas.clipped(opening, ball, 0.1)
    corner = low[57:] if side == "l" else low[:4]
    canvas.veil(ribbon(corner, 0.012), look.skin * (0.6, 0.6, 0.95), 0.8, 0.006)
    lash = 0.009 + 0.012 * look.liner
    taper = np.linspace(0.5, 1.2, 61)[::sign]
    canvas.veil(ribbon(up, lash * taper), DARK + 12, 0.55 + 0.4 * look.liner, 0.003)
    canvas.veil(ribbon(low, 0.007 + 0.005 * look.liner), look.skin * 0.3, 0.4, 0.006)


def _brow(canvas, look, side, rng):
    curves = canvas.head.curves
    outline = np.concatenate([curves[f"{side}brow_up"], curves[f"{side}brow_lo"][::-1]])
    region, cover = canvas.inside(outline, 0.007)
    hairs = rng.uniform(0.5, 1, (5, 26)).astype(np.float32)
    cover = cover * cv2.resize(hairs, cover.shape[1::-1])[..., None]
    colour = (0.55 * look.hair + 0.1 * look.skin).astype(np.float32)
    patch = canvas.texture[region]
    patch[:] = patch + 0.92 * cover * (colour - patch)


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


def _hair(canvas, look, rng):
    height, width = canvas.texture.shape[:2]
    strands = rng.normal(0, 1, (3, 90)).astype(np.float32)
    fine = rng.normal(0, 1, (5, 180)).astype(np.float32)
    edge = np.interp(np.linspace(0, 89, width), np.arange(90), strands[0])
    cover = hair_cover(look, canvas.head, canvas.grid, edge)
    if look.style == "bald":
        cover *= np.float32(0.5)
    lines = 1 + 0.14 * cv2.resize(strands, (180, 5)) + 0.14 * fine
    colour = np.clip(np.clip(lines, 0.4, 1.9)[..., None] * look.hair, 0, 255).astype(np.uint8)
    colour = cv2.resize(colour, (width, height))
    canvas.texture = cv2.blendLinear(colour, canvas.texture, cover, 1 - cover)


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
