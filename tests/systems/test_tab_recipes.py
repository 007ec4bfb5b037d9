"""TAB's settings: the paper's recipes, older ones, and an SCBE of other labels."""

import pytest

from jaxalign import recipe as recipes
from jaxalign.augment import geometric
from jaxalign.datasets.w300_lp import BENCHMARK as W300_LP
from jaxalign.errors import InputError
from jaxalign.optimizers import Optimizer
from jaxalign.recipe import Recipe
from jaxalign.systems.hourglass import StackedHourglass
from jaxalign.systems.tab import TAB


def test_older_recipes_keep_the_momentum_that_they_were_trained_with():
    stored = recipes.to_json(Recipe(TAB(fusion=1)))
    assert recipes.from_json(stored).system.unet_momentum == 0.01
    del stored["system"]["unet_momentum"]
    assert recipes.from_json(stored).system == TAB(fusion=1, unet_momentum=0.1)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (TAB("aflw19", fusion=0, sigma=2.0), ["never trained on contour, bridge"]),
        (TAB("wflw98"), []),
        (TAB("wflw98", boundary_sigma=1.0, integer_labels=True),
         ["trained with boundary_sigma=1.0, here 1.5",
          "trained with integer_labels=True, here False"]),
        (TAB("ibug68", boundary_cut=3.0, mask_duplicates=True),
         ["trained with boundary_cut=3.0, here 0.0", "never trained on lbrow_lo, rbrow_lo"]),
        (TAB("wflw98", size=128, feature_reuse=False),
         ["trained with size=128, here 256", "trained with feature_reuse=False, here True"]),
        (StackedHourglass(), []),
    ],
)  # fmt: skip
def test_scbe_of_other_labels_or_fewer_curves_is_told(other, found):
    assert TAB("cofw29").unlike("scbe", other) == found


def test_settings_that_change_nothing_are_known():
    assert set(TAB(fusion=1).idle) == {"bridge"}
    assert {"feature_reuse", "intermediate"} <= set(TAB(stacks=1).idle)
    assert TAB().idle == {}


@pytest.mark.parametrize(
    ("name", "train", "box"),
    [
        ("tab_wflw", "wflw/train", "landmarks"),
        ("tab_ibug_300w", "ibug_300w/train", "landmarks"),
        ("tab_cofw", "cofw/train", "landmarks"),
        ("tab_aflw", "aflw/train", "dataset"),
        ("tab_w300_lp", "w300_lp:flips0-points3d/train", "landmarks"),
    ],
)
def test_recipes_are_the_paper_s(name, train, box):
    """HRNet's boxes + 25 %; the augmentations of the released code."""
    recipe = recipes.load(name)
    crop, augment = recipe.data.crop, recipe.data.augment
    assert (recipe.data.train, crop.box, getattr(crop, box).enlarge) == (train, box, 1.25)
    assert augment == geometric(
        rotation=60, rotation_p=0.6, scale=0.25, shift=0.0, flip=0.5,
        light="channel", brightness=25.0, gain=0.5, colour_p=0.5, dropout=0.5, dropout_size=0.02,
    )  # fmt: skip
    system, epochs = recipe.system, 60 if name == "tab_w300_lp" else 140
    assert (system.scbe_epochs, system.balt_epochs, recipe.training.batch) == (epochs, epochs, 16)
    steps = (30, 50) if name == "tab_w300_lp" else (80, 120)
    for optimizer in (system.scbe_optimizer, system.optimizer):
        assert optimizer == Optimizer("adam", 1e-4, "step", boundaries=steps)
    assert system == TAB(
        scheme=system.scheme, scbe_epochs=epochs, balt_epochs=epochs,
        scbe_optimizer=system.scbe_optimizer, optimizer=system.optimizer,
    )  # fmt: skip


def test_300w_lp_is_prepared_as_the_recipe_names_it():
    options = W300_LP.parse_options(["flips=0", "points=3d"])
    assert recipes.load("tab_w300_lp").data.train == f"w300_lp:{W300_LP.config(options)}/train"
    assert W300_LP.expected(options)["train"] == 61_225


def test_scbe_from_a_checkpoint_is_neither_trained_nor_pretrained():
    system = TAB(scbe_from="runs/tab_wflw")
    assert [phase.name for phase in system.phases] == ["balt"]
    assert system.taken == {"scbe": "runs/tab_wflw"} and system.pretrained == {}
    assert TAB().taken == {} and [phase.name for phase in TAB().phases] == ["scbe", "balt"]


@pytest.mark.parametrize(
    ("settings", "pretrained"),
    [
        ({"stem": "vgg"}, {"scbe/stem": "vgg16_bn"}),
        ({"stem": "resnet"}, {"scbe/stem": "resnet50"}),
        ({"stem": "base"}, {}),
        ({"stem": "vgg", "channels": 64}, {}),
    ],
)
def test_published_weights_fit_the_stem(settings, pretrained):
    assert TAB(**settings).pretrained == pretrained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 96}, "system.size=96: must be a positive multiple of 64"),
        ({"channels": 20}, "multiple of 8"),
        ({"stem": "resnet", "channels": 64}, "the stem resnet has 256"),
        ({"stem": "hrnet"}, "system.stem='hrnet': one of vgg, resnet, base"),
        ({"stacks": 3}, "system.stacks=3: one of 1, 2"),
        ({"features": "all"}, "one of ms, ss"),
        ({"fusion": 4}, "system.fusion=4: one of 0, 1, 2, 3"),
        ({"decoder": "dark"}, "one of quarter, argmax, soft"),
        ({"scbe_statistics": "none"}, "one of moving, frozen"),
        ({"base_width": 0}, "1 or more"),
        ({"bridge": "copied"}, "one of strided, pooled"),
        ({"unet_momentum": 0.0}, "above 0"),
    ],
)
def test_tab_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        TAB(**settings)
