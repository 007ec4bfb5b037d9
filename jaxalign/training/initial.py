"""Where training starts from: published weights, other jaxalign checkpoints, or at random."""

from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints, tensors
from jaxalign.backbones import BACKBONES
from jaxalign.conversion import CONVERTERS
from jaxalign.errors import InputError
from jaxalign.metrics import listed
from jaxalign.schemes import SCHEMES
from jaxalign.systems.interface import System
from jaxalign.torch_files import read_torch


SHOWN = 6  # of many names in a line
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def start(system: System, variables: dict, init_from: str = "") -> tuple[dict, list[str]]:
    """Puts the starting weights into fresh variables.

    A checkpoint gives every array of the same path and shape. Where its points are of another
    scheme that converts to the system's, it also gives the arrays of the points: those of each
    point come from the points that it would be converted from. The networks in `system.taken` are
    then replaced as a whole; a line warns of each difference that `system.unlike` finds in their
    recipes.

    Args:
        system: The system to train.
        variables: Its fresh variables.
        init_from: A file of PyTorch weights for `system.pretrained`, or a checkpoint as
            checkpoints.find_step takes it; "" for neither.

    Returns:
        The variables with the starting weights (NumPy), and lines that say what came from where.
        Where there is nothing to start from, the variables as they are, and no lines.

    Raises:
        InputError: Something that is named does not fit.
    """
    if not init_from and not system.taken:
        return variables, []
    own, put, lines = arrays_of(variables), {}, []
    init_from = init_from and str(checkpoints.local(init_from))
    if init_from and checkpoints.is_one(init_from):
        put, lines = _from_checkpoint(system, own, init_from)
    elif init_from:
        put, lines = from_file(system, own, Path(init_from))
    for network, path in system.taken.items():
        arrays, other = _whole_network(own, network, path)
        put |= arrays
        lines.append(f"{network}: whole from {path}")
        found = system.unlike(network, other)
        lines += [f"warning: {network} of {path} was {difference}" for difference in found]
    if rest := _modules(own, put):
        lines.append(f"left at random: {listed(rest, SHOWN)}")

    def started(path, leaf):
        return np.array(put.get(_key(path), leaf), leaf.dtype, order="C")

    return jax.tree_util.tree_map_with_path(started, variables), lines


