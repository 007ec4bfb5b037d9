"""TAB's own rows: its chain of trainings, its figures, its size and time."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

from jaxalign import recipe as recipes
from jaxalign.commands import paper
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import Entry
from jaxalign.papers import figures, tab
from jaxalign.papers.work import Work
from jaxalign.pipeline import Crop
from jaxalign.recipe import Data, Recipe
from jaxalign.systems.tab import TAB
from tests.helpers.fakes import fake
from tests.helpers.small import filled, saved, small_recipe


TINY = (
    "system.stem=base", "system.channels=16", "system.base_width=8", "system.size=64",
    "system.stacks=1",
)  # fmt: skip


@pytest.fixture
def called(monkeypatch):
    """(recipe, work directory) of every training that would be started; nothing is trained."""
    found = []
    monkeypatch.setattr(
        "jaxalign.training.train.train",
        lambda recipe, workdir, *_, **__: found.append((recipe, workdir)),
    )
    return found


def shapes_of(system):
    return system.shapes()


def own(table, label="TAB"):
    return next(row for row in table.rows if row.label == label)


@pytest.mark.parametrize(
    ("number", "config", "scored"),
    [
        (3, "tab_ibug_300w", "ibug_300w/private"),
        (4, "tab_cofw", "cofw/test"),
        (5, "tab_ibug_300w", "cofw68/test"),
        (6, "tab_aflw", "aflw/test"),
        (7, "tab_w300_lp", "aflw2000_3d/test"),
    ],
)
def test_scbe_of_wflw_is_trained_first(number, config, scored, called, tmp_path):
    """By the settings of both, but each has its data; then the benchmark's recipe takes it."""
    settings = [*TINY, "training.batch=8", "data.crop.box=landmarks", "data.threads=1"]
    work = Work(tmp_path, config=config, settings=settings)
    table = tab.TABLES[number][0]
    workdir = work.train(own(table), 0)
    (first, there), (second, here) = called
    assert there == tmp_path / "tab_wflw" and here == workdir == tmp_path / f"{config}-on_wflw"
    assert first == recipes.override(recipes.load("tab_wflw"), [*TINY, "training.batch=8",
                                                                "data.threads=1"])  # fmt: skip
    assert second == recipes.override(
        recipes.load(config), [*settings, f"system.scbe_from={str(there)!r}"]
    )
    assert work._data(table) == scored
    work.train(own(table), 0)
    work.train(own(table), 1)
    assert [where.name for _, where in called[2:]] == [f"{config}-on_wflw-seed1"]
    assert called[2][0].system.scbe_from == str(there)  # one for all of them


def test_wflw_s_model_is_table_1_s(called, tmp_path):
    work = Work(tmp_path, config="tab_wflw", settings=TINY)
    assert work.train(own(tab.TABLES[1][0]), 0) == tmp_path / "tab_wflw"
    assert [recipe.data.train for recipe, _ in called] == ["wflw/train"]


def test_300w_has_its_own_scbe_beside(called, tmp_path):
    """TAB* of Table 2, and a switch of all: a model whose SCBE the user names."""
    block = tab.TABLES[2][1]
    work = Work(tmp_path, config="tab_ibug_300w", settings=TINY)
    assert work.train(own(block, "TAB*"), 0) == tmp_path / "tab_ibug_300w"
    assert [recipe.system.scbe_from for recipe, _ in called] == [""]
    called.clear()
    work = Work(tmp_path, config="tab_ibug_300w", settings=[*TINY, "system.scbe_from=mine"])
    work.train(own(block), 0)
    assert [recipe.system.scbe_from for recipe, _ in called] == ["mine"]


