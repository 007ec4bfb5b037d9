"""What a run saves with Orbax: its latest and its best step, each complete in itself.

A step holds `variables` (what predicts), `training` (what only resuming needs: optimiser states,
and the weights themselves where averaged ones predict), and as JSON `recipe`, `metrics` and
`record`. The record holds the step, what it was made of and with, and checksums of all the rest.
The file SUMS beside them holds the checksums of the files. Steps are saved asynchronously; an
unfinished save is not a checkpoint. The data position is the step: training_batches takes it.
"""

import logging
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxalign import checkpoints, parallel, tensors
from jaxalign import recipe as recipes
from jaxalign.checkpoints import FOLDER, About, empty, literal, named
from jaxalign.errors import InputError
from jaxalign.folders import readable_errors
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.training.state import TrainState


DAMAGED = ".damaged"  # behind the name of a step that is set aside
OLD = ".old"  # behind the name of one that is about to be deleted
TEMPORARY = ".orbax-checkpoint-tmp"  # in the name of one that is being saved


def _own(record):
    """Whether a line of the log is our own.

    Orbax's threads and tasks log the tracebacks of errors that they also raise.
    """
    return not (record.exc_info and "orbax" in f"{record.pathname} {record.getMessage()}")


for _name in ("absl", "asyncio"):
    logging.getLogger(_name).addFilter(_own)


def _tell(unraisable, before=sys.unraisablehook):
    """Tells of an error in a thread.

    After a failed save, Orbax closes its event loop, and the threads of TensorStore that were at
    work say so. The failure itself is raised.
    """
    if str(unraisable.exc_value) != "Event loop is closed":
        before(unraisable)


sys.unraisablehook = _tell


