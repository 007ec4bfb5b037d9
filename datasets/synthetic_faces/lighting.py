"""Light on the head: lamps, light from the surroundings, cast shadows and gloss."""

import cv2
import numpy as np

from .head import Head
from .scene import Scene


def lit(
    scene: Scene,
    normal: np.ndarray,
    shadow: np.ndarray | float = 0.0,
    shelter: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The light on surfaces of these normals (camera frame), and their gloss.

    The light is a factor of their colour (..., 3), the gloss is added to it as a share of white
    (...). `shadow` is how far the lamp does not reach them, `shelter` how far the surroundings
    do not, both 0 to 1.
    """
    light, style = scene.light, scene.light.style
    direction = np.asarray(light.direction)
    wrapped = np.clip((normal @ direction + style.wrap) / (1 + style.wrap), 0, 1)
    half = direction + (0, 0, 1)
    half /= np.linalg.norm(half)
    shine = np.clip(normal @ half, 0, 1) ** style.tight * (1 - shadow)
    sky = style.sky * np.clip(-normal[..., 1], -1, 1)
    around = light.ambient * (1 + sky) * (1 - style.shelter * shelter)
    lamp = light.strength * wrapped * (1 - style.cast * shadow)
    lamp = lamp * (1 - 0.4 * style.shelter * shelter)
    level = around + lamp + light.shine * shine
    warm = np.stack([level**1.12, level**1.05, level**0.92], -1) * np.asarray(light.colour)
    if style.second:
        other = np.clip(normal @ np.asarray(style.second_from), 0, 1)[..., None]
        warm = warm + style.second * other * np.asarray(style.second_colour)
    return warm, style.gloss * shine


def shelter(head: Head, vertices: np.ndarray) -> np.ndarray:
    """How little of the surroundings each vertex sees, 0 to 1: eye sockets, beside the nose."""
    x, y = np.abs(vertices[..., 0]), vertices[..., 1]

    def spot(cx, cy, rx, ry):
        return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)

    found = 0.9 * spot(head.eye_x - 0.1, -0.06, 0.24, 0.13)
    found = found + 0.6 * spot(0.24, 0.8 * head.nose_tip, 0.08, 0.2)
    found = found + 0.7 * spot(0, head.nose_base_y + 0.02, 0.2, 0.06)
    found = found + 0.6 * spot(0, head.mouth_y + head.drop + 0.25, 0.25, 0.06)
    return np.minimum(found, 1) * np.clip(2 * vertices[..., 2], 0, 1)


def cast_shadow(head: Head, vertices: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How far nose, brows and cheeks hide the lamp from each vertex, 0 to 1.

    `direction` points towards the lamp in the head frame. A step towards it that comes to lie
    under the surface's front is in shadow.
    """
    across, down = np.linspace(-1.1, 1.1, 45), np.linspace(-1.3, 1.6, 59)
    flat = np.stack(np.meshgrid(across, down), -1)
    height = head.lift(flat)[..., 2].astype(np.float32)
    height[np.abs(flat[..., 0]) > head.section(flat[..., 1])[0]] = -9
    steps = np.linspace(0.07, 0.75, 9)[:, None, None, None] * direction
    ways = (vertices + steps).astype(np.float32)
    columns, rows = (ways[..., 0] + 1.1) * (44 / 2.2), (ways[..., 1] + 1.3) * (58 / 2.9)
    shape = (-1, columns.shape[-1])
    over = cv2.remap(height, columns.reshape(shape), rows.reshape(shape), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_CONSTANT, borderValue=-9)  # fmt: skip
    depth = over.reshape(columns.shape) - ways[..., 2] - 0.015
    return np.clip(depth.max(0) / 0.05, 0, 1)
