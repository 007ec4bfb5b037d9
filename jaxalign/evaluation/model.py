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
    """Predict all faces of a source, and put the true points beside.

    If the source has another scheme than the system, the predicted points (after the flip test) and
    their scores are converted to it.

    Args:
        predictor: The system.
        variables: Its variables.
        source: The faces.
        crop: Which square is cropped.
        scheme: The scheme of the source's points. Default: the system's.
        **options: Options of `predict_faces`.

    Returns:
        The results, in the order of the source.
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
    """A trained checkpoint, and the prepared faces that it is evaluated on.

    The source may have another scheme than the system, if the system's points convert to all of its
    points.

    Attributes:
        recipe: The checkpoint's recipe.
        variables: The system's variables.
        step: The checkpoint's folder, or its file.
        source: The faces.
        device: The devices that it computes on, in words.
        flip_test: Averages the prediction with that on the mirrored crop.
        batch: Faces at a time.
        refine: How often faces are looked at again.
    """

    recipe: Recipe
    variables: dict = field(repr=False)
    step: Path
    source: Source
    device: str
    flip_test: bool = False
    batch: int = 32
    refine: int = 0

    @property
    def system(self) -> System:
        """The recipe's system."""
        return self.recipe.system

    @property
    def benchmark(self) -> str:
        """The name of the benchmark that the faces are of."""
        return benchmark_of(self.source.name)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the benchmark, for the scheme of the faces."""
        return protocol_for(self.benchmark, self.source.scheme)

    @property
    def converted(self) -> str:
        """The conversion to the scheme of the data, such as "union to wflw98", or ""."""
        own, wanted = self.system.points.name, self.source.scheme.name
        return "" if own == wanted else f"{own} to {wanted}"

    @property
    def extras(self) -> str:
        """What it does beside one plain look at a face, in words that follow the data's name."""
        looks = "second look" if self.refine == 1 else f"{self.refine} second looks"
        return ", flip test" * self.flip_test + f", {looks}" * bool(self.refine)

    @cached_property
    def predictor(self) -> Predictor:
        """The system, compiled for this host's devices."""
        return Predictor(self.system, self.flip_test)

    def predict(self, source: Sequence[Sample], crop: Crop) -> Results:
        """Predict all faces of a source, with a progress bar.

        Args:
            source: The faces, in the scheme of the model's source.
            crop: Which square is cropped.

        Returns:
            The results, in the order of the source.
        """
        return predict_source(
            self.predictor, self.variables, source, crop, self.source.scheme, refine=self.refine,
            batch=self.batch, threads=self.recipe.data.threads, progress=True,
        )  # fmt: skip

    def about(self, **more) -> dict:
        """Describe where the numbers come from, for a report.

        Args:
            **more: Further entries.

        Returns:
            Names and values.
        """
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
    """Open a checkpoint with the faces that it is evaluated on.

    Prints the device and the system's note.

    Args:
        ckpt: The checkpoint, as `checkpoints.find_step` takes it.
        which: The step of a work directory: "best" or "latest".
        data: NAME/SPLIT. Default: the recipe's test data, or else its validation data.
        data_dir: Folder of the prepared data.
        scheme: The scheme of the points that are scored: the checkpoint's own, or one whose points
            all come from those (`conversion.given`). Default: the checkpoint's own; if the data set
            does not have it and `convert` is set, the first of these that it has.
        convert: Whether points may be converted by default.
        settings: "key=value" each. They replace fields of the recipe that leave the network as it
            is.
        flip_test: Averages the prediction with that on the mirrored crop.
        batch: Faces at a time.
        require: The kind of device that is needed, as `parallel.start` takes it. Default: any.
        refine: How often faces are looked at again.

    Returns:
        The model.

    Raises:
        InputError: A value is out of its range, the checkpoint or the data is missing, or a setting
            does not fit the weights.

    Examples:
        >>> from jaxalign.evaluation.model import open_model
        >>> model = open_model("runs/wflw", data="wflw/test", flip_test=True)
        >>> results = model.predict(model.source, model.recipe.data.crop)
        >>> nme = results.nme("inter_ocular")  # (N,), fractions
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
    """The maps that a system shows over a crop, compiled.

    Args:
        system: The system.
        variables: Its variables.

    Returns:
        A function from an (S, S, 3) uint8 crop to its (h, w, C) maps by name, or None if the system
            shows none.
    """
    crop = jax.ShapeDtypeStruct((1, system.size, system.size, 3), np.uint8)
    if not jax.eval_shape(system.shown, variables, crop):
        return None
    shown = parallel.announced(jax.jit(system.shown), "the maps of the report")
    variables = jax.device_put(variables)

    def mapped(crop):
        maps = shown(variables, crop[None])
        return {name: np.asarray(found[0], np.float32) for name, found in maps.items()}

    return mapped
