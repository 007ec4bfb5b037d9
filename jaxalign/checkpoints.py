"""Trained checkpoints: finding them, and reading them back.

There are two kinds.

* A step of a work directory, which training.checkpoints writes with Orbax. It holds `variables`
  (what predicts), `training` (what only resuming needs), and as JSON `recipe`, `metrics` (`val`, by
  which the best is kept, and `low_score`) and `record`.
* One plain file, which `write` writes. It holds the arrays of the networks that predict, by names
  such as "params/network/logits/kernel". Its header has the text KEY: JSON of the recipe, the
  version of jaxalign, `low_score`, and notes.

Both are checked as they are read. The record, or the text KEY, holds checksums of the arrays
(tensors.digest) and one of everything written as JSON (`seal`). A step also holds one checksum for
each file that Orbax wrote (SUMS), which is checked before Orbax reads the file. Older versions
wrote no checksums; for them only shapes, the step and finite numbers are checked.
"""

import hashlib
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxalign
from jaxalign import buckets, places, tensors, texts, weights
from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.systems.interface import System
from jaxalign.texts import from_json


FOLDER = "checkpoints"
FILE = "metrics.jsonl"  # beside FOLDER (history.py)
KEY = "jaxalign"
SUMS = "sums.json"
LAST = "_CHECKPOINT_METADATA"  # a file of each step; in a bucket it is the last to come
TAKEN = "holds checkpoints already; go on with --resume, or name another --workdir"
ARRAYS = "variables", "training"  # the folders of a step that Orbax fills with arrays
logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns at every save and read


def find_step(path: Path | str | None = None, which: str = "best") -> Path:
    """Finds a checkpoint: the folder of a step, or a file of `write`.

    Args:
        path: A work directory, the folder of a step, a file of `write`, or, where no file or folder
            has it, the name of weights that come with jaxalign. None stands for weights.DEFAULT.
            Of one in a bucket, the copy on this machine is found.
        which: The step of a work directory: "best" or "latest".

    Returns:
        The step's folder, or the file.

    Raises:
        InputError: There is no finished checkpoint, or `which` is neither of the two.

    Examples:
        >>> find_step("drawn").name
        'drawn.safetensors'
    """
    if which not in ("best", "latest"):
        raise InputError(f"which={which!r}: one of best, latest")
    if path is None:
        return weights.find()
    name, path = str(path), local(path).absolute()
    if path.is_file():
        return path
    if not path.is_dir():
        if name in weights.WEIGHTS:
            return weights.find(name)
        raise InputError(
            f"{path}: no such folder or file; give the --workdir of a training run, a "
            f"{tensors.SUFFIX} file of jaxalign export, or a name: {', '.join(weights.WEIGHTS)}"
        )
    if (path / "variables").is_dir():
        return path
    found = steps(path if path.name == FOLDER else path / FOLDER)
    if not found:
        raise InputError(f"{path}: holds no finished checkpoint; train with --workdir {path} first")
    if which == "latest":
        return found[max(found)]
    return found[best({step: about(folder).val for step, folder in found.items()})]


def local(path: Path | str) -> Path:
    """Copies a checkpoint in a bucket to this machine, without what only resuming needs.

    Args:
        path: Any path; one in a bucket as find_step takes it, or a single file.

    Returns:
        The copy's path; a path that is in no bucket as it is.

    Raises:
        InputError: There is no finished checkpoint and no such file, or it cannot be copied.
    """
    if not places.url(path):
        return Path(path)
    bucket = buckets.Bucket(path)
    there = bucket.files()
    if "" in there:
        return buckets.file(path)
    folders, run = finished(there), f"{FOLDER}/"
    if not folders:
        raise InputError(
            f"{bucket.url}: no such file, and no finished checkpoint in such a folder; give the "
            f"--workdir of a training run, or a {tensors.SUFFIX} file"
        )
    wanted = {
        name: one
        for name, one in there.items()
        for step in folders
        if name.startswith(step) and not name.startswith(f"{step}training/")
    }
    if FILE in there and any(step.startswith(run) for step in folders):
        wanted[FILE] = there[FILE]
    return bucket.pull(wanted)


