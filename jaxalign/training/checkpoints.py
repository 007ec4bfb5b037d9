"""What a run saves with Orbax: its latest and its best step, each whole in itself.

A step holds `variables` (what predicts), `training` (what only resuming needs: optimiser states,
and the weights themselves where averaged ones predict) and `recipe` (JSON). Saved asynchronously;
an unfinished save is not a checkpoint. The data position is the step: training_batches takes it.
"""

import math
from pathlib import Path

import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from jaxalign import parallel
from jaxalign import recipe as recipes
from jaxalign.checkpoints import FOLDER, empty
from jaxalign.errors import InputError
from jaxalign.recipe import Recipe
from jaxalign.training.state import TrainState


class Checkpoints:
    """The checkpoints of one work directory; `val` of a save (smaller is better) picks the best.

    `best_step` is the first step with the smallest `val`, 0 before any.
    """

    def __init__(self, workdir: Path | str):
        best = keep.BestN(get_metric_fn=lambda metrics: metrics["val"], reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(1), best]),
            best_fn=lambda metrics: metrics["val"],
            best_mode="min",
            cleanup_tmp_directories=True,
        )
        self.manager = ocp.CheckpointManager(Path(workdir).absolute() / FOLDER, options=options)
        self.best_step = self.manager.best_step() or 0
        best = self.manager.metrics(self.best_step) if self.best_step else None
        self.best_val = best["val"] if best else math.inf

    def save(self, state: TrainState, recipe: Recipe, val: float, low_score: float = 0.0):
        """Start saving; `state` may be donated as soon as this returns. `low_score`: see there."""
        step = int(state.step)
        if step in self.manager.all_steps():
            return
        if val < self.best_val:
            self.best_step, self.best_val = step, val
        elif val == self.best_val:
            val = math.nextafter(val, math.inf)  # no gain: the earlier one stays the best
        state = parallel.replicate(parallel.to_host(state))  # pmap's own arrays are host-local
        variables, rest = state.variables(), _rest(state)
        self.manager.save(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(variables),
                training=ocp.args.StandardSave(rest),
                recipe=ocp.args.JsonSave(recipes.to_json(recipe)),
            ),
            metrics={"val": float(val), "low_score": float(low_score)},
        )

    def latest(self) -> int | None:
        return self.manager.latest_step()

    def resume(self, like: TrainState) -> TrainState:
        """The latest state, as numpy arrays shaped as `like` (arrays or their shapes).

        Errors: InputError where it is damaged or its arrays are others.
        """
        items = ocp.args.Composite(
            variables=ocp.args.StandardRestore(empty(like.variables())),
            training=ocp.args.StandardRestore(empty(_rest(like))),
        )
        try:
            restored = self.manager.restore(self.latest(), args=items)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.manager.directory / str(self.latest())}: damaged, or of another version of "
                "its system; start anew in another --workdir"
            ) from error
        variables, rest = restored["variables"], restored["training"]
        if like.ema:
            rest = rest | {"ema": variables["params"]}
        else:
            rest = rest | {"params": variables["params"], "ema": {}}
        return TrainState(batch_stats=variables["batch_stats"], **rest)

    def close(self):
        self.manager.wait_until_finished()
        self.manager.close()


def _rest(state):
    rest = {"step": state.step, "optimizers": state.optimizers}
    return rest | ({"params": state.params} if state.ema else {})
