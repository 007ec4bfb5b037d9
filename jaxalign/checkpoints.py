"""Trained checkpoints: found, and read back into what predicts.

Two kinds. A step of a work directory, which training.checkpoints writes with Orbax, holds
`variables` (what predicts), `training` (what only resuming needs), and as JSON `recipe`, `metrics`
(`val`, by which the best is kept, and `low_score`) and `record`. One plain file, which `write`
writes, holds the arrays of the networks that predict by name, such as
"params/network/logits/kernel", and in its header the text KEY: JSON of the recipe, of the version
of jaxalign, of `low_score`, and of notes.

Both are read only as they were written: the record, or the text KEY, holds checksums of the arrays
(tensors.digest) and one of all that is written as JSON (`seal`); a step has besides one of each
file that Orbax wrote (SUMS), which is looked at before Orbax is. Those of older versions have none,
and what can be seen is looked at: shapes, the step, whether numbers are finite.
"""

import hashlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxalign
from jaxalign import recipe as recipes
from jaxalign import tensors, weights
from jaxalign.errors import InputError
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.systems.interface import System
from jaxalign.texts import from_json


FOLDER = "checkpoints"
KEY = "jaxalign"
SUMS = "sums.json"
ARRAYS = "variables", "training"  # the folders of a step that Orbax fills with arrays
logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of every save and look


def find_step(path: Path | str | None = None, which: str = "best") -> Path:
    """Where a checkpoint lies: a step's folder, or a file of `write`.

    `path`: a work directory (its `which` step: best or latest), such a folder or file, or the name
    of weights that come with jaxalign, where nothing else is called so; None: weights.DEFAULT.
    Errors: InputError where there is no finished checkpoint.
    """
    if which not in ("best", "latest"):
        raise InputError(f"which={which!r}: one of best, latest")
    if path is None:
        return weights.find()
    name, path = str(path), Path(path).absolute()
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


def steps(folder: Path) -> dict[int, Path]:
    """The finished steps of a work directory's FOLDER; whatever else lies there is none."""
    if not folder.is_dir():
        return {}
    return {
        int(path.name): path
        for path in folder.iterdir()
        if re.fullmatch("[1-9][0-9]{0,17}", path.name)
        and any((path / item).exists() for item in ("variables", "training", "recipe"))
    }


def best(vals: Mapping[int, float]) -> int:
    """Of steps and their `val` the step with the smallest, the first of several, and the latest
    where none was validated."""
    if min(vals.values()) == math.inf:
        return max(vals)
    return min(vals, key=lambda step: (vals[step], step))


@dataclass(frozen=True)
class About:
    """What a step's folder says beside its arrays."""

    recipe: Any  # JSON
    val: float  # infinite where it was not validated
    record: dict  # {} of older versions


