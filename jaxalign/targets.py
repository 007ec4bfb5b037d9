"""Training targets from points, on the device. Frames as in geometry; maps are (B, h, w, K)."""

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
DOT = 0.01  # map pixels: length of a segment between two equal points when blurred


def inside(points: Float[Given, "B K 2"], size: int) -> Bool[Array, "B K"]:
    """Whether each point lies on the crop, its very edges included.

    A point that is not a number counts as inside: its loss must not be masked away.

    Args:
        points: (B, K, 2), crop pixels.
        size: Side of the crop, pixels.

    Returns:
        (B, K) bool.
    """
    return ~jnp.any((points < -0.5) | (points > size - 0.5), -1)


def gaussian_maps(
    points: Float[Given, "B K 2"], stride: int, size: int, sigma: float, cut: float = 0.0
) -> Float[Array, "B h w K"]:
    """Landmark maps: exp(-d^2 / (2 sigma^2)) around each point (Newell et al., 2016).

    The centre is the exact sub-pixel point.

    Args:
        points: (B, K, 2), crop pixels.
        stride: Crop pixels per map pixel.
        size: Side of the crop, pixels.
        sigma: Standard deviation, map pixels.
        cut: Above 0, values beyond cut * sigma on either axis are 0.

    Returns:
        (B, size/stride, size/stride, K), peak 1.

    Example:
        >>> import numpy as np
        >>> points = np.array([[[1.5, 5.5]]], np.float32)
        >>> maps = gaussian_maps(points, stride=4, size=16, sigma=1.0)
        >>> maps.shape, float(maps[0, 1, 0, 0])  # the point is at x = 0, y = 1 of the map
        ((1, 4, 4, 1), 1.0)
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
    """The class of each pixel: the number of the point on it, or the background.

    Args:
        points: (B, K, 2), crop pixels.
        size: Side of the crop, pixels.
        counted: (B, K), the points to mark; others, and points off the crop, are left out.

    Returns:
        (B, size, size) integers: k at the pixel nearest to point k, K elsewhere. If two points
            share a pixel, the later one keeps it.
    """
    faces, count = points.shape[:2]
    shown = inside(points, size) & counted
    nearest = jnp.clip(jnp.round(points), 0, size - 1)  # size - 1/2, an edge, may round up
    nearest = jnp.where(shown[..., None], nearest, size).astype(int)
    empty = jnp.full((faces, size, size), -1)
    face, x, y = jnp.arange(faces)[:, None], nearest[..., 0], nearest[..., 1]
    marked = empty.at[face, y, x].max(jnp.arange(count)[None], mode="drop")
    return jnp.where(marked < 0, count, marked)


def weight_map(maps: Float[Given, "B h w K"], easy: float = 0.1) -> Float[Array, "B h w K"]:
    """Weights of the pixels of target maps: 1 near a point, `easy` elsewhere.

    Near means that the 3x3 grey dilation of the target exceeds 0.2 (AWing, Wang et al., ICCV 2019,
    Section 4.3; its weights 11 and 1 are 1 + 10 weight_map(maps, 0)). Gaussian Vector's Fig. 6 has
    the weights 1.0 and 0.1.

    Args:
        maps: (B, h, w, K) target maps, peak 1.
        easy: Weight of the pixels that are not near a point.

    Returns:
        (B, h, w, K).
    """
    dilated = nn.max_pool(maps, window_shape=(3, 3), strides=(1, 1), padding="SAME")
    return jnp.where(dilated > 0.2, 1.0, easy)


def nearest_pixels(places: Float[Given, "*shape"], side: int) -> Float[Array, "*shape"]:
    """The nearest whole map pixels; halves are rounded towards the map's middle.

    So both edges of the map, -1/2 and side - 1/2, belong to its first and last pixel: a crop as
    tight as the points has points exactly there. And mirrored points have mirrored pixels.

    Args:
        places: Any shape, map pixels.
        side: Side of the map, pixels.

    Returns:
        The shape of `places`, whole numbers as floats; not clipped to the map.
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
    """Vector labels (Gaussian Vector, Eq. 2), one vector for each axis of a point.

    1 + theta at the map pixel nearest to the point, exp(-d^exponent / (2 sigma^2)) at a distance d
    below 3 sigma, 0 beyond. Each axis is independent: a point beside the map in x alone has the
    usual y. If the nearest pixel is off the map on an axis, Eq. 2 leaves the tail that reaches into
    the map, of amplitude 1.

    Args:
        points: (B, K, 2), crop pixels.
        stride: Crop pixels per map pixel.
        size: Side of the crop, pixels.
        sigma: Width of the label, map pixels.
        theta: What the peak exceeds 1 by.
        exponent: 1, as the paper prints Eq. 2, or 2, as its Eq. 6 inverts it.
        tail: Above 0, the amplitude of the label of an axis off the map: tail exp(-d^2 / (2
            tail_sigma^2)), not cut, at distance d from the point itself. `decoding.vectors` inverts
            it (Eq. 6). 0 leaves Eq. 2's tail.
        tail_sigma: Width of that tail, map pixels.

    Returns:
        x (B, w, K) and y (B, h, K), with w = h = size/stride.
    """
    place, side = geometry.to_map(points, stride), size // stride
    centre = nearest_pixels(place, side)
    grid = jnp.arange(side, dtype=points.dtype)[None, :, None, None]
    distance = abs(grid - centre[:, None])  # (B, w, K, 2)
    label = jnp.exp(-(distance**exponent) / (2 * sigma**2))
    label = jnp.where(distance >= 3 * sigma, 0, label)  # this way round, not-a-number stays
    label = jnp.where(distance == 0, 1 + theta, label)
    if tail:
        off = (centre < 0) | (centre > side - 1)
        reaching_in = tail * jnp.exp(-jnp.square(grid - place[:, None]) / (2 * tail_sigma**2))
        label = jnp.where(off[:, None], reaching_in, label)
    return label[..., 0], label[..., 1]


