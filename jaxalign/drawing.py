"""Pictures of points and maps on faces: dots, curves, overlays, and a contact sheet of many.

Pictures are (H, W, 3) uint8. The drawing functions paint into the given picture, with colours in
its own channel order. Points are in the pixels of that picture (pixel centres at integers) and are
drawn to a tenth of a pixel. Points without a place (NaN), and the lines to them, are left out. The
contact sheet is RGB.

Examples:
    >>> import jaxalign
    >>> image = jaxalign.photos.read("photo.jpg").copy()
    >>> aligner = jaxalign.load()
    >>> for face in aligner(image):
    ...     jaxalign.drawing.draw_points(image, face.points, jaxalign.drawing.PREDICTED)
"""

import colorsys
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxalign import photos
from jaxalign.geometry import placed
from jaxalign.schemes import CURVES, Scheme


# RGB. Blue and yellow stand out from skin and lips, and colour-blind readers can tell them apart.
PREDICTED = (0, 140, 255)
TRUE = (255, 230, 60)
POINTS_LEGEND = (("true", TRUE), ("predicted", PREDICTED))
# Hues differ by 96 degrees from one curve to the next, so upper from lower and left from right.
CURVES_LEGEND = tuple(
    (name, tuple(round(255 * c) for c in colorsys.hsv_to_rgb(4 * i % 15 / 15, 0.9, 1.0)))
    for i, name in enumerate(CURVES)
)
HEAT = (255, 30, 120)
PAPER = (255, 255, 255)
INK = (25, 25, 25)
FAINT_INK = (110, 110, 110)
ALARM = (190, 20, 20)
_SHIFT = 5  # OpenCV takes coordinates in 1/2**shift of a pixel


@dataclass(frozen=True)
class Tile:
    """A square crop of a face, and its points if any.

    Attributes:
        picture: (S, S, 3) uint8 RGB.
        label: The text below.
        predicted: (K, 2), pixels of the crop.
        truth: (K, 2), pixels of the crop.
        name: The text behind the label. It is shortened from its front where it does not fit.
        marked: Whether label and frame have the colour of alarm.
    """

    picture: np.ndarray
    label: str
    predicted: np.ndarray | None = None
    truth: np.ndarray | None = None
    name: str = ""
    marked: bool = False