def about(step: Path) -> About:
    """Errors: InputError where it is damaged, or of another step."""
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
    """A checksum over JSON values, but for the one called seal."""
    text = json_text({k: v for k, v in values.items() if k != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sums(step: Path) -> dict[str, str]:
    """The checksums of the files of a step's arrays, by their paths in its folder."""
    files = [path for kind in ARRAYS for path in (step / kind).rglob("*") if path.is_file()]
    return {path.relative_to(step).as_posix(): _file_sum(path) for path in sorted(files)}


def check_files(step: Path, kinds: Sequence[str] = ARRAYS):
    """InputError where a file of a step's arrays of these kinds is not the one that was saved."""
    sums = _json(step, SUMS) if (step / SUMS).exists() else {}
    if not isinstance(sums, dict):
        raise damaged(step, f"its {SUMS} is no table")
    for name, one in sums.items():
        if name.split("/")[0] in kinds and _file_sum(step / name) != one:
            raise damaged(step, f"its {name} is not the one that was saved")


def _file_sum(path):
    """A checksum of a file, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def damaged(step: Path, reason: str) -> InputError:
    others = [] if step.is_file() else sorted(set(steps(step.parent).values()) - {step})
    instead = f", such as {others[-1]}" if others else ""
    return InputError(f"{step}: is damaged ({reason}); give another checkpoint{instead}")


def load(path: Path | str | None = None, which: str = "best") -> tuple[Recipe, dict, Path]:
    """Checkpoint, as find_step takes it -> its recipe, the variables that predict (numpy, float32
    whatever the file stores), and where they came from.

    A file gives the networks that predict, a step all of them. Errors: InputError where the
    checkpoint is missing, half-written or of another program.
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
    except Exception as error:  # what others wrote fails in every way that their libraries know
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

    `low_score`: see there. `notes`: free texts by name, such as the commit and the command. `half`:
    arrays of two dimensions and more, that is kernels, are stored in half precision. Errors:
    InputError where the file cannot be written, or half precision cannot hold an array.
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
    """The mean score below which a face is doubtful: what 99 % of the faces reached on which the
    run validated this step; 0 where it validated on none, or did not note it."""
    noted = _header(step) if step.is_file() else _metrics(step)
    score = noted.get("low_score", 0.0)
    if not _is_number(score):
        raise damaged(step, "its low_score is no number")
    return float(score)


def notes(step: Path) -> dict[str, str]:
    """The notes of a file of `write`; none of a step."""
    return _header(step)["notes"] if step.is_file() else {}


def is_one(path: Path | str) -> bool:
    """Whether the path names a folder, a file of `write`, or weights that come with jaxalign; not
    whether there is a checkpoint in the folder."""
    path, name = Path(path), str(path)
    if path.is_file():
        return path.suffix == tensors.SUFFIX and KEY in tensors.read_header(path)
    return path.is_dir() or name in weights.WEIGHTS


def predicting(system: System, variables: dict) -> dict:
    """The variables, or shapes, of the networks that predict, without those that help to train."""
    return {
        kind: {network: tree[network] for network in system.predictors if network in tree}
        for kind, tree in variables.items()
    }


def overridden(recipe: Recipe, settings: Sequence[str], variables: dict) -> Recipe:
    """A checkpoint's recipe with other settings, "key=value" each, that leave the network as it is.

    Errors: InputError where the result's network is not the one of `variables`.
    """
    if not settings:
        return recipe
    recipe = recipes.override(recipe, settings)
    made, stored = (  # a file holds the networks that predict alone
        jax.tree.map(np.shape, predicting(recipe.system, those))
        for those in (jax.eval_shape(recipe.system.init, jax.random.key(0)), variables)
    )
    if made != stored:
        raise InputError(
            f"--set {' '.join(settings)} changes the network, so that the checkpoint's weights do "
            "not fit; train it so, or set other fields"
        )
    return recipe


def empty(tree):
    """numpy leaves to restore into: a checkpoint then loads on any number of devices."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)


def literal(path: Path) -> Any:
    """The path as Orbax takes it, whatever characters it holds: Orbax looks for its files by
    patterns, and takes brackets in the names of folders for parts of them."""
    from etils import epath

    class Literal(type(epath.Path())):
        def glob(self, pattern):
            return (file for file in self.iterdir() if file.match(pattern))

    return Literal(path)


def check_arrays(step: Path, kind: str, arrays: Mapping[str, np.ndarray], digest: str | None):
    """InputError where arrays of a checkpoint, by name, are not those of their digest (None: of an
    older version), or not finite."""
    if digest is not None and tensors.digest(arrays) != digest:
        raise damaged(step, f"its {kind} are not those that were saved")
    if name := tensors.not_finite(arrays):
        raise damaged(step, f"{name} holds NaN or infinities")


def _orbax() -> Any:
    """It takes long to import, and a file does without."""
    import orbax.checkpoint as ocp

    return ocp


def _read_step(step):
    """A step's folder -> its recipe and variables."""
    told = about(step)
    check_files(step, ["variables"])
    recipe = recipes.from_json(told.recipe)
    shapes = jax.eval_shape(recipe.system.init, jax.random.key(0))
    ocp, place = _orbax(), literal(step)
    # without metadata, where it is damaged, None: an AttributeError
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
    shapes = predicting(recipe.system, jax.eval_shape(recipe.system.init, jax.random.key(0)))
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
    try:
        return from_json((step / name).read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{step}: not a whole checkpoint of this program and version ({name} is missing); give "
            "another"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(step, f"its {name}: {error}".splitlines()[0][:200]) from None


def named(tree) -> dict[str, Any]:
    """The leaves of a tree by their paths: "params/network/logits/kernel"."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _name(path):
    """Of keys of dicts, places in tuples, and fields."""
    parts = (getattr(k, "key", getattr(k, "idx", getattr(k, "name", k))) for k in path)
    return "/".join(map(str, parts))


def _check_shapes(stored, wanted, step):
    """InputError naming an array that is missing, of another shape, or too many; statistics that an
    older version kept besides are passed over."""
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
