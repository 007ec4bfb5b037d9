"""Conversion between annotation schemes: which points are the same, which can be estimated.

Each target point is *exact* (both schemes mark that place on the face), *interpolated* (a weighted
mean of source points) or *impossible* (no source points tell it). "Exact" speaks of the
definitions; two annotators of one photo still differ by some percent of the eye distance.

`union` has all points of the other schemes, so it converts to each of them exactly.

A table has one word per target point: "33" is point 33; "34+41" the middle between two, "2*61+62" a
third of the way from 61 to 62; "?" is impossible; "51-59" and "0-32/2" stand for several words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jaxalign.curves import INDICES, USED
from jaxalign.errors import InputError
from jaxalign.schemes import SCHEMES


@dataclass(frozen=True)
class Converter:
    """Makes the points of one scheme from the points of another.

    Attributes:
        source: Name of the scheme of the K given points.
        target: Name of the scheme of the K' points made.
        terms: The (source point, weight) pairs of each target point. Weights add up to 1; a point
            without pairs is impossible.
    """

    source: str
    target: str
    terms: tuple[tuple[tuple[int, float], ...], ...] = field(repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each target point: "exact", "interpolated" or "impossible"."""
        return tuple(("impossible", "exact", "interpolated")[min(len(t), 2)] for t in self.terms)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values of the target's points; NaN if impossible, or if a NaN is needed for them.

        Args:
            values: (..., K, D) floating, D values for each point.

        Returns:
            (..., K', D), the type of `values`.
        """
        index, weights = self._gathered
        return (values[..., index, :] * weights.astype(values.dtype)).sum(-2)

    def predicted(self, points: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predicted points and scores of the target.

        Args:
            points: (..., K, 2), any frame.
            scores: (..., K).

        Returns:
            Points (..., K', 2), the same frame, and scores (..., K').
        """
        return self(points), self(scores[..., None])[..., 0]

    @cached_property
    def _gathered(self):
        """Source points (K', T) and weights (K', T, 1).

        A point of fewer than T terms repeats its first one with weight 0.
        """
        most = max(map(len, self.terms))
        padded = [[*t, *[(t[0][0], 0.0)] * (most - len(t))] if t else [(0, np.nan)] * most
                  for t in self.terms]  # fmt: skip
        pairs = np.array(padded)
        return pairs[..., 0].astype(int), pairs[..., 1:]


_BROWS = "33 34+41 35+40 36+39 37+38 42+50 43+49 44+48 45+47 46"
_LIDS98 = "60 2*61+62 62+2*63 64 2*65+66 66+2*67 68 2*69+70 70+2*71 72 2*73+74 74+2*75"
_LIDS106 = "66 2*67+68 68+2*69 70 2*71+72 72+2*73 75 2*76+77 77+2*78 79 2*80+81 81+2*82"
_LIDS68 = "36 36+3*37 37+38 3*38+39 39 39+3*40 40+41 3*41+36"
_LIDS68 += " 42 42+3*43 43+44 3*44+45 45 45+3*46 46+47 3*47+42"
_JAW33 = " ".join(f"{i} {i}+{i + 1}" for i in range(16)) + " 16"
_EYES68 = ("36+37+38+39+40+41", "42+43+44+45+46+47")
_EYES98 = ("60+61+62+63+64+65+66+67", "68+69+70+71+72+73+74+75")

# 98 -> 68 as H. Jin, S. Liao, L. Shao: Pixel-in-Pixel Net (IJCV 2021) prepare it: the brow line
# runs between WFLW's two; 68 points have two on each lid, WFLW has three. AFLW and COFW mark the
# wings of the nose; 68 and 98 points do not.
_TABLES = {
    ("wflw98", "ibug68"): f"0-32/2 {_BROWS} 51-59 {_LIDS98} 76-95",
    ("wflw98", "cofw29"): """33 46 37+38 42+50 35 40 44 48 60 72 64 68 62 66 70 74 96 97 ? ? 54 57
        76 82 79 90 94 85 16""",
    ("wflw98", "aflw19"): f"""33 35+40 37+38 42+50 44+48 46 60 {_EYES98[0]} 64 68 {_EYES98[1]} 72
        ? 54 ? 76 90+94 82 16""",
    ("lapa106", "ibug68"): f"0-32/2 {_BROWS} 51-54 58-62 {_LIDS106} 84-103",
    ("lapa106", "wflw98"): "0-54 58-62 66-73 75-82 84-105",
    ("lapa106", "cofw29"): """33 46 37+38 42+50 35 40 44 48 66 79 70 75 68 72 77 81 104 105 57 63
        54 60 84 90 87 98 102 93 16""",
    ("lapa106", "aflw19"): """33 35+40 37+38 42+50 44+48 46 66 74 70 75 83 79 57 54 63 84 98+102
        90 16""",
    ("lapa106", "sensetime106"): """0-32 33-37 42-46 51-54 58-62 66 67 69 70 71 73 75 76 78 79 80 82
        41 40 39 38 50 49 48 47 68 72 74 77 81 83 55 65 56 64 57 63 84-105""",
    ("ibug68", "wflw98"): f"""{_JAW33} 17 ? ? ? ? ? ? ? ? ? ? ? ? 26 ? ? ? ? 27-35 {_LIDS68} 48-67
        {_EYES68[0]} {_EYES68[1]}""",
    ("ibug68", "cofw29"): f"""17 26 21 22 ? ? ? ? 36 45 39 42 37+38 40+41 43+44 46+47
        {_EYES68[0]} {_EYES68[1]} ? ? 30 33 48 54 51 62 66 57 8""",
    ("ibug68", "aflw19"): f"""17 19 21 22 24 26 36 {_EYES68[0]} 39 42 {_EYES68[1]} 45 ? 30 ? 48
        62+66 54 8""",
    ("cofw29", "aflw19"): "0 4+5 2 3 6+7 1 8 8+10+12+13 10 11 9+11+14+15 9 18 20 19 22 25+26 23 28",
}


def _terms(word: str) -> Iterator[tuple[tuple[int, float], ...]]:
    """The terms of each target point that one word of a table stands for."""
    if word == "?":
        yield ()
    elif "-" in word:
        span, _, step = word.partition("/")
        first, last = (int(i) for i in span.split("-"))
        yield from (((i, 1.0),) for i in range(first, last + 1, int(step or 1)))
    else:
        parts = [part.rpartition("*")[::2] for part in word.split("+")]
        total = sum(float(weight or 1) for weight, _ in parts)
        yield tuple((int(point), float(weight or 1) / total) for weight, point in parts)


def _converters():
    found = {}
    for (source, target), table in _TABLES.items():
        terms = tuple(term for word in table.split() for term in _terms(word))
        found[source, target] = Converter(source, target, terms)
    for name, scheme in SCHEMES.items():
        same = tuple(((i, 1.0),) for i in range(scheme.num_points))
        found[name, name] = Converter(name, name, same)
    order = [term[0][0] for term in found["lapa106", "sensetime106"].terms]
    place = {point: i for i, point in enumerate(order)}
    for (source, target), converter in list(found.items()):
        if source == "lapa106" and target != "sensetime106":
            terms = tuple(tuple((place[i], w) for i, w in term) for term in converter.terms)
            found["sensetime106", target] = Converter("sensetime106", target, terms)
    for target, samples in INDICES.items():
        terms = tuple(((i, 1.0),) for i in np.searchsorted(USED, samples).tolist())
        found["union", target] = Converter("union", target, terms)
    return found


CONVERTERS: dict[tuple[str, str], Converter] = _converters()


def given(source: str) -> tuple[str, ...]:
    """The schemes that can be made in full from the points of a scheme.

    Args:
        source: Name of a scheme.

    Returns:
        Names of schemes, `source` first.
    """
    whole = (target for (start, target), converter in CONVERTERS.items()
             if start == source != target and "impossible" not in converter.kinds)  # fmt: skip
    return (source, *whole)


def checked_target(source: str, asked: str) -> str:
    """The scheme asked for, if it can be made in full.

    Args:
        source: Name of the scheme that is predicted.
        asked: Name of the scheme asked for.

    Returns:
        `asked`.

    Raises:
        InputError: When it cannot be made; the message lists the schemes that can.
    """
    if asked not in given(source):
        raise InputError(
            f"scheme {asked!r}: the checkpoint predicts {source} points, which give: "
            f"{', '.join(given(source))}"
        )
    return asked


def convert(points: np.ndarray, source: str, target: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Converts points from one scheme to another.

    Args:
        points: (..., K, 2) of `source`, any frame.
        source: Name of their scheme.
        target: Name of the scheme wanted.

    Returns:
        Points (..., K', 2) of `target`, in the same frame and floating type, and the kind of each,
            "exact", "interpolated" or "impossible". Impossible points are NaN, and so are points
            that need a NaN.

    Raises:
        InputError: When no such conversion is known, or the points are not those of `source`.

    Example:
        >>> points, kinds = convert(np.zeros((98, 2)), "wflw98", "ibug68")
        >>> points.shape, kinds[17], kinds[18]
        ((68, 2), 'exact', 'interpolated')
    """
    if (source, target) not in CONVERTERS:
        known = ", ".join(f"{a} to {b}" for a, b in CONVERTERS if a != b)
        raise InputError(f"no conversion from {source} to {target}; there are: {known}")
    points = np.asarray(points)
    if not np.issubdtype(points.dtype, np.floating):
        points = points.astype(np.float64)
    wanted = (SCHEMES[source].num_points, 2)
    if points.shape[-2:] != wanted:
        raise InputError(f"points of shape {points.shape}; {source} has (..., {wanted[0]}, 2)")
    converter = CONVERTERS[source, target]
    return converter(points), converter.kinds
