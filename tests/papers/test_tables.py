"""The papers' tables: their data, one command from training to print; the decoding benchmark."""

import csv
import importlib
import json
import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import decoding
from jaxalign import recipe as recipes
from jaxalign.backbones import BACKBONES
from jaxalign.commands import evaluate, paper
from jaxalign.errors import InputError
from jaxalign.evaluation.compare import Entry
from jaxalign.evaluation.summary import statistics
from jaxalign.papers import LISTED, Column, Table, Variant, figures, tab, tables, work
from jaxalign.papers import decoding as bench
from jaxalign.papers.work import Work
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.protocols import PROTOCOLS
from jaxalign.recipe import Data, Recipe, Training
from jaxalign.schemes import SCHEMES
from jaxalign.sources import benchmark_of
from jaxalign.systems.attention_cropping import AttentionCropping
from jaxalign.systems.gaussian_vector import GaussianVector
from jaxalign.systems.pixelwise import PixelWise
from jaxalign.systems.propagationnet import PropagationNet
from jaxalign.systems.tab import TAB
from jaxalign.training.initial import arrays_of, torch_names
from tests.helpers.fakes import fake
from tests.helpers.torch_writers import write_safetensors


SYSTEMS = {"gaussian_vector": GaussianVector, "tab": TAB, "propagationnet": PropagationNet,
           "pixelwise": PixelWise, "attention_cropping": AttentionCropping}  # fmt: skip
OWN = ("GV(", "TAB", "PropNet")  # what the papers call their own models
PAPERS = {name: importlib.import_module(f"jaxalign.papers.{name}") for name in SYSTEMS}
BLOCKS = [
    pytest.param(name, block, id=f"{name}-{number}-{index}")
    for name, paper in PAPERS.items()
    for number, blocks in paper.TABLES.items()
    for index, block in enumerate(blocks)
]
FACES = {
    "wflw": {"all": 2500, "pose": 326, "expression": 314, "illumination": 698, "make-up": 206,
             "occlusion": 736, "blur": 773},
    "cofw": {"all": 507}, "ibug_300w": {"private": 600, "challenging": 135},
}  # fmt: skip


@pytest.mark.parametrize(("name", "table"), BLOCKS)
def test_every_line_and_column_can_be_filled(name, table):
    subsets = {"all", *PROTOCOLS[benchmark_of(table.data)].subsets}
    subsets |= set(PROTOCOLS[benchmark_of(table.data)].means)
    for column in table.columns:
        method = hasattr(SYSTEMS[name], column.statistic)
        assert column.statistic in statistics() or method
        assert column.subset in subsets
        assert column.normaliser in PROTOCOLS[benchmark_of(table.data)].normalisers
        assert column.region in ("", *SCHEMES["ibug68"].regions)
        if column.region:  # a summary has a region's NME alone, by the headline
            headline = PROTOCOLS[benchmark_of(table.data)].normaliser
            assert (column.statistic, column.normaliser) == ("nme", headline)
    for row in table.rows:
        assert len(row.paper) == len(table.columns)
        number = r"-|\d+(\.\d+)?|\(\d+(, \d+)+\)"  # a count, a tensor's size too
        assert all(re.fullmatch(number, text) for text in row.paper)
    kinds = [isinstance(row, Variant) for row in table.rows]
    assert kinds == sorted(kinds)  # others' models first


@pytest.mark.parametrize("name", PAPERS)
def test_figures_are_of_what_a_report_holds(name):
    for figure in PAPERS[name].FIGURES.values():
        for column in figure.columns:
            assert column.subset in {"all", *LISTED, *PROTOCOLS["ibug_300w"].subsets}
            assert column.region in ("", *SCHEMES["ibug68"].regions)
        assert bool(figure.listed) == any(c.subset in LISTED for c in figure.columns)


@pytest.mark.parametrize("name", PAPERS)
def test_settings_are_keys_of_the_recipe_and_make_different_variants(name):
    base = Recipe(system=SYSTEMS[name]())
    groups = [blocks[0].rows for blocks in PAPERS[name].TABLES.values()]
    groups += [figure.rows for figure in PAPERS[name].FIGURES.values()]
    for rows in groups:
        rows = [row for row in rows if isinstance(row, Variant)]
        made = [(recipes.override(base, [*row.train, *row.test]), row.shrink) for row in rows]
        assert len(set(map(str, made))) == len(made)


