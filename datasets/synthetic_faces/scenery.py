"""The background of a photo: walls, skies, patterns, leaves, things, lights out of focus.

The statistics are those of photos, not the places: amplitudes that fall with frequency (Field,
1987), and things of all sizes that hide one another ("dead leaves": Lee, Mumford and Huang, 2001).
All is drawn on a canvas of SHARP pixels, or SOFT where it is out of focus, and then resized: a
place is the same at any size of the photo. Colours are (blue, green, red) from 0 to 255.
"""

import cv2
import numpy as np

from .people import people
from .polygons import fixed
from .scene import Scene
from .surface import SHIFT


SHARP, SOFT = 256, 128
LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVWXYZabcdeghiklmnoprstu0123456789&.-"))


def palette(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(8, 3) colours of one place: mostly muted, at times dark, white or the head's own."""
    kind, spread = rng.random(), 60 * rng.random() ** 2 + 4
    tone = rng.uniform(10, 240)
    if kind < 0.15:  # a stage, night
        tone, spread = rng.uniform(0, 30), spread / 3
    elif kind < 0.27:  # a studio, an overcast sky
        tone, spread = rng.uniform(215, 255), spread / 3
    level = tone + rng.normal(0, spread, (8, 1))
    tint = rng.normal(0, 1, 3) * 70 * rng.random() ** 3
    colours = level + (tint - tint.mean()) + rng.normal(0, 0.35 * spread, (8, 3))
    loud = rng.random(8) < 0.12 * rng.random()
    colours[loud] = rng.uniform(0, 255, (int(loud.sum()), 3))
    if 0.27 <= kind < 0.45:  # the head hardly stands out
        own = np.stack([scene.look.skin, scene.look.hair])[rng.integers(0, 2, 8)]
        colours = own * rng.uniform(0.6, 1.1, (8, 1)) + rng.normal(0, 8, (8, 3))
    return np.clip(colours, 0, 255)


def pink(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side) uint8 noise: every octave adds as much as the last, or less."""
    keep, count = rng.uniform(0.5, 1.0), 4
    field, weight = np.zeros((2, 2), np.float32), 1.0
    while count <= side:
        octave = rng.integers(0, 256, (count, count), np.uint8).astype(np.float32)
        field = cv2.resize(field, (count, count))
        field, weight = cv2.addWeighted(field, 1, octave, weight, 0), weight * keep
        count *= 2
    mean, deviation = (float(v[0, 0]) for v in cv2.meanStdDev(field))
    factor = 48 / max(deviation, 1e-6)
    return np.clip(field * factor + (128 - mean * factor), 0, 255).astype(np.uint8)


def _shades(colours, hard):
    """A colour (256, 1, 3) for every level of a texture: in steps or flowing."""
    place = np.linspace(0, len(colours) - 1e-3, 256)
    if hard:
        return colours[place.astype(int)].astype(np.uint8)[:, None]
    knots = np.arange(len(colours)) + 0.5
    return np.stack([np.interp(place, knots, c) for c in colours.T], -1).astype(np.uint8)[:, None]


def _gradient(colours, side, rng):
    """A wall or a sky: two to four colours, flowing in one direction or two."""
    corners = colours[rng.integers(0, 8, (2, 2))]
    if rng.random() < 0.5:
        corners[:, 1] = corners[:, 0]
    return cv2.resize(corners.astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)


def _textured(colours, side, rng):
    """Clouds, foliage, rock, cloth: noise seen through a table of colours, at times stretched."""
    field = pink(side, rng)
    if rng.random() < 0.35:
        rows, columns = (side // int(k) for k in rng.choice((1, 4), 2))
        field = cv2.resize(field[:rows, :columns], (side, side))
    image = cv2.applyColorMap(field, _shades(colours, rng.random() < 0.35))
    if rng.random() < 0.5:
        light = cv2.cvtColor(pink(SOFT, rng), cv2.COLOR_GRAY2BGR)
        light = cv2.resize(light, (side, side))
        image = cv2.addWeighted(image, 1, light, 0.4, -51)
    return image


def _leaves(colours, side, rng):
    """Things of all sizes over one another, as round or as angular as one another."""
    image = np.empty((side, side, 3), np.uint8)
    image[:] = colours[0]
    count, smallest = int(rng.integers(40, 110)), rng.uniform(0.015, 0.06)
    size = np.minimum(smallest * (1 - rng.random(count)) ** -0.6, 0.5)
    long = size * np.exp(rng.normal(0, rng.uniform(0, 0.6), count))
    _shapes(image, rng.uniform(-0.05, 1.05, (count, 2)), size, long,
            colours[rng.integers(0, 8, count)], int(rng.choice((3, 4, 5, 12))), rng)  # fmt: skip
    return image


def _shapes(image, middle, wide, long, colours, corners, rng):
    """Filled polygons with `corners` around `middle` (N, 2), unit coordinates."""
    turn = rng.uniform(0, 2 * np.pi, (len(middle), 1))
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.pi / corners
    x, y = wide[:, None] * np.cos(angle), long[:, None] * np.sin(angle)
    cosine, sine = np.cos(turn), np.sin(turn)
    outline = np.stack([cosine * x - sine * y, sine * x + cosine * y], -1) + middle[:, None]
    for points, colour in zip(fixed(outline, len(image)), colours.tolist(), strict=True):
        cv2.fillConvexPoly(image, points, colour, cv2.LINE_AA, SHIFT)


def _tile(colours, rng):
    """(64, 64, 3) uint8, one period of a pattern: stripes, a plaid, bricks, windows, dots, text."""
    base, other, third = colours[rng.permutation(8)[:3]]
    tile = np.empty((64, 64, 3))
    tile[:] = base
    kind = rng.integers(6)
    if kind < 2:
        edges = np.sort(rng.integers(0, 64, 6))
        ribbon = colours[np.searchsorted(edges, np.arange(64)) + 1]
        tile[:] = ribbon
        if kind == 1:
            tile += ribbon[:, None]
            tile /= 2
    elif kind == 2:
        joint, second = int(rng.integers(1, 6)), int(rng.integers(16, 48))
        tile[32:] = third
        tile[:joint] = tile[32 : 32 + joint] = other
        tile[:32, :joint] = tile[32:, second : second + joint] = other
    elif kind == 3:
        x, y, sill = rng.integers(6, 20, 3)
        tile[y:56, x:58] = other
        tile[y : y + 2, x:58] = tile[y:56, 32:34] = tile[56 - sill // 2 : 56, x:58] = third
    elif kind == 4:
        cv2.circle(tile, (32, 32), int(rng.integers(5, 30)), other.tolist(), -1, cv2.LINE_AA)
    else:
        for row in (18, 40, 62)[: rng.integers(1, 4)]:
            word = "".join(LETTERS[rng.integers(0, len(LETTERS), 5)])
            scale, thick = rng.uniform(0.4, 0.8), int(rng.integers(1, 3))
            cv2.putText(tile, word, (int(rng.integers(-4, 8)), row), cv2.FONT_HERSHEY_DUPLEX,
                        scale, other.tolist(), thick, cv2.LINE_AA)  # fmt: skip
    return tile.astype(np.uint8)


def _patterned(colours, side, rng):
    """A tile repeated over a plane that is seen upright or in perspective."""
    size = side * np.exp(rng.uniform(np.log(0.06), np.log(0.8))) / 64  # pixels per texel
    turn = rng.choice((0.0, np.pi / 2, rng.uniform(0, np.pi))) + rng.normal(0, 0.05)
    cosine, sine = np.cos(turn) / size, np.sin(turn) / size
    away = rng.normal(0, 0.25 / side, 2) if rng.random() < 0.4 else (0.0, 0.0)
    plane = np.array([
        [cosine, -sine, rng.uniform(0, 64)], [sine, cosine, rng.uniform(0, 64)], [*away, 1.0]
    ])  # fmt: skip
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    tile = _tile(colours, rng)
    if size < 0.5:  # fewer pixels than texels
        tile = cv2.blur(tile, (3, 3))
    image = cv2.warpPerspective(tile, plane, (side, side), flags=flags, borderMode=cv2.BORDER_WRAP)
    light = cv2.resize(cv2.cvtColor(pink(64, rng), cv2.COLOR_GRAY2BGR), (side, side))
    amount = rng.uniform(0, 0.5)
    return cv2.addWeighted(image, 1, light, amount, -128 * amount)


GROUNDS = (_gradient, _textured, _leaves, _patterned)


def _ground(scene, side, rng):
    """A surface that fills the canvas, and the colours it is made of."""
    colours = palette(scene, rng)
    return GROUNDS[rng.choice(4, p=(0.27, 0.33, 0.17, 0.23))](colours, side, rng), colours


def _split(image, other, rng):
    """Lay `other` on one side of a line that runs past the head: a corner, a horizon, a door."""
    side = len(image)
    turn = rng.choice((0.0, np.pi / 2)) + rng.normal(0, 0.12) + rng.choice((0.0, np.pi))
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    middle = 0.5 + rng.uniform(-0.4, 0.4) * across
    corners = middle + np.array([(-2, 0), (2, 0), (2, 2), (-2, 2)]) @ np.stack([along, across])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners * side).astype(np.int32), 255)
    cv2.copyTo(other, mask, image)


def _things(image, colours, count, rng):
    """Boxes, discs, bars and slivers, many of them beside the head."""
    for corners in (4, 3, 16):
        n = int(rng.integers(0, count + 1))
        if not n:
            continue
        beside = rng.random((n, 1)) < 0.5
        ring = rng.uniform(0, 2 * np.pi, n)
        ring = 0.5 + rng.uniform(0.2, 0.4, (n, 1)) * np.stack([np.cos(ring), np.sin(ring)], -1)
        middle = np.where(beside, ring, rng.uniform(-0.1, 1.1, (n, 2)))
        wide = np.minimum(0.02 * (1 - rng.random(n)) ** -0.7, 0.4)
        long = wide if corners == 16 else wide * np.exp(rng.normal(0, 1, n))
        fill = colours[rng.integers(0, 8, n)] * rng.uniform(0.5, 1.3, (n, 1))
        loud = rng.random(n) < 0.15
        fill[loud] = rng.uniform(0, 255, (int(loud.sum()), 3))
        _shapes(image, middle, wide, long, np.clip(fill, 0, 255), corners, rng)


def _lights(image, rng):
    """Lamps far out of focus: discs of about one size that add to what is there."""
    count, size = int(rng.integers(4, 30)), rng.uniform(0.01, 0.06)
    glow = np.zeros_like(image)
    warm = rng.uniform((20, 60, 90), (140, 160, 200)) * rng.uniform(0.4, 1.2, (count, 1))
    radius = size * rng.uniform(0.8, 1.2, count)
    colours = np.clip(warm + rng.normal(0, 25, (count, 3)), 0, 255)
    _shapes(glow, rng.uniform(0, 1, (count, 2)), radius, radius, colours, 16, rng)
    return cv2.add(image, glow)


def scenery(size: int, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A place (size, size, 3), uint8, from an empty studio to heavy clutter, sharp to blurred."""
    depth = rng.random()
    blur = 0.0 if depth < 0.5 else rng.uniform(0.004, 0.02) if depth < 0.85 else (
        rng.uniform(0.02, 0.05)
    )  # fmt: skip
    side = SOFT if blur else SHARP
    image, colours = _ground(scene, side, rng)
    if rng.random() < 0.3:
        other, colours = _ground(scene, side, rng)
        _split(image, other, rng)
    if rng.random() < 0.6:
        _things(image, colours, int(rng.choice((2, 4, 10))), rng)
    if blur and rng.random() < 0.2:
        image = _lights(image, rng)
    near = rng.random() < 0.5  # people in focus, before all that is not
    count = int(rng.integers(1, 4)) if rng.random() < 0.28 else 0
    if not near:
        people(image, scene, count, rng)
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur * side)
    if near and count:
        image = resized(image, SHARP)
        people(image, scene, count, rng)
    return resized(image, size)


def resized(image: np.ndarray, size: int) -> np.ndarray:
    side = len(image)
    flags = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
    return image if size == side else cv2.resize(image, (size, size), interpolation=flags)
