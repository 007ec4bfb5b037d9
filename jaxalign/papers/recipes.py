"""The training of the papers' recipes beside the papers' own words: `jaxalign paper --recipes`.

Each recipe of a paper is one entry of STATED.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jaxalign import recipe as recipes
from jaxalign.augment import Augment
from jaxalign.errors import InputError
from jaxalign.optimizers import Optimizer
from jaxalign.pipeline import Crop
from jaxalign.recipe import Recipe
from jaxalign.sources import benchmark_of, photos_of


COLOUR = ("brightness", "gain", "contrast", "saturation")


@dataclass(frozen=True)
class Stated:
    """The training of a recipe, as a paper or its released code states it.

    `says`: row -> value, in the form that `training` gives for ours. Unstated values are left out.
    `why`: row -> why ours differs, or, for an unstated value, where ours is from.
    """

    says: dict[str, str]
    why: dict[str, str] = field(default_factory=dict)


ENDS = "the papers' test sets choose no checkpoint here"
HRNET = "those of HRNet for faces, Wang et al., 2020"


def _gaussian_vector(faces: str, crop: str, why: str = "") -> Stated:
    return Stated(
        {
            "input": "256 px",
            "optimiser": "adam",
            "faces": faces,
            "crop": crop,
            "augmentation": "rotation 30 (p 0.5), scale 0.25, flip 0.5, occlusion",
        },
        {
            "optimiser": f"rate and schedule are {HRNET}",
            "batch": HRNET,
            "epochs": HRNET,
            "validation": ENDS,
            "augmentation": "how much is covered, and how often, is not said",
        }
        | ({"faces": why} if why else {}),
    )


def _tab(faces: str, crop: str, epochs: str = "140", steps: str = "80, 120", **why: str) -> Stated:
    return Stated(
        {
            "input": "256 px",
            "optimiser": f"adam 0.0001, x 0.1 at {steps}",
            "batch": "16",
            "epochs": f"{epochs} + {epochs}",
            "faces": faces,
            "crop": crop,
            "augmentation": "rotation 60 (p 0.6), scale 0.25, flip 0.5, dropout 0.5, brightness",
        },
        {
            "validation": "released: the best on the test set, but " + ENDS,
            "augmentation": "of brightness and of dropped cells as released",
        }
        | why,
    )


def _propagationnet(faces: str) -> Stated:
    return Stated(
        {
            "input": "256 px",
            "optimiser": "adam 0.0001",
            "faces": faces,
            "augmentation": "rotation 30, scale 0.15, shift 0.09766, flip 0.5",
        },
        {
            "optimiser": "of the schedule nothing is said: a choice",
            "batch": "HRNet's",
            "epochs": "a choice",
            "validation": ENDS,
            "crop": "as most take WFLW's boxes",
        },
    )


STATED: dict[str, dict[str, Stated]] = {
    "gaussian_vector": {
        f"gv_{backbone}_{data}": _gaussian_vector(*stated)
        for backbone in ("resnet50", "hrnet", "mobilenetv3")
        for data, stated in {
            "ibug_300w": ("3,148", "landmarks box x 1"),
            "cofw": ("1,354", "dataset box x 1.1", "a slip of the paper: COFW has 1,345"),
            "wflw": ("7,500", "dataset box x 1.25"),
            "jd_landmark": ("11,393", "dataset box x 1"),
        }.items()
    },
    "propagationnet": {
        "propnet_wflw": _propagationnet("7,500"),
        "propnet_ibug_300w": _propagationnet("3,148"),
        "propnet_cofw": _propagationnet("1,345"),
    },
    "tab": {
        "tab_wflw": _tab("7,500", "landmarks box x 1.25"),
        "tab_ibug_300w": _tab("3,148", "landmarks box x 1.25"),
        "tab_cofw": _tab("1,345", "landmarks box x 1.25"),
        "tab_aflw": _tab("20,000", "dataset box x 1.25"),
        "tab_w300_lp": _tab("61,225", "landmarks box x 1.25", "60", "30, 50"),
    },
    "pixelwise": {
        "pixelwise_ibug_300w": Stated(
            {
                "input": "224 px",
                "optimiser": "adam",
                "faces": "3,148",
                "validation": "ibug_300w/test, the best by the loss counts, patience 10",
                "crop": "landmarks box x 1.3, about the points' mean",
                "augmentation": "rotation 30, shrink 0.4, of crop",
            },
            {
                "optimiser": "the rate as released",
                "batch": "as released",
                "epochs": "at most so many",
                "faces": "a tenth is held out, for the test faces stop nothing here",
                "validation": "of held-out faces: " + ENDS,
            },
        )
    },
    "attention_cropping": {
        "attention_ibug_300w": Stated(
            {},
            dict.fromkeys(
                ("input", "optimiser", "batch", "epochs", "faces", "validation", "crop",
                 "augmentation"),
                "the supplement tells none",
            ),
        )
    },
}  # fmt: skip


def training(recipe: Recipe) -> dict[str, str]:
    """The training of a recipe, row -> value.

    The rows are input, optimiser, batch, epochs, faces, validation, crop and augmentation. If
    several objectives take turns, each is named.
    """
    data, phases = recipe.data, recipe.system.phases
    rates = dict.fromkeys(_rate(o.optimizer) for phase in phases for o in phase.cycle)
    return {
        "input": f"{recipe.system.size} px",
        "optimiser": "; ".join(rates),
        "batch": str(recipe.training.batch),
        "epochs": " + ".join(f"{phase.epochs:g}" for phase in phases),
        "faces": f"{faces(recipe):,}",
        "validation": _validation(recipe),
        "crop": _crop(data.crop),
        "augmentation": ", ".join(_augmentation(data.augment)) or "none",
    }


def faces(recipe: Recipe) -> int:
    """How many faces the recipe trains on if its benchmarks are complete.

    Raises InputError where that is not known.
    """
    from jaxalign.datasets import BENCHMARKS
    from jaxalign.datasets.attributes import with_option

    data, total = recipe.data, 0
    held_out = 0 if data.val else data.holdout
    for spec in data.trained_on:
        dataset, _, split = spec.partition("/")
        counts = {}
        if benchmark := BENCHMARKS.get(benchmark_of(dataset)):
            options = with_option(benchmark).options_of(dataset.partition(":")[2])
            counts = benchmark.expected(options)
        if split not in counts:
            raise InputError(
                f"data.train={spec}: how many faces it has is not known here; say it by --faces"
            )
        divided = photos_of(spec) == photos_of(data.trained_on[0])
        count = round(counts[split] * (1 - held_out)) if divided else counts[split]
        total += min(count, data.limit or count)
    return total


def text(papers: Iterable[str] = ()) -> str:
    """Describe the recipes of these papers, by default of all papers.

    It has each row of ours, and below it the paper's if that differs, with the reason.
    """
    blocks = []
    for paper in papers or STATED:
        for name, stated in STATED[paper].items():
            lines = [name]
            for row, ours in training(recipes.load(name)).items():
                same = stated.says.get(row) == ours
                lines.append(f"  {row:<14}{ours}{'  = the paper' if same else ''}")
                if not same:
                    told = stated.says.get(row, "unstated")
                    lines.append(f"{'':<16}the paper: {told} ({stated.why[row]})")
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _rate(optimizer: Optimizer):
    parts = [f"{optimizer.kind} {optimizer.rate:g}"]
    if optimizer.schedule == "step":
        boundaries = ", ".join(f"{boundary:g}" for boundary in optimizer.boundaries)
        parts.append(f"x {optimizer.decay:g} at {boundaries}")
    elif optimizer.schedule != "constant":
        parts.append(optimizer.schedule)
    for name in ("warmup", "weight_decay", "clip"):
        if value := getattr(optimizer, name):
            parts.append(f"{name.replace('_', ' ')} {value:g}")
    return ", ".join(parts)


def _validation(recipe):
    data, training = recipe.data, recipe.training
    if not (data.val or data.holdout):
        return "none, the last counts"
    of = data.val or f"{100 * data.holdout:g} % held out"
    judge = " by the loss" if training.judge == "loss" else ""
    patience = f", patience {training.patience}" if training.patience else ""
    return f"{of}, the {training.keep}{judge} counts{patience}"


def _crop(crop: Crop):
    rule = getattr(crop, crop.box)
    parts = [f"{crop.box} box x {rule.enlarge:g}"]
    if rule.down:
        parts.append(f"{rule.down:g} down")
    if crop.centroid:
        parts.append("about the points' mean")
    return ", ".join(parts)


def _augmentation(augment: Augment) -> Iterator[str]:
    """Each augmentation that is on: its strength, and its probability if that is below 1."""
    chances = {"rotation": "rotation_p"} | dict.fromkeys(COLOUR, "colour_p")
    for one in dataclasses.fields(augment):
        value = getattr(augment, one.name)
        if one.name in {*augment.idle, *chances.values()} or value in (0, (), "photo"):
            continue
        chance = getattr(augment, chances[one.name]) if one.name in chances else 1.0
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        yield f"{one.name.replace('_', ' ')} {shown}" + (f" (p {chance:g})" if chance < 1 else "")
