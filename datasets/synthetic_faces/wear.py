"""What is worn or held before a face: small records of numbers, drawn by chance."""

from dataclasses import dataclass

import numpy as np

from .styles import Colour, cloth_colour


@dataclass(frozen=True)
class Lenses:
    """The shape and the glass of glasses; lengths in head units."""

    width: float = 0.31  # half
    height: float = 0.24  # half
    drop: float = 0.03  # how far down the nose they sit
    droop: float = 0.0  # how much lower the outer halves hang, as an aviator's
    tilt: float = 0.0  # of the whole, to one side
    thick: float = 0.045
    half: bool = False  # a frame above the lenses only
    browline: float = 0.0  # how much thicker the frame is above
    glint: float = 0.0  # of light on the frame
    tint: float = 0.0  # opacity of clear lenses
    opacity: float = 1.0  # of sunglasses
    gradient: float = 0.0  # how much clearer the lenses are below
    colour: Colour | None = None  # of the glass; None: the frame's
    mirror: float = 0.0  # strength of what mirrors in them
    mirror_at: tuple[float, float] = (0.0, 0.4)  # middle and half width, in lenses
    shadow: float = 0.0  # of the frame on the face


def lenses(rng: np.random.Generator) -> Lenses:
    thin = rng.random() < 0.45
    mirrored = rng.random() < 0.35
    return Lenses(
        width=float(rng.uniform(0.25, 0.37)),
        height=float(rng.uniform(0.15, 0.31)),
        drop=float(rng.uniform(-0.02, 0.12) if rng.random() < 0.8 else rng.uniform(0.12, 0.35)),
        droop=float(rng.uniform(-0.1, 0.35)) if rng.random() < 0.5 else 0.0,
        tilt=float(rng.normal(0, 0.02)),
        thick=float(rng.uniform(0.006, 0.02) if thin else rng.uniform(0.02, 0.075)),
        half=bool(rng.random() < 0.2),
        browline=float(rng.uniform(0.2, 1)) if rng.random() < 0.2 else 0.0,
        glint=float(rng.uniform(0.2, 1)) if rng.random() < 0.4 else 0.0,
        tint=float(rng.uniform(0.03, 0.35)) if rng.random() < 0.3 else 0.0,
        opacity=float(rng.uniform(0.55, 1.0)),
        gradient=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.4 else 0.0,
        colour=tuple(rng.uniform(0, 255, 3).tolist()) if rng.random() < 0.5 else None,
        mirror=float(rng.uniform(0.1, 0.85)) if mirrored else 0.0,
        mirror_at=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.15, 0.6))),
        shadow=float(rng.uniform(0.05, 0.5)) if rng.random() < 0.6 else 0.0,
    )


@dataclass(frozen=True)
class Hat:
    """Something worn on the head; lengths in head units."""

    kind: str = "cap"  # cap, beanie, brim, helmet, hood, scarf or band
    low: float = -0.7  # height of its edge at the front
    tilt: float = 0.0
    thick: float = 0.05
    height: float = 0.15  # of its crown above the skull; of a band itself
    brim: float = 0.0  # length, 0 for none
    fall: float = 0.1  # how far the brim comes down on its length
    drape: float = 0.3  # how a scarf widens below
    colour: Colour = (120.0, 60.0, 40.0)
    second: Colour = (40.0, 40.0, 40.0)
    two_tone: bool = False
    pattern: float = 0.0
    weave: float = 0.03
    hem: float = 0.0
    shadow: float = 0.0  # on the forehead
    shadow_reach: float = 0.2

    @property
    def wraps(self) -> bool:
        """Whether it covers ears and hair."""
        return self.kind in ("scarf", "hood", "helmet")


def hat(rng: np.random.Generator) -> Hat:
    kinds = ["cap", "beanie", "brim", "helmet", "hood", "scarf", "band"]
    kind = str(rng.choice(kinds, p=[0.32, 0.16, 0.14, 0.06, 0.1, 0.12, 0.1]))
    cloth = kind in ("hood", "scarf")
    low = {"band": rng.uniform(-1.15, -0.7), "helmet": rng.uniform(-0.9, -0.45)}.get(
        kind, rng.uniform(-1.1, -0.55) if cloth else rng.uniform(-0.95, -0.28)
    )
    brim = 0.0
    if kind == "cap" and rng.random() < 0.8:  # else worn back to front
        brim = rng.uniform(0.3, 0.8)
    elif kind == "brim":
        brim = rng.uniform(0.25, 1.0)
    return Hat(
        kind=kind,
        low=float(low),
        tilt=float(rng.normal(0, 0.08)),
        thick=float(rng.uniform(0.02, 0.12)),
        height=float(rng.uniform(0.1, 0.3) if kind == "band" else rng.uniform(0.02, 0.4)),
        brim=float(brim),
        fall=float(rng.uniform(-0.15, 0.35)),
        drape=float(rng.uniform(0, 0.9)),
        colour=cloth_colour(rng),
        second=cloth_colour(rng),
        two_tone=bool(rng.random() < 0.3),
        pattern=float(rng.uniform(0.1, 1)) if rng.random() < 0.25 else 0.0,
        weave=float(rng.uniform(0, 0.12)),
        hem=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.5 else 0.0,
        shadow=float(rng.uniform(0.1, 0.75)) if rng.random() < 0.7 else 0.0,
        shadow_reach=float(rng.uniform(0.1, 0.4 + 0.8 * brim)),
    )


@dataclass(frozen=True)
class Thing:
    """Something held before the face, at (x, y) in head units; covers.THINGS has its shapes."""

    kind: str
    x: float
    y: float
    angle: float = 0.0
    size: float = 1.0
    colour: Colour = (40.0, 40.0, 40.0)
    second: Colour = (90.0, 90.0, 90.0)


def thing(rng: np.random.Generator, mouth: float) -> Thing:
    """`mouth` is the height of the mouth."""
    kinds = ["microphone", "phone", "cigarette", "cup", "food", "finger", "fist"]
    kind = str(rng.choice(kinds, p=[0.22, 0.13, 0.13, 0.1, 0.12, 0.1, 0.2]))
    side = rng.choice((-1, 1))
    x, y, angle = rng.normal(0, 0.15), mouth + rng.uniform(-0.05, 0.35), rng.normal(0, 25)
    if kind == "phone":
        x, y, angle = (
            side * rng.uniform(0.75, 1.05),
            rng.uniform(0.1, 0.7),
            -side * rng.normal(8, 12),
        )
    elif kind == "cigarette":
        x, y, angle = side * 0.15, mouth + 0.02, side * rng.uniform(-90, 20)
    elif kind == "fist":
        x, y, angle = (
            side * rng.uniform(0, 0.75),
            rng.uniform(0.9, 1.6),
            side * rng.uniform(-20, 40),
        )
    white = kind == "cigarette" or (kind == "cup" and rng.random() < 0.5)
    dark = kind in ("microphone", "phone") and rng.random() < 0.8
    colour = cloth_colour(rng) if not (white or dark) else (
        tuple(rng.uniform(200, 250, 3).tolist()) if white else (30.0, 30.0, 32.0))  # fmt: skip
    return Thing(kind, float(x), float(y), float(angle), float(rng.uniform(0.8, 1.2)), colour,
                 cloth_colour(rng))  # fmt: skip
