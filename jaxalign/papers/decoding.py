"""The cost of decoding, heatmaps against vectors: our numbers for Gaussian Vector's Table 9.

Times are in milliseconds. All variants are compiled first, then run in turn in one process, and
each run is waited for. There are 68 points, maps of 64 x 64, float32. A transfer is timed on an
array that the host has not read yet. All ways give the same points, and the fastest stands for its
method in the table:
  library     decoding.argmax and decoding.vectors, as systems use them
  argmax      over the flattened map, points last, as the network leaves it; over each vector
  points 1st  the same over contiguous maps (B, K, h w), were the network to leave them so
  transposed  the same, the transposition included
  rows        maximum of each row, argmax of these, argmax of that row: two vectorised reductions
  where       maximum of the map, then the first pixel that equals it: no index is carried along
"""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign import decoding
from jaxalign.systems.gaussian_vector import GaussianVector
from jaxalign.systems.interface import forward, normalise


POINTS, SIDE, PEAK, TAU = 68, 64, 4.0, 2.0


def shifted(maps, y, x, xp=jnp):
    """Integer peaks of maps (B, h, w, K) -> points with the quarter shift, as decoding.argmax."""
    batch, height, width, points = maps.shape
    face, point = xp.arange(batch)[:, None], xp.arange(points)[None]

    def at(row, column):
        return maps[face, xp.clip(row, 0, height - 1), xp.clip(column, 0, width - 1), point]

    slope = xp.stack([at(y, x + 1) - at(y, x - 1), at(y + 1, x) - at(y - 1, x)], -1)
    within = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    position = xp.stack([x, y], -1).astype(xp.float32)
    return position + xp.float32(0.25) * xp.where(within[..., None], xp.sign(slope), 0)


