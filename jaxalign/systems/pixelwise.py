"""Pixel-wise classification and what it is compared with (Hsu et al., "A detailed look at CNN-based
approaches in facial landmark detection", arXiv 2005.08649).

One VGG19-like network on grey images, read in five ways: `direct` regression of the points, a
softmax over each landmark's map (`distribution`), regression of heatmaps, and a class for every
pixel, the landmark on it or background (`pwc`), to which `hybrid` adds the distance of the points.
`dan` is the sixth, a cascade of small networks (Kowalski et al., 2017). A discriminator may judge
whether the points look like a face, and the detector then tries to please it.

The released code takes the points of the hybrid and of the discriminator by argmax, through which
no gradient passes, and its discriminator ascends its own loss. Here the points are means under
their maps and the signs are the paper's; `coordinates` and `sign` give the released ways.
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones.vgg19 import VGG19, ConvBlock
from jaxalign.layers import warping
from jaxalign.layers.facts import mean_shape
from jaxalign.layers.hourglass import upsample
from jaxalign.layers.norm import batch_norm
from jaxalign.layers.pooling import average_pool, max_pool
from jaxalign.layers.transposed import TransposedConv
from jaxalign.optimizers import Optimizer
from jaxalign.systems.interface import Objective, Phase, System, forward, init_networks


REGRESSION, HEATMAPS = ("direct", "dan"), ("distribution", "heatmap_regression", "pwc", "hybrid")
CUT = 4  # sigmas from a point at which its Gaussian ends: 12 pixels
NEVER = -1e9  # the logit of a class that no pixel takes


class DenseBlock(nn.Module):
    """Dense layer, batch norm, ReLU."""

    channels: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(self.channels, dtype=self.dtype, name="dense")(x)
        return nn.relu(batch_norm(train, "bn", dtype=self.dtype)(x))


class Direct(nn.Module):
    """(B, S, S, 1) -> points (B, K, 2) in crop pixels, regressed from the crop's centre in eighths
    of its side (a choice: in pixels, short trainings do not leave the mean shape)."""

    points: int
    width: int = 64
    top: int = 2048
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        x = VGG19(self.width, self.top, self.dtype, name="backbone")(images, train)[-1]
        x = x.reshape(x.shape[0], -1)
        for i, channels in enumerate((1024, 256), 1):
            x = DenseBlock(channels, self.dtype, name=f"fc{i}")(x, train)
        x = nn.Dense(2 * self.points, dtype=self.dtype, name="points")(x).astype(jnp.float32)
        side = images.shape[1]
        return x.reshape(-1, self.points, 2) * side / 8 + (side - 1) / 2


class Heatmaps(nn.Module):
    """(B, S, S, 1) -> logits (B, S, S, maps), decoded with two shortcuts from the backbone.

    All maps but the last start from the probability of one pixel of the map, as classes of points
    have it; from equal ones the squared error falls to background everywhere and stays there. (The
    softmax of `distribution` does not see it.)
    """

    maps: int
    width: int = 64
    top: int = 2048
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        features = VGG19(self.width, self.top, self.dtype, name="backbone")(images, train)
        low, middle, x = features
        up = partial(TransposedConv, dtype=self.dtype)
        x = nn.relu(nn.Conv(self.maps, (1, 1), dtype=self.dtype, name="conv8")(x))
        x = up(middle.shape[-1], 2, name="up1")(x) + middle
        x = up(low.shape[-1], 2, name="up2")(x) + low

        def frequencies(key, shape):
            pixels = images.shape[1] * images.shape[2]
            return jnp.full(shape, -jnp.log(pixels)).at[-1].set(0)

        return up(self.maps, 8, bias_init=frequencies, name="up3")(x)


class DANStage(nn.Module):
    """(B, h, h, C) -> corrections (B, K, 2) in pixels of its frame, features (B, 256)."""

    points: int
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        for stage, factor in enumerate((1, 2, 4, 8), 1):
            for i in (1, 2):
                block = ConvBlock(factor * self.width, 3, self.dtype, name=f"conv{stage}_{i}")
                x = block(x, train)
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        x = DenseBlock(256, self.dtype, name="fc1")(x, train)
        moved = nn.Dense(2 * self.points, dtype=self.dtype, name="points")(x)
        return moved.astype(jnp.float32).reshape(-1, self.points, 2), x


class DAN(nn.Module):
    """(B, S, S, 1) -> points (B, K, 2) in crop pixels of every stage, last best.

    Works at half the side. The first stage starts from the mean shape; each later one sees the
    image brought into the mean shape's pose, 1 / (1 + distance to the nearest point) and an image
    made of the features before it. The mean shape is that of the training faces. Between stages
    gradients pass through the points and the features, not through the pose.
    """

    points: int
    stages: int = 3
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        images = average_pool(images)
        side, hidden, found = images.shape[1], None, []
        mean = geometry.to_map(mean_shape(self, self.points) * 2 * side - 0.5, 2)
        shape = jnp.broadcast_to(mean, (images.shape[0], *mean.shape))
        for i in range(1, self.stages + 1):
            if i == 1:
                x = images
                pose = back = jnp.broadcast_to(jnp.eye(2, 3), (images.shape[0], 2, 3))
            else:
                pose = warping.similarity(jax.lax.stop_gradient(shape), mean)
                back = warping.invert(pose)
                near = _nearness(jax.lax.stop_gradient(warping.transform(pose, shape)), side)
                seen = nn.Dense((side // 2) ** 2, dtype=self.dtype, name=f"image{i}")(hidden)
                seen = upsample(nn.relu(seen).reshape(-1, side // 2, side // 2, 1))
                x = jnp.concatenate([warping.warp(images, back), near.astype(x.dtype), seen], -1)
            stage = DANStage(self.points, self.width, self.dtype, name=f"stage{i}")
            moved, hidden = stage(x, train)
            shape = warping.transform(back, warping.transform(pose, shape) + moved)
            found.append(geometry.from_map(shape, 2))
        return found


def _nearness(points, side):
    """(B, K, 2) map pixels -> (B, side, side, 1): 1 / (1 + distance to the nearest point)."""
    grid = jnp.arange(side, dtype=points.dtype)
    dx = grid[None, None, :, None] - points[:, None, None, :, 0]
    dy = grid[None, :, None, None] - points[:, None, None, :, 1]
    return 1 / (1 + jnp.sqrt((dx**2 + dy**2).min(-1, keepdims=True)))


class Discriminator(nn.Module):
    """Points (B, K, 2), shares of the crop's side -> logits (B,): they are of a face."""

    @nn.compact
    def __call__(self, points, train: bool):
        x = points.reshape(points.shape[0], -1)
        for i in (1, 2):
            x = DenseBlock(128, name=f"fc{i}")(x, train)
        return nn.Dense(1, name="fc3")(x)[:, 0]


