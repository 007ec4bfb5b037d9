import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxalign import costs
from jaxalign.systems import SYSTEMS
from tests.helpers import slow


def total(function, *shapes):
    found = costs.multiply_adds(function, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    return sum(found.values())


def layer_total(module, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    return sum(costs.multiply_adds(module.apply, variables, x).values())


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv(5, (3, 3), padding="SAME"), (1, 8, 6, 4), 8 * 6 * 5 * 3 * 3 * 4),
        (nn.Conv(5, (3, 3), padding="SAME"), (7, 8, 6, 4), 7 * 8 * 6 * 5 * 3 * 3 * 4),
        (nn.Conv(5, (3, 3), strides=2, padding=1), (1, 8, 6, 4), 4 * 3 * 5 * 3 * 3 * 4),
        (nn.Conv(8, (3, 3), feature_group_count=4), (1, 8, 6, 4), 8 * 6 * 8 * 3 * 3 * 1),
        (nn.ConvTranspose(5, (4, 4), strides=(2, 2)), (1, 8, 6, 3), 8 * 6 * 4 * 4 * 3 * 5),
        (nn.Dense(5), (2, 3, 4), 2 * 3 * 5 * 4),
    ],
    ids=["conv", "batch", "strided", "grouped", "transposed", "dense"],
)
def test_layers(module, shape, expected):
    assert layer_total(module, shape) == expected


def test_products_of_activations_do_not_count():
    assert total(lambda a, b: jnp.einsum("bqd,bkd->bqk", a, b), (2, 5, 4), (2, 6, 4)) == 0
    assert total(lambda a, b: a * b + b, (5, 4), (5, 4)) == 0
    assert total(lambda a: jnp.einsum("bhwk,w->bk", a, jnp.arange(6.0)), (2, 5, 6, 3)) == 0


def test_repeated_and_nested_programs_count_each_time():
    def five_times(x, weights):
        return jax.lax.fori_loop(0, 5, lambda i, y: jax.jit(jnp.matmul)(y, weights), x)

    assert total(five_times, (3, 4), (4, 4)) == 5 * 3 * 4 * 4


def test_scopes_are_layer_names():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="second")(nn.Dense(3, name="first")(x))

    module, x = Two(), jax.ShapeDtypeStruct((1, 4), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    found = costs.multiply_adds(module.apply, variables, x)
    assert {scope.split("/")[-1]: n for scope, n in found.items()} == {"first": 12, "second": 6}


def test_what_the_result_does_not_depend_on_is_not_alive():
    def both(weights, x):
        y = x @ weights["used"]
        return y, jax.jit(jnp.matmul)(y, weights["dead"])  # a program of its own

    shapes = {"dead": (3, 7), "used": (4, 3)}
    weights = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in shapes.items()}
    x = jax.ShapeDtypeStruct((5, 4), jnp.float32)
    assert costs.alive(both, weights, x) == (12 + 21, 5 * (12 + 21))
    assert costs.alive(lambda *given: both(*given)[0], weights, x) == (12, 5 * 12)


def test_count_takes_scalars_and_nesting():
    assert costs.count({"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4), "d": jnp.zeros(())}}) == 11


@pytest.mark.heavy
@pytest.mark.parametrize("kind", slow.but(SYSTEMS, "PropagationNet", "AttentionCropping"))
def test_the_table_adds_up(kind):
    lines = costs.table(SYSTEMS[kind]()).splitlines()[1:]
    rows, (alive, _, parameters, madds) = lines[: lines.index("")], lines[-4:]
    columns = [[int(cell.replace(",", "")) for cell in row.split()[-2:]] for row in rows]
    assert parameters == f"parameters: {sum(c[0] for c in columns)}"
    assert madds == f"multiply-adds: {sum(c[1] for c in columns)}"
    assert sum(c[1] for c in columns) > 0
    living = int(alive.removeprefix("parameters that the points depend on: "))
    assert (living < sum(c[0] for c in columns)) == (kind == "PropagationNet")