def flat(maps, xp=jnp):
    width = maps.shape[2]
    best = maps.reshape(len(maps), -1, maps.shape[3]).argmax(1)
    return shifted(maps, best // width, best % width, xp)


def rows(maps, xp=jnp):
    y = maps.max(2).argmax(1)
    row = xp.take_along_axis(maps, y[:, None, None], 1)[:, 0]
    return shifted(maps, y, row.argmax(1), xp)


def first_of_equals(values, xp=jnp):
    """(B, n, K) -> the index (B, K) of the maximum, as argmax."""
    places = xp.arange(values.shape[1], dtype=xp.int32)[None, :, None]
    equal = values == values.max(1, keepdims=True)
    return xp.where(equal, places, values.shape[1] - 1).min(1)


def where(maps, xp=jnp):
    width = maps.shape[2]
    best = first_of_equals(maps.reshape(len(maps), -1, maps.shape[3]), xp)
    return shifted(maps, best // width, best % width, xp)


def points_first(maps, xp=jnp):
    """Maps (B, K, h, w)."""
    best = maps.reshape(*maps.shape[:2], -1).argmax(-1)
    width = maps.shape[3]
    return shifted(xp.moveaxis(maps, 1, 3), best // width, best % width, xp)


def transposed(maps, xp=jnp):
    maps = xp.moveaxis(maps, 3, 1)
    return points_first(xp.ascontiguousarray(maps) if xp is np else maps, xp)


def vectors(x, y, xp=jnp, equals=False):
    """As decoding.vectors with the Beyond Box Strategy; `equals`: without argmax, as `where`."""

    def peak(vector):
        last = vector.shape[1] - 1
        best = first_of_equals(vector, xp) if equals else vector.argmax(1)

        def at(index):
            return xp.take_along_axis(vector, xp.clip(index, 0, last)[:, None], 1)[:, 0]

        within, value = (best > 0) & (best < last), at(best)
        slope = xp.sign(at(best + 1) - at(best - 1))
        beyond = 2 * xp.sqrt(-2 * xp.log(xp.clip(value / TAU, 1e-3, 1)))
        ends = xp.where(best == 0, -beyond, beyond)
        return xp.where(value <= 0, last / 2, best + xp.where(within, 0.25 * slope, ends))

    return xp.stack([peak(x), peak(y)], -1)


WAYS = {"rows": rows, "where": where, "transposed": transposed}
ON_HOST = {"argmax": partial(flat, xp=np), **{k: partial(v, xp=np) for k, v in WAYS.items()}}


def timed_system(size: int) -> GaussianVector:
    return GaussianVector(size=size, backbone="mobilenetv3_small", fpn_width=64)


def networks(size: int):
    """Two functions of one network (MobileNetV3-small, FPN of 64): to maps, and to vectors."""
    system = timed_system(size)
    variables = jax.jit(system.init)(jax.random.key(0))

    def maps(variables, images):
        images = normalise(images, system.dtype)
        return forward(system.network, "network", variables, images)[0]

    def bands(variables, images):
        return system.vectors(maps(variables, images))

    return {"heatmap": jax.jit(maps), "vector": jax.jit(bands)}, jax.device_put(variables)


def variants(batch: int, size: int = 4 * SIDE):
    """(part, method, way) -> a pair: the preparation, which is not timed, and the timed work."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (batch, size, size, 3), np.uint8))
    host_maps = rng.random((batch, SIDE, SIDE, POINTS), np.float32)
    host_vectors = tuple(4 * rng.random((2, batch, SIDE, POINTS), np.float32))
    maps, (x, y) = jnp.asarray(host_maps), map(jnp.asarray, host_vectors)
    first = jnp.asarray(np.moveaxis(host_maps, 3, 1).copy())
    forward, variables = networks(size)
    copy = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 0, tree))
    decode_maps = jax.jit(lambda maps: decoding.argmax(maps)[0])
    decode_vectors = jax.jit(lambda x, y: decoding.vectors(x, y, PEAK, TAU)[0])

    def ready(call, *arguments):
        return lambda: None, lambda _: jax.block_until_ready(call(*arguments))

    def fetched(call, *arguments):
        def fetch(tree):
            return jax.tree.map(np.asarray, tree)

        return lambda: jax.block_until_ready(call(*arguments)), fetch

    found: dict[tuple, tuple[Callable, Callable]] = {
        ("forward", name, ""): ready(call, variables, images) for name, call in forward.items()
    }
    ways = {"argmax": flat, **WAYS}
    on_device = {"library": decode_maps, **{k: jax.jit(v) for k, v in ways.items()}}
    for name, call in on_device.items():
        found["on the device", "heatmap", name] = ready(call, maps)
    found["on the device", "heatmap", "points 1st"] = ready(jax.jit(points_first), first)
    found["on the device", "vector", "library"] = ready(decode_vectors, x, y)
    found["on the device", "vector", "argmax"] = ready(jax.jit(vectors), x, y)
    found["points to the host", "heatmap", ""] = fetched(decode_maps, maps)
    found["points to the host", "vector", ""] = fetched(decode_vectors, x, y)
    found["all to the host", "heatmap", ""] = fetched(copy, maps)
    found["all to the host", "vector", ""] = fetched(copy, (x, y))
    for name, call in ON_HOST.items():
        found["on the host", "heatmap", name] = lambda: None, lambda _, call=call: call(host_maps)
    for name, equals in (("argmax", False), ("where", True)):
        call = partial(vectors, *host_vectors, np, equals)
        found["on the host", "vector", name] = lambda: None, lambda _, call=call: call()
    return found


def timed(pairs: dict[tuple, tuple[Callable, Callable]], repeats: int) -> dict[tuple, np.ndarray]:
    """The milliseconds of each pair, in turn `repeats` times, after two runs that are not timed."""
    times = {key: [] for key in pairs}
    for turn in range(-2, repeats):
        for key, (prepare, work) in pairs.items():
            work(prepare())  # not timed: so the caches are as this variant leaves them
            given = prepare()
            started = time.perf_counter()
            work(given)
            if turn >= 0:
                times[key].append(1000 * (time.perf_counter() - started))
    return {key: np.array(values) for key, values in times.items()}


def tensor_sizes() -> dict[str, str]:
    """Method -> shape of the network's output for a face, as the paper writes it, points first."""
    system = timed_system(4 * SIDE)

    def pair(variables, images):
        return jnp.stack(system.vectors(system.maps(variables, images)), 2)

    variables = system.shapes()
    images = jax.ShapeDtypeStruct((1, system.size, system.size, 3), jnp.uint8)
    found = {"heatmap": system.maps, "vector": pair}
    shapes = {name: jax.eval_shape(f, variables, images).shape for name, f in found.items()}
    return {name: str((shape[-1], *shape[1:-1])) for name, shape in shapes.items()}


def paper_table(repeats: int = 200) -> dict[str, tuple[str | float, ...]]:
    """The cells of Table 9: size of the output tensor, and three times in milliseconds.

    They are the times of forward, of post-processing on the host (the fastest way), and of
    transmission.
    """
    medians = {key: np.median(ms) for key, ms in timed(variants(1), repeats).items()}

    def fastest(part, method):
        return min(ms for (p, m, _), ms in medians.items() if (p, m) == (part, method))

    parts = ("forward", "on the host", "all to the host")
    rows = {"heatmap": "Heatmap", "vector": "Gaussian Vector"}
    sizes = tensor_sizes()
    return {
        label: (sizes[name], *(fastest(part, name) for part in parts))
        for name, label in rows.items()
    }
