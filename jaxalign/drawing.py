"""Pictures of points on faces: dots, boundary curves, and a contact sheet of many faces.

Pictures are uint8 (H, W, 3). The drawing functions paint into the picture they are given, with
colours in its own channel order; points are in that picture's pixels (centres at integers), and
land where they say to a tenth of a pixel. The contact sheet is RGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxalign.schemes import Scheme


PREDICTED = (0, 140, 255)  # RGB: blue and yellow stand out from skin and lips, and from each
TRUE = (255, 230, 60)  # other for colour-blind readers
PAPER, INK, FAINT_INK, ALARM = (255, 255, 255), (25, 25, 25), (110, 110, 110), (190, 20, 20)
_SHIFT = 5  # OpenCV takes coordinates in 1/2**shift of a pixel


@dataclass(frozen=True)
class Tile:
    """A square crop of a face and its points, in crop pixels; `truth` may be unknown."""

    picture: np.ndarray  # (S, S, 3) uint8 RGB
    predicted: np.ndarray  # (K, 2)
    truth: np.ndarray | None
    label: str
    name: str = ""  # behind the label, shortened from its front where it does not fit
    marked: bool = False  # label and frame in the colour of alarm


def draw_points(picture: np.ndarray, points: np.ndarray, colour, radius: float = 1.5) -> None:
    """A filled dot at each of the (K, 2) points."""
    for x, y in _fixed(points):
        cv2.circle(picture, (x, y), round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def draw_curves(
    picture: np.ndarray, points: np.ndarray, scheme: Scheme, colour, thickness: int = 1
) -> None:
    """The scheme's boundary curves through its (K, 2) points, as polylines."""
    curves = [list(curve) for curve in scheme.curves.values() if len(curve) > 1]
    lines = [_fixed(points[curve])[:, None] for curve in curves]
    cv2.polylines(picture, lines, False, colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_differences(
    picture: np.ndarray, points: np.ndarray, others: np.ndarray, colour, thickness: int = 1
) -> None:
    """A line from each of the (K, 2) points to its counterpart in `others`."""
    lines = np.stack([_fixed(points), _fixed(others)], axis=1)[:, :, None]
    cv2.polylines(picture, list(lines), False, colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_tile(tile: Tile, scheme: Scheme, side: int) -> np.ndarray:
    """(side, side, 3) RGB: the face resized, predicted curves and dots, true dots on top.

    A thin white line joins each true point to the predicted one.
    """
    double = 2 * side  # drawn twice as large and reduced: finer lines than one pixel
    zoom = double / tile.picture.shape[0]
    picture = cv2.resize(tile.picture, (double, double), interpolation=cv2.INTER_CUBIC)
    radius = max(2.6, side / 75)
    predicted = (tile.predicted + 0.5) * zoom - 0.5
    draw_curves(picture, predicted, scheme, PREDICTED, 2)
    draw_points(picture, predicted, PREDICTED, radius)
    if tile.truth is not None:
        truth = (tile.truth + 0.5) * zoom - 0.5
        draw_differences(picture, truth, predicted, (255, 255, 255))
        draw_points(picture, truth, TRUE, radius)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def contact_sheet(
    sections: Sequence[tuple[str, Sequence[Tile]]],
    scheme: Scheme,
    title: str,
    side: int = 232,
    columns: int = 8,
) -> np.ndarray:
    """A sheet of faces, (H, W, 3) RGB: a legend line, then each section's heading and its tiles."""
    gap, caption, heading, top = 6, 20, 34, 34
    columns = min(columns, max(len(tiles) for _, tiles in sections))
    rows = [-(-len(tiles) // columns) for _, tiles in sections]
    width = max(columns * (side + gap) + gap, 560)
    height = top + sum(heading + count * (side + caption + gap) for count in rows)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _legend(pen, title, width, gap)
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


def _legend(pen, title, width, gap):
    y, font = 22, ImageFont.load_default(14)
    pen.text((gap, y), title, INK, ImageFont.load_default(18), anchor="ls")
    x = width - gap
    for text, colour in (("predicted", PREDICTED), ("true", TRUE)):
        x -= pen.textlength(text, font)
        pen.text((x, y), text, INK, font, anchor="ls")
        pen.ellipse((x - 16, y - 10, x - 6, y), fill=colour, outline=FAINT_INK)
        x -= 34


def _fixed(points):
    near = np.clip(np.asarray(points, np.float64), -30_000, 30_000)  # OpenCV counts in 32 bits
    return np.round(near * 2**_SHIFT).astype(np.int32)
