"""Hair: where it grows, on the head, behind it and before its sides."""

import cv2
import numpy as np

from .curves import smooth
from .head import ANGLES, Head
from .polygons import fixed, polygon
from .scene import Look, Scene
from .surface import SHIFT, Grid


TONES = np.array([0.5, 0.68, 0.85, 1.02, 1.25])  # of single strands, against the hair's colour


def hairline(look: Look, turn: np.ndarray) -> np.ndarray:
    """Height (head frame y) of the hair's lower edge at every turn around the head."""
    style = look.strands
    at = np.radians([0, 30, 48, 60, 72, 84, 95, 110, 125, 180])
    top, side = -1.02 - 0.5 * look.hairline, 0.15 if look.style == "long" else -0.1
    burn = style.sideburn
    temple = style.temple
    edge = [top, top, top + 0.1 - look.hairline, temple - 0.72, temple - 0.5 + burn / 3,
            side + burn, burn - 0.05, 0.3, 0.75, 0.8]  # fmt: skip
    if look.style == "long":
        edge[3:8] = -0.65, -0.3, 0.5, 1.2, 1.3
    if look.style == "bald":
        edge[:6] = -1.9, -1.9, -1.8, -1.6, -0.9, -0.25
    height = np.interp(np.abs(turn), at, edge)
    apart = turn - 0.5 * look.parting
    fringe = look.fringe * np.clip(1 + style.sweep * turn, 0, 2)
    height += fringe * np.exp(-((turn / 0.75) ** 6)) * (1 - 0.25 * np.exp(-((apart / 0.2) ** 2)))
    if look.lock:
        swept = look.lock * turn
        height += 1.25 * np.clip(swept + 0.1, 0, 0.75) * np.exp(-(((swept - 0.7) / 0.55) ** 4))
    return height


def cover_of(look: Look, head: Head, grid: Grid, noise: np.ndarray) -> np.ndarray:
    """How far hair covers each texel, from below 0 to above 1; `noise` (columns) frays its edge."""
    soft = look.strands.soft if look.style != "bald" else max(look.strands.soft, 0.15)
    ragged = look.strands.ragged * (0.06 + 0.15 * look.fringe + 0.1 * abs(look.lock))
    edge = hairline(look, grid.texel_turns()) + noise * ragged
    row = np.interp(edge, head.edge_y, ANGLES, left=-1) * (grid.rows * grid.texels / np.pi)
    rows = np.arange(grid.texture_shape[0], dtype=np.float32)[:, None]
    slope = np.float32(np.pi / (soft * 2 * grid.rows * grid.texels))
    return (row.astype(np.float32)[None] - rows) * slope + np.float32(0.5)


def paint(canvas, look, rng):
    """The hair on the head's texture: strands that run down from the crown, or curls."""
    style, (height, width) = look.strands, canvas.texture.shape[:2]
    down, across = (5, 180) if style.curl < 0.3 else (int(8 + 50 * style.curl), 110)
    coarse = rng.normal(0, 1, (3 if style.curl < 0.3 else 14, 90)).astype(np.float32)
    fine = rng.normal(0, 1, (down, across)).astype(np.float32)
    edge = np.interp(np.linspace(0, 89, width), np.arange(90), coarse[0])
    edge += 0.6 * np.interp(np.linspace(0, across - 1, width), np.arange(across), fine[0])
    lines = cv2.resize(coarse, (across, down)) + fine
    cover = cover_of(look, canvas.head, canvas.grid, edge)
    cover += np.float32(0.3) * cv2.resize(lines, (width, height)) * (cover < 1.5)
    cover = np.clip(cover, 0, 1) * np.float32(style.density)
    if look.style == "bald":
        cover *= np.float32(0.5)
    rows = np.linspace(0, 1, down)[:, None]
    gleam = style.shine * np.exp(-(((rows - style.band) / 0.07) ** 2)) * (1 + 0.5 * fine)
    tone = np.clip(1 + style.contrast * lines, 0.35, 2)[..., None]
    colour = tone * look.hair + gleam[..., None] * (0.4 * look.hair + 70)
    colour += style.grey * np.clip(fine, 0, 1)[..., None] * (190 - colour)
    colour = cv2.resize(np.clip(colour, 0, 255).astype(np.uint8), (width, height))
    canvas.texture = cv2.blendLinear(colour, canvas.texture, cover, 1 - cover)


