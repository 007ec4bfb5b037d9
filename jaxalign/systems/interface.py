"""What the trainer, the evaluator and predictions know of a system: this, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import scheme_files, targets
from jaxalign.optimizers import Optimizer
from jaxalign.samples import DeviceBatch
from jaxalign.schemes import SCHEMES, Scheme
from jaxalign.settings import Settings


DTYPES = ("float32", "bfloat16")
IMAGE_MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of 0..1 RGB
IMAGE_STD = (0.229, 0.224, 0.225)


def normalise(images, dtype):
    """(B, H, W, 3) uint8 RGB -> the same, zero mean and unit deviation by ImageNet's figures."""
    images = images.astype(jnp.float32) / 255
    mean, deviation = (jnp.array(c).reshape(1, 1, 1, 3) for c in (IMAGE_MEAN, IMAGE_STD))
    return ((images - mean) / deviation).astype(dtype)


@dataclass(frozen=True)
class Objective:
    """One kind of training step: what is minimised, over which networks, by which optimiser.

    `loss(params, batch_stats, batch, key)` returns (values, parts, batch_stats): the loss of each
    face (B,), its named parts (B,) for the log, and the statistics after the step. It runs inside
    pmap, where the axis `layers.norm.AXIS` is bound. `trains` are networks, the top-level names of
    `params`, or paths to parts of them, such as "network/stage2".
    """

    name: str
    loss: Callable
    optimizer: Optimizer
    trains: tuple[str, ...]


@dataclass(frozen=True)
class Phase:
    """A stretch of training; its steps take the objectives of `cycle` in turn.

    `predicts`: points can be validated during it; not while only a part is trained that gives none.
    """

    name: str
    epochs: float
    cycle: tuple[Objective, ...]
    predicts: bool = True


@dataclass(frozen=True)
class System(Settings):
    """A landmark detector bound to a scheme. Subclasses are frozen dataclasses of its settings.

    Variables are {"params": {network: ...}, "batch_stats": {network: ...}}: the top-level names
    are the system's networks, and all names below are the checkpoint format.
    """

    where: ClassVar[str] = "system."
    outsides: ClassVar[tuple[str, ...]] = ("kept", "masked")  # choices of `outside`

    scheme: str = "ibug68"  # of SCHEMES, or a TOML file of one (scheme_files), which adds it
    size: int = 256  # side of the square crop it takes, pixels
    dtype: str = "float32"  # of the computations; parameters and statistics stay float32
    outside: str = "kept"  # points outside the crop: trained on as the system says, or masked

    def __post_init__(self):
        super().__post_init__()
        if self.scheme.endswith(scheme_files.ENDING):
            object.__setattr__(self, "scheme", scheme_files.registered(self.scheme))
        self.check_choices(scheme=SCHEMES, dtype=DTYPES, outside=self.outsides)
        self.check_above(0, *(f.name for f in fields(self) if f.name.endswith("epochs")))

    @property
    def points(self) -> Scheme:
        return SCHEMES[self.scheme]

    def counted(self, batch: DeviceBatch[jax.Array]) -> jax.Array:
        """(B, K) float32: 1 for the points that losses count, 0 for those that are not labelled
        and, masked, for those outside the crop."""
        counted = batch["labelled"]
        if self.outside == "masked":
            counted = counted & targets.inside(batch["points"], self.size)
        return counted.astype(jnp.float32)

    @property
    def note(self) -> str:
        """What everybody must know who reads its numbers; the commands print it."""
        return ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the crops that `predict` takes, ascending; training takes `size` alone."""
        return (self.size,)

    @property
    def predictors(self) -> tuple[str, ...]:
        """The networks that predict (others only help to train)."""
        return ("network",)

    @property
    def pretrained(self) -> dict[str, str]:
        """Subtree of the variables, as "network/backbone" -> the backbone (backbones.BACKBONES)
        whose published weights fit it."""
        return {}

    @property
    def taken(self) -> dict[str, str]:
        """Network -> the jaxalign checkpoint that its variables start from."""
        return {}

    def unlike(self, network: str, other: "System") -> list[str]:
        """What makes a network that is `taken` of a checkpoint of `other` another than one's own
        would be, though its arrays fit: in words, for a warning."""
        return []

    @property
    def phases(self) -> tuple[Phase, ...]:
        raise NotImplementedError

    def init(self, key: jax.Array) -> dict:
        """Random key -> variables. `jax.eval_shape(system.init, key)` runs nothing."""
        raise NotImplementedError

    def maps(self, variables: dict, images: jax.Array) -> Any:
        """(B, S, S, 3) uint8 RGB crops, S one of `sizes` -> what `decode` reads: the networks'
        landmark maps, or whatever tree of arrays they give."""
        raise NotImplementedError

    def decode(self, maps: Any) -> tuple[jax.Array, jax.Array]:
        """What `maps` gave -> points (B, K, 2) in crop pixels, scores (B, K)."""
        raise NotImplementedError

    def predict(self, variables: dict, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Crops as `maps` takes them -> points (B, K, 2) in crop pixels, scores (B, K)."""
        return self.decode(self.maps(variables, images))

    def shown(self, variables: dict, images: jax.Array) -> dict[str, jax.Array]:
        """Crops as above -> maps a report shows over the face: name -> (B, h, w, C) in 0..1. Those
        named schemes.BOUNDARIES have a channel a curve, and may have the curves' union last.
        """
        return {}


