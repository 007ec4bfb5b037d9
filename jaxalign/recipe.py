"""Recipes: one frozen dataclass tree that says everything about a run.

A recipe is a Python file with `config() -> Recipe` (configs/). `--set a.b=value` replaces single
fields. The checkpoint stores the resolved recipe as JSON, and `from_json` rebuilds it. The system
is one of SYSTEMS, or a custom class that was imported before: a checkpoint holds the name of the
class, never a path that would be run.
"""

import ast
import dataclasses
import difflib
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from jaxalign import configs, scheme_files
from jaxalign.augment import PIXELS, Augment
from jaxalign.errors import InputError
from jaxalign.losses import LOSSES
from jaxalign.optimizers import OPTIMIZERS, SCHEDULES
from jaxalign.pipeline import Crop
from jaxalign.records import json_text
from jaxalign.settings import Settings
from jaxalign.systems import SYSTEMS
from jaxalign.systems.interface import System


TABLES = (LOSSES, OPTIMIZERS, SCHEDULES, PIXELS)  # a custom file may add entries
_SHIPPED = [frozenset(table) for table in TABLES]


@dataclass(frozen=True)
class Data(Settings):
    """What is trained on: prepared data sets, crop and augmentation.

    Attributes:
        train: Data sets `NAME[:CONFIG]/SPLIT`, joined by "+" as in "A/train + B/train". An epoch
            has all of their faces; those of a data set named twice come twice.
        val: The data set for validation during training. Empty: `holdout` chooses.
        holdout: 0 to below 1, the share of the first training set's photos (whole groups) that is
            validated on and not trained on. With 0 and no `val`, nothing is validated and the last
            checkpoint counts.
        test: The data set that `jaxalign evaluate` scores by default; "" stands for `val`.
        crop: How faces are cropped.
        augment: Augmentation of training faces.
        augmented: False trains on the plain crops, to see a model overfit.
        balance: "" draws each face once an epoch. "yaw" draws the bins 0 to 30, 30 to 60 and above
            60 degrees equally often (those that have faces), as pose-balanced data would. The epoch
            keeps its length, so some faces come again and others not.
        limit: Above 0, only the first so many faces of each data set.
        threads: Threads that read and warp photos; 0 means as many as there are cores, at most 8.
        workers: Above 0, processes that make the batches of training, in place of threads: more of
            them go faster where threads wait for Python's lock. Neither changes the result.
    """

    where: ClassVar[str] = "data."

    train: str = "ibug_300w/train"
    val: str = ""
    holdout: float = 0.0
    test: str = ""
    crop: Crop = field(default_factory=Crop)
    augment: Augment = field(default_factory=Augment)
    augmented: bool = True
    balance: str = ""
    limit: int = 0
    threads: int = 0
    workers: int = 0

    @property
    def trained_on(self) -> list[str]:
        """The data sets of `train`."""
        return [spec.strip() for spec in self.train.split("+")]

    def __post_init__(self):
        super().__post_init__()
        self.check_choices(balance=("", "yaw"))
        self.check_least(holdout=0, limit=0, threads=0, workers=0)
        if not self.holdout < 1:
            self.refuse(
                "holdout", "must be below 1, the share of the photos that is not trained on"
            )

    @property
    def idle(self):
        found = {} if self.augmented else {"augment": "augmented=False trains on plain crops"}
        if self.val and self.holdout:
            found["holdout"] = f"val={self.val} is validated on"
        return found


PACE = ("threads", "workers")  # of Data: how fast a run is, not what it gives
KEEP = ("best", "last")  # checkpoints that count
JUDGES = ("nme", "loss")  # measures of the best checkpoint


