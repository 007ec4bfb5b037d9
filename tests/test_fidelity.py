"""The pages in docs/fidelity/ name code, tests and settings that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.papers.recipes import STATED


ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/fidelity"
PAGES = {  # page -> recipes of which one must take its settings
    **{paper: list(recipes_of) for paper, recipes_of in STATED.items()},
    "benchmarks": [name for recipes_of in STATED.values() for name in recipes_of],
}
KINDS = ("exact", "switch", "our choice", "not possible")


def rows():
    """(page, cells) of every row of the tables."""
    for page in PAGES:
        text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        for line in lines[1:]:
            yield page, [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


ROWS = list(rows())


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


@cache
def defined(path):
    """Names that a Python file defines: functions, classes, constants, and of classes the parts."""
    found = set()

    def walk(node, outer):
        for one in node.body:
            targets = getattr(one, "targets", [getattr(one, "target", None)])
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            names += [one.name] if hasattr(one, "name") else []
            found.update(f"{outer}{name}" for name in names)
            if isinstance(one, ast.ClassDef):
                walk(one, f"{outer}{one.name}.")

    walk(ast.parse((ROOT / path).read_text(encoding="utf-8")), "")
    return found


def test_every_paper_has_its_page():
    assert {path.stem for path in FOLDER.glob("*.md")} == {"index", *PAGES}
    for page in PAGES:
        assert sum(one == page for one, _ in ROWS) > 3, page


@pytest.mark.parametrize(("page", "cells"), ROWS, ids=[f"{page}-{c[0]}" for page, c in ROWS])
def test_a_row_names_what_there_is(page, cells):
    _, _, here, places, test = cells
    assert here.replace("*", "").startswith(KINDS)
    assert quoted(places) or here.replace("*", "").startswith("not possible")
    for place in quoted(places):
        path, _, name = place.partition(":")
        assert (ROOT / path).exists(), place
        assert not name or name in defined(path), place
    assert test == "-" or quoted(test)
    for one in quoted(test):
        path, _, name = one.partition("::")
        assert name.partition("[")[0].replace("::", ".") in defined(path), one
    for setting in quoted(here):
        if re.match(r"(system|data|training)\.", setting):
            assert any(takes(name, setting) for name in PAGES[page]), setting


def takes(name, setting):
    """Whether a recipe has the setting's field, and takes its value where one is given."""
    recipe = recipes.load(name)
    try:
        if "=" in setting:
            recipes.override(recipe, setting.split(), idle_too=True)
        else:
            recipes.value_at(recipe, setting)
    except (InputError, AttributeError):
        return False
    return True