def own_rows(table, statistics):
    """The paper's rows of its own models, as numbers, where the table has these columns."""
    found = [column.statistic for column in table.columns]
    for row in table.rows if set(statistics) <= set(found) else ():
        numbers = [row.paper[found.index(name)] for name in statistics]
        own = isinstance(row, Variant) or row.label.startswith(OWN)
        if own and "-" not in numbers:
            yield list(map(float, numbers))


@pytest.mark.parametrize(("name", "table"), BLOCKS)
def test_failure_rates_are_whole_faces(name, table):
    for index, column in enumerate(table.columns):
        if column.statistic.startswith("fr"):
            faces = FACES[benchmark_of(table.data)][column.subset]
            single = replace(table, columns=(column,), rows=tuple(
                replace(row, paper=(row.paper[index],)) for row in table.rows))  # fmt: skip
            for (rate,) in own_rows(single, [column.statistic]):
                assert abs(rate - 100 * round(rate / 100 * faces) / faces) < 0.0051


@pytest.mark.parametrize(("name", "table"), BLOCKS)
def test_areas_are_above_their_bound(name, table):
    """AUC >= 1 - NME / limit, but for a slip that is named."""
    slip = any("below their bound" in note for note in table.notes)
    for limit in (7, 8, 10):
        unit = {c.statistic: 100 / c.unit for c in table.columns}.get(f"auc@{limit}")
        for nme, area in own_rows(table, ["nme", f"auc@{limit}"]):
            assert (unit * area >= 100 * (1 - nme / limit) - 0.1) != slip


def test_300w_full_is_common_and_challenging():
    tables = [*PAPERS["gaussian_vector"].TABLES[1], *PAPERS["tab"].TABLES[2],
              *PAPERS["propagationnet"].TABLES[2]]  # fmt: skip
    rows = [row for table in tables for row in table.rows if row.label.startswith(OWN)]
    assert len(rows) == 9
    for common, challenging, full in (map(float, row.paper) for row in rows):
        assert abs((554 * common + 135 * challenging) / 689 - full) < 0.011


def test_totals_are_of_all_1289_faces():
    """Of Dlib of those it found."""
    (table,) = PAPERS["pixelwise"].TABLES[2]
    sizes = [PROTOCOLS["ibug_300w"].subsets[column.subset] for column in table.columns[:5]]
    assert sum(sizes) == table.columns[5].faces == 1289 and len(table.rows) == 10
    for row in table.rows:
        *parts, total = map(float, row.paper[:6])
        faces = (318, 218, 264, 252, 98) if row.label == "Dlib" else sizes
        assert abs(np.average(parts, weights=faces) - total) < 0.00011


def test_pixelwise_models_are_of_the_papers_size():
    _, table = PAPERS["pixelwise"].TABLES[1]
    ours = table.measure()
    for row in table.rows:
        assert f"{ours[row.label][0]:.6f}" == row.paper[0]


def test_images_of_pixelwise_are_counted_in_prepared_data(data_300w, tmp_path, capsys):
    """make_300w has two in each folder, but no private test set; COFW-68 is not prepared there, and
    elsewhere nothing is."""
    table, _ = PAPERS["pixelwise"].TABLES[1]
    for row, faces in zip(table.rows, (3148, 1289 + 507), strict=True):
        assert sum(map(int, row.paper)) == faces
    assert paper.main(["pixelwise", "--table", "1", "--data-dir", str(data_300w)]) == 0
    printed = capsys.readouterr().out
    ours = [line.split()[2:] for line in printed.splitlines() if re.match(r"#[TV] +ours", line)]
    assert ours == [list("2220000"), list("022--2-")]
    assert paper.main(["pixelwise", "--table", "1", "--data-dir", str(tmp_path)]) == 0
    assert not re.search(r"#[TV] +ours", capsys.readouterr().out)


