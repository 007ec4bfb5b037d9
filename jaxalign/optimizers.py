"""Optimisers and learning-rate schedules as data; times are in epochs.

A fork's own optimiser is one entry in OPTIMIZERS, a schedule one in SCHEDULES.
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
    """Which parameters decay: matrices and convolution kernels, not biases or normalisation."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def muon(learning_rate, weight_decay: float = 0.0, mask=None) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for kernels, a convolution's as a matrix from its window to its
    outputs; Adam with Nesterov's momentum for the rest. Steps are scaled to the size of Adam's, so
    that its rates and weight decays fit (Liu et al., "Muon is scalable for LLM training", 2025)."""

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


# Name -> what makes it of a learning rate, and of a weight decay if it takes one. Any other name is
# looked up in optax and optax.contrib.
OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "muon": muon,
    "sgd": partial(optax.sgd, momentum=0.9, nesterov=True),
}


def find_optimizer(kind: str) -> Callable[..., optax.GradientTransformation] | None:
    """The maker of that name, of OPTIMIZERS or Optax; None where there is none.

    Not schedule_free ones: the weights that they train are not those that predict.
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

    `kind`: adam, adamw (weight decay), muon, sgd (momentum 0.9, Nesterov), a name of Optax, such as
    lion or adabelief, with its defaults, or an entry of OPTIMIZERS. Weight decay: kernels only.
    `schedule`: constant; step (times `decay` at each of `boundaries`, in epochs); cosine (down to
    the share `floor` of the rate at the phase's end). `warmup` epochs rise linearly to `rate`.
    `clip` > 0 limits the global norm of the gradients.
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
        if self.weight_decay and "weight_decay" not in inspect.signature(maker).parameters:
            self.refuse("weight_decay", f"{self.kind} has none; use kind='adamw'")
        if self.kind not in OPTIMIZERS:
            self._try()

    def _try(self):
        """Refuses one of Optax's that needs more than a rate and gradients."""

        def update():
            params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
            transform = self.build(optax.constant_schedule(0.1))
            return transform.update(params, transform.init(params), params)

        try:
            jax.eval_shape(update)
        except Exception as error:
            reason = " ".join(str(error).split())[:100]
            self.refuse("kind", f"needs more than a rate and gradients ({reason}); make an entry "
                        "of optimizers.OPTIMIZERS that has all it needs")  # fmt: skip

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
        """Step of the phase -> learning rate, for a phase of `steps` steps."""
        warmup = round(self.warmup * steps_per_epoch)
        after = SCHEDULES[self.schedule](self, steps_per_epoch, warmup, steps)
        if not warmup:
            return after
        rise = optax.linear_schedule(self.rate / warmup, self.rate, warmup)
        return optax.join_schedules([rise, after], [warmup])

    def build(self, rate: optax.Schedule) -> optax.GradientTransformation:
        """The transformation of gradients at this rate."""
        maker = find_optimizer(self.kind)
        assert maker is not None  # __post_init__ refused others
        options, known = {}, inspect.signature(maker).parameters
        if "weight_decay" in known:
            options["weight_decay"] = self.weight_decay
            options |= {"mask": kernels} if "mask" in known else {}
        update = maker(learning_rate=rate, **options)
        return optax.chain(optax.clip_by_global_norm(self.clip), update) if self.clip else update


def constant(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    return optax.constant_schedule(optimizer.rate)


def step(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    at = {}
    for boundary in optimizer.boundaries:
        place = round(boundary * steps_per_epoch) - warmup
        at[place] = at.get(place, 1.0) * optimizer.decay
    return optax.piecewise_constant_schedule(optimizer.rate, at)


def cosine(optimizer: Optimizer, steps_per_epoch: int, warmup: int, steps: int) -> optax.Schedule:
    return optax.cosine_decay_schedule(optimizer.rate, max(1, steps - warmup), optimizer.floor)


# Name -> (optimizer, steps of an epoch, of the warm-up, of the phase) -> the schedule after the
# warm-up, which counts its steps from 0.
SCHEDULES: dict[str, Callable[[Optimizer, int, int, int], optax.Schedule]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
}