def draw_points(picture: np.ndarray, points: np.ndarray, colour, radius: float = 1.5) -> None:
    """Draw a filled dot at each point.

    Args:
        picture: (H, W, 3) uint8, painted into.
        points: (K, 2), pixels of the picture.
        colour: Three values, in the picture's channel order.
        radius: Pixels.
    """
    for x, y in _fixed(points[placed(points)]):
        cv2.circle(picture, (x, y), round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def draw_curves(
    picture: np.ndarray, points: np.ndarray, scheme: Scheme, colour, thickness: int = 1
) -> None:
    """Draw the scheme's boundary curves through its points, as polylines.

    Args:
        picture: (H, W, 3) uint8, painted into.
        points: (K, 2), pixels of the picture.
        scheme: The scheme of the points.
        colour: Three values, in the picture's channel order.
        thickness: Pixels.
    """
    known, lines = placed(points), []
    for curve in scheme.curves.values():
        for has, run in itertools.groupby(curve, known.__getitem__):
            run = list(run) if has else []
            lines += [_fixed(points[run])[:, None]] if len(run) > 1 else []
    cv2.polylines(picture, lines, False, colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_differences(
    picture: np.ndarray, points: np.ndarray, others: np.ndarray, colour, thickness: int = 1
) -> None:
    """Draw a line from each point to its counterpart.

    Args:
        picture: (H, W, 3) uint8, painted into.
        points: (K, 2), pixels of the picture.
        others: (K, 2), the counterparts.
        colour: Three values, in the picture's channel order.
        thickness: Pixels.
    """
    known = placed(points) & placed(others)
    lines = np.stack([_fixed(points[known]), _fixed(others[known])], axis=1)[:, :, None]
    cv2.polylines(picture, list(lines), False, colour, thickness, cv2.LINE_AA, _SHIFT)


def overlay(picture: np.ndarray, maps: np.ndarray, curves: bool = False) -> np.ndarray:
    """Lay maps over a crop. The crop becomes grey, and a map's value is its opacity.

    Maps of the boundary curves have the colours of CURVES_LEGEND: the greatest value wins, or the
    first of equal ones. For other maps the picture shows their mean, stretched from its least value
    to its greatest. Map pixel i covers crop pixels S/h * i to S/h * (i + 1) - 1, as in `geometry`.

    Args:
        picture: (S, S, 3) uint8 RGB.
        maps: (h, w, C), in 0..1.
        curves: Whether they are maps of the boundary curves, in the order of CURVES_LEGEND. A map
            of their union may follow, and is left out.

    Returns:
        The (S, S, 3) uint8 RGB picture.
    """
    maps = np.clip(np.asarray(maps, np.float32), 0, 1)
    if curves:
        colours = np.array([colour for _, colour in CURVES_LEGEND], np.float32)[: maps.shape[-1]]
        maps = maps[..., : len(colours)]
    else:
        colours, mean = np.array([HEAT], np.float32), maps.mean(-1, keepdims=True)
        maps = (mean - mean.min()) / max(np.ptp(mean), 1e-6)
    layers = np.concatenate([colours[maps.argmax(-1)], maps.max(-1, keepdims=True)], -1)
    layers = cv2.resize(layers, picture.shape[:2], interpolation=cv2.INTER_NEAREST)
    colour, opacity = layers[..., :3], layers[..., 3:]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    return np.round(grey + opacity * (colour - grey)).astype(np.uint8)


def beside(tile: Tile, maps: np.ndarray, curves: bool = False) -> tuple[Tile, Tile]:
    """A tile as it is, and the same face under its maps.

    Args:
        tile: The tile.
        maps: (h, w, C), as in `overlay`.
        curves: As in `overlay`.

    Returns:
        The tile, and the one under the maps, without a label.
    """
    under = overlay(tile.picture, maps, curves)
    return tile, replace(tile, picture=under, label="", name="")


def draw_tile(tile: Tile, scheme: Scheme, side: int) -> np.ndarray:
    """Draw a face with its points: predicted curves and dots, and true dots on top.

    A thin white line joins each true point to the predicted one.

    Args:
        tile: The face.
        scheme: The scheme of its points.
        side: Side of the picture in pixels.

    Returns:
        The (side, side, 3) uint8 RGB picture.
    """
    double = 2 * side  # drawn twice as large and reduced: finer lines than one pixel
    zoom = double / tile.picture.shape[0]
    picture = cv2.resize(tile.picture, (double, double), interpolation=cv2.INTER_CUBIC)
    radius = max(2.6, side / 75)
    if tile.predicted is not None:
        predicted = (tile.predicted + 0.5) * zoom - 0.5
        draw_curves(picture, predicted, scheme, PREDICTED, 2)
        draw_points(picture, predicted, PREDICTED, radius)
    if tile.truth is not None:
        truth = (tile.truth + 0.5) * zoom - 0.5
        draw_differences(picture, truth, predicted, (255, 255, 255))
        draw_points(picture, truth, TRUE, radius)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def annotated(
    photo: np.ndarray,
    points: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    doubted: Sequence[bool],
    scheme: Scheme,
    longest: int = 1600,
) -> np.ndarray:
    """Draw the faces of a photo on a copy of it: points, the curves through them, and boxes.

    Args:
        photo: (H, W, 3) uint8 RGB.
        points: (K, 2) of each face, pixels of the photo.
        boxes: (4,) of each face, x0, y0, x1, y1 in pixels of the photo.
        doubted: Whether each face is drawn in the colour of alarm.
        scheme: The scheme of the points.
        longest: Pixels of the longer side of the copy at most.

    Returns:
        The uint8 RGB picture.
    """
    picture = photos.reduced(photo, longest).copy()
    zoom = np.array(picture.shape[1::-1]) / photo.shape[1::-1]
    for those, box, doubt in zip(points, boxes, doubted, strict=True):
        colour = ALARM if doubt else PREDICTED
        those, (low, high) = ((p + 0.5) * zoom - 0.5 for p in (those, box.reshape(2, 2)))
        side = min(np.max(high - low), max(picture.shape))
        thickness = max(1, round(side / 150))
        start, end = _fixed([low, high]).tolist()
        cv2.rectangle(picture, start, end, PAPER, thickness, cv2.LINE_AA, _SHIFT)
        draw_curves(picture, those, scheme, colour, thickness)
        draw_points(picture, those, colour, 1.5 * thickness)
    return picture


def contact_sheet(
    sections: Sequence[tuple[str, Sequence[Tile]]],
    scheme: Scheme,
    title: str,
    side: int = 232,
    columns: int = 8,
    legend: Sequence[tuple[str, tuple[int, ...]]] = POINTS_LEGEND,
) -> np.ndarray:
    """Draw many faces on a sheet: a legend, then each section's heading and its tiles.

    Args:
        sections: Heading and tiles of each section.
        scheme: The scheme of the points.
        title: The text at the top left.
        side: Side of a tile in pixels.
        columns: Tiles in a row at most.
        legend: Names and their RGB colours, at the top right.

    Returns:
        The (H, W, 3) uint8 RGB picture.
    """
    gap, caption, heading, top = 6, 20, 34, 34
    columns = min(columns, max(len(tiles) for _, tiles in sections))
    rows = [-(-len(tiles) // columns) for _, tiles in sections]
    width = max(columns * (side + gap) + gap, 560, _legend_width(title, legend, gap))
    height = top + sum(heading + count * (side + caption + gap) for count in rows)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _legend(pen, title, legend, width, gap)
    y = top
    for (text, tiles), count in zip(sections, rows, strict=True):
        pen.text((gap, y + heading - 8), text, INK, ImageFont.load_default(16), anchor="ls")
        y += heading
        for index, tile in enumerate(tiles):
            row, column = divmod(index, columns)
            corner = gap + column * (side + gap), y + row * (side + caption + gap)
            _place(sheet, pen, tile, draw_tile(tile, scheme, side), corner, caption)
        y += count * (side + caption + gap)
    return np.asarray(sheet)


def _place(sheet, pen, tile, picture, corner, caption):
    (x, y), side = corner, len(picture)
    sheet.paste(Image.fromarray(picture), corner)
    font, name = ImageFont.load_default(13), tile.name
    while name and pen.textlength(f"{tile.label}  {name}", font) > side:
        name = "…" + name.lstrip("…")[1:] if len(name) > 2 else ""
    text = f"{tile.label}  {name}"
    pen.text((x, y + side + caption - 6), text, ALARM if tile.marked else INK, font, anchor="ls")
    if tile.marked:
        pen.rectangle((x, y, x + side - 1, y + side - 1), outline=ALARM, width=2)


def _legend_width(title, legend, gap):
    names = sum(ImageFont.load_default(14).getlength(name) + 34 for name, _ in legend)
    return round(ImageFont.load_default(18).getlength(title) + names) + 2 * gap


def _legend(pen, title, legend, width, gap):
    y, font = 22, ImageFont.load_default(14)
    pen.text((gap, y), title, INK, ImageFont.load_default(18), anchor="ls")
    x = width - gap
    for text, colour in reversed(legend):
        x -= pen.textlength(text, font)
        pen.text((x, y), text, INK, font, anchor="ls")
        pen.ellipse((x - 16, y - 10, x - 6, y), fill=colour, outline=FAINT_INK)
        x -= 34


def _fixed(points):
    near = np.clip(np.asarray(points, np.float64), -30_000, 30_000)  # OpenCV counts in 32 bits
    return np.round(near * 2**_SHIFT).astype(np.int32)