def test_two_papers_print_the_same_numbers_of_others():
    """Both tables of WFLW, copied apart from each other, by 7 methods."""
    for ours, theirs in zip(PAPERS["gaussian_vector"].TABLES[3], PAPERS["tab"].TABLES[1],
                            strict=True):  # fmt: skip
        rows = {row.label: row.paper for row in theirs.rows}
        shared = [row for row in ours.rows if row.label in rows]
        assert len(shared) == 7
        assert all(rows[row.label] == row.paper for row in shared)


def tiny():
    return Recipe(
        system=GaussianVector(size=32, backbone="light_w32", fpn_width=8, epochs=1),
        data=Data("ibug_300w/train", "ibug_300w/test", test="ibug_300w/test", threads=1,
                  crop=Crop(landmarks=BoxRule(1.1))),
        training=Training(batch=4),
    )  # fmt: skip


@pytest.fixture
def command(tmp_path, data_300w):
    """A call of jaxalign paper; its recipe `config` and its `workdir`; a Work of these alone."""
    file = tmp_path / "tiny.py"
    file.write_text("from tests.papers.test_tables import tiny as config\n")
    arguments = ["gaussian_vector", "--data-dir", data_300w, "--workdir", tmp_path / "w"]

    def call(*more):
        return paper.main([*map(str, [*arguments, *more])])

    call.config, call.workdir = file, tmp_path / "w"
    call.work = partial(Work, call.workdir, config=str(file), data_dir=data_300w)
    return call


