"""Trained checkpoints: found, and read back into what predicts. training.checkpoints writes them.

A step holds `variables` (what predicts), `training` (what only resuming needs) and `recipe` (JSON).
"""

import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.recipe import Recipe


FOLDER = "checkpoints"
logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of every save and look


def find_step(path: Path | str, which: str = "best") -> Path:
    """A work directory (its `which`: best or latest step), or a step's own folder -> that folder.

    Errors: InputError where there is no finished checkpoint.
    """
    if which not in ("best", "latest"):
        raise InputError(f"which={which!r}: one of best, latest")
    path = Path(path).absolute()
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give the --workdir of a training run")
    if (path / "variables").is_dir():
        return path
    folder = path if path.name == FOLDER else path / FOLDER
    found = folder.is_dir() and [p for p in folder.iterdir() if (p / "variables").is_dir()]
    if not found:
        raise InputError(f"{path}: holds no finished checkpoint; train with --workdir {path} first")
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


def load(path: Path | str, which: str = "best") -> tuple[Recipe, dict, Path]:
    """Checkpoint -> its recipe, the variables that predict (numpy), and the folder they came from.

    Errors: InputError where the checkpoint is missing, half-written or of another program.
    """
    step = find_step(path, which)
    handler = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    try:
        recipe = handler.restore(step, ocp.args.Composite(recipe=ocp.args.JsonRestore()))["recipe"]
        recipe = recipes.from_json(recipe)
        shapes = jax.eval_shape(recipe.system.init, jax.random.key(0))
        # without metadata, where it is damaged, None: an AttributeError below
        stored: Any = ocp.StandardCheckpointer().metadata(step / "variables").item_metadata
        item = ocp.args.StandardRestore(empty(stored.tree))
        variables = handler.restore(step, ocp.args.Composite(variables=item))["variables"]
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{step}: not a whole checkpoint of this program and version ({reason}); give another"
        ) from error
    return recipe, _fitted(variables, shapes, step), step


def _fitted(stored, shapes, step):
    """The arrays of these shapes; statistics that an older version kept besides are passed over.

    Errors: InputError naming an array that is missing, of another shape, or too many."""
    stored = dict(jax.tree_util.tree_leaves_with_path(stored))
    wanted = dict(jax.tree_util.tree_leaves_with_path(shapes))
    for path in stored.keys() | wanted.keys():
        has, wants = (tree[path].shape if path in tree else None for tree in (stored, wanted))
        if has != wants and not (wants is None and path[0].key == "batch_stats"):
            name = "/".join(key.key for key in path)
            raise InputError(
                f"{step}: not a checkpoint of this version of its system: {name} is "
                f"{has or 'missing'}, and should be {wants or 'missing'}; give another"
            )
    return jax.tree_util.tree_map_with_path(lambda path, _: stored[path], shapes)


def low_score(step: Path) -> float:
    """The mean score below which a face is doubtful: what 99 % of the faces reached on which the
    run validated this step; 0 where it validated on none, or did not note it."""
    try:
        noted = json.loads((step / "metrics" / "metrics").read_text())  # as Orbax keeps them
        return float(noted["low_score"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def empty(tree):
    """numpy leaves to restore into: a checkpoint then loads on any number of devices."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)
