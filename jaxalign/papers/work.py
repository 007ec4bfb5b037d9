"""The trainings and evaluations of a paper's tables and figures. Each variant is done once."""

import contextlib
import re
import shlex
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np

from jaxalign import checkpoints, texts
from jaxalign import recipe as recipes
from jaxalign.errors import InputError, typed
from jaxalign.evaluation import evaluate
from jaxalign.evaluation.compare import Entry, open_entry
from jaxalign.evaluation.model import Model, open_model
from jaxalign.evaluation.summary import statistics
from jaxalign.papers import Figure, Table, Variant
from jaxalign.pipeline import evaluation_batches
from jaxalign.recipe import Recipe
from jaxalign.sources import DEFAULT_DATA_DIR, open_source
from jaxalign.training import initial
from jaxalign.training import train as training
from jaxalign.training.loop import DEVICE_KEYS


# Settings that the model of a variant's `after` does not share with the variant.
OF_ONE = ("system.scheme", "data.train", "data.val", "data.test", "data.crop.box")


class Work:
    """The variants of one recipe, each trained once with every seed, and their evaluations.

    `folder` is where models and reports are left. `config` is a recipe's file or name, "" if only
    finished models are asked for. `settings` ("key=value") replace fields of every variant's
    recipe, or, without `config`, of the models in `ckpt`. `init_from` are files or work
    directories; a variant starts from the first that fits it. `trainings` is how many there are of
    each variant, with the recipe's seed and the next ones. `ckpt` are finished models, `report`
    their reports. `data` is NAME/SPLIT to evaluate, by default the recipe's or the table's. `ids`
    is a file of faces, one id a line. Raises InputError.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        config: str = "",
        settings: Sequence[str] = (),
        init_from: Sequence[str] = (),
        trainings: int = 1,
        ckpt: Sequence[str] = (),
        report: Sequence[str] = (),
        data: str = "",
        data_dir: Path | str = DEFAULT_DATA_DIR,
        ids: Path | str = "",
    ):
        self.folder, self.config, self.settings = Path(folder), config, list(settings)
        self.init_from, self.trainings, self.ids = init_from, trainings, ids
        self.ckpt, self.report, self.data, self.data_dir = ckpt, report, data, data_dir
        self.base = None
        if config:  # a setting that the recipe leaves idle may be a variant's
            self.base = recipes.override(recipes.load(config), self.settings, idle_too=True)
        if trainings < 1:
            raise InputError(f"--trainings {trainings}: must be 1 or more")
        if not config and (init_from or trainings > 1):
            raise InputError("--init-from and --trainings are for what is trained: give --config")
        if settings and not (config or ckpt):
            raise InputError("--set changes what is trained or evaluated: give --config or --ckpt")
        self.listed = []
        if ids:
            lines = texts.lines(texts.read(Path(ids), "name a list of faces"))
            self.listed = [line.strip() for line in lines]
        self.trained, self.entries = set(), {}

    @property
    def recipe(self) -> Recipe:
        """The recipe that variants are made of; only with `config`."""
        assert self.base is not None
        return self.base

    @property
    def seeds(self) -> range:
        first = self.recipe.training.seed
        return range(first, first + self.trainings)

    @property
    def given(self) -> list[str]:
        """Paths of the models and reports that the user names."""
        return [*self.ckpt, *self.report]

    def train(self, row: Variant, seed: int) -> Path:
        """Train the row's model, or continue its training. Returns its work directory."""
        varied, paths = recipes.override(self.recipe, row.train), [_path(s) for s in row.train]
        values = [[recipes.value_at(one, path) for path in paths] for one in (varied, self.recipe)]
        own = [s for s, new, old in zip(row.train, *values, strict=True) if new != old]
        name = _slug(own) or row.folder.format(Path(self.config).stem)
        if seed != self.recipe.training.seed:
            own.append(f"training.seed={seed}")
            name = f"{name}-seed{seed}"
        if self.folder / name not in self.trained:
            own += self._after(row)
            self._train(self.config, self.recipe, self.settings, own, name)
        return self.folder / name

    def _after(self, row):
        """The setting that names the model of `row.after`, which is trained first if it is not yet.

        There is none if the row has no such model, or if the user's settings have it.
        """
        setting, config = row.after or ("", "")
        if not config or recipes.value_at(self.recipe, setting):
            return []
        settings = [s for s in self.settings if _path(s) not in OF_ONE]
        first = recipes.override(recipes.load(config), settings, idle_too=True)
        own = [f"{setting}={str(self.folder / config)!r}"]
        _check_fits(recipes.override(self.recipe, own).system, first.system, config, setting)
        if self.folder / config not in self.trained:
            self._train(config, first, settings, [], config)
        return own

    def _train(self, config, recipe, settings, own, name):
        """Train the recipe made by `config` and `settings`, with settings of its `own`."""
        start = _fitting(recipes.override(recipe, own).system, self.init_from)
        own = [*own, *([f"training.init_from={start!r}"] if start else [])]
        workdir = self.folder / name
        with self._told("train", "--config", config, "--workdir", workdir, "--resume",
                        *_set([*settings, *own])):  # fmt: skip
            training.train(recipes.override(recipe, own), workdir, self.data_dir, resume=True)
        self.trained.add(workdir)

    def evaluate(self, row: Variant, table: Table | Figure, seed: int) -> Entry:
        """Evaluate the row's model under the row's settings of evaluation."""
        crop, settings = self.recipe.data.crop, list(row.test)
        if row.shrink != 1:
            side = getattr(crop, crop.box).enlarge * row.shrink
            settings.append(f"data.crop.{crop.box}.enlarge={side:g}")
        return self.score(self.train(row, seed), self._data(table), settings)

    def score_given(self, table: Table | Figure) -> list[Entry]:
        """Evaluate `given`, in order. `settings` apply to them only if there are no variants."""
        settings = [] if self.base else self.settings
        made = [self.score(path, self._data(table), settings) for path in self.ckpt]
        return made + [open_entry(path) for path in self.report]

    def score(self, ckpt: Path | str, data: str, settings: list[str]) -> Entry:
        """Evaluate a checkpoint, and leave its report in the folder's reports."""
        path = Path(ckpt)
        name = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        folder = self.folder / "reports" / _slug([str(name), data, *settings])
        if folder not in self.entries:
            with self._told("evaluate", "--ckpt", ckpt, "--data", data, "--report", folder,
                            *_set(settings)) as command:  # fmt: skip
                model = open_model(ckpt, data=data, data_dir=self.data_dir, settings=settings)
                evaluate.score(model, report=folder, command=command)
            self.entries[folder] = open_entry(folder)
        return self.entries[folder]

    def opened(self, row: Variant, figure: Figure) -> Model:
        """The row's model with the figure's faces, under the row's settings of evaluation.

        The model is that of the first seed, or else the first of `ckpt`.
        """
        path = self.train(row, self.seeds[0]) if self.base else self.ckpt[0]
        settings = [*row.test, *([] if self.base else self.settings)]
        data = self._data(figure)
        return open_model(path, data=data, data_dir=self.data_dir, convert=False, settings=settings)

    def per_face(self, row: Variant, table: Table, seed: int) -> dict[str, np.ndarray]:
        """For columns that are methods of the system: name -> a number for each face."""
        named = {column.statistic for column in table.columns} - set(statistics())
        if not named:
            return {}
        recipe, variables, _ = checkpoints.load(self.train(row, seed))
        source = open_source(self._data(table), recipe.system.points, self.data_dir)
        batches = evaluation_batches(
            source, recipe.system.points, recipe.data.crop, recipe.system.size, batch=32
        )
        methods = {name: jax.jit(getattr(recipe.system, name)) for name in named}
        found = {name: [] for name in named}
        for batch in batches:
            on_device = {key: batch[key] for key in DEVICE_KEYS}
            for name, method in methods.items():
                found[name].append(np.asarray(method(variables, on_device)))
        return {name: np.concatenate(parts)[: len(source)] for name, parts in found.items()}

    def _data(self, table):
        own = self.base.data.test if self.base else ""
        fixed = isinstance(table, Figure) or table.fixed
        return self.data or (table.data or own if fixed else own or table.data)

    @contextlib.contextmanager
    def _told(self, command, *arguments):
        """Print the command that would do the same, and give it.

        What is printed inside goes to stderr, because stdout is for the tables.
        """
        line = shlex.join(map(str, [*arguments, "--data-dir", self.data_dir]))
        line = f"{typed(command)} {line}"
        with contextlib.redirect_stdout(sys.stderr):
            print(f"\n$ {line}", flush=True)
            yield line