@pytest.mark.heavy
@pytest.mark.slow
def test_a_model_is_trained_once_and_evaluated_for_every_row(
    command, monkeypatch, capsys, tmp_path
):
    module = PAPERS["gaussian_vector"]
    (table,) = module.TABLES[5]
    monkeypatch.setitem(module.TABLES, 5, (replace(table, rows=table.rows[2:]),))
    monkeypatch.setitem(module.FIGURES, 5, replace(module.FIGURES[5], rows=table.rows[1:2]))
    arguments = ["--table", 5, "--config", command.config, "--csv", tmp_path / "t.csv"]
    assert command(*arguments) == 0
    printed = capsys.readouterr().out
    assert re.search(r"BPM, SB, BBS +paper +4\.10\n", printed)
    assert re.search(r"BPM, SB, BBS +ours +\d+\.\d\d ±\d+\.\d\d\n", printed)
    assert "full 6 of 689 faces" in printed
    assert {path.name for path in command.workdir.iterdir()} == {"base", "reports"}
    with (tmp_path / "t.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["by"] for line in lines] == ["paper", "ours"] * 2
    assert all(float(line["low"]) < float(line["value"]) for line in lines[1::2])
    used = [recipe_of(line["report"]) for line in lines[1::2]]
    assert [recipe["data"]["crop"]["landmarks"]["enlarge"] for recipe in used] == [0.99, 0.99]
    assert [recipe["system"]["beyond_box"] for recipe in used] == [False, True]
    noted = json.loads((Path(lines[1]["report"]) / "report.json").read_text())["about"]["command"]
    parts = shlex.split(noted.removeprefix("jaxalign evaluate "))
    assert evaluate.parser().parse_args(parts).settings[0] == "system.beyond_box=False"

    metrics = command.workdir / "base/metrics.jsonl"
    trained = metrics.read_text()  # with the time of each line
    assert command("--figure", 5, "--config", command.config) == 0
    assert metrics.read_text() == trained
    assert not any((path / "checkpoints").exists() for path in command.workdir.iterdir()
                   if path.name != "base")  # fmt: skip
    heads = (command.workdir / "figure5.csv").read_text().splitlines()[0]
    assert heads.startswith("error,BPM: NME")
    assert (command.workdir / "figure5.png").stat().st_size > 10_000
    ckpt = ["--ckpt", command.workdir / "base", "--data", "ibug_300w/test"]
    bars = replace(module.FIGURES[4], rows=(replace(table.rows[3], shrink=0.5),))
    monkeypatch.setitem(module.FIGURES, 4, bars)
    capsys.readouterr()
    told = []
    for model in (["--config", command.config], ckpt):
        assert command("--figure", 4, *model) == 0
        told.append(re.findall(r"^.* map pixels, found .*$", capsys.readouterr().out, re.M))
    assert len(told[0]) == 1 and told[0] == told[1]
    assert (command.workdir / "figure4.csv").read_text().startswith("map pixel,x,y,Eq. 6\n")
    assert command("--table", 1, *ckpt) == 0
    printed = capsys.readouterr().out
    assert "common 4 of 554, challenging 2 of 135" in printed
    assert re.search(f"{command.workdir / 'base'} +ours", printed)


def recipe_of(report):
    return json.loads((Path(report) / "report.json").read_text())["about"]["recipe"]


def recorded(monkeypatch):
    """The recipes that would be trained, one a call; nothing is."""
    called = []
    monkeypatch.setattr(
        "jaxalign.training.train.train", lambda recipe, *_, **options: called.append(recipe)
    )
    return called


def test_variants_of_all_tables_share_their_trainings(command, monkeypatch, tmp_path):
    """Tables 5 to 8: 39 rows, 15 models; where a row's settings are the recipe's, `base`."""
    called = recorded(monkeypatch)
    work = command.work(init_from=[str(tmp_path)], settings=["training.seed=1"])
    rows = [row for n in (5, 6, 7, 8) for row in PAPERS["gaussian_vector"].TABLES[n][0].rows]
    folders = [work.train(row, 1).name for row in rows]
    assert len(rows) == 39 and len(called) == len(set(folders)) == 15
    assert folders[:4] == ["bands_none", "base", "base", "base"]
    assert {"theta_0-tau_0.5", "bands_1", "bands_1_3"} < set(folders)
    first = called[0].training
    assert (first.seed, first.init_from, called[0].system.bands) == (1, str(tmp_path), ())


@pytest.mark.heavy
def test_each_variant_starts_from_the_weights_that_fit_it(tmp_path, capsys):
    stem = TAB(stem="resnet")
    shapes = arrays_of(stem.shapes())
    inside = {(k[0], *k[3:]): leaf for k, leaf in shapes.items() if k[1:3] == ("scbe", "stem")}
    names = torch_names(BACKBONES["resnet50"].torch_name, inside)
    ours = {name: np.zeros(inside[key].shape, np.float32) for key, name in names.items()}
    torch = {name: a.transpose(3, 2, 0, 1) if a.ndim == 4 else a for name, a in ours.items()}
    write_safetensors(tmp_path / "resnet50.safetensors", torch)
    (tmp_path / "other.pth").write_bytes(b"no weights")
    paths = [str(tmp_path / "other.pth"), str(tmp_path / "resnet50.safetensors")]
    assert work._fitting(stem, paths) == paths[1]
    assert work._fitting(TAB(stem="base"), paths) == ""
    assert work._fitting(None, []) == ""  # not even its shapes are asked for
    assert "other.pth" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such file"):
        work._fitting(stem, ["nowhere.pth"])


def test_columns_that_are_methods_of_the_system(command, monkeypatch):
    class Fake:
        points, size = SCHEMES["ibug68"], 32

        def boundary_mse(self, variables, batch):
            return variables * batch["points"].max((1, 2))

    fake = SimpleNamespace(system=Fake(), data=Data(crop=Crop()))
    monkeypatch.setattr("jaxalign.checkpoints.load", lambda path: (fake, np.float32(2), None))
    recorded(monkeypatch)
    work = command.work()
    (table,) = PAPERS["tab"].TABLES[8]
    found = work.per_face(Variant("", ()), table, 0)
    assert list(found) == ["boundary_mse"] and found["boundary_mse"].shape == (6,)
    assert (found["boundary_mse"] > 32).all()
    assert work.per_face(Variant("", ()), PAPERS["tab"].TABLES[9][0], 0) == {}


def test_each_training_has_its_seed_and_folder(command, monkeypatch):
    called = recorded(monkeypatch)
    work = command.work(settings=["training.seed=3"], trainings=3)
    heatmap, vector = PAPERS["gaussian_vector"].TABLES[5][0].rows[:2]
    folders = [work.train(row, seed).name for row in (heatmap, vector) for seed in work.seeds]
    assert folders == ["bands_none", "bands_none-seed4", "bands_none-seed5",
                       "base", "base-seed4", "base-seed5"]  # fmt: skip
    made = [(recipe.training.seed, recipe.system.bands == ()) for recipe in called]
    assert made == [(3, True), (4, True), (5, True), (3, False), (4, False), (5, False)]
    with pytest.raises(InputError, match="1 or more"):
        command.work(trainings=0)


PARTS = {"helen_test": 3, "lfpw_test": 2, "indoor": 4, "outdoor": 1, "challenging": 2}


def face_of_each_part(seed):
    names = [(part,) for part, faces in PARTS.items() for _ in range(faces)]
    return Entry(
        name=f"report{seed}", results=fake(12, seed=seed, subsets=names), benchmark="ibug_300w"
    )


def test_numbers_are_means_over_the_trainings(command, monkeypatch):
    (table,) = PAPERS["pixelwise"].TABLES[2]
    table = replace(table, rows=table.rows[:3])
    monkeypatch.setattr(Work, "evaluate", lambda *given: face_of_each_part(given[-1]))
    one, three = (tables._lines(table, command.work(trainings=n)) for n in (1, 3))
    assert [line.by for line in three] == ["paper", "paper", "paper", "ours"]
    every = [face_of_each_part(seed).results for seed in range(3)]
    total, eyes = three[3].numbers[-2:]
    errors = [results.normalised("inter_ocular") for results in every]
    assert total.value == pytest.approx(np.mean(errors), abs=1e-6)
    assert total.sd == pytest.approx(np.std(np.mean(errors, (1, 2)), ddof=1), abs=1e-5)
    assert eyes.value == pytest.approx(np.mean(np.array(errors)[..., 36:48]), abs=1e-6)
    assert total.low < total.value < total.high and total.low != one[3].numbers[-2].low
    assert three[3].report == "report0 report1 report2" and one[3].report == "report0"
    printed = tables._text(table, three)
    assert re.search(r"Direct +ours +0\.\d{4} ±0\.\d{4} +", printed)
    assert "helen_test 3 of 330, lfpw_test 2 of 224" in printed
    assert "all 12 of 1289 faces" in printed
    assert "means of 3 trainings; largest standard deviation among them: Helen " in printed
    assert f"Total {total.sd:.4f}, eyes {eyes.sd:.4f}" in printed
    assert "trainings;" not in tables._text(table, one)
    cells = list(three[3].cells(table.columns))
    assert len(cells[0]) == 9 and cells[5][6:8] == [total.sd, "all 12 of 1289"]


def test_reports_stand_below_an_ablation(command, tmp_path, capsys):
    face_of_each_part(0).results.save(tmp_path / "predictions.jsonl", "inter_ocular")
    assert paper.main(["pixelwise", "--table", "2", "--report", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"hybrid\+disc +paper .*\n{tmp_path} +ours +0\.\d{{4}} ±", printed)
    words = ["tab", "--table", "8", "--report", str(tmp_path), "--csv", str(tmp_path / "new/a.csv")]
    assert paper.main(words) == 0  # no boundaries in a report
    assert (tmp_path / "new/a.csv").exists()
    assert command("--table", 6, "--report", tmp_path) == 2
    assert "is a grid" in capsys.readouterr().err


def test_panels_of_a_figure(tmp_path):
    figure = PAPERS["pixelwise"].FIGURES[9]
    figure = replace(figure, rows=figure.rows[:1])
    entries = [face_of_each_part(seed) for seed in range(3)]
    work = SimpleNamespace(
        seeds=range(2), evaluate=lambda row, figure, seed: entries[seed],
        given=["theirs"], score_given=lambda figure: entries[2:], listed=["face_001", "elsewhere"],
        ids="ids.txt",
    )  # fmt: skip
    errors = [entry.results.normalised("inter_ocular") for entry in entries]
    levels, curves = figures.draw_ced(figure, work, tmp_path / "two.png")
    whole, eyes = np.array(errors[:2]).mean(-1), np.array(errors[:2])[..., 36:48].mean(-1)
    heads = ["all points: Direct", "all points: theirs", "eyes: Direct", "eyes: theirs"]
    assert [name.partition(": NME")[0] for name in curves] == heads
    assert f"{100 * whole.mean():.2f} %" in list(curves)[0]
    for shares, values in zip(list(curves.values())[::2], (whole, eyes), strict=True):
        np.testing.assert_allclose(shares, [(values <= level).mean() for level in levels])
        assert shares[-1] >= 0.98 and levels[0] == 0

    _, parted = figures.draw_ced(PAPERS["pixelwise"].FIGURES[13], work, tmp_path / "parted.png")
    nme = errors[2].mean(1)
    for head, part in (("without", np.delete(nme, 1)), ("with", nme[1:2])):
        assert f"{head} occlusion: theirs: NME {100 * part.mean():.2f} %" in parted
    alone = replace(figure, columns=figure.columns[:1])
    _, single = figures.draw_ced(alone, work, tmp_path / "one.png")
    assert list(single)[0].startswith("Direct: NME")
    sizes = [cv2.imread(str(tmp_path / name)).shape for name in ("one.png", "two.png")]
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1], 3)
    work.listed = ["elsewhere"]
    with pytest.raises(InputError, match="ids.txt: no face is with occlusion"):
        figures.draw_ced(PAPERS["pixelwise"].FIGURES[13], work, tmp_path / "parted.png")


