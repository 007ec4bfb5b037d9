"""--help of every command: what it needs and leaves, an example, each option in words."""

import importlib
import re
import shlex

import pytest

from benchmarks import (
    against_torch,
    boundaries,
    cross_validation,
    decoding,
    detectors,
    dlib_baseline,
    few_photos,
    head_pose,
    high_resolution,
    host,
    many_faces,
    many_photos,
    onnx_models,
    paper_size,
    parity,
    prediction,
    robustness,
    rooms,
    shifts,
)
from jaxalign.__main__ import COMMANDS, main
from tests.helpers import ROOT


BENCHMARKS = (
    against_torch,
    boundaries,
    cross_validation,
    decoding,
    detectors,
    dlib_baseline,
    few_photos,
    head_pose,
    high_resolution,
    host,
    many_faces,
    many_photos,
    onnx_models,
    paper_size,
    parity,
    prediction,
    robustness,
    rooms,
    shifts,
)


def test_none_is_forgotten():
    modules = [path.stem for path in (ROOT / "jaxalign/commands").glob("[!_]*.py")]
    assert sorted(modules) == sorted(COMMANDS)
    scripts = [path for path in ROOT.glob("benchmarks/*.py") if "__main__" in path.read_text()]
    assert {path.stem for path in scripts} == {b.__name__.split(".")[1] for b in BENCHMARKS}
    assert {path.name for path in ROOT.glob("*.py")} == {"train.py", "evaluate.py"}


def shown(capsys, call):
    with pytest.raises(SystemExit) as end:
        call()
    assert end.value.code == 0
    return capsys.readouterr().out


def check(text, parser, start):
    """That the help is whole, and that the parser takes its examples, which begin with `start`."""
    assert "\nneeds: " in text and re.search(r"\b[Ll]eaves\b|\bLeft in ", text)
    assert max(map(len, text.splitlines())) <= 100
    assert [action.dest for action in parser._actions if not action.help] == []
    joined = re.sub(r"\\\n +", "", text)
    examples = re.findall(r"^  (?:python|jaxalign)\b.+$", joined, re.MULTILINE)
    assert examples and text.count("\nexample") == 1
    for line in examples:
        assert f"{line} ".startswith(f"  {start} ")
        parser.parse_args(shlex.split(line.removeprefix(f"  {start}")))  # leaves at what is wrong


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = shown(capsys, lambda: main([name, "--help"]))
    assert text.startswith(f"usage: jaxalign {name} [-h] [--version]")
    module = importlib.import_module(f"jaxalign.commands.{name}")
    check(text, module.parser(), f"jaxalign {name}")


@pytest.mark.parametrize("module", BENCHMARKS)
def test_help_of_benchmarks(module, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = shown(capsys, lambda: module.main(["--help"]))
    check(text, module.parser(), f"python -m {module.__name__}")
