"""Points to training targets, on the device. Frames as in geometry; maps are (B, h, w, K)."""

from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.scipy.special import erf
from jaxtyping import Array, Bool, Float, Int

from jaxalign import geometry
from jaxalign.schemes import CURVES, Scheme


Given = jax.Array | np.ndarray  # outside a traced function arrays of numpy do too
FORMS = ("distance", "blurred")  # of boundary maps
DOT = 0.01  # map pixels: what a segment between two points at one place is long when blurred


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
    form: str = "distance",
    union: Collection[str] = CURVES,
) -> Float[Array, "B h w 16"]:
    """Boundary maps of the scheme's 15 curves, peak 1, and as the 16th the highest of those that
    `union` names. points (B, K, 2) crop pixels -> (B, size/stride, size/stride, 16).

    `form` distance (LAB, Wu et al., CVPR 2018; TAB): exp(-D^2 / (2 sigma^2)) at the exact distance
    D from the curve's polyline; `sigma` in map pixels; `cut` > 0 sets values beyond cut * sigma to
    0. blurred (PropagationNet, Section 3.1): the polyline, of zero width, under a Gaussian filter,
    by its closed form (_blurred): about half as high at a curve's ends, highest where it bends.

    A curve of fewer than two points gives zeros. A point that is not a number makes its curves so.
    `integer` as TAB's released code: corners are whole map pixels, and a segment counts only where
    all four of its coordinates exceed 0 (the code then draws it with cv2.line, which is within 1/2
    pixel). Errors: ValueError for a `cut` of the blurred form, which knows no distance.
    """
    if form == "blurred" and cut:
        raise ValueError("cut is for form='distance'")
    corners = whole_pixels(points, stride) if integer else geometry.to_map(points, stride)
    maps = {}
    for name, curve in scheme.curves.items():
        line = corners[:, np.array(curve, int)].swapaxes(0, 1)
        if form == "blurred":
            maps[name] = _blurred(line, size // stride, sigma, integer)
            continue
        squared = _squared_distance(line, size // stride, integer)
        values = jnp.exp(-squared / (2 * sigma**2))
        maps[name] = jnp.where(squared > (cut * sigma) ** 2, 0, values) if cut else values
    together = jnp.stack([maps[name] for name in union], -1).max(-1)
    return jnp.stack([*maps.values(), together], -1)


def _blurred(line, side, sigma, positive):
    """Corners (n, B, 2) of a polyline, map pixels -> (B, side, side): the line, of zero width,
    under a Gaussian filter, divided by its highest value.

    Under it a segment of length L is, at `along` from its middle and `across` from its line,
        exp(-across^2 / (2 sigma^2)) (erf((along + L/2) / s) - erf((along - L/2) / s)) / 2
    with s = sqrt(2) sigma: 1 on a long line. Segments share no more than their ends, so that the
    sum of theirs is the drawn line's. The highest value is looked for at all pixels and on the line
    itself (_crests): a line off the map is not raised to 1 at its edge. Points at one place are a
    dot. `positive` passes over segments with a coordinate of 0 or less. One segment at a time, as
    in _squared_distance.
    """
    faces, width = line.shape[1], 2**0.5 * sigma
    pixels = jnp.zeros((faces, side, side), line.dtype)
    if len(line) < 2:
        return pixels
    grid = jnp.arange(side, dtype=line.dtype)
    crests = _crests(line, sigma).swapaxes(0, 1)[..., None, :]
    places = (grid[None, None], grid[None, :, None]), (crests[..., 0], crests[..., 1])

    def add(so_far, ends):
        (x0, y0), (x1, y1) = (end.T[..., None, None] for end in ends)
        length = jnp.hypot(x1 - x0, y1 - y0)
        apart = length > 0
        x_step = jnp.where(apart, x1 - x0, 1) / jnp.where(apart, length, 1)
        y_step = (y1 - y0) / jnp.where(apart, length, 1)
        half = jnp.maximum(length, DOT) / 2
        sums = []
        for total, (x, y) in zip(so_far, places, strict=True):
            x, y = x - (x0 + x1) / 2, y - (y0 + y1) / 2
            along, across = x * x_step + y * y_step, x * y_step - y * x_step
            share = erf((along + half) / width) - erf((along - half) / width)
            value = jnp.exp(-((across / width) ** 2)) * share / 2
            if positive:
                left_out = ((ends[0] <= 0) | (ends[1] <= 0)).any(-1)
                value = jnp.where(left_out[:, None, None], 0, value)
            sums.append(total + value)
        return tuple(sums), None

    start = pixels, jnp.zeros(crests.shape[:-1], line.dtype)
    (maps, on_line), _ = jax.lax.scan(add, start, (line[:-1], line[1:]))
    peak = jnp.maximum(maps.max((1, 2)), on_line.max((1, 2)))[:, None, None]
    return maps / jnp.where(peak > 0, peak, 1)


def _crests(line, sigma):
    """Where a blurred polyline (n, B, 2) may be highest, (m, B, 2): its corners, the middles of its
    segments, and inside its bends, halfway between what lies sigma before and behind a corner."""
    before, corners, behind = line[:-2], line[1:-1], line[2:]

    def reached(end):
        length = jnp.linalg.norm(end - corners, axis=-1, keepdims=True)
        return (end - corners) * jnp.minimum(1, sigma / jnp.where(length > 0, length, 1))

    bends = corners + (reached(before) + reached(behind)) / 2
    return jnp.concatenate([line, (line[1:] + line[:-1]) / 2, bends])


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


def curves_labelled(
    labelled: Bool[Given, "B K"], scheme: Scheme, union: Collection[str] = CURVES
) -> Float[Array, "B 16"]:
    """(B, K) -> (B, 16): 1 for the boundary maps of whose curves every point is labelled, the 16th
    where it is so of all that `union` names."""
    curves = {
        name: labelled[:, np.array(curve, int)].all(-1) for name, curve in scheme.curves.items()
    }
    together = jnp.stack([curves[name] for name in union]).all(0)
    return jnp.stack([*curves.values(), together], -1).astype(jnp.float32)


def boundary_weights(scheme: Scheme, mask_duplicates: bool = False) -> Float[np.ndarray, "16"]:
    """(16,) weights of the boundary maps in a loss: 0 for curves that the scheme cannot draw, and,
    with `mask_duplicates`, for those that repeat an earlier one (the lower brows of 68 points)."""
    weights, seen = [], set()
    for curve in scheme.curves.values():
        line = min(curve, curve[::-1])
        weights.append(len(curve) > 1 and not (mask_duplicates and line in seen))
        seen.add(line)
    return np.array([*weights, True], np.float32)
