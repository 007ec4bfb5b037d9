"""TAB (Xie et al., "Think about boundary", 2020): landmark maps out of facial boundaries.

SCBE, stacked hourglasses on a pre-trained stem, predicts 15 boundary curves and their union. BALT,
a U-Net, turns these maps into landmark maps, with SCBE's features added at four scales. SCBE is
trained first, then BALT on the frozen SCBE; both with the mean squared error. Where the paper is
silent or garbled (Eq. 4), the choices are those of the first author's released code, with two
exceptions. Labels keep the sub-pixel place unless `integer_labels` is set. SCBE is taken at the
end of its phase; the release keeps the epoch with the best boundaries on the test faces. Fusions
other than 2, features of a single scale and the lower brows of 68 points have no released code:
they are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones.resnet import ResNet
from jaxalign.backbones.vgg import VGG16BNStem
from jaxalign.layers.conv import LECUN, convolution
from jaxalign.layers.hourglass import HPM, stacked
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import max_pool
from jaxalign.layers.unet import UNet
from jaxalign.optimizers import Optimizer
from jaxalign.schemes import BOUNDARIES, CURVES
from jaxalign.systems.interface import (
    Objective,
    Phase,
    System,
    forward,
    init_networks,
    normalise,
)


STRIDE = 4  # crop pixels per map pixel
MAPS = len(CURVES) + 1
LEVELS = 4  # of the hourglass and of the U-Net: strides 4, 8, 16, 32
PRETRAINED = {"vgg": "vgg16_bn", "resnet": "resnet50"}  # stem -> backbone with its weights
SCHEDULE = partial(Optimizer, schedule="step", boundaries=(80, 120))


class BaseStem(nn.Module):
    """FAN's stem as TAB has it, without its first ReLU and with max-pooling.

    (B, S, S, 3) -> [(B, S/4, S/4, 4 width)].

    Attributes:
        width: A quarter of the output's channels.
        kernel_init: Start of the convolutions.
        dtype: Type of the computations.
    """

    width: int = 64
    kernel_init: Callable = LECUN
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        settings = {"dtype": self.dtype, "kernel_init": self.kernel_init}
        block = partial(HPM, **settings)
        conv = nn.Conv(self.width, (7, 7), strides=2, padding=3, **settings, name="conv")
        x = batch_norm(train, "bn", dtype=self.dtype)(conv(images))
        x = max_pool(block(2 * self.width, name="block1")(x, train))
        x = block(2 * self.width, name="block2")(x, train)
        return [block(4 * self.width, name="block3")(x, train)]


class SCBE(nn.Module):
    """Self-calibrated boundary estimation (Section 3.1).

    (B, S, S, 3) normalised images -> maps (B, S/4, S/4, 16) of each stack, last best, and the
    boundary-aware features B_1, B_2, ....

    Attributes:
        stem: "vgg", "resnet" or "base".
        stacks: Number of hourglasses.
        channels: Channels of the features.
        multi_scale: The features are the four levels of the last hourglass; False: only those that
            the last maps are read off (Section 4.9).
        reuse: Add the stem's features to the second hourglass's input (the upper purple line of
            Fig. 4).
        kernel_init: Start of the convolutions, but of those of the stems "vgg" and "resnet".
        remat: Keep less for the gradients, see layers.hourglass.one_stack.
        dtype: Type of the computations.
    """

    stem: str
    stacks: int = 2
    channels: int = 256
    multi_scale: bool = True
    reuse: bool = True
    kernel_init: Callable = LECUN
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        width = self.channels // 4
        stem = {
            "vgg": partial(VGG16BNStem, width),
            "resnet": partial(ResNet, blocks=(3,)),
            "base": partial(BaseStem, width, kernel_init=self.kernel_init),
        }[self.stem]
        (x,) = stem(dtype=self.dtype, name="stem")(images, train)
        maps, levels, last = stacked(
            x, train, self.stacks, MAPS, self.dtype, self.kernel_init, self.reuse, self.remat
        )
        return maps, levels if self.multi_scale else [last]


class BALT(nn.Module):
    """Boundary-aware landmark transform (Section 3.2).

    Boundary maps (B, h, w, 16) and features B_1, ... at strides 1, 2, 4, 8 of the maps -> landmark
    maps (B, h, w, K). Level i of the encoder is fused with the features B_j, i - fusion < j <= i
    (Eq. 3, 4). A transition T is a convolution to the level's width, norm and ReLU, 1x1 if j = i.

    Attributes:
        points: K.
        width: Channels of the U-Net's first level.
        fusion: Number of levels whose features are fused.
        bridge: The transition from above, j < i. "strided": 3x3 with the stride between the levels,
            as the released code has it for fusion 2 and by the size that the paper prints.
            "pooled": MP(T(B_j)), as Eq. 4 prints it.
        shape_constraint: Give the decoder the fused features too (Eq. 5).
        momentum: The U-Net's batch norm's, as PyTorch counts it.
        kernel_init: Start of the convolutions.
        dtype: Type of the computations.
    """

    points: int
    width: int = 48
    fusion: int = 2
    bridge: str = "strided"
    shape_constraint: bool = True
    momentum: float = 0.01
    kernel_init: Callable = LECUN
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, boundaries, features, train: bool):
        conv = partial(convolution, dtype=self.dtype, kernel_init=self.kernel_init)
        features = dict(enumerate(features, 1))

        def transition(source, level):
            strided = self.bridge == "strided" and source < level
            kernel, channels = (3 if strided else 1), self.width * 2 ** (level - 1)
            layer = conv(
                channels,
                (kernel, kernel),
                strides=2 ** (level - source) if strided else 1,
                padding=kernel // 2,
                use_bias=False,
                name=f"transition{source}_{level}",
            )
            norm = batch_norm(train, f"transition{source}_{level}_bn", dtype=self.dtype)
            x = nn.relu(norm(layer(features[source])))
            for _ in range(0 if strided else level - source):
                x = max_pool(x)
            return x

        fused = [
            sum(transition(j, i) for j in range(i, max(0, i - self.fusion), -1) if j in features)
            for i in range(1, LEVELS + 1)
        ]
        unet = UNet(
            width=self.width,
            skips=self.shape_constraint,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            momentum=self.momentum,
            name="unet",
        )
        x = unet(boundaries, fused, train)
        return conv(self.points, (1, 1), name="maps")(x)


@dataclass(frozen=True)
class TAB(System):
    """SCBE and BALT, trained one after the other.

    Attributes:
        stem: "vgg", "resnet" or "base".
        stacks: Hourglasses of SCBE, 1 or 2.
        channels: Channels of SCBE's features, a multiple of 8.
        features: "ms" (multi-scale) or "ss" (single-scale).
        base_width: Channels of the U-Net's first level.
        fusion: 0 to 3, the levels whose features BALT fuses.
        bridge: Fusion across levels: "strided" or "pooled" (BALT).
        shape_constraint: Give the U-Net's decoder the fused features too.
        unet_momentum: Of the U-Net's batch norm, the share of the new batch as PyTorch counts it:
            0.01 as released; all other norms have 0.1.
        feature_reuse: Of two stacks, give the second the stem's features too (Section 3.1, (1)).
        intermediate: Of two stacks, supervise the first one's boundary maps too (Section 3.1, (2)).
        conv_deviation: Standard deviation of the normal that convolutions start from, but those of
            the stems "vgg" and "resnet"; 0: LeCun's.
        criterion: Loss of the landmark maps, one of losses.LOSSES; boundary maps are under the
            squared error.
        boundary_sigma: Width of the boundaries, map pixels.
        boundary_cut: Above 0, sigmas from a boundary at which its map ends.
        mask_duplicates: Leave out curves that repeat another.
        sigma: Width of the landmarks' Gaussians, map pixels.
        integer_labels: Labels on whole map pixels, as released.
        decoder: One of decoding.DECODERS.
        remat: Train SCBE with less memory, in more time: gradients compute each hourglass again.
        scbe_from: A checkpoint of this system to take SCBE from, which then is not trained.
        scbe_statistics: Of SCBE's batch norm while BALT is trained: "moving" (as released) or
            "frozen".
        scbe_epochs: Length of SCBE's training.
        balt_epochs: Length of BALT's training.
        scbe_optimizer: The optimiser of SCBE.
        optimizer: The optimiser of BALT.
    """

    stem: str = "vgg"
    stacks: int = 2
    channels: int = 256
    features: str = "ms"
    base_width: int = 48
    fusion: int = 2
    bridge: str = "strided"
    shape_constraint: bool = True
    unet_momentum: float = 0.01
    feature_reuse: bool = True
    intermediate: bool = True
    conv_deviation: float = 0.001
    criterion: str = "mse"
    boundary_sigma: float = 1.5
    boundary_cut: float = 0.0
    mask_duplicates: bool = False
    sigma: float = 1.5
    integer_labels: bool = False
    decoder: str = "quarter"
    remat: bool = False
    scbe_from: str = ""
    scbe_statistics: str = "moving"
    scbe_epochs: float = 140
    balt_epochs: float = 140
    scbe_optimizer: Optimizer = field(default_factory=SCHEDULE)
    optimizer: Optimizer = field(default_factory=SCHEDULE)

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=STRIDE * 2**LEVELS, channels=8)
        if self.stem == "resnet" and self.channels != 256:
            self.refuse("channels", "the stem resnet has 256")
        self.check_least(base_width=1, conv_deviation=0, boundary_cut=0)
        self.check_above(0, "sigma", "boundary_sigma", "unet_momentum")
        self.check_shares("unet_momentum")
        self.check_choices(
            stem=(*PRETRAINED, "base"),
            stacks=(1, 2),
            features=("ms", "ss"),
            fusion=(0, 1, 2, 3),
            bridge=("strided", "pooled"),
            criterion=losses.LOSSES,
            decoder=decoding.DECODERS,
            scbe_statistics=("moving", "frozen"),
        )

    @property
    def idle(self):
        found = losses.idle_decoder(self.criterion) | losses.idle_maps(self.criterion, "sigma")
        if self.fusion < 2:
            found["bridge"] = f"fusion={self.fusion} adds no features of other levels"
        if self.stacks == 1:
            found |= dict.fromkeys(("feature_reuse", "intermediate"), "stacks=1 is one hourglass")
        if self.scbe_from:
            names = "scbe_epochs", "scbe_optimizer", "intermediate"
            found |= dict.fromkeys(names, f"SCBE is taken from {self.scbe_from}")
        return found

    @classmethod
    def from_older(cls, values):
        """Before this setting the U-Net's batch norm had the momentum of all others."""
        return {"unet_momentum": 0.1} | values

    @property
    def predictors(self):
        return ("scbe", "balt")

    @property
    def pretrained(self):
        fits = self.stem in PRETRAINED and self.channels == 256 and not self.scbe_from
        return {"scbe/stem": PRETRAINED[self.stem]} if fits else {}

    @property
    def taken(self):
        return {"scbe": self.scbe_from} if self.scbe_from else {}

    def unlike(self, network, other):
        """How SCBE was trained differently, and the curves that none of its labels had."""
        if not isinstance(other, TAB):
            return []
        names = "size", "feature_reuse", "boundary_sigma", "boundary_cut", "integer_labels"
        pairs = {name: (getattr(other, name), getattr(self, name)) for name in names}
        found = [f"trained with {name}={theirs}, here {own}"
                 for name, (theirs, own) in pairs.items() if theirs != own]  # fmt: skip
        weights = targets.boundary_weights(other.points, other.mask_duplicates)
        missing = [name for name, weight in zip(CURVES, weights, strict=False) if not weight]
        return found + ([f"never trained on {', '.join(missing)}"] if missing else [])

    @property
    def kernel_init(self):
        """Start of the convolutions, but of those of the stems "vgg" and "resnet"."""
        return nn.initializers.normal(self.conv_deviation) if self.conv_deviation else LECUN

    @property
    def scbe(self):
        """The boundary network."""
        return SCBE(
            stem=self.stem,
            stacks=self.stacks,
            channels=self.channels,
            multi_scale=self.features == "ms",
            reuse=self.feature_reuse,
            kernel_init=self.kernel_init,
            remat=self.remat,
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def balt(self):
        """The landmark network."""
        return BALT(
            points=self.points.num_points,
            width=self.base_width,
            fusion=self.fusion,
            bridge=self.bridge,
            shape_constraint=self.shape_constraint,
            momentum=self.unet_momentum,
            kernel_init=self.kernel_init,
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def phases(self):
        scbe = Objective("scbe", self.scbe_loss, self.scbe_optimizer, trains=("scbe",))
        balt = Objective("balt", self.balt_loss, self.optimizer, trains=("balt",))
        second = Phase("balt", self.balt_epochs, (balt,))
        first = Phase("scbe", self.scbe_epochs, (scbe,), predicts=False)
        return (second,) if self.scbe_from else (first, second)

    def init(self, key):
        images = jnp.zeros((1, self.size, self.size, 3), self.dtype)
        side = self.size // STRIDE
        boundaries = jnp.zeros((1, side, side, MAPS), self.dtype)
        sides = [side >> i for i in range(LEVELS if self.features == "ms" else 1)]
        features = [jnp.zeros((1, n, n, self.channels), self.dtype) for n in sides]
        networks = {"scbe": self.scbe, "balt": self.balt}
        return init_networks(networks, key, {"scbe": (images,), "balt": (boundaries, features)})

    def estimate(self, variables, images, train=False):
        """Runs SCBE.

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops.
            train: Whether it is training.

        Returns:
            Its outputs (boundary maps of each stack, features), and its new statistics if it is
                training.
        """
        return forward(self.scbe, "scbe", variables, normalise(images, self.dtype), train=train)

    def maps(self, variables, images):
        (boundaries, features), _ = self.estimate(variables, images)
        return forward(self.balt, "balt", variables, boundaries[-1], features)[0]

    def decode(self, maps):
        logits = losses.LOSSES[self.criterion].logits
        points, score = decoding.read(maps, self.decoder, logits)
        return geometry.from_map(points, STRIDE), score

    def shown(self, variables, images):
        (boundaries, _), _ = self.estimate(variables, images)
        return {BOUNDARIES: jnp.clip(boundaries[-1].astype(jnp.float32), 0, 1)}

    def boundary_features(self, variables, images):
        """The finest boundary-aware features: the last hourglass's output (Fig. 5).

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops.

        Returns:
            (B, h, w, C).
        """
        (_, features), _ = self.estimate(variables, images)
        return features[0]

    def boundary_mse(self, variables, batch):
        """Mean squared error of the last stack's boundary maps (Table 8).

        Args:
            variables: As `init` returns them.
            batch: A batch.

        Returns:
            (B,).
        """
        (boundaries, _), _ = self.estimate(variables, batch["image"])
        return self._boundary_errors(boundaries[-1:], batch)[0]

    def _boundary_errors(self, boundaries, batch):
        """Boundary maps of each stack -> mean squared error (B,) of each."""
        target = targets.boundary_maps(
            batch["points"],
            self.points,
            STRIDE,
            self.size,
            sigma=self.boundary_sigma,
            cut=self.boundary_cut,
            integer=self.integer_labels,
        )
        weights = targets.boundary_weights(self.points, self.mask_duplicates)[None]
        weights = weights * targets.curves_labelled(batch["labelled"], self.points)
        errors = [losses.mse_maps(maps, target) for maps in boundaries]
        return [losses.weighted_mean(error, weights, axis=-1) for error in errors]

    def scbe_loss(self, params, batch_stats, batch, key):
        """The loss of a step of SCBE, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        (boundaries, _), changed = self.estimate(variables, batch["image"], train=True)
        per_stack = self._boundary_errors(boundaries, batch)
        parts = {f"stack{i}": value for i, value in enumerate(per_stack, 1)}
        return sum(per_stack if self.intermediate else per_stack[-1:]), parts, changed

    def balt_loss(self, params, batch_stats, batch, key):
        """The loss of a step of BALT, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        moving = self.scbe_statistics == "moving"
        (boundaries, features), stats = self.estimate(variables, batch["image"], train=moving)
        maps, changed = forward(self.balt, "balt", variables, boundaries[-1], features, train=True)
        points = batch["points"]
        if self.integer_labels:
            points = geometry.from_map(targets.whole_pixels(points, STRIDE), STRIDE)
        label = losses.Label(
            points=geometry.to_map(points, STRIDE),
            maps=targets.gaussian_maps(points, STRIDE, self.size, self.sigma, cut=3),
        )
        errors = losses.LOSSES[self.criterion].call(maps, label)
        values = losses.weighted_mean(errors, self.counted(batch), axis=-1)
        return values, {"maps": values}, stats | changed
