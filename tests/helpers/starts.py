"""Trainings that train nothing, and miss every point by what is known."""

from types import SimpleNamespace

import jax
import numpy as np

from benchmarks import starts
from jaxalign import checkpoints
from jaxalign import recipe as recipes
from jaxalign.evaluation.truth import truth_of
from tests.helpers.small import filled, small_recipe


# Pixels by which a model's points stand too far right: of a start as it is, of a model trained from
# random values, and of one trained from a start.
MISSES = {"untrained": 0.7, "none": 2.5, "start": 0.5}


def start_of(folder, scheme: str, times: float = 1.0) -> str:
    """A checkpoint of the small recipe for the scheme, in a file there; its weights so many times
    as large as they are elsewhere."""
    recipe = recipes.override(small_recipe(), [f"system.scheme={scheme}"])
    path = folder / "start.safetensors"
    variables = filled(recipe.system.shapes())
    checkpoints.write(path, recipe, jax.tree.map(lambda leaf: leaf * times, variables))
    return str(path)


def faked(monkeypatch) -> list:
    """Puts them in the place of Run and predict_source; gives the runs that are made from now on,
    each with its recipe and its faces."""
    made = []

    class Fake:
        def __init__(self, recipe, train, val, workdir, *, resume):
            assert resume and not val
            self.recipe, self.train = recipe, train
            self.predictor = "start" if recipe.training.init_from else "none"
            self.state = SimpleNamespace(variables=dict)

        def run(self):
            made.append(self)

    def predict(predictor, variables, source, crop, scheme=None, **options):
        miss = MISSES[predictor if isinstance(predictor, str) else "untrained"]
        truth = truth_of(source, "source", source.parts[0].scheme)
        return truth.with_predictions(truth.points + np.array([miss, 0]))

    monkeypatch.setattr(starts, "Run", Fake)
    monkeypatch.setattr(starts, "predict_source", predict)
    return made
