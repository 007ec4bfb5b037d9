"""Optimisers and learning-rate schedules as data; times are in epochs.

A custom optimiser is one entry in OPTIMIZERS, a custom schedule one in SCHEDULES.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from jaxalign.settings import Settings


def kernels(params):
    """The parameters that decay: matrices and convolution kernels, not biases or normalisation.

    Args:
        params: A tree of arrays.

    Returns:
        The same tree of bools.
    """
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def global_norm(tree) -> jax.Array:
    """The root of the sum of all squares, in half as many operations as optax.tree.norm's.

    Args:
        tree: A tree of real arrays.

    Returns:
        A scalar.
    """
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))


def clipped(largest: float) -> optax.GradientTransformation:
    """optax.clip_by_global_norm, in a third of its operations.

    Args:
        largest: The largest global norm.

    Returns:
        The Optax transformation.
    """

    def update(updates, state, params=None):
        factor = jnp.minimum(1.0, largest / global_norm(updates))
        return jax.tree.map(lambda leaf: leaf * factor, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def muon(learning_rate, weight_decay: float = 0.0, mask=None) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for kernels, Adam with Nesterov's momentum for the rest.

    A convolution's kernel counts as a matrix from its window to its outputs. Steps are scaled to
    the size of Adam's, so its rates and weight decays fit (Liu et al., "Muon is scalable for LLM
    training", 2025).

    Args:
        learning_rate: A number or a schedule.
        weight_decay: Factor of the decay.
        mask: Takes the parameters to a tree of bools, True for those that decay; None: all do.

    Returns:
        The Optax transformation.
    """

    def matrices(params):
        def sides(leaf):
            *inputs, outputs = range(leaf.ndim)
            return optax.contrib.MuonDimensionNumbers(tuple(inputs), (outputs,))

        return jax.tree.map(lambda leaf: sides(leaf) if leaf.ndim > 1 else None, params)

    return optax.contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        weight_decay_mask=mask,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )


# Name -> its maker from a learning rate and, if it takes one, a weight decay. Other names are
# looked up in optax and optax.contrib.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "muon": muon,
    "sgd": partial(optax.sgd, momentum=0.9, nesterov=True),
}


MASKS = {"mask", "weight_decay_mask"}  # what makers call the parameters that decay


def find_optimizer(kind: str) -> Callable[..., optax.GradientTransformation] | None:
    """The maker of an optimiser by name, from OPTIMIZERS or Optax.

    Optax's schedule_free optimisers are left out: the weights that they train are not those that
    predict.

    Args:
        kind: A name in OPTIMIZERS, optax or optax.contrib.

    Returns:
        A function of a learning rate, or None if there is none of that name.
    """
    if kind in OPTIMIZERS:
        return OPTIMIZERS[kind]
    named = getattr(optax, kind, None) or getattr(optax.contrib, kind, None)
    inner = kind.startswith(("_", "scale_by_", "schedule_free"))
    if inner or not inspect.isfunction(named):
        return None
    parameters = inspect.signature(named).parameters
    return named if "learning_rate" in parameters else None