def finished(files: Iterable[str]) -> set[str]:
    """Finds the finished steps among files of a bucket.

    Args:
        files: Paths below a work directory, its FOLDER, or a step.

    Returns:
        The folder of each step, such as "checkpoints/100/"; "" where they are those of a step.
    """
    step = re.compile(rf"((?:{FOLDER}/)?(?:[1-9][0-9]{{0,17}}/)?){LAST}")
    return {found[1] for found in map(step.fullmatch, files) if found}


def steps(folder: Path) -> dict[int, Path]:
    """Lists the finished steps in the folder FOLDER of a work directory.

    Args:
        folder: The folder of the steps; it may be missing. Whatever else lies in it is passed over.

    Returns:
        The folder of each step, by the step's number.
    """
    if not folder.is_dir():
        return {}
    return {
        int(path.name): path
        for path in folder.iterdir()
        if re.fullmatch("[1-9][0-9]{0,17}", path.name)
        and any((path / item).exists() for item in ("variables", "training", "recipe"))
    }


def best(vals: Mapping[int, float]) -> int:
    """Chooses the best step: the smallest `val`, and the first of several.

    Args:
        vals: The `val` of each step, infinite where it was not validated.

    Returns:
        The best step; the latest one where none was validated.
    """
    if min(vals.values()) == math.inf:
        return max(vals)
    return min(vals, key=lambda step: (vals[step], step))


@dataclass(frozen=True)
class About:
    """What a step's folder says besides its arrays.

    Attributes:
        recipe: The recipe as JSON values.
        val: What the best step is chosen by, smaller is better; infinite where it was not
            validated.
        record: The step, what it was made of and with, and checksums; {} in older versions.
    """

    recipe: Any
    val: float
    record: dict


def about(step: Path) -> About:
    """Reads what a step's folder says besides its arrays, and checks it.

    Args:
        step: The step's folder.

    Returns:
        Its recipe, `val` and record.

    Raises:
        InputError: The folder is damaged, or holds another step.
    """
    recipe, metrics = _json(step, "recipe/metadata"), _metrics(step)
    record = _json(step, "record/metadata") if (step / "record").exists() else {}
    if not isinstance(record, dict):
        raise damaged(step, "its record is no table")
    if record and record.get("seal") != seal(record | {"recipe": recipe, "metrics": metrics}):
        raise damaged(step, "its recipe, metrics and record are not those that were saved")
    if record and str(record.get("step")) != step.name:
        raise damaged(step, f"it holds step {record.get('step')}")
    val = metrics.get("val")
    val = math.inf if val is None else val
    if not (val == math.inf or _is_number(val)):
        raise damaged(step, "its metrics are no numbers")
    return About(recipe, val, record)