def puff(look: Look, grid: Grid, vertices: np.ndarray) -> np.ndarray:
    """The surface raised where hair grows."""
    if look.style == "bald":
        return vertices
    edge = hairline(look, grid.column_turns())[None]
    cover = np.clip((edge - vertices[..., 1]) / 0.22, 0, 1)
    cover = cover * cover * (3 - 2 * cover)
    crown = 1 + 0.8 * np.clip(-0.3 - vertices[..., 1], 0, 1)
    return vertices + outward(vertices) * (cover * look.volume * crown)[..., None]


def outward(vertices: np.ndarray) -> np.ndarray:
    """Unit directions away from the skull's middle."""
    out = vertices - np.array([0, -0.1, -0.1])
    return out / np.linalg.norm(out, axis=-1, keepdims=True)


def shade(scene: Scene, side: float = 0.0) -> np.ndarray:
    """The hair's colour in the light that falls on it from a side (sign, 0: from before)."""
    light = scene.light
    facing = max(0.75 * light.direction[2] + 0.6 * side * light.direction[0], 0.0)
    return scene.look.hair * (light.ambient + 0.75 * light.strength * facing) * light.colour


def strands(image: np.ndarray, lines: np.ndarray, colour, width: float) -> None:
    """Polylines (N, K, 2) in unit coordinates, each in one of the tones; `width` in photo sides."""
    size = len(image)
    thick = max(1, round(width * size))
    points = fixed(lines, size)
    for index, tone in enumerate(TONES):
        shade = tuple(np.clip(colour * tone, 0, 255).tolist())
        group = list(points[index :: len(TONES)])
        cv2.polylines(image, group, False, shade, thick, cv2.LINE_AA, SHIFT)


def _between(one, two, count, style, scale, rng):
    """`count` wavy strands (count, K, 2) from one outline (K, 2) to another."""
    place = rng.uniform(0, 1, (count, 1, 1))
    lines = one + (two - one) * place
    along = np.linspace(0, style.waves * 2 * np.pi, lines.shape[1])
    phase = 3 * place[..., 0] + rng.uniform(0, 1.5, (count, 1))
    sway = style.wave * np.sin(along + phase) + rng.normal(0, 0.012, (count, lines.shape[1]))
    lines[..., 0] += scale * sway
    return lines


