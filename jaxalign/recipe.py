"""Recipes: one frozen dataclass tree that says everything about a run.

A recipe is a Python file with `config() -> Recipe` (configs/). `--set a.b=value` replaces single
fields; the resolved recipe is stored as JSON in the checkpoint, and `from_json` rebuilds it. Its
system is one of SYSTEMS, or a class of one's own that was imported before: a checkpoint holds the
class's name, never a path that would be run.
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


TABLES = (LOSSES, OPTIMIZERS, SCHEDULES, PIXELS)  # that a file of one's own may add entries to
_SHIPPED = [frozenset(table) for table in TABLES]


@dataclass(frozen=True)
class Data(Settings):
    """What is trained on: `NAME[:CONFIG]/SPLIT` of prepared data sets, crop and augmentation.

    `train` may name several data sets, "A/train + B/train": an epoch has all of their faces, those
    of one that is named twice come twice. Validation during training is on `val`, or, where that is
    empty, on the share `holdout` of the first one's photos (whole groups), which are then not
    trained on. With neither, all faces are trained on, none is validated on, and the last
    checkpoint is the one that counts. `limit` > 0 takes only the first faces of each, and
    `augmented=False` the plain crops: to see a model overfit.

    `balance`: "yaw" draws the bins 0 to 30, 30 to 60 and above 60 degrees equally often (those that
    have faces), as pose-balanced data would: an epoch stays as long, with some faces again and
    others not. "" draws each face once an epoch.
    """

    where: ClassVar[str] = "data."

    train: str = "ibug_300w/train"
    val: str = ""
    holdout: float = 0.0
    test: str = ""  # what `jaxalign evaluate` scores when it is not told; "" : val
    crop: Crop = field(default_factory=Crop)
    augment: Augment = field(default_factory=Augment)
    augmented: bool = True
    balance: str = ""
    limit: int = 0
    threads: int = 2  # that read and warp photos

    @property
    def trained_on(self) -> list[str]:
        """The data sets of `train`."""
        return [spec.strip() for spec in self.train.split("+")]

    def __post_init__(self):
        super().__post_init__()
        self.check_choices(balance=("", "yaw"))
        self.check_least(holdout=0, limit=0, threads=1)
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


KEEP = ("best", "last")  # checkpoints that count
JUDGES = ("nme", "loss")  # what a checkpoint is the best by


@dataclass(frozen=True)
class Training(Settings):
    """How the phases are run. `batch` is over all devices of all hosts, and may go through the
    networks in `accumulate` parts, one after the other, for less memory.

    `eval_steps` > 0: validate (and save) every so many steps, not every `eval_epochs`. Where the
    objectives of a phase take turns, one turn of them all counts as a step here.
    `keep`: the best checkpoint by validation counts, or the last: then a test set may be `data.val`
    for its curve, and chooses nothing. `judge`: the best by the NME, or by the loss that is trained
    on, the phase's last objective's, of the unaugmented faces (normalised by their own batches).
    `patience` > 0: the last phase, and with it the run, ends after so many validations of it in a
    row that were no better than the best before; earlier phases are never cut short.
    `init_from`: PyTorch weights or a jaxalign checkpoint to start from (training/initial.py).
    """

    where: ClassVar[str] = "training."

    batch: int = 16
    accumulate: int = 1
    seed: int = 0
    ema: float = 0.0  # decay of the averaged weights that are evaluated; 0: the weights themselves
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
    """A run: what is trained, on what, and how."""

    system: System
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)

    def __post_init__(self):
        super().__post_init__()
        kind = type(self.system)
        if SYSTEMS.get(kind.__name__, kind) is not kind:
            raise InputError(
                f"{kind.__module__}.{kind.__name__}: jaxalign has a system of that name, which its "
                "checkpoints would be taken for; give the class another"
            )


def configs_folder() -> Path:
    """Where the shipped recipes are."""
    return Path(configs.__path__[0])


def load(path: str) -> Recipe:
    """Recipe file (or the name of one in configs/) -> its recipe. Errors: InputError."""
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
    """Runs a Python file, a recipe or one that defines a system, as a module `file_<stem>` of
    sys.modules. Errors: InputError where it is missing, or naming the line that fails."""
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file; give a Python file")
    name = f"file_{file.stem}"
    loader = SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None  # there is a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        with _of_file(file):
            loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise
    return module


def override(recipe: Recipe, settings: Sequence[str], idle_too: bool = False) -> Recipe:
    """["a.b=value", ...] -> the recipe with those fields replaced, all at once; of two settings of
    one field the later counts. Errors: InputError, also where the result would ignore a setting,
    unless `idle_too`."""
    changes = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write key=value")
        _plan(recipe, changes, key.split("."), _literal(text), key)
    changed = _changed(recipe, changes, "")
    for setting in () if idle_too else settings:
        key = setting.partition("=")[0]
        for name, why in idle(changed).items():
            if f"{key}.".startswith(f"{name}."):
                raise InputError(f"--set {setting}: would change nothing, for {why}")
    return changed


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def _plan(node, changes, path, value, key):
    """Notes the value in `changes`, a tree of dicts like the recipe's."""
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
        changes[head] = _as_type_of(old, value, key)
    elif dataclasses.is_dataclass(old):
        _plan(old, changes.setdefault(head, {}), rest, value, key)
    else:
        raise InputError(f"unknown recipe key {key!r}: {head} has no parts")