def _set(settings):
    return ["--set", *settings] if settings else []


@lru_cache(maxsize=8)
def _arrays(system):
    """The shapes of a system's variables by key; many rows of a table have the same."""
    return initial.arrays_of(system.shapes())


def _check_fits(system, first, config, setting):
    """Raise InputError if a network that the system takes differs from that of `first`.

    This comes before days are spent on training it.
    """
    own, theirs = map(_arrays, (system, first))
    for network in system.taken:
        try:
            initial.check_network(own, theirs, network, config)
        except InputError as error:
            raise InputError(f"{error}, or a trained one by --set {setting}=DIR") from None


def _fitting(system, paths):
    """The first of the paths that the system can start from, or "" if there is none."""
    if not paths:
        return ""
    shapes = _arrays(system)
    for path in map(checkpoints.local, paths):
        if not (path.exists() or checkpoints.is_one(path)):
            raise InputError(f"--init-from {path}: no such file")
        try:
            if checkpoints.is_one(path) or initial.from_file(system, shapes, path):
                return str(path)
        except InputError as error:
            print(f"not from {path}: {error}", file=sys.stderr)
    return ""


def _path(setting):
    return setting.partition("=")[0]


def _slug(settings):
    """Settings or paths -> a folder's name: "system.bands=(1,3)" -> "bands_1_3"."""
    short = (s.removeprefix("system.").replace("()", "none") for s in settings)
    return "-".join(re.sub(r"[^\w.]+", "_", text).strip("_.") for text in short)