def whole_pixels(points: Float[Given, "B K 2"], stride: int) -> Float[Array, "B K 2"]:
    """The map pixel that holds each point, truncated towards 0.

    The released codes of HRNet for faces and of TAB centre their labels on it.

    Args:
        points: (B, K, 2), crop pixels.
        stride: Crop pixels per map pixel.

    Returns:
        (B, K, 2), whole map pixels as floats.
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
    """Boundary maps of the scheme's 15 curves, and their highest as the 16th map.

    A curve of fewer than two points gives zeros. A curve with a point that is not a number is not a
    number.

    Args:
        points: (B, K, 2), crop pixels.
        scheme: Has the curves.
        stride: Crop pixels per map pixel.
        size: Side of the crop, pixels.
        sigma: Width of the lines, map pixels.
        cut: Above 0, values farther than cut * sigma from a curve are 0 (form `distance` only).
        integer: As TAB's released code: corners are whole map pixels, and a segment counts only if
            all four of its coordinates exceed 0 (form `distance` only). (The code draws it with
            cv2.line, within 1/2 pixel.)
        form: `distance`: exp(-D^2 / (2 sigma^2)) at the exact distance D from the curve's polyline
            (LAB, Wu et al., CVPR 2018; TAB). `blurred`: the polyline, of zero width, under a
            Gaussian filter, in closed form (PropagationNet, Section 3.1); it is about half as high
            at a curve's ends and highest at bends.
        union: Names of the curves in the 16th map.

    Returns:
        (B, size/stride, size/stride, 16), peak 1.

    Raises:
        ValueError: When `cut` or `integer` is given with the form `blurred`.

    Example:
        >>> import numpy as np
        >>> from jaxalign.schemes import SCHEMES
        >>> points = np.random.default_rng(0).uniform(0, 255, (2, 98, 2)).astype(np.float32)
        >>> boundary_maps(points, SCHEMES["wflw98"], stride=4, size=256).shape
        (2, 64, 64, 16)
    """
    if form == "blurred" and (cut or integer):
        raise ValueError("cut and integer are for form='distance'")
    corners = whole_pixels(points, stride) if integer else geometry.to_map(points, stride)
    maps = {}
    for name, curve in scheme.curves.items():
        line = corners[:, np.array(curve, int)].swapaxes(0, 1)
        if form == "blurred":
            maps[name] = _blurred(line, size // stride, sigma)
            continue
        squared = _squared_distance(line, size // stride, integer)
        values = jnp.exp(-squared / (2 * sigma**2))
        maps[name] = jnp.where(squared > (cut * sigma) ** 2, 0, values) if cut else values
    together = jnp.stack([maps[name] for name in union], -1).max(-1)
    return jnp.stack([*maps.values(), together], -1)


def _blurred(line, side, sigma):
    """A polyline of zero width under a Gaussian filter, divided by its highest value.

    Corners (n, B, 2), map pixels -> (B, side, side). The filter makes of a segment of length L, at
    `along` from its middle and `across` from its line,
        exp(-across^2 / (2 sigma^2)) (erf((along + L/2) / s) - erf((along - L/2) / s)) / 2
    with s = sqrt(2) sigma: 1 on a long line. Segments share only their ends, so their sum is the
    drawn line's value. The highest value is searched at all pixels and on the line itself
    (_crests): a line off the map is not raised to 1 at the map's edge. Points at one place are a
    dot. One segment at a time, as in _squared_distance.
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
            sums.append(total + jnp.exp(-((across / width) ** 2)) * share / 2)
        return tuple(sums), None

    start = pixels, jnp.zeros(crests.shape[:-1], line.dtype)
    (maps, on_line), _ = jax.lax.scan(add, start, (line[:-1], line[1:]))
    peak = jnp.maximum(maps.max((1, 2)), on_line.max((1, 2)))[:, None, None]
    return maps / jnp.where(peak > 0, peak, 1)


