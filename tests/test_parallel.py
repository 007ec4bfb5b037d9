"""Batches on their way to the devices: in order, one ahead, and errors in their turn."""

import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import parallel
from jaxalign.layers.norm import AXIS


LOADS = (
    "import jaxalign, numpy; jaxalign.load()(numpy.zeros((64, 64, 3), 'uint8'), [[8, 8, 48, 48]])"
)
READS = """
import re, jax
from jaxalign import parallel
from jaxalign.systems import Integral
parallel.wake()
system = Integral(size=64, width=16)
images = jax.ShapeDtypeStruct((2, 64, 64, 3), "uint8")
program = jax.jit(system.predict).lower(system.shapes(), images).compile().as_text()
fusions = re.findall("^%fused_computation.*?^}", program, re.MULTILINE | re.DOTALL)
assert fusions and " convolution(" in program
assert not any(" convolution(" in fusion for fusion in fusions)
"""
STARTS = "from jaxalign import parallel; parallel.start(); import jax; jax.jit(lambda x: x + 1)(1)"


@pytest.mark.parametrize("program", [LOADS, STARTS])
@pytest.mark.parametrize("given", ["", f"{parallel.FLAG}=individual_dot"])
def test_convolutions_of_cpus_are_not_those_of_ynnpack(program, given, tmp_path):
    """However JAX is started; what a user says of it stands, and so does the environment."""
    flags = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text {given}"
    check = f"import os; assert os.environ['XLA_FLAGS'] == {flags!r}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", f"{program}; {check}"], env=environment, check=True)
    options = [path.read_text() for path in tmp_path.glob("*debug_options")]
    assert options
    assert not any("INDIVIDUAL_CONVOLUTION" in text for text in options)
    assert all(("FUSION_TYPE_REDUCE" in text) == (not given) for text in options)


def test_nor_where_sums_over_maps_would_take_them_along():
    """YNNPACK computes sums, and all layers that lead to nothing else with them."""
    subprocess.run([sys.executable, "-c", READS], env=os.environ, check=True)


def batches(count, made=None, broken=None):
    for number in range(count):
        if number == broken:
            raise ValueError(f"batch {number}")
        if made is not None:
            made.append(number)
        images = np.arange(24, dtype=np.float32).reshape(8, 3) + number
        yield {"image": images, "index": np.arange(8) + number}


def test_batches_come_in_order_and_lie_on_all_devices():
    found = list(parallel.ahead(batches(4), ("image",)))
    assert [int(batch["index"][0]) for batch, _ in found] == [0, 1, 2, 3]
    for batch, moved in found:
        assert set(moved) == {"image"} and isinstance(moved["image"], jax.Array)
        np.testing.assert_array_equal(moved["image"], parallel.split(batch["image"]))
        assert len(moved["image"].sharding.device_set) == jax.local_device_count() == 4
    assert list(parallel.ahead(batches(0), ("image",))) == []


def test_they_are_where_a_step_looks_for_them():
    """No array of a batch is moved again when the step begins."""

    def step(state, batch):
        return state + jax.lax.psum(batch["image"].sum(), AXIS), {}

    state = parallel.replicate(jnp.float32(0))
    for batch, moved in parallel.ahead(batches(3), ("image",)):
        expected = float(state) + batch["image"].sum()
        with jax.transfer_guard("disallow"):
            state, _ = parallel.training(step)(state, moved)
        assert float(state) == expected


def test_the_next_one_is_made_meanwhile_and_no_more():
    made, second = [], threading.Event()

    def watched():
        for batch in batches(5, made):
            if len(made) == 2:
                second.set()
            yield batch

    coming = parallel.ahead(watched(), ("image",))
    next(coming)
    assert second.wait(30) and made == [0, 1]
    coming.close()  # as where a run stops
    assert made == [0, 1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_an_error_is_raised_in_its_turn():
    coming = parallel.ahead(batches(3, broken=1), ("image",))
    batch, _ = next(coming)
    assert batch["index"][0] == 0
    with pytest.raises(ValueError, match="batch 1"):
        next(coming)
