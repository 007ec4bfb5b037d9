"""A recipe trained on prepared data: opens the data, runs, and says what can be evaluated then."""

from collections.abc import Sequence
from pathlib import Path

from jaxalign import parallel
from jaxalign.errors import InputError
from jaxalign.pipeline import reach
from jaxalign.recipe import Recipe
from jaxalign.samples import Sample
from jaxalign.sources import (
    DEFAULT_DATA_DIR,
    Joined,
    Source,
    benchmark_of,
    first,
    hold_out,
    open_source,
)
from jaxalign.training.loop import Run


def train(
    recipe: Recipe,
    workdir: Path | str,
    data_dir: Path | str = DEFAULT_DATA_DIR,
    *,
    resume: bool = False,
    require: str = "",
    distributed: bool = False,
) -> None:
    """Trains the recipe to its end in `workdir`; prints the device and the numbers of faces.

    `resume` goes on from the last checkpoint there, if there is one; `require` and `distributed`
    are those of parallel.start. Errors: InputError for data, devices or a folder that do not fit.
    """
    print(f"device: {parallel.start(require, distributed)}", flush=True)
    train, val = faces(recipe, data_dir)
    for line in reductions(recipe, train):
        print(line)
    print(f"faces: {len(train)} to train on, {len(val)} to validate on", flush=True)
    benchmark = benchmark_of(recipe.data.train)
    Run(recipe, train, val, Path(workdir), benchmark=benchmark, resume=resume).run()


def faces(recipe: Recipe, data_dir: Path | str) -> tuple[Source | Joined, Sequence[Sample]]:
    """The faces that the recipe trains on, and those that it validates on, [] if none."""
    data, scheme = recipe.data, recipe.system.points
    specs = data.trained_on
    train, val = {spec: open_source(spec, scheme, data_dir) for spec in specs}, None
    if data.val:
        val = open_source(data.val, scheme, data_dir)
    elif data.holdout:
        train[specs[0]], val = hold_out(train[specs[0]], data.holdout)
    if data.limit:
        train = {spec: first(source, data.limit) for spec, source in train.items()}
        val = val and first(val, data.limit)
    joined = Joined(tuple(train[spec] for spec in specs))
    return joined if len(specs) > 1 else train[specs[0]], val or []


def reductions(recipe: Recipe, train: Source | Joined) -> list[str]:
    """A line for each data set whose photos were reduced, with what the recipe loses by it."""
    crop, augment = recipe.data.crop, recipe.data.augment if recipe.data.augmented else None
    lines = []
    for source in train.parts if isinstance(train, Joined) else [train]:
        if not (reduction := source.reduction):
            continue
        lost = []
        if recipe.system.size > reduction.most:
            lost.append(f"crops of {recipe.system.size} px show no more than the reduced faces")
        if (reached := reach(crop, augment)) > reduction.margin:
            lost.append(f"crops reach {reached:.2f} sides of the box from its centre, beyond the "
                        f"{reduction.margin:g} that were kept there is black")  # fmt: skip
        if augment and augment.dropout and augment.dropout_size:
            lost.append("the cells of data.augment.dropout_size are shares of the kept part")
        lines.append(f"{source.name}: {reduction.told}")
        if lost:
            again = f"prepare {benchmark_of(source.name)} again with --max-face 0 --overwrite"
            lines.append(f"warning: {'; '.join(lost)}; for whole photos, {again}")
    return lines


def evaluable(recipe: Recipe, data_dir: Path | str) -> str:
    """NAME/SPLIT that a run of the recipe can be evaluated on with what is prepared there: its
    test data, else what it was validated on, else what it was trained on."""
    data = recipe.data
    for spec in filter(None, (data.test, data.val)):
        try:
            open_source(spec, recipe.system.points, data_dir)
        except InputError:
            continue
        return spec
    return data.trained_on[0]
