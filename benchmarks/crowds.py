"""Drawn crowds: several heads of the synthetic generator on one photo, with the boxes of all.

They show what a detector misses and what it makes up; a number measured on them says nothing about
photographs.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from jaxalign import geometry
from jaxalign.datasets import synthetic_faces
from jaxalign.pipeline import decode


def paste(
    places: Sequence[Sequence[float]], background: np.ndarray, seed: int = 0, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Faces drawn on a copy of `background` (H, W, 3) uint8 RGB, the later ones over the earlier.

    Each of `places` (N) is x, y, side: the centre and the side of the square about a face's
    landmarks, in pixels. Its face is number `first` + its own of the generator's test split.
    Returns the photo and the squares, (N, 4) float32.
    """
    photo, boxes = background.copy(), []
    for number, (x, y, side) in enumerate(places, first):
        face = synthetic_faces.face("test", number, 256, seed)
        head = decode(face.photo, face.id)
        middle, own = geometry.square(geometry.landmark_box(face.points["ibug68"]), 1.0)
        zoom = side / own
        matrix = np.array([[zoom, 0, x - zoom * middle[0]], [0, zoom, y - zoom * middle[1]]])
        mask = np.zeros(head.shape[:2], np.float32)
        centre = np.rint(middle - [0, 0.1 * own]).astype(int).tolist()  # with the hair
        axes = round(0.68 * own), round(0.85 * own)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 0.04 * own)
        size, how = (photo.shape[1], photo.shape[0]), cv2.INTER_AREA
        # averaged down first: a warp alone would take single pixels
        if zoom < 0.7:
            small = cv2.resize(head, None, fx=zoom, fy=zoom, interpolation=how)
            head = cv2.resize(small, head.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        drawn = cv2.warpAffine(head, matrix, size)
        alpha = cv2.warpAffine(mask, matrix, size)[..., None]
        photo = np.rint(photo + alpha * (drawn.astype(np.float32) - photo)).astype(np.uint8)
        boxes.append([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return photo, np.array(boxes, np.float32).reshape(-1, 4)


def background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8 RGB: soft colours, straight edges and grain, without a face."""
    coarse = rng.integers(40, 216, (4, 6, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(25):
        corners = rng.uniform((-0.1, -0.1), (1.1, 1.1), (2, 2)) * (width, height)
        colour = rng.integers(0, 256, 3).tolist()
        (x0, y0), (x1, y1) = np.rint(corners).astype(int).tolist()
        thickness = int(rng.choice([-1, 2, 5, 12]))
        if thickness < 0:
            patch = image.copy()
            cv2.rectangle(patch, (x0, y0), (x1, y1), colour, -1)
            image = cv2.addWeighted(image, 0.6, patch, 0.4, 0)
        else:
            cv2.line(image, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
    grain = rng.normal(0, 4, image.shape)
    return np.clip(np.rint(cv2.GaussianBlur(image, (0, 0), 1) + grain), 0, 255).astype(np.uint8)


def crowd(number: int, heads: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Crowd `number`: (640, 960, 3) uint8 RGB, and its faces' squares (heads, 4), 30 to 90 pixels.

    The heads stand in rows, none hides another's face. The same arguments give the same photo.
    """
    rng = np.random.default_rng([seed, number])
    photo = background(960, 640, rng)
    columns = int(np.ceil(np.sqrt(1.5 * heads)))
    rows = -(-heads // columns)
    wide, high = 960 / columns, 640 / rows
    places = []
    for place in rng.permutation(columns * rows)[:heads]:
        side = rng.uniform(30, min(90, wide / 1.5, high / 1.9))
        room = np.maximum((np.array([wide, high]) - side * np.array([1.4, 1.8])) / 2, 0)
        x, y = rng.uniform(-room, room)
        row, column = divmod(int(place), columns)
        places.append(((column + 0.5) * wide + x, (row + 0.5) * high + y, side))
    places.sort(key=lambda place: place[1])  # nearer ones stand lower
    return paste(places, photo, seed, first=number * heads)


def crowds(count: int, heads: int = 12, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Crowds 0 to `count` - 1."""
    for number in range(count):
        yield crowd(number, heads, seed)
