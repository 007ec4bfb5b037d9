"""Devices: pmap lives here and nowhere else.

The state is replicated and batches are split over the local devices. Everything returned is reduced
or gathered over the axis inside the step, so results carry no device axis.
"""

import contextlib
import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxalign.errors import InputError
from jaxalign.layers.norm import AXIS


# On CPUs XLA's own convolutions are quicker than YNNPACK's, whose threads share channels only.
FLAG = "--xla_cpu_experimental_ynn_fusion_type"
OWN = f"{FLAG}=-individual_convolution"
SILENT = 2.0  # seconds of compiling before the log says so
LOG = logging.getLogger(__name__)


def start(require: str = "", distributed: bool = False) -> str:
    """Joins the other hosts if there are any, and says what this run computes on.

    Compiled programs are kept in ~/.cache/jaxalign, unless JAX_COMPILATION_CACHE_DIR names another
    folder, so that a program once compiled starts at once. Several hosts keep them in that alone.

    Args:
        require: "cpu", "gpu" or "tpu": the devices that JAX must find; "" takes any.
        distributed: Call jax.distributed.initialize. It finds its cluster by itself, or through
            JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Returns:
        The devices and, of several hosts, which one this is, in words.

    Raises:
        InputError: When JAX found other devices than required, or a variable of the cluster is
            missing, when there is no cluster, or no device as JAX_PLATFORMS names it.
    """
    choose(require)
    try:
        if distributed:
            _initialize()
        wake()
        _keep_compiled()
        line = devices()
    except (RuntimeError, ValueError, AssertionError) as error:  # JAX raises all of them
        reason = " ".join(str(error).split()) or "it finds no such device"
        raise InputError(f"JAX cannot start: {reason}; {_remedy(distributed)}") from None
    if jax.process_count() > 1:
        line += f", host {jax.process_index() + 1} of {jax.process_count()}"
    if require and jax.devices()[0].platform != require:
        raise InputError(
            f"--require {require}, but JAX found only {line}; install jax[cuda12] or jax[tpu], "
            "check the driver, or drop --require"
        )
    return line


