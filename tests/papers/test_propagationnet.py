"""PropagationNet's tables and figures: what they cost, count and tell."""

import csv
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from jaxalign.commands import paper, prepare
from jaxalign.papers import attributes, figures
from jaxalign.papers.propagationnet import FIGURES, TABLES
from jaxalign.samples import ATTRIBUTES
from tests.helpers.commands import call, refused
from tests.helpers.fakes import fake
from tests.helpers.trees import make_300w


@pytest.mark.heavy
@pytest.mark.slow
def test_what_it_costs(capsys, tmp_path):
    """Of LAB, which is not ours, the paper's numbers alone; of PropNet other readings too."""
    assert call(paper, "propagationnet", "--table", 8, "--csv", tmp_path / "t.csv") == 0
    printed = capsys.readouterr().out
    assert re.search(r"AWing +ours +24\.15 +26\.71\n", printed)
    assert re.search(r"PropNet +ours +36\.39 +43\.45\n", printed)
    assert re.search(r"PropNet, stem_blur=False +ours +36\.39 +42\.99\n", printed)
    assert re.search(r"PropNet, convolutions=1 +ours +36\.35 +43\.27\n", printed)
    assert re.search(r"PropNet, both +ours +36\.35 +42\.80\n", printed)
    assert not re.search(r"LAB +ours", printed)
    with (tmp_path / "t.csv").open() as file:
        rows = {line["row"]: line["by"] for line in csv.DictReader(file)}
    assert rows["PropNet, both"] == "ours" and rows["LAB"] == "paper"


def test_shares_of_the_attributes(tmp_path, capsys):
    """Every face has the first attribute, those of test the last as well."""
    ids = list(make_300w(tmp_path / "300w", 1))
    lines = ["id," + ",".join(ATTRIBUTES)]
    lines += [f"{name},1,0,0,0,0,{int('test' in name)}" for name in ids]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    places = ["--from", tmp_path / "300w", "--data-dir", tmp_path / "data"]
    assert call(prepare, "ibug_300w", *places, "--attributes", tmp_path / "mine.csv") == 0
    spec = re.search(r"data.train=(\S+)/train", capsys.readouterr().out).group(1)
    command = ["propagationnet", "--figure", 3, "--data-dir", tmp_path / "data"]
    out = ["--workdir", tmp_path / "w"]
    assert call(paper, *command, *out, "--data", f"{spec}/common") == 0
    assert str(tmp_path / "w/figure3.png") in capsys.readouterr().out
    with (tmp_path / "w/figure3.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["attribute"] for row in rows] == list(ATTRIBUTES)
    assert [row["having"] for row in rows] == ["2", "0", "0", "0", "0", "2"]
    assert {row["faces"] for row in rows} == {"2"} and float(rows[0]["share"]) == 1
    assert (tmp_path / "w/figure3.png").stat().st_size > 10_000
    assert "wflw is not prepared" in refused(capsys, paper, *command, *out)
    line = refused(capsys, paper, *command, *out, "--config", "propnet_wflw")
    assert "no --config, --ckpt, --report" in line


def test_bars_are_of_train_and_test(monkeypatch, tmp_path):
    flags = {"wflw/train": np.eye(6, dtype=np.uint8)[:4], "wflw/test": np.ones((2, 6), np.uint8)}
    monkeypatch.setattr(attributes, "attributes_of", lambda spec, _: flags[spec])
    work = SimpleNamespace(base=None, given=[], data="", data_dir="", folder=tmp_path)
    figures.draw(FIGURES[3], work, "f")
    with (tmp_path / "f.csv").open() as file:
        found = [(row["data"], float(row["share"])) for row in csv.DictReader(file)]
    shares = [0.25] * 4 + [0] * 2
    assert found == [("wflw/train", n) for n in shares] + [("wflw/test", 1)] * 6


def test_the_legend_tells_the_failure_rate(tmp_path):
    """Table 3's, and the figure's limit of 10 %."""
    assert TABLES[3][1].columns[0].statistic == "fr@10" and FIGURES[7].limit == 0.10
    results = fake(12, seed=0)
    work = SimpleNamespace(seeds=[0], evaluate=lambda *_: SimpleNamespace(results=results),
                           given=[], score_given=lambda _: [])  # fmt: skip
    errors = results.nme("inter_ocular")
    for limit in (float(np.median(errors)) + 1e-9, 0.0):
        figure = replace(FIGURES[7], limit=limit, rows=FIGURES[7].rows[1:])
        (label,) = figures.draw_ced(figure, work, tmp_path / "f.png")[1]
        told = f"PropNet: NME {100 * errors.mean():.2f} %"
        rate = 100 * (errors > limit).mean()
        assert label == (f"{told}, FR at {100 * limit:g} % {rate:.2f} %" if limit else told)
    assert 0 < rate <= 100