def hanging(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> None:
    """Long hair behind the head, as strands between its two outlines, or a knot."""
    look, camera = scene.look, scene.camera
    if look.style not in ("long", "tied"):
        return
    colour = shade(scene)
    if look.style == "tied":
        turn = np.linspace(0, 2 * np.pi, 24)
        x, y, size = rng.normal(0, 0.35), rng.uniform(-1.6, 0.2), rng.uniform(0.25, 0.6)
        knot = np.stack([x + size * np.cos(turn), y + size * np.sin(turn), 0 * turn - 1.1], 1)
        knot = camera.project(camera.turn(knot))
        polygon(image, knot, colour * 0.7)
        lines = _between(knot[:12], knot[:11:-1], 40, look.strands, camera.scale, rng)
        strands(image, lines, 0.8 * colour, 0.02 * camera.scale)
        return
    volume, end = look.volume, look.strands.end
    top, wide = np.array([1.0, 1.16, 1.2, 1.1]) + volume, look.strands.spread
    side = np.stack([top + (0, 0, 0.5 * wide, wide), [-0.75, 0.0, 0.8, end],
                     [-0.25, -0.35, -0.4, -0.3]], 1)  # fmt: skip
    right, left = (camera.project(camera.turn(smooth(side * (s, 1, 1), 14))) for s in (1, -1))
    polygon(image, np.concatenate([right, left[::-1]]), colour * 0.55)
    strands(image, _between(left, right, 70, look.strands, camera.scale, rng), 0.75 * colour,
            0.02 * camera.scale)  # fmt: skip


def curtain(scene: Scene, head: Head, side: int) -> np.ndarray | None:
    """Hair before one side of the face: its inner and outer outline (2, 14, 2), unit coordinates.

    None where there is none. `side` is 0 for image left, 1 for right.
    """
    look, camera = scene.look, scene.camera
    inside = look.strands.curtain[side]
    hat = scene.covers.hat
    wrapped = hat is not None and hat.wraps
    if look.style != "long" or inside is None or wrapped or abs(camera.yaw) > 50:
        return None
    sign, end = 2 * side - 1, look.strands.end
    top = -1.05 if hat is None else hat.low + 0.1
    y = np.array([top, (top - 0.4) / 2, -0.4, 0.05, 0.5, 0.95, 1.4, 0.5 * (1.4 + end), end])
    on_head = np.minimum(y, 1.1)
    width, edge, _ = head.section(on_head)
    inner = width * (1 - inside * np.array([0.6, 0.8, 1, 1, 1, 0.95, 0.8, 0.6, 0.4]))
    inner[0] *= 0.75 if hat is None else 1.0
    depth = head.lift(np.stack([np.clip(inner, 0, 0.98 * width), on_head], 1))[:, 2]
    flare = look.strands.spread * np.array([0, 0, 0, 0, 0, 0, 0.3, 0.6, 0.8])
    outer = np.array([0.8, 0.98, 1.12, 1.2, 1.25, 1.25, 1.2, 1.15, 1.05]) + flare
    outer[1:] = np.maximum(outer[1:] + look.volume, inner[1:] + 0.15)
    inner = inner + flare
    inner = np.stack([sign * inner, y, depth + 0.04], 1)
    outer = np.stack([sign * outer, y, edge - 0.1], 1)
    return np.stack([camera.project(camera.turn(smooth(line, 14))) for line in (inner, outer)])


def behind(scene: Scene, side: int) -> bool:
    """Whether the hair of a side hangs behind the head's profile."""
    return scene.camera.yaw * (2 * side - 1) > 15


def curtains(image: np.ndarray, scene: Scene, head: Head, near: bool, rng) -> None:
    """Hair that hangs before the face's sides: the one behind the head's profile, or the others."""
    for side in (0, 1):
        found = curtain(scene, head, side)
        if found is None or behind(scene, side) == near:
            continue
        inner, outer = found
        colour, scale = shade(scene, 2 * side - 1), scene.camera.scale
        polygon(image, np.concatenate([inner, outer[::-1]]), colour * 0.65)
        lines = _between(inner, outer, 60, scene.look.strands, scale, rng)
        strands(image, lines, colour * 0.95, 0.014 * scale)


def mass(
    image: np.ndarray, scene: Scene, vertices: np.ndarray, grid: Grid, near: bool, rng
) -> None:
    """Curls that stand off the head, and stray hairs: behind it, or (`near`) on its front."""
    look, camera = scene.look, scene.camera
    style = look.strands
    if look.style == "bald" or not (style.mass or style.stray):
        return
    out = outward(vertices)
    grown = hairline(look, grid.column_turns())[None] - vertices[..., 1] > (0.2 if near else 0.05)
    if near:
        grown &= camera.turn(out)[..., 2] > 0.1
    found = np.flatnonzero(grown)
    if not len(found):
        return
    picked = found[(rng.random(160) * len(found)).astype(int)]
    root, out = vertices.reshape(-1, 3)[picked], out.reshape(-1, 3)[picked]
    colour, size = shade(scene), len(image)
    if style.mass:
        far = rng.uniform(-0.08, 0.0 if near else 0.06, (160, 1))
        places = fixed(camera.project(camera.turn(root + out * far)), size)
        sizes = rng.uniform(0.02, 0.07 if near else 0.14, 160) * camera.scale * size * 2**SHIFT
        lit = camera.turn(out) @ np.asarray(scene.light.direction)
        tones = rng.uniform(0.65, 1.05, 160) * (0.75 + 0.25 * lit)
        for place, radius, tone in zip(places.tolist(), sizes, tones, strict=True):
            shade_of = tuple(np.clip(colour * tone, 0, 255).tolist())
            cv2.circle(image, place, int(radius), shade_of, -1, cv2.LINE_AA, SHIFT)
    if style.stray and not near:
        bend = np.linspace(0, 1, 4)[:, None]
        aim = (out + rng.normal(0, 0.6, out.shape)) * rng.uniform(0, style.stray, (160, 1))
        lines = root[:, None] + aim[:, None] * bend + rng.normal(0, 0.01, (160, 4, 3))
        strands(image, camera.project(camera.turn(lines)), colour, 0.006 * camera.scale)