@dataclass(frozen=True)
class PixelWise(System):
    """`method`: direct, dan, distribution, heatmap_regression, pwc or hybrid; `discriminator`: with
    the adversarial loss. `width`, `top`: channels of the first stage and of the last.

    `alpha`, `beta`: weights of the mean cross-entropy of the pixels, also in `pwc`, and of the
    distance in `hybrid` (Eq. 3); the adversarial loss has the weight 1.
    `coordinates` in losses: soft (mean place under a landmark's map, of what is decoded) or argmax;
    `sign` of the discriminator's loss: paper or released. `sigma` of the Gaussians, crop pixels;
    `peak`: they sum to 1 (sum1) or are 1 at the point (peak1; of heatmap_regression only, the
    softmax is compared with sums of 1); `criterion` of distribution: one of losses.LOSSES that
    takes logits; `integer_labels`: around whole pixels, as released. Classes
    and the `decoder` know whole pixels only. `stages` of dan. The discriminator is trained one
    step, then the detector two; `epochs` are the detector's. Points of direct and dan have the
    score 1. `outside` kept: direct, dan and the distances of hybrid take points outside the crop as
    they are, maps the part of the Gaussian that reaches in, and pixels have no such class.
    """

    size: int = 224
    method: str = "hybrid"
    discriminator: bool = True
    width: int = 64
    top: int = 2048
    stages: int = 3
    alpha: float = 1.0
    beta: float = 0.25
    coordinates: str = "soft"
    sign: str = "paper"
    criterion: str = "cross_entropy"
    sigma: float = 3.0
    peak: str = "sum1"
    integer_labels: bool = False
    decoder: str = "argmax"
    epochs: float = 400
    optimizer: Optimizer = field(default_factory=Optimizer)
    regression_optimizer: Optimizer = field(default_factory=lambda: Optimizer(rate=1e-3))
    discriminator_optimizer: Optimizer = field(default_factory=Optimizer)

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32, width=1, top=1, stages=1)
        self.check_choices(
            method=(*REGRESSION, *HEATMAPS),
            coordinates=("soft", "argmax"),
            sign=("paper", "released"),
            peak=("sum1", "peak1"),
            criterion=[name for name, loss in losses.LOSSES.items() if loss.logits],
            decoder=decoding.DECODERS,
        )
        self.check_above(0, "sigma")
        self.check_least(alpha=0, beta=0)

    @property
    def idle(self):
        def unless(methods, *names):
            why = f"method={self.method} is trained without"
            return {} if self.method in methods else dict.fromkeys(names, why)

        found = unless(("pwc", "hybrid"), "alpha") | unless(("hybrid",), "beta")
        found |= unless(("dan",), "stages") | unless(("distribution",), "criterion")
        found |= unless(("heatmap_regression",), "peak")
        found |= unless(("distribution", "heatmap_regression"), "sigma", "integer_labels")
        found |= unless(HEATMAPS, "decoder")
        if self.method == "dan":
            found["top"] = "method=dan has networks of its own"
        if self.method in REGRESSION:
            found["optimizer"] = f"method={self.method} is trained by regression_optimizer"
        else:
            found["regression_optimizer"] = f"method={self.method} is trained by optimizer"
        if not self.discriminator:
            names = "sign", "discriminator_optimizer"
            found |= dict.fromkeys(names, "there is no discriminator")
        if self.method in REGRESSION or not (self.discriminator or self.method == "hybrid"):
            found["coordinates"] = "no loss takes points off maps"
        return found

    @property
    def network(self):
        points, build = (
            self.points.num_points,
            {"width": self.width, "dtype": jnp.dtype(self.dtype)},
        )
        if self.method == "dan":
            return DAN(points=points, stages=self.stages, **build)
        if self.method == "direct":
            return Direct(points=points, top=self.top, **build)
        maps = points + (self.method != "distribution")
        return Heatmaps(maps=maps, top=self.top, **build)

    @property
    def phases(self):
        chosen = self.regression_optimizer if self.method in REGRESSION else self.optimizer
        detector = Objective("detector", self.detector_loss, chosen, trains=("network",))
        if not self.discriminator:
            return (Phase("train", self.epochs, (detector,)),)
        judge = Objective(
            "discriminator",
            self.discriminator_loss,
            self.discriminator_optimizer,
            trains=("discriminator",),
        )
        return (Phase("train", 1.5 * self.epochs, (judge, detector, detector)),)

    def init(self, key):
        networks: dict[str, nn.Module] = {"network": self.network}
        inputs = {"network": (jnp.zeros((1, self.size, self.size, 1), self.dtype),)}
        if self.discriminator:
            networks["discriminator"] = Discriminator()
            inputs["discriminator"] = (jnp.zeros((1, self.points.num_points, 2)),)
        return init_networks(networks, key, inputs)

    def maps(self, variables, images):
        return self._detect(variables, images)[0]

    def decode(self, maps):
        if self.method in REGRESSION:
            points = self._coordinates(maps)
            return points, jnp.ones(points.shape[:2])
        shares = self._shares(maps)[..., : self.points.num_points]
        return decoding.read(shares, self.decoder)

    def shown(self, variables, images):
        """Of heatmaps the highest over the landmarks, its peak 1."""
        if self.method in REGRESSION:
            return {}
        outputs, _ = self._detect(variables, images)
        highest = self._shares(outputs)[..., : self.points.num_points].max(-1, keepdims=True)
        return {"landmarks": highest / highest.max((1, 2, 3), keepdims=True)}

    def detector_loss(self, params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, stats = self._detect(variables, batch["image"], train=True)
        values, parts = self._errors(outputs, batch)
        if self.discriminator:
            looks, _ = self._judge(variables, self._whole(self._coordinates(outputs), batch))
            parts["face"] = jax.nn.softplus(-looks)  # -log D
            values += parts["face"]
        return values, parts, stats

    def discriminator_loss(self, params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, _ = self._detect(variables, batch["image"], train=True)
        found = jax.lax.stop_gradient(self._coordinates(outputs))
        found, points = (self._whole(shape, batch) for shape in (found, batch["points"]))
        looks, stats = self._judge(variables, jnp.concatenate([points, found]), train=True)
        true, false = jnp.split(looks, 2)
        parts = {"true": jax.nn.softplus(-true), "found": jax.nn.softplus(false)}
        values = parts["true"] + parts["found"]
        return values if self.sign == "paper" else -values, parts, stats

    def _detect(self, variables, images, train=False):
        """(B, S, S, 3) uint8 crops -> the network's outputs, its new statistics where training."""
        grey = (images.astype(jnp.float32) / 255).mean(-1, keepdims=True).astype(self.dtype)
        return forward(self.network, "network", variables, grey, train=train)

    def _whole(self, points, batch):
        """Points with the crop's centre for those that are not labelled: found or true, alike."""
        return jnp.where(batch["labelled"][..., None], points, (self.size - 1) / 2)

    def _judge(self, variables, points, train=False):
        shares = (points + 0.5) / self.size
        return forward(Discriminator(), "discriminator", variables, shares, train=train)

    def _shares(self, logits):
        """What is decoded: probabilities of the classes of a pixel, or of the places of a point."""
        axes = (1, 2) if self.method == "distribution" else -1
        return jax.nn.softmax(logits.astype(jnp.float32), axes)

    def _coordinates(self, outputs):
        """Points (B, K, 2) in crop pixels, as the losses see them."""
        if self.method in REGRESSION:
            return outputs[-1] if self.method == "dan" else outputs
        points = self.points.num_points
        if self.coordinates == "argmax":
            return decoding.argmax(self._shares(outputs)[..., :points], quarter=False)[0]
        if self.method != "distribution":  # as shares of the class
            outputs = jax.nn.log_softmax(outputs.astype(jnp.float32))
        return decoding.soft_argmax(outputs)[0][:, :points]

    def _errors(self, outputs, batch):
        """Outputs, batch -> loss (B,), its parts. Distances are in crop pixels (Eq. 1). Pixels take
        no class of a point that does not count."""
        points, counted = batch["points"], self.counted(batch)
        distance_to = partial(_distance, points=points, counted=counted)
        if self.method == "dan":
            found = {f"stage{i}": distance_to(shape) for i, shape in enumerate(outputs, 1)}
            return sum(found.values()), found
        if self.method == "direct":
            distance = distance_to(outputs)
            return distance, {"points": distance}
        if self.method != "distribution":
            absent = jnp.pad(counted == 0, ((0, 0), (0, 1)))[:, None, None]
            outputs = jnp.where(absent, NEVER, outputs)
        if self.method in ("pwc", "hybrid"):
            classes = targets.class_map(points, self.size, counted > 0)
            pixels = losses.cross_entropy_pixels(outputs, classes)
            pixels += 0 * points.sum((1, 2))  # else a point that is not a number went unseen
            if self.method == "pwc":
                return self.alpha * pixels, {"pixels": pixels}
            distance = distance_to(self._coordinates(outputs))
            parts = {"pixels": pixels, "points": distance}
            return self.alpha * pixels + self.beta * distance, parts
        centres = jnp.round(points) if self.integer_labels else points
        label = targets.gaussian_maps(centres, 1, self.size, self.sigma, CUT)
        if self.method == "distribution":
            loss = losses.LOSSES[self.criterion].call
            maps = (loss(outputs, losses.Label(centres, label)) * counted).sum(-1)
        else:
            label = label * counted[:, None, None]
            label = label / (2 * jnp.pi * self.sigma**2) if self.peak == "sum1" else label
            background = jnp.maximum(1 - label.sum(-1, keepdims=True), 0)
            label = jnp.concatenate([label, background], -1)
            maps = jnp.square(self._shares(outputs) - label).sum((1, 2, 3))
        return maps, {"maps": maps}


def _distance(found, points, counted):
    """(B,) mean Euclidean distance of the points that count (Eq. 1); its gradient is finite at
    0."""
    squared = jnp.square(found - points).sum(-1)
    distance = jnp.sqrt(jnp.maximum(squared, 1e-12))
    return losses.weighted_mean(distance, counted, axis=-1)
