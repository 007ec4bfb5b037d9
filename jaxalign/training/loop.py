"""The training loop: phases of steps, with validation, checkpoints and an exact way to resume."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import jax
import numpy as np

import jaxalign
from jaxalign import parallel, places, signals, texts
from jaxalign.checkpoints import FOLDER, TAKEN
from jaxalign.errors import InputError
from jaxalign.evaluation import pictures
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import headed
from jaxalign.evaluation.truth import Truth, truth_of
from jaxalign.folders import readable_errors, sweep, whole
from jaxalign.locks import Lock
from jaxalign.pipeline import bins_of, evaluation_batches, training_batches
from jaxalign.prediction.predictor import Predictor, predict_faces
from jaxalign.protocols import protocol_for
from jaxalign.recipe import PACE, Recipe, check_readable, fields, from_json, to_json
from jaxalign.records import json_text
from jaxalign.samples import DeviceBatch, Sample
from jaxalign.sources import Every
from jaxalign.systems.interface import Phase
from jaxalign.training import facts, initial
from jaxalign.training import state as states
from jaxalign.training.checkpoints import Checkpoints
from jaxalign.training.logs import Log
from jaxalign.training.mirror import Mirror


PICTURES = 20  # so many for a run, about, in TensorBoard
DEVICE_KEYS = tuple(DeviceBatch.__annotations__)


class NonFinite(InputError):
    """A loss that is not finite: the message names the step and the faces."""


@dataclass(frozen=True)
class Stretch:
    """A phase with the steps that it covers.

    Attributes:
        phase: The phase.
        first: Its first step, counted over all phases.
        last: The step after its last one.
    """

    phase: Phase
    first: int
    last: int


def plan(recipe: Recipe, faces: int) -> tuple[list[Stretch], int]:
    """Divides a run into steps.

    Args:
        recipe: The recipe.
        faces: How many faces there are to train on.

    Returns:
        The phases with their steps, and the number of steps of an epoch.
    """
    per_epoch = max(1, faces // recipe.training.batch)
    stretches, first = [], 0
    for phase in recipe.system.phases:
        last = first + max(1, math.ceil(phase.epochs * per_epoch))
        stretches.append(Stretch(phase, first, last))
        first = last
    return stretches, per_epoch


def _completed(values):
    """A recipe as JSON values, with newer fields added at their defaults; None where it is none.

    Without the settings that change how fast it is, not what it gives.
    """
    try:
        found = json.loads(json_text(to_json(from_json(values))))
        for name in PACE:
            del found["data"][name]
        return found
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _known(faces, crop):
    """How many faces there are, and a checksum of their ids in order.

    Raises InputError where one has no box to crop it by.
    """
    ids = []
    for face in faces:
        crop.square(face)
        ids.append(face["id"])
    return {"count": len(ids), "ids": hashlib.sha256(json_text(ids).encode()).hexdigest()}


class Run:
    """One run of a recipe in a work directory.

    The same recipe and data give the same run, bit for bit on one machine's CPU; a resumed run
    equals an uninterrupted one.

    After each update, `step` counts the updates that are done, and `state` is what they led to. The
    next update takes the memory of `state`: copy what is to outlive it.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Sequence[Sample],
        val: Sequence[Sample],
        workdir: Path | str,
        *,
        benchmark: str = "",
        resume: bool = False,
        validate: "Callable[[Run], tuple[float, float]] | None" = None,
        on_step: "Callable[[Run], object] | None" = None,
    ):
        """Opens the work directory and makes the state: the first one, or the one to resume from.

        Args:
            recipe: The recipe.
            train: The faces to train on.
            val: The faces to validate on. Where there are none, the newest checkpoint counts as the
                best.
            workdir: The work directory, which no other process may use meanwhile. One in a bucket
                is mirrored (mirror.py), and `self.workdir` is its folder on this machine.
            benchmark: The benchmark of the faces; its protocol names the normaliser of the
                validation NME.
            resume: Go on from the last checkpoint in `workdir`, if there is one.
            validate: Judges the present weights on `val_faces` (default: nme_and_low_score). It
                returns the NME, by which the best checkpoint is kept (unless training.judge is the
                loss), and the score that 99 % of the faces reach.
            on_step: Called after each update, on every host.

        Raises:
            InputError: The recipe, the faces, the devices or the folder do not fit.
        """
        check_readable(recipe)
        self.validate, self.on_step = validate or nme_and_low_score, on_step
        self.recipe, self.system = recipe, recipe.system
        self.train_faces, self.val_faces, self.workdir = train, val, Path(workdir)
        self.named = places.url(workdir) or self.workdir  # in messages
        self.mirror = None
        if places.url(workdir):
            self.mirror = Mirror(workdir, jax.process_index())
            self.workdir = self.mirror.folder
        parallel.check_batch(recipe.training.batch, recipe.training.accumulate)
        if not len(train):
            raise InputError(f"{recipe.data.train}: no faces to train on")
        if recipe.training.patience and not len(val):
            raise InputError(
                f"training.patience={recipe.training.patience} needs faces to validate on; set "
                "data.val or data.holdout"
            )
        self.bins = bins_of(train, recipe.data.balance) if recipe.data.balance else None
        self.stretches, self.per_epoch = plan(recipe, len(train))
        self.last = self.stretches[-1].last
        self.protocol = protocol_for(benchmark, self.system.points)
        self.normaliser = self.protocol.normaliser  # of the validation NME
        self.predictor = Predictor(self.system)
        self.found: Results | None = None  # on val_faces, at the latest validation
        training, side = recipe.training, self.system.size
        self.create = partial(
            states.create,
            self.system,
            self.stretches[0].phase,
            training.seed,
            bool(training.ema),
        )
        photos = training.batch // jax.device_count(), side, side, 3
        self.like = jax.eval_shape(self.create)
        needed = self.like, jax.ShapeDtypeStruct(photos, np.uint8)
        parallel.check_memory(needed, "make the system or training.batch smaller")
        self.stop_signal, self.asked, self.opening = 0, 0, []
        self._open(resume)

    def _open(self, resume):
        self.lock = None
        if jax.process_index() == 0:
            held = self.mirror.home if self.mirror else self.workdir
            self.lock = Lock(held, "name another --workdir")
            if self.lock.left:
                self.opening.append(f"took over from {self.lock.left}, which has ended")
            sweep(self.workdir)
        try:
            if self.mirror:
                self.mirror.pull(resume)
                if (holder := self.mirror.holder) and self.lock and holder != self.lock.left:
                    self.opening.append(
                        f"warning: {self.named} is noted to be in use by {holder}: make sure that "
                        "it has ended, for two at once spoil each other's steps"
                    )
            self._opened(resume)
            if self.mirror and self.lock:
                self.mirror.start()
        except BaseException:
            self._release()
            raise

    def _release(self):
        if self.lock:
            self.lock.release()

    def _opened(self, resume):
        existing = (self.workdir / FOLDER).is_dir() and any((self.workdir / FOLDER).iterdir())
        if existing and not resume:
            raise InputError(f"{self.named}: {TAKEN}")
        self.about = {
            "faces": {
                "train on": _known(self.train_faces, self.recipe.data.crop),
                "validate on": _known(self.val_faces, self.recipe.data.crop),
            },
            "made with": {
                "jaxalign": jaxalign.__version__,
                "JAX": jax.__version__,
                "devices": parallel.devices(),
            },
        }
        self.checkpoints = Checkpoints(self.workdir, shared=self.mirror is None)
        stored = self.workdir / "recipe.json"
        if resume:
            self._check_same(stored)
        with readable_errors(stored, "name another --workdir"), whole(stored) as file:
            file.write(f"{json_text(to_json(self.recipe), indent=2)}\n".encode())

        def like_at(step):
            if step > self.last:
                raise InputError(f"step {step} lies behind the last of the run, {self.last}")
            # The phase that was saved; after its last step a new one begins.
            phase = next(s.phase for s in self.stretches if step <= s.last)
            optimizers = jax.eval_shape(partial(states.start_optimizers, phase), self.like.params)
            return self.like.replace(optimizers=optimizers)

        state, lines = self.checkpoints.resume(like_at)
        if state is None:
            create = parallel.announced(jax.jit(self.create), "the first weights")
            state = self._started(create())
        self.opening += lines
        self.state = parallel.replicate(state)
        self.step = self.checkpoints.latest() or 0

    def _check_same(self, stored):
        """Checks that a resumed run has the same recipe and faces; notes what else is different.

        The recipe and the faces are those of the latest whole step, or else the recipe of `stored`.
        Raises InputError where they differ.
        """
        whole = self.checkpoints.about
        if whole:
            about = whole[max(whole)]
            recipe, record = about.recipe, about.record
        elif stored.exists():
            record = {}
            try:
                recipe = texts.from_json(stored.read_bytes())
            except (OSError, ValueError):
                recipe = None
        else:
            return
        if _completed(recipe) != _completed(to_json(self.recipe)):
            raise InputError(
                f"{stored} differs from the recipe given; resume with the same --config, --set and "
                "--init-from, or start anew in another --workdir"
            )
        for use, now in self.about["faces"].items():
            then = record.get("faces", {}).get(use, now)
            if then == now:
                continue
            others = (
                now["count"] if now["count"] != then["count"] else "others, or in another order"
            )
            raise InputError(
                f"{self.named}: its run had {then['count']} faces to {use}, and now there are "
                f"{others}; prepare the data as they were, or start anew in another --workdir"
            )
        for name, now in self.about["made with"].items():
            if (then := record.get("made with", {}).get(name, now)) != now:
                self.opening.append(
                    f"resumed with {name} {now}, where it was {then}: as good, but not bit for bit "
                    "what an uninterrupted run gives"
                )

    def _started(self, state):
        """The first state, with the weights that the recipe starts from.

        Its statistics are given the facts of the training data that the networks ask for.
        """
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        init_from = self.recipe.training.init_from
        variables, lines = initial.start(self.system, variables, init_from)
        self.opening += lines
        told = facts.told(variables["batch_stats"], self.train_faces, self.recipe.data.crop)
        variables = variables | {"batch_stats": told}
        ema = jax.tree.map(np.array, variables["params"]) if state.ema else {}
        return state.replace(**variables, ema=ema)

    @cached_property
    def truth(self) -> Truth:
        """The annotations of the faces that are validated on."""
        return truth_of(self.val_faces, "what is validated on", self.system.points)

    def _evaluate_every(self, phase):
        """How many updates lie between two validations."""
        training = self.recipe.training
        in_epochs = max(1, round(training.eval_epochs * self.per_epoch))
        return training.eval_steps * len(phase.cycle) or in_epochs

    def run(self):
        """Trains to the end, or until training.patience is used up.

        SIGINT, SIGTERM and SIGHUP stop it after the present step, which is saved first.

        Raises:
            SystemExit: A signal stopped the run.
            NonFinite: A loss or a gradient is not finite.
            InputError: A file cannot be written.
        """
        try:
            self._run()
        finally:
            try:
                self.checkpoints.close()
            finally:
                try:
                    if self.mirror:
                        self.mirror.close()
                finally:
                    self._release()

    def _run(self):
        quiet = jax.process_index() > 0
        self.log = Log(self.workdir, self.step, self.last, self.recipe.training.batch, quiet)
        for line in self.opening:
            self.log.say(line)
        self.log.text(self.step, "recipe", "\n".join(fields(self.recipe)))
        try:
            with signals.caught(signals.INTERRUPT + signals.END, self._stop):
                for stretch in self.stretches:
                    if self.step < stretch.last and not self._out_of_patience(stretch):
                        self._run_stretch(stretch)
        finally:
            self.log.close()

    def _stop(self, number, frame):
        self.stop_signal = number

    def _stopping(self):
        """The signal by which the run is to stop after this step, 0 where there is none.

        A signal that any host was sent stops all of them after the same step, the next one. Hosts
        look at what they agreed on one step later, as they do with losses, so that no device waits.
        """
        before, self.asked = self.asked, parallel.agreed(self.stop_signal)
        return int(before) if jax.process_count() > 1 else self.stop_signal

    def _run_stretch(self, stretch):
        """Trains one phase.

        Each step has this order: update; look at the *previous* step's loss while the device works
        on this one; then log, validate, save. Validation and saving look at the present loss first,
        so that nothing broken is ever kept. The next batch is on its way to the devices all the
        while.
        """
        training, phase = self.recipe.training, stretch.phase
        if self.step == stretch.first > 0:
            host = parallel.to_host(self.state)  # pmap's own arrays are host-local
            self.state = parallel.replicate(states.start_phase(host, phase))
        steps = stretch.last - stretch.first
        rates = {o.name: o.optimizer.rate_at(self.per_epoch, steps) for o in phase.cycle}
        updates = {
            o.name: parallel.training(states.step_of(training, o, rates[o.name], stretch.first))
            for o in phase.cycle
        }
        mean_loss = parallel.reduction(partial(states.mean_loss, objective=phase.cycle[-1]))
        save_every = max(1, round(training.save_epochs * self.per_epoch))
        evaluate_every = self._evaluate_every(phase)

        previous = None
        for batch, on_device in parallel.ahead(self._batches(stretch), DEVICE_KEYS):
            objective = phase.cycle[(self.step - stretch.first) % len(phase.cycle)].name
            self.state, metrics = updates[objective](self.state, on_device)
            if previous is not None:
                self._check(*previous)
            self.step += 1
            previous = (self.step, metrics, batch["index"])
            self.log.step()
            if self.on_step:
                self.on_step(self)

            done, stop = self.step == self.last, self._stopping()
            evaluating = self.step % evaluate_every == 0 or done
            saving = self.step % save_every == 0 or evaluating or stop
            if self.step % training.log_steps == 0 or saving:
                self._check(*previous)
                numbers = {k: float(v) for k, v in metrics.items() if k != "per_face"}
                numbers["rate"] = float(rates[objective](self.step - 1 - stretch.first))
                self.log.write(self.step, phase.name, numbers)
                self.log.show(loss=numbers["loss"])
            if saving:
                self._save(phase, evaluating, mean_loss)
            if stop:
                self.log.say(f"stopped by signal {stop}; saved step {self.step}")
                raise SystemExit(128 + stop)
            if evaluating and self._out_of_patience(stretch):
                return

    def _out_of_patience(self, stretch):
        """Whether the run stops early; then says why.

        How often the last phase was validated in vain follows from the steps, so a resumed run
        stops where an uninterrupted one does.
        """
        patience, every = self.recipe.training.patience, self._evaluate_every(stretch.phase)
        ends = stretch.last == self.last and stretch.phase.predicts and self.step < self.last
        best = self.checkpoints.best_step
        waited = self.step // every - max(best, stretch.first) // every
        if not (patience and ends and waited >= patience):
            return False
        self.log.say(f"stopped early at step {self.step}: {waited} validations without gain; the "
                     f"best checkpoint is step {best}")  # fmt: skip
        return True

    def _batches(self, stretch):
        data, training = self.recipe.data, self.recipe.training
        return training_batches(
            self.train_faces,
            self.system.points,
            data.crop,
            self.system.size,
            data.augment if data.augmented else None,
            batch=training.batch,
            seed=training.seed,
            first=self.step,
            last=stretch.last,
            process=jax.process_index(),
            processes=jax.process_count(),
            threads=data.threads,
            workers=data.workers,
            bins=self.bins,
        )

    def _check(self, step, metrics, indices):
        """Raises NonFinite, naming the faces, where this step's loss or gradient is not finite."""
        if np.isfinite(metrics["loss"]) and np.isfinite(metrics["grad_norm"]):
            return
        share, finite = len(indices), np.isfinite(metrics["per_face"])
        bad = indices[~finite[jax.process_index() * share :][:share]]
        names = [self.train_faces[int(i)]["id"] for i in (bad if len(bad) else indices)]
        which = "faces" if len(bad) else "gradient, not faces; the batch was"
        if not len(bad) and not finite.all():
            which = "faces of another host, which names them; here were"
        raise NonFinite(
            f"the loss of step {step} is not finite ({which}: {', '.join(names)}); look at them, "
            "lower the rate or set optimizer.clip; the last checkpoint is whole"
        )

    def _save(self, phase, evaluating, mean_loss):
        """Validates and saves.

        Where there are faces to validate on, a save without is never the best one.
        """
        val, low_score = math.inf, 0.0
        evaluating = evaluating and phase.predicts
        if evaluating and len(self.val_faces):
            val, low_score = self.validate(self)
            found, told = {"val_nme": val}, f"{100 * val:.3f} %"
            if self.recipe.training.judge == "loss":
                val = found["val_loss"] = self._validation_loss(mean_loss)
                told += f", loss {val:.6g}"
            self.log.write(self.step, phase.name, found)
            epoch = f"epoch {self.step / self.per_epoch:.1f}"
            self.log.say(f"{epoch}: validation NME ({self.normaliser}) {told}")
            self._show(self._evaluate_every(phase))
        counts = evaluating if len(self.val_faces) else phase.predicts
        if counts and not (len(self.val_faces) and self.recipe.training.keep == "best"):
            val = -float(self.step)  # nothing to compare by: newer is better
        self.checkpoints.save(self.state, self.recipe, val, low_score, self.about)
        self.log.restart_clock()

    def _show(self, every):
        """Writes a few validation faces with their found points to TensorBoard.

        It does so PICTURES times in a run, because pictures take more room than all numbers.
        `every` is the number of steps between two validations.
        """
        now, before = (PICTURES * s // self.last for s in (self.step, max(0, self.step - every)))
        if self.found is None or self.log.board is None or now == before:
            return
        crop, size = self.recipe.data.crop, self.system.size
        crops = pictures.crops_of(self.val_faces, self.system.points, crop, size)
        errors = self.found.nme(self.normaliser)
        self.log.picture(self.step, "validation", pictures.few_faces(self.found, errors, crops))

    def _validation_loss(self, mean_loss):
        data, variables, sums = self.recipe.data, self.state.variables(), np.zeros(2)
        batches = evaluation_batches(
            self.val_faces,
            self.system.points,
            data.crop,
            self.system.size,
            batch=self.recipe.training.batch // jax.process_count(),
            threads=data.threads,
        )
        for batch in batches:
            mean, faces = mean_loss(variables, {k: parallel.split(batch[k]) for k in DEVICE_KEYS})
            sums += float(mean) * float(faces), float(faces)
        return float(sums[0] / sums[1])


def nme_and_low_score(run: Run) -> tuple[float, float]:
    """Judges a run's present weights on its `val_faces`; each host predicts a share of them.

    Args:
        run: The run.

    Returns:
        The NME as a fraction, and the score that 99 % of the faces reach.
    """
    faces, data = run.val_faces, run.recipe.data
    found = predict_faces(
        run.predictor,
        parallel.to_host(run.state.variables()),
        Every(faces, jax.process_index(), jax.process_count()),
        data.crop,
        batch=run.recipe.training.batch,
        threads=data.threads,
    )
    results = run.truth.with_predictions(*(parallel.gathered(part, len(faces)) for part in found))
    run.normaliser, run.found = headed(run.protocol, results).normaliser, results
    nme = float(np.mean(results.nme(run.normaliser)))
    assert results.score is not None  # a predictor gives scores
    return nme, float(np.quantile(results.score.mean(1), 0.01))
