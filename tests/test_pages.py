"""README.md and the pages in docs/: their commands and examples run, their links lead somewhere."""

import importlib
import re
import shlex

import cv2
import numpy as np
import pytest

from jaxalign import photos
from jaxalign import recipe as recipes
from jaxalign.datasets import synthetic_faces
from jaxalign.prediction.detection import Cascade
from tests.helpers import ROOT
from tests.helpers.small import filled, packaged, small_recipe
from tests.test_packaging import PROJECT


DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREEN = README.split("\n## ")[0]
FILES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "examples")),
    *sorted(DOCS.rglob("*.md")),
)
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
HERE = f"{PROJECT['urls']['Source']}/blob/main/"  # how a page links to a file outside docs/


def blocks(text):
    """(language, code) of each block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text):
    """The commands in a page's blocks of the shell: of jaxalign, and of modules in benchmarks/."""
    lines = (
        line.partition("  #")[0].strip()
        for language, block in blocks(text)
        if not language
        for line in block.replace("\\\n", " ").splitlines()
    )
    return [line for line in lines if line.startswith(("jaxalign ", "python -m benchmarks."))]


SHIPPED = {path.stem for path in (ROOT / "configs").glob("*.py")}
COMMANDS = sorted({command for text in PAGES.values() for command in commands(text)})


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Small random weights stand for the package's."""
    recipe = small_recipe()
    packaged(monkeypatch, tmp_path, recipe, filled(recipe.system.shapes()))


def python_of(text):
    (example,) = [block for language, block in blocks(text) if language == "python"]
    return example


def test_the_readme_is_short():
    assert len(README.split()) <= 900
    assert len(SCREEN.split()) < 220 and "pip install" in SCREEN
    assert "astronaut_points.png" in SCREEN and "demo_faces.jpg" in SCREEN


@pytest.mark.heavy
def test_the_first_screen(drawn, monkeypatch, capsys):
    """Five lines from the import to the points of the portrait in examples/."""
    example = python_of(SCREEN)
    assert example == python_of(PAGES["docs/start.md"]) == python_of(PAGES["docs/index.md"])
    assert len([line for line in example.splitlines() if line]) == 5
    monkeypatch.chdir(ROOT)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    (face,) = names["faces"]
    assert face.points.shape == (68, 2) and str(face.points) in capsys.readouterr().out


@pytest.mark.heavy
def test_the_example_runs(drawn, tmp_path, monkeypatch, capsys):
    example = python_of(PAGES["docs/photos.md"])
    assert len(example.splitlines()) <= 15
    faces = (synthetic_faces.face("test", index, 256, 0).photo for index in range(30))
    for name in ("me.jpg", "you.jpg"):  # of the drawn faces the cascade finds about half
        path = tmp_path / name
        assert any(path.write_bytes(photo) and Cascade()(photos.read(path)) for photo in faces)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "docs/photos.md", "exec"), names)
    assert names["faces"] and names["yours"]
    assert str(names["faces"][0].points) in capsys.readouterr().out
    picture = cv2.imread("me_points.png")
    assert picture.shape == (256, 256, 3) and np.ptp(picture) > 200


def test_numbers_of_the_readme_are_results():
    """The last column of its table, as the index of the results has it."""
    rows = re.findall(r"^\| \*\*.*\| ([^|]*) \|$", README, re.MULTILINE)
    found = [number for row in rows for number in re.findall(r"[\d.]+ %", row)]
    assert len(found) > len(rows) == 5
    assert all(number in PAGES["docs/results/index.md"] for number in found)


def test_there_are_commands():
    assert len(commands(README)) >= 7 and len(COMMANDS) >= 80


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_these_options(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the scheme lies that docs/formats.md writes
    (toml,) = [text for kind, text in blocks(PAGES["docs/formats.md"]) if kind == "toml"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/five.toml").write_text(toml, encoding="utf-8")
    command = re.sub(r"\[([^]|]*)[^]]*\]", r"\1", command).replace(" ...", "")
    words = shlex.split(command)
    name, arguments = (words[2], words[3:]) if words[0] == "python" else (words[1], words[2:])
    module = name if words[0] == "python" else f"jaxalign.commands.{name}"
    given = importlib.import_module(module).parser().parse_args(arguments)
    if name == "train" and given.config in SHIPPED and "system.X=Y" not in command:
        recipes.override(recipes.load(given.config), given.settings)


def anchors(text):
    """The names of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_there_is(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        place, _, anchor = link.partition("#")
        if place.startswith(HERE):
            target = ROOT / place.removeprefix(HERE)
        elif "://" in place:
            continue
        else:
            target = (ROOT / page).parent / place if place else ROOT / page
        assert target.is_file(), link
        if page.startswith("docs/") and not place.startswith(HERE):
            assert target.resolve().is_relative_to(DOCS), f"{link}: a site has docs/ alone; {HERE}"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_listed():
    for index in sorted(page for page in PAGES if re.fullmatch("docs/(.*/)?index.md", page)):
        folder = (ROOT / index).parent
        listed = {place for place in re.findall(r"\]\(([^)#]+)", PAGES[index])}
        pages = {path.name for path in folder.glob("*.md")} - {"index.md"}
        assert pages <= listed, index
