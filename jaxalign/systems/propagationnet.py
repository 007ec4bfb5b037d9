"""PropagationNet (Huang et al., CVPR 2020): stacked hourglasses that attend to facial boundaries.

Behind each hourglass a Propagation Module turns the landmark maps into 15 boundary maps, and these,
with the features, into an attention on the input of the next one. Blocks are HPM, down-sampling is
anti-aliased, hourglasses see coordinates, and the Adaptive Wing loss is weighted by the faces'
attributes (Focal Wing). Its code was not published; the choices that the paper leaves open are
AWing's (Wang et al., ICCV 2019), on which it builds, or named below.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.layers.conv import convolution
from jaxalign.layers.coordinates import with_coordinates
from jaxalign.layers.hourglass import HPM, Bottleneck, Hourglass, fed_back, one_stack, stem
from jaxalign.layers.norm import AXIS
from jaxalign.layers.pooling import down_sampling
from jaxalign.optimizers import Optimizer
from jaxalign.schemes import BOUNDARIES, CURVES
from jaxalign.systems.interface import SingleNetwork, forward, normalise


STRIDE = 4  # crop pixels per map pixel
BLOCKS = {"hpm": HPM, "bottleneck": Bottleneck}
AWING = ("alpha", "omega", "epsilon", "theta")  # the shape of the Adaptive Wing loss
# Curves that AWing's released code leaves out of its union, so that 13 are drawn: the bridge of 29
# points, the lower brows of 68 and 98 points (here also of others).
NOT_AWINGS = {"cofw29": ("bridge",)}
LOWER_BROWS = ("lbrow_lo", "rbrow_lo")


class Propagation(nn.Module):
    """The Propagation Module (Section 3.1).

    Landmark maps (B, h, w, K) and features (B, h, w, C) -> boundary maps (B, h, w, 15) and the
    attention (B, h, w, C), 0 to 1. The attention starts at 1/2 everywhere: its inputs are not
    normalised, and would drive the sigmoid to its ends.

    Attributes:
        convolutions: Number of 7x7 convolutions that make the boundaries, K -> 15 -> 15 ..., with
            ReLU between ("a few consecutive convolution operations", Section 4.4). One or two come
            nearest to Table 8, and so does a "two-stage hourglass" that is one of depth 2.
        block: The block of the hourglass.
        pool: Halves the sides.
        remat: Keep less for the gradients, as layers.hourglass.one_stack.
        dtype: Type of the computations.
    """

    convolutions: int = 2
    block: Callable = HPM
    pool: Callable = down_sampling("max", 3)
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, maps, features, train: bool):
        width, conv = features.shape[-1], partial(convolution, dtype=self.dtype)
        lines = partial(conv, len(CURVES), (7, 7), padding=3)
        boundaries = lines(name="boundaries")(maps)
        for i in range(2, self.convolutions + 1):
            boundaries = lines(name=f"boundaries{i}")(nn.relu(boundaries))
        x = jnp.concatenate([boundaries, features], -1)
        x = conv(width, (1, 1), name="merge")(x)
        kind = nn.remat(Hourglass, static_argnums=(2,)) if self.remat and train else Hourglass
        hourglass = kind(2, width, self.dtype, block=self.block, pool=self.pool, name="hourglass")
        x = hourglass(x, train)
        even = nn.initializers.zeros
        return boundaries, nn.sigmoid(conv(width, (1, 1), kernel_init=even, name="attention")(x))


class PropagationNetwork(nn.Module):
    """The whole network, with Propagation Modules or AWing's boundary channel.

    (B, S, S, 3) normalised images -> for each stack, last best: landmark maps (B, S/4, S/4, K),
    boundary maps (15 by propagation, 1 by boundary_channel, else none) and attentions (C or none).
    An attention multiplies the input of the next hourglass; the last one reaches nothing.

    Attributes:
        points: K.
        stacks: Number of hourglasses.
        channels: C, the channels of the features.
        block: The block of the hourglasses.
        pool: Halves the sides.
        coordconv: Hourglasses see coordinates.
        stem_blur: Taps of the stem's blur; 0: none.
        propagation: Use the Propagation Module.
        convolutions: Convolutions of the module that make the boundaries.
        attends: The attention multiplies the features that it was made of ("features"), or their
            sum with the landmark maps' and the hourglass's own input ("sum").
        boundary_channel: AWing's network: the union of the boundaries as one more map.
        remat: Keep less for the gradients, see layers.hourglass.one_stack.
        dtype: Type of the computations.
    """

    points: int
    stacks: int = 4
    channels: int = 256
    block: Callable = HPM
    pool: Callable = down_sampling("max", 3)
    coordconv: bool = True
    stem_blur: int = 3
    propagation: bool = True
    convolutions: int = 2
    attends: str = "features"
    boundary_channel: bool = False
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        build = {"dtype": self.dtype, "block": self.block, "pool": self.pool}
        if self.coordconv and self.boundary_channel:
            images = with_coordinates(images)
        x = stem(images, train, self.channels, **build, blur=self.stem_blur)
        landmarks, boundaries, attentions, union = [], [], [], None
        for i in range(1, self.stacks + 1):
            y = x
            if self.coordconv:
                conv = convolution(self.channels, (1, 1), dtype=self.dtype, name=f"coordconv{i}")
                y = conv(with_coordinates(x, union))
            count = self.points + self.boundary_channel
            _, y, maps = one_stack(i, y, train, count, **build, remat=self.remat)
            landmarks.append(maps[..., : self.points])
            if self.propagation:
                module = Propagation(
                    self.convolutions, **build, remat=self.remat, name=f"propagation{i}"
                )
                found, attention = module(maps, y, train)
                boundaries.append(found)
                attentions.append(attention)
            else:
                boundaries.append(maps[..., self.points :])
            if self.boundary_channel:
                union = boundaries[-1]
            if self.propagation and self.attends == "features":
                y = y * attentions[-1]
            if i < self.stacks:
                x = fed_back(i, x, y, maps, self.dtype)
            if self.propagation and self.attends == "sum":
                x = x * attentions[-1]
        return landmarks, boundaries, attentions


@dataclass(frozen=True)
class PropagationNet(SingleNetwork):
    """PropagationNet, and AWing's network by `boundary_channel`.

    Choices: landmarks are AWing's 7x7 windows, centred on the exact point; boundaries are lines of
    zero width, sigma 1, peak 1; losses are means over pixels, summed over maps (as printed) and
    over stacks.

    Attributes:
        stacks: Number of hourglasses, 1 to 32.
        channels: Channels of the features, a multiple of 8.
        block: "hpm" or "bottleneck".
        pool: "max" or "average".
        blur: Taps that make down-sampling anti-aliased: 2, 3 or 5; 0: plain.
        stem_blur: Blur the stem's strided convolution too ("before every downsampling operation,
            such as pooling and strided convolution", Section 1).
        coordconv: Hourglasses see coordinates.
        propagation: Use the Propagation Module.
        convolutions: Convolutions of the module that make the boundaries.
        attends: The attention is imposed on the hourglass's own features ("features"; "the feature
            maps from its anterior hourglass module", Section 3.1) or on the sum that goes on
            ("sum").
        boundary_channel: AWing's network instead of propagation: the union of the boundaries as one
            more map, and coordinates on it and in the stem.
        union: Curves of the union: AWing's 13 ("awing") or "all".
        criterion: "awing", "mse", or another of losses.LOSSES. Boundary maps are heights; they are
            under mse if the landmarks' loss makes logits.
        alpha: Of the Adaptive Wing loss (losses.adaptive_wing), above 2.
        omega: Of the Adaptive Wing loss.
        epsilon: Of the Adaptive Wing loss.
        theta: Of the Adaptive Wing loss.
        weight_map: Weigh pixels by AWing's weight map.
        focal: Reading of the focal factor (losses.focal_factor): "per_sample", "literal" or
            "masked"; "": none.
        beta: Weight of the boundary maps.
        sigma: Width of the landmarks' Gaussians, map pixels.
        cut: Sigmas from a point at which its Gaussian ends.
        boundary_sigma: Width of the boundaries, map pixels.
        boundary_labels: "blurred" lines, as printed, or a Gaussian of the "distance"
            (targets.boundary_maps).
        mask_duplicates: Leave out curves that repeat another.
        decoder: One of decoding.DECODERS.
        remat: Train with less memory, in more time: the gradients compute each hourglass again.
        epochs: Length of the training.
        optimizer: The optimiser.
    """

    stacks: int = 4
    channels: int = 256
    block: str = "hpm"
    pool: str = "max"
    blur: int = 3
    stem_blur: bool = True
    coordconv: bool = True
    propagation: bool = True
    convolutions: int = 2
    attends: str = "features"
    boundary_channel: bool = False
    union: str = "awing"
    criterion: str = "awing"
    alpha: float = 2.1
    omega: float = 14.0
    epsilon: float = 1.0
    theta: float = 0.5
    weight_map: bool = True
    focal: str = "per_sample"
    beta: float = 0.5
    sigma: float = 1.75
    cut: float = 2.0
    boundary_sigma: float = 1.0
    boundary_labels: str = "blurred"
    mask_duplicates: bool = False
    decoder: str = "quarter"
    remat: bool = False
    epochs: float = 240
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer(schedule="step", boundaries=(160, 210))
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=STRIDE * 16, channels=8)
        self.check_least(stacks=1, convolutions=1, beta=0, cut=0)
        self.check_most(stacks=32, convolutions=32)
        self.check_choices(
            block=BLOCKS,
            pool=("average", "max"),
            blur=(0, 2, 3, 5),
            criterion=losses.LOSSES,
            focal=("", *losses.FOCAL),
            attends=("features", "sum"),
            union=("awing", "all"),
            boundary_labels=targets.FORMS,
            decoder=decoding.DECODERS,
        )
        self.check_above(0, "omega", "epsilon", "theta", "sigma", "boundary_sigma")
        if not self.alpha > 2:
            self.refuse("alpha", "must be above 2, or gradients are not 0 at the highest target, 1")
        if self.propagation and self.boundary_channel:
            self.refuse("boundary_channel", "set system.propagation=False with it")

    @classmethod
    def from_older(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fills in what was built before the readings of the paper could be chosen."""
        then = {
            "stem_blur": False,
            "convolutions": 1,
            "attends": "sum",
            "union": "all",
            "boundary_labels": "distance",
        }
        return then | values

    @property
    def idle(self):
        found = losses.idle_decoder(self.criterion)
        found |= losses.idle_maps(self.criterion, "sigma", "cut")
        if self.criterion != "awing":
            found |= dict.fromkeys(AWING, f"criterion={self.criterion} has no such shape")
        if losses.LOSSES[self.criterion].logits and not (self.propagation or self.boundary_channel):
            found["weight_map"] = f"criterion={self.criterion} weighs no pixels"
        if not (self.propagation or self.boundary_channel):
            names = "beta", "boundary_sigma", "boundary_labels"
            found |= dict.fromkeys(names, "no boundaries are predicted")
        if not self.propagation:
            names = "convolutions", "attends", "mask_duplicates"
            found |= dict.fromkeys(names, "propagation=False has no such part")
        elif self.stacks == 1:
            found["attends"] = "no hourglass follows the only one"
        if not self.boundary_channel:
            found["union"] = "boundary_channel=False has none"
        if not self.blur:
            found["stem_blur"] = "blur=0 blurs nothing"
        plain, masked = (targets.boundary_weights(self.points, mask) for mask in (False, True))
        if (plain == masked).all():
            found["mask_duplicates"] = f"no curve of {self.scheme} repeats another"
        return found

    @property
    def network(self):
        return PropagationNetwork(
            points=self.points.num_points,
            stacks=self.stacks,
            channels=self.channels,
            block=BLOCKS[self.block],
            pool=down_sampling(self.pool, self.blur),
            coordconv=self.coordconv,
            stem_blur=self.blur if self.stem_blur else 0,
            propagation=self.propagation,
            convolutions=self.convolutions,
            attends=self.attends,
            boundary_channel=self.boundary_channel,
            remat=self.remat,
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def united(self) -> tuple[str, ...]:
        """Names of the curves in the union map."""
        without = NOT_AWINGS.get(self.scheme, LOWER_BROWS) if self.union == "awing" else ()
        return tuple(name for name in CURVES if name not in without)

    def decode(self, maps):
        landmarks, _, _ = maps
        logits = losses.LOSSES[self.criterion].logits
        points, score = decoding.read(landmarks[-1], self.decoder, logits)
        return geometry.from_map(points, STRIDE), score

    def shown(self, variables, images):
        """The last boundary maps, and the attention on the last hourglass's input.

        With `boundary_channel` the union of the boundaries alone.
        """
        images = normalise(images, self.dtype)
        (_, boundaries, attentions), _ = forward(self.network, "network", variables, images)
        found = {}
        if self.propagation or self.boundary_channel:
            name = BOUNDARIES if self.propagation else "union"
            found[name] = jnp.clip(boundaries[-1].astype(jnp.float32), 0, 1)
        if len(attentions) > 1:
            found["attention"] = attentions[-2].astype(jnp.float32)
        return found

    def errors(self, outputs, batch):
        landmarks, boundaries, _ = outputs
        points, side = batch["points"], (STRIDE, self.size)
        label = targets.gaussian_maps(points, *side, self.sigma, self.cut)
        label = self._label(label, geometry.to_map(points, STRIDE))
        loss = self._loss(self.criterion)
        counted = self.counted(batch)
        parts = {"landmarks": sum((loss(maps, label) * counted).sum(-1) for maps in landmarks)}
        values = parts["landmarks"]
        if self.propagation or self.boundary_channel:
            chosen = slice(-1) if self.propagation else slice(-1, None)
            label = targets.boundary_maps(
                points,
                self.points,
                *side,
                sigma=self.boundary_sigma,
                form=self.boundary_labels,
                union=self.united,
            )
            label = self._label(label[..., chosen])
            weights = targets.boundary_weights(self.points, self.mask_duplicates)[None]
            known = targets.curves_labelled(batch["labelled"], self.points, self.united)
            weights = weights * known
            logits = losses.LOSSES[self.criterion].logits
            loss = self._loss("mse" if logits else self.criterion)
            errors = [loss(maps, label) for maps in boundaries]
            parts["boundaries"] = sum((error * weights[:, chosen]).sum(-1) for error in errors)
            values = values + self.beta * parts["boundaries"]
        if self.focal:
            given = batch["attributes"], batch["weight"]
            parts["focal"] = losses.focal_factor(*given, self.focal, AXIS)
            values = parts["focal"] * values
        return values, parts

    def _label(self, maps, points=None):
        weights = 1 + 10 * targets.weight_map(maps, easy=0) if self.weight_map else 1.0
        return losses.Label(points, maps, weights)

    def _loss(self, criterion):
        """Maps (B, h, w, M) and their label -> (B, M)."""
        shape = {name: getattr(self, name) for name in AWING} if criterion == "awing" else {}
        return partial(losses.LOSSES[criterion].call, **shape)
