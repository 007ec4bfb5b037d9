"""`jaxalign train` to its last line: what can be evaluated next, by the names that will work."""

import shlex
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from jaxalign.commands import evaluate, prepare, train
from jaxalign.errors import InputError
from jaxalign.losses import LOSSES
from jaxalign.recipe import has_own_parts
from jaxalign.sources import DEFAULT_DATA_DIR, open_source
from jaxalign.systems.integral import Integral
from jaxalign.training.train import evaluable, faces
from tests.helpers.commands import call, refused
from tests.helpers.small import small_recipe
from tests.helpers.trees import make_300w


@dataclass(frozen=True)
class Own(Integral):
    """A system that the package does not define."""


MINE = "image_folder:schemeibug68/train"


@pytest.fixture
def untrained(monkeypatch):
    """Runs end before they begin; gives their recipes, training and validation faces."""
    runs = []

    def run(recipe, train, val, workdir, **options):
        runs.append((recipe, train.name, val.name if val else ""))
        return SimpleNamespace(run=lambda: None)

    monkeypatch.setattr("jaxalign.training.train.Run", run)
    return runs


@pytest.fixture
def mine(tmp_path):
    """A data_dir with a user's own six training faces, and nothing else."""
    make_300w(tmp_path / "photos", 1)
    own = ["--from", tmp_path / "photos", "--data-dir", tmp_path / "data"]
    assert call(prepare, "image_folder", *own, "--set", "scheme=ibug68") == 0
    return tmp_path / "data"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text("from tests.helpers.small import small_recipe as config\n")
    return path


def last_line(capsys, *arguments):
    """The options of the evaluation that training proposes, and the line itself."""
    capsys.readouterr()
    assert call(train, *arguments) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(start := "next: jaxalign evaluate ")
    return evaluate.parser().parse_args(shlex.split(line.removeprefix(start))), line


def test_ones_own_faces_are_evaluated_where_no_test_data_is(
    untrained, mine, config, tmp_path, capsys
):
    own = ["--set", f"data.train={MINE}", "data.val=", "data.test=ibug_300w/test"]
    options, _ = last_line(
        capsys, "--config", config, "--workdir", tmp_path / "a run", "--data_dir", mine, *own
    )
    assert (options.ckpt, options.data, options.data_dir) == (str(tmp_path / "a run"), MINE, mine)
    assert len(open_source(options.data, small_recipe().system.points, options.data_dir))
    assert untrained[0][1].startswith(MINE)


def test_the_recipes_test_data_where_it_is(untrained, data_300w, config, tmp_path, capsys):
    (tmp_path / "mine.py").write_text("")
    own = ["--config", config, "--workdir", tmp_path, "--data-dir", data_300w]
    own += ["--import", tmp_path / "mine.py", "--set", "data.test=ibug_300w/lfpw_test"]
    options, _ = last_line(capsys, *own)
    assert options.data == "ibug_300w/lfpw_test" and options.data_dir == data_300w
    assert options.imports == [str(tmp_path / "mine.py")]
    assert options.ckpt == str(tmp_path)


def test_the_default_folder_is_not_named(untrained, data_300w, config, tmp_path, monkeypatch,
                                         capsys):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if DEFAULT_DATA_DIR.is_absolute():
        pytest.skip("JAXALIGN_DATA is set")
    DEFAULT_DATA_DIR.symlink_to(data_300w)
    _, line = last_line(capsys, "--config", config, "--workdir", "w")
    assert line.endswith(f"--ckpt w --data {small_recipe().data.val}")


def test_what_can_be_evaluated(data_300w, tmp_path):
    recipe = small_recipe()

    def of(**changed):
        return evaluable(replace(recipe, data=replace(recipe.data, **changed)), data_300w)

    assert of(test="ibug_300w/lfpw_test") == "ibug_300w/lfpw_test"
    assert of(test="wflw/test", val="ibug_300w/common") == "ibug_300w/common"
    assert of(test="ibug_300w/none", val="", train="ibug_300w/train") == "ibug_300w/train"
    assert of(test="", val="ibug_300w/test") == "ibug_300w/test"


def test_faces_of_a_recipe(data_300w):
    recipe = small_recipe()

    def of(**changed):
        return [len(part) for part in faces(replace(recipe, data=replace(recipe.data, **changed)),
                                            data_300w)]  # fmt: skip

    whole = len(open_source("ibug_300w/train", recipe.system.points, data_300w))
    base = {"train": "ibug_300w/train", "val": "", "holdout": 0.0, "limit": 0}
    assert of(**base) == [whole, 0]
    assert of(**base | {"val": "ibug_300w/test"}) == [whole, 6]
    assert of(**base | {"val": "ibug_300w/test", "limit": 2}) == [2, 2]
    held, rest = of(**base | {"holdout": 0.5})[::-1]
    assert held + rest == whole and held > 0


def test_faces_of_several_data_sets(data_300w):
    """One after the other; those of one that is named twice come twice, but none that is held."""
    recipe = small_recipe()

    def of(train, **changed):
        data = replace(recipe.data, train=train, val="", **changed)
        return faces(replace(recipe, data=data), data_300w)

    parts = [open_source(spec, recipe.system.points, data_300w)
             for spec in ("ibug_300w/train", "ibug_300w/ibug")]  # fmt: skip
    train, val = of("ibug_300w/train + ibug_300w/ibug")
    assert [face["id"] for face in train] == [face["id"] for part in parts for face in part]
    assert not val
    train, val = of("ibug_300w/train+ibug_300w/train", holdout=0.5)
    ids = [face["id"] for face in train]
    assert len(ids) == 2 * (len(parts[0]) - len(val)) == 2 * len(set(ids))
    assert not set(ids) & {face["id"] for face in val}
    train, val = of("ibug_300w/train + ibug_300w/afw", holdout=0.5)
    assert not {face["group"] for face in train} & {face["group"] for face in val}
    with pytest.raises(InputError, match="'': expected NAME"):
        of("ibug_300w/train+")


def test_what_is_held_out_is_nowhere_else(data_300w, monkeypatch):
    """300W-LP shows photos of 300W by other names."""
    monkeypatch.setattr(
        "jaxalign.training.train.open_source",
        lambda spec, scheme, data_dir: open_source("ibug_300w/train", scheme, data_dir),
    )
    recipe = small_recipe()
    data = replace(recipe.data, train="ibug_300w/train + w300_lp/train", val="", holdout=0.5)
    with pytest.raises(InputError, match="ibug_300w/train and w300_lp/train show some of the same"):
        faces(replace(recipe, data=data), data_300w)
    assert len(faces(replace(recipe, data=replace(data, holdout=0.0)), data_300w)) == 2


def test_what_needs_its_file(monkeypatch):
    recipe = small_recipe()
    assert not has_own_parts(recipe)
    assert has_own_parts(replace(recipe, system=Own()))
    monkeypatch.setitem(LOSSES, "own", LOSSES["mse"])
    assert has_own_parts(recipe)


def test_a_file_that_is_not_there(config, capsys):
    line = refused(capsys, train, "--config", config, "--dry-run", "--import", "none.py")
    assert "none.py: no such file" in line
