"""--help of every command: what it needs and leaves, an example, each option in words."""

import re
import shlex

import pytest

from benchmarks import (
    boundaries,
    decoding,
    detectors,
    dlib_baseline,
    parity,
    prediction,
    resolutions,
    shifts,
)
from jaxalign.commands import evaluate, export, predict, prepare, train
from tests.helpers import ROOT


TOP = (prepare, train, evaluate, predict, export)
BENCHMARKS = (
    boundaries,
    decoding,
    detectors,
    dlib_baseline,
    parity,
    prediction,
    resolutions,
    shifts,
)
COMMANDS = {f"{command.__name__.rpartition('.')[2]}.py": command for command in TOP}
COMMANDS |= {command.__name__: command for command in BENCHMARKS}


def test_none_is_forgotten():
    files = [*ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py")]
    scripts = [path for path in files if 'if __name__ == "__main__"' in path.read_text()]
    assert {path.relative_to(ROOT).as_posix() for path in scripts} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    command = COMMANDS[name]
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "\nneeds: " in shown and re.search(r"\b[Ll]eaves\b|\bLeft in ", shown)
    assert max(map(len, shown.splitlines())) <= 100
    parser = command.parser()
    assert [action.dest for action in parser._actions if not action.help] == []
    examples = re.findall(r"^  python (\S+) (.+)$", shown, re.MULTILINE)
    assert examples and shown.count("\nexample") == 1
    for script, line in examples:
        assert script == name
        parser.parse_args(shlex.split(line))  # leaves where it does not understand
