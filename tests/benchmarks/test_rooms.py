"""Which room imports which: as docs/architecture.md has it, and never up."""

import re

import pytest
from matplotlib.patches import Arc

from benchmarks import rooms
from jaxalign.errors import InputError
from tests.helpers import ROOT


def test_no_room_imports_one_above_it():
    assert rooms.upward(ROOT) == []


def test_every_module_has_a_room_and_its_line_on_the_page():
    page = (ROOT / "docs/architecture.md").read_text()
    table = page[page.index("| room | holds |") :]
    lines = re.findall(r"^\| \*\*(.+?)\*\*", table, re.MULTILINE)
    assert lines == list(rooms.ROOMS)
    for module in rooms.files(ROOT):
        rooms.room_of(module)  # a KeyError names the module that has none


@pytest.fixture
def house(tmp_path):
    """Three rooms; the lowest imports the highest inside a function."""
    for name, text in {
        "geometry.py": "def f():\n    from jaxalign import metrics\n",
        "photos.py": "from jaxalign.geometry import f\nimport numpy\n",
        "metrics.py": "from jaxalign import geometry, photos\n",
    }.items():
        (tmp_path / "jaxalign").mkdir(exist_ok=True)
        (tmp_path / "jaxalign" / name).write_text(text)
    return tmp_path


def test_an_import_that_runs_up_is_found_and_drawn(house, tmp_path, capsys):
    assert rooms.upward(house) == [("geometry", "metrics")]
    (axes,) = rooms.draw(house).axes
    arcs = [patch for patch in axes.patches if isinstance(patch, Arc)]
    assert len(arcs) == 4 and sum(arc.get_center()[0] > 0 for arc in arcs) == 1
    assert rooms.main(["--repo", str(house), "--out", str(tmp_path / "r.png")]) == 0
    assert (tmp_path / "r.png").stat().st_size > 1000
    assert "geometry (ground floor) imports metrics (numbers and" in capsys.readouterr().out


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no jaxalign/"):
        rooms.files(tmp_path)
