"""What one face is drawn from: all that a random number generator decides, by name.

Colours are (blue, green, red) from 0 to 255. The distributions are made up: wide enough to learn
from, in no way a census.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import sensor
from .camera import Camera
from .head import HeadShape
from .sensor import Sensor


SKINS = np.array(
    [(198, 214, 240), (170, 195, 230), (150, 180, 222), (128, 165, 210), (110, 145, 195),
     (88, 122, 172), (66, 95, 145), (52, 75, 118), (42, 60, 95), (34, 46, 75)], float
)  # fmt: skip
HAIRS = np.array(
    [(20, 22, 28), (25, 30, 42), (32, 48, 72), (45, 70, 108), (70, 110, 150), (110, 165, 205),
     (40, 70, 140), (165, 168, 170), (215, 218, 220), (30, 26, 24)], float
)  # fmt: skip
IRISES = np.array(
    [(25, 45, 75), (30, 60, 100), (50, 85, 90), (70, 120, 90), (150, 120, 80), (140, 130, 115)],
    float,
)


@dataclass(frozen=True)
class Look:
    """Colours and hair of a head."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    shirt: np.ndarray
    style: str = "short"  # bald, short, long or tied
    hairline: float = 0.0  # higher forehead above 0
    parting: float = 0.0
    volume: float = 0.08  # of the hair, head units
    fringe: float = 0.0  # how far hair hangs into the forehead
    lock: float = 0.0  # hair over one eye: its side's sign, 0 for none
    beard: float = 0.0
    age: float = 0.0
    freckles: float = 0.0
    lips: float = 0.35  # redness
    lipstick: np.ndarray | None = None
    shadow: np.ndarray | None = None  # on the lids
    liner: float = 0.0
    blush: float = 0.0


@dataclass(frozen=True)
class Light:
    direction: tuple[float, float, float] = (-0.35, -0.45, 0.82)  # towards it, camera frame
    ambient: float = 0.45
    strength: float = 0.65
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gain: float = 1.0  # of the camera
    shine: float = 0.15


@dataclass(frozen=True)
class Covers:
    """Things in front of the face."""

    glasses: str = ""  # clear or sun
    frame: tuple[float, float, float] = (30, 30, 35)
    round: float = 2.5  # exponent of the lenses' outline
    mask: tuple[float, float, float] | None = None
    hand: tuple[float, float, float, float] | None = None  # palm x, y (head units), angle, size


@dataclass(frozen=True)
class Scene:
    shape: HeadShape
    camera: Camera
    look: Look
    light: Light
    covers: Covers
    sensor: Sensor = Sensor()
    attributes: tuple[int, ...] = (0, 0, 0, 0, 0, 0)


def _pick(rng, table):
    """A colour between two neighbours of a table."""
    place = rng.uniform(0, len(table) - 1)
    below = min(int(place), len(table) - 2)
    return table[below] + (place - below) * (table[below + 1] - table[below])


def _bright(rng):
    return rng.uniform(20, 235, 3)


def _shape(rng, expressive):
    draws = iter(np.clip(rng.normal(0, 1, 40), -2.2, 2.2).tolist())

    def around(width):
        return width * next(draws)

    mood = rng.random() if expressive else 1.0
    opened = smile = pucker = frown = 0.0
    lids, brows = around(0.1), around(0.15)
    if mood < 0.3:  # laughing
        opened, smile, lids = rng.uniform(0.15, 0.6), rng.uniform(0.5, 1.0), rng.uniform(0, 0.45)
    elif mood < 0.5:  # surprised, shouting
        opened, brows, lids = rng.uniform(0.5, 1.0), rng.uniform(0.3, 1.0), rng.uniform(-0.4, 0)
    elif mood < 0.65:  # smiling
        smile = rng.uniform(0.6, 1.0)
    elif mood < 0.78:  # eyes closed
        lids = rng.uniform(0.9, 1.0)
    elif mood < 0.9:  # angry
        frown, smile, brows = rng.uniform(0.6, 1.0), rng.uniform(-0.8, -0.2), rng.uniform(-0.4, 0)
    elif expressive:
        pucker = rng.uniform(0.6, 1.0)
    else:
        smile, opened = rng.uniform(-0.3, 0.7), max(0.0, rng.normal(-0.05, 0.15))
    shape = HeadShape(
        jaw=around(0.05), chin=around(0.05), cheek=around(0.035), length=around(0.04),
        flatness=around(0.05), eye_spacing=around(0.05), eye_width=around(0.07),
        eye_opening=around(0.015), eye_slant=around(0.07), brow_height=around(0.025),
        brow_weight=around(0.3), brow_arch=around(0.025), nose_length=around(0.07),
        nose_width=around(0.13), nose_height=around(0.18), mouth_width=around(0.09),
        mouth_height=around(0.03), upper_lip=around(0.3), lower_lip=around(0.25),
        open=opened, smile=smile, pucker=pucker, skew=around(0.4), frown=frown,
        lids=(min(lids + around(0.03), 1.0), min(lids + around(0.03), 1.0)),
        brow_raise=(brows + around(0.1), brows + around(0.1)),
        gaze=(around(0.045), around(0.015)),
    )  # fmt: skip
    return shape


def _camera(rng, posed):
    if posed:
        yaw, pitch = rng.choice((-1, 1)) * rng.uniform(40, 90), rng.normal(0, 12)
    else:
        yaw, pitch = rng.normal(0, 18), rng.normal(0, 9)
        yaw = np.clip(yaw, -40, 40)
    return Camera(
        yaw=float(yaw),
        pitch=float(np.clip(pitch, -30, 30)),
        roll=float(np.clip(rng.normal(0, 10), -35, 35)),
        scale=float(rng.uniform(0.2, 0.29)),
        distance=float(rng.uniform(7, 20)),
    ), rng.normal(0, 0.025, 2)