def test_a_scbe_that_will_not_fit_is_told_before_it_is_trained(called, tmp_path):
    (tmp_path / "narrow.py").write_text(
        "from jaxalign.recipe import Recipe\n"
        "from jaxalign.systems.tab import TAB\n"
        "def config():\n"
        "    return Recipe(TAB(stem='base', channels=16, base_width=8, size=64, stacks=1))\n"
    )
    settings = ["system.stem=base", "system.base_width=8", "system.size=64", "system.stacks=1"]
    work = Work(tmp_path / "w", config=str(tmp_path / "narrow.py"), settings=settings)
    message = r"^tab_wflw: its scbe/\S+ is .*, or a trained one by --set system.scbe_from=DIR"
    with pytest.raises(InputError, match=message):
        work.train(own(tab.TABLES[6][0]), 0)
    assert called == []


def test_size_is_the_paper_s_and_time_is_measured():
    tiny = tab.size_and_time(1, stem="base", channels=16, base_width=8, size=64)
    assert list(tiny) == ["2-stacked", "1-stacked"]
    assert tiny["2-stacked"][0] > tiny["1-stacked"][0] > 0.1
    assert all(milliseconds > 0 for _, milliseconds in tiny.values())
    (table,) = tab.TABLES[0]
    assert table.measure is tab.size_and_time and [row.label for row in table.rows] == list(tiny)


def test_numbers_of_the_text_are_table_0(capsys, monkeypatch):
    (table,) = tab.TABLES[0]
    sizes = {"2-stacked": (86.8, 1500.0), "1-stacked": (64.5, 1000.0)}
    monkeypatch.setitem(tab.TABLES, 0, (replace(table, measure=lambda: sizes),))
    assert paper.main(["tab", "--table", "0"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("TAB, numbers of the text\n")
    assert re.search(r"2-stacked +paper +86\.9 +27\n2-stacked +ours +86\.8 +1500\.0\n", printed)


def test_curves_of_given_models_tell_their_area(monkeypatch, tmp_path):
    """Fig. 9 without a recipe: the curves of reports alone."""
    entry = Entry(name="r", results=fake(12, subsets=[("full",)] * 12), benchmark="wflw")
    monkeypatch.setattr(Work, "score_given", lambda *_: [entry])
    work = Work(tmp_path, report=["r"])
    seen = []
    monkeypatch.setattr(figures, "draw_curves", lambda axes, levels, lines, *_: seen.extend(lines))
    figures.draw(tab.FIGURES[9], work, "figure9")
    errors = entry.results.nme("inter_ocular")
    area = 100 * np.maximum(0, 1 - errors / 0.1).mean()
    ((label, _, _),) = seen
    assert label == f"r: NME {100 * errors.mean():.2f} %, AUC@10 {area:.2f} %"
    assert (tmp_path / "figure9.csv").is_file()
    with pytest.raises(InputError, match="a figure needs --config"):
        figures.draw(tab.FIGURES[9], Work(tmp_path), "figure9")


@pytest.mark.heavy
def test_features_are_drawn_for_the_first_faces(tmp_path, data_300w, capsys):
    system = TAB(stem="base", channels=16, base_width=8, size=64, stacks=1)
    recipe = Recipe(system, Data(test="ibug_300w/test", crop=Crop("landmarks")))
    variables = filled(shapes_of(recipe.system))
    saved(recipe, variables, tmp_path / "run")
    arguments = ["tab", "--figure", "5", "--ckpt", tmp_path / "run", "--data", "ibug_300w/test",
                 "--data-dir", data_300w, "--workdir", tmp_path / "w"]  # fmt: skip
    assert paper.main([*map(str, arguments)]) == 0
    assert (tmp_path / "w/figure5.png").stat().st_size > 10_000
    with (tmp_path / "w/figure5.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["face"] for row in rows}) == 4 and len(rows) == 4 * 5
    assert [row["map"] for row in rows[:1]] == ["mean"]
    assert all(float(row["least"]) < float(row["greatest"]) for row in rows)
    saved(small_recipe(), filled(shapes_of(small_recipe().system)), tmp_path / "other")
    arguments[4] = tmp_path / "other"
    assert paper.main([*map(str, arguments)]) == 2
    assert "Integral has no boundary_features to draw" in capsys.readouterr().err
