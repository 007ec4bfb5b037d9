"""Settings: the frozen dataclasses that a recipe is made of, checked as they are made."""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from jaxalign.errors import InputError


@dataclass(frozen=True)
class Settings:
    """A part of a recipe. Subclasses are frozen dataclasses with a default for every field.

    Every number must be finite; subclasses check the rest in `__post_init__`, after this one's.
    `where` is what stands before a field's name in messages, such as "system.".
    """

    where: ClassVar[str] = ""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and not math.isfinite(number):
                    self.refuse(field.name, "must be a finite number")

    @property
    def idle(self) -> dict[str, str]:
        """The fields that change nothing under the present choices -> why."""
        return {}

    @classmethod
    def from_older(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The fields as an older version stored them -> as this one names them."""
        return values

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raises the InputError of a field's value."""
        raise InputError(f"{self.where}{name}={getattr(self, name)!r}: {reason}")

    def check_choices(self, **choices: Collection):
        """Field -> its possible values. Errors: InputError for the first that has another."""
        for name, known in choices.items():
            if getattr(self, name) not in known:
                listed = ", ".join(str(one) or "''" for one in known)
                self.refuse(name, f"one of {listed}")

    def check_multiples(self, **steps: int):
        """Field -> what divides it. Errors: InputError for the first that it does not divide, or
        that is not above 0."""
        for name, step in steps.items():
            value = getattr(self, name)
            if value <= 0 or value % step:
                self.refuse(name, f"must be a positive multiple of {step}")

    def check_least(self, **least: float):
        """Field -> its least value. Errors: InputError for the first that is below."""
        for name, bound in least.items():
            if getattr(self, name) < bound:
                self.refuse(name, f"must be {bound} or more")

    def check_above(self, bound: float, *names: str):
        """Errors: InputError for the first of these fields that is not above the bound."""
        for name in names:
            if not getattr(self, name) > bound:
                self.refuse(name, f"must be above {bound}")

    def check_shares(self, *names: str):
        """Errors: InputError for the first of these fields that is not in 0..1."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                self.refuse(name, "must be in 0..1")
