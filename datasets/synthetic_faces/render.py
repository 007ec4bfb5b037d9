"""One face drawn: the layers from back to front, then lens and sensor."""

import cv2
import numpy as np

from . import beard, body, covers, glasses, hair, hats, lighting
from .camera import Camera, landmarks, visible
from .head import Head
from .paint import paint
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


def draw(scene: Scene, head: Head, size: int, rng: np.random.Generator) -> np.ndarray:
    """The photo (size, size, 3), uint8 BGR."""
    camera = scene.camera
    own, film, place = rng.spawn(3)
    image = scenery(size, scene, place)
    hair.hanging(image, scene, own)
    body.body(image, scene, head, own)
    body.ears(image, scene, head, False)
    glasses.draw(image, scene, head, False)
    grid = grid_for(camera, size)
    bare = grid.vertices(head)
    vertices = hats.puff(scene.covers.hat, grid, hair.puff(scene.look, grid, bare))
    if scene.covers.hat is None:
        hair.mass(image, scene, vertices, grid, False, own)
    hats.behind(image, scene, head, own)
    hair.curtains(image, scene, head, False, own)
    beard.hanging(image, scene, head, False, own)
    turned = camera.turn(vertices)
    shadow = 0.0
    if scene.light.style.cast:
        towards = np.asarray(scene.light.direction) @ camera.rotation
        shadow = lighting.cast_shadow(head, vertices, towards)
    shelter = lighting.shelter(head, bare) if scene.light.style.shelter else 0.0
    light = lighting.lit(scene, camera.turn(normals(vertices)), shadow, shelter)
    texture = paint(scene, head, grid, bare, light, rng)
    _paste(image, texture, camera.project(turned) * size - 0.5, turned[..., 2], grid)
    body.melt_jaw(image, scene, head)
    body.ears(image, scene, head, True)
    beard.hanging(image, scene, head, True, own)
    if scene.covers.hat is None:
        hair.mass(image, scene, vertices, grid, True, own)
    hair.curtains(image, scene, head, True, own)
    glasses.draw(image, scene, head, True)
    hats.before(image, scene, head)
    covers.held(image, scene)
    image = cv2.convertScaleAbs(image, alpha=scene.light.gain)
    points = camera.project(camera.turn(landmarks(head, camera)))
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


def seen(scene: Scene, head: Head, points: np.ndarray) -> np.ndarray:
    """Whether each of camera.landmarks' `points` can be seen in the photo."""
    return visible(head, scene.camera, points) & ~covers.hidden(scene, head, points)