def arrays_of(variables: dict) -> dict[tuple[str, ...], np.ndarray]:
    """Flattens a tree of variables.

    Args:
        variables: Nested dicts with arrays or shapes as leaves.

    Returns:
        The leaves by keys such as ("params", "network", ..., "kernel").
    """
    return {_key(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(variables)}


def _key(path):
    return tuple(entry.key for entry in path)


def torch_names(torch_name, keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Names the arrays of a backbone as its published file does.

    Args:
        torch_name (Callable): The path of a layer -> its name in the file, "" where it has none.
        keys: The arrays inside the backbone: ("params", module, ..., "kernel").

    Returns:
        The names by key; arrays that the file does not have are left out.
    """
    layers = {key: torch_name("/".join(key[1:-1])) for key in keys}
    return {key: f"{layer}.{LEAVES[key[-1]]}" for key, layer in layers.items() if layer}


def from_torch(array: np.ndarray, key: tuple[str, ...], rank: int) -> np.ndarray:
    """Brings an array of PyTorch into Flax's order.

    Args:
        array: The array as the file has it.
        key: The array's key; only kernels are changed.
        rank: The number of dimensions that it should have.

    Returns:
        OIHW as HWIO, OI as IO, and 1x1 kernels as IO where `rank` is 2.
    """
    if key[-1] != "kernel":
        return array
    if rank == 2 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    return np.moveaxis(array, (0, 1), (-1, -2)) if array.ndim > 1 else array


def from_file(system: System, own: dict, path: Path) -> tuple[dict, list[str]]:
    """Chooses what a file of PyTorch weights gives to a system.

    Args:
        system: The system to train.
        own: The arrays of its fresh variables, or their shapes, by key.
        path: The file.

    Returns:
        The arrays that the file gives, by key, and lines that say so.

    Raises:
        InputError: The file fits nothing of the system, or an array has another shape.
    """
    arrays, put, used, lines, wanted = read_torch(path), {}, set(), [], []
    for place, name in system.pretrained.items():
        backbone, inside = BACKBONES[name], tuple(place.split("/"))
        size = len(inside)
        # keys as inside the backbone, without the place
        leaves: dict[tuple[str, ...], tuple[str, ...]] = {
            (k[0], *k[size + 1 :]): k for k in own if k[1 : size + 1] == inside
        }
        names = torch_names(backbone.torch_name, leaves)
        found = {key: name for key, name in names.items() if name in arrays}
        if 2 * len(found) < len(names):
            wanted.append(f"{backbone.weights} ({listed(list(names.values()), 3)})")
            continue
        for key, name in found.items():
            target = own[leaves[key]]
            array = from_torch(arrays[name], key, target.ndim)
            if array.shape != target.shape:
                raise InputError(
                    f"{path}: {name} of shape {arrays[name].shape} does not fit "
                    f"{place}/{'/'.join(key[1:])} {target.shape}; give {backbone.weights}"
                )
            put[leaves[key]] = array
            used.add(name)
        count = f"{len(found)} of {len(leaves)} arrays"
        lines.append(f"{place}: {count} from {path.name} ({backbone.weights})")
    if not system.pretrained:
        kind = type(system).__name__
        raise InputError(
            f"{path}: with these settings no part of {kind} takes published weights; leave "
            "--init-from out, or give a work directory"
        )
    if not put:
        raise InputError(f"{path} has {listed(list(arrays), 3)}; wanted: {' or '.join(wanted)}")
    if unused := [n for n in arrays if n not in used and not n.endswith("num_batches_tracked")]:
        lines.append(f"not used of the file: {listed(unused, SHOWN)}")
    return put, lines


def _from_checkpoint(system, own, path):
    inside = [p.name for p in Path(path).iterdir()] if Path(path).is_dir() else []
    files = [name for name in inside if name.endswith((".pth", tensors.SUFFIX))]
    if files and checkpoints.FOLDER not in inside:
        raise InputError(f"{path} is a folder; name the file in it: {listed(files, SHOWN)}")
    recipe, variables, step = checkpoints.load(path)
    theirs = arrays_of(variables)
    pair = recipe.system.scheme, system.scheme
    converted = {}
    if pair[0] != pair[1] and pair in CONVERTERS:
        shared = theirs.keys() & own.keys()
        converted = {k: _in_scheme(theirs[k], own[k], CONVERTERS[pair]) for k in shared}
    given = theirs | converted
    put = {k: a for k, a in given.items() if k in own and a.shape == own[k].shape}
    if not put:
        has, wanted = (listed(_modules(arrays, {}), SHOWN) for arrays in (theirs, own))
        raise InputError(
            f"{path}: has {has}, of which no array fits this recipe's {wanted}; give the work "
            "directory of a like system"
        )
    lines = []
    for network in dict.fromkeys(key[1] for key in put):
        taken, all_own = (sum(key[1] == network for key in keys) for keys in (put, own))
        lines.append(f"{network}: {taken} of {all_own} arrays from {step}")
    if unlike := {k: a for k, a in put.items() if a.shape != theirs[k].shape}:
        names = listed(["/".join(key[1:]) for key in unlike], SHOWN)
        lines.append(f"{pair[0]} to {pair[1]} points: {names}")
    if unused := _modules(theirs, put):
        lines.append(f"not used of the checkpoint: {listed(unused, SHOWN)}")
    return put, lines


def _in_scheme(array, own, converter):
    """Turns an array of another scheme's system into one of ours, along each axis of its points.

    These arrays are the points' convolution kernels, biases and the like: `own` has as many there
    as our scheme has points. Points that the converter cannot give keep what they have.
    """
    if array.ndim != own.ndim:
        return array
    theirs, ours = (SCHEMES[name].num_points for name in (converter.source, converter.target))
    axes = [i for i, size in enumerate(array.shape) if (size, own.shape[i]) == (theirs, ours)]
    for axis in axes:
        values = np.moveaxis(np.asarray(array), axis, -1)
        array = np.moveaxis(converter(values[..., None])[..., 0], -1, axis)
    return np.where(np.isnan(array), own, array) if array.shape == own.shape else array


def _whole_network(own, network, path):
    recipe, variables, _ = checkpoints.load(path)
    return check_network(own, arrays_of(variables), network, path), recipe.system


def check_network(own: dict, theirs: dict, network: str, path: Path | str) -> dict:
    """Checks that a network of a checkpoint can be taken as a whole.

    Args:
        own: The system's own arrays, or their shapes, by key.
        theirs: The checkpoint's arrays, or their shapes, by key.
        network: The network's name.
        path: The checkpoint, for the message.

    Returns:
        The checkpoint's arrays of this network, by key.

    Raises:
        InputError: The network is missing there, or its arrays are not like the system's own.
    """
    wanted = {key: leaf.shape for key, leaf in own.items() if key[1] == network}
    given = {key: array for key, array in theirs.items() if key[1] == network}
    if not given:
        has = listed(_modules(theirs, {}), SHOWN)
        raise InputError(f"{path}: has no network {network!r} to take, but {has}; give another")
    for key in sorted(wanted.keys() | given.keys()):
        shape = given[key].shape if key in given else "nothing"
        if shape != wanted.get(key):
            raise InputError(
                f"{path}: its {'/'.join(key[1:])} is {shape}, and this recipe's "
                f"{wanted.get(key, 'nothing')}; take {network} of a checkpoint with its settings"
            )
    return given


def _modules(arrays, put):
    """The arrays that are not in `put`, by the highest modules that have nothing in it."""
    touched = {key[1:end] for key in put for end in range(2, len(key) + 1)}
    rest = []
    for key in arrays:
        if key not in put:
            ends = range(2, len(key) + 1)
            rest.append(next((key[1:end] for end in ends if key[1:end] not in touched), key[1:]))
    return ["/".join(path) for path in dict.fromkeys(rest)]
