"""The head's surface as a grid, and the grid drawn as a map from photo pixels to its texture.

Rows run from crown to chin, columns once around from the back over image left, front and image
right to the back again. The texture has `texels` texels a cell, so grid vertex (row, column) is
texel (row * texels, column * texels).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .head import ANGLES, OVAL, Head


QUARTER = np.pi / 2
FRONT_PLACES = np.linspace(-1, 1, 129)
FRONT_TURNS = QUARTER * (0.8 * FRONT_PLACES + 0.2 * FRONT_PLACES**3)  # finer columns in the middle
SHIFT = 4  # fractional bits of OpenCV's drawing


@dataclass(frozen=True)
class Grid:
    rows: int = 44
    front: int = 36  # columns of the front half
    back: int = 14  # columns of the back half, even
    texels: int = 5

    @property
    def columns(self) -> int:
        return self.front + self.back

    @property
    def texture_shape(self) -> tuple[int, int]:
        return self.rows * self.texels + 1, self.columns * self.texels + 1

    def turn_to_column(self, angle):
        """Column coordinate of a turn (0: front, image right positive) on the front half."""
        return self.columns / 2 + np.interp(angle, FRONT_TURNS, FRONT_PLACES) * (self.front / 2)

    def column_turns(self) -> np.ndarray:
        """(columns + 1,): the turn of every column."""
        place = np.arange(self.columns + 1) - self.columns / 2
        front = np.clip(place / (self.front / 2), -1, 1)
        beyond = np.maximum(np.abs(place) - self.front / 2, 0) / (self.back / 2)
        return np.interp(front, FRONT_PLACES, FRONT_TURNS) + QUARTER * np.sign(place) * beyond

    def texel_turns(self) -> np.ndarray:
        """(columns * texels + 1,): the turn of every column of the texture."""
        places = np.arange(self.texture_shape[1]) / self.texels
        return np.interp(places, np.arange(self.columns + 1), self.column_turns())

    def texel(self, head: Head, xy: np.ndarray) -> np.ndarray:
        """Texture positions (..., 2) of frontal positions (..., 2) on the head's front."""
        x, y = xy[..., 0], xy[..., 1]
        width = np.maximum(np.interp(y, head.edge_y, head.edge_x), 1e-6)
        found = np.empty(xy.shape)
        found[..., 0] = self.turn_to_column(np.arcsin(np.minimum(np.maximum(x / width, -1), 1)))
        found[..., 1] = np.interp(y, head.edge_y, ANGLES) * (self.rows / np.pi)
        return found * self.texels

    def vertices(self, head: Head) -> np.ndarray:
        """(rows + 1, columns + 1, 3): the surface in the head frame."""
        angle = np.linspace(0, np.pi, self.rows + 1)
        table = (head.edge_x, head.edge_y, head.edge_z, head.front, head.back)
        width, y, edge, front, back = (np.interp(angle, ANGLES, t)[:, None] for t in table)
        turn = self.column_turns()[None]
        sine, cosine = np.sin(turn), np.cos(turn)
        x = width * sine
        oval = (1 - np.minimum(np.abs(sine), 1) ** OVAL) ** (1 / OVAL)
        z = edge + np.where(cosine >= 0, front * oval, back * cosine)
        y = np.broadcast_to(y, x.shape)
        ahead = slice(self.back // 2, self.back // 2 + self.front + 1)
        z[:, ahead] += head.relief(x[:, ahead], y[:, ahead]) * (1 - sine[:, ahead] ** 4)
        return np.stack([x, y, z], -1)


def normals(vertices: np.ndarray) -> np.ndarray:
    """Unit outward normals of a grid that closes on itself from its last to its first column."""
    ring = np.concatenate([vertices[:, -2:-1], vertices, vertices[:, 1:2]], 1)
    a = ring[:, 2:] - ring[:, :-2]
    b = np.gradient(vertices, axis=0)
    normal = np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        -1,
    )
    normal[0], normal[-1] = (0, -1, 0), (0, 1, 0)
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


def texture_map(pixels, depth, size, grid):
    """Draw the grid's cells from far to near and read back where in the texture each pixel lies.

    `pixels` (rows + 1, columns + 1, 2) are the vertices in the photo and `depth` their distance
    towards the viewer. Returns the top left corner of the part drawn, its texel columns and rows
    (h, w) for cv2.remap, and which of its pixels the head covers; None where it covers none.
    """
    corners = [pixels[:-1, :-1], pixels[:-1, 1:], pixels[1:, 1:], pixels[1:, :-1]]
    quads = np.stack(corners, 2).reshape(-1, 4, 2)
    one, two = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    low, high = quads.min(1), quads.max(1)
    within = ((high > 0) & (low < size)).all(1)
    cells = np.flatnonzero((one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] > 0) & within)
    if not len(cells):
        return None
    near = (depth[:-1, :-1] + depth[:-1, 1:] + depth[1:, 1:] + depth[1:, :-1]).reshape(-1)
    cells = cells[np.argsort(near[cells], kind="stable")]
    quads = quads[cells]
    low = np.maximum(np.floor(low[cells].min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(high[cells].max(0)).astype(int) + 2, size)
    width, height = high - low
    label = np.zeros((height, width), np.int32)
    fill = cv2.fillConvexPoly
    fixed = np.rint((quads - low) * 2**SHIFT).astype(np.int32)
    for number, quad in enumerate(fixed, 1):
        fill(label, quad, number, 8, SHIFT)
    return low, _inside_cells(quads - low, cells, label, grid), label > 0


def _inside_cells(quads, cells, label, grid):
    """Texels (two (h, w)) of all pixels, by the affine map that fits the corners of their cell."""
    across = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    along = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    area = across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0]
    thin = np.abs(area) < 0.6 * np.maximum(np.abs(across), np.abs(along)).max(1)
    gain = np.where(thin, 0, grid.texels / np.where(thin, 1, area))  # a thin cell has one texel
    x, y = quads.mean(1).T
    table = np.zeros((6, len(cells) + 1), np.float32)  # column 0: pixels without a cell
    for row, (a, b), place in (
        (0, (along[:, 1], -along[:, 0]), cells % grid.columns),
        (3, (-across[:, 1], across[:, 0]), cells // grid.columns),
    ):
        a, b = a * gain, b * gain
        table[row : row + 3, 1:] = a, b, (place + 0.5) * grid.texels - a * x - b * y
    which = label.astype(np.intp)
    right = np.arange(label.shape[1], dtype=np.float32)
    down = np.arange(label.shape[0], dtype=np.float32)[:, None]
    return [table[i][which] * right + table[i + 1][which] * down + table[i + 2][which]
            for i in (0, 3)]  # fmt: skip
