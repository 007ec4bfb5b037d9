"""benchmarks/head_pose.py: errors of true points and of a network's, by groups of yaw."""

import re

import numpy as np
import pytest

from benchmarks import head_pose
from tests.helpers.small import filled, saved, small_recipe


@pytest.mark.heavy
def test_errors_of_a_few_faces(tmp_path, capsys):
    recipe = small_recipe()
    variables = filled(recipe.system.shapes())
    workdir = saved(recipe, variables, tmp_path / "run")
    command = ["--ckpt", str(workdir), "--faces", "8", "--size", "128"]
    assert head_pose.main(command) == 0
    table = capsys.readouterr().out
    assert "8 drawn faces, ibug68: absolute errors, in degrees" in table
    (row,) = re.findall(r"true points, all +8 +(\S+) +(\S+) +(\S+)", table)
    assert (np.array(row, float) < (2, 4, 1)).all()
    found = [int(n) for n in re.findall(r"true points, yaw (?:to|above) 45 +(\d+)", table)]
    assert sum(found) == 8
    assert len(re.findall(r"points of .*run, ", table)) == len(found) + 1