def seal(values: Mapping[str, Any]) -> str:
    """Makes a checksum over JSON values.

    Args:
        values: The values by name; the one called seal does not count.

    Returns:
        SHA-256 as hexadecimal digits.
    """
    text = json_text({k: v for k, v in values.items() if k != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sums(step: Path) -> dict[str, str]:
    """Makes the checksums of the files that hold a step's arrays.

    Args:
        step: The step's folder.

    Returns:
        The SHA-256 of each file, by its path in the folder.
    """
    files = [path for kind in ARRAYS for path in (step / kind).rglob("*") if path.is_file()]
    return {path.relative_to(step).as_posix(): _file_sum(path) for path in sorted(files)}


def identity(step: Path) -> str:
    """Tells a checkpoint from others that had its path before.

    Args:
        step: The step's folder, or a file.

    Returns:
        The SHA-256 of a file, the seal of a step; "" for a step of older versions.

    Raises:
        InputError: The step's folder is damaged.
    """
    return _file_sum(step) if step.is_file() else about(step).record.get("seal", "")


def check_files(step: Path, kinds: Sequence[str] = ARRAYS):
    """Checks the files of a step's arrays by their checksums.

    Args:
        step: The step's folder.
        kinds: Which arrays to check: "variables", "training" or both.

    Raises:
        InputError: A file is not the one that was saved.
    """
    sums = _json(step, SUMS) if (step / SUMS).exists() else {}
    if not isinstance(sums, dict):
        raise damaged(step, f"its {SUMS} is no table")
    for path in step.rglob("*"):  # Orbax would wait for a pipe's writer
        if path.exists() and not path.is_file() and not path.is_dir():
            raise damaged(step, f"{path.relative_to(step)} is a pipe or a device, not a file")
    for name, one in sums.items():
        if name.split("/")[0] in kinds and _file_sum(step / name) != one:
            raise damaged(step, f"its {name} is not the one that was saved")


def _file_sum(path):
    """A checksum of a file, "" where it cannot be read."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def damaged(step: Path, reason: str) -> InputError:
    """Makes the error for a damaged checkpoint; it names another step where there is one.

    Args:
        step: The step's folder, or the file.
        reason: What is wrong with it.

    Returns:
        The error, to be raised.
    """
    others = [] if step.is_file() else sorted(set(steps(step.parent).values()) - {step})
    instead = f", such as {others[-1]}" if others else ""
    return InputError(f"{step}: is damaged ({reason}); give another checkpoint{instead}")


def load(path: Path | str | None = None, which: str = "best") -> tuple[Recipe, dict, Path]:
    """Loads a checkpoint: its recipe and the variables that predict.

    Args:
        path: The checkpoint, as find_step takes it.
        which: The step of a work directory: "best" or "latest".

    Returns:
        The recipe; the variables (NumPy, float32 whatever the file stores; from a file those of the
        networks that predict, from a step those of all); and the step's folder or the file.

    Raises:
        InputError: The checkpoint is missing, half-written or of another program.

    Examples:
        >>> recipe, variables, path = load("drawn")
        >>> recipe.system.scheme
        'union'
    """
    step = find_step(path, which)
    if step.suffix == ".onnx":
        raise InputError(
            f"{step}: an ONNX model: it predicts (jaxalign predict, jaxalign.load), but holds no "
            "weights to load; give the checkpoint that it was exported from"
        )
    try:
        if step.is_file():
            recipe, variables = _read_file(step)
        else:
            recipe, variables = _read_step(step)
    except InputError:
        raise
    except Exception as error:  # files of other programs fail in any way that libraries know
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(
            f"{step}: not a whole checkpoint of this program and version ({reason}); give another"
        ) from error
    return recipe, variables, step


def write(
    path: Path | str,
    recipe: Recipe,
    variables: dict,
    *,
    low_score: float = 0.0,
    notes: Mapping[str, str] | None = None,
    half: bool = False,
):
    """Writes what predicts to one plain file; the same arguments give the same bytes.

    Args:
        path: The file to write.
        recipe: The recipe of the checkpoint.
        variables: Its variables, as `load` gives them; networks that do not predict are left out.
        low_score: The mean score below which a face is doubtful (see `low_score`).
        notes: Free texts by name, such as the commit and the command.
        half: Store arrays of two dimensions and more, the kernels, as float16.

    Raises:
        InputError: The file cannot be written, or float16 cannot hold an array.
    """
    arrays = {}
    for name, array in named(predicting(recipe.system, variables)).items():
        arrays[name] = np.asarray(array)
        if half and array.ndim > 1:
            with np.errstate(over="ignore"):
                arrays[name] = arrays[name].astype(np.float16)
            if not np.isfinite(arrays[name]).all():
                raise InputError(f"{path}: {name} is too large for half precision; drop --half")
    about = {
        "version": jaxalign.__version__,
        "recipe": recipes.to_json(recipe),
        "low_score": low_score,
        "notes": dict(notes or {}),
        "arrays": tensors.digest(arrays),
    }
    tensors.write(path, arrays, {KEY: json_text(about | {"seal": seal(about)})})


def low_score(step: Path) -> float:
    """Reads the mean score below which a face is doubtful.

    It is the score that 99 % of the faces reached on which the run validated this step.

    Args:
        step: The step's folder, or a file of `write`.

    Returns:
        The score; 0 where the run validated on no faces, or did not note it.

    Raises:
        InputError: The noted value is no number.
    """
    noted = _header(step) if step.is_file() else _metrics(step)
    score = noted.get("low_score", 0.0)
    if not _is_number(score):
        raise damaged(step, "its low_score is no number")
    return float(score)


def notes(step: Path) -> dict[str, str]:
    """Reads the notes of a file of `write`.

    Args:
        step: The file, or a step's folder.

    Returns:
        The texts by name; {} for a step.
    """
    return _header(step)["notes"] if step.is_file() else {}


def is_one(path: Path | str) -> bool:
    """Tells whether a path may name a checkpoint.

    Args:
        path: A folder, a file, or a name.

    Returns:
        True for a folder, a file of `write`, and the name of weights that come with jaxalign. A
        folder is not searched for a checkpoint.
    """
    path, name = local(path), str(path)
    if path.is_file():
        return path.suffix == tensors.SUFFIX and KEY in tensors.read_header(path)
    return path.is_dir() or name in weights.WEIGHTS


def predicting(system: System, variables: dict) -> dict:
    """Selects the networks that predict, without those that only help to train.

    Args:
        system: The system of the variables.
        variables: Its variables, or their shapes.

    Returns:
        The same tree with these networks alone.
    """
    return {
        kind: {network: tree[network] for network in system.predictors if network in tree}
        for kind, tree in variables.items()
    }


def overridden(recipe: Recipe, settings: Sequence[str], variables: dict) -> Recipe:
    """Changes settings of a checkpoint's recipe that leave the network as it is.

    Args:
        recipe: The checkpoint's recipe.
        settings: "key=value" each.
        variables: The checkpoint's variables.

    Returns:
        The recipe with these settings.

    Raises:
        InputError: The network of the result is not the one of `variables`.
    """
    if not settings:
        return recipe
    recipe = recipes.override(recipe, settings)
    made, stored = (  # a file holds the networks that predict alone
        jax.tree.map(np.shape, predicting(recipe.system, those))
        for those in (recipe.system.shapes(), variables)
    )
    if made != stored:
        raise InputError(
            f"--set {' '.join(settings)} changes the network, so that the checkpoint's weights do "
            "not fit; train it so, or set other fields"
        )
    return recipe


def empty(tree):
    """Makes a tree to restore into: the checkpoint then loads on any number of devices.

    Args:
        tree (dict): Arrays, or their shapes and types.

    Returns:
        Uninitialised NumPy arrays of the same shapes and types.
    """
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)


def literal(path: Path) -> Any:
    """Makes a path that Orbax takes as it is written.

    Orbax looks for files by patterns, and reads brackets in the names of folders as parts of them.

    Args:
        path: The path.

    Returns:
        The path as etils has it, for Orbax.
    """
    from etils import epath

    class Literal(type(epath.Path())):
        def glob(self, pattern):
            return (file for file in self.iterdir() if file.match(pattern))

    return Literal(path)


def check_arrays(step: Path, kind: str, arrays: Mapping[str, np.ndarray], digest: str | None):
    """Checks the arrays of a checkpoint.

    Args:
        step: The step's folder, or the file, for the message.
        kind: What the arrays are, for the message, such as "weights".
        arrays: The arrays by name.
        digest: Their checksum; None in older versions.

    Raises:
        InputError: The arrays are not those of the checksum, or not finite.
    """
    if digest is not None and tensors.digest(arrays) != digest:
        raise damaged(step, f"its {kind} are not those that were saved")
    if name := tensors.not_finite(arrays):
        raise damaged(step, f"{name} holds NaN or infinities")


def _orbax() -> Any:
    """Imports Orbax, which takes long; reading a file does without it."""
    import orbax.checkpoint as ocp

    return ocp


def _read_step(step):
    """A step's folder -> its recipe and variables."""
    told = about(step)
    check_files(step, ["variables"])
    recipe = recipes.from_json(told.recipe)
    shapes = recipe.system.shapes()
    ocp, place = _orbax(), literal(step)
    # damaged metadata are None here, which raises an AttributeError
    stored = ocp.StandardCheckpointer().metadata(place / "variables").item_metadata.tree
    _check_shapes(named(stored), named(shapes), step)
    items = ocp.args.Composite(variables=ocp.args.StandardRestore(empty(stored)))
    handler = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    arrays = named(handler.restore(place, items)["variables"])
    check_arrays(step, "weights", arrays, told.record.get("variables"))
    return recipe, _fitted(arrays, shapes)


def _read_file(path):
    """A file of `write` -> its recipe and variables."""
    weights.check(path)
    arrays, texts = tensors.read(path)
    if KEY not in texts:
        raise InputError(
            f"{path}: holds no recipe, so it is no checkpoint of jaxalign; give one that jaxalign "
            f"export wrote (--out NAME{tensors.SUFFIX})"
        )
    header = _header(path)
    if "seal" in header and header["seal"] != seal(header):
        raise damaged(path, "its header is not the one that was written")
    recipe = recipes.from_json(header["recipe"])
    shapes = predicting(recipe.system, recipe.system.shapes())
    _check_shapes(arrays, named(shapes), path)
    check_arrays(path, "weights", arrays, header.get("arrays"))
    return recipe, _fitted(arrays, shapes)


def _header(path):
    return from_json(tensors.read_header(path).get(KEY, "{}"))


def _metrics(step):
    """What a step's metrics say, {} where it has none."""
    name = "metrics/metrics"
    metrics = _json(step, name) if (step / name).exists() else {}
    if not isinstance(metrics, dict):
        raise damaged(step, "its metrics are no table")
    return metrics


def _is_number(value):
    return type(value) in (int, float) and abs(value) < 1e300


def _json(step, name):
    """The JSON values of a file of a step. Errors: InputError."""
    if not (step / name).exists():
        raise InputError(
            f"{step}: not a whole checkpoint of this program and version ({name} is missing); give "
            "another"
        )
    try:
        return from_json(texts.stored(step / name))
    except (InputError, ValueError) as error:
        raise damaged(step, f"its {name}: {error}".splitlines()[0][:200]) from None


def named(tree) -> dict[str, Any]:
    """Flattens a tree of variables.

    Args:
        tree (Any): Dicts, tuples and fields, with arrays or shapes as leaves.

    Returns:
        The leaves by their paths, such as "params/network/logits/kernel".
    """
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _name(path):
    """A path of keys of dicts, places in tuples, and fields."""
    parts = (getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path)
    return "/".join(map(str, parts))


def _check_shapes(stored, wanted, step):
    """Compares the shapes of arrays by name with those that the system has.

    Raises InputError naming an array that is missing, of another shape, or not wanted. Statistics
    that an older version also kept are passed over.
    """
    for name in sorted(stored.keys() | wanted.keys()):
        has, wants = (arrays[name].shape if name in arrays else None for arrays in (stored, wanted))
        if has != wants and not (wants is None and name.startswith("batch_stats/")):
            raise InputError(
                f"{step}: not a checkpoint of this version of its system: {name} is "
                f"{has or 'missing'}, and should be {wants or 'missing'}; give another"
            )


def _fitted(arrays, shapes):
    """The arrays, by name, as the tree of these shapes and in their types."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.asarray(arrays[_name(path)], leaf.dtype), shapes
    )
