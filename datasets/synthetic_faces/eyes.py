"""Eyes and brows."""

import cv2
import numpy as np

from .canvas import DARK, disc, ribbon
from .surface import SHIFT


def eye(canvas, scene, side, index):
    look, curves = scene.look, canvas.head.curves
    style = look.eyes
    up, low = curves[f"{side}eye_up"], curves[f"{side}eye_lo"]
    sign = -1 if side == "l" else 1
    crease = up + (0, -style.crease_height - 0.02 * max(0, -scene.shape.lids[index]))
    if style.hollow:
        lid = np.concatenate([up, crease[::-1]])
        canvas.veil(lid, look.skin * style.hollow_tone, style.hollow, 0.03)
    if look.shadow is not None:
        arc = 0.13 * np.sin(np.linspace(0, np.pi, len(up))) ** 0.5
        lid = np.concatenate([up, np.stack([up[:, 0], up[:, 1] - arc], 1)[::-1]])
        canvas.veil(lid, look.shadow, 0.6, 0.02)
    canvas.veil(ribbon(crease[6:55], style.crease_width), look.skin * 0.45, style.crease, 0.01)
    if style.bag:
        bag = low[8:53] + (0, 0.07)
        canvas.veil(ribbon(bag, 0.02), look.skin * (0.5, 0.48, 0.6), style.bag, 0.025)
    opening = np.concatenate([up, low[::-1]])
    canvas.clipped(opening, lambda: _ball(canvas, scene, up, opening, side), 0.1)
    corner = low[57:] if side == "l" else low[:4]
    canvas.veil(ribbon(corner, 0.012), look.skin * (0.6, 0.6, 0.95), 0.8, 0.006)
    lash = 0.009 + 0.012 * look.liner
    taper = np.linspace(0.5, 1.2, 61)[::sign]
    strength = min(style.lash + 0.4 * look.liner, 0.95)
    canvas.veil(ribbon(up, lash * taper), DARK + style.lash_tone, strength, 0.003)
    canvas.veil(ribbon(low, 0.007 + 0.005 * look.liner), look.skin * 0.3, style.low_lash, 0.006)


def _ball(canvas, scene, up, opening, side):
    """The eyeball in its opening, which casts a shadow on it."""
    look, style = scene.look, scene.look.eyes
    x, y = canvas.head.curves[f"{side}pupil"][0]
    white = np.array([222, 226, 232]) * (1 - 0.08 * look.age) * style.white
    white = white * (1 - style.red * np.array([0.25, 0.25, 0]))
    canvas.fill(opening, white)
    canvas.fill(disc(x, y, style.iris + 0.016), look.iris * 0.45)
    canvas.fill(disc(x, y, style.iris), look.iris)
    canvas.fill(disc(x, y + 0.045, 0.04, 0.02), look.iris * 1.2)
    canvas.fill(disc(x, y, style.pupil), DARK * 0.6)
    canvas.veil(ribbon(up + (0, 0.01), style.lid_shadow), white * 0.3, 0.6, 0.012)
    light = scene.light.direction
    if style.catch:
        gleam = disc(x + 0.04 * light[0], y + 0.05 * light[1], style.catch_size)
        canvas.veil(gleam, [245] * 3, style.catch)


def brow(canvas, look, side, rng):
    """A brow: a soft band between its two curves, and single hairs in and about it."""
    curves, style = canvas.head.curves, look.brows
    up, low = curves[f"{side}brow_up"], curves[f"{side}brow_lo"]
    region, band = canvas.inside(np.concatenate([up, low[::-1]]), style.soft, reach=0.03)
    hairs = np.zeros(band.shape[:2], np.uint8)
    corner = np.array([region[1].start, region[0].start], np.int32) << SHIFT
    lines = canvas.fixed(_brow_hairs(up, low, style.stray, side, rng)) - corner
    thick = max(1, round(0.013 * canvas.unit))
    cv2.polylines(hairs, list(lines), False, 255, thick, cv2.LINE_AA, SHIFT)
    hairs = cv2.GaussianBlur(hairs, (3, 3), 0.6)[..., None] * np.float32(1 / 255)
    cover = (1 - style.hairs) * band + 1.5 * style.hairs * hairs
    middle = (up + low) / 2
    along = canvas.grid.texel(canvas.head, middle)[:, 0]
    density = np.interp(np.linspace(0, 1, len(up)), np.linspace(0, 1, 5), rng.uniform(-1, 1, 5))
    ends = np.interp(np.linspace(0, 1, len(up)), [0, 0.25, 0.7, 1],
                     [style.inner, 1, 1, style.outer])  # fmt: skip
    strength = np.clip(ends[:: 1 if side == "r" else -1] + style.patchy * density, 0, 1)
    columns = np.arange(region[1].start, region[1].start + band.shape[1])
    cover = (
        np.minimum(cover, 1)
        * np.interp(columns, along, style.strength * strength).astype(np.float32)[:, None]
    )
    patch = canvas.texture[region]
    patch[:] = patch + cover * (np.asarray(look.brow_colour, np.float32) - patch)


def _brow_hairs(up, low, stray, side, rng):
    """Hairs (90, 2, 2) that grow outwards and, near the inner end, upwards."""
    place = rng.uniform(0, 0.93, 90)
    root = rng.uniform(-stray, 0.8, 90)
    rise = (0.25 + 0.5 * (1 - place)) * rng.uniform(0.5, 1.3, 90)
    outwards = place + (0.04 + 0.05 * place) * rng.uniform(0.6, 1.4, 90)
    across = np.stack([root, np.minimum(root + rise, 1 + stray)])
    along = np.stack([place, np.minimum(outwards, 1)])
    if side == "l":
        along = 1 - along
    which = np.rint(along * (len(up) - 1)).astype(int)
    return (low[which] + (up - low)[which] * across[..., None]).transpose(1, 0, 2)
