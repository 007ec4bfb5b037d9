"""Other people, behind the annotated one: heads of a few polygons, and shoulders.

They are no faces to learn from. They teach that the face in the middle is the one that is meant.
"""

import numpy as np

from .canvas import CIRCLE
from .polygons import polygon
from .scene import HAIRS, SKINS, Scene


# y grows downwards from the eyes, the face is 1.5 units wide: wider above than at the chin
FACE = CIRCLE * (0.76, 1.0) * np.where(CIRCLE[:, 1:] > 0, 1 - 0.22 * CIRCLE[:, 1:] ** 2, 1)
SHOULDERS = np.array([(-9, 9), (-1.9, 2.1), (-1.5, 1.75), (-0.55, 1.4), (0.55, 1.4), (1.5, 1.75),
                      (1.9, 2.1), (9, 9)])  # fmt: skip
EYES = ((-0.33, 0.0), (0.33, 0.0))


def people(image: np.ndarray, scene: Scene, count: int, rng: np.random.Generator) -> None:
    """Draw `count` people on a square canvas, those farther away first."""
    size = scene.camera.scale * np.sort(rng.uniform(0.35, 1.1, count))
    side = rng.choice((-1, 1)) * np.where(np.arange(count) % 2, 1, -1)
    for scale, sign in zip(size.tolist(), side.tolist(), strict=True):
        beside = sign * rng.uniform(0.9, 2.0) * scene.camera.scale
        above = scene.camera.scale * rng.uniform(-0.6, 0.4)
        middle = np.array(scene.camera.centre) + (beside, above)
        _person(image, scene, middle, scale, rng)


def _person(image, scene, middle, scale, rng):
    roll, yaw = rng.normal(0, 0.2), np.clip(rng.normal(0, 0.5), -1.1, 1.1)
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    tilt = np.array([[cosine, sine], [-sine, cosine]])
    light = rng.uniform(0.45, 1.1)
    skin = scene.look.skin if rng.random() < 0.4 else SKINS[rng.integers(len(SKINS))]
    skin = np.clip(skin + rng.normal(0, 6, 3), 15, 250) * light
    hair = HAIRS[rng.integers(len(HAIRS))] * light
    long = rng.random() < 0.45

    def fill(points, colour):
        polygon(image, points @ tilt + middle, colour)

    def on(points):
        """Places on the front of the face, moved as the head turns."""
        turned = np.arcsin(np.clip(points[:, 0] / 0.8, -0.95, 0.95)) + yaw
        return np.stack([0.8 * np.sin(np.clip(turned, -1.45, 1.45)), points[:, 1]], -1)

    if long:
        fill(CIRCLE * (0.98, 1.35) + (0, 0.35), hair * 0.8)
    neck = np.array([(-0.42, 0.5), (0.42, 0.5), (0.5, 1.7), (-0.5, 1.7)])
    fill(neck, skin * 0.7)
    shirt = rng.uniform(10, 235) + rng.normal(0, 1, 3) * rng.choice((5, 15, 60))
    polygon(image, SHOULDERS * scale + middle, shirt * light)
    fill(CIRCLE * (0.9, 0.95) + (-0.12 * yaw, -0.25), hair)  # the skull
    fill(FACE, skin * 0.82)
    fill(FACE * (0.85, 0.95) + (0.1 * rng.choice((-1, 1)), -0.03), skin)
    high = rng.uniform(-0.75, -0.4)
    fringe = np.array([(-0.8, -0.1), (-0.7, high), (0.7, high), (0.8, -0.1), (0.75, -0.8),
                       (0, -1.15), (-0.75, -0.8)])  # fmt: skip
    if rng.random() < 0.85:
        fill(fringe + (-0.1 * yaw, 0), hair)
    _features(fill, on, skin, hair, rng)


def _features(fill, on, skin, hair, rng):
    """Eyes, brows, nose and mouth."""
    open_eye, smile = rng.uniform(0.03, 0.08), rng.uniform(-0.02, 0.12)
    for x, y in EYES:
        fill(on(CIRCLE * (0.2, 0.14) + (x, y)), skin * 0.8)
        if rng.random() < 0.9:
            fill(on(CIRCLE * (0.15, open_eye) + (x, y)), skin * 0.4 + 110)
        fill(on(CIRCLE * (0.065, min(0.065, open_eye)) + (x, y)), (25, 30, 35))
        brow = np.array([(-0.2, 0.04), (0, -0.04), (0.2, 0.03), (0.2, -0.03), (0, -0.1), (-0.2, 0)])
        fill(on(brow + (x, y - 0.2)), hair * 0.8)
    nose = np.array([(-0.04, 0.02), (0.04, 0.02), (0.15, 0.38), (0.0, 0.44), (-0.15, 0.38)])
    fill(on(nose), skin * 1.06)
    fill(on(CIRCLE * (0.13, 0.035) + (0, 0.41)), skin * 0.6)
    across = np.linspace(-1, 1, 9)
    curve = 0.62 - smile * across**2
    thick = rng.uniform(0.04, 0.09) * (1 - across**2)
    ends = np.concatenate([across, across[::-1]]) * 0.27
    lips = np.stack([ends, np.concatenate([curve - thick, (curve + thick)[::-1]])], 1)
    fill(on(lips), skin * (0.65, 0.6, 0.9))
    inner = (lips - (0, 0.62)) * (0.75, 0.4) + (0, 0.61)
    fill(on(inner), (210, 220, 225) if smile > 0.07 else skin * 0.35)
