"""Cases of a test that are left to `make slow`."""

from collections.abc import Iterable

import pytest


def row(*values):
    """A slow case of these values."""
    return pytest.param(*values, marks=pytest.mark.slow)


def but(cases: Iterable, *slow) -> list:
    """The cases, of which these are slow."""
    return [row(case) if case in slow else case for case in cases]
