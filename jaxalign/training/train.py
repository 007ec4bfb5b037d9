"""Training a recipe on prepared data: opens the data, and runs."""

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
    photos_of,
    renamed,
    without,
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
    """Trains the recipe to its end; prints the device and the numbers of faces.

    Args:
        recipe: The recipe.
        workdir: The work directory of the run: its checkpoints, numbers and recipe.
        data_dir: Where jaxalign prepare stored the data sets.
        resume: Go on from the last checkpoint in `workdir`, if there is one.
        require: The device that it must run on, as in parallel.start.
        distributed: Whether this is one of several hosts, as in parallel.start.

    Raises:
        InputError: The data, the devices or the folder do not fit.

    Examples:
        ```python
        from jaxalign import recipe
        from jaxalign.training.train import train

        train(recipe.load("demo"), "runs/demo")  # after: jaxalign prepare synthetic_faces
        ```
    """
    print(f"device: {parallel.start(require, distributed)}", flush=True)
    train, val = faces(recipe, data_dir)
    for line in reductions(recipe, train):
        print(line)
    print(f"faces: {len(train)} to train on, {len(val)} to validate on", flush=True)
    benchmark = benchmark_of(recipe.data.val or recipe.data.train)
    Run(recipe, train, val, workdir, benchmark=benchmark, resume=resume).run()


def faces(recipe: Recipe, data_dir: Path | str) -> tuple[Source | Joined, Sequence[Sample]]:
    """Opens the faces that a recipe names.

    Args:
        recipe: The recipe.
        data_dir: Where jaxalign prepare stored the data sets.

    Returns:
        The faces to train on, and the faces to validate on, [] if there are none.

    Raises:
        InputError: A data set is not prepared, or does not fit the recipe.
    """
    data, scheme = recipe.data, recipe.system.points
    specs = data.trained_on
    train, val = {spec: open_source(spec, scheme, data_dir) for spec in specs}, None
    if data.val:
        val = open_source(data.val, scheme, data_dir)
    elif data.holdout:
        train[specs[0]], val = hold_out(train[specs[0]], data.holdout)
        held = {val.groups[index] for index in val.chosen}
        for spec in specs[1:]:
            if photos_of(spec) == photos_of(specs[0]):
                train[spec] = without(train[spec], held)
            elif renamed(spec, specs[0]):
                raise InputError(
                    f"data.holdout: {specs[0]} and {spec} show some of the same photos, by other "
                    "names: what is held out of one is in the other; set data.holdout=0, and "
                    "data.val to faces of other photos"
                )
    if data.limit:
        train = {spec: first(source, data.limit) for spec, source in train.items()}
        val = val and first(val, data.limit)
    joined = Joined(tuple(train[spec] for spec in specs))
    return joined if len(specs) > 1 else train[specs[0]], val or []


def reductions(recipe: Recipe, train: Source | Joined) -> list[str]:
    """Says of each data set with reduced photos what the recipe loses by it.

    Args:
        recipe: The recipe.
        train: The faces to train on.

    Returns:
        Lines to print; a line that begins with "warning: " tells of a loss.
    """
    crop, augment = recipe.data.crop, recipe.data.augment if recipe.data.augmented else None
    lines = []
    for source in train.parts if isinstance(train, Joined) else [train]:
        if not (reduction := source.reduction):
            continue
        lost = []
        if reduction.faces and recipe.system.size > reduction.most:
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
    """Chooses data on which a run of the recipe can be evaluated.

    Args:
        recipe: The recipe.
        data_dir: Where jaxalign prepare stored the data sets.

    Returns:
        NAME/SPLIT: the recipe's test data where it is prepared, else its validation data, else its
        training data.
    """
    data = recipe.data
    for spec in filter(None, (data.test, data.val)):
        try:
            open_source(spec, recipe.system.points, data_dir)
        except InputError:
            continue
        return spec
    return data.trained_on[0]
