import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign.errors import InputError
from jaxalign.optimizers import Optimizer


def rates(optimizer, at, steps_per_epoch=10, steps=100):
    rate = optimizer.rate_at(steps_per_epoch, steps)
    return [float(rate(step)) for step in at]


def test_constant():
    np.testing.assert_allclose(rates(Optimizer(rate=0.3), [0, 1, 99]), 0.3)


def test_steps_fall_at_their_epochs():
    optimizer = Optimizer(rate=1.0, schedule="step", boundaries=(3, 5.5), factor=0.1)
    np.testing.assert_allclose(
        rates(optimizer, [0, 29, 30, 31, 54, 55, 99]),
        [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01],
        rtol=1e-5,
    )


def test_steps_after_a_warmup_fall_at_the_same_epochs():
    optimizer = Optimizer(rate=1.0, schedule="step", boundaries=(3,), factor=0.1, warmup=2)
    np.testing.assert_allclose(
        rates(optimizer, [0, 10, 20, 29, 30, 99]), [0.05, 0.525, 1, 1, 0.1, 0.1], rtol=1e-5
    )


def test_cosine_ends_at_its_factor():
    optimizer = Optimizer(rate=2.0, schedule="cosine", factor=0.1)
    np.testing.assert_allclose(
        rates(optimizer, [0, 50, 100]), [2, 2 * (0.1 + 0.9 / 2), 0.2], rtol=1e-5
    )


def test_cosine_after_a_warmup():
    """Two epochs up from a twentieth of the rate, then down over the eight that remain."""
    optimizer = Optimizer(rate=1.0, schedule="cosine", factor=0.0, warmup=2)
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


def test_sgd_is_nesterov():
    """The first step moves by rate * (1 + momentum) * gradient."""
    after = one_update(Optimizer("sgd"), {"a": jnp.zeros(2)}, {"a": jnp.array([1.0, -2.0])})
    np.testing.assert_allclose(after["a"], [-0.95, 1.9], rtol=1e-6)


def test_clip_limits_the_global_norm():
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    clipped = one_update(Optimizer("sgd", clip=1.0), params, grads)
    np.testing.assert_allclose([clipped["a"][0], clipped["b"][0]], [-0.57, -0.76], rtol=1e-5)
    free = one_update(Optimizer("sgd", clip=5.5), params, grads)
    np.testing.assert_allclose([free["a"][0], free["b"][0]], [-2.85, -3.8], rtol=1e-5)


def test_unknown_names_say_which_there_are():
    with pytest.raises(InputError, match="'adamx' is not one of: adam, adamw, sgd"):
        Optimizer("adamx").build(optax.constant_schedule(0.1))
    with pytest.raises(InputError, match="'linear' is not one of: constant, step, cosine"):
        Optimizer(schedule="linear").rate_at(10, 100)


def test_weight_decay_without_adamw_is_refused():
    with pytest.raises(InputError, match="use kind='adamw'"):
        Optimizer("sgd", weight_decay=0.1).build(optax.constant_schedule(0.1))
