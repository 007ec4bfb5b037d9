"""The parametric 3-D head: one closed surface, and the feature curves that lie on it.

Head frame: x to image right, y down, z towards a viewer of the frontal face; the unit is half the
width of an average face and the origin lies between the eyes, at the depth of the ears. Every
horizontal section is an oval whose widest points are the face's outline, so a feature is placed by
its frontal position (x, y) and `Head.lift` gives its depth. Proportions are rounded averages.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxalign.curves import CONTOUR_SAMPLES, DOTS, NAMES, SIDES, USED

from .curves import smooth, spline_basis


OUTLINE_SAMPLES = 193
EAR_Y = -0.1  # where the contour begins
OVAL = 2.8  # exponent of the front of a section: 2 is an ellipse, more is flatter
# Right half of the frontal outline from crown to chin; depth of the outline's own points; half
# depth of the section before and behind them, both divided by the sine of the polar angle.
KNOTS_XY = np.array(
    [(0, -1.6), (0.43, -1.53), (0.81, -1.25), (1.01, -0.8), (1.07, -0.4), (1.075, -0.05),
     (1.045, 0.3), (0.985, 0.65), (0.86, 0.98), (0.67, 1.25), (0.435, 1.46), (0.205, 1.57),
     (0, 1.6)]
)  # fmt: skip
KNOTS_Z = np.array([0, 0.08, 0.16, 0.22, 0.25, 0.25, 0.25, 0.28, 0.4, 0.63, 0.9, 1.1, 1.16])
KNOTS_FRONT = np.array([1.45, 1.47, 1.44, 1.23, 1.09, 1.01, 1.06, 1.19, 1.3, 1.5, 1.44, 1.0, 1.0])
KNOTS_BACK = np.array([2.15, 2.15, 2.14, 1.9, 1.68, 1.52, 1.4, 1.36, 1.0, 1.27, 2.0, 2.6, 2.6])
KNOTS_ANGLE = np.arctan2(KNOTS_XY[:, 0], -KNOTS_XY[:, 1])
KNOTS_RADIUS = np.hypot(*KNOTS_XY.T)
ANGLES = np.linspace(0, np.pi, OUTLINE_SAMPLES)
_BASIS = spline_basis(tuple(KNOTS_ANGLE), tuple(ANGLES), "flat")


@dataclass(frozen=True)
class HeadShape:
    """Identity and expression; zeros are the average neutral head. Pairs are (left, right)."""

    jaw: float = 0.0  # width at the jaw's corners, relative
    chin: float = 0.0  # width of the chin, relative
    cheek: float = 0.0
    length: float = 0.0  # of the lower face, relative
    flatness: float = 0.0  # depth of the face, relative
    eye_spacing: float = 0.0
    eye_width: float = 0.0
    eye_opening: float = 0.0
    eye_slant: float = 0.0
    brow_height: float = 0.0
    brow_weight: float = 0.0
    brow_arch: float = 0.0
    brow_width: float = 0.0
    brow_gap: float = 0.0  # between them
    nose_length: float = 0.0
    nose_width: float = 0.0
    nose_height: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    open: float = 0.0  # mouth, 0 to 1
    smile: float = 0.0  # -1 to 1
    pucker: float = 0.0  # 0 to 1
    skew: float = 0.0  # of the mouth to one side
    lids: tuple[float, float] = (0.0, 0.0)  # 1: closed; below 0: wide open
    brow_raise: tuple[float, float] = (0.0, 0.0)
    frown: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)


def _bell(x, width):
    return np.exp(-((x / width) ** 2))


class Head:
    """A head of a given shape: outline tables, feature curves and the lift to 3-D."""

    def __init__(self, shape: HeadShape = HeadShape()):
        self.shape = shape
        angle = KNOTS_ANGLE
        radius = KNOTS_RADIUS * (
            1
            + shape.cheek * _bell(angle - 1.6, 0.7)
            + shape.jaw * _bell(angle - 2.45, 0.35)
            + shape.chin * _bell(angle - 2.8, 0.2)
            + (shape.length + 0.14 * shape.open) * _bell(angle - np.pi, 0.75)
        )
        front = KNOTS_FRONT * (1 + shape.flatness)
        table = np.stack([radius, KNOTS_Z, front, KNOTS_BACK], 1)
        radius, self.edge_z, front, back = (_BASIS @ table).T
        self.edge_x = radius * np.sin(ANGLES)
        # A wide chin bulges below its own middle; np.interp needs heights that only rise.
        least = 1e-6 * np.arange(OUTLINE_SAMPLES)
        self.edge_y = np.maximum.accumulate(-radius * np.cos(ANGLES) - least) + least
        self.front, self.back = front * np.sin(ANGLES), back * np.sin(ANGLES)

    def section(self, y):
        """Half width, depth of the outline and half depth to the front at heights y."""
        return [np.interp(y, self.edge_y, t) for t in (self.edge_x, self.edge_z, self.front)]

    def lift(self, xy: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the surface's front at frontal positions (..., 2)."""
        x, y = xy[..., 0], xy[..., 1]
        width, edge, front = self.section(y)
        across = np.minimum(np.abs(x) / np.maximum(width, 1e-6), 1.0)
        depth = edge + front * (1 - across**OVAL) ** (1 / OVAL)
        return np.stack([x, y, depth + self.relief(x, y) * (1 - across**4)], -1)

    def relief(self, x, y):
        """Height of nose, lips, brows and cheeks over the plain oval."""
        s, side = self.shape, np.abs(x)
        tip, base = self.nose_tip, self.nose_base_y
        ridge = np.interp(
            y,
            [-0.35, -0.12, 0.1, 0.5 * tip, tip - 0.04, tip + 0.05, base - 0.01, base + 0.12],
            np.array([0.03, 0.09, 0.14, 0.23, 0.37, 0.36, 0.1, 0.0]) * (1 + s.nose_height),
        )
        wide = np.interp(y, [0, tip - 0.1, base], [0.12, 0.17, 0.2]) * (1 + s.nose_width)
        nose = ridge * np.exp(-(np.abs(x / wide) ** 2.2))
        wing = (side - 0.2 * (1 + s.nose_width)) / 0.085
        nose = nose + 0.07 * np.exp(-(wing**2) - ((y - tip - 0.0) / 0.11) ** 2)
        eye = _bell(side - self.eye_x, 0.27) * _bell(y, 0.16)
        ball = _bell(side - self.eye_x, 0.15) * _bell(y - 0.01, 0.09)
        brow = _bell(side - 0.42, 0.35) * _bell(y + 0.27, 0.12)
        cheek = _bell(side - 0.55, 0.25) * _bell(y - 0.42, 0.25)
        lip_width = 0.33 * (1 - 0.3 * s.pucker)
        upper = _bell(y - self.mouth_y + 0.045, 0.07)
        lower = _bell(y - self.mouth_y - 0.08 - self.drop, 0.08)
        lips = _bell(x, lip_width) * (upper + lower) * (0.07 + 0.08 * s.pucker)
        hollow = _bell(x, 0.27) * _bell(y - self.mouth_y - 0.5 * self.drop, 0.5 * self.drop + 0.02)
        chin = _bell(x, 0.3) * _bell(y - self.edge_y[-1] + 0.22, 0.15)
        return (
            nose
            - 0.14 * eye
            + 0.08 * ball
            + 0.045 * brow
            + (0.04 + 0.07 * max(s.smile, 0)) * cheek
            + lips
            - min(0.35, 0.8 * self.drop) * hollow
            + 0.06 * chin
        )

    @property
    def eye_x(self):
        return 0.445 * (1 + self.shape.eye_spacing)

    @property
    def nose_tip(self):
        return 0.54 * (1 + self.shape.nose_length)

    @property
    def nose_base_y(self):
        return self.nose_tip + 0.14

    @property
    def mouth_y(self):
        """Height of the closed mouth's line."""
        return 0.928 + 0.6 * (self.nose_tip - 0.54) + self.shape.mouth_height

    @property
    def drop(self):
        """How far the lower lip has come down."""
        return 0.38 * self.shape.open

    @cached_property
    def curves(self) -> dict[str, np.ndarray]:
        """Frontal positions (N, 2) of every dense named curve."""
        found = {"contour": self._contour()}
        for index, (side, sign) in enumerate(SIDES):
            found |= self._brow(side, sign, self.shape.brow_raise[index])
            found |= self._eye(side, sign, self.shape.lids[index])
        found |= self._nose() | self._mouth()
        assert set(found) == {"contour", *NAMES, *DOTS}
        return found

    def points(self, samples: np.ndarray) -> np.ndarray:
        """Samples of the curves in 3-D (len(samples), 3), numbered as in `curves.START`."""
        flat = np.concatenate([self.curves[name] for name in ("contour", *NAMES, *DOTS)])[samples]
        edge = samples < CONTOUR_SAMPLES
        points = np.empty((len(samples), 3))
        points[edge, :2] = flat[edge]
        points[edge, 2] = np.interp(flat[edge, 1], self.edge_y, self.edge_z)
        if not edge.all():
            points[~edge] = self.lift(flat[~edge])
        return points

    @cached_property
    def used(self) -> np.ndarray:
        """The samples that schemes name, in 3-D (len(curves.USED), 3)."""
        return self.points(USED)

    def _contour(self):
        keep = ANGLES > 1.2
        x, y = self.edge_x[keep], self.edge_y[keep]
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        places = np.linspace(np.interp(EAR_Y, y, length), length[-1], CONTOUR_SAMPLES // 2 + 1)
        y = np.interp(places, length, y)
        right = np.stack([np.interp(y, self.edge_y, self.edge_x), y], 1)
        return np.concatenate([right * (-1, 1), right[-2::-1]])

    def _sided(self, side, sign, curves):
        """Curves drawn from the inner to the outer end on the right, for the asked side."""
        if sign > 0:
            return {side + name: curve for name, curve in curves.items()}
        return {side + name: (curve * (-1, 1))[::-1] for name, curve in curves.items()}

    def _brow(self, side, sign, lift):
        s = self.shape
        x = np.array([0.18, 0.335, 0.49, 0.65, 0.82]) * (1 + 0.5 * s.eye_spacing)
        x += s.brow_width * (x - 0.3)
        x += np.array([1, 0.5, 0.15, 0, 0]) * (s.brow_gap - 0.03 * s.frown)
        arch = np.array([0, 0.6, 1, 0.9, 0])
        y = np.array([-0.178, -0.23, -0.256, -0.255, -0.178])
        y = y - s.brow_height - s.brow_arch * arch - lift * np.array([0.08, 0.12, 0.14, 0.13, 0.08])
        y = y + s.frown * np.array([0.08, 0.05, 0.01, -0.02, -0.02]) - s.eye_slant * (x - 0.45)
        half = np.array([0.045, 0.052, 0.051, 0.044, 0.0]) * (1 + s.brow_weight)
        up, low = (smooth(np.stack([x, y + sign * half], 1)) for sign in (-1, 1))
        middle = (up + low) / 2
        return self._sided(side, sign, {"brow_up": up, "brow_lo": low, "brow_mid": middle})

    def _eye(self, side, sign, closed):
        s = self.shape
        half = 0.195 * (1 + s.eye_width)
        along = np.linspace(-1, 1, 61)
        line = 0.008 - (0.012 + 0.4 * s.eye_slant * half) * along
        arc = (1 - along**2) ** 0.8
        top = arc * (1 - 0.12 * along) * (-0.075 - s.eye_opening)
        bottom = arc * (1 + 0.15 * along) * (0.058 + 0.3 * s.eye_opening)
        shut = arc * 0.04
        x = self.eye_x + half * along
        up = np.stack([x, line + top + closed * (shut - top)], 1)
        low = np.stack([x, line + bottom + max(closed, 0) * (shut - bottom)], 1)
        gaze = np.array([sign * s.gaze[0], s.gaze[1]])
        pupil = np.array([[self.eye_x, -0.006]]) + gaze
        centre = (up[30:31] + low[30:31]) / 2
        curves = {"eye_up": up, "eye_lo": low, "eye_mid": (up + low) / 2}
        curves |= {"pupil": pupil, "eye_centre": centre}
        return self._sided(side, sign, curves)

    def _nose(self):
        tip, base, wide = self.nose_tip, self.nose_base_y, 1 + self.shape.nose_width
        bridge = np.stack([np.zeros(61), np.linspace(-0.026, tip, 61)], 1)
        half = np.array([(0, base), (0.115, base - 0.03), (0.215, base - 0.065)]) * (wide, 1)
        side = [(0.26 * wide, tip - 0.02), (0.2 * wide, 0.62 * tip), (0.15, 0.02)]
        full = np.concatenate([half, side])
        line = smooth(np.concatenate([half[:0:-1] * (-1, 1), half]))
        return {
            "bridge": bridge,
            "nose_base": line,
            "nose_rim": line + 0.1 * (bridge[45] - line),
            "nose_side": smooth(np.concatenate([full[:0:-1] * (-1, 1), full])),
        }

    def _mouth(self):
        s, y = self.shape, self.mouth_y
        wide = (1 + s.mouth_width + 0.2 * s.smile) * (1 - 0.35 * s.pucker) * (1 - 0.1 * s.open)
        up, low = 1 + s.upper_lip + 0.5 * s.pucker, 1 + s.lower_lip + 0.5 * s.pucker
        up, low = (t * (1 - 0.25 * max(s.smile, 0)) for t in (up, low))
        drop, rise = self.drop, 0.05 * s.open + 0.02 * max(s.smile, 0)
        corner = 0.01 + 0.3 * drop - 0.1 * s.smile
        outer_x = np.array([0.375, 0.253, 0.1, 0]) * wide
        inner_x = np.array([0.345, 0.178, 0]) * wide
        share = np.array([0, 0.72, 0.95, 1])  # how much of the jaw's drop reaches each point
        curves = {
            "outlip_up": (outer_x, np.array([0, -0.06, -0.085, -0.07]) * up - rise * share),
            "outlip_lo": (outer_x, np.array([0, 0.08, 0.138, 0.154]) * low + drop * share),
            "inlip_up": (inner_x, np.array([0.0, -0.005, 0.0]) - rise * share[[0, 1, 3]]),
            "inlip_lo": (inner_x, np.array([0.0, 0.0, 0.006]) + drop * share[[0, 1, 3]]),
        }
        found = {}
        for name, (x, offset) in curves.items():
            pull = np.abs(x / outer_x[0]) ** 2
            half = np.stack([x + s.skew * 0.06, y + offset + corner * pull], 1)
            other = np.stack([-x + s.skew * 0.06, half[:, 1]], 1)
            found[name] = smooth(np.concatenate([other, half[-2::-1]]))
        centre = (found["inlip_up"][30:31] + found["inlip_lo"][30:31]) / 2
        return found | {"mouth_centre": centre}
