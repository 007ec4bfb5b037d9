"""One face drawn: the layers from back to front, then lens and sensor."""

import cv2
import numpy as np

from . import backdrop, covers
from .camera import Camera, visible
from .head import Head
from .paint import hairline, paint
from .scene import Scene
from .scenery import scenery
from .sensor import expose
from .surface import Grid, normals, texture_map


def grid_for(camera: Camera, size: int) -> Grid:
    """A grid fine enough for the photo: cells of a few pixels, texels finer than pixels."""
    unit = camera.scale * size
    rows = int(np.clip(37 * (unit / 64) ** 0.5, 32, 160))
    texels = int(np.ceil(1.1 * unit * np.pi / rows))
    front = int(0.8 * rows)
    return Grid(rows, front, 2 * (rows // 6), max(texels, 3))


def lit(scene: Scene, normal: np.ndarray) -> np.ndarray:
    """The light on surfaces of these normals (camera frame), as a factor of their colour."""
    light = scene.light
    direction = np.asarray(light.direction)
    facing = normal @ direction
    wrapped = np.clip((facing + 0.15) / 1.15, 0, 1)
    half = direction + (0, 0, 1)
    half /= np.linalg.norm(half)
    shine = light.shine * np.clip(normal @ half, 0, 1) ** 18
    sky = 0.12 * np.clip(-normal[..., 1], -1, 1)
    level = light.ambient * (1 + sky) + light.strength * wrapped + shine
    warm = np.stack([level**1.12, level**1.05, level**0.92], -1)
    return warm * np.asarray(light.colour)


def puff(scene: Scene, grid: Grid, vertices: np.ndarray) -> np.ndarray:
    """The surface raised where hair grows."""
    look = scene.look
    if look.style == "bald":
        return vertices
    edge = hairline(look, grid.column_turns())[None]
    cover = np.clip((edge - vertices[..., 1]) / 0.22, 0, 1)
    cover = cover * cover * (3 - 2 * cover)
    out = vertices - np.array([0, -0.1, -0.1])
    out = out / np.linalg.norm(out, axis=-1, keepdims=True)
    crown = 1 + 0.8 * np.clip(-0.3 - vertices[..., 1], 0, 1)
    return vertices + out * (cover * look.volume * crown)[..., None]


def draw(scene: Scene, head: Head, size: int, rng: np.random.Generator) -> np.ndarray:
    """The photo (size, size, 3), uint8 BGR."""
    camera = scene.camera
    film, place = rng.spawn(2)
    image = scenery(size, scene, place)
    backdrop.hanging_hair(image, scene, rng)
    backdrop.body(image, scene, head)
    backdrop.ears(image, scene, head, False)
    covers.glasses(image, scene, head, False)
    grid = grid_for(camera, size)
    bare = grid.vertices(head)
    vertices = puff(scene, grid, bare)
    turned = camera.turn(vertices)
    light = lit(scene, camera.turn(normals(vertices)))
    texture = paint(scene, head, grid, bare, light, rng)
    _paste(image, texture, camera.project(turned) * size - 0.5, turned[..., 2], grid)
    backdrop.ears(image, scene, head, True)
    covers.glasses(image, scene, head, True)
    covers.hand(image, scene)
    image = cv2.convertScaleAbs(image, alpha=scene.light.gain)
    points = camera.project(camera.turn(head.used))
    room = np.concatenate([points.min(0), 1 - points.max(0)])
    return expose(image, scene.sensor, camera.scale * size, room, film)


def _paste(image, texture, pixels, depth, grid):
    """Lay the textured head over the image, its rim blended over a pixel."""
    found = texture_map(pixels, depth, len(image), grid)
    if found is None:
        return
    (x, y), (columns, rows), covered = found
    drawn = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    target = image[y : y + covered.shape[0], x : x + covered.shape[1]]
    cv2.copyTo(drawn, covered.view(np.uint8), target)
    solid = covered.view(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    rim = cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, kernel)
    cv2.copyTo(cv2.GaussianBlur(target, (3, 3), 0.7), rim, target)


def seen(scene: Scene, head: Head) -> np.ndarray:
    """Which of `head.used` can be seen in the photo."""
    return visible(head, scene.camera) & ~covers.hidden(scene, head)