def wake():
    """Lets JAX look for its devices, if it has not, and compute convolutions quickly on CPUs.

    XLA reads XLA_FLAGS only once, as it begins, so they are as before when this returns. Where they
    name FLAG, that stands.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if FLAG not in given:
        os.environ["XLA_FLAGS"] = f"{given} {OWN}"
    try:
        jax.local_devices()
    finally:
        os.environ["XLA_FLAGS"] = given
        if not given:
            del os.environ["XLA_FLAGS"]


def _keep_compiled():
    # JAX makes these attributes as it is imported, where no type checker sees them
    chosen = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if chosen is None and jax.process_count() == 1:  # only the first of several hosts would write
        with contextlib.suppress(RuntimeError, OSError):  # without a home nothing is kept
            # by host: what XLA compiles for one processor need not run on another
            cache = Path.home() / ".cache" / "jaxalign" / socket.gethostname()
            cache.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(cache))


def _remedy(distributed):
    if distributed:
        return (
            "for --distributed, set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID "
            "on each host, or leave it out on a single one"
        )
    if asked := os.environ.get("JAX_PLATFORMS"):
        return f"JAX_PLATFORMS={asked} asks for that device: unset it, or set JAX_PLATFORMS=cpu"
    return "check the driver, or compute on the CPU with --require cpu"


def devices() -> str:
    """The devices of all hosts in words.

    Returns:
        Such as "8 x GPU (NVIDIA A100)".
    """
    device = jax.devices()[0]
    return f"{jax.device_count()} x {device.platform.upper()} ({device.device_kind})"


def meet(name: str):
    """Waits until all hosts are here.

    Args:
        name: Name of the place, the same on every host.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def gathered(mine: np.ndarray, total: int) -> np.ndarray:
    """Gathers rows of numbers from all hosts.

    Args:
        mine: This host's rows: every process_count-th of all, from its index on.
        total: Number of rows of all hosts.

    Returns:
        (total, ...) float64, in order, on every host.
    """
    hosts = jax.process_count()
    if hosts == 1:
        return np.asarray(mine, np.float64)
    rows = np.zeros((-(-total // hosts), *mine.shape[1:]))
    rows[: len(mine)] = mine
    # as words, because JAX would make float32 of them
    words = multihost_utils.process_allgather(rows.reshape(len(rows), -1).view(np.uint32))
    found = np.ascontiguousarray(words).view(np.float64).swapaxes(0, 1)
    return found.reshape(-1, *mine.shape[1:])[:total]


def choose(require: str):
    """Keeps JAX from looking for an accelerator if the CPU is required.

    It must be called before JAX looks for devices.

    Args:
        require: As `start` takes it.
    """
    if require == "cpu":
        jax.config.update("jax_platforms", "cpu")


def _initialize():
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is None:
        jax.distributed.initialize()
        return
    try:
        count, index = (int(os.environ[f"JAX_{n}"]) for n in ("NUM_PROCESSES", "PROCESS_ID"))
    except (KeyError, ValueError):
        raise InputError(
            "JAX_COORDINATOR_ADDRESS is set: set JAX_NUM_PROCESSES and JAX_PROCESS_ID too"
        ) from None
    jax.distributed.initialize(address, count, index)


def check_batch(batch: int, parts: int = 1, devices: int | None = None):
    """Refuses a batch that does not divide over all devices.

    Args:
        batch: Faces per step.
        parts: Parts that each device's share is divided into.
        devices: How many devices; None: those of this run.

    Raises:
        InputError: When it does not divide; the message names the next batch that does.
    """
    devices = jax.device_count() if devices is None else devices
    if batch % (count := devices * parts):
        into = f", in {parts} parts each" if parts > 1 else ""
        raise InputError(
            f"training.batch={batch} does not divide over {devices} devices{into}; "
            f"use --set training.batch={-(-batch // count) * count}"
        )


def check_memory(shapes, remedy: str):
    """Refuses arrays that need more memory than there is.

    The limit is a device's memory, or the machine's if the device names none.

    Args:
        shapes: A tree of arrays or shapes.
        remedy: What the user can do, for the message.

    Raises:
        InputError: When they do not fit.
    """
    needed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    stats = jax.local_devices()[0].memory_stats() or {}
    there = stats.get("bytes_limit", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if needed > there:
        raise InputError(
            f"weights, optimiser states and one batch of photos need {needed / 2**30:,.1f} GiB, of "
            f"{there / 2**30:,.1f} GiB there are; {remedy}"
        )


def announced(function: Callable, what: str) -> Callable:
    """A compiled function that logs when it compiles for longer than SILENT seconds.

    The first call for each shape of its last argument compiles.

    Args:
        function: The compiled function.
        what: Its name in the log.

    Returns:
        The function, with the same arguments and results.
    """
    seen = set()

    @wraps(function)
    def call(*arguments):
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(arguments[-1:]))
        if shapes in seen or jax.process_index() > 0:
            return function(*arguments)
        told = "compiling %s (once; a large network takes minutes)"
        timer = threading.Timer(SILENT, LOG.info, (told, what))
        timer.daemon = True
        timer.start()
        try:
            return function(*arguments)
        finally:
            timer.cancel()
            seen.add(shapes)

    return call


def training(step):
    """A training step on all devices of all hosts.

    Args:
        step: step(state, batch) -> (state, metrics), with AXIS bound.

    Returns:
        The same function of a replicated state, which is donated, and a batch as `split` makes it.
    """
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0)
    return announced(mapped, "the training step")


def agreed(number: int):
    """The largest number of all hosts, on every host.

    Args:
        number: This host's number.

    Returns:
        A number, or with several hosts an array; the host waits for it in int() only.
    """
    if jax.process_count() == 1:
        return number
    return _largest(np.full(jax.local_device_count(), number, np.int32))


@partial(jax.pmap, axis_name=AXIS, out_axes=None)
def _largest(number):
    return jax.lax.pmax(number, AXIS)


def reduction(reduce):
    """A reduction of batches on all devices of all hosts.

    Args:
        reduce: reduce(variables, batch) -> values reduced over AXIS.

    Returns:
        The same function of variables and a batch as `split` makes it.
    """
    mapped = jax.pmap(reduce, axis_name=AXIS, in_axes=(None, 0), out_axes=None)
    return announced(mapped, "the validation loss")


def prediction(predict):
    """A prediction on this host's devices, from numpy to numpy.

    Args:
        predict: predict(variables, images (B, ...)) -> arrays (B, ...).

    Returns:
        The same function, with B a multiple of the local devices and variables as `replicate` with
            `local` leaves them.
    """
    wake()
    mapped = jax.pmap(predict, in_axes=(None, 0), out_axes=0, devices=jax.local_devices())
    mapped = announced(mapped, "the prediction")

    def call(variables, images):
        return jax.tree.map(_join, mapped(variables, split(images)))

    return call


def local_devices() -> int:
    """The number of this host's devices.

    Returns:
        1 or more.
    """
    return jax.local_device_count()


def replicate(tree, local: bool = False):
    """Copies arrays to every device.

    Args:
        tree: Host arrays, the same on every host.
        local: Only the devices of this host.

    Returns:
        The tree on the devices.
    """
    chosen = jax.local_devices() if local else jax.devices()
    mesh = jax.sharding.Mesh(np.array(chosen), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


def split(array: np.ndarray) -> np.ndarray:
    """A batch with a device axis in front.

    Args:
        array: (B, ...), B a multiple of the local devices.

    Returns:
        (local devices, B / local devices, ...).
    """
    return array.reshape(jax.local_device_count(), -1, *array.shape[1:])


def ahead(batches: Iterable[Any], keys: Sequence[str]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Moves batches to the devices while the caller works on the batch before.

    With several hosts, each only waits ahead; the step moves the arrays, because it knows the other
    hosts' devices. An error in making a batch is raised when its turn comes.

    Args:
        batches: Dicts of host arrays.
        keys: The arrays that the step needs.

    Yields:
        Each batch, and its arrays of `keys` as `split` lays them out, on the devices.
    """
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
    waiting = iter(batches)

    def moved():
        batch = next(waiting, None)
        if batch is None:
            return None
        laid = {key: split(batch[key]) for key in keys}
        return batch, jax.device_put(laid, spread) if jax.process_count() == 1 else laid

    with ThreadPoolExecutor(1, "batches") as pool:
        coming = pool.submit(moved)
        while (found := coming.result()) is not None:
            coming = pool.submit(moved)
            yield found


def _join(array):
    """(local devices, b, ...) -> (B, ...), on the host."""
    array = np.asarray(array)
    return array.reshape(-1, *array.shape[2:])


def to_host(tree):
    """Numpy copies of a replicated tree, on every host; donating the tree leaves them alone.

    Args:
        tree: A tree as `replicate` returns it.

    Returns:
        The tree of numpy arrays.
    """
    return jax.tree.map(lambda x: np.array(x.addressable_data(0)), tree)
