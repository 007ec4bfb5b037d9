"""What README.md shows can be typed as it stands."""

import importlib
import re
import shlex

import cv2
import jax
import numpy as np
import pytest

from jaxalign import photos
from jaxalign.datasets import synthetic_faces
from jaxalign.prediction.detection import Cascade
from tests.helpers import ROOT
from tests.helpers.small import filled, packaged, small_recipe


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = sorted(
    {
        line.partition("  #")[0].strip()
        for language, block in BLOCKS
        for line in block.splitlines()
        if not language and line.startswith("jaxalign ")
    }
)


@pytest.fixture
def examples(monkeypatch, tmp_path):
    """The Python blocks; small random weights stand for the package's."""
    recipe = small_recipe()
    packaged(
        monkeypatch, tmp_path, recipe, filled(jax.eval_shape(recipe.system.init, jax.random.key(0)))
    )
    return [block for language, block in BLOCKS if language == "python"]


@pytest.mark.heavy
def test_the_first_screen(examples, monkeypatch, capsys):
    """Five lines from the import to the points of the portrait in examples/."""
    assert README.index(examples[0]) < README.index("![") and len(README.split("## ")[1]) < 1200
    assert len([line for line in examples[0].splitlines() if line]) == 5
    monkeypatch.chdir(ROOT)
    names = {}
    exec(compile(examples[0], "README.md", "exec"), names)
    (face,) = names["faces"]
    assert face.points.shape == (68, 2) and str(face.points) in capsys.readouterr().out


@pytest.mark.heavy
def test_the_example_runs(examples, tmp_path, monkeypatch, capsys):
    _, example = examples
    assert len(example.splitlines()) <= 15
    drawn = (synthetic_faces.face("test", index, 256, 0).photo for index in range(30))
    for name in ("me.jpg", "you.jpg"):  # of the drawn faces the cascade finds about half
        path = tmp_path / name
        assert any(path.write_bytes(photo) and Cascade()(photos.read(path)) for photo in drawn)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["faces"] and names["yours"]
    assert str(names["faces"][0].points) in capsys.readouterr().out
    picture = cv2.imread("me_points.png")
    assert picture.shape == (256, 256, 3) and np.ptp(picture) > 200


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_these_options(command):
    command = re.sub(r"\[([^]|]*)[^]]*\]", r"\1", command).replace(" ...", "")
    name, *arguments = shlex.split(command)[1:]
    module = importlib.import_module(f"jaxalign.commands.{name}")
    module.parser().parse_args(arguments)
