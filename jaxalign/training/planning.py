"""What a training takes on an accelerator, read off its traced program; none is needed.

Numbers are of float32 as JAX computes it by default, TF32 on these GPUs and one pass of bfloat16 on
TPUs, or of bfloat16, as the recipe's `system.dtype` says.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as P

from jaxalign import costs, parallel
from jaxalign.errors import InputError
from jaxalign.evaluation.tables import Table
from jaxalign.layers.norm import AXIS
from jaxalign.recipe import Recipe
from jaxalign.samples import ATTRIBUTES, DeviceBatch
from jaxalign.systems.interface import Objective, Phase, System
from jaxalign.training import state as states
from jaxalign.training.loop import plan


@dataclass(frozen=True)
class Card:
    """An accelerator, by its maker's data sheet.

    Attributes:
        memory: Bytes.
        share: Of the memory, what JAX takes unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
        bandwidth: Of the memory, bytes a second.
        rates: Type of the computations -> multiplications and additions a second, without sparsity.
    """

    memory: float
    share: float
    bandwidth: float
    rates: dict[str, float]


# NVIDIA's data sheets of the A100 80 GB SXM, H100 SXM and H200 SXM; Google's page of Cloud TPU v5e.
HOPPER = {"float32": 494.7e12, "bfloat16": 989.4e12}
CARDS = {
    "a100": Card(80e9, 0.75, 2.039e12, {"float32": 156e12, "bfloat16": 312e12}),
    "h100": Card(80e9, 0.75, 3.35e12, HOPPER),
    "h200": Card(141e9, 0.75, 4.8e12, HOPPER),
    "v5e": Card(16e9, 1.0, 0.819e12, {"float32": 197e12, "bfloat16": 197e12}),
}


def batch_shapes(system: System, faces: int) -> DeviceBatch[Any]:
    """The shapes of a training batch.

    Args:
        system: The system.
        faces: B.

    Returns:
        What samples.DeviceBatch holds, as shapes.
    """
    points, shape = system.points.num_points, jax.ShapeDtypeStruct
    return {
        "image": shape((faces, system.size, system.size, 3), jnp.uint8),
        "points": shape((faces, points, 2), jnp.float32),
        "labelled": shape((faces, points), jnp.bool_),
        "attributes": shape((faces, len(ATTRIBUTES)), jnp.uint8),
        "weight": shape((faces,), jnp.float32),
    }


def traced(
    recipe: Recipe, state: states.TrainState, objective: Objective, faces: int, device: Any = None
) -> Any:
    """Traces a training step of the recipe, as jaxalign train runs it where there is one device.

    `traced(...).lower(lowering_platforms=("cuda",))` lowers it; no such device need be there.

    Args:
        recipe: The recipe.
        state: The state_shapes of one of its phases.
        objective: One of the phase's.
        faces: B.
        device: A jax.Device that is there, for a step that is to be compiled for it.

    Returns:
        A jax.stages.Traced: the step of state and batch, the state donated.
    """
    mesh = AbstractMesh((1,), (AXIS,)) if device is None else Mesh([device], (AXIS,))
    step = states.step_of(recipe.training, objective, lambda count: 1e-3, 0)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False)
    batch = batch_shapes(recipe.system, faces)
    return jax.jit(mapped, donate_argnums=0).trace(state, batch)


def state_shapes(recipe: Recipe, phase: Phase) -> states.TrainState:
    """The shapes of what training carries from step to step in a phase.

    Args:
        recipe: The recipe.
        phase: One of the phases of its system.

    Returns:
        The state, as shapes.
    """
    make = partial(states.create, recipe.system, phase, 0, recipe.training.ema > 0)
    return jax.eval_shape(make)


def kept(system: System, state: states.TrainState, objective: Objective, faces: int) -> int:
    """What JAX keeps from the forward pass for the gradients.

    Args:
        system: The system.
        state: The state_shapes of one of its phases.
        objective: One of the phase's.
        faces: Faces that go through the networks at once.

    Returns:
        Bytes, counted from the shapes of the arrays; parameters that are read again are counted.
    """

    def residuals(params, batch_stats, batch):
        def loss(part):
            whole = states.replaced(params, part)
            return objective.loss(whole, batch_stats, batch, jax.random.key(0))[0].sum()

        return jax.vjp(loss, states.trained(objective, params))[1]

    batch = jax.tree.map(
        lambda one: jax.ShapeDtypeStruct((1, *one.shape), one.dtype),
        batch_shapes(system, faces),
    )
    mapped = jax.vmap(residuals, in_axes=(None, None, 0), axis_name=AXIS)
    return _bytes(jax.eval_shape(mapped, state.params, state.batch_stats, batch))


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@dataclass(frozen=True)
class Work:
    """The work of a training step on one device.

    Attributes:
        phase: Its phase.
        objective: Its objective.
        steps: How many of them the training has.
        faces: The device's share of the batch.
        at_once: Those of them that go through the networks at once.
        parameters: Parameters of all networks.
        flops: Multiplications and additions.
        unfused: Bytes that are moved if every operation reads and writes its arrays.
        state: Bytes of weights, averaged weights, statistics and optimisers.
        gradients: Bytes of the gradients of what is trained.
        each: Bytes that JAX keeps for the gradients of a face.
        shared: Bytes that it keeps whatever the number of faces, besides parameters.
    """

    phase: Phase
    objective: Objective
    steps: float
    faces: int
    at_once: int
    parameters: int
    flops: float
    unfused: float
    state: int
    gradients: int
    each: int
    shared: int

    @property
    def memory(self) -> int:
        """Bytes at the peak: the state, its gradients twice, and what is kept for them."""
        return self._fixed + self.at_once * self.each

    @property
    def _fixed(self):
        return self.state + 2 * self.gradients + self.shared

    @property
    def moved(self) -> int:
        """About the least bytes: what is kept, its gradients and the state, written and read once.

        All else is taken to be fused.
        """
        return 4 * self.faces * self.each + 2 * (self.state + self.gradients)

    def most_faces(self, card: Card) -> int:
        """The most faces of a step that fit, in as many parts as now.

        Args:
            card: The device.

        Returns:
            Their number; 0 where none does.
        """
        at_once = int((card.share * card.memory - self._fixed) // max(self.each, 1))
        return max(0, at_once) * (self.faces // self.at_once)

    def seconds(self, card: Card, dtype: str) -> tuple[float, float]:
        """The time of the step at the card's limits.

        Args:
            card: The device.
            dtype: Type of the computations.

        Returns:
            Seconds with the least bytes moved, and with the unfused ones.
        """
        computing = self.flops / card.rates[dtype]
        least, most = (max(computing, n / card.bandwidth) for n in (self.moved, self.unfused))
        return least, most


def works(recipe: Recipe, faces: int, devices: int) -> Iterator[Work]:
    """Reckons the steps of a training.

    Args:
        recipe: The recipe.
        faces: Faces of the training set.
        devices: Devices that the batch is divided over.

    Yields:
        The work of each objective of each phase.

    Raises:
        InputError: The batch does not divide, or JAX has no CPU backend.
    """
    training = recipe.training
    parallel.check_batch(training.batch, training.accumulate, devices)
    share = training.batch // devices
    at_once = share // training.accumulate
    for stretch in plan(recipe, faces)[0]:
        phase = stretch.phase
        state = state_shapes(recipe, phase)
        turns = Counter(objective.name for objective in phase.cycle)
        for objective in {objective.name: objective for objective in phase.cycle}.values():
            one, two = (kept(recipe.system, state, objective, n) for n in (1, 2))
            cost = _cost(recipe, state, objective, at_once)
            weights = _bytes(state.params)
            yield Work(
                phase=phase,
                objective=objective,
                steps=(stretch.last - stretch.first) * turns[objective.name] / len(phase.cycle),
                faces=share,
                at_once=at_once,
                parameters=costs.count(state.params),
                flops=training.accumulate * cost["flops"],
                unfused=training.accumulate * cost["bytes accessed"],
                state=_bytes(state),
                gradients=_bytes(states.trained(objective, state.params)),
                each=two - one,
                shared=max(0, 2 * one - two - weights),
            )


def _cost(recipe, state, objective, faces) -> Any:
    """XLA's count for a step of so many faces at once: of a loop it would count one turn.

    It is made by this machine's CPU, for other devices may refuse. It is the same for all devices.
    """
    whole = replace(recipe, training=replace(recipe.training, accumulate=1))
    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError:
        raise InputError("JAX_PLATFORMS leaves out the CPU, which counts; add ',cpu'") from None
    with jax.default_device(cpu):
        step = traced(whole, state, objective, faces)
        return step.lower(lowering_platforms=("cuda",)).cost_analysis()


def table(
    recipes: Iterable[tuple[str, Recipe, int]],
    cards: Sequence[str],
    devices: int = 1,
    price: float | None = None,
    compiled: bool = False,
) -> Table:
    """Reckons the trainings of recipes, as `jaxalign plan` tells them.

    Args:
        recipes: Names, recipes, and how many faces each is trained on.
        cards: Names in CARDS.
        devices: How many share the batch.
        price: Of a device for an hour; None: no cost is told.
        compiled: Compile each step for this machine's first device, for its memory.

    Returns:
        A line for each card, of each objective of each phase.

    Raises:
        InputError: A batch does not divide, or JAX has no CPU backend.
    """
    rows = []
    for name, recipe, faces in recipes:
        for work in works(recipe, faces, devices):
            parts = [name]
            parts += [work.phase.name] * (len(recipe.system.phases) > 1)
            parts += [work.objective.name] * (len(work.phase.cycle) > 1)
            more = [f"{_compiled(recipe, work) / 2**30:.3g}"] * compiled
            for card in cards:
                cells = _cells(work, card, recipe.system.dtype, devices, price)
                rows.append((" ".join(parts), *cells, *more))
    heads = ["recipe", "device", "type", "parameters", "faces", "TFLOP", "GB moved", "memory, GiB",
             "fits", "step, ms", "steps", "hours"]  # fmt: skip
    heads += ["cost"] * (price is not None) + ["compiled, GiB"] * compiled
    return Table(f"{devices} device{'s' * (devices > 1)}", tuple(heads), tuple(rows))


def _cells(work, name, dtype, devices, price):
    """A line of the table after its first cell."""
    card = CARDS[name]
    seconds = work.seconds(card, dtype)
    hours = [work.steps * one / 3600 for one in seconds]
    paid = [] if price is None else [[devices * price * one for one in hours]]
    ranges = (
        [work.moved / 1e9, work.unfused / 1e9], [1e3 * one for one in seconds], hours, *paid
    )  # fmt: skip
    moved, step, *rest = (f"{low:.3g} to {high:.3g}" for low, high in ranges)
    return (
        name, dtype, f"{work.parameters / 1e6:.1f} M", str(work.faces), f"{work.flops / 1e12:.3g}",
        moved, f"{work.memory / 2**30:.3g}", str(work.most_faces(card)), step,
        f"{work.steps:,.0f}", *rest,
    )  # fmt: skip


def _compiled(recipe, work):
    """The memory of the step's program, compiled for this machine's first device, bytes."""
    state = state_shapes(recipe, work.phase)
    step = traced(recipe, state, work.objective, work.faces, jax.devices()[0])
    return costs.planned_memory(step.lower().compile())