def _look(rng, made_up):
    woman = made_up or rng.random() < 0.45
    darkness = rng.beta(1.2, 1.6) * (len(SKINS) - 1)
    below = min(int(darkness), len(SKINS) - 2)
    skin = SKINS[below] + (darkness - below) * (SKINS[below + 1] - SKINS[below])
    skin = np.clip(skin + rng.normal(0, 4, 3), 15, 250)
    dark_hair = darkness > 4.5 or rng.random() < 0.4
    hair = _pick(rng, HAIRS[:3] if dark_hair else HAIRS)
    age = float(rng.beta(1.2, 2))
    if age > 0.6 and rng.random() < 0.7:
        hair = _pick(rng, HAIRS[7:9])
    style = rng.choice(["long", "tied", "short"], p=[0.6, 0.25, 0.15]) if woman else (
        rng.choice(["short", "bald", "long"], p=[0.82, 0.13, 0.05])
    )  # fmt: skip
    fringed = style != "bald" and rng.random() < 0.25
    return Look(
        skin=skin,
        hair=hair,
        iris=_pick(rng, IRISES[:2] if darkness > 4.5 else IRISES),
        style=str(style),
        hairline=float(rng.normal(0, 0.07) + (0 if woman else 0.12 * age)),
        parting=float(rng.uniform(-0.7, 0.7)),
        volume=float(rng.uniform(0.04, 0.1) if style == "short" else rng.uniform(0.06, 0.16)),
        fringe=float(rng.uniform(0.2, 0.55)) if fringed else 0.0,
        beard=0.0 if woman or rng.random() < 0.5 else float(rng.uniform(0.1, 1.0)),
        age=age,
        freckles=float(rng.uniform(0.3, 1)) if rng.random() < 0.15 else 0.0,
        lips=float(rng.uniform(0.2, 0.5)),
        lipstick=_pick(rng, np.array([(40, 30, 170), (90, 60, 200), (60, 20, 110), (130, 90, 225)]))
        if made_up else None,
        shadow=_bright(rng) if made_up and rng.random() < 0.8 else None,
        liner=float(rng.uniform(0.5, 1)) if made_up else (0.25 if woman else 0.0),
        blush=float(rng.uniform(0.3, 0.9)) if made_up else 0.0,
        shirt=_bright(rng),
    )  # fmt: skip


def _light(rng, harsh):
    if not harsh:
        x, y = rng.normal(0, 0.4), rng.normal(-0.4, 0.25)
        ambient, strength, gain = rng.uniform(0.45, 0.65), rng.uniform(0.35, 0.6), 1.0
        colour = 1 + rng.normal(0, 0.04, 3)
        depth = 0.8
    else:
        kind = rng.random()
        x, y, depth = rng.choice((-1, 1)) * rng.uniform(0.8, 1.2), rng.normal(-0.3, 0.4), 0.3
        ambient, strength, gain = rng.uniform(0.12, 0.25), rng.uniform(0.7, 1.1), 1.0
        if kind < 0.3:  # night
            ambient, strength, gain = 0.45, 0.5, rng.uniform(0.3, 0.5)
        elif kind < 0.5:  # overexposed
            ambient, strength, gain = 0.5, 0.6, rng.uniform(1.2, 1.5)
        colour = 1 + rng.normal(0, 0.13, 3)
    direction = np.array([x, y, depth])
    direction /= np.linalg.norm(direction)
    return Light(
        direction=tuple(direction),
        ambient=float(ambient),
        strength=float(strength),
        colour=tuple(np.clip(colour, 0.6, 1.4)),
        gain=float(gain * rng.uniform(0.85, 1.1)),
        shine=float(rng.uniform(0.05, 0.3)),
    )


def _covers(rng, covered):
    if not covered:
        return Covers(), 0.0
    kind = rng.choice(["clear", "sun", "mask", "hand", "lock"], p=[0.3, 0.15, 0.15, 0.25, 0.15])
    frame = rng.uniform(10, 60, 3) if rng.random() < 0.7 else _bright(rng)
    cloth = np.array([(235, 235, 232), (215, 190, 150), (45, 42, 40), (150, 150, 90)])
    hand = None
    if kind == "hand":
        side = rng.choice((-1, 1))
        hand = (side * rng.uniform(0.2, 0.75), rng.uniform(0.5, 1.5), side * rng.uniform(-25, 55),
                rng.uniform(0.85, 1.1))  # fmt: skip
    return Covers(
        glasses=str(kind) if kind in ("clear", "sun") else "",
        frame=tuple(frame),
        round=float(rng.uniform(2.0, 4.5)),
        mask=tuple(cloth[rng.integers(len(cloth))] + rng.normal(0, 6, 3))
        if kind == "mask"
        else None,
        hand=hand,
    ), float(rng.choice((-1, 1))) if kind == "lock" else 0.0


def sample(rng: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """A scene, and where in the photo the middle of its landmark box goes (unit coordinates)."""
    flags = rng.random(6) < (0.2, 0.3, 0.2, 0.2, 0.3, 0.18)
    posed, expressive, harsh, made_up, covered, blurred = (bool(f) for f in flags)
    shape = _shape(rng, expressive)
    camera, offset = _camera(rng, posed)
    look = _look(rng, made_up)
    light = _light(rng, harsh)
    covers, lock = _covers(rng, covered)
    if lock:
        look = replace(look, lock=lock, style="long")
    return Scene(
        shape=shape,
        camera=camera,
        look=look,
        light=light,
        covers=covers,
        sensor=sensor.sample(rng.spawn(1)[0], blurred, harsh),
        attributes=tuple(int(f) for f in flags),
    ), 0.5 + offset
