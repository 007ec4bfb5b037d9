"""A recipe small enough to train in a test, and variables without an initialisation."""

import hashlib
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign import checkpoints, parallel, weights
from jaxalign.augment import Augment
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.systems import Integral
from jaxalign.training.checkpoints import Checkpoints
from jaxalign.training.state import TrainState


def small_recipe(batch: int = 4, epochs: float = 3, **training) -> Recipe:
    """Integral regression at 32 px with 8 channels, on the tiny 300W of trees.make_300w."""
    return Recipe(
        system=Integral(
            size=32,
            width=8,
            blocks=(1, 1, 1, 1),
            decoder_width=8,
            epochs=epochs,
            optimizer=Optimizer("adam", 1e-3, "cosine"),
        ),
        data=Data("ibug_300w/train", "ibug_300w/test", augment=Augment(), threads=1),
        training=Training(batch=batch, ema=0.9, log_steps=1, **training),
    )


class InTwoPhases(Integral):
    """Integral regression in two phases, of a third and of two thirds of the epochs."""

    @property
    def phases(self):
        (phase,) = super().phases
        one, two = self.epochs / 3, self.epochs * 2 / 3
        return replace(phase, name="one", epochs=one), replace(phase, name="two", epochs=two)


def saved(recipe: Recipe, variables: dict, workdir, low_score: float = 0.0):
    """Makes of the folder a work directory whose only checkpoint holds these variables."""
    state = TrainState(jnp.ones((), jnp.int32), **variables, ema={}, optimizers={})
    manager = Checkpoints(workdir)
    manager.save(parallel.replicate(state), recipe, 0.0, low_score)
    manager.close()
    return workdir


def filled(shapes):
    """Variables of these shapes, random where there are kernels."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            return rng.normal(0, 0.1, leaf.shape).astype(np.float32)
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def packaged(monkeypatch, folder, recipe: Recipe, variables: dict) -> Path:
    """Makes these variables those that come with jaxalign, in a file of this folder."""
    path = Path(folder) / weights.WEIGHTS[weights.DEFAULT].file
    checkpoints.write(path, recipe, variables)
    data = path.read_bytes()
    row = replace(
        weights.WEIGHTS[weights.DEFAULT],
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    monkeypatch.setattr(weights, "FOLDER", path.parent)
    monkeypatch.setitem(weights.WEIGHTS, weights.DEFAULT, row)
    return path