def init_networks(networks: dict, key: jax.Array, inputs: dict) -> dict:
    """Named linen modules and the inputs of each -> the variables of all; keys split by order."""
    variables = {"params": {}, "batch_stats": {}}
    keys = jax.random.split(key, len(networks))
    for (name, module), own_key in zip(networks.items(), keys, strict=True):
        made = module.init(own_key, *inputs[name], train=False)
        for kind in variables:
            variables[kind][name] = made.get(kind, {})
    return variables


def select(variables: dict, network: str) -> dict:
    """The variables of one network, as linen takes them."""
    return {kind: tree[network] for kind, tree in variables.items()}


def forward(
    module: nn.Module, network: str, variables: dict, *inputs, train: bool = False
) -> tuple[Any, dict]:
    """A network of the system on its inputs -> its outputs, and {network: its new statistics}, {}
    where it is not training."""
    own = select(variables, network)
    with jax.named_scope(network):
        if not train:
            return module.apply(own, *inputs, train=False), {}
        outputs, changed = module.apply(own, *inputs, train=True, mutable=["batch_stats"])
    return outputs, {network: changed["batch_stats"]}


@dataclass(frozen=True)
class SingleNetwork(System):
    """A system of one network, trained in one phase.

    Subclasses give `network`, a linen module from normalised images; `decode`, which reads what it
    returns; and `errors(outputs, batch)`, the loss of each face (B,) and its named parts.
    """

    epochs: float = 60
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer(schedule="step", boundaries=(30, 50))
    )

    @property
    def network(self) -> nn.Module:
        raise NotImplementedError

    def errors(self, outputs, batch: DeviceBatch[jax.Array]) -> tuple[jax.Array, dict]:
        raise NotImplementedError

    @property
    def phases(self):
        objective = Objective("network", self.loss, self.optimizer, trains=("network",))
        return (Phase("train", self.epochs, (objective,)),)

    def init(self, key):
        images = jnp.zeros((1, self.size, self.size, 3), self.dtype)
        return init_networks({"network": self.network}, key, {"network": (images,)})

    def maps(self, variables, images):
        images = normalise(images, self.dtype)
        return forward(self.network, "network", variables, images)[0]

    def loss(self, params, batch_stats, batch: DeviceBatch[jax.Array], key):
        variables = {"params": params, "batch_stats": batch_stats}
        images = normalise(batch["image"], self.dtype)
        outputs, stats = forward(self.network, "network", variables, images, train=True)
        return *self.errors(outputs, batch), stats