class Checkpoints:
    """The checkpoints of one work directory; the smallest `val` of a save is the best.

    `about` is what each whole step said when the folder was opened. Only the process that holds the
    lock of the work directory may open it.
    """

    def __init__(self, workdir: Path | str, *, shared: bool = True):
        """Opens the folder of the checkpoints, and makes it where it is missing.

        Args:
            workdir: The work directory.
            shared: Whether all hosts see this folder. Else each has its own, and the first saves.

        Raises:
            InputError: The folder cannot be written into.
        """
        self.folder = Path(workdir).absolute() / FOLDER
        self.shared = shared or jax.process_count() == 1
        hosts = ocp.options.MultiprocessingOptions()
        if not self.shared:  # Orbax waits for no other host
            host = jax.process_index()
            hosts = ocp.options.MultiprocessingOptions(host, {host}, f"host{host}")
        own: Any = {"multiprocessing_options": hosts}
        with readable_errors(self.folder, "name another --workdir"):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self.about: dict[int, About] = {}
        self.damaged: dict[int, InputError] = {}
        for step, path in checkpoints.steps(self.folder).items():
            try:
                self.about[step] = checkpoints.about(path)
            except InputError as error:
                self.damaged[step] = error
        self.vals = {step: told.val for step, told in self.about.items()}
        self.saver = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(
                composite_options=ocp.CompositeOptions(**own),
                variables=ocp.StandardCheckpointHandler(**own),
                training=ocp.StandardCheckpointHandler(**own),
                recipe=ocp.JsonCheckpointHandler(**own),
                metrics=ocp.JsonCheckpointHandler(filename="metrics", **own),
                record=ocp.JsonCheckpointHandler(**own),
            ),
            async_options=ocp.options.AsyncOptions(post_finalization_callback=self._sum),
            **own,
        )

    @property
    def best_step(self) -> int:
        """The first step with the smallest `val`, 0 before any."""
        validated = {step: val for step, val in self.vals.items() if val < math.inf}
        return checkpoints.best(validated) if validated else 0

    def save(
        self,
        state: TrainState,
        recipe: Recipe,
        val: float,
        low_score: float = 0.0,
        about: dict | None = None,
    ):
        """Starts saving a step; `state` may be donated as soon as this returns.

        Args:
            state: The replicated state, whose step names the checkpoint. A step that is there is
                not saved again.
            recipe: The run's recipe.
            val: What the best step is chosen by, smaller is better; infinite where it was not
                validated.
            low_score: The mean score below which a face is doubtful (checkpoints.low_score).
            about: JSON values that the record also keeps.

        Raises:
            InputError: A step could not be saved.
        """
        step = int(state.step)
        if step in self.vals:
            return
        host = parallel.to_host(state)  # pmap's own arrays are host-local
        written = {"recipe": recipes.to_json(recipe)}
        written["metrics"] = {
            "val": None if val == math.inf else float(val), "low_score": float(low_score)
        }  # fmt: skip
        record = (about or {}) | {
            "step": step,
            "variables": tensors.digest(named(host.variables())),
            "training": tensors.digest(named(_rest(host))),
        }
        record["seal"] = checkpoints.seal(record | written)
        self._finish()
        if self.shared or jax.process_index() == 0:
            self._start(step, host, written, record)
        self.vals[step] = val

    def _start(self, step, state, written, record):
        self._calmly(
            lambda: self.saver.save(
                literal(self.folder / str(step)),
                args=ocp.args.Composite(
                    variables=ocp.args.StandardSave(state.variables()),
                    training=ocp.args.StandardSave(_rest(state)),
                    recipe=ocp.args.JsonSave(written["recipe"]),
                    metrics=ocp.args.JsonSave(written["metrics"]),
                    record=ocp.args.JsonSave(record),
                ),
            )
        )

    def latest(self) -> int | None:
        """Gives the number of the latest step.

        Returns:
            The step, None where there is none.
        """
        return max(self.vals, default=None)

    def resume(self, like_at: Callable[[int], TrainState]) -> tuple[TrainState | None, list[str]]:
        """Reads the latest sound state, and sets the damaged steps aside.

        All steps are read, because one of them is the best.

        Args:
            like_at: Gives the state that a step should be like: arrays or their shapes.

        Returns:
            The state as NumPy arrays, None where there is no step; and lines about the steps that
            were set aside.

        Raises:
            InputError: There are steps, and none of them is sound.
        """
        state = None
        for step in sorted(self.about, reverse=True):
            try:
                found = self._read(step, like_at(step))
            except InputError as error:
                self.damaged[step] = error
                del self.about[step], self.vals[step]
            else:
                state = state or found
        if self.damaged and state is None:
            raise InputError(
                f"{_reason(self.damaged[max(self.damaged)])}; start anew in another --workdir"
            )
        lines = []
        parallel.meet("read")  # nothing is renamed while another host reads it
        for step, error in sorted(self.damaged.items()):
            path = self.folder / str(step)
            lines.append(f"{_reason(error)}: set aside as {path.name}{DAMAGED}")
            if jax.process_index() == 0:
                shutil.rmtree(aside := path.with_name(path.name + DAMAGED), ignore_errors=True)
                path.rename(aside)
        if lines:
            lines.append(f"resumed from step {self.latest()}, which is sound")
        return state, lines

    def _read(self, step, like):
        path, record = self.folder / str(step), self.about[step].record
        checkpoints.check_files(path)
        items = ocp.args.Composite(
            variables=ocp.args.StandardRestore(empty(like.variables())),
            training=ocp.args.StandardRestore(empty(_rest(like))),
        )
        try:
            restored = self.saver.restore(literal(path), args=items)
        except Exception as error:  # Orbax and TensorStore fail in every way that they know
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise InputError(
                f"{path}: is damaged, or of another version of its system ({reason})"
            ) from error
        variables, rest = restored["variables"], restored["training"]
        checkpoints.check_arrays(path, "weights", named(variables), record.get("variables"))
        checkpoints.check_arrays(path, "optimiser states", named(rest), record.get("training"))
        if int(rest["step"]) != step:
            raise InputError(f"{path}: is damaged (it holds step {int(rest['step'])})")
        if like.ema:
            rest = rest | {"ema": variables["params"]}
        else:
            rest = rest | {"params": variables["params"], "ema": {}}
        return TrainState(batch_stats=variables["batch_stats"], **rest)

    def close(self):
        """Waits for the last save, then closes the folder.

        Raises:
            InputError: The last step could not be saved.
        """
        try:
            self._finish()
        finally:
            self.saver.close()

    def _finish(self):
        """Waits for the save under way, then removes all steps but the latest and the best."""
        self._calmly(self.saver.wait_until_finished)
        kept = {self.latest(), self.best_step}
        for step in set(self.vals) - kept:
            del self.vals[step]
            if jax.process_index() == 0:
                path = self.folder / str(step)
                path.rename(path.with_name(path.name + OLD))  # half deleted, it is no step
        self._sweep()

    def _sum(self):
        """Writes SUMS once all files are written, before their folder gets its step's name."""
        if jax.process_index() == 0:
            (step,) = self._unfinished()
            text = json_text(checkpoints.file_sums(step))
            (step / checkpoints.SUMS).write_text(text, encoding="utf-8")

    def _unfinished(self):
        return [path for path in self.folder.iterdir() if TEMPORARY in path.name]

    def _calmly(self, do):
        try:
            do()
        except (OSError, ValueError) as error:
            self._sweep()
            there = checkpoints.steps(self.folder)
            self.vals = {step: val for step, val in self.vals.items() if step in there}
            reason = str(error).splitlines()[0][:200]
            raise InputError(
                f"{self.folder}: a step could not be saved ({reason}); those before it are whole: "
                "make room, and train on with --resume"
            ) from error

    def _sweep(self):
        """Deletes what unfinished saves left, and old steps."""
        if jax.process_index() == 0:
            for path in [*self._unfinished(), *self.folder.glob(f"*{OLD}")]:
                shutil.rmtree(path, ignore_errors=True)


def _reason(error):
    """An error's message, without its advice to give another checkpoint."""
    return str(error).partition("; give another")[0]


def _rest(state):
    rest = {"step": state.step, "optimizers": state.optimizers}
    return rest | ({"params": state.params} if state.ema else {})
