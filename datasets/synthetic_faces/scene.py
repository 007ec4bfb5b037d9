"""All that a random number generator decides about one face, by name.

Colours are (blue, green, red) from 0 to 255. The distributions are made up: wide enough to learn
from, in no way a census.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import sensor, styles, wear
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
CHILD = 0.15  # of `Look.age`: who is younger has a child's face
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
    lip_edge: float = 0.85  # how opaque the lips' colour is
    teeth: float = 0.9  # brightness
    bite: float = 0.09  # how far the upper teeth reach below the lip, head units
    lower_teeth: float = 0.0  # how far the lower ones show above theirs
    lipstick: np.ndarray | None = None
    shadow: np.ndarray | None = None  # on the lids
    liner: float = 0.0
    blush: float = 0.0
    neck: styles.Neck = styles.Neck()
    brows: styles.Brows = styles.Brows()
    strands: styles.Strands = styles.Strands()
    whiskers: styles.Whiskers = styles.Whiskers()
    eyes: styles.Eyes = styles.Eyes()
    surface: styles.Surface = styles.Surface()

    @property
    def beard_colour(self) -> np.ndarray:
        own = self.whiskers.colour
        return 0.75 * self.hair + 0.1 * self.skin if own is None else np.asarray(own)

    @property
    def brow_colour(self) -> np.ndarray:
        own = self.brows.colour
        return 0.55 * self.hair + 0.1 * self.skin if own is None else np.asarray(own)


@dataclass(frozen=True)
class Light:
    direction: tuple[float, float, float] = (-0.35, -0.45, 0.82)  # towards it, camera frame
    ambient: float = 0.45
    strength: float = 0.65
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gain: float = 1.0  # of the camera
    shine: float = 0.15
    style: styles.Lighting = styles.Lighting()


@dataclass(frozen=True)
class Covers:
    """Things in front of the face."""

    glasses: str = ""  # clear or sun
    frame: tuple[float, float, float] = (30, 30, 35)
    round: float = 2.5  # exponent of the lenses' outline
    lenses: wear.Lenses = wear.Lenses()
    mask: tuple[float, float, float] | None = None
    hat: wear.Hat | None = None
    thing: wear.Thing | None = None
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


def _between(table, place):
    """The colour at a place between two neighbours of a table."""
    below = min(int(place), len(table) - 2)
    return table[below] + (place - below) * (table[below + 1] - table[below])


def _pick(rng, table):
    return _between(table, rng.uniform(0, len(table) - 1))


def _shape(rng, expressive):
    draws = iter(np.clip(rng.normal(0, 1, 40), -2.5, 2.5).tolist())

    def around(width):
        return width * next(draws)

    mood = rng.random() if expressive else 1.0
    opened = smile = pucker = frown = 0.0
    lids, brows = around(0.1), around(0.15)
    if mood < 0.3:  # laughing
        opened, smile, lids = rng.uniform(0.15, 0.7), rng.uniform(0.6, 1.3), rng.uniform(0, 0.45)
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
    elif rng.random() < 0.55:  # a smile for the camera, most show their teeth
        smile = rng.uniform(0.2, 1.2)
        opened = rng.uniform(0.08, 0.4) * (0.3 + 0.7 * smile) if rng.random() < 0.75 else 0.0
        lids += 0.25 * smile * rng.uniform(0, 1)
    else:
        smile = rng.uniform(-0.4, 0.4)
        opened = rng.uniform(0.03, 0.3) if rng.random() < 0.3 else 0.0
    return HeadShape(
        jaw=around(0.05), chin=around(0.05), cheek=around(0.035), length=around(0.05),
        flatness=around(0.05), eye_spacing=around(0.05), eye_width=around(0.07),
        eye_opening=around(0.015), eye_slant=around(0.07), brow_height=around(0.025),
        brow_weight=around(0.35), brow_arch=around(0.03), brow_width=around(0.07),
        brow_gap=around(0.045),
        nose_length=around(0.07),
        nose_width=around(0.13), nose_height=around(0.18), mouth_width=around(0.1),
        mouth_height=around(0.045), upper_lip=around(0.3), lower_lip=around(0.25),
        open=opened, smile=smile, pucker=pucker, skew=around(0.4), frown=frown,
        lids=(min(lids + around(0.03), 1.0), min(lids + around(0.03), 1.0)),
        brow_raise=(brows + around(0.1), brows + around(0.1)),
        gaze=(around(0.045), around(0.015)),
    )  # fmt: skip


def _camera(rng, posed):
    if posed:
        yaw, pitch = rng.choice((-1, 1)) * (40 + 50 * rng.beta(0.9, 1.8)), rng.normal(0, 12)
    else:
        yaw, pitch = rng.normal(0, 20), rng.normal(0, 12)
        yaw = np.clip(yaw, -40, 40)
    return Camera(
        yaw=float(yaw),
        pitch=float(np.clip(pitch, -30, 30)),
        roll=float(np.clip(rng.normal(0, 13), -45, 45)),
        scale=float(rng.uniform(0.2, 0.29)),
        distance=float(rng.uniform(7, 20)),
    ), rng.normal(0, 0.025, 2)


def _look(rng, made_up):
    woman = made_up or rng.random() < 0.45
    darkness = rng.beta(1.2, 1.6) * (len(SKINS) - 1)
    skin = np.clip(_between(SKINS, darkness) + rng.normal(0, 4, 3), 15, 250)
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
        lips=float(rng.uniform(0.1, 0.6)),
        lip_edge=float(rng.uniform(0.45, 0.95)),
        teeth=float(rng.uniform(0.55, 1.0)),
        bite=float(rng.uniform(0.07, 0.19)),
        lower_teeth=float(rng.uniform(0.02, 0.06)) if rng.random() < 0.3 else 0.0,
        lipstick=_pick(rng, np.array([(40, 30, 170), (90, 60, 200), (60, 20, 110), (130, 90, 225)]))
        if made_up else None,
        shadow=styles.bright(rng) if made_up and rng.random() < 0.8 else None,
        liner=float(rng.uniform(0.5, 1)) if made_up else (0.25 if woman else 0.0),
        blush=float(rng.uniform(0.3, 0.9)) if made_up else 0.0,
        shirt=styles.bright(rng),
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
        if rng.random() < 0.2:  # from below
            y = rng.uniform(0.3, 1.0)
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
    kinds = ["clear", "sun", "mask", "hand", "lock", "hat", "thing"]
    kind = rng.choice(kinds, p=[0.34, 0.1, 0.05, 0.1, 0.1, 0.18, 0.13])
    frame = rng.uniform(10, 60, 3) if rng.random() < 0.7 else styles.bright(rng)
    cloth = np.array([(235, 235, 232), (215, 190, 150), (45, 42, 40), (150, 150, 90)])
    hand = None
    if kind == "hand":
        side = rng.choice((-1, 1))
        hand = (side * rng.uniform(0.2, 0.75), rng.uniform(0.5, 1.6), side * rng.uniform(-40, 80),
                rng.uniform(0.85, 1.1))  # fmt: skip
    return Covers(
        glasses=str(kind) if kind in ("clear", "sun") else "",
        frame=tuple(frame),
        round=float(rng.uniform(2.0, 4.5)),
        mask=tuple(cloth[rng.integers(len(cloth))] + rng.normal(0, 6, 3))
        if kind == "mask"
        else None,
        hand=hand,
        hat=wear.Hat() if kind == "hat" else None,
        thing=wear.Thing("fist", 0.0, 1.0) if kind == "thing" else None,
    ), float(rng.choice((-1, 1))) if kind == "lock" else 0.0


def child(shape: HeadShape, look: Look) -> tuple[HeadShape, Look]:
    """The same person younger: large eyes, short and round below them, no beard."""
    young = 1 - look.age / CHILD
    shape = replace(
        shape,
        length=shape.length - 0.07 * young,
        jaw=shape.jaw - 0.03 * young,
        cheek=shape.cheek + 0.04 * young,
        eye_width=shape.eye_width + 0.1 * young,
        eye_opening=shape.eye_opening + 0.02 * young,
        brow_height=shape.brow_height + 0.03 * young,
        brow_weight=shape.brow_weight - 0.3 * young,
        nose_length=shape.nose_length - 0.1 * young,
        nose_height=shape.nose_height - 0.25 * young,
        mouth_width=shape.mouth_width - 0.1 * young,
    )
    return shape, replace(look, beard=0.0)


def sample(rng: np.random.Generator) -> tuple[Scene, np.ndarray]:
    """A scene, and where in the photo the middle of its landmark box goes (unit coordinates)."""
    flags = rng.random(6) < (0.18, 0.3, 0.2, 0.2, 0.3, 0.18)
    posed, expressive, harsh, made_up, covered, blurred = (bool(f) for f in flags)
    shape = _shape(rng, expressive)
    camera, offset = _camera(rng, posed)
    look = _look(rng, made_up)
    light = _light(rng, harsh)
    covers, lock = _covers(rng, covered)
    if lock:
        look = replace(look, lock=lock, style="long")
    if look.age < CHILD:
        shape, look = child(shape, look)
    details = [np.random.default_rng(int(k)) for k in rng.integers(0, 2**63, 8)]
    strands, volume = styles.strands(details[2], look.style, look.age)
    light = replace(light, style=styles.lighting(details[5], harsh))
    if covers.thing:
        mouth = 0.94 + shape.mouth_height + 0.6 * 0.54 * shape.nose_length
        covers = replace(covers, thing=wear.thing(details[4], mouth))
    if covers.glasses:
        covers = replace(covers, lenses=wear.lenses(details[4]))
    if covered and (covers.hat or rng.random() < 0.12):
        covers = replace(covers, hat=wear.hat(details[4]))
    whiskers, beard = styles.whiskers(details[3], look.hair, look.age)
    look = replace(
        look,
        eyes=styles.eyes(details[6], look.age),
        surface=styles.surface(details[7], look.age, shape.frown),
        whiskers=whiskers,
        beard=beard if look.beard else 0.0,
        volume=volume,
        strands=strands,
        neck=styles.neck(details[0], look.age),
        brows=styles.brows(details[1], look.skin, look.hair, made_up),
    )
    return Scene(
        shape=shape,
        camera=camera,
        look=look,
        light=light,
        covers=covers,
        sensor=sensor.sample(rng.spawn(1)[0], blurred, harsh),
        attributes=tuple(int(f) for f in flags),
    ), 0.5 + offset
