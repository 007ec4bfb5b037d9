"""Trained checkpoints: found, and read back into what predicts.

Two kinds. A step of a work directory, which training.checkpoints writes with Orbax, holds
`variables` (what predicts), `training` (what only resuming needs) and `recipe` (JSON). One plain
file, which `write` writes, holds the arrays of the networks that predict by name, such as
"params/network/logits/kernel", and in its header the text KEY: JSON of the recipe, of the version
of jaxalign, of `low_score`, and of notes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
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


FOLDER = "checkpoints"
KEY = "jaxalign"
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
    folder = path if path.name == FOLDER else path / FOLDER
    found = folder.is_dir() and [p for p in folder.iterdir() if (p / "variables").is_dir()]
    if not found:
        raise InputError(f"{path}: holds no finished checkpoint; train with --workdir {path} first")
    ocp = _orbax()
    manager = ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            best_fn=lambda metrics: metrics["val"], best_mode="min", read_only=True
        ),
    )
    step = manager.best_step() if which == "best" else manager.latest_step()
    manager.close()
    if step is None:
        raise InputError(f"{path}: its checkpoints were not finished; train with --resume")
    return folder / str(step)


def load(path: Path | str | None = None, which: str = "best") -> tuple[Recipe, dict, Path]:
    """Checkpoint, as find_step takes it -> its recipe, the variables that predict (numpy, float32
    whatever the file stores), and where they came from.

    A file gives the networks that predict, a step all of them. Errors: InputError where the
    checkpoint is missing, half-written or of another program.
    """
    step = find_step(path, which)
    try:
        recipe, stored = (_read_file if step.is_file() else _read_step)(step)
        recipe = recipes.from_json(recipe)
        shapes = jax.eval_shape(recipe.system.init, jax.random.key(0))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{step}: not a whole checkpoint of this program and version ({reason}); give another"
        ) from error
    if step.is_file():
        shapes = predicting(recipe.system, shapes)
    return recipe, _fitted(stored, shapes, step), step


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
    for name, array in _named(predicting(recipe.system, variables)).items():
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
    }
    tensors.write(path, arrays, {KEY: json_text(about)})


def low_score(step: Path) -> float:
    """The mean score below which a face is doubtful: what 99 % of the faces reached on which the
    run validated this step; 0 where it validated on none, or did not note it."""
    try:
        if step.is_file():
            noted = json.loads(tensors.read_header(step)[KEY])
        else:
            noted = json.loads((step / "metrics" / "metrics").read_text())  # as Orbax keeps them
        return float(noted["low_score"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def notes(step: Path) -> dict[str, str]:
    """The notes of a file of `write`; none of a step."""
    return json.loads(tensors.read_header(step)[KEY])["notes"] if step.is_file() else {}


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


def _orbax() -> Any:
    """It takes long to import, and a file does without."""
    import orbax.checkpoint as ocp

    return ocp


def _read_step(step):
    """A step's folder -> its recipe as JSON values, its arrays by name."""
    ocp = _orbax()
    handler = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    recipe = handler.restore(step, ocp.args.Composite(recipe=ocp.args.JsonRestore()))["recipe"]
    # without metadata, where it is damaged, None: an AttributeError
    stored = ocp.StandardCheckpointer().metadata(step / "variables").item_metadata
    item = ocp.args.StandardRestore(empty(stored.tree))
    return recipe, _named(handler.restore(step, ocp.args.Composite(variables=item))["variables"])


def _read_file(path):
    """A file of `write` -> its recipe as JSON values, its arrays by name."""
    weights.check(path)
    arrays, texts = tensors.read(path)
    if KEY not in texts:
        raise InputError(
            f"{path}: holds no recipe, so it is no checkpoint of jaxalign; give one that jaxalign "
            f"export wrote (--out NAME{tensors.SUFFIX})"
        )
    return json.loads(texts[KEY])["recipe"], arrays


def _named(tree):
    """The leaves of nested dicts by their paths: "params/network/logits/kernel"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def _name(path):
    return "/".join(key.key for key in path)


def _fitted(stored, shapes, step):
    """The arrays, by name, as the tree of these shapes and in their types; statistics that an
    older version kept besides are passed over.

    Errors: InputError naming an array that is missing, of another shape, or too many."""
    wanted = _named(shapes)
    for name in stored.keys() | wanted.keys():
        has, wants = (arrays[name].shape if name in arrays else None for arrays in (stored, wanted))
        if has != wants and not (wants is None and name.startswith("batch_stats/")):
            raise InputError(
                f"{step}: not a checkpoint of this version of its system: {name} is "
                f"{has or 'missing'}, and should be {wants or 'missing'}; give another"
            )
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.asarray(stored[_name(path)], leaf.dtype), shapes
    )
