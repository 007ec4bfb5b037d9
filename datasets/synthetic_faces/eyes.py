"""Eyes and brows."""

import cv2
import numpy as np

from .canvas import DARK, disc, ribbon


def eye(canvas, scene, side, index):
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


def brow(canvas, look, side, rng):
    curves = canvas.head.curves
    outline = np.concatenate([curves[f"{side}brow_up"], curves[f"{side}brow_lo"][::-1]])
    region, cover = canvas.inside(outline, 0.007)
    hairs = rng.uniform(0.5, 1, (5, 26)).astype(np.float32)
    cover = cover * cv2.resize(hairs, cover.shape[1::-1])[..., None]
    colour = (0.55 * look.hair + 0.1 * look.skin).astype(np.float32)
    patch = canvas.texture[region]
    patch[:] = patch + 0.92 * cover * (colour - patch)
