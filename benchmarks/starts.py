"""One recipe trained from several starts, on parts of a data set: what few_photos and
cross_validation share.

Every training has a folder of its own, with its work directory, run.json, which says what it is,
and, once it is finished, predictions.jsonl: it is then not made again. One that was interrupted
goes on from its last checkpoint.
"""

import argparse
import contextlib
import hashlib
import itertools
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints, parallel
from jaxalign import recipe as recipes
from jaxalign.commands import add_data_dir, add_import
from jaxalign.conversion import given
from jaxalign.errors import InputError
from jaxalign.evaluation.model import predict_source
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.summary import headed
from jaxalign.evaluation.truth import truth_of
from jaxalign.optimizers import Optimizer
from jaxalign.prediction.predictor import Predictor
from jaxalign.protocols import Protocol, protocol_for
from jaxalign.recipe import Recipe
from jaxalign.records import json_text
from jaxalign.samples import by_hash
from jaxalign.schemes import Scheme
from jaxalign.sources import Joined, benchmark_of, open_source, renamed
from jaxalign.tensors import digest
from jaxalign.training import initial
from jaxalign.training.loop import Run, plan


NONE = "none"  # the start at random
SAVES = 10  # of a training


@dataclass(frozen=True)
class Pool(Joined):
    """Faces of several sources, of which parts can be taken by their groups."""

    @classmethod
    def of(cls, specs: Sequence[str], scheme: Scheme, data_dir: Path | str) -> "Pool":
        """NAME/SPLIT each, as sources.open_source takes them."""
        return cls(tuple(open_source(spec, scheme, data_dir) for spec in specs))

    @property
    def groups(self) -> dict[str, int]:
        """Group, by samples.by_hash -> how many faces it has."""
        counts = Counter(part.groups[index] for part in self.parts for index in part.chosen)
        return {group: counts[group] for group in by_hash(counts)}

    def only(self, groups: Collection[str]) -> "Pool":
        """The faces of these groups alone."""
        wanted = set(groups)

        def kept(part):
            return tuple(index for index in part.chosen if part.groups[index] in wanted)

        return Pool(tuple(replace(part, chosen=kept(part)) for part in self.parts))

    def check_families(self, other: "Pool"):
        """Raises InputError where some photos of both may be the same, by other names."""
        for part, its in itertools.product(self.parts, other.parts):
            if renamed(part.name, its.name):
                raise InputError(
                    f"{part.name} and {its.name} show some of the same photos, by other names: "
                    "what is tested would be trained on"
                )

    def fingerprint(self) -> str:
        """SHA-256 of which faces these are, by their sources, groups and places."""
        faces = [f"{part.name} {part.groups[i]} {i}" for part in self.parts for i in part.chosen]
        return hashlib.sha256("\n".join(faces).encode()).hexdigest()


class Starts:
    """A recipe, the starts that it is trained from, each for `steps` steps, and the folder where
    all is kept.

    `starts`: what `--init-from` takes, or NONE. `lines`: of each start, what of it was taken.
    Errors: InputError for what cannot be trained, before anything is.
    """

    def __init__(self, recipe: Recipe, starts: Sequence[str], steps: int, out: Path | str):
        if steps < 1:
            raise InputError(f"--steps {steps}: must be 1 or more")
        self.recipe, self.steps, self.out = recipe, steps, Path(out)
        self.folders = {start: re.sub(r"[^\w.-]+", "_", start).strip("_.") for start in starts}
        if len(set(self.folders.values())) < len(starts):
            raise InputError(f"--starts {' '.join(starts)}: two have one name; name each once")
        parallel.check_batch(recipe.training.batch, recipe.training.accumulate)
        shapes = recipe.system.shapes()
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        self.lines, self.taken = {}, {}
        for start in starts:
            given, lines = initial.start(recipe.system, zeros, "" if start == NONE else start)
            self.lines[start], self.taken[start] = lines, digest(checkpoints.named(given))

    @property
    def names(self) -> list[str]:
        return list(self.folders)

    def about(self) -> str:
        """What was taken of each start, as a list in Markdown."""
        lines = (f"- from {start}: {'; '.join(own)}\n" for start, own in self.lines.items() if own)
        return "".join(lines)

    def trained(self, start: str, part: str, train: Pool, test: Pool, normaliser: str) -> Path:
        """The predictions on `test` after training on `train`; `part` names that in the folder."""
        recipe = trained_from(self.recipe, "" if start == NONE else start, train, self.steps)
        asked = {"start": start, "faces": len(train), "steps": self.steps, "train": train.name,
                 "test": test.name, "start_sha256": self.taken[start],
                 "train_sha256": train.fingerprint(), "test_sha256": test.fingerprint(),
                 "recipe": _told(recipe)}  # fmt: skip
        folder = self.out / f"{self.folders[start]}_{part}"

        def predict():
            print(f"\n{folder}: {start}, {len(train)} faces, {self.steps} steps", flush=True)
            run = Run(recipe, train, [], folder, resume=True)
            run.run()
            variables = parallel.to_host(run.state.variables())
            return predict_source(
                run.predictor, variables, test, recipe.data.crop, threads=recipe.data.threads,
                progress=True,
            )  # fmt: skip

        return _once(folder, asked, normaliser, predict)

    def untrained(self, start: str, test: Pool, normaliser: str) -> Path | None:
        """The predictions of a start as it is, by its own rule for the same boxes, converted; None
        where it does not predict all of the points."""
        if start == NONE or not checkpoints.is_one(start):
            return None
        recipe, variables, _ = checkpoints.load(start)
        scheme, system = self.recipe.system.points, recipe.system
        if scheme.name not in given(system.points.name):
            print(f"{start}, untrained, is left out: {system.points.name} does not give all points "
                  f"of {scheme.name}", flush=True)  # fmt: skip
            return None
        crop = replace(recipe.data.crop, box=self.recipe.data.crop.box)
        asked = {"start": start, "faces": 0, "test": test.name, "test_sha256": test.fingerprint(),
                 "start_sha256": digest(checkpoints.named(variables)), "scheme": scheme.name,
                 "box": crop.box, "recipe": _told(recipe)}  # fmt: skip

        def predict():
            return predict_source(
                Predictor(system), variables, test, crop, scheme,
                threads=self.recipe.data.threads, progress=True,
            )  # fmt: skip

        return _once(self.out / f"{self.folders[start]}_0", asked, normaliser, predict)