def test_faces_of_a_figure(command, capsys, tmp_path):
    work = command.work()
    pixelwise = PAPERS["pixelwise"].FIGURES
    assert [work._data(pixelwise[n]) for n in (9, 14)] == ["ibug_300w/test", "cofw68/test"]
    assert work._data(PAPERS["propagationnet"].FIGURES[7]) == "ibug_300w/test"
    assert work._data(PAPERS["propagationnet"].TABLES[4][0]) == "ibug_300w/test"
    assert work._data(PAPERS["tab"].TABLES[1][0]) == "wflw/test"  # fixed
    assert paper.main(["pixelwise", "--figure", "13"]) == 2
    assert "needs --ids FILE, one id a line: the occluded faces" in capsys.readouterr().err
    assert paper.main(["pixelwise", "--figure", "13", "--ids", str(tmp_path / "no")]) == 2
    assert "name a list of faces" in capsys.readouterr().err
    assert paper.main(["pixelwise", "--figure", "9", "--ids", "ids.txt"]) == 2
    assert "only for a figure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pixelwise --figure 9 --csv a.csv", "--csv is only for a table"),
        ("propagationnet --table 8 --ckpt runs/a", "--table 8 needs no model"),
        ("tab --table 1 --init-from a.pth", "are for what is trained: give --config"),
        ("tab --table 1 --trainings 2", "are for what is trained: give --config"),
        ("tab --table 1 --set system.nonsense=1", "--set changes what is trained or evaluated"),
    ],
)
def test_options_without_effect(words, message, capsys):
    assert paper.main(words.split()) == 2
    assert message in capsys.readouterr().err


