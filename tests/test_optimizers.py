import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign.errors import InputError
from jaxalign.optimizers import OPTIMIZERS, SCHEDULES, Optimizer, clipped, global_norm


def rates(optimizer, at, steps_per_epoch=10, steps=100):
    rate = optimizer.rate_at(steps_per_epoch, steps)
    return [float(rate(step)) for step in at]


def test_constant():
    np.testing.assert_allclose(rates(Optimizer(rate=0.3), [0, 1, 99]), 0.3)


def test_steps_fall_at_their_epochs():
    optimizer = Optimizer(rate=1.0, schedule="step", boundaries=(3, 5.5), decay=0.1)
    np.testing.assert_allclose(
        rates(optimizer, [0, 29, 30, 31, 54, 55, 99]),
        [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01],
        rtol=1e-5,
    )


def test_steps_after_a_warmup_fall_at_the_same_epochs():
    optimizer = Optimizer(rate=1.0, schedule="step", boundaries=(3,), decay=0.1, warmup=2)
    np.testing.assert_allclose(
        rates(optimizer, [0, 10, 20, 29, 30, 99]), [0.05, 0.525, 1, 1, 0.1, 0.1], rtol=1e-5
    )


def test_cosine_ends_at_its_floor():
    optimizer = Optimizer(rate=2.0, schedule="cosine", floor=0.1)
    np.testing.assert_allclose(
        rates(optimizer, [0, 50, 100]), [2, 2 * (0.1 + 0.9 / 2), 0.2], rtol=1e-5
    )


def test_cosine_after_a_warmup():
    """Two epochs up from a twentieth of the rate, then down over the eight that remain."""
    optimizer = Optimizer(rate=1.0, schedule="cosine", floor=0.0, warmup=2)
    found = rates(optimizer, [0, 20, 60, 100])
    np.testing.assert_allclose(found, [0.05, 1, 0.5, 0], rtol=1e-5, atol=1e-6)
    rising = rates(optimizer, range(21))
    assert all(a < b for a, b in zip(rising, rising[1:], strict=False))


def one_update(optimizer, params, grads):
    transform = optimizer.build(optax.constant_schedule(0.5))
    updates, _ = transform.update(grads, transform.init(params), params)
    return optax.apply_updates(params, updates)


PARAMS = {
    "conv": {"kernel": jnp.ones((3, 3, 2, 2)), "bias": jnp.ones(2)},
    "bn": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
    "dense": {"kernel": jnp.ones((2, 2))},
}


def test_weight_decay_takes_kernels_only():
    grads = {layer: {n: jnp.zeros_like(v) for n, v in p.items()} for layer, p in PARAMS.items()}
    after = one_update(Optimizer("adamw", weight_decay=0.1), PARAMS, grads)
    for layer, parts in after.items():
        for name, value in parts.items():
            expected = 1 - 0.5 * 0.1 if name == "kernel" else 1
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=f"{layer}/{name}")


def test_adam_moves_by_the_rate_whatever_the_gradient():
    after = one_update(Optimizer("adam"), {"a": jnp.zeros(2)}, {"a": jnp.array([3.0, -0.02])})
    np.testing.assert_allclose(after["a"], [-0.5, 0.5], rtol=1e-4)


def test_muon_moves_all_directions_of_a_kernel_alike():
    """As far as Adam does, about a fifth of the rate; what is no kernel it leaves to Adam."""
    random = np.random.default_rng(0)
    steep = random.normal(size=(3, 3, 8, 4)) * [100, 10, 1, 1]
    grads = {"kernel": jnp.asarray(steep, jnp.float32), "bias": jnp.array([3.0, -0.02])}
    after = one_update(Optimizer("muon"), jax.tree.map(jnp.zeros_like, grads), grads)
    moved = np.linalg.svd(after["kernel"].reshape(72, 4), compute_uv=False)
    assert moved.max() / moved.min() < 2
    assert np.sqrt(np.square(after["kernel"]).mean()) == pytest.approx(0.5 * 0.2, rel=0.3)
    assert after["bias"][0] < -0.5  # Nesterov's momentum goes on a little
    np.testing.assert_allclose(after["bias"][1], -after["bias"][0], rtol=1e-3)


def test_sgd_is_nesterov():
    """The first step moves by rate * (1 + momentum) * gradient."""
    after = one_update(Optimizer("sgd"), {"a": jnp.zeros(2)}, {"a": jnp.array([1.0, -2.0])})
    np.testing.assert_allclose(after["a"], [-0.95, 1.9], rtol=1e-6)


