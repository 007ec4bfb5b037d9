"""The interface of a system: all that training, evaluation and prediction know about it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
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
    """Images with zero mean and unit deviation by ImageNet's figures.

    Args:
        images: (B, H, W, 3) uint8 RGB.
        dtype: Type of the result.

    Returns:
        (B, H, W, 3).
    """
    mean, deviation = (np.reshape(c, (1, 1, 1, 3)) for c in (IMAGE_MEAN, IMAGE_STD))
    factor, offset = np.float32(1 / (255 * deviation)), np.float32(mean / deviation)
    return (images.astype(jnp.float32) * factor - offset).astype(dtype)


@dataclass(frozen=True)
class Objective:
    """One kind of training step: what is minimised, over which networks, by which optimiser.

    Attributes:
        name: Its name; the state of its optimiser is kept under it.
        loss: loss(params, batch_stats, batch, key) -> (values, parts, batch_stats): the loss of
            each face (B,), its named parts (B,) for the log, and the new statistics. It runs inside
            pmap, where the axis `layers.norm.AXIS` is bound.
        optimizer: Its optimiser.
        trains: Networks, the top-level names of `params`, or paths to parts of them, such as
            "network/stage2".
    """

    name: str
    loss: Callable
    optimizer: Optimizer
    trains: tuple[str, ...]


@dataclass(frozen=True)
class Phase:
    """A stretch of training; its steps take the objectives of `cycle` in turn.

    Attributes:
        name: Its name in the log.
        epochs: Its length.
        cycle: Its objectives.
        predicts: Points can be validated during it. False while the trained part gives no points.
    """

    name: str
    epochs: float
    cycle: tuple[Objective, ...]
    predicts: bool = True


@dataclass(frozen=True)
class System(Settings):
    """A landmark detector bound to a scheme. Subclasses are frozen dataclasses of its settings.

    Variables are {"params": {network: ...}, "batch_stats": {network: ...}}: the top-level names are
    the system's networks, and all names below are the checkpoint format. The class variable
    `outsides` lists the choices of `outside`.

    Attributes:
        scheme: A name in SCHEMES, or a TOML file of a scheme (scheme_files), which adds it.
        size: Side of the square crop that it takes, pixels.
        dtype: Type of the computations, one of DTYPES. Parameters and statistics stay float32.
        outside: Points outside the crop: "kept", trained on as the system says, or "masked".

    Example:
        >>> from jaxalign.systems import SYSTEMS
        >>> system = SYSTEMS["Integral"](scheme="wflw98", blocks=(1, 1, 1, 1))
        >>> variables = system.init(jax.random.key(0))
        >>> points, scores = system.predict(variables, jnp.zeros((2, 128, 128, 3), jnp.uint8))
        >>> points.shape, scores.shape
        ((2, 98, 2), (2, 98))
    """

    where: ClassVar[str] = "system."
    outsides: ClassVar[tuple[str, ...]] = ("kept", "masked")  # choices of `outside`

    scheme: str = "ibug68"
    size: int = 256
    dtype: str = "float32"
    outside: str = "kept"

    def __post_init__(self):
        super().__post_init__()
        if self.scheme.endswith(scheme_files.ENDING):
            object.__setattr__(self, "scheme", scheme_files.registered(self.scheme))
        self.check_choices(scheme=SCHEMES, dtype=DTYPES, outside=self.outsides)
        self.check_above(0, *(f.name for f in fields(self) if f.name.endswith("epochs")))

    @property
    def points(self) -> Scheme:
        """The scheme itself."""
        return SCHEMES[self.scheme]

    def counted(self, batch: DeviceBatch[jax.Array]) -> jax.Array:
        """The points that losses count.

        Args:
            batch: A training batch.

        Returns:
            (B, K) float32: 0 for points that are not labelled and, if `outside` is "masked", for
                those outside the crop; else 1.
        """
        counted = batch["labelled"]
        if self.outside == "masked":
            counted = counted & targets.inside(batch["points"], self.size)
        return counted.astype(jnp.float32)

    @property
    def note(self) -> str:
        """What every reader of its numbers must know; the commands print it."""
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
        """Subtrees of the variables that published weights fit.

        Such as "network/backbone" -> the name of the backbone in backbones.BACKBONES.
        """
        return {}

    @property
    def taken(self) -> dict[str, str]:
        """Network -> the jaxalign checkpoint that its variables start from."""
        return {}

    def unlike(self, network: str, other: "System") -> list[str]:
        """Differences that make a network taken from a checkpoint unlike one trained here.

        The arrays fit, but other settings changed what the network learned.

        Args:
            network: A key of `taken`.
            other: The checkpoint's system.

        Returns:
            Words for a warning; empty if there is no difference.
        """
        return []

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of training, in order."""
        raise NotImplementedError

    def init(self, key: jax.Array) -> dict:
        """Initial variables.

        Args:
            key: A random key.

        Returns:
            {"params": {network: ...}, "batch_stats": {network: ...}}.

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    def shapes(self) -> dict:
        """The shapes of the variables, for which no device is asked.

        Returns:
            What `init` returns, with jax.ShapeDtypeStruct for arrays.
        """
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def maps(self, variables: dict, images: jax.Array) -> Any:
        """What the networks give for crops, for `decode` to read.

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops, S one of `sizes`.

        Returns:
            Landmark maps, or any other tree of arrays.

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    def decode(self, maps: Any) -> tuple[jax.Array, jax.Array]:
        """Points from maps.

        Args:
            maps: What `maps` returned.

        Returns:
            Points (B, K, 2), crop pixels, and scores (B, K).

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    def predict(self, variables: dict, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Points from crops: `maps`, then `decode`.

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops, S one of `sizes`.

        Returns:
            Points (B, K, 2), crop pixels, and scores (B, K).
        """
        return self.decode(self.maps(variables, images))

    def shown(self, variables: dict, images: jax.Array) -> dict[str, jax.Array]:
        """Maps that a report shows over the face.

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops, S one of `sizes`.

        Returns:
            Name -> (B, h, w, C), 0 to 1. The maps named schemes.BOUNDARIES have one channel per
                curve, and may have the union of the curves last.
        """
        return {}