def _told(recipe: Recipe) -> dict:
    """The recipe without what changes how fast it is, not what it gives."""
    data = replace(recipe.data, **dict.fromkeys(recipes.PACE, 0))
    return recipes.to_json(replace(recipe, data=data))


def _once(folder: Path, asked: Mapping, normaliser: str, predict: Callable[[], Results]) -> Path:
    """The folder's predictions.jsonl, made now unless it is there.

    Errors: InputError where the folder holds something else than is asked for."""
    note, file = folder / "run.json", folder / "predictions.jsonl"
    text = json_text(asked, indent=2) + "\n"
    if note.exists() and note.read_text(encoding="utf-8") != text:
        raise InputError(f"{note} is of other data, steps or settings; name another --out")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(text, encoding="utf-8")
    if not file.exists():
        predict().save(file, normaliser)
    return file


def trained_from(recipe: Recipe, start: str, train: Pool, steps: int) -> Recipe:
    """The recipe for `steps` steps on these faces, whatever their number, from a start.

    All its times, which are in epochs, are stretched alike, those of the optimisers too: the rate
    goes the same way over the steps for few faces and for many. Where phases share the steps,
    rounding may add a step for each phase but the first. Nothing is validated; the last step
    counts.
    """
    per_epoch = plan(recipe, len(train))[1]
    stretch = (steps - 0.5) / (per_epoch * sum(phase.epochs for phase in recipe.system.phases))
    times = {}
    for field in fields(recipe.system):
        value = getattr(recipe.system, field.name)
        if field.name.endswith("epochs"):
            times[field.name] = value * stretch
        elif isinstance(value, Optimizer):
            boundaries = tuple(boundary * stretch for boundary in value.boundaries)
            times[field.name] = replace(value, warmup=value.warmup * stretch, boundaries=boundaries)
    every = max(1, steps // SAVES) / per_epoch
    data = replace(recipe.data, train=train.name, val="", holdout=0.0, test="", limit=0)
    training = replace(
        recipe.training, init_from=start, keep="last", patience=0, eval_steps=0, eval_epochs=every,
        save_epochs=every,
    )  # fmt: skip
    return Recipe(replace(recipe.system, **times), data, training)


def scored_by(test: Pool) -> Protocol:
    """The protocol of its first part, headed by a normaliser that every face has. Reads the faces.

    Errors: InputError where there is no face, or one comes twice."""
    scheme = test.parts[0].scheme
    truth = truth_of(test, test.name, scheme)
    protocol = protocol_for(benchmark_of(test.name), scheme)
    return headed(protocol, truth.with_predictions(np.nan_to_num(truth.points)))


@contextlib.contextmanager
def told():
    """What is printed inside goes to stderr, to keep stdout for the table."""
    with contextlib.redirect_stdout(sys.stderr):
        print(f"device: {parallel.start()}", flush=True)
        yield


def add_arguments(parser: argparse.ArgumentParser):
    """What a recipe and its starts are told by."""
    parser.add_argument("--config", required=True,
                        help="recipe file, or the name of a recipe of the package")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        dest="settings", help="replace fields of the recipe")  # fmt: skip
    add_import(parser)
    parser.add_argument("--starts", nargs="+", required=True, metavar="START",
                        help=f"what --init-from of jaxalign train takes, or {NONE}; others are "
                        "compared with the first")  # fmt: skip
    parser.add_argument("--steps", type=int, required=True, help="of every training")
    parser.add_argument("--out", required=True,
                        help="folder where all is kept; run again, it does the rest")  # fmt: skip
    add_data_dir(parser)


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The recipe with --set. Errors: InputError for a setting that the trainings do not heed."""
    recipe = recipes.override(recipes.load(arguments.config), arguments.settings)
    for key in (setting.partition("=")[0] for setting in arguments.settings):
        kind, _, name = key.partition(".")
        own = (
            name in ("train", "val", "test", "holdout", "limit")
            if kind == "data"
            else (
                name.endswith("epochs")
                or name in ("init_from", "judge", "keep", "patience", "eval_steps")
            )
        )
        if own:
            raise InputError(
                f"--set {key}: the options tell what to train on, from what start, for how many "
                "steps, and what to score; leave it out"
            )
    return recipe
