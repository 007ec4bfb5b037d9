"""A brush that paints in frontal head coordinates on the head's texture."""

import math

import cv2
import numpy as np

from .head import Head
from .polygons import fixed
from .surface import SHIFT, Grid


DARK = np.array([18.0, 14, 16])


def ribbon(line: np.ndarray, half_width) -> np.ndarray:
    """The outline of a band along a line (N, 2); `half_width` is a number or (N,)."""
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    length = np.maximum(np.sqrt(along[:, 0] ** 2 + along[:, 1] ** 2), 1e-9)
    across = along[:, ::-1] * (-1, 1) * (half_width / length)[:, None]
    return np.concatenate([line + across, (line - across)[::-1]])


TURNS = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.stack([np.cos(TURNS), np.sin(TURNS)], 1)


def disc(x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
    return CIRCLE * (rx, ry or rx) + (x, y)


def coverage(shape, points: np.ndarray, blur: float, pad: int):
    """A polygon's region of an image, grown by `pad`, and its coverage there, 0 to 1, (h, w, 1).

    `points` (N, 2) are fixed-point pixels, `blur` is a standard deviation in pixels.
    """
    height, width = shape[:2]
    x, y, w, h = cv2.boundingRect(points)
    x0, y0 = max((x >> SHIFT) - pad, 0), max((y >> SHIFT) - pad, 0)
    x1 = max(min((x + w >> SHIFT) + pad + 2, width), x0)
    y1 = max(min((y + h >> SHIFT) + pad + 2, height), y0)
    region = (slice(y0, y1), slice(x0, x1))
    if x0 >= x1 or y0 >= y1:
        return region, np.zeros((y1 - y0, x1 - x0, 1), np.float32)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(mask, [points - (np.array([x0, y0], np.int32) << SHIFT)], 255, cv2.LINE_AA, SHIFT)
    if blur:
        blur = max(blur, 0.5)
        mask = cv2.GaussianBlur(mask, (2 * math.ceil(2 * blur) + 1,) * 2, blur)
    return region, (mask * np.float32(1 / 255))[..., None]


def _photo_coverage(image, xy, blur):
    blur *= len(image)
    return coverage(image.shape, fixed(xy, len(image)), blur, 2 + math.ceil(2 * blur))


def wash(image: np.ndarray, xy: np.ndarray, colour, strength: float, blur: float = 0.0) -> None:
    """A polygon in unit coordinates laid over the photo, its edge blurred by `blur` of its side."""
    region, cover = _photo_coverage(image, xy, blur)
    patch = image[region]
    patch[:] = patch + cover * np.float32(strength) * (np.asarray(colour, np.float32) - patch)


def darken(image: np.ndarray, xy: np.ndarray, strength: float, blur: float = 0.0) -> None:
    """A shadow of a polygon's shape (unit coordinates) on the photo."""
    region, cover = _photo_coverage(image, xy, blur)
    patch = image[region]
    patch[:] = patch * (1 - np.float32(strength) * cover)


class Canvas:
    """Paints in frontal head coordinates on the texture."""

    def __init__(self, grid: Grid, head: Head, texture: np.ndarray):
        self.grid, self.head, self.texture = grid, head, texture
        self.unit = grid.rows * grid.texels / np.pi  # texels per head unit, near the middle

    def fixed(self, xy):
        return np.rint(self.grid.texel(self.head, xy) * 2**SHIFT).astype(np.int32)

    def fill(self, xy, colour):
        """A polygon (N, 2) of one colour, edges anti-aliased."""
        cv2.fillPoly(self.texture, [self.fixed(xy)], tuple(map(float, colour)), cv2.LINE_AA, SHIFT)

    def inside(self, xy, blur=0.0, reach=0.0):
        """The region within `reach` of a polygon and its coverage there, 0 to 1, (h, w, 1)."""
        pad = 2 + math.ceil((2 * blur + reach) * self.unit)
        return coverage(self.texture.shape, self.fixed(xy), blur * self.unit, pad)

    def veil(self, xy, colour, strength, blur=0.0):
        """A polygon laid over what is there, `strength` opaque, its edge blurred."""
        region, cover = self.inside(xy, blur)
        patch = self.texture[region]
        cover = cover * np.float32(strength)
        patch[:] = patch + cover * (np.asarray(colour, np.float32) - patch)

    def lines(self, lines, colour, strength, width):
        """Polylines (list of (N, 2)) laid softly over what is there."""
        thick = max(1, round(width * self.unit))

        def draw(mask, points):
            cv2.polylines(mask, points, False, 255 * strength, thick, cv2.LINE_AA, SHIFT)

        self._together(lines, colour, 0.5 * width, draw)

    def veils(self, polygons, colour, blur):
        """Polygons (list of ((N, 2), strength)) of one colour and one blur, laid on together."""
        strengths = [255 * strength for _, strength in polygons]

        def draw(mask, points):
            for one, strength in zip(points, strengths, strict=True):
                cv2.fillPoly(mask, [one], strength, cv2.LINE_AA, SHIFT)

        self._together([xy for xy, _ in polygons], colour, blur, draw)

    def _together(self, shapes, colour, blur, draw):
        every = self.fixed(np.concatenate(shapes))
        spread_by = max(blur * self.unit, 0.5)
        pad = 3 + math.ceil(2.5 * spread_by)
        height, wide = self.texture.shape[:2]
        x, y, w, h = cv2.boundingRect(every)
        x0, y0 = max((x >> SHIFT) - pad, 0), max((y >> SHIFT) - pad, 0)
        x1, y1 = min((x + w >> SHIFT) + pad, wide), min((y + h >> SHIFT) + pad, height)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        every = every - (np.array([x0, y0], np.int32) << SHIFT)
        draw(mask, np.split(every, np.cumsum([len(shape) for shape in shapes])[:-1]))
        mask = cv2.GaussianBlur(mask, (2 * math.ceil(2 * spread_by) + 1,) * 2, spread_by)
        cover = mask[..., None] * np.float32(1 / 255)
        patch = self.texture[y0:y1, x0:x1]
        patch[:] = patch + cover * (np.asarray(colour, np.float32) - patch)

    def clipped(self, xy, draw, reach):
        """Let `draw()` paint within `reach` of a polygon, but keep only what falls inside it."""
        region, cover = self.inside(xy, reach=reach)
        before = self.texture[region].copy()
        draw()
        patch = self.texture[region]
        patch[:] = before + cover * (patch.astype(np.float32) - before)


def spread(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Values at the grid's vertices, as bytes, interpolated to every texel."""
    height, width = grid.texture_shape
    zoom = np.array([[grid.texels, 0, 0], [0, grid.texels, 0]], float)
    return cv2.warpAffine(
        np.clip(values, 0, 255).astype(np.uint8), zoom, (width, height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
