"""What stands behind the face: a cluttered background."""

import cv2
import numpy as np

from .surface import SHIFT


def fixed(points: np.ndarray, size: int) -> np.ndarray:
    """Unit coordinates (N, 2) as OpenCV's fixed-point pixels."""
    return np.rint((points * size - 0.5) * 2**SHIFT).astype(np.int32)


def polygon(image: np.ndarray, points: np.ndarray, colour) -> None:
    """A filled polygon in unit coordinates, edges anti-aliased."""
    shade = tuple(float(c) for c in np.clip(colour, 0, 255))
    cv2.fillPoly(image, [fixed(points, len(image))], shade, cv2.LINE_AA, SHIFT)


def muted(rng: np.random.Generator) -> np.ndarray:
    """A colour, seldom a loud one."""
    colour = rng.uniform(15, 240, 3)
    return colour.mean() + rng.beta(1, 2) * 1.3 * (colour - colour.mean())


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A photo (size, size, 3) of nothing in particular: colour fields, boxes, discs, bars."""
    cells = int(rng.integers(2, 9))
    tone = muted(rng)
    field = tone + rng.normal(0, rng.uniform(5, 45), (cells, cells, 3))
    blur = rng.uniform(0, 0.02)
    small = min(size, 256 if blur < 0.004 else 128)
    image = cv2.resize(np.clip(field, 0, 255).astype(np.uint8), (small, small))
    for _ in range(int(rng.integers(0, 14))):
        x, y, w, h = rng.uniform(-0.1, 1.1, 2).tolist() + rng.uniform(0.03, 0.4, 2).tolist()
        colour, turn = muted(rng), rng.uniform(0, np.pi)
        kind = rng.integers(3)
        if kind == 0:
            corner = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        elif kind == 1:
            angle = np.linspace(0, 2 * np.pi, 40)
            corner = np.stack([w * np.cos(angle), w * np.sin(angle)], 1) / 2
        else:
            corner = np.array([(-1, -h / 8), (1, -h / 8), (1, h / 8), (-1, h / 8)])
        cosine, sine = np.cos(turn), np.sin(turn)
        corner = corner @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)
        polygon(image, corner, colour)
    grain = cv2.resize(rng.integers(0, 256, (96, 96), np.uint8), (small, small))
    amount = rng.uniform(0, 0.25)
    grain = cv2.cvtColor(grain, cv2.COLOR_GRAY2BGR)
    image = cv2.addWeighted(image, 1, grain, amount, -127.5 * amount)
    if blur > 0.004:
        image = cv2.GaussianBlur(image, (0, 0), blur * small)
    return image if small == size else cv2.resize(image, (size, size))
