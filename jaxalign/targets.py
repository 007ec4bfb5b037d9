"""Points to training targets, on the device. Frames as in geometry; maps are (B, h, w, K)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxalign import geometry
from jaxalign.schemes import Scheme


Given = jax.Array | np.ndarray  # outside a traced function arrays of numpy do too


def inside(points: Float[Given, "B K 2"], size: int) -> Bool[Array, "B K"]:
    """(B, K, 2) crop pixels -> (B, K) bool: the point lies on the crop.

    A point that is not a number counts as inside: its loss must not be masked away.
    """
    return ~jnp.any((points <= -0.5) | (points >= size - 0.5), -1)


def gaussian_maps(
    points: Float[Given, "B K 2"], stride: int, size: int, sigma: float, cut: float = 0.0
) -> Float[Array, "B h w K"]:
    """Landmark maps: exp(-d^2 / (2 sigma^2)) around each point, peak 1 (Newell et al., 2016).

    points (B, K, 2) crop pixels -> (B, size/stride, size/stride, K); `sigma` in map pixels. The
    centre is the exact sub-pixel point. `cut` > 0 sets values beyond cut * sigma (per axis) to 0.
    """
    centre = geometry.to_map(points, stride)
    grid = jnp.arange(size // stride, dtype=points.dtype)
    dx = grid[None, :, None] - centre[:, None, :, 0]  # (B, w, K)
    dy = grid[None, :, None] - centre[:, None, :, 1]
    gx, gy = (jnp.exp(-(d**2) / (2 * sigma**2)) for d in (dx, dy))
    if cut:
        gx, gy = (jnp.where(abs(d) > cut * sigma, 0, g) for d, g in ((dx, gx), (dy, gy)))
    return gy[:, :, None] * gx[:, None]


def class_map(
    points: Float[Given, "B K 2"], size: int, counted: Bool[Given, "B K"] | bool = True
) -> Int[Array, "B h w"]:
    """(B, K, 2) crop pixels -> (B, size, size) int32: k at the pixel nearest to point k, K
    elsewhere (the background). Points off the crop, or that are not `counted`, are left out; of two
    on a pixel the later stays.
    """
    faces, count = points.shape[:2]
    shown = inside(points, size) & counted
    nearest = jnp.where(shown[..., None], jnp.round(points), size).astype(int)
    empty = jnp.full((faces, size, size), -1)
    face, x, y = jnp.arange(faces)[:, None], nearest[..., 0], nearest[..., 1]
    marked = empty.at[face, y, x].max(jnp.arange(count)[None], mode="drop")
    return jnp.where(marked < 0, count, marked)


def weight_map(maps: Float[Given, "B h w K"], easy: float = 0.1) -> Float[Array, "B h w K"]:
    """Target maps -> weights of their pixels: 1 near a point, `easy` elsewhere, the same shape.

    Near is where the 3x3 grey dilation of the target exceeds 0.2 (AWing, Wang et al., ICCV 2019,
    Section 4.3, whose weights 11 and 1 are 1 + 10 weight_map(maps, 0); with 1.0 and 0.1 in
    Gaussian Vector's Fig. 6).
    """
    dilated = nn.max_pool(maps, window_shape=(3, 3), strides=(1, 1), padding="SAME")
    return jnp.where(dilated > 0.2, 1.0, easy)


def nearest_pixels(places: Float[Given, "*shape"], side: int) -> Float[Array, "*shape"]:
    """Map pixels of a map of `side` -> the nearest whole ones, halves towards the map's middle.

    So both edges of the map, -1/2 and side - 1/2, belong to its first and last pixel: a crop as
    tight as the points has points exactly there. And mirrored points have mirrored pixels.
    """
    low = places < (side - 1) / 2
    return jnp.where(low, jnp.floor(places + 0.5), jnp.ceil(places - 0.5))


def vectors(
    points: Float[Given, "B K 2"],
    stride: int,
    size: int,
    sigma: float,
    theta: float,
    exponent: int = 2,
    tail: float = 0.0,
    tail_sigma: float = 2.0,
) -> tuple[Float[Array, "B w K"], Float[Array, "B h K"]]:
    """Vector labels (Gaussian Vector, Eq. 2): points (B, K, 2) crop pixels -> x (B, w, K), y.

    1 + theta at the map pixel nearest to the point, exp(-d^exponent / (2 sigma^2)) at distance d
    below 3 sigma, 0 beyond; sigma in map pixels. The paper prints d, its Eq. 6 inverts d^2.

    Each axis for itself: a point beside the map in x alone has the usual y. On an axis where the
    nearest pixel is off the map, Eq. 2 leaves the tail that reaches in, of amplitude 1. `tail` > 0
    leaves there what decoding.vectors inverts (Eq. 6): tail exp(-d^2 / (2 tail_sigma^2)), not cut,
    d to the point itself.
    """
    place, side = geometry.to_map(points, stride), size // stride
    centre = nearest_pixels(place, side)
    grid = jnp.arange(side, dtype=points.dtype)[None, :, None, None]
    distance = abs(grid - centre[:, None])  # (B, w, K, 2)
    label = jnp.exp(-(distance**exponent) / (2 * sigma**2))
    label = jnp.where(distance >= 3 * sigma, 0, label)  # so written, not-a-number stays
    label = jnp.where(distance == 0, 1 + theta, label)
    if tail:
        off = (centre < 0) | (centre > side - 1)
        reaching_in = tail * jnp.exp(-jnp.square(grid - place[:, None]) / (2 * tail_sigma**2))
        label = jnp.where(off[:, None], reaching_in, label)
    return label[..., 0], label[..., 1]


def whole_pixels(points: Float[Given, "B K 2"], stride: int) -> Float[Array, "B K 2"]:
    """(B, K, 2) crop pixels -> the map pixel that holds each point, truncated towards 0.

    The labels of the released codes of HRNet for faces and TAB are centred on it.
    """
    return jnp.trunc(geometry.to_map(points, stride) + 0.5)


def boundary_maps(
    points: Float[Given, "B K 2"],
    scheme: Scheme,
    stride: int,
    size: int,
    sigma: float = 1.5,
    cut: float = 0.0,
    integer: bool = False,
) -> Float[Array, "B h w 16"]:
    """Boundary maps (LAB, Wu et al., CVPR 2018; TAB): exp(-D^2 / (2 sigma^2)) at distance D from
    the polyline of each of the scheme's 15 curves, and as the 16th map from all of them together.

    points (B, K, 2) crop pixels -> (B, size/stride, size/stride, 16); `sigma` in map pixels. D is
    exact, to the sub-pixel polyline; `cut` > 0 sets values beyond cut * sigma to 0. A curve of
    fewer than two points gives zeros. A point that is not a number makes its curves so. `integer`
    as TAB's released code: corners are whole map pixels, and a segment counts only where all four
    of its coordinates exceed 0 (the code then draws it with cv2.line, which is within 1/2 pixel).
    """
    corners = whole_pixels(points, stride) if integer else geometry.to_map(points, stride)
    maps = []
    for curve in scheme.curves.values():
        line = corners[:, np.array(curve, int)].swapaxes(0, 1)
        squared = _squared_distance(line, size // stride, integer)
        values = jnp.exp(-squared / (2 * sigma**2))
        maps.append(jnp.where(squared > (cut * sigma) ** 2, 0, values) if cut else values)
    maps = jnp.stack(maps, -1)
    return jnp.concatenate([maps, maps.max(-1, keepdims=True)], -1)


def _squared_distance(line, side, positive):
    """Corners (n, B, 2) of a polyline, map pixels -> (B, side, side): from every pixel to it.

    `positive` passes over segments with a coordinate of 0 or less; infinite where none is left.
    One segment at a time: all at once would hold (B, side, side, n - 1).
    """
    grid = jnp.arange(side, dtype=line.dtype)

    def nearest(so_far, ends):
        (x0, y0), (x1, y1) = (end.T[..., None, None] for end in ends)
        x, y, along_x, along_y = grid[None, None] - x0, grid[None, :, None] - y0, x1 - x0, y1 - y0
        length = along_x**2 + along_y**2
        share = jnp.clip((x * along_x + y * along_y) / jnp.where(length > 0, length, 1), 0, 1)
        squared = (x - share * along_x) ** 2 + (y - share * along_y) ** 2
        if positive:
            left_out = ((ends[0] <= 0) | (ends[1] <= 0)).any(-1)
            squared = jnp.where(left_out[:, None, None], jnp.inf, squared)
        return jnp.minimum(so_far, squared), None

    start = jnp.full((line.shape[1], side, side), jnp.inf, line.dtype)
    return jax.lax.scan(nearest, start, (line[:-1], line[1:]))[0]


def curves_labelled(labelled: Bool[Given, "B K"], scheme: Scheme) -> Float[Array, "B 16"]:
    """(B, K) -> (B, 16): 1 for the boundary maps of whose curves every point is labelled, the 16th
    where all are."""
    curves = [labelled[:, np.array(curve, int)].all(-1) for curve in scheme.curves.values()]
    return jnp.stack([*curves, jnp.stack(curves).all(0)], -1).astype(jnp.float32)


def boundary_weights(scheme: Scheme, mask_duplicates: bool = False) -> Float[np.ndarray, "16"]:
    """(16,) weights of the boundary maps in a loss: 0 for curves that the scheme cannot draw, and,
    with `mask_duplicates`, for those that repeat an earlier one (the lower brows of 68 points)."""
    weights, seen = [], set()
    for curve in scheme.curves.values():
        line = min(curve, curve[::-1])
        weights.append(len(curve) > 1 and not (mask_duplicates and line in seen))
        seen.add(line)
    return np.array([*weights, True], np.float32)
