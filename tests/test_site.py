"""The documentation site: mkdocs builds it strictly, and its reference has every public name."""

import ast
import importlib
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import jaxalign
from tests.helpers import ROOT
from tests.test_pages import PAGES, blocks


LISTED = [  # modules of the reference
    name
    for page, text in PAGES.items()
    if page.startswith("docs/reference/")
    for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)
]
EXTENDING = PAGES["docs/extending.md"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does; a warning ends the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def documented(site):
    """Names with a place in the reference, as the site's inventory (objects.inv) lists them."""
    data = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(data[data.index(b"zlib.\n") + 6 :]).decode().splitlines()
    return {line.split()[0] for line in lines}


def body(module):
    """The statements of a module."""
    file = importlib.import_module(module).__file__
    assert file
    return ast.parse(Path(file).read_text(encoding="utf-8")).body


def public(module):
    """Names without underscore that a module defines: functions, classes and constants. Those of
    the package itself are what it exports."""
    if module == "jaxalign":
        return set(jaxalign.__all__)
    found = set()
    for node in body(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def imported(code):
    """Modules of jaxalign that Python code imports, or imports names of."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("jaxalign"))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxalign"):
            inner = [f"{node.module}.{one.name}" for one in node.names]
            yield from (name if is_module(name) else node.module for name in inner)


def is_module(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.heavy
def test_every_public_name_is_in_the_reference(documented):
    there = {f"{module}.{name}" for module in LISTED for name in public(module)}
    assert not sorted(there - documented)
    assert len(set(LISTED)) == len(LISTED) > 40 and set(LISTED) <= documented


@pytest.mark.heavy
def test_pages_are_whole(site):
    """Every Markdown page is a page of the site, and the front page has its picture."""
    for page in (name for name in PAGES if name.startswith("docs/")):
        place = page.removeprefix("docs/").removesuffix(".md").removesuffix("index")
        assert (site / place / "index.html").is_file(), page
    assert "astronaut_points.png" in (site / "index.html").read_text(encoding="utf-8")


def test_names_are_assigned_singly():
    """Of `A, B = 1, 2` the build of the reference sees neither: two lines then."""
    for module in LISTED:
        targets = [target for node in body(module) for target in getattr(node, "targets", ())]
        assert not any(isinstance(target, ast.Tuple) for target in targets), module


def test_modules_that_others_use_are_in_the_reference():
    """What recipes, examples and the pages' code import, and the tables that a fork adds to."""
    files = [*(ROOT / "configs").glob("*.py"), *(ROOT / "examples").glob("*.py")]
    code = [path.read_text(encoding="utf-8") for path in files]
    code += [block for text in PAGES.values() for kind, block in blocks(text) if kind == "python"]
    used = {module for one in code for module in imported(one)}
    used = {name for name in used if not name.startswith("jaxalign.configs")}
    assert len(used) > 15 and used <= set(LISTED)
    tables = set(re.findall(r"`(\w+)\.([A-Z]+)\[", EXTENDING))
    assert len(tables) >= 8
    for module, table in tables:
        assert any(one.endswith(f".{module}") and table in public(one) for one in LISTED), (
            module,
            table,
        )
