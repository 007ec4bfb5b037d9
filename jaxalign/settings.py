"""Settings: the frozen dataclasses that a recipe is made of, checked when they are made."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NoReturn, get_args, get_origin, get_type_hints

from jaxalign.errors import InputError


LARGEST = 2**31 - 1


@cache
def _kinds(settings):
    """Field -> type; {} if an annotation cannot be resolved."""
    try:
        return get_type_hints(settings)
    except NameError:
        return {}


def _named(kind):
    return kind if get_origin(kind) else kind.__name__


def _is_a(value, kind):
    """Whether a value is of a field's type; True for types that are not plain."""
    if kind is float:
        return type(value) in (int, float)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        first, *rest = get_args(kind)
        kinds = [first] * len(value) if rest == [...] else [first, *rest]
        return len(value) == len(kinds) and all(map(_is_a, value, kinds))
    if isinstance(kind, type) and issubclass(kind, Settings):  # a part of a recipe
        return isinstance(value, kind)
    return type(value) is kind if kind in (int, bool, str) else True


@dataclass(frozen=True)
class Settings:
    """A part of a recipe. Subclasses are frozen dataclasses with a default for every field.

    Every value must be of its field's type (whole numbers pass for floats), and every number at
    most LARGEST in size. Subclasses check the rest in their own `__post_init__`, after calling this
    one. The class variable `where` stands before a field's name in messages, such as "system.".
    """

    where: ClassVar[str] = ""

    def __post_init__(self):
        kinds = _kinds(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = kinds.get(field.name)
            if not _is_a(value, kind):
                self.refuse(field.name, f"must be of type {_named(kind)}")
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and not abs(number) <= LARGEST:
                    self.refuse(field.name, "must be a finite number, not above 2^31 - 1 in size")

    @property
    def idle(self) -> dict[str, str]:
        """The fields that change nothing under the present choices -> why."""
        return {}

    @classmethod
    def from_older(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Renames the fields of older versions.

        Args:
            values: Field -> value, as a checkpoint stores them.

        Returns:
            The same under this version's names.
        """
        return values

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Refuses a field's value.

        Args:
            name: The field.
            reason: What its value must be.

        Raises:
            InputError: Always; the message names the field and its value.
        """
        raise InputError(f"{self.where}{name}={getattr(self, name)!r}: {reason}")

    def check_choices(self, **choices: Collection):
        """Checks that fields have one of their possible values.

        Args:
            **choices: Field -> its possible values.

        Raises:
            InputError: For the first field with another value.
        """
        for name, known in choices.items():
            if getattr(self, name) not in known:
                listed = ", ".join(str(one) or "''" for one in known)
                self.refuse(name, f"one of {listed}")

    def check_multiples(self, **steps: int):
        """Checks that fields are positive multiples.

        Args:
            **steps: Field -> what it must be a multiple of.

        Raises:
            InputError: For the first field that is not one.
        """
        for name, step in steps.items():
            value = getattr(self, name)
            if value <= 0 or value % step:
                self.refuse(name, f"must be a positive multiple of {step}")

    def check_least(self, **least: float):
        """Checks that fields are not below their least values.

        Args:
            **least: Field -> its least value.

        Raises:
            InputError: For the first field below it.
        """
        for name, bound in least.items():
            if getattr(self, name) < bound:
                self.refuse(name, f"must be {bound} or more")

    def check_most(self, **most: float):
        """Checks that fields are not above their largest values.

        Args:
            **most: Field -> its largest value.

        Raises:
            InputError: For the first field above it.
        """
        for name, bound in most.items():
            if getattr(self, name) > bound:
                self.refuse(name, f"must be {bound} or less")

    def check_above(self, bound: float, *names: str):
        """Checks that fields are above a bound.

        Args:
            bound: The bound.
            *names: The fields.

        Raises:
            InputError: For the first field that is not above it.
        """
        for name in names:
            if not getattr(self, name) > bound:
                self.refuse(name, f"must be above {bound}")

    def check_shares(self, *names: str):
        """Checks that fields are in 0..1.

        Args:
            *names: The fields.

        Raises:
            InputError: For the first field that is not.
        """
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                self.refuse(name, "must be in 0..1")