def _changed(node, changes, path):
    """The node with its changes, made once; its complaints name the field by its whole path."""
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
    """Accept what fits the field's present type; ints pass for floats, lists for tuples."""
    if dataclasses.is_dataclass(old):
        parts = ", ".join(f.name for f in dataclasses.fields(old))
        raise InputError(f"{key} is not one value; set one of its parts: {parts}")
    if isinstance(old, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(old, str):
        return str(value)
    if type(value) is not type(old):
        raise InputError(f"{key}={value!r}: expected {type(old).__name__}, as in {old!r}")
    return value


def idle(node: Settings, path: str = "") -> dict[str, str]:
    """The fields of a recipe that its other fields switch off: their paths -> why."""
    found = {f"{path}{name}": why for name, why in node.idle.items()}
    for field_ in dataclasses.fields(node):
        part, name = getattr(node, field_.name), f"{path}{field_.name}"
        if isinstance(part, Settings) and name not in found:
            found |= idle(part, f"{name}.")
    return found


def value_at(recipe: Recipe, path: str) -> Any:
    """The field at a path such as "system.optimizer.rate"."""
    node = recipe
    for name in path.split("."):
        node = getattr(node, name)
    return node


def fields(node: Settings, path: str = "") -> list[str]:
    """The whole recipe as lines "path=value", as `--set` takes them."""
    lines = []
    for one in dataclasses.fields(node):
        value, name = getattr(node, one.name), f"{path}{one.name}"
        lines += fields(value, f"{name}.") if isinstance(value, Settings) else [f"{name}={value!r}"]
    return lines


def notes(recipe: Recipe) -> list[str]:
    """What a recipe says in vain: a line for each idle field that is not at its default."""
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
    """Dataclass tree -> plain JSON values. The system carries its class's name, a recipe the scheme
    of its points where that is one's own."""
    if isinstance(node, Recipe) and node.system.scheme in scheme_files.own():
        values = {f.name: to_json(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return values | {"scheme": scheme_files.stored(node.system.points)}
    if dataclasses.is_dataclass(node):
        values = {f.name: to_json(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return {"kind": type(node).__name__} | values if isinstance(node, System) else values
    return list(node) if isinstance(node, tuple) else node


def from_json(values: dict) -> Recipe:
    """The inverse of to_json for a whole recipe; a scheme that it holds is added to SCHEMES.

    Errors: InputError naming the unknown key, or a scheme that is not the one of its name here.
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
    """The system of that name: one of SYSTEMS, or the last one defined in what was imported."""
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
    """Whether the recipe (or a part of it) holds a class that the package does not define, or a
    table an entry, so that its file must be imported before a checkpoint of it is read."""
    if any(set(table) - shipped for table, shipped in zip(TABLES, _SHIPPED, strict=True)):
        return True
    if not dataclasses.is_dataclass(part):
        return False
    values = [getattr(part, field.name) for field in dataclasses.fields(part)]
    return type(part).__module__.split(".")[0] != "jaxalign" or any(map(has_own_parts, values))


def check_readable(recipe: Recipe):
    """InputError where a checkpoint could not give the recipe back."""
    try:
        again = from_json(json.loads(json_text(to_json(recipe))))
        reason = "a part is of a class of its own, of which only systems may be"
    except (InputError, TypeError) as error:
        again, reason = None, str(error)
    if again != recipe:
        raise InputError(
            f"a checkpoint could not give this recipe back: {reason}; use the package's classes, "
            "with numbers, texts and tuples of them as fields"
        )
