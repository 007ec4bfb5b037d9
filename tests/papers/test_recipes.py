"""The papers' recipes: each is trained as its paper says, or the table says why not."""

import pytest

from jaxalign import recipe as recipes
from jaxalign.commands import paper
from jaxalign.datasets import BENCHMARKS
from jaxalign.errors import InputError
from jaxalign.papers.recipes import STATED, faces, text, training
from tests.helpers.commands import call


OURS = ("light", "demo", "drawn", "integral", "fan", "pipnet")  # recipes of none of the papers


def test_every_recipe_of_a_paper_is_stated():
    names = {path.stem for path in recipes.configs_folder().glob("[!_]*.py")}
    stated = {name for of in STATED.values() for name in of}
    assert stated == {name for name in names if not any(word in name for word in OURS)}


@pytest.mark.parametrize(
    ("name", "stated"), [pair for of in STATED.values() for pair in of.items()]
)
def test_what_differs_from_the_paper_has_its_reason(name, stated):
    rows = training(recipes.load(name))
    assert set(stated.says) <= set(rows) and set(stated.why) <= set(rows)
    differ = {row for row, ours in rows.items() if stated.says.get(row) != ours}
    assert differ == set(stated.why)


@pytest.mark.parametrize(
    ("name", "settings", "number"),
    [
        ("propnet_ibug_300w", [], 3148),
        ("propnet_ibug_300w", ["data.holdout=0.1"], 2833),
        ("propnet_ibug_300w", ["data.train=ibug_300w/afw"], 337),
        (
            "propnet_ibug_300w",
            ["data.train=ibug_300w/train + wflw/train", "data.holdout=0.1"],
            10333,
        ),
        (
            "propnet_ibug_300w",
            ["data.train=ibug_300w/train + wflw/train", "data.limit=400"],
            800,
        ),
        (
            "propnet_ibug_300w",
            ["data.train=ibug_300w:attributes1a/train + ibug_300w/afw", "data.holdout=0.1"],
            2833 + 303,
        ),
        ("demo", ["data.train=synthetic_faces:size64-train1000/train", "data.holdout=0"], 1000),
    ],
)
def test_faces_are_those_of_the_complete_benchmark(name, settings, number):
    assert faces(recipes.override(recipes.load(name), settings)) == number


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("w300_lp:flipsx/train", "w300_lp has no configuration 'flipsx'"),
        ("ibug_300w:foo/train", "ibug_300w has no configuration 'foo'"),
        ("image_folder:schemeibug68/train", "is not known here; say it by --faces"),
    ],
)
def test_faces_that_are_not_known(train, message):
    recipe = recipes.override(recipes.load("propnet_ibug_300w"), [f"data.train={train}"])
    with pytest.raises(InputError, match=message):
        faces(recipe)


def test_the_command_prints_them_all(capsys):
    assert call(paper, "--recipes") == 0
    printed = capsys.readouterr().out
    assert printed.strip() == text() and "tab_w300_lp" in printed
    assert call(paper, "tab", "--recipes") == 0
    printed = capsys.readouterr().out
    assert "propnet_wflw" not in printed
    assert "  epochs        140 + 140  = the paper\n" in printed


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_config_says_its_options(name):
    benchmark = BENCHMARKS[name]
    options = {
        key: "abc" if isinstance(value, str) else value + 1
        for key, value in benchmark.options.items()
    }
    for some in (options, *({key: value} for key, value in options.items()), {}):
        some = benchmark.options | some
        assert benchmark.options_of(benchmark.config(some)) == some
    assert benchmark.options_of("") == benchmark.options