def test_clip_limits_the_global_norm():
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    held = one_update(Optimizer("sgd", clip=1.0), params, grads)
    np.testing.assert_allclose([held["a"][0], held["b"][0]], [-0.57, -0.76], rtol=1e-5)
    free = one_update(Optimizer("sgd", clip=5.5), params, grads)
    np.testing.assert_allclose([free["a"][0], free["b"][0]], [-2.85, -3.8], rtol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3, np.inf, np.nan])
def test_clipping_is_optax_s(scale):
    values = np.random.default_rng(0).normal(size=(3, 4)) * scale
    grads = {"a": jnp.asarray(values), "b": jnp.full(2, scale)}
    np.testing.assert_allclose(global_norm(grads), optax.tree.norm(grads), rtol=1e-6)
    own, theirs = clipped(2.5), optax.clip_by_global_norm(2.5)
    state = own.init(grads)
    assert state == theirs.init(grads)  # which checkpoints hold
    (found, after), (wanted, _) = own.update(grads, state), theirs.update(grads, state)
    assert after == state
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), found, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"kind": "adamx"},
            "kind='adamx': one of adam, adamw, muon, sgd, or an optimiser of Optax",
        ),
        ({"kind": "lbfgs"}, "kind='lbfgs': needs more than a rate and gradients"),
        ({"kind": "scale_by_learning_rate"}, "or an optimiser of Optax by name"),
        ({"kind": "schedule_free_sgd"}, "or an optimiser of Optax by name"),
        ({"schedule": "cosinus"}, "schedule='cosinus': one of constant, step, cosine"),
        ({"schedule": "step"}, "schedule='step': needs the epochs of its steps"),
        ({"schedule": "step", "boundaries": (5, 3)}, "must be epochs above 0, ascending"),
        ({"schedule": "step", "boundaries": (0, 3)}, "must be epochs above 0, ascending"),
        ({"kind": "sgd", "weight_decay": 0.1}, "weight_decay=0.1: sgd has none; use kind='adamw'"),
        ({"kind": "madgrad", "weight_decay": 0.1}, "madgrad would decay biases and scales too"),
        ({"rate": float("nan")}, "rate=nan: must be a finite number"),
        ({"rate": 0.0}, "rate=0.0: must be above 0"),
        ({"floor": 1.5}, "floor=1.5: must be in 0..1"),
        ({"clip": -1.0}, "clip=-1.0: must be 0 or more"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Optimizer(**settings)


@pytest.mark.parametrize(
    ("kind", "kernel"),
    [("lion", 0.95), ("adabelief", 0), ("muon", 0.95), ("prodigy", 0), ("lars", 0.9995)],
)
def test_any_of_optax_by_name(kind, kernel):
    """It moves against the gradient, and its weight decay, if any, is on kernels only."""
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    after = one_update(Optimizer(kind), PARAMS, grads)
    assert all((leaf < 1).all() for leaf in jax.tree.leaves(after))
    if not kernel:
        return
    still = jax.tree.map(jnp.zeros_like, PARAMS)
    decayed = one_update(Optimizer(kind, weight_decay=0.1), PARAMS, still)
    assert float(decayed["dense"]["kernel"][0, 0]) == pytest.approx(kernel)
    np.testing.assert_array_equal(decayed["bn"]["bias"], 1)


@pytest.mark.filterwarnings("ignore:Specifying a key")  # Optax's
def test_random_keys_in_the_state_are_refused():
    with pytest.raises(InputError, match="keeps a random key, which checkpoints cannot hold"):
        Optimizer("noisy_sgd")


def test_one_of_a_forks_own(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "slow", lambda learning_rate: optax.sgd(0.1))
    after = one_update(Optimizer("slow"), {"a": jnp.zeros(2)}, {"a": jnp.array([1.0, -2.0])})
    np.testing.assert_allclose(after["a"], [-0.1, 0.2], rtol=1e-6)


def test_a_schedule_of_a_forks_own(monkeypatch):
    def halves(optimizer, steps_per_epoch, warmup, steps):
        return lambda count: optimizer.rate * 0.5 ** (count // steps_per_epoch)

    monkeypatch.setitem(SCHEDULES, "halves", halves)
    np.testing.assert_allclose(
        rates(Optimizer(rate=1.0, schedule="halves"), [0, 10, 25]), [1, 0.5, 0.25]
    )


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ({"schedule": "step", "factor": 0.2, "boundaries": [3]}, {"decay": 0.2, "floor": 0.0}),
        ({"schedule": "cosine", "factor": 0.005}, {"decay": 0.1, "floor": 0.005}),
        ({"schedule": "constant", "factor": 0.1}, {"decay": 0.1, "floor": 0.0}),
    ],
)
def test_the_factor_of_older_recipes(stored, meant):
    read = Optimizer.from_older(stored)
    assert "factor" not in read and {name: read[name] for name in meant} == meant
    assert read["schedule"] == stored["schedule"]