def test_the_papers_numbers_alone(command, capsys):
    assert command("--table", 6) == 0
    printed = capsys.readouterr().out
    assert "1.5          4.33  4.23  4.15  4.12  4.14\n" in printed
    assert command("--table", 3) == 0
    printed = capsys.readouterr().out
    assert re.search(r"GV\(HRNet\) +paper +0\.5775", printed) and " ours " not in printed
    assert command("--table", 77) == 2
    assert "there are of Gaussian Vector: 1, 2" in capsys.readouterr().err


def test_the_papers_agree_on_300w():
    """PropagationNet's and TAB's tables of 300W, copied apart from each other."""
    for ours, theirs in zip(PAPERS["propagationnet"].TABLES[2], PAPERS["tab"].TABLES[2],
                            strict=True):  # fmt: skip
        rows = {row.label: row.paper for row in theirs.rows}
        differing = [row.label for row in ours.rows if rows.get(row.label, row.paper) != row.paper]
        assert differing in ([], ["LAB"])  # a slip of TAB's
        assert sum(row.label in rows for row in ours.rows) > 4


def test_convergence_needs_validation(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 1, "val_nme": 0.5}\n')
    assert figures.validations(tmp_path) == [(1, 0.5)]
    curves = {"heatmap": [(1, 0.5), (2, 0.1)], "BPM": [(1, 0.4), (2, 0.05)]}
    figures.draw_convergence(tmp_path / "f.png", "convergence", curves)
    assert (tmp_path / "f.png").stat().st_size > 10_000
    figure = PAPERS["gaussian_vector"].FIGURES[6]
    work = SimpleNamespace(base=True, folder=tmp_path, train=lambda *_: tmp_path, seeds=(0, 1))
    figures.draw(figure, work, "f")
    with (tmp_path / "f.csv").open() as file:
        models = [line["model"] for line in csv.DictReader(file)]
    assert models[:2] == ["heatmap (no BPM), seed 0", "heatmap (no BPM), seed 1"]
    assert len(models) == 6
    log.write_text('{"step": 1, "loss": 2.0}\n')
    with pytest.raises(InputError, match="data.val"):
        figures.validations(tmp_path)


