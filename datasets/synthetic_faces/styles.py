"""The details of heads: small records of numbers, and how they are drawn by chance.

Every record's defaults are plain, so that a scene without chance stays exact. The distributions
were widened until photographs lay inside them to the eye; they are no census.
"""

from dataclasses import dataclass

import numpy as np


Colour = tuple[float, float, float]


def bright(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(20, 235, 3)


def cloth_colour(rng: np.random.Generator) -> Colour:
    """A colour of clothes: often black, white or grey, else any."""
    kind = rng.random()
    if kind < 0.25:
        found = rng.uniform(8, 50) + rng.normal(0, 4, 3)
    elif kind < 0.45:
        found = rng.uniform(190, 250) + rng.normal(0, 5, 3)
    elif kind < 0.6:
        found = rng.uniform(50, 190) + rng.normal(0, 12, 3)
    else:
        found = bright(rng)
    return tuple(np.clip(found, 0, 255).tolist())


@dataclass(frozen=True)
class Neck:
    """Neck and collar; lengths in head units."""

    width: float = 0.6  # half
    flare: float = 0.0  # how much wider at its base
    length: float = 0.0  # how much lower the shoulders lie
    slope: float = 1.0  # of the shoulders
    tone: float = 0.92  # of its skin, against the face's
    fade: float = 0.0  # how much darker its base is
    shadow: float = 0.45  # of the chin
    shadow_soft: float = 0.07
    shadow_drop: float = 0.22
    double: float = 0.0  # how far a double chin hangs out under the jaw
    crease: float = 0.3  # how dark the line between a double chin and the jaw is
    soft: float = 0.0  # over how far the jaw's edge melts into the neck
    collar: str = ""  # shirt, tie, turtle, scarf or open
    cloth: Colour = (120.0, 60.0, 60.0)  # of the collar
    pattern: float = 0.0  # strength of the cloth's pattern


def neck(rng: np.random.Generator, age: float) -> Neck:
    child = rng.random() < 0.1
    wide = rng.uniform(0.36, 0.55) if child else rng.uniform(0.48, 0.92)
    kinds, odds = ["", "shirt", "tie", "turtle", "scarf", "open"], [0.36, 0.2, 0.1, 0.1, 0.08, 0.16]
    collar = str(rng.choice(kinds, p=odds))
    heavy = rng.random() < 0.2 + 0.3 * age
    return Neck(
        width=float(wide),
        flare=float(rng.uniform(0, 0.5)),
        length=float(rng.normal(-0.1, 0.22) - 0.2 * heavy),
        slope=float(rng.uniform(0.5, 1.8)),
        tone=float(rng.uniform(0.7, 1.12)),
        fade=float(rng.uniform(0, 0.4)) if rng.random() < 0.5 else 0.0,
        shadow=float(rng.uniform(0, 0.35) if rng.random() < 0.5 else rng.uniform(0.35, 0.85)),
        shadow_soft=float(rng.uniform(0.01, 0.2)),
        shadow_drop=float(rng.uniform(0.02, 0.45)),
        double=float(rng.uniform(0.08, 0.3)) if heavy else 0.0,
        crease=float(rng.uniform(0.05, 0.5)),
        soft=float(rng.uniform(0.005, 0.06)) if rng.random() < 0.6 else 0.0,
        collar=collar,
        cloth=cloth_colour(rng),
        pattern=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.4 else 0.0,
    )


@dataclass(frozen=True)
class Brows:
    """How the brows' hair looks; where they lie is the shape's."""

    colour: Colour | None = None  # None: the hair's, darker
    strength: float = 0.92
    hairs: float = 0.5  # from a soft band (0) to single hairs (1)
    soft: float = 0.007  # of the band's edge, head units
    stray: float = 0.0  # how far hairs stand out of the band, in its heights
    inner: float = 1.0  # strength of the ends
    outer: float = 1.0
    patchy: float = 0.15


def brows(rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray, made_up: bool) -> Brows:
    kind = rng.random()
    if kind < 0.07:  # hardly any
        strength = rng.uniform(0.1, 0.35)
    elif kind < 0.3:  # faint
        strength = rng.uniform(0.35, 0.65)
    else:
        strength = rng.uniform(0.7, 1.0)
    tint = rng.random()
    dark = np.array([18.0, 20, 26])
    if tint < 0.55:
        colour = hair * rng.uniform(0.4, 0.85) + 0.1 * skin
    elif tint < 0.8:  # darker than the hair
        colour = 0.35 * hair + 0.15 * skin + rng.uniform(0, 0.6) * dark
    elif tint < 0.92:  # hardly darker than the skin
        colour = skin * rng.uniform(0.45, 0.75) * (0.92, 0.95, 1.0)
    else:  # fair or grey
        colour = 0.5 * skin + 0.5 * rng.uniform(120, 235)
    pencilled = made_up and rng.random() < 0.5
    return Brows(
        colour=tuple(np.clip(colour, 5, 250).tolist()),
        strength=float(strength),
        hairs=0.1 if pencilled else float(rng.uniform(0.05, 0.95)),
        soft=float(rng.uniform(0.004, 0.024)),
        stray=float(rng.uniform(0, 0.25) ** 2 * 4 if not pencilled else 0),
        inner=float(rng.uniform(0.35, 1.2)),
        outer=float(rng.uniform(0.25, 1.2)),
        patchy=float(rng.uniform(0, 0.35)),
    )


@dataclass(frozen=True)
class Strands:
    """How hair falls and looks; lengths in head units."""

    curl: float = 0.0  # from strands (0) to small curls (1)
    contrast: float = 0.14  # of the strands
    shine: float = 0.0
    band: float = 0.2  # where between crown and chin the shine lies, 0 to 1
    density: float = 1.0
    grey: float = 0.0  # share of grey hairs
    soft: float = 0.05  # width of the hairline
    ragged: float = 1.0  # how frayed it is
    temple: float = 0.0  # how much lower it is at the temples
    sideburn: float = 0.0  # how far it reaches down before the ears
    sweep: float = 0.0  # how far a fringe falls to one side
    mass: float = 0.0  # how far a mass of curls stands off the head
    stray: float = 0.0  # length of hairs that stand off
    end: float = 2.2  # height of hanging hair's end
    spread: float = 0.0  # how much wider hanging hair is there
    wave: float = 0.0
    waves: float = 1.5
    curtain: tuple[float | None, float | None] = (None, None)
    """Share of the face's half width that hair hides, left and right; below 0: beside the face."""


def strands(rng: np.random.Generator, style: str, age: float) -> tuple[Strands, float]:
    """How the hair of a style (short, long, tied, bald) falls, and its volume."""
    curl = float(rng.uniform(0.3, 1)) if rng.random() < 0.28 else 0.0
    afro = curl > 0 and rng.random() < 0.55
    sides: list[float | None] = [None, None]
    if style == "long":
        for side in (0, 1):
            if rng.random() < 0.75:
                kind = rng.random()
                sides[side] = float(rng.uniform(-0.2, 0.05) if kind < 0.5 else (
                    rng.uniform(0.05, 0.2) if kind < 0.85 else rng.uniform(0.2, 0.45)))  # fmt: skip
    mass = float(rng.uniform(0.03, 0.45)) if afro else 0.0
    volume = rng.uniform(0.02, 0.14) if style == "short" else rng.uniform(0.05, 0.22)
    return Strands(
        curl=curl,
        contrast=float(rng.uniform(0.03, 0.28)),
        shine=float(rng.uniform(0.1, 1.0)) if rng.random() < 0.5 else 0.0,
        band=float(rng.uniform(0.08, 0.3)),
        density=float(rng.uniform(0.3, 0.95)) if style == "short" and rng.random() < 0.2 else 1.0,
        grey=float(rng.uniform(0, 0.8) * (age > 0.45)) if rng.random() < 0.4 else 0.0,
        soft=0.03 if mass else float(rng.uniform(0.02, 0.25) ** 1.5 * 2 + 0.01),
        ragged=float(rng.uniform(0, 0.4 if mass else 1.1)),
        temple=float(rng.normal(0, 0.12)),
        sideburn=float(rng.uniform(0, 0.6)) if style == "short" and rng.random() < 0.5 else 0.0,
        sweep=float(rng.uniform(-1.2, 1.2)),
        mass=mass,
        stray=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.4 else 0.0,
        end=float(rng.uniform(1.1, 3.2)),
        spread=float(rng.normal(0, 0.2)),
        wave=float(rng.uniform(0, 0.1)) if rng.random() < 0.6 else 0.0,
        waves=float(rng.uniform(0.7, 3.5)),
        curtain=(sides[0], sides[1]),
    ), float(volume + mass)


@dataclass(frozen=True)
class Whiskers:
    """Where a beard grows and how it looks; lengths in head units."""

    full: float = 1.0  # strength on cheeks and jaw
    moustache: float = 0.0
    chin: float = 0.0
    chin_width: float = 0.4
    cheek: float = 0.0  # how much lower it begins on the cheeks
    handlebar: float = 0.0  # how far the moustache reaches beyond the mouth
    soft: float = 0.16
    hairs: float = 0.2
    patchy: float = 0.0
    contrast: float = 0.1
    length: float = 0.0  # how far it hangs below the jaw
    colour: Colour | None = None  # None: the hair's


def whiskers(rng: np.random.Generator, hair: np.ndarray, age: float) -> tuple[Whiskers, float]:
    """A beard's style and strength: stubble, moustache, goatee or full."""
    kind = rng.choice(["stubble", "moustache", "goatee", "full"], p=[0.32, 0.14, 0.16, 0.38])
    strength = rng.uniform(0.1, 0.45) if kind == "stubble" else rng.uniform(0.5, 1.0)
    grey = rng.uniform(0, 1) * (age > 0.45)
    colour = hair * rng.uniform(0.6, 1.1) * (1 - grey) + grey * rng.uniform(150, 235)
    whole = kind in ("stubble", "full")
    long = kind in ("goatee", "full") and rng.random() < 0.5
    return Whiskers(
        full=1.0 if whole else float(rng.uniform(0, 0.25)),
        moustache=1.0 if kind == "moustache" else float(rng.random() < 0.75),
        chin=1.0 if kind == "goatee" else float(whole),
        chin_width=float(rng.uniform(0.15, 0.5)),
        cheek=float(rng.uniform(-0.15, 0.3)),
        handlebar=float(rng.uniform(0, 0.25)) if rng.random() < 0.4 else 0.0,
        soft=float(rng.uniform(0.05, 0.4)),
        hairs=float(rng.uniform(0, 0.6)),
        patchy=float(rng.uniform(0, 0.5)) if rng.random() < 0.5 else 0.0,
        contrast=float(rng.uniform(0.05, 0.35)),
        length=float(rng.uniform(0.03, 0.6) ** 1.5) if long else 0.0,
        colour=tuple(np.clip(colour, 5, 245).tolist()),
    ), float(strength)


@dataclass(frozen=True)
class Lighting:
    """The effects of a light besides shining from one direction."""

    wrap: float = 0.15  # how far it reaches around: 0 is a point, more a window
    sky: float = 0.12  # how much lighter the surroundings are above than below
    shelter: float = 0.0  # how dark eye sockets and the nose's sides are
    cast: float = 0.0  # strength of shadows that the face casts on itself
    tight: float = 18.0  # exponent of the gloss
    gloss: float = 0.0  # white light that the skin mirrors
    second: float = 0.0  # strength of another lamp
    second_from: tuple[float, float, float] = (0.0, 0.0, 1.0)
    second_colour: Colour = (1.0, 1.0, 1.0)


def lighting(rng: np.random.Generator, harsh: bool) -> Lighting:
    second = rng.random() < (0.5 if harsh else 0.25)
    behind = rng.random() < 0.4
    place = np.array([rng.choice((-1, 1)) * rng.uniform(0.5, 1.2), rng.normal(-0.2, 0.5),
                      rng.uniform(-0.5, 0.1) if behind else rng.uniform(0, 0.6)])  # fmt: skip
    place /= np.linalg.norm(place)
    tint = np.clip(1 + rng.normal(0, 0.3 if harsh else 0.08, 3), 0.2, 1.8)
    return Lighting(
        wrap=float(rng.uniform(0, 0.2) if harsh else rng.uniform(0.02, 0.6)),
        sky=float(rng.normal(0.1, 0.12)),
        shelter=float(rng.uniform(0.0, 0.75)) if rng.random() < 0.7 else 0.0,
        cast=float(rng.uniform(0.2, 0.95)) if rng.random() < (0.7 if harsh else 0.3) else 0.0,
        tight=float(rng.uniform(6, 40)),
        gloss=float(rng.uniform(0.03, 0.3 if rng.random() < 0.75 else 0.7))
        if rng.random() < 0.5
        else 0.0,
        second=float(rng.uniform(0.1, 0.7)) if second else 0.0,
        second_from=tuple(place.tolist()),
        second_colour=tuple(tint.tolist()),
    )


@dataclass(frozen=True)
class Eyes:
    """How eyes look; where they lie is the shape's. Lengths in head units."""

    white: float = 1.0  # brightness
    red: float = 0.0
    iris: float = 0.072  # radius
    pupil: float = 0.036  # radius
    lid_shadow: float = 0.03  # on the ball
    catch: float = 1.0  # strength of the lamp's image
    catch_size: float = 0.014
    lash: float = 0.55
    lash_tone: float = 12.0
    low_lash: float = 0.4
    crease: float = 0.5
    crease_height: float = 0.05
    crease_width: float = 0.012
    hollow: float = 0.0  # shade of the upper lid
    hollow_tone: float = 0.6
    bag: float = 0.0


def eyes(rng: np.random.Generator, age: float) -> Eyes:
    flat = rng.random() < 0.2  # without a crease
    return Eyes(
        white=float(rng.uniform(0.4, 1.0)),
        red=float(rng.uniform(0, 1)) if rng.random() < 0.3 else 0.0,
        iris=float(rng.uniform(0.062, 0.088)),
        pupil=float(rng.uniform(0.02, 0.05)),
        lid_shadow=float(rng.uniform(0.01, 0.06)),
        catch=float(rng.uniform(0.3, 1)) if rng.random() < 0.8 else 0.0,
        catch_size=float(rng.uniform(0.007, 0.026)),
        lash=float(rng.uniform(0.15, 0.85)),
        lash_tone=float(rng.uniform(0, 50)),
        low_lash=float(rng.uniform(0.05, 0.65)),
        crease=0.0 if flat else float(rng.uniform(0.1, 0.8)),
        crease_height=float(rng.uniform(0.03, 0.1)),
        crease_width=float(rng.uniform(0.006, 0.022)),
        hollow=float(rng.uniform(0.1, 0.7)) if rng.random() < 0.5 else 0.0,
        hollow_tone=float(rng.uniform(0.45, 1.15)),
        bag=float(rng.uniform(0.1, 0.3 + 0.5 * age)) if rng.random() < 0.3 + 0.6 * age else 0.0,
    )


@dataclass(frozen=True)
class Surface:
    """The skin's texture and lines; factors of an average face's unless said otherwise."""

    red: float = 1.0
    socket: float = 1.0
    fold: float = 1.0
    pores: float = 1.0
    wing: float = 0.4  # strength of the line about the nose's wings
    nostril: float = 0.85
    under_lip: float = 0.4
    groove: float = 0.2  # under the nose
    wrinkles: float = 0.0  # strength
    mottle: float = 0.0  # strength of uneven colour
    moles: int = 0


def surface(rng: np.random.Generator, age: float, frown: float) -> Surface:
    smooth = rng.random() < 0.3 * (1 - age)
    lined = age > 0.35 or frown > 0.3 or rng.random() < 0.15
    return Surface(
        red=float(rng.uniform(-0.2, 2.4)),
        socket=float(rng.uniform(0, 1.8)),
        fold=float(rng.uniform(0, 0.5) if smooth else rng.uniform(0.3, 1.8)),
        pores=0.2 if smooth else float(rng.uniform(0.2, 1.8)),
        wing=float(rng.uniform(0.05, 0.7)),
        nostril=float(rng.uniform(0.25, 0.95)),
        under_lip=float(rng.uniform(0, 0.7)),
        groove=float(rng.uniform(0, 0.35)),
        wrinkles=float(rng.uniform(0.1, 0.25 + 0.55 * max(age, frown))) if lined else 0.0,
        mottle=0.0 if smooth else float(rng.uniform(0.2, 0.9) ** 2),
        moles=int(rng.integers(1, 6)) if rng.random() < 0.3 else 0,
    )
