"""A model on annotated faces: its points beside the true ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints, parallel, weights
from jaxalign.conversion import CONVERTERS, checked_target, given
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.truth import truth_of
from jaxalign.pipeline import Crop
from jaxalign.prediction.predictor import Predictor, predict_faces
from jaxalign.protocols import Protocol, protocol_for
from jaxalign.recipe import Recipe, to_json
from jaxalign.samples import Sample
from jaxalign.schemes import SCHEMES, Scheme
from jaxalign.sources import DEFAULT_DATA_DIR, Source, benchmark_of, open_source
from jaxalign.systems.interface import System


def predict_source(
    predictor: Predictor,
    variables: dict,
    source: Sequence[Sample],
    crop: Crop,
    scheme: Scheme | None = None,
    **options,
) -> Results:
    """All faces of `source`, in its order. `options` are those of predict_faces.

    Where the source's points are of another `scheme` than the system's, the predicted ones, flip
    test done, and their scores are converted to it.
    """
    own = predictor.system.points
    scheme = scheme or own
    truth = truth_of(source, "the source", scheme)
    found = predict_faces(predictor, variables, source, crop, **options)
    if scheme != own:
        found = CONVERTERS[own.name, scheme.name].predicted(*found)
    return truth.with_predictions(*found)


@dataclass(frozen=True)
class Model:
    """A trained checkpoint with the prepared faces that it is to be tried on.

    The source's scheme may be another than the system's, to which that converts wholly.
    """

    recipe: Recipe
    variables: dict = field(repr=False)
    step: Path  # the checkpoint's folder, or its file
    source: Source
    device: str  # what it computes on, in words
    flip_test: bool = False  # average with the prediction on the mirrored crop
    batch: int = 32  # faces at a time
    refine: int = 0  # how often faces are looked at again

    @property
    def system(self) -> System:
        return self.recipe.system

    @property
    def benchmark(self) -> str:
        return benchmark_of(self.source.name)

    @property
    def protocol(self) -> Protocol:
        return protocol_for(self.benchmark, self.source.scheme)

    @property
    def converted(self) -> str:
        """ "union to wflw98" where its points are converted to the data's, else ""."""
        own, wanted = self.system.points.name, self.source.scheme.name
        return "" if own == wanted else f"{own} to {wanted}"

    @property
    def extras(self) -> str:
        """What it does beside one plain look at a face, to be said after its data."""
        looks = "second look" if self.refine == 1 else f"{self.refine} second looks"
        return ", flip test" * self.flip_test + f", {looks}" * bool(self.refine)

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor(self.system, self.flip_test)

    def predict(self, source: Sequence[Sample], crop: Crop) -> Results:
        """All faces of `source` under this crop, with a bar of progress."""
        return predict_source(
            self.predictor, self.variables, source, crop, self.source.scheme, refine=self.refine,
            batch=self.batch, threads=self.recipe.data.threads, progress=True,
        )  # fmt: skip

    def about(self, **more) -> dict:
        """Where its numbers come from, for a report."""
        return {
            "checkpoint": weights.told(self.step),
            "note": self.system.note,
            "data": self.source.name,
            "reduced": self.source.reduction.told if self.source.reduction else "",
            "benchmark": self.benchmark,
            "converted": self.converted,
            **more,
            "flip_test": self.flip_test,
            "second looks": self.refine,
            "device": self.device,
            "recipe": to_json(self.recipe),
        }


def open_model(
    ckpt: Path | str,
    which: str = "best",
    *,
    data: str = "",
    data_dir: Path | str = DEFAULT_DATA_DIR,
    scheme: str = "",
    convert: bool = True,
    settings: Sequence[str] = (),
    flip_test: bool = False,
    batch: int = 32,
    require: str = "",
    refine: int = 0,
) -> Model:
    """A checkpoint as checkpoints.find_step takes it, and NAME/SPLIT, by default the recipe's test
    data -> Model. Prints the device, and what its system has to be noted.

    `scheme` names the points that are scored, those of the checkpoint or some that they give whole
    (conversion.given). By default they are the checkpoint's own, or, where the data set has none
    and `convert`, the first that they give and it has.
    `settings`, "key=value" each, replace fields of its recipe that leave the network as it is.
    Errors: InputError for what is not there, or does not fit the weights.
    """
    device = parallel.start(require)
    print(f"device: {device}", flush=True)
    if batch < 1:
        raise InputError(f"--batch {batch}: must be 1 or more")
    if refine < 0:
        raise InputError(f"--refine {refine}: must be 0 or more")
    recipe, variables, step = checkpoints.load(ckpt, which)
    recipe = checkpoints.overridden(recipe, settings, variables)
    if recipe.system.note:
        print(recipe.system.note)
    spec = data or recipe.data.test or recipe.data.val
    if not spec:
        raise InputError("the recipe names no test data; give --data NAME/SPLIT")
    own, others = recipe.system.points, []
    if scheme:
        own = SCHEMES[checked_target(own.name, scheme)]
    elif convert:
        others = [SCHEMES[name] for name in given(own.name)[1:]]
    source = open_source(spec, own, data_dir, others)
    return Model(
        recipe=recipe,
        variables=variables,
        step=step,
        source=source,
        device=device,
        flip_test=flip_test,
        batch=batch,
        refine=refine,
    )


def shown_maps(
    system: System, variables: dict
) -> Callable[[np.ndarray], dict[str, np.ndarray]] | None:
    """crop -> the maps that the system shows over it, by name; None where it shows none."""
    crop = jax.ShapeDtypeStruct((1, system.size, system.size, 3), np.uint8)
    if not jax.eval_shape(system.shown, variables, crop):
        return None
    shown = parallel.announced(jax.jit(system.shown), "the maps of the report")
    variables = jax.device_put(variables)

    def mapped(crop):
        maps = shown(variables, crop[None])
        return {name: np.asarray(found[0], np.float32) for name, found in maps.items()}

    return mapped
