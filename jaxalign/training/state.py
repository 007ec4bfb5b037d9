"""What training carries from step to step, and the step itself."""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxalign.layers.norm import AXIS
from jaxalign.optimizers import global_norm
from jaxalign.recipe import Training
from jaxalign.samples import DeviceBatch
from jaxalign.systems.interface import Objective, Phase, System


class TrainState(struct.PyTreeNode):
    step: jax.Array  # () int32, steps taken over all phases
    params: dict
    batch_stats: dict
    ema: dict  # averaged params, {} where the recipe has none
    optimizers: dict  # objective name -> Optax state, of the present phase

    def variables(self) -> dict:
        """What predicts: the averaged weights where there are any."""
        return {"params": self.ema or self.params, "batch_stats": self.batch_stats}


def create(system: System, phase: Phase, seed: int, ema: bool) -> TrainState:
    """The state before the first step of the first phase."""
    variables = system.init(jax.random.key(seed))
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        optimizers=start_optimizers(phase, params),
    )


def start_phase(state: TrainState, phase: Phase) -> TrainState:
    """The state before the first step of a later phase: fresh optimisers.

    Training goes on with the weights that predict: the averaged ones, where there are any.
    """
    params = jax.tree.map(jnp.copy, state.variables()["params"])  # the state will be donated
    return state.replace(params=params, optimizers=start_optimizers(phase, params))


def start_optimizers(phase: Phase, params: dict) -> dict:
    """Fresh optimiser states for a phase."""
    rate = optax.constant_schedule(0.0)  # the state does not depend on the rate
    return {
        objective.name: objective.optimizer.build(rate).init(trained(objective, params))
        for objective in phase.cycle
    }


def trained(objective: Objective, params: dict) -> dict:
    """The networks, or parts of networks, that the objective trains, as a part of `params`."""
    found = {}
    for path in objective.trains:
        *outer, name = path.split("/")
        place, whole = found, params
        for one in outer:
            place, whole = place.setdefault(one, {}), whole[one]
        place[name] = whole[name]
    return found


def replaced(params: dict, part: dict) -> dict:
    """`params` with the values of `part`, a tree of some of its names."""
    return params | {
        name: replaced(params[name], new) if isinstance(new, dict) else new
        for name, new in part.items()
    }


def train_step(
    state: TrainState,
    batch: DeviceBatch[jax.Array],
    *,
    objective: Objective,
    rate,
    first: int,
    seed: int,
    ema: float,
    accumulate: int = 1,
):
    """One step of one objective, on one of AXIS's devices; returns (state, metrics).

    `rate` is the schedule over the steps of the phase, which began at step `first`. With
    `accumulate`, the batch goes through the networks in so many equal parts, one after the other,
    which takes less memory; batch norm, and losses that look at the whole batch, see a part at a
    time. Metrics are scalars, and `per_face`, the loss of every face of the whole batch in order.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
    faces = jax.lax.psum(batch["weight"].sum(), AXIS)
    params = trained(objective, state.params)

    def share_of_loss(params, batch_stats, batch, key):
        values, parts, stats = objective.loss(
            replaced(state.params, params), batch_stats, batch, key
        )
        mean = partial(weighted_share, weights=batch["weight"], total=faces)
        parts = {name: mean(part) for name, part in parts.items()}
        return mean(values), (parts, values, batch_stats | stats)

    def gradients(batch_stats, part):
        shares = jax.value_and_grad(share_of_loss, has_aux=True)
        (loss, (parts, values, stats)), grads = shares(params, batch_stats, *part)
        return stats, (loss, parts, grads, values)

    if accumulate == 1:
        stats, (*sums, values) = gradients(state.batch_stats, (batch, key))
    else:
        split = partial(jax.tree.map, lambda x: x.reshape(accumulate, -1, *x.shape[1:]))
        stats, (*sums, values) = _summed(
            gradients, state.batch_stats, (split(batch), jax.random.split(key, accumulate))
        )
    loss, parts, grads = jax.lax.psum(sums, AXIS)

    optimizer = objective.optimizer.build(lambda count: rate(state.step - first))
    updates, optimizer_state = optimizer.update(grads, state.optimizers[objective.name], params)
    params = replaced(state.params, cast(dict, optax.apply_updates(params, updates)))
    if ema:
        taken = state.step - first  # steps of this phase
        decay = jnp.minimum(ema, (1 + taken) / (10 + taken))
        averaged = optax.incremental_update(params, state.ema, 1 - decay)
    state = state.replace(
        step=state.step + 1,
        params=params,
        batch_stats=stats,
        ema=averaged if ema else {},
        optimizers=state.optimizers | {objective.name: optimizer_state},
    )
    metrics = {"loss": loss, **parts, "grad_norm": global_norm(grads)}
    return state, metrics | {"per_face": jax.lax.all_gather(values, AXIS, tiled=True)}


def step_of(training: Training, objective: Objective, rate, first: int):
    """The train_step of an objective under a recipe's `training`, of state and batch alone."""
    return partial(
        train_step,
        objective=objective,
        rate=rate,
        first=first,
        seed=training.seed,
        ema=training.ema,
        accumulate=training.accumulate,
    )


def _summed(gradients, batch_stats, parts):
    """The sum of `gradients` over the parts, one after the other; the losses of faces side by side.

    Only one part's gradients are held at a time.
    """
    first = jax.tree.map(lambda x: x[0], parts)
    shapes = jax.eval_shape(gradients, batch_stats, first)[1][:3]
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(carry, part):
        stats, sums = carry
        stats, (*own, values) = gradients(stats, part)
        return (stats, jax.tree.map(jnp.add, sums, tuple(own))), values

    (stats, sums), values = jax.lax.scan(add, (batch_stats, zeros), parts)
    return stats, (*sums, values.reshape(-1))


def mean_loss(variables: dict, batch: DeviceBatch[jax.Array], *, objective: Objective):
    """The objective's mean loss over the faces with a weight, and the sum of their weights.

    It runs on one of AXIS's devices; no statistics are kept.
    """
    given = variables["params"], variables["batch_stats"], batch, jax.random.key(0)
    faces = jax.lax.psum(batch["weight"].sum(), AXIS)
    share = weighted_share(objective.loss(*given)[0], batch["weight"], faces)
    return jax.lax.psum(share, AXIS), faces


def weighted_share(values, weights, total):
    """This device's part of a weighted mean over all devices: the sum over AXIS is the mean."""
    return (values * weights).sum() / total
