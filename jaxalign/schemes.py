"""Annotation schemes as data: flips, boundary curves, regions, eye corners and pupils.

Left and right are *image* sides (the viewer's left first). The fifteen curves and their order are
those of TAB (Wu et al., "Look at Boundary"; Xie et al., "Think about Boundary"). Every scheme has
all fifteen; a curve that its points cannot draw has fewer than two of them.
"""

from dataclasses import dataclass, field

import numpy as np

from jaxalign import curves


CURVES = (
    "contour", "lbrow_up", "lbrow_lo", "rbrow_up", "rbrow_lo", "bridge", "nose_base",
    "outlip_up", "outlip_lo", "inlip_up", "inlip_lo", "leye_up", "leye_lo", "reye_up", "reye_lo",
)  # fmt: skip
BOUNDARIES = "boundaries"  # name of a system's maps of the curves
# CURVES[CURVE_FLIP[i]] is the curve on which CURVES[i] lands in a mirrored photo.
CURVE_FLIP = (0, 3, 4, 1, 2, 5, 6, 7, 8, 9, 10, 13, 14, 11, 12)

REGIONS = {
    "contour": ("contour",),
    "brows": ("lbrow_up", "lbrow_lo", "rbrow_up", "rbrow_lo"),
    "eyes": ("leye_up", "leye_lo", "reye_up", "reye_lo"),
    "nose": ("bridge", "nose_base"),
    "mouth": ("outlip_up", "outlip_lo", "inlip_up", "inlip_lo"),
}
# The parts for a closer look: each eye goes with its brow, the contour is left out.
PARTS = {
    "left_eye": ("lbrow_up", "lbrow_lo", "leye_up", "leye_lo"),
    "right_eye": ("rbrow_up", "rbrow_lo", "reye_up", "reye_lo"),
    "nose": REGIONS["nose"],
    "mouth": REGIONS["mouth"],
}
# What a face's points are asked for by, beside the curves.
FEATURES = {
    "contour": REGIONS["contour"],
    "left_brow": ("lbrow_up", "lbrow_lo"),
    "right_brow": ("rbrow_up", "rbrow_lo"),
    "left_eye": ("leye_up", "leye_lo"),
    "right_eye": ("reye_up", "reye_lo"),
    "nose": REGIONS["nose"],
    "mouth": REGIONS["mouth"],
    "outer_lips": ("outlip_up", "outlip_lo"),
    "inner_lips": ("inlip_up", "inlip_lo"),
}