def test_all_ways_to_decode_agree():
    rng = np.random.default_rng(3)
    maps = rng.integers(0, 9, (3, 6, 7, 5)).astype(np.float32)  # full of ties
    expected, _ = jax.jit(decoding.argmax)(maps)
    for call in bench.WAYS.values():
        np.testing.assert_array_equal(jax.jit(call)(maps), expected)
    first = jax.jit(bench.points_first)(jnp.asarray(np.moveaxis(maps, 3, 1)))
    np.testing.assert_array_equal(first, expected)
    for call in bench.ON_HOST.values():
        np.testing.assert_array_equal(call(maps), expected)
    x, y = 3 * rng.random((2, 3, 6, 5), np.float32)
    x[0], y[1, :, 2] = 0, -y[1, :, 2]  # which say nothing
    library = jax.jit(lambda x, y: decoding.vectors(x, y, bench.PEAK, bench.TAU)[0])
    expected = library(x, y)
    device = jax.jit(partial(bench.vectors, equals=True))
    np.testing.assert_allclose(device(x, y), expected, atol=1e-5)
    for equals in (False, True):
        np.testing.assert_allclose(bench.vectors(x, y, np, equals), expected, atol=1e-5)


@pytest.mark.heavy
def test_times_of_the_papers_table(monkeypatch):
    forward = {"heatmap": lambda *_: jnp.zeros(1), "vector": lambda *_: jnp.zeros(1)}
    monkeypatch.setattr(bench, "networks", lambda *_: (forward, {}))
    table = PAPERS["gaussian_vector"].TABLES[9][0]
    found = bench.paper_table(repeats=1)
    assert [row.label for row in table.rows] == list(found)
    for row in table.rows:
        size, *times = found[row.label]
        assert size == row.paper[0] and len(times) == 3 and min(times) > 0
    monkeypatch.setattr(bench, "paper_table", lambda: found)
    measured = replace(table, measure=bench.paper_table)
    printed = tables._text(measured, tables._lines(measured, SimpleNamespace(base=None)))
    assert re.search(r"Gaussian Vector +ours +\(68, 64, 2\) +\d+\.\d{3}", printed)


def test_failure_rates_stand_with_the_ends_of_their_intervals():
    """Half of an interval would not say where it lies: of no failure it is all above."""
    columns = Column("NME"), Column("FR", "fr@8")
    ours = tables.Line("x", "ours", (tables.Number(3.0, 2.9, 3.2), tables.Number(0.0, 0.0, 3.08)))
    text = tables._text(Table("t", columns, ()), [ours])
    assert re.search(r"x +ours +3\.00 ±0\.15 +0\.00 \[0\.00, 3\.08\]", text)
    entry = Entry("runs/a", replace(fake(121), predicted=fake(121).truth + 0.01), "ibug_300w")
    table = Table("t", (Column("FR", "fr@8", "all"),), ())
    text = tables._text(table, [tables._scored("y", entry, table)])
    assert re.search(r"y +ours +0\.00 \[0\.00, 3\.08\]", text)
    assert "± half of the 95 % interval, that of a failure rate in brackets" in text


def test_without_a_number_the_papers_contents_are_listed(capsys):
    assert paper.main(["tab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "TAB: jaxalign paper tab --table N, or --figure N"
    assert len(lines) == 1 + len(tab.TABLES) + len(tab.FIGURES)
    assert any(line.startswith("  --table 7   AFLW2000-3D, NME by yaw") for line in lines)
    assert paper.main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"jaxalign paper {name} " in printed for name in PAPERS)
    assert paper.main(["--table", "1"]) == 2