@dataclass(frozen=True)
class Optimizer(Settings):
    """An Optax optimiser with its schedule.

    Attributes:
        kind: adam, adamw (with weight decay), muon, sgd (momentum 0.9, Nesterov), another entry of
            OPTIMIZERS, or a name of Optax with its defaults, such as lion or adabelief.
        rate: Learning rate after the warm-up.
        schedule: constant; step, times `decay` at each of `boundaries`; cosine, down to `floor` at
            the phase's end; or another entry of SCHEDULES.
        boundaries: Epochs of the steps, ascending.
        decay: Factor of each step.
        floor: Share of `rate` that cosine ends at.
        warmup: Epochs of the linear rise to `rate`.
        weight_decay: Factor of the decay, of kernels only.
        clip: Above 0, the largest global norm of the gradients.

    Example:
        >>> optimizer = Optimizer("adamw", 2e-3, "cosine", warmup=1, weight_decay=1e-4)
        >>> rate = optimizer.rate_at(steps_per_epoch=100, steps=6000)
        >>> round(float(rate(100)), 6), round(float(rate(6000)), 6)
        (0.002, 0.0)
    """

    where: ClassVar[str] = "optimizer."

    kind: str = "adam"
    rate: float = 1e-4
    schedule: str = "constant"
    boundaries: tuple[float, ...] = ()
    decay: float = 0.1
    floor: float = 0.0
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self.check_above(0, "rate")
        self.check_choices(schedule=SCHEDULES)
        self.check_least(decay=0, warmup=0, weight_decay=0, clip=0)
        self.check_shares("floor")
        if list(self.boundaries) != sorted({b for b in self.boundaries if b > 0}):
            self.refuse("boundaries", "must be epochs above 0, ascending")
        if self.schedule == "step" and not self.boundaries:
            self.refuse("schedule", "needs the epochs of its steps; set boundaries with it")
        maker = find_optimizer(self.kind)
        if maker is None:
            self.refuse("kind", f"one of {', '.join(OPTIMIZERS)}, or an optimiser of Optax by name")
        known = inspect.signature(maker).parameters
        if self.weight_decay and "weight_decay" not in known:
            self.refuse("weight_decay", f"{self.kind} has none; use kind='adamw'")
        if self.kind not in OPTIMIZERS:
            if self.weight_decay and not MASKS & known.keys():
                self.refuse("weight_decay", f"{self.kind} would decay biases and scales too; use "
                            "kind='adamw'")  # fmt: skip
            self._try()

    def _try(self):
        """Refuses an optimiser of Optax that needs more than a rate and gradients."""

        def update():
            params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
            transform = self.build(optax.constant_schedule(0.1))
            state = transform.init(params)
            transform.update(params, state, params)
            return state

        try:
            state = jax.eval_shape(update)
        except Exception as error:
            reason = " ".join(str(error).split())[:100]
            self.refuse("kind", f"needs more than a rate and gradients ({reason}); make an entry "
                        "of optimizers.OPTIMIZERS that has all it needs")  # fmt: skip
        if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state)):
            self.refuse("kind", "keeps a random key, which checkpoints cannot hold; choose another")

    @property
    def idle(self):
        of = {"boundaries": "step", "decay": "step", "floor": "cosine"}
        return {
            name: f"it is for schedule={schedule}"
            for name, schedule in of.items()
            if self.schedule in ("constant", "step", "cosine") and self.schedule != schedule
        }

    @classmethod
    def from_older(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Version 0.1 had one `factor` for both schedules, and ignored boundaries under cosine."""
        if "factor" not in values:
            return values
        factor = values["factor"]
        kept = {name: value for name, value in values.items() if name != "factor"}
        kept |= {"decay": factor} if values.get("schedule") == "step" else {"decay": cls.decay}
        kept |= {"floor": factor} if values.get("schedule") == "cosine" else {"floor": cls.floor}
        return kept

    def rate_at(self, steps_per_epoch: int, steps: int) -> optax.Schedule:
        """The learning rate of a phase.

        Args:
            steps_per_epoch: Steps of an epoch.
            steps: Steps of the phase.

        Returns:
            A function from the phase's step to the rate.
        """
        warmup = round(self.warmup * steps_per_epoch)
        after = SCHEDULES[self.schedule](self, steps_per_epoch, warmup, steps)
        if not warmup:
            return after
        rise = optax.linear_schedule(self.rate / warmup, self.rate, warmup)
        return optax.join_schedules([rise, after], [warmup])

    def build(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """The transformation of gradients.

        Args:
            rate: Step -> learning rate, as `rate_at` gives it.

        Returns:
            The Optax transformation.
        """
        maker = find_optimizer(self.kind)
        assert maker is not None  # __post_init__ refused others
        options, known = {}, inspect.signature(maker).parameters
        if "weight_decay" in known:
            options["weight_decay"] = self.weight_decay
            options |= dict.fromkeys(MASKS & known.keys(), kernels)
        update = maker(learning_rate=rate, **options)
        return optax.chain(clipped(self.clip), update) if self.clip else update


def constant(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    """The rate itself. All schedules begin after the warm-up and count their steps from 0.

    Args:
        optimizer: Has the rate and the settings of its schedule.
        steps_per_epoch: Steps of an epoch.
        warmup: Steps of the warm-up.
        steps: Steps of the phase, with the warm-up.

    Returns:
        A function from the step to the rate.
    """
    return optax.constant_schedule(optimizer.rate)


def step(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    """The rate times `decay` at each of `boundaries`; as `constant`.

    Args:
        optimizer: Has the rate and the settings of its schedule.
        steps_per_epoch: Steps of an epoch.
        warmup: Steps of the warm-up.
        steps: Steps of the phase, with the warm-up.

    Returns:
        A function from the step to the rate.
    """
    at = {}
    for boundary in optimizer.boundaries:
        place = round(boundary * steps_per_epoch) - warmup
        at[place] = at.get(place, 1.0) * optimizer.decay
    return optax.piecewise_constant_schedule(optimizer.rate, at)


def cosine(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    """Half a cosine from the rate down to its share `floor`; as `constant`.

    Args:
        optimizer: Has the rate and the settings of its schedule.
        steps_per_epoch: Steps of an epoch.
        warmup: Steps of the warm-up.
        steps: Steps of the phase, with the warm-up.

    Returns:
        A function from the step to the rate.
    """
    return optax.cosine_decay_schedule(optimizer.rate, max(1, steps - warmup), optimizer.floor)


# Name -> (optimizer, steps of an epoch, of the warm-up, of the phase) -> the schedule after the
# warm-up, which counts its steps from 0.
SCHEDULES: dict[str, Callable[[Optimizer, int, int, int], optax.Schedule]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
}
