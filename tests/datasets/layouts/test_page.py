"""docs/formats.md tells every layout and option, and its scheme is one."""

import re
import tomllib
from pathlib import Path

from jaxalign import scheme_files
from jaxalign.datasets.image_folder import BENCHMARK, CHOICES
from jaxalign.datasets.layouts import LAYOUTS
from jaxalign.prediction.formats import FORMATS


PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")


def test_every_layout_and_its_base():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+)[^|]*\|$", PAGE, re.MULTILINE))
    assert {name: float(base) for name, base in rows.items()} == {
        name: layout.base for name, layout in LAYOUTS.items()
    }


def test_every_option():
    table = PAGE.partition("## Options")[2].partition("\n## ")[0]
    told = dict.fromkeys(re.findall(r"^\| `(\w+)=", table, re.MULTILINE))
    assert set(told) == set(BENCHMARK.options)
    for option in set(CHOICES) - {"layout"}:
        for choice in set(CHOICES[option]) - {"auto", "refuse", "viewer", "pixels"}:
            assert re.search(rf"^\|.*{option}=.*\b{re.escape(choice)}\b", table, re.MULTILINE)


def test_the_scheme_and_the_formats():
    text = PAGE.partition("```toml\n")[2].partition("```")[0]
    scheme = scheme_files.made({"name": "five"} | tomllib.loads(text))
    assert scheme.num_points == 5 and scheme.normaliser == "inter_ocular"
    assert all(
        f"`{name}`" in PAGE or f"--format {name}`" in PAGE for name in FORMATS if name != "json"
    )
