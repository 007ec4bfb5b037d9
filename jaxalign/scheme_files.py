"""Custom annotation schemes: a small TOML file, and the same as JSON in checkpoints.

    points = ["left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"]
    flips = [["left_eye", "right_eye"], ["mouth_left", "mouth_right"]]
    eye_corners = ["left_eye", "right_eye"]
    pupils = ["left_eye", "right_eye"]
    normaliser = "inter_ocular"
    [curves]
    outlip_up = ["mouth_left", "mouth_right"]

`points` are names in the order of the annotations, or their number. With a number, points are
called by their numbers from 0; numbers may stand for names everywhere. A point in no pair of
`flips` lies on the face's middle line. All other keys are optional: `name` (default: the file's),
`eye_corners` and `pupils` (the viewer's left first; a pupil may be the mean of several points),
`normaliser` of errors, `framed` (the points that span the box that faces are cropped by) and
`curves` (names of schemes.CURVES).
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign import texts
from jaxalign.errors import InputError
from jaxalign.schemes import CURVE_FLIP, CURVES, SCHEMES, Scheme


SHIPPED = frozenset(SCHEMES)  # the schemes that come with the package
# The keys of a scheme file, and the lengths that its `normaliser` may name.
KEYS = ("name", "points", "flips", "eye_corners", "pupils", "normaliser", "framed", "curves")
NORMALISERS = ("inter_ocular", "inter_pupil", "box", "diagonal")
ENDING = ".toml"  # ending of a scheme file's name
FILES: dict[str, Path] = {}  # scheme -> the file that it was read from


def own() -> list[str]:
    """The schemes that do not come with the package.

    Returns:
        Their names.
    """
    return [name for name in SCHEMES if name not in SHIPPED]


def registered(path: Path | str) -> str:
    r"""Reads the scheme of a TOML file and adds it to SCHEMES.

    Args:
        path: The file; its keys are described above.

    Returns:
        The scheme's name.

    Raises:
        InputError: When the file is missing or wrong, or another scheme has the name.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "pair.toml"
        >>> _ = file.write_text("points = 2\nflips = [[0, 1]]")
        >>> registered(file)
        'pair'
    """
    path = Path(path)
    try:
        held = tomllib.loads(texts.read(path, "give a TOML file of a scheme"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({error}); mend the file") from None
    try:
        scheme = made({"name": path.stem} | held)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    name = register(scheme, str(path))
    FILES[name] = path
    return name


def register(scheme: Scheme, where: str) -> str:
    """Adds a scheme to SCHEMES.

    Args:
        scheme: The scheme; adding the same one again is fine.
        where: Where it comes from, for the error.

    Returns:
        The scheme's name.

    Raises:
        InputError: When another scheme has the name.
    """
    if stored(SCHEMES.setdefault(scheme.name, scheme)) != stored(scheme):
        whose = "of the package" if scheme.name in SHIPPED else "read before"
        raise InputError(
            f"{where}: its scheme {scheme.name} is not the one of that name {whose}; give it "
            "another name"
        )
    return scheme.name


def beside(root: Path | None, name: str) -> str:
    """The scheme that a name stands for among the photos of a folder.

    A scheme file of the folder that the name means is added to SCHEMES, also where a scheme of that
    name is known: it must be the same.

    Args:
        root: The folder of the photos, or None.
        name: A name in SCHEMES, or of a TOML file in the folder; "" stands for its only TOML file.

    Returns:
        The scheme's name; the given one if nothing fits it.

    Raises:
        InputError: When the file is wrong, or another scheme has its name.
    """
    name = name.removesuffix(ENDING)
    if root is None or not Path(root).is_dir():
        return name
    files = sorted(Path(root).glob(f"*{ENDING}"))
    files = [path for path in files if name in ("", path.stem)]
    return registered(files[0]) if len(files) == 1 else name


def stored(scheme: Scheme) -> dict[str, Any]:
    """A scheme as JSON types; `made` is the inverse.

    Args:
        scheme: The scheme.

    Returns:
        A value for each of KEYS, with points by name.
    """
    names, pairs = scheme.names, enumerate(scheme.flip)
    return {
        "name": scheme.name,
        "points": list(names),
        "flips": [[names[i], names[j]] for i, j in pairs if i < j],
        "eye_corners": [names[i] for i in scheme.eye_corners],
        "pupils": [[names[i] for i in points] for points in scheme.pupils],
        "normaliser": scheme.normaliser,
        "framed": [names[i] for i in scheme.framed],
        "curves": {key: [names[i] for i in points] for key, points in scheme.curves.items()},
    }


def made(held: Mapping[str, Any]) -> Scheme:
    """The scheme that the contents of a scheme file describe.

    Args:
        held: Key -> value, the keys among KEYS; `name` is required.

    Returns:
        The scheme, not yet in SCHEMES.

    Raises:
        ValueError: When a key or value is wrong; the message names it.
    """
    if unknown := [key for key in held if key not in KEYS]:
        raise ValueError(f"unknown key {unknown[0]!r}; a scheme has: {', '.join(KEYS)}")
    name = held.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name {name!r}: give it one of letters, digits and _")
    points = held.get("points")
    if isinstance(points, int) and not isinstance(points, bool) and points > 1:
        points = [str(number) for number in range(points)]
    if not isinstance(points, list) or len(points) < 2 or not all(map(_is_name, points)):
        raise ValueError("points must be a list of at least two names, or their number")
    if twice := texts.repeated([point.strip().lower() for point in points]):
        raise ValueError(f"points: the name {twice!r} comes twice")
    places = {point: place for place, point in enumerate(points)}

    def indices(value, key):
        if not isinstance(value, list):
            raise ValueError(f"{key} must be a list of points")
        return tuple(index(one, key) for one in value)

    def index(one, key):
        if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(points):
            return one
        if not isinstance(one, str) or one not in places:
            raise ValueError(f"{key}: {one!r} is none of the points")
        return places[one]

    flip, paired = list(range(len(points))), set()
    if not isinstance(held.get("flips"), list):
        raise ValueError('flips must list the pairs of mirrored points, [["left", "right"], ...]')
    for pair in held["flips"]:
        one = indices(pair, "flips")
        if len(set(one)) != 2 or paired & set(one):
            raise ValueError(f"flips: {pair} is no pair of two points that are in no other")
        paired |= set(one)
        flip[one[0]], flip[one[1]] = one[1], one[0]
    corners = indices(held.get("eye_corners", []), "eye_corners")
    if corners and (len(corners) != 2 or flip[corners[0]] != corners[1]):
        raise ValueError("eye_corners must be two points that are a pair of flips")
    pupils = held.get("pupils", [])
    if not isinstance(pupils, list):
        raise ValueError("pupils must be a list of points, or of lists of points")
    pupils = tuple(indices(p if isinstance(p, list) else [p], "pupils") for p in pupils)
    if pupils and (len(pupils) != 2 or {flip[i] for i in pupils[0]} != set(pupils[1])):
        raise ValueError("pupils must be two points, or two lists of points, that flips pairs")
    curves = held.get("curves", {})
    if not isinstance(curves, dict) or not curves.keys() <= set(CURVES):
        raise ValueError(f"curves may be called: {', '.join(CURVES)}")
    curves = {key: indices(curves.get(key, []), f"curves.{key}") for key in CURVES}
    for key, other in zip(CURVES, CURVE_FLIP, strict=True):
        if {flip[i] for i in curves[key]} != set(curves[CURVES[other]]):
            raise ValueError(f"curves: {CURVES[other]} must have the mirrored points of {key}")
    normaliser = held.get("normaliser", "")
    needs = {"inter_ocular": corners, "inter_pupil": pupils}
    if normaliser not in ("", *NORMALISERS) or not needs.get(normaliser, True):
        able = ", ".join(one for one in NORMALISERS if needs.get(one, True))
        raise ValueError(f"normaliser {normaliser!r}: with these points it is one of {able}")
    return Scheme(
        name=name,
        flip=tuple(flip),
        curves=curves,
        eye_corners=corners,  # pyright: ignore[reportArgumentType]  # none or two
        pupils=pupils,  # pyright: ignore[reportArgumentType]
        dots=places,
        framed=indices(held.get("framed", []), "framed"),
        normaliser=normaliser,
    )


def _is_name(value):
    return isinstance(value, str) and bool(value.strip())