@dataclass(frozen=True)
class Scheme:
    """One way of placing K points on a face. All indices are 0-based.

    Attributes:
        name: Its key in SCHEMES.
        flip: The point whose mirrored position each point takes: new[i] = mirrored[flip[i]].
        curves: Each name of CURVES -> its points in drawing order.
        eye_corners: The two outer eye corners (image left, image right); empty if the scheme has no
            such convention.
        pupils: The points of each eye (image left, image right) that have its centre as their mean;
            empty if the scheme has no such convention.
        dots: Name -> point, for single points, above all those on no curve. A dot on no curve
            belongs to the nose, the brows, the mouth or the contour if its name says so, else to
            the eyes.
        framed: The points that span the landmark box, by which faces are cropped; empty means all.
        normaliser: The length that errors are divided by; "" leaves the choice to the benchmark.

    Example:
        >>> scheme = SCHEMES["wflw98"]
        >>> scheme.num_points, scheme.eye_corners, scheme.names[96]
        (98, (60, 72), 'lpupil')
    """

    name: str
    flip: tuple[int, ...]
    curves: dict[str, tuple[int, ...]] = field(hash=False)
    eye_corners: tuple[int, int] | tuple[()]
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | tuple[()]
    dots: dict[str, int] = field(hash=False)
    framed: tuple[int, ...] = ()
    normaliser: str = ""

    @property
    def num_points(self) -> int:
        """The number of points, K."""
        return len(self.flip)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each point, unique in the scheme: "lbrow_up_3", "lpupil".

        A point that is no dot has the name of the first curve that holds it, with its place there.
        """
        names = {}
        for curve, points in self.curves.items():
            for place, point in enumerate(points):
                names.setdefault(point, f"{curve}_{place}")
        names |= {point: name for name, point in self.dots.items()}
        return tuple(names[i] for i in range(self.num_points))

    @property
    def features(self) -> dict[str, tuple[int, ...]]:
        """Point indices of each of FEATURES and of CURVES that has any, in drawing order.

        That is along a curve, and around an eye, a brow or the lips.
        """
        found = {}
        for name, lines in (FEATURES | {curve: (curve,) for curve in CURVES}).items():
            points, ahead = [], ()
            for curve in lines:
                line = self.curves[curve]
                # On the way round, a lower curve leads back to where its upper one begins.
                same = line[:1] == ahead[:1] or line[-1:] == ahead[-1:]
                points += line[::-1] if same and curve.endswith("_lo") else line
                ahead = line
            if points:
                found[name] = tuple(dict.fromkeys(points))
        return found

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Point indices of each region, ascending."""
        return self._grouped(REGIONS, _region_of)

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Point indices of each of PARTS, ascending.

        But right_eye is in the order of left_eye's mirror images.
        """

        def of_dot(name):
            region = _region_of(name)
            left = name.startswith("l") or "left" in name
            return (
                region if region not in ("eyes", "brows") else f"{'left' if left else 'right'}_eye"
            )

        parts = self._grouped(PARTS, of_dot)
        return parts | {"right_eye": tuple(self.flip[i] for i in parts["left_eye"])}

    def _grouped(self, groups, of_dot):
        """Groups of curves -> their points, with the dots of no curve in the group `of_dot`."""
        found = {group: {i for name in names for i in self.curves[name]}
                 for group, names in groups.items()}  # fmt: skip
        on_curves = {i for curve in self.curves.values() for i in curve}
        for name, point in self.dots.items():
            if point not in on_curves and (group := of_dot(name)) in found:
                found[group].add(point)
        return {group: tuple(sorted(points)) for group, points in found.items()}


def _region_of(dot):
    words = {"nose": "nose", "brow": "brows", "mouth": "mouth", "lip": "mouth", "chin": "contour",
             "jaw": "contour", "cheek": "contour", "contour": "contour"}  # fmt: skip
    return next((region for word, region in words.items() if word in dot), "eyes")


def _scheme(name, flip, curves, eye_corners, pupils, dots=""):
    flip = tuple(int(i) for i in flip.split())
    named = (part.split("=") for part in curves.split())
    curves = {curve: tuple(int(i) for i in points.split(",")) for curve, points in named}
    assert tuple(curves) == CURVES, f"{name}: the curves must be the fifteen of CURVES, in order"
    dots = {dot: int(point) for dot, point in (part.split("=") for part in dots.split())}
    return Scheme(
        name=name, flip=flip, curves=curves, eye_corners=eye_corners, pupils=pupils, dots=dots
    )


_JAW33 = ",".join(str(i) for i in range(33))
_JAW17 = ",".join(str(i) for i in range(17))

# 300W, 300W-LP, AFLW2000-3D, COFW-68 (iBUG's 68 points). One line per brow, so the lower brow
# curves repeat the upper ones; the pupils are the means of the six points of each eye.
IBUG68 = _scheme(
    "ibug68",
    """16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 26 25 24 23 22 21 20 19 18 17 27 28 29 30 35 34
    33 32 31 45 44 43 42 47 46 39 38 37 36 41 40 54 53 52 51 50 49 48 59 58 57 56 55 64 63 62 61
    60 67 66 65""",
    f"""contour={_JAW17}
    lbrow_up=17,18,19,20,21 lbrow_lo=17,18,19,20,21 rbrow_up=22,23,24,25,26 rbrow_lo=22,23,24,25,26
    bridge=27,28,29,30 nose_base=31,32,33,34,35
    outlip_up=48,49,50,51,52,53,54 outlip_lo=54,55,56,57,58,59,48
    inlip_up=60,61,62,63,64 inlip_lo=64,65,66,67,60
    leye_up=36,37,38,39 leye_lo=39,40,41,36 reye_up=42,43,44,45 reye_lo=45,46,47,42""",
    (36, 45),
    (tuple(range(36, 42)), tuple(range(42, 48))),
)

WFLW98 = _scheme(
    "wflw98",
    """32 31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 46
    45 44 43 42 50 49 48 47 37 36 35 34 33 41 40 39 38 51 52 53 54 59 58 57 56 55 72 71 70 69 68 75
    74 73 64 63 62 61 60 67 66 65 82 81 80 79 78 77 76 87 86 85 84 83 92 91 90 89 88 95 94 93 97
    96""",
    f"""contour={_JAW33}
    lbrow_up=33,34,35,36,37 lbrow_lo=38,39,40,41,33 rbrow_up=42,43,44,45,46 rbrow_lo=46,47,48,49,50
    bridge=51,52,53,54 nose_base=55,56,57,58,59
    outlip_up=76,77,78,79,80,81,82 outlip_lo=82,83,84,85,86,87,76
    inlip_up=88,89,90,91,92 inlip_lo=92,93,94,95,88
    leye_up=60,61,62,63,64 leye_lo=64,65,66,67,60 reye_up=68,69,70,71,72 reye_lo=72,73,74,75,68""",
    (60, 72),
    ((96,), (97,)),
    "lpupil=96 rpupil=97",
)

# The contour is the chin alone and "bridge" is really tip to base (Burgos-Artizzu et al., 2013).
COFW29 = _scheme(
    "cofw29",
    """1 0 3 2 6 7 4 5 9 8 11 10 14 15 12 13 17 16 19 18 20 21 23 22 24 25 26 27 28""",
    """contour=28 lbrow_up=0,4,2 lbrow_lo=0,5,2 rbrow_up=1,6,3 rbrow_lo=1,7,3
    bridge=20,21 nose_base=18,21,19
    outlip_up=22,24,23 outlip_lo=22,27,23 inlip_up=22,25,23 inlip_lo=22,26,23
    leye_up=8,12,10 leye_lo=8,13,10 reye_up=9,14,11 reye_lo=9,15,11""",
    (8, 9),
    ((16,), (17,)),
    "lpupil=16 rpupil=17 lwing=18 rwing=19 nose_tip=20 chin=28",
)

# Three points per brow, eye and mouth, so upper and lower curves coincide. No inter-ocular
# convention: AFLW is normalised by the face box.
AFLW19 = _scheme(
    "aflw19",
    """5 4 3 2 1 0 11 10 9 8 7 6 14 13 12 17 16 15 18""",
    """contour=18 lbrow_up=0,1,2 lbrow_lo=0,1,2 rbrow_up=3,4,5 rbrow_lo=3,4,5
    bridge=13 nose_base=12,13,14
    outlip_up=15,16,17 outlip_lo=15,16,17 inlip_up=15,16,17 inlip_lo=15,16,17
    leye_up=6,7,8 leye_lo=6,7,8 reye_up=9,10,11 reye_lo=9,10,11""",
    (),
    (),
    "leye_centre=7 reye_centre=10 lwing=12 nose_tip=13 rwing=14 mouth_centre=16 chin=18",
)

# LaPa's order of JD's 106 points; 74 and 83 are eye centres, 104 and 105 pupils.
LAPA106 = _scheme(
    "lapa106",
    """32 31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 46
    45 44 43 42 50 49 48 47 37 36 35 34 33 41 40 39 38 51 52 53 54 65 64 63 62 61 60 59 58 57 56 55
    79 78 77 76 75 82 81 80 83 70 69 68 67 66 73 72 71 74 90 89 88 87 86 85 84 95 94 93 92 91 100 99
    98 97 96 103 102 101 105 104""",
    f"""contour={_JAW33}
    lbrow_up=33,34,35,36,37 lbrow_lo=33,41,40,39,38 rbrow_up=42,43,44,45,46 rbrow_lo=46,47,48,49,50
    bridge=51,52,53,54 nose_base=55,56,57,58,59,60,61,62,63,64,65
    outlip_up=84,85,86,87,88,89,90 outlip_lo=84,95,94,93,92,91,90
    inlip_up=96,97,98,99,100 inlip_lo=96,103,102,101,100
    leye_up=66,67,68,69,70 leye_lo=66,73,72,71,70 reye_up=75,76,77,78,79 reye_lo=75,82,81,80,79""",
    (66, 79),
    ((104,), (105,)),
    "leye_centre=74 reye_centre=83 lpupil=104 rpupil=105",
)

# The order of SenseTime's 106 points, as public models give them: LaPa's points by name, in another
# order. insightface's 2d106 is a third order, not this one.
SENSETIME106 = _scheme(
    "sensetime106",
    """32 31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 42
    41 40 39 38 37 36 35 34 33 43 44 45 46 51 50 49 48 47 61 60 59 58 63 62 55 54 53 52 57 56 71 70
    69 68 67 66 65 64 75 76 77 72 73 74 79 78 81 80 83 82 90 89 88 87 86 85 84 95 94 93 92 91 100
    99 98 97 96 103 102 101 105 104""",
    f"""contour={_JAW33}
    lbrow_up=33,34,35,36,37 lbrow_lo=33,64,65,66,67 rbrow_up=38,39,40,41,42 rbrow_lo=68,69,70,71,42
    bridge=43,44,45,46 nose_base=80,82,47,48,49,50,51,83,81
    outlip_up=84,85,86,87,88,89,90 outlip_lo=84,95,94,93,92,91,90
    inlip_up=96,97,98,99,100 inlip_lo=96,103,102,101,100
    leye_up=52,53,72,54,55 leye_lo=52,57,73,56,55 reye_up=58,59,75,60,61 reye_lo=58,63,76,62,61""",
    (52, 61),
    ((104,), (105,)),
    "leye_centre=74 reye_centre=77 lnose_top=78 rnose_top=79 lpupil=104 rpupil=105",
)


def _union():
    """The points of all the schemes above, in the order of the dense curves (curves.USED).

    Points on curves outside the fifteen are dots, numbered from the outer end of a brow and from
    the top of the nose's sides. The landmark box is that of 68 points.
    """
    lines = {name: curves.used(name) for name in ("contour", *curves.NAMES, *curves.DOTS)}
    dots = {name: lines[name][0] for name in curves.DOTS if lines[name]}
    for name in (name for name in curves.NAMES if name not in CURVES):
        line = lines[name]
        for place, point in enumerate(line):
            back = len(line) - 1 - place
            if name[0] in "lr":
                dots[f"{name}_{place if name[0] == 'l' else back}"] = point
            else:
                side = "l" if place < back else "r" if place > back else ""
                dots[f"{side}{name}_{min(place, back)}"] = point
    return Scheme(
        name="union",
        flip=tuple(curves.mirrored().tolist()),
        curves={name: _closed(name, lines) for name in CURVES},
        eye_corners=(lines["leye_up"][0], lines["reye_up"][-1]),
        pupils=((dots["lpupil"],), (dots["rpupil"],)),
        dots=dots,
        framed=tuple(np.searchsorted(curves.USED, curves.INDICES["ibug68"]).tolist()),
    )


def _closed(name, lines):
    """The points of a curve; a lower curve also takes the ends of its upper one that it shares."""
    line, own = lines[name], curves.span(name)
    if not name.endswith("_lo"):
        return line
    upper = lines[name.removesuffix("lo") + "up"]
    first, last = (sample in curves.USED for sample in (own.start, own.stop - 1))
    return (() if first else upper[:1]) + line + (() if last else upper[-1:])


UNION = _union()

SCHEMES = {
    scheme.name: scheme for scheme in (IBUG68, WFLW98, COFW29, AFLW19, LAPA106, SENSETIME106, UNION)
}
