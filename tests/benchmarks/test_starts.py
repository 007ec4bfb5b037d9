"""One recipe from several starts: its steps, its faces, and what is not made again."""

import numpy as np
import pytest

from benchmarks import starts
from benchmarks.starts import NONE, Pool, Starts, trained_from
from jaxalign import checkpoints
from jaxalign import recipe as recipes
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.schemes import IBUG68
from jaxalign.training.loop import plan
from tests.helpers.small import filled, small_recipe


@pytest.fixture
def data(data_300w):
    """Six faces of four photos, three of them on one."""
    return Pool.of(["ibug_300w/train"], IBUG68, data_300w)


def test_a_pool_is_its_parts(data, data_300w):
    both = Pool.of(["ibug_300w/train", "ibug_300w/ibug"], IBUG68, data_300w)
    ids = [sample["id"] for sample in both]
    assert ids[:6] == [sample["id"] for sample in data] and len(ids) == len(both) == 8
    assert ids[6:] == ["ibug/image_092_01", "ibug/image_093_01"]
    some = both.only(["flickr/134212", "ibug/image_093_01"])
    assert [sample["id"] for sample in some] == [*ids[:3], ids[7]]
    assert some.groups == {"flickr/134212": 3, "ibug/image_093_01": 1}
    prints = [pool.fingerprint() for pool in (both, data, some, both.only(both.groups))]
    assert prints[0] == prints[3] and len(set(prints)) == 3


@pytest.mark.parametrize("name", ["integral_ibug_300w", "tab_ibug_300w", "pixelwise_ibug_300w"])
@pytest.mark.parametrize("faces", [3, 50, 3148])
def test_as_many_steps_for_few_faces_as_for_many(name, faces, data, monkeypatch):
    """And the rate goes the same way over them."""
    recipe = recipes.load(name)
    monkeypatch.setattr(Pool, "__len__", lambda self: faces)
    shorter = trained_from(recipe, "w", data, 600)
    stretches, per_epoch = plan(shorter, faces)
    assert 600 <= stretches[-1].last < 600 + len(stretches)
    before, epoch = plan(recipe, 3148)
    for old, new in zip(before, stretches, strict=True):
        steps = [stretch.last - stretch.first for stretch in (new, old)]
        ours, theirs = (
            stretch.phase.cycle[0].optimizer.rate_at(of, number)
            for stretch, of, number in zip((new, old), (per_epoch, epoch), steps, strict=True)
        )
        for share in (0.3, 0.5, 0.9):
            at = [round(share * number) for number in steps]
            np.testing.assert_allclose(ours(at[0]), theirs(at[1]), rtol=0.05)
    training, train = shorter.training, shorter.data
    assert (training.init_from, training.keep) == ("w", "last")
    assert (train.val, train.holdout, train.train) == ("", 0, "ibug_300w/train")
    assert max(1, round(training.save_epochs * per_epoch)) == 60


class Stopped(Exception):
    pass


@pytest.mark.heavy
@pytest.mark.slow
def test_a_training_goes_on_and_is_not_made_again(data, data_300w, tmp_path, monkeypatch):
    """Of fewer faces than a batch; an interrupted one ends as one that was not."""
    test = Pool.of(["ibug_300w/lfpw_test"], IBUG68, data_300w)
    few, out = data.only(["flickr/134212"]), tmp_path / "out"

    def train(folder, train=few, steps=4):
        made = Starts(small_recipe(), [NONE], steps, folder)
        return made.trained(NONE, "3", train, test, "inter_ocular")

    whole = train(tmp_path / "whole")
    results = Results.load(whole)
    assert results.ids == tuple(sample["id"] for sample in test)
    assert checkpoints.find_step(whole.parent, "latest").name == "4"

    class Interrupted(starts.Run):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options, on_step=self.stop)

        def stop(self, run):
            if run.step == 3:
                raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(starts, "Run", Interrupted)
        with pytest.raises(Stopped):
            train(out)
    folder = out / "none_3"
    assert checkpoints.find_step(folder, "latest").name == "2"
    assert not (folder / "predictions.jsonl").exists()
    np.testing.assert_array_equal(Results.load(train(out)).predicted, results.predicted)

    monkeypatch.setattr(starts, "Run", None)
    assert train(out) == folder / "predictions.jsonl"
    for other in ({"train": data}, {"steps": 5}):
        with pytest.raises(InputError, match="run.json is of other data, steps or settings"):
            train(out, **other)


def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path):
    recipe = small_recipe()
    with pytest.raises(InputError, match="--steps 0: must be 1 or more"):
        Starts(recipe, [NONE], 0, tmp_path)
    with pytest.raises(InputError, match="two have one name"):
        Starts(recipe, ["a/b", "a_b"], 1, tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        Starts(recipe, [NONE, "nowhere"], 1, tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_that_trainings_would_not_heed(tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text("from tests.helpers.small import small_recipe as config")

    def asked(*settings):
        parser = starts.argparse.ArgumentParser()
        starts.add_arguments(parser)
        return starts.recipe_of(parser.parse_args(
            ["--config", str(config), "--starts", NONE, "--steps", "1", "--out", "o", "--set",
             *settings]))  # fmt: skip

    recipe = asked("system.width=16", "training.seed=3", "system.optimizer.warmup=1")
    assert (recipe.system.width, recipe.training.seed) == (16, 3)  # pyright: ignore[reportAttributeAccessIssue]
    for setting in ("system.epochs=4", "data.train=wflw/train", "data.limit=2",
                    "training.init_from=drawn", "training.keep=last",
                    "training.judge=loss"):  # fmt: skip
        with pytest.raises(InputError, match="the options tell what to train on"):
            asked(setting)


def test_a_start_that_does_not_give_the_points_is_left_out(tmp_path, data, capsys):
    """68 points do not give all of 98."""
    path = str(tmp_path / "start.safetensors")
    recipe = small_recipe()
    checkpoints.write(path, recipe, filled(recipe.system.shapes()))
    wanted = recipes.override(small_recipe(), ["system.scheme=wflw98"])
    made = Starts(wanted, [NONE, path], 1, tmp_path)
    assert made.untrained(path, data, "inter_ocular") is None
    assert "ibug68 does not give all points of wflw98" in capsys.readouterr().out
    assert made.untrained(NONE, data, "inter_ocular") is None
