"""Compiling is said where it takes long, and only then."""

import logging
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import parallel
from jaxalign.commands import run


@pytest.fixture
def said(monkeypatch, caplog):
    """What was logged so far."""
    monkeypatch.setattr(parallel, "SILENT", 0.05)
    caplog.set_level(logging.INFO, "jaxalign")
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("jaxalign")]


def slow(*arguments):
    """Takes long to trace, as a large network does."""
    time.sleep(0.4)
    return jax.tree.map(lambda x: x + 1, arguments[-1])


def test_once_for_each_shape(said):
    call = parallel.announced(jax.jit(slow), "the thing")
    for faces in (3, 3, 4, 3):
        np.testing.assert_array_equal(call({}, np.zeros(faces)), np.ones(faces))
    assert len(said()) == 2
    assert all(line.startswith("compiling the thing (") for line in said())


def test_nothing_where_it_is_quick(said, monkeypatch):
    monkeypatch.setattr(parallel, "SILENT", 60)
    parallel.announced(jax.jit(slow), "the thing")(1)
    parallel.announced(lambda: None, "the thing")()
    assert said() == []


def test_an_error_passes_and_ends_the_waiting(said):
    def broken():
        raise ValueError("shape")

    with pytest.raises(ValueError, match="shape"):
        parallel.announced(broken, "the thing")()
    time.sleep(0.15)
    assert said() == []


def test_what_the_commands_compile(said):
    images = np.zeros((jax.local_device_count(), 2, 2))
    parallel.prediction(slow)(np.zeros(()), images)
    batch = parallel.split(images)
    parallel.reduction(lambda variables, batch: slow(variables))(jnp.zeros(()), batch)
    parallel.training(lambda state, batch: slow(state))(jnp.zeros(()), batch)
    kinds = ("prediction", "validation loss", "training step")
    assert [line.split(" (")[0] for line in said()] == [f"compiling the {kind}" for kind in kinds]


def test_commands_show_it_on_stderr(capsys):
    """Once, where a command calls another, and no more when it is done."""
    log, root = logging.getLogger("jaxalign"), logging.StreamHandler()  # as absl's, for one
    before = log.level, log.propagate, list(log.handlers)
    logging.getLogger().addHandler(root)
    try:
        assert run(lambda: run(lambda: log.getChild("parallel").info("compiling it"))) == 0
        log.info("afterwards")
    finally:
        logging.getLogger().removeHandler(root)
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "compiling it\n")
    assert (log.level, log.propagate, list(log.handlers)) == before
