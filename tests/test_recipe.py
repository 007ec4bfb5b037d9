import json
import re
import sys
from dataclasses import dataclass, replace

import cloudpickle
import pytest

from jaxalign import recipe as recipes
from jaxalign.augment import Augment
from jaxalign.errors import InputError
from jaxalign.recipe import Data, Recipe
from jaxalign.systems.hourglass import StackedHourglass
from tests.helpers import ROOT


SHIPPED = sorted(path.stem for path in ROOT.joinpath("configs").glob("[!_]*.py"))
PLAIN = Recipe(StackedHourglass(stacks=2))


def test_override_leaves_the_rest():
    found = recipes.override(PLAIN, ["system.stacks=1", "training.seed=7"])
    assert (found.system.stacks, found.training.seed) == (1, 7)
    assert recipes.override(found, ["system.stacks=2", "training.seed=0"]) == PLAIN
    assert PLAIN.system.stacks == 2


@pytest.mark.parametrize(
    ("setting", "where", "value"),
    [
        ("system.optimizer.rate=3e-3", lambda r: r.system.optimizer.rate, 3e-3),
        ("system.optimizer.boundaries=[10, 20.5]", lambda r: r.system.optimizer.boundaries,
         (10, 20.5)),
        ("system.optimizer.boundaries=(4,)", lambda r: r.system.optimizer.boundaries, (4,)),
        ("system.decoder=soft", lambda r: r.system.decoder, "soft"),
        ("data.train=ibug_300w:default/afw", lambda r: r.data.train, "ibug_300w:default/afw"),
        ("training.init_from=2024_05_01", lambda r: r.training.init_from, "2024_05_01"),
        ("training.init_from='a b'", lambda r: r.training.init_from, "a b"),
        ("data.val=", lambda r: r.data.val, ""),
        ("data.crop.landmarks.enlarge=2", lambda r: r.data.crop.landmarks.enlarge, 2.0),
        ("data.augment.rotation=0.5", lambda r: r.data.augment.rotation, 0.5),
        ("system.epochs=0.25", lambda r: r.system.epochs, 0.25),
    ],
)  # fmt: skip
def test_override_reads_values(setting, where, value):
    found = where(recipes.override(PLAIN, [setting]))
    assert found == value
    assert type(found) is type(value)


def test_override_takes_the_declared_type_not_the_written_one():
    """`epochs=120` in a recipe is still a number of epochs that may be half of one."""
    whole = recipes.override(Recipe(StackedHourglass(epochs=120)), ["system.epochs=0.5"])
    assert whole.system.epochs == 0.5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("system.stakcs=1", r"'system.stakcs' \(did you mean stacks\?\); valid here: .*decoder"),
        ("sytem.stacks=1", r"did you mean system\?\); valid here: system, data, training$"),
        ("zzz=1", r"unknown recipe key 'zzz'; valid here: system, data, training$"),
        ("data.augment.rotatoin=1", r"did you mean rotation\?\); valid here: rotation, rota"),
        ("system.stacks.two=1", "stacks has no parts"),
        ("system.stacks=two", "system.stacks='two': expected int, as in 2"),
        ("system.stacks=1.5", "expected int"),
        ("system.stacks=True", "expected int"),
        ("system.epochs=many", "expected float"),
        ("system.epochs=True", "expected float"),
        ("system.optimizer.boundaries=30", "expected tuple"),
        ("system.optimizer.boundaries=()", "^system.optimizer.schedule='step': needs the epochs"),
        ("system.stacks={[]: 1}", "expected int"),
        ("system.optimizer=adam", "not one value; set one of its parts: kind, rate"),
        ("data.augment=0", "set one of its parts: rotation"),
        ("system.stacks", "write key=value"),
        ("system.size=100", "system.size=100: must be a positive multiple of 64"),
        ("system.scheme=ibug86", "one of ibug68, wflw98"),
        ("training.patience=-1", "training.patience=-1: must be 0 or more"),
        ("training.eval_steps=-1", "training.eval_steps=-1: must be 0 or more"),
        ("training.save_epochs=0", "training.save_epochs=0.0: must be above 0"),
        ("system.optimizer.schedule=cosinus", "^system.optimizer.schedule='cosinus': one of cons"),
        ("system.optimizer.rate=nan", "expected float"),
        ("system.sigma=1e999", "^system.sigma=inf: must be a finite number"),
        ("data.crop.box=landmark", "^data.crop.box='landmark': one of landmarks, dataset, detec"),
        ("data.crop.landmarks.enlarge=0", "^data.crop.landmarks.enlarge=0.0: must be above 0"),
        ("data.holdout=1", "^data.holdout=1.0: must be below 1"),
        ("data.balance=pose", "^data.balance='pose': one of '', yaw"),
        ("training.keep=first", "^training.keep='first': one of best, last"),
        ("training.judge=auc", "^training.judge='auc': one of nme, loss"),
        ("data.augment.flip=2", "^data.augment.flip=2.0: must be in 0..1"),
        ("data.augment.pixels=('rain',)", "pixels=.*'rain' is not one of: jpeg"),
        ("system.epochs=0", "^system.epochs=0.0: must be above 0"),
        ("system.stacks=33", "^system.stacks=33: must be 32 or less"),
        (
            "system.epochs=1e12",
            "^system.epochs=1000000000000.0: must be a finite number",
        ),
        ("training.seed=9223372036854775808", "^training.seed=.*: must be a finite number, not ab"),
        (
            "system.optimizer.boundaries=('x',)",
            "^system.optimizer.boundaries=.*of type tuple",
        ),
    ],
)
def test_override_refuses(setting, message):
    with pytest.raises(InputError, match=message) as error:
        recipes.override(PLAIN, [setting])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("turn", [1, -1])
