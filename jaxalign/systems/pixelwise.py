"""Pixel-wise classification and the methods that it is compared with.

Hsu et al., "A detailed look at CNN-based approaches in facial landmark detection", arXiv
2005.08649. One VGG19-like network on grey images is read in five ways: `direct` regression of the
points, a softmax over each landmark's map (`distribution`), regression of heatmaps, and a class for
every pixel, the landmark on it or background (`pwc`), to which `hybrid` adds the distance of the
points. `dan` is the sixth, a cascade of small networks (Kowalski et al., 2017). A discriminator may
judge whether the points look like a face; the detector then tries to please it.

The paper and its code take the points of the hybrid and of the discriminator by the argmax of their
maps, through which no gradient passes: such a hybrid is trained exactly as pixel-wise
classification is, with a discriminator or without. `coordinates=soft` makes them means under their
maps. With the printed weights the distance's gradient is then tens of times the cross-entropy's (a
mean over pixels, nearly all background), and hundreds of times on sharp maps. No fixed weight fits;
`balance=gradients` weighs the losses by their gradients. The released discriminator ascends its own
loss; here the sign is the paper's, and `sign` gives the other.
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, losses, targets
from jaxalign.layers.pooling import larger
from jaxalign.optimizers import Optimizer
from jaxalign.systems.interface import Objective, Phase, System, forward, init_networks
from jaxalign.systems.pixelwise_networks import DAN, Direct, Discriminator, Heatmaps


REGRESSION = ("direct", "dan")
HEATMAPS = ("distribution", "heatmap_regression", "pwc", "hybrid")
CUT = 4  # sigmas from a point at which its Gaussian ends: 12 pixels
NEVER = -1e9  # the logit of a class that no pixel takes


@dataclass(frozen=True)
class PixelWise(System):
    """The six methods of the comparison, with or without the adversarial loss.

    The discriminator is trained one step, then the detector two. With `outside` "kept", direct, dan
    and the distances of hybrid take points outside the crop as they are, maps take the part of the
    Gaussian that reaches in, and pixels have no such class. Points of direct and dan have the score
    1.

    Attributes:
        size: Side of the crop, pixels, a multiple of 32.
        method: direct, dan, distribution, heatmap_regression, pwc or hybrid.
        discriminator: Add the adversarial loss.
        width: Channels of the first stage.
        top: Channels of the last stage.
        output: Unit of direct's last layer: "pixels", as released, or "eighths" of the crop's side
            from its centre.
        stages: Stages of dan.
        supervision: Loss of dan: "last" (the last stage's, as released), "stages" (each is
            trained in turn for its share of the epochs, with those before it fixed, as Kowalski et
            al. do) or "sum" (of all stages' losses).
        alpha: Weight of the mean cross-entropy of the pixels, in pwc and hybrid.
        beta: Weight of the distance in hybrid (Eq. 3).
        gamma: Weight of loss_face, the adversarial loss.
        balance: "losses": the weights are the losses', as printed. "gradients": distance and
            loss_face are first scaled, face by face, until their gradient at the network's outputs
            is as long as that of the method's own loss, as Esser et al. (2021) weigh an adversarial
            loss. `beta` and `gamma` are then the lengths of their gradients relative to it.
        coordinates: Points in losses: "argmax" (no gradient passes) or "soft" (the mean place under
            a landmark's map, of what is decoded).
        sign: Sign of the discriminator's loss: "paper" or "released".
        discriminator_norm: "separate": true and found points are normalised each by their own
            batch, in all steps, as released. "together": by both as one batch, and by its running
            statistics in the detector's steps.
        criterion: Loss of distribution, one of losses.LOSSES that takes logits.
        sigma: Width of the Gaussians, crop pixels.
        peak: Gaussians of heatmap_regression sum to 1 ("sum1") or are 1 at the point ("peak1"). A
            softmax is always compared with sums of 1.
        integer_labels: Centre Gaussians on whole pixels, as released.
        decoder: One of decoding.DECODERS. Classes know whole pixels only.
        epochs: Epochs of the detector.
        optimizer: The optimiser of the detector, except for direct and dan.
        regression_optimizer: The optimiser of direct and dan.
        discriminator_optimizer: The optimiser of the discriminator.
    """

    size: int = 224
    method: str = "hybrid"
    discriminator: bool = True
    width: int = 64
    top: int = 2048
    output: str = "pixels"
    stages: int = 3
    supervision: str = "last"
    alpha: float = 1.0
    beta: float = 0.25
    gamma: float = 1.0
    balance: str = "losses"
    coordinates: str = "argmax"
    sign: str = "paper"
    discriminator_norm: str = "separate"
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
        self.check_most(stages=32)
        self.check_choices(
            method=(*REGRESSION, *HEATMAPS),
            output=("pixels", "eighths"),
            supervision=("last", "stages", "sum"),
            balance=("losses", "gradients"),
            coordinates=("argmax", "soft"),
            sign=("paper", "released"),
            discriminator_norm=("separate", "together"),
            peak=("sum1", "peak1"),
            criterion=[name for name, loss in losses.LOSSES.items() if loss.logits],
            decoder=decoding.DECODERS,
        )
        self.check_above(0, "sigma")
        self.check_least(alpha=0, beta=0, gamma=0)

    @classmethod
    def from_older(cls, values):
        then = {"discriminator_norm": "together", "output": "eighths", "supervision": "sum"}
        return then | values

    @property
    def note(self):
        if not self._detached:
            return ""
        like = "pwc" if self.method == "hybrid" else self.method
        return (
            "coordinates=argmax, as printed and released, passes no gradient: the detector is "
            f"trained as that of method={like} without a discriminator is"
        )

    @property
    def _detached(self):
        """Whether losses of the points leave the detector as it is."""
        added = self.discriminator or self.method == "hybrid"
        return added and self.method in HEATMAPS and self.coordinates == "argmax"

    @property
    def idle(self):
        def unless(methods, *names):
            why = f"method={self.method} is trained without"
            return {} if self.method in methods else dict.fromkeys(names, why)

        found = unless(("pwc", "hybrid"), "alpha") | unless(("hybrid",), "beta")
        found |= unless(("direct",), "output") | unless(("dan",), "stages", "supervision")
        found |= unless(("distribution",), "criterion")
        found |= unless(("heatmap_regression",), "peak")
        found |= unless(("distribution", "heatmap_regression"), "sigma", "integer_labels")
        found |= unless(HEATMAPS, "decoder")
        if self.method == "dan":
            found["top"] = "method=dan has networks of its own"
        if self.method in REGRESSION:
            found["optimizer"] = f"method={self.method} is trained by regression_optimizer"
        else:
            found["regression_optimizer"] = f"method={self.method} is trained by optimizer"
        if self._detached:
            names = "beta", "gamma", "balance"
            found |= dict.fromkeys(names, "coordinates=argmax passes no gradient")
        if not self.discriminator:
            names = "gamma", "sign", "discriminator_norm", "discriminator_optimizer"
            found |= dict.fromkeys(names, "there is no discriminator")
            if self.method != "hybrid":
                found["balance"] = "there is one loss"
        if self.method in REGRESSION or not (self.discriminator or self.method == "hybrid"):
            found["coordinates"] = "no loss takes points off maps"
        return found

    @property
    def network(self):
        """The network of the method."""
        points, build = (
            self.points.num_points,
            {"width": self.width, "dtype": jnp.dtype(self.dtype)},
        )
        if self.method == "dan":
            return DAN(points=points, stages=self.stages, **build)
        if self.method == "direct":
            eighths = self.output == "eighths"
            return Direct(points=points, eighths=eighths, top=self.top, **build)
        maps = points + (self.method != "distribution")
        return Heatmaps(maps=maps, top=self.top, **build)

    @property
    def phases(self):
        if self.method != "dan" or self.supervision != "stages":
            return (self._phase("train", self.epochs, ("network",)),)
        found = []
        for stage in range(1, self.stages + 1):
            parts = [f"stage{stage}", *([f"image{stage}"] if stage > 1 else [])]
            trains = tuple(f"network/{part}" for part in parts)
            found.append(self._phase(parts[0], self.epochs / self.stages, trains, stage))
        return tuple(found)

    def _phase(self, name, epochs, trains, stage=0):
        chosen = self.regression_optimizer if self.method in REGRESSION else self.optimizer
        loss = partial(self.detector_loss, stage=stage)
        detector = Objective("detector", loss, chosen, trains)
        predicts = stage in (0, self.stages)
        if not self.discriminator:
            return Phase(name, epochs, (detector,), predicts)
        judge = Objective(
            "discriminator",
            partial(self.discriminator_loss, stage=stage),
            self.discriminator_optimizer,
            trains=("discriminator",),
        )
        return Phase(name, 1.5 * epochs, (judge, detector, detector), predicts)

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
        """The highest heatmap over the landmarks, its peak 1."""
        if self.method in REGRESSION:
            return {}
        outputs, _ = self._detect(variables, images)
        highest = self._shares(outputs)[..., : self.points.num_points].max(-1, keepdims=True)
        return {"landmarks": highest / highest.max((1, 2, 3), keepdims=True)}

    def detector_loss(self, params, batch_stats, batch, key, stage=0):
        """The loss of a step of the detector, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.
            stage: The stage of dan that is trained; 0 for all of them.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, stats = self._detect(variables, batch["image"], train=True, stage=stage)

        def looks(points):
            batch_wise = self.discriminator_norm == "separate"
            return self._judge(variables, points, train=batch_wise)[0]

        judge = looks if self.discriminator else None
        return *self._errors(outputs, batch, judge), stats

    def discriminator_loss(self, params, batch_stats, batch, key, stage=0):
        """The loss of a step of the discriminator, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.
            stage: The stage of dan that gives the points; 0 for the last.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, _ = self._detect(variables, batch["image"], train=True, stage=stage)
        found = jax.lax.stop_gradient(self._coordinates(outputs))
        found, points = (self._whole(shape, batch) for shape in (found, batch["points"]))
        if self.discriminator_norm == "together":
            looks, stats = self._judge(variables, jnp.concatenate([points, found]), train=True)
            true, false = jnp.split(looks, 2)
        else:
            true, stats = self._judge(variables, points, train=True)
            variables = {"params": params, "batch_stats": batch_stats | stats}
            false, stats = self._judge(variables, found, train=True)
        parts = {"true": jax.nn.softplus(-true), "found": jax.nn.softplus(false)}
        values = parts["true"] + parts["found"]
        return values if self.sign == "paper" else -values, parts, stats

    def _detect(self, variables, images, train=False, stage=0):
        """(B, S, S, 3) uint8 crops -> the network's outputs, and its new statistics in training."""
        grey = (images.astype(jnp.float32) / 255).mean(-1, keepdims=True).astype(self.dtype)
        network = self.network
        if stage:
            network = network.clone(stages=stage, fixed=stage - 1)
        return forward(network, "network", variables, grey, train=train)

    def _whole(self, points, batch):
        """Points, true or found, with the crop's centre in place of those that are not labelled."""
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

    def _errors(self, outputs, batch, looks=None):
        """Outputs, batch -> loss (B,), its parts.

        `looks` takes points to the discriminator's logits (B,), if there is one.
        """
        losses_of = partial(self._parts, batch=batch, looks=looks)
        parts, added = losses_of(outputs), {}
        if self.method == "hybrid":
            added["points"] = self.beta
        if looks:
            added["face"] = self.gamma
        own = self.alpha if self.method in ("pwc", "hybrid") else 1.0
        weights = dict.fromkeys(parts, own) | added
        if added and self.balance == "gradients" and not self._detached:
            scales = _scales(losses_of, outputs, set(added))
            weights |= {name: weights[name] * scale for name, scale in scales.items()}
        return sum(weights[name] * value for name, value in parts.items()), parts

    def _parts(self, outputs, batch, looks):
        """The losses (B,) by name, unweighted. Distances are in crop pixels (Eq. 1)."""
        points, counted = batch["points"], self.counted(batch)
        distance_to = partial(_distance, points=points, counted=counted)
        if self.method == "dan":
            stages = list(enumerate(outputs, 1))
            stages = stages if self.supervision == "sum" else stages[-1:]
            parts = {f"stage{i}": distance_to(shape) for i, shape in stages}
        elif self.method == "direct":
            parts = {"points": distance_to(outputs)}
        elif self.method in ("pwc", "hybrid"):
            logits = _without(outputs, counted)
            classes = targets.class_map(points, self.size, counted > 0)
            pixels = losses.cross_entropy_pixels(logits, classes)
            pixels += 0 * points.sum((1, 2))  # else a point that is not a number goes unseen
            parts = {"pixels": pixels}
            if self.method == "hybrid":
                parts["points"] = distance_to(self._coordinates(logits))
        else:
            parts = {"maps": self._maps_loss(outputs, points, counted)}
        if looks:
            found = self._whole(self._coordinates(outputs), batch)
            parts["face"] = jax.nn.softplus(-looks(found))  # -log D
        return parts

    def _maps_loss(self, outputs, points, counted):
        centres = jnp.round(points) if self.integer_labels else points
        label = targets.gaussian_maps(centres, 1, self.size, self.sigma, CUT)
        if self.method == "distribution":
            loss = losses.LOSSES[self.criterion].call
            return (loss(outputs, losses.Label(centres, label)) * counted).sum(-1)
        label = label * counted[:, None, None]
        label = label / (2 * jnp.pi * self.sigma**2) if self.peak == "sum1" else label
        background = jnp.maximum(1 - label.sum(-1, keepdims=True), 0)
        label = jnp.concatenate([label, background], -1)
        return jnp.square(self._shares(_without(outputs, counted)) - label).sum((1, 2, 3))


def _without(logits, counted):
    """Logits of the classes (B, S, S, K + 1), very low for points that do not count."""
    absent = jnp.pad(counted == 0, ((0, 0), (0, 1)))[:, None, None]
    return jnp.where(absent, NEVER, logits)


def _scales(losses_of, outputs, added):
    """Factors (B,) that balance the gradients of the `added` losses.

    Each makes the gradient at a face's outputs as long as that of the other losses' sum; 0 for a
    loss without a gradient. `losses_of(outputs)` gives the losses (B,) by name.
    """
    parts, pull = jax.vjp(losses_of, jax.lax.stop_gradient(outputs))

    def length(names):
        (slope,) = pull({name: jnp.full_like(v, name in names) for name, v in parts.items()})
        rows = (leaf.astype(jnp.float32).reshape(len(leaf), -1) for leaf in jax.tree.leaves(slope))
        return jnp.sqrt(sum(jnp.square(row).sum(1) for row in rows))

    own, lengths = length(parts.keys() - added), {name: length({name}) for name in added}
    scales = {k: jnp.where(v > 0, own / jnp.maximum(v, 1e-12), 0) for k, v in lengths.items()}
    return jax.lax.stop_gradient(scales)


def _distance(found, points, counted):
    """(B,) mean Euclidean distance of the points that count (Eq. 1).

    Its gradient is finite at 0.
    """
    squared = jnp.square(found - points).sum(-1)
    distance = jnp.sqrt(larger(squared, 1e-12))
    return losses.weighted_mean(distance, counted, axis=-1)
