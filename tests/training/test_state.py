"""The training step: a batch in parts counts as one whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import parallel
from jaxalign.errors import InputError
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import override
from jaxalign.sources import open_source
from jaxalign.systems.interface import Objective, Phase
from jaxalign.training.loop import Run
from jaxalign.training.state import TrainState, start_optimizers, train_step
from tests.helpers.small import small_recipe


def loss(params, batch_stats, batch, key):
    """(scale x - y)^2 of the first point of each face; the statistics count calls and noise."""
    x, y = batch["points"][:, 0, 0], batch["points"][:, 0, 1]
    values = (params["network"]["scale"] * x - y) ** 2
    stats = {"calls": batch_stats["network"]["calls"] + 1, "noise": jax.random.normal(key)}
    return values, {"half": values / 2}, {"network": stats}


OBJECTIVE = Objective("all", loss, Optimizer("sgd", 0.1), trains=("network",))


def stepped(parts):
    params = {"network": {"scale": jnp.float32(0.5)}}
    stats = {"network": {"calls": jnp.int32(0), "noise": jnp.float32(0)}, "other": {}}
    optimizers = start_optimizers(Phase("one", 1.0, (OBJECTIVE,)), params)
    state = TrainState(jnp.int32(0), params, stats, {}, optimizers)
    points = np.random.default_rng(0).normal(size=(16, 1, 2)).astype(np.float32)
    batch = {"points": points, "weight": np.repeat(np.float32([1, 0]), (13, 3))}
    settings = {"objective": OBJECTIVE, "rate": lambda step: 0.1, "first": 0, "seed": 0, "ema": 0.0}
    step = parallel.training(lambda s, b: train_step(s, b, **settings, accumulate=parts))
    given = parallel.replicate(jax.tree.map(np.asarray, state))
    return *jax.device_get(step(given, jax.tree.map(parallel.split, batch))), points


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_moves_as_the_whole(parts):
    (whole, told, points), (state, parted, _) = stepped(1), stepped(parts)
    scale = state.params["network"]["scale"]
    np.testing.assert_allclose(scale, whole.params["network"]["scale"], rtol=1e-6)
    assert abs(scale - 0.5) > 0.01
    assert told.keys() == parted.keys() == {"loss", "half", "grad_norm", "per_face"}
    for name, value in told.items():
        np.testing.assert_allclose(parted[name], value, rtol=1e-5)
    np.testing.assert_allclose(parted["per_face"], (0.5 * points[:, 0, 0] - points[:, 0, 1]) ** 2)
    assert whole.batch_stats["network"]["calls"] == 1
    assert state.batch_stats["network"]["calls"] == parts
    assert state.batch_stats["network"]["noise"] != whole.batch_stats["network"]["noise"]


def test_batches_divide_into_their_parts(data_300w, tmp_path):
    recipe = override(small_recipe(batch=4), ["training.accumulate=3"])
    train = open_source("ibug_300w/train", recipe.system.points, data_300w)
    with pytest.raises(InputError, match="batch=4 does not divide over . devices, in 3 parts each"):
        Run(recipe, train, [], tmp_path)


@pytest.mark.heavy
def test_training_in_parts(data_300w, tmp_path):
    recipe = override(small_recipe(batch=8, epochs=1), ["training.accumulate=2"])
    train = open_source("ibug_300w/train", recipe.system.points, data_300w)
    run = Run(recipe, train, [], tmp_path)
    run.run()
    assert run.step == run.last
