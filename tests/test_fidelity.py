"""docs/fidelity.md names code, tests and settings that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.papers.recipes import STATED


ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/fidelity.md").read_text(encoding="utf-8")
SECTIONS = {  # how a section's heading begins -> recipes of which one must take its settings
    "Gaussian Vector": STATED["gaussian_vector"],
    "PropagationNet": STATED["propagationnet"],
    "TAB": STATED["tab"],
    "Pixel-wise classification": STATED["pixelwise"],
    "Attention-driven cropping": STATED["attention_cropping"],
    "Benchmarks": {name: None for of in STATED.values() for name in of},
}
KINDS = ("exact", "switch", "our choice", "not possible")


def rows():
    """(section, cells) of every row of the tables."""
    for section in TEXT.split("\n## ")[1:]:
        heading = section.splitlines()[0]
        if not heading.startswith(tuple(SECTIONS)):
            continue
        lines = [line for line in section.splitlines() if line.startswith("| ")]
        for line in lines[1:]:
            yield heading, [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


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


def test_every_paper_has_its_section():
    headings = [heading for heading, _ in ROWS]
    for name in SECTIONS:
        assert sum(heading.startswith(name) for heading in headings) > 3, name


@pytest.mark.parametrize(("heading", "cells"), ROWS, ids=[f"{h[:8]}-{c[0]}" for h, c in ROWS])
def test_a_row_names_what_there_is(heading, cells):
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
    (taken,) = (of for name, of in SECTIONS.items() if heading.startswith(name))
    for setting in quoted(here):
        if re.match(r"(system|data|training)\.", setting):
            assert any(takes(name, setting) for name in taken), setting


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