@dataclass(frozen=True)
class Training(Settings):
    """How the phases are run, and which checkpoint counts.

    Attributes:
        batch: Faces per step, over all devices of all hosts.
        accumulate: Parts of a batch that go through the networks one after the other, to save
            memory.
        seed: Of data order and networks.
        ema: Decay of the averaged weights that are evaluated; 0 evaluates the weights themselves.
        log_steps: Steps between lines of the log.
        eval_epochs: Epochs between validations.
        eval_steps: Above 0, steps between validations (and saves), in place of `eval_epochs`. If
            the objectives of a phase take turns, one turn of all of them is a step here.
        keep: The checkpoint that counts: "best" by validation, or "last". With "last" a test set
            may be `data.val` for its curve, because it chooses nothing.
        judge: Measure of the best: "nme", or "loss", the loss of the phase's last objective
            on unaugmented faces (normalised by their own batches).
        patience: Above 0, the last phase, and so the run, ends after so many validations of it in a
            row without a better one. Earlier phases are never cut short.
        save_epochs: Epochs between saves.
        init_from: PyTorch weights or a jaxalign checkpoint to start from (training/initial.py).
    """

    where: ClassVar[str] = "training."

    batch: int = 16
    accumulate: int = 1
    seed: int = 0
    ema: float = 0.0
    log_steps: int = 10
    eval_epochs: float = 1.0
    eval_steps: int = 0
    keep: str = "best"
    judge: str = "nme"
    patience: int = 0
    save_epochs: float = 1.0
    init_from: str = ""

    def __post_init__(self):
        super().__post_init__()
        self.check_least(
            batch=1, accumulate=1, seed=0, ema=0, log_steps=1, eval_steps=0, patience=0
        )
        self.check_above(0, "eval_epochs", "save_epochs")
        self.check_choices(keep=KEEP, judge=JUDGES)
        if self.patience and self.keep == "last":
            self.refuse("patience", "waits for a better checkpoint: needs training.keep=best")
        if not self.ema < 1:
            self.refuse("ema", "must be at least 0 and below 1")

    @property
    def idle(self):
        steps = f"eval_steps={self.eval_steps} says when to validate"
        found = {"eval_epochs": steps} if self.eval_steps else {}
        return found | ({"judge": "keep=last needs no judge"} if self.keep == "last" else {})


@dataclass(frozen=True)
class Recipe(Settings):
    """A run: what is trained, on what, and how.

    Attributes:
        system: The system with its settings.
        data: Data sets, crop and augmentation.
        training: Batches, validation and checkpoints.

    Example:
        >>> from jaxalign.systems import SYSTEMS
        >>> system = SYSTEMS["Integral"](scheme="wflw98")
        >>> recipe = Recipe(system, Data("wflw/train", val="wflw/test"))
        >>> recipe.training.batch
        16
    """

    system: System
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)

    @property
    def idle(self):
        judged = self.data.val or self.data.holdout
        why = "nothing is validated, for data.val and data.holdout are not set"
        return {} if judged else {"training.judge": why}

    def __post_init__(self):
        super().__post_init__()
        kind = type(self.system)
        if SYSTEMS.get(kind.__name__, kind) is not kind:
            raise InputError(
                f"{kind.__module__}.{kind.__name__}: jaxalign has a system of that name, which its "
                "checkpoints would be taken for; give the class another"
            )


def configs_folder() -> Path:
    """The folder of the shipped recipes.

    Returns:
        Its path.
    """
    return Path(configs.__path__[0])


def load(path: str) -> Recipe:
    """The recipe of a file, or a shipped one by name.

    Args:
        path: A Python file with `config() -> Recipe`, or the name of one in configs/.

    Returns:
        The recipe.

    Raises:
        InputError: When there is no such recipe, or its file fails.

    Example:
        >>> load("integral_ibug_300w").system.size
        192
    """
    file = Path(path)
    if not file.is_file():
        file = configs_folder() / f"{path.removesuffix('.py')}.py"
    if not file.is_file():
        names = ", ".join(sorted(p.stem for p in configs_folder().glob("[!_]*.py")))
        raise InputError(f"no recipe {path!r}; give a file, or one of: {names}")
    config = getattr(import_file(file), "config", None)
    if not callable(config):
        raise InputError(f"{file}: a recipe must define config() -> Recipe")
    with _of_file(file):
        found = config()
    if not isinstance(found, Recipe):
        raise InputError(f"{file}: config() gives a {type(found).__name__}; it must give a Recipe")
    return found


@contextmanager
def _of_file(file):
    """What goes wrong in a user's Python file, as InputError naming the line."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f", line {frame.lineno}" for frame in frames if frame.filename == str(file)]
        reason = " ".join(str(error).split())
        if not isinstance(error, InputError):
            reason = f"{type(error).__name__}: {reason}; mend the file"
        raise InputError(f"{file}{''.join(lines[-1:])}: {reason}") from error


def import_file(file: Path | str) -> ModuleType:
    """Runs a Python file as a module `file_<stem>` of sys.modules.

    Args:
        file: A recipe, or a file that defines a system or adds an entry to a table.

    Returns:
        The module.

    Raises:
        InputError: When the file is missing, or fails; the message names the line.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file; give a Python file")
    import cloudpickle  # here, because few runs have a file of their own

    name = f"file_{file.stem}"
    loader = SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # there is a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    cloudpickle.register_pickle_by_value(module)  # worker processes cannot import it
    try:
        with _of_file(file):
            loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise
    return module