def init_networks(networks: dict, key: jax.Array, inputs: dict) -> dict:
    """Initial variables of several networks; each has its own part of the key, by order.

    Args:
        networks: Name -> linen module.
        key: A random key.
        inputs: Name -> the module's inputs.

    Returns:
        {"params": {network: ...}, "batch_stats": {network: ...}}.
    """
    variables = {"params": {}, "batch_stats": {}}
    keys = jax.random.split(key, len(networks))
    for (name, module), own_key in zip(networks.items(), keys, strict=True):
        made = module.init(own_key, *inputs[name], train=False)
        for kind in variables:
            variables[kind][name] = made.get(kind, {})
    return variables


def select(variables: dict, network: str) -> dict:
    """The variables of one network, as linen takes them.

    Args:
        variables: As `System.init` returns them.
        network: Its name.

    Returns:
        {"params": ..., "batch_stats": ...}.
    """
    return {kind: tree[network] for kind, tree in variables.items()}


def forward(
    module: nn.Module, network: str, variables: dict, *inputs, train: bool = False
) -> tuple[Any, dict]:
    """Runs one network of a system.

    Args:
        module: The network.
        network: Its name in the variables.
        variables: As `System.init` returns them.
        *inputs: Its inputs.
        train: Whether it is training.

    Returns:
        Its outputs, and {network: its new statistics} if it is training, else {}.
    """
    own = select(variables, network)
    with jax.named_scope(network):
        if not train:
            return module.apply(own, *inputs, train=False), {}
        outputs, changed = module.apply(own, *inputs, train=True, mutable=["batch_stats"])
    return outputs, {network: changed["batch_stats"]}


@dataclass(frozen=True)
class SingleNetwork(System):
    """A system of one network, trained in one phase.

    Subclasses give `network`, `decode`, which reads what the network returns, and `errors`.

    Attributes:
        epochs: Length of the training.
        optimizer: The optimiser.
    """

    epochs: float = 60
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer(schedule="step", boundaries=(30, 50))
    )

    @property
    def network(self) -> nn.Module:
        """The network, a linen module that takes normalised images."""
        raise NotImplementedError

    def errors(self, outputs, batch: DeviceBatch[jax.Array]) -> tuple[jax.Array, dict]:
        """The loss of a batch.

        Args:
            outputs: What the network returned.
            batch: A training batch.

        Returns:
            The loss of each face (B,), and its named parts (B,) for the log.

        Raises:
            NotImplementedError: In this base class.
        """
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
        """The loss of a training step, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        images = normalise(batch["image"], self.dtype)
        outputs, stats = forward(self.network, "network", variables, images, train=True)
        return *self.errors(outputs, batch), stats