def test_settings_are_applied_together(turn):
    """Two that fit only with each other, in either order."""
    base = recipes.load("tab_wflw")
    settings = ["system.stem=resnet", "system.channels=256"][::turn]
    narrow = recipes.override(base, ["system.stem=base", "system.channels=64"])
    found = recipes.override(narrow, settings).system
    assert (found.stem, found.channels) == ("resnet", 256)
    with pytest.raises(InputError, match="system.channels=64: the stem resnet has 256"):
        recipes.override(narrow, settings[:1] if turn == 1 else settings[1:])


def test_the_later_of_two_settings_counts():
    assert recipes.override(PLAIN, ["system.stacks=1", "system.stacks=4"]).system.stacks == 4


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ("demo", ["system.optimizer.boundaries=(3,)"], "it is for schedule=step"),
        ("fan_ibug_300w", ["system.optimizer.floor=0.1"], "it is for schedule=cosine"),
        ("pixelwise_ibug_300w", ["system.method=direct", "system.optimizer.rate=1e-3"],
         "system.optimizer.rate=1e-3: would change nothing, for method=direct is trained by regr"),
        ("pixelwise_ibug_300w", ["system.beta=1"], "coordinates=argmax passes no gradient"),
        ("demo", ["data.augmented=False", "data.augment.flip=0"], "trains on plain crops"),
        ("demo", ["training.keep=last", "training.judge=loss"], "keep=last needs no judge"),
        ("demo", [*(f"data.augment.{name}=0" for name in ("rotation", "scale", "shift")),
                  "data.augment.of=crop"], "neither turned nor scaled nor moved"),
        ("demo", ["data.val=synthetic_faces/test", "data.holdout=0.1"], "is validated on"),
        ("demo", ["training.eval_steps=5", "training.eval_epochs=2"], "eval_steps=5 says"),
        ("gv_light_ibug_300w", ["system.bands=()", "system.tau=1"], "bands=() trains heatmaps"),
        ("gv_light_ibug_300w", ["system.bands=()", "system.criterion=cross_entropy",
                                "system.weight_map=True"], "criterion=cross_entropy weighs no pix"),
        ("integral_ibug_300w", ["system.sigma=3"], "criterion=star compares with points"),
        ("fan_ibug_300w", ["system.criterion=star", "system.sigma=3"], "compares with points"),
    ],
)  # fmt: skip
def test_settings_that_change_nothing_are_refused(config, settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        recipes.override(recipes.load(config), settings)


def test_what_a_switch_leaves_without_effect_is_said():
    recipe = recipes.override(recipes.load("fan_ibug_300w"), ["system.optimizer.schedule=cosine"])
    assert recipes.notes(recipe) == [
        "system.optimizer.boundaries=(30, 50) has no effect: it is for schedule=step"
    ]
    assert recipes.notes(recipes.load("fan_ibug_300w")) == []


@dataclass(frozen=True)
class Rainy(Augment):
    """What a checkpoint could not name."""

    rain: float = 0.5


def test_a_recipe_that_could_not_be_read_back_is_refused():
    for augment in (Rainy(), dataclass(frozen=True)(type("Plain", (Augment,), {}))()):
        recipe = replace(PLAIN, data=Data(augment=augment))
        with pytest.raises(InputError, match="a checkpoint could not give this recipe back"):
            recipes.check_readable(recipe)
    recipes.check_readable(PLAIN)


def test_there_are_shipped_recipes():
    assert "integral_ibug_300w" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_survive_json(name):
    recipe = recipes.load(name)
    assert isinstance(recipe, Recipe)
    assert recipes.from_json(json.loads(json.dumps(recipes.to_json(recipe)))) == recipe


def test_json_keeps_what_was_set_and_names_the_system():
    changed = recipes.override(PLAIN, ["system.sigma=2.5", "data.crop.detector.down=0.1"])
    values = json.loads(json.dumps(recipes.to_json(changed)))
    assert values["system"]["kind"] == "StackedHourglass"
    assert values["system"]["optimizer"]["boundaries"] == [30, 50]
    assert recipes.from_json(values) == changed


@pytest.mark.parametrize(
    ("path", "key", "message"),
    [
        (("system", "optimizer"), "momentum", "'system.optimizer.momentum'"),
        (("data",), "shuffle", "'data.shuffle'"),
        ((), "notes", "'notes'"),
    ],
)
def test_unknown_keys_in_json_are_named(path, key, message):
    values = node = recipes.to_json(PLAIN)
    for part in path:
        node = node[part]
    node[key] = 1
    with pytest.raises(InputError, match=message):
        recipes.from_json(values)


def test_unknown_system_in_json_lists_the_known():
    values = recipes.to_json(PLAIN)
    values["system"]["kind"] = "Perceptron"
    with pytest.raises(InputError, match="'Perceptron'; this version has: StackedHourglass, "):
        recipes.from_json(values)


def test_load_by_path_and_by_name(tmp_path):
    shipped = ROOT / "configs" / "integral_ibug_300w.py"
    copy = tmp_path / "mine.py"
    copy.write_text(shipped.read_text())
    assert recipes.load(str(copy)) == recipes.load("integral_ibug_300w")
    assert recipes.load("integral_ibug_300w.py") == recipes.load("integral_ibug_300w")


@pytest.mark.parametrize("name", ["nowhere", "nowhere/mine.py", "/nowhere/mine.py"])
def test_a_missing_recipe_lists_the_shipped(name):
    with pytest.raises(InputError, match="one of: .*integral_ibug_300w"):
        recipes.load(name)


RECIPE = """from jaxalign.recipe import Data, Recipe
from jaxalign.systems import Integral
def config():
    {}
"""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return Recipe(Integral(), Data(trian='x'))", "line 4: TypeError: .*'trian'; mend the"),
        ("return Recipe(Integral(), Data(limit=-5))", "line 4: data.limit=-5: must be 0 or more$"),
        ("return Recipe(Integarl())", "line 4: NameError: .*Integarl"),
        ("return Recipe(system=3)", r"line 4: .*system=3: must be of type System"),
        ("return Integral()", r": config\(\) gives a Integral; it must give a Recipe"),
        ("config = 3", r": config\(\) gives a NoneType"),
        ("pass\nconfig = Recipe(Integral())", r": a recipe must define config\(\) -> Recipe"),
    ],
)
def test_typos_inside_config_name_their_line(tmp_path, line, message):
    path = tmp_path / "mine.py"
    path.write_text(RECIPE.format(line))
    with pytest.raises(InputError, match=message) as error:
        recipes.load(str(path))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_file_without_config_is_refused(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("answer = 42\n")
    with pytest.raises(InputError, match=r"empty.py: a recipe must define config\(\)"):
        recipes.load(str(path))


OLDER = json.loads((ROOT / "tests/helpers/recipes_0_1.json").read_text())  # as 0.1.0 stored them
THEN = {
    "fan_ibug_300w": ["system.channels=16", "system.size=64", "system.stacks=2"],
    "tab_light_ibug_300w": ["system.channels=16", "system.base_width=8", "system.size=64",
                            "system.stacks=1", "system.scbe_epochs=1", "system.balt_epochs=1",
                            "training.seed=0"],
    "pixelwise_light_ibug_300w": ["system.width=2", "system.top=8", "system.size=32",
                                  "system.discriminator=True", "system.alpha=100", "system.gamma=1",
                                  "system.balance=losses", "system.discriminator_norm=together"],
    "integral_ibug_300w": ["system.width=8", "system.size=32", "system.decoder_width=96",
                           "system.relations=0", "system.criterion=cross_entropy",
                           "data.augment.flip=0.5",
                           "system.optimizer.kind=adamw",
                           "system.optimizer.warmup=2", "training.init_from=''",
                           "training.eval_epochs=5", "training.save_epochs=5"],
}  # fmt: skip


@pytest.mark.parametrize("config", OLDER)
def test_recipes_of_older_checkpoints_mean_what_they_meant(config):
    settings = [*THEN[config], "training.batch=4", "data.holdout=0", "data.val=ibug_300w/test"]
    settings.append("data.threads=2")
    if "tab" not in config:
        settings.append("system.epochs=1")
    expected = recipes.override(recipes.load(config), settings)
    read = recipes.from_json(OLDER[config])
    assert recipes.idle(read) == recipes.idle(expected)
    assert read == expected


def test_what_a_file_defines_goes_to_other_processes(tmp_path):
    (tmp_path / "mine.py").write_text("DARK = 2\n\ndef dark(crop, rng):\n    return crop // DARK\n")
    module = recipes.import_file(tmp_path / "mine.py")
    sent = cloudpickle.dumps(module.dark)
    del sys.modules[module.__name__]  # as in a process that did not run the file
    assert cloudpickle.loads(sent)(10, None) == 5


@pytest.mark.parametrize("name", ["threads", "workers"])
def test_threads_and_workers(name):
    assert getattr(PLAIN.data, name) == 0
    with pytest.raises(InputError, match=f"data.{name}.*must be 0 or more"):
        recipes.override(PLAIN, [f"data.{name}=-1"])