def override(recipe: Recipe, settings: Sequence[str], idle_too: bool = False) -> Recipe:
    """The recipe with some fields replaced, all at once.

    Args:
        recipe: The recipe; it stays as it is.
        settings: "a.b=value" each, as `--set` takes them; a later setting of a field wins.
        idle_too: Accept settings that would change nothing.

    Returns:
        The changed recipe.

    Raises:
        InputError: When a setting is unknown, of the wrong type or not allowed, or would change
            nothing and `idle_too` is False.

    Example:
        >>> override(load("integral_ibug_300w"), ["training.batch=8"]).training.batch
        8
    """
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write key=value")
        _plan(recipe, changes, key.split("."), text, key)
    changed = _changed(recipe, changes, "")
    for setting in () if idle_too else settings:
        key = setting.partition("=")[0]
        for name, why in idle(changed).items():
            if f"{key}.".startswith(f"{name}."):
                raise InputError(f"--set {setting}: would change nothing, for {why}")
    return changed


def _literal(text, is_text):
    """The value that is written. Text stands as it is, or in quotes."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text
    return value if isinstance(value, str) or not is_text else text


def _plan(node, changes, path, text, key):
    """Notes the value that `text` writes in `changes`, a tree of dicts like the recipe's."""
    types = {f.name: f.type for f in dataclasses.fields(node)}
    head, rest = path[0], path[1:]
    if head not in types:
        close = difflib.get_close_matches(head, types, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InputError(f"unknown recipe key {key!r}{hint}; valid here: {', '.join(types)}")
    old = getattr(node, head)
    if types[head] in (float, "float"):
        old = float(old)  # a recipe may have written 120 for 120.0
    if not rest:
        changes[head] = _as_type_of(old, _literal(text, isinstance(old, str)), key)
    elif dataclasses.is_dataclass(old):
        _plan(old, changes.setdefault(head, {}), rest, text, key)
    else:
        raise InputError(f"unknown recipe key {key!r}: {head} has no parts")


def _changed(node, changes, path):
    """The node with its changes, made once; errors name the field by its whole path."""
    values = {
        name: _changed(getattr(node, name), value, f"{path}{name}.")
        if isinstance(value, dict)
        else value
        for name, value in changes.items()
    }
    try:
        return dataclasses.replace(node, **values)
    except InputError as error:
        raise InputError(f"{path}{str(error).removeprefix(node.where)}") from None


def _as_type_of(old, value, key):
    """The value, if it fits the field's present type; ints pass for floats, lists for tuples."""
    if dataclasses.is_dataclass(old):
        parts = ", ".join(f.name for f in dataclasses.fields(old))
        raise InputError(f"{key} is not one value; set one of its parts: {parts}")
    if isinstance(old, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(old):
        raise InputError(f"{key}={value!r}: expected {type(old).__name__}, as in {old!r}")
    return value


def idle(node: Settings, path: str = "") -> dict[str, str]:
    """The fields of a recipe that its other fields switch off.

    Args:
        node: A recipe or a part of it.
        path: What stands before the names of its fields, such as "system.".

    Returns:
        Path of the field -> why it changes nothing.
    """
    found = {f"{path}{name}": why for name, why in node.idle.items()}
    for field_ in dataclasses.fields(node):
        part, name = getattr(node, field_.name), f"{path}{field_.name}"
        if isinstance(part, Settings) and name not in found:
            found |= idle(part, f"{name}.")
    return found


def value_at(recipe: Recipe, path: str) -> Any:
    """The field at a path.

    Args:
        recipe: The recipe.
        path: Such as "system.optimizer.rate".

    Returns:
        Its value.
    """
    node = recipe
    for name in path.split("."):
        node = getattr(node, name)
    return node


def fields(node: Settings, path: str = "") -> list[str]:
    """The fields of a recipe as lines "path=value", as `--set` takes them.

    Args:
        node: A recipe or a part of it.
        path: What stands before the names of its fields, such as "system.".

    Returns:
        A line for each field.
    """
    lines = []
    for one in dataclasses.fields(node):
        value, name = getattr(node, one.name), f"{path}{one.name}"
        lines += fields(value, f"{name}.") if isinstance(value, Settings) else [f"{name}={value!r}"]
    return lines


def notes(recipe: Recipe) -> list[str]:
    """The settings of a recipe that have no effect: idle fields that are not at their defaults.

    Args:
        recipe: The recipe.

    Returns:
        A line for each.
    """
    lines = []
    for path, why in idle(recipe).items():
        parent, _, name = path.rpartition(".")
        value, default = value_at(recipe, path), _default(type(value_at(recipe, parent)), name)
        if value != default:
            lines.append(f"{path}={value} has no effect: {why}")
    return lines


def _default(kind, name):
    field_ = next(f for f in dataclasses.fields(kind) if f.name == name)
    made = field_.default_factory
    return field_.default if made is dataclasses.MISSING else made()


def to_json(node) -> Any:
    """A recipe as plain JSON values.

    The system carries the name of its class. The recipe carries the scheme of its points if the
    scheme is custom.

    Args:
        node: A recipe or a part of it.

    Returns:
        Dicts, lists and plain values.
    """
    if isinstance(node, Recipe) and node.system.scheme in scheme_files.own():
        values = {f.name: to_json(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return values | {"scheme": scheme_files.stored(node.system.points)}
    if dataclasses.is_dataclass(node):
        values = {f.name: to_json(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return {"kind": type(node).__name__} | values if isinstance(node, System) else values
    return list(node) if isinstance(node, tuple) else node


def from_json(values: dict) -> Recipe:
    """The recipe that `to_json` stored; a scheme in it is added to SCHEMES.

    Args:
        values: What `to_json` gave for a whole recipe.

    Returns:
        The recipe.

    Raises:
        InputError: When a key is unknown, a value is refused, the system is unknown, or another
            scheme has the name of the stored one.
    """
    values = dict(values)
    if "scheme" in values:
        try:
            scheme = scheme_files.made(values.pop("scheme"))
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"the checkpoint's scheme cannot be read ({error})") from None
        scheme_files.register(scheme, "the checkpoint")
    system = dict(values["system"])
    default = Recipe(system=_kind(system.pop("kind"))())
    return _fill(default, values | {"system": system}, "")


def _kind(name):
    """The system of that name: one of SYSTEMS, or the last one defined in the imported files."""
    found = {cls.__name__: cls for cls in _subclasses(System)} | SYSTEMS
    if name not in found:
        raise InputError(
            f"unknown system {name!r}; this version has: {', '.join(SYSTEMS)}. If it is your own, "
            "name its file with --import FILE; in Python, import it first"
        )
    return found[name]


def _subclasses(cls) -> Iterator[type[System]]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)


def _fill(default, values, path) -> Any:
    if not isinstance(default, Settings):
        return tuple(values) if isinstance(default, tuple) else values
    values = type(default).from_older(values)
    known = {f.name for f in dataclasses.fields(default)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"unknown recipe key {path + unknown[0]!r} in the checkpoint")
    parts = {n: _fill(getattr(default, n), v, f"{path}{n}.") for n, v in values.items()}
    try:
        return dataclasses.replace(default, **parts)
    except InputError as error:
        raise InputError(
            f"{path}{str(error).removeprefix(default.where)}. If that is an entry of your own, "
            "name its file with --import FILE; in Python, import it first"
        ) from None


def has_own_parts(part) -> bool:
    """Whether a recipe needs code outside the package, so that it must be imported first.

    That is a class that the package does not define, or a custom entry in one of TABLES.

    Args:
        part: A recipe or a part of it.

    Returns:
        True if its file must be imported before a checkpoint of it is read.
    """
    if any(set(table) - shipped for table, shipped in zip(TABLES, _SHIPPED, strict=True)):
        return True
    if not dataclasses.is_dataclass(part):
        return False
    values = [getattr(part, field.name) for field in dataclasses.fields(part)]
    return type(part).__module__.split(".")[0] != "jaxalign" or any(map(has_own_parts, values))


def check_readable(recipe: Recipe):
    """Refuses a recipe that a checkpoint could not give back.

    Args:
        recipe: The recipe.

    Raises:
        InputError: When it holds values or classes that JSON cannot store.
    """
    try:
        again = from_json(json.loads(json_text(to_json(recipe))))
        reason = "a part is of a custom class, as only systems may be"
    except (InputError, TypeError) as error:
        again, reason = None, str(error)
    if again != recipe:
        raise InputError(
            f"a checkpoint could not give this recipe back: {reason}; use the package's classes, "
            "with numbers, texts and tuples of them as fields"
        )
