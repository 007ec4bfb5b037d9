"""The dense named curves of a face, and where the points of each scheme lie on them.

Curves run from image left to image right (the bridge from top to tip), so in a mirrored face each
curve of one side is the partner of the other. If no scheme names an end of a lower curve, the upper
curve's end stands for it. The scheme "union" has every sample that some other scheme has.
"""

import numpy as np


CONTOUR_SAMPLES = 257  # divisible by the 32 steps of the 33-point contours
SAMPLES = 61  # divisible by 3, 4, 6 and 10
SIDES = (("l", -1.0), ("r", 1.0))

NAMES = (
    "lbrow_up", "lbrow_lo", "lbrow_mid", "rbrow_up", "rbrow_lo", "rbrow_mid",
    "bridge", "nose_base", "nose_side", "outlip_up", "outlip_lo", "inlip_up", "inlip_lo",
    "leye_up", "leye_lo", "leye_mid", "reye_up", "reye_lo", "reye_mid", "nose_rim",
)  # fmt: skip
DOTS = ("lpupil", "rpupil", "leye_centre", "reye_centre", "mouth_centre")

START = {"contour": 0} | {n: CONTOUR_SAMPLES + SAMPLES * i for i, n in enumerate(NAMES)}
START |= {n: CONTOUR_SAMPLES + SAMPLES * len(NAMES) + i for i, n in enumerate(DOTS)}
TOTAL = CONTOUR_SAMPLES + SAMPLES * len(NAMES) + len(DOTS)


def span(name: str) -> slice:
    """The samples of a curve in the dense array.

    Args:
        name: "contour", or one of NAMES or DOTS.

    Returns:
        A slice of the TOTAL samples.
    """
    if name == "contour":
        return slice(0, CONTOUR_SAMPLES)
    length = 1 if name in DOTS else SAMPLES
    return slice(START[name], START[name] + length)


def _at(name, *steps):
    """Samples of a curve at fractions of its length.

    _at("bridge", 0, 1, 3) gives those at 0/3 and 1/3.
    """
    *places, last = steps
    length = CONTOUR_SAMPLES if name == "contour" else SAMPLES
    found = [START[name] + (length - 1) * place / last for place in places]
    assert all(float(i).is_integer() for i in found), name
    return [int(i) for i in found]


def _even(name, count, skip=0, reverse=False):
    """`count` even steps along a curve without `skip` at both ends."""
    places = list(range(skip, count - skip))
    return _at(name, *(reversed(places) if reverse else places), count - 1)


def _read(name, *samples):
    """Samples of a curve by their numbers, 0 to SAMPLES - 1 (or CONTOUR_SAMPLES - 1)."""
    return [START[name] + sample for sample in samples]


def _brows_mouth():
    """Index lists that WFLW and LaPa share: brows, then outer and inner lips."""
    left, right = _read("lbrow_up", 4, 18, 32, 46, 60), _read("rbrow_up", 0, 14, 28, 42, 56)
    left += _read("lbrow_lo", 60, 46, 32, 18)
    right += _read("rbrow_lo", 42, 28, 14, 0)
    mouth = _read("outlip_up", 0, 12, 22, 30, 38, 48, 60)
    mouth += _read("outlip_lo", 50, 43, 30, 17, 10)
    mouth += _even("inlip_up", 5) + _even("inlip_lo", 5, 1, True)
    return left, right, mouth


def _ibug68():
    """300W's convention.

    It is measured on 686 frontal faces of its training annotations against 34 of WFLW's, in the
    frame of the eyes. The contour begins lower. The brows are marked along their upper edge to a
    farther outer end. The bridge ends above the nose's tip; the nose's base lies higher and is
    narrower. The corners of eyes and inner lips lie within those of the lids and lips; the inner
    lips' points are nearer to the middle.
    """
    eyes = [
        i
        for side in ("leye", "reye")
        for i in _read(f"{side}_mid", 3) + _read(f"{side}_up", 20, 40) + _read(f"{side}_mid", 57)
        + _read(f"{side}_lo", 40, 20)
    ]  # fmt: skip
    mouth = _read("outlip_up", 0, 12, 20, 30, 40, 48, 60) + _read("outlip_lo", 48, 40, 30, 20, 12)
    mouth += _read("inlip_up", 2, 21, 30, 39, 58) + _read("inlip_lo", 39, 30, 21)
    return (
        _read("contour", *range(8, 249, 15))
        + _read("lbrow_up", 0, 12, 28, 44, 60) + _read("rbrow_up", 0, 16, 32, 48, 60)
        + _read("bridge", 0, 18, 36, 54) + _even("nose_rim", 5) + eyes + mouth
    )  # fmt: skip