def _crests(line, sigma):
    """Where a blurred polyline (n, B, 2) may be highest, (m, B, 2).

    Its corners, the middles of its segments, and the insides of its bends: halfway between the
    points that lie sigma before and behind a corner.
    """
    before, corners, behind = line[:-2], line[1:-1], line[2:]

    def reached(end):
        length = jnp.linalg.norm(end - corners, axis=-1, keepdims=True)
        return (end - corners) * jnp.minimum(1, sigma / jnp.where(length > 0, length, 1))

    bends = corners + (reached(before) + reached(behind)) / 2
    return jnp.concatenate([line, (line[1:] + line[:-1]) / 2, bends])


def _squared_distance(line, side, positive):
    """Squared distance of every pixel from a polyline.

    Corners (n, B, 2), map pixels -> (B, side, side). `positive` skips segments with a coordinate of
    0 or less; the distance is infinite if none is left. One segment at a time: all at once would
    hold (B, side, side, n - 1).
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
    """Which boundary maps can be trained on: those with every point labelled.

    Args:
        labelled: (B, K) bool.
        scheme: Has the curves.
        union: Names of the curves in the 16th map.

    Returns:
        (B, 16) float32: 1 for curves whose points are all labelled, else 0. The 16th is 1 if that
            holds for all curves of `union`.
    """
    curves = {
        name: labelled[:, np.array(curve, int)].all(-1) for name, curve in scheme.curves.items()
    }
    together = jnp.stack([curves[name] for name in union]).all(0)
    return jnp.stack([*curves.values(), together], -1).astype(jnp.float32)


def boundary_weights(scheme: Scheme, mask_duplicates: bool = False) -> Float[np.ndarray, "16"]:
    """Weights of the boundary maps in a loss: 0 for curves that the scheme cannot draw.

    Args:
        scheme: Has the curves.
        mask_duplicates: 0 also for curves that repeat an earlier one, as the lower brows of 68
            points.

    Returns:
        (16,) float32, 0 or 1; the 16th is 1.
    """
    weights, seen = [], set()
    for curve in scheme.curves.values():
        line = min(curve, curve[::-1])
        weights.append(len(curve) > 1 and not (mask_duplicates and line in seen))
        seen.add(line)
    return np.array([*weights, True], np.float32)
