"""Optimisers and learning-rate schedules as data; times are in epochs."""

from dataclasses import dataclass

import jax
import optax

from jaxalign.errors import InputError


@dataclass(frozen=True)
class Optimizer:
    """An Optax optimiser with its schedule.

    `kind`: adam, adamw (weight decay on kernels only) or sgd (momentum 0.9, Nesterov).
    `schedule`: constant; step (times `factor` at each of `boundaries`, in epochs); cosine (down to
    `factor` of the rate at the phase's end). `warmup` epochs rise linearly to `rate`. `clip` > 0
    limits the global norm of the gradients.
    """

    kind: str = "adam"
    rate: float = 1e-4
    schedule: str = "constant"
    boundaries: tuple[float, ...] = ()
    factor: float = 0.1
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip: float = 0.0

    def rate_at(self, steps_per_epoch: int, steps: int) -> optax.Schedule:
        """Step of the phase -> learning rate, for a phase of `steps` steps."""
        warmup = round(self.warmup * steps_per_epoch)
        if self.schedule == "constant":
            after = optax.constant_schedule(self.rate)
        elif self.schedule == "step":
            at = {}
            for boundary in self.boundaries:
                step = round(boundary * steps_per_epoch) - warmup
                at[step] = at.get(step, 1.0) * self.factor
            after = optax.piecewise_constant_schedule(self.rate, at)
        elif self.schedule == "cosine":
            after = optax.cosine_decay_schedule(self.rate, max(1, steps - warmup), self.factor)
        else:
            raise InputError(f"schedule {self.schedule!r} is not one of: constant, step, cosine")
        if not warmup:
            return after
        rise = optax.linear_schedule(self.rate / warmup, self.rate, warmup)
        return optax.join_schedules([rise, after], [warmup])

    def build(self, rate: optax.Schedule) -> optax.GradientTransformation:
        if self.kind == "adam":
            update = optax.adam(rate)
        elif self.kind == "adamw":
            update = optax.adamw(rate, weight_decay=self.weight_decay, mask=_kernels)
        elif self.kind == "sgd":
            update = optax.sgd(rate, momentum=0.9, nesterov=True)
        else:
            raise InputError(f"optimizer {self.kind!r} is not one of: adam, adamw, sgd")
        if self.weight_decay and self.kind != "adamw":
            raise InputError(f"optimizer {self.kind!r} has no weight decay; use kind='adamw'")
        return optax.chain(optax.clip_by_global_norm(self.clip), update) if self.clip else update


def _kernels(params):
    """Decay matrices and convolution kernels, not biases or normalisation."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