def _scheme_indices():
    lbrow, rbrow, mouth = _brows_mouth()
    brows, bridge = lbrow + rbrow, _read("bridge", 3, 22, 41, 60)
    eyes = {side: _even(f"{side}eye_up", 5) + _even(f"{side}eye_lo", 5, 1, True) for side in "lr"}
    dots = {name: [START[name]] for name in DOTS}
    pupils = dots["lpupil"] + dots["rpupil"]
    ends = {side: _at(f"{side}eye_up", 0, 1, 1) for side in "lr"}
    wings = _at("nose_side", 2, 8, 10)
    corners = _at("outlip_up", 0, 1, 1)
    tip, base, chin = _at("bridge", 1, 1), _at("nose_base", 1, 2), _at("contour", 1, 2)
    brow_ends = [lbrow[0], *_read("lbrow_mid", 60), *_read("rbrow_mid", 0), rbrow[4]]
    return {
        "ibug68": _ibug68(),
        "wflw98": _even("contour", 33) + brows + bridge + _even("nose_base", 5)
        + eyes["l"] + eyes["r"] + mouth + pupils,
        "cofw29": [brow_ends[0], brow_ends[3], brow_ends[1], brow_ends[2]]
        + [lbrow[2], lbrow[7], rbrow[2], rbrow[6]]
        + [ends["l"][0], ends["r"][1], ends["l"][1], ends["r"][0]]
        + _at("leye_up", 1, 2) + _at("leye_lo", 1, 2) + _at("reye_up", 1, 2)
        + _at("reye_lo", 1, 2) + pupils + wings + tip + base + corners
        + _at("outlip_up", 1, 2) + _at("inlip_up", 1, 2) + _at("inlip_lo", 1, 2)
        + _at("outlip_lo", 1, 2) + chin,
        "aflw19": [brow_ends[0], *_read("lbrow_mid", 32), brow_ends[1]]
        + [brow_ends[2], *_read("rbrow_mid", 28), brow_ends[3]]
        + [ends["l"][0], START["leye_centre"], ends["l"][1]]
        + [ends["r"][0], START["reye_centre"], ends["r"][1]]
        + [wings[0], *tip, wings[1]] + [corners[0], START["mouth_centre"], corners[1]] + chin,
        "lapa106": _even("contour", 33) + brows + bridge + _even("nose_side", 11)
        + eyes["l"] + dots["leye_centre"] + eyes["r"] + dots["reye_centre"] + mouth + pupils,
        "sensetime106": _even("contour", 33) + lbrow[:5] + rbrow[:5]
        + bridge + _at("nose_side", 3, 4, 5, 6, 7, 10)
        + _at("leye_up", 0, 1, 3, 4, 4) + _at("leye_lo", 3, 1, 4)
        + _at("reye_up", 0, 1, 3, 4, 4) + _at("reye_lo", 3, 1, 4)
        + lbrow[:4:-1] + rbrow[:4:-1]
        + _at("leye_up", 1, 2) + _at("leye_lo", 1, 2) + dots["leye_centre"]
        + _at("reye_up", 1, 2) + _at("reye_lo", 1, 2) + dots["reye_centre"]
        + _at("nose_side", 0, 10, 1, 9, 2, 8, 10) + mouth + pupils,
    }  # fmt: skip


INDICES = {name: np.array(found) for name, found in _scheme_indices().items()}
USED = np.unique(np.concatenate(list(INDICES.values())))  # dense samples that some scheme names
INDICES["union"] = USED


def used(name: str) -> tuple[int, ...]:
    """The samples of a curve that some scheme names, in order along the curve.

    Args:
        name: "contour", or one of NAMES or DOTS.

    Returns:
        Places in USED.
    """
    own = span(name)
    return tuple(np.flatnonzero((own.start <= USED) & (USED < own.stop)).tolist())


def mirrored() -> np.ndarray:
    """The sample that each used one lands on in a mirrored photo.

    Returns:
        (len(USED),) integers, places in USED.
    """
    lands = np.zeros(TOTAL, int)
    for name in ("contour", *NAMES, *DOTS):
        other = span({"l": "r", "r": "l"}.get(name[0], name[0]) + name[1:])
        samples = np.arange(other.start, other.stop)
        lands[span(name)] = samples if name == "bridge" else samples[::-1]
    places = np.searchsorted(USED, lands[USED]).clip(max=len(USED) - 1)
    lopsided = USED[USED[places] != lands[USED]]
    assert not len(lopsided), f"used samples without their mirror images: {lopsided}"
    return places
