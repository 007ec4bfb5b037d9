"""Gaussian Vector (Xiong et al., ACCV 2020): landmarks as pairs of vectors, not heatmaps.

Encoder, FPN, landmark maps at a quarter of the input's side, Band Pooling Module, two vectors a
landmark; the mean squared error to vector labels (Eq. 2); decoding by two argmaxes, with the
Beyond Box Strategy for landmarks outside the crop (Eq. 7). No code of it was published; where the
paper is silent the choices are named below.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones import BACKBONES, encoders
from jaxalign.backbones.hrnet import HRNetHead
from jaxalign.layers.band_pooling import band_pool
from jaxalign.layers.fpn import FPN, RECTIFIERS
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel
HEADS = ("fpn", "hrnet")


class GaussianVectorNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> landmark maps (B, S/4, S/4, K), unconstrained."""

    points: int
    backbone: str
    fpn_width: int = 256
    rectifier: str = "leaky"
    own_head: bool = False  # HRNet's, in place of the FPN
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        backbone = BACKBONES[self.backbone].make(self.dtype).copy(name="backbone")
        features = backbone(images, train)
        if self.own_head:
            return HRNetHead(self.points, self.dtype, name="head")(features, train)
        finest = FPN(self.fpn_width, self.dtype, self.rectifier, name="fpn")(features)
        return nn.Dense(self.points, dtype=self.dtype, name="head")(finest)  # a 1x1 convolution


@dataclass(frozen=True)
class GaussianVector(SingleNetwork):
    """GV(ResNet50), GV(HRNet) and smaller ones, by `backbone`.

    `head`: "fpn", which Section 3.1 adopts for every encoder, or "hrnet", HRNet's own for faces;
    `fpn_width` channels and `rectifier`, one of layers.fpn.RECTIFIERS, are the FPN's.
    `bands`: one or two bandwidths of the Band Pooling Module, `alpha` the first one's share; ()
    leaves the module out and trains Gaussian heatmaps (Table 5's baseline) under `criterion`, one
    of losses.LOSSES, with `weight_map` under AWing's weight map at Fig. 6's weights, 1.0 and 0.1;
    heatmaps are centred as vectors are, on the nearest map pixel, or, without `integer_centre`, on
    the point. `sigma` (map pixels), `theta`, `exponent` make the label.
    `beyond_box`, `tau`, `beyond_sigma`: the Beyond Box Strategy (Eq. 7); changing them needs no
    training, unless the labels are `scaled`.
    `outside`, points outside the crop: "tail", their label is Eq. 2's tail of amplitude 1, as
    printed, which Eq. 7 takes for one of amplitude tau: it decodes to up to 6 crop pixels too far
    out; "scaled", the tail that Eq. 7 inverts, so that it decodes to the point; "masked", they are
    not trained on. Heatmaps keep the tail that reaches in, unless "masked".

    Choices: labels are centred on the nearest map pixel; the FPN smooths P2 only; the heatmap
    baseline has the label's sigma and peak 1; schedule as HRNet's for faces.
    """

    outsides: ClassVar[tuple[str, ...]] = ("tail", "scaled", "masked")

    backbone: str = "resnet50_v2"
    head: str = "fpn"
    fpn_width: int = 256
    rectifier: str = "leaky"
    bands: tuple[int, ...] = (3, 5)
    alpha: float = 0.5
    sigma: float = 2.0
    theta: float = 3.0
    exponent: int = 2
    beyond_box: bool = True
    tau: float = 2.0
    beyond_sigma: float = 2.0
    criterion: str = "mse"
    weight_map: bool = False
    integer_centre: bool = True
    outside: str = "scaled"

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32)
        self.check_choices(
            backbone=encoders(),
            head=HEADS,
            rectifier=RECTIFIERS,
            criterion=losses.LOSSES,
        )
        if self.head == "hrnet" and not self.backbone.startswith("hrnet"):
            self.refuse("head", f"is for HRNet's features; for {self.backbone} take fpn")
        if len(self.bands) > 2 or not all(type(n) is int and n > 0 and n % 2 for n in self.bands):
            self.refuse("bands", "up to two odd numbers above 0")
        if self.exponent not in (1, 2):
            self.refuse("exponent", "2, or 1 as the paper prints it")
        self.check_above(0, "sigma", "tau", "beyond_sigma", "fpn_width")
        self.check_least(theta=0)
        self.check_shares("alpha")
        if self.weight_map and self.bands:
            self.refuse("weight_map", "is for heatmaps: set system.bands=() with it")

    @property
    def idle(self):
        vectors = ["alpha", "theta", "exponent", "beyond_box", "tau", "beyond_sigma"]
        heatmaps = "criterion", "weight_map", "integer_centre"
        found: dict[str, str] = {}
        if self.head == "hrnet":
            found = dict.fromkeys(("fpn_width", "rectifier"), "head=hrnet has no FPN")
        if not self.bands:
            vectors += ["outside"] if self.outside == "scaled" else []
            return found | dict.fromkeys(vectors, "bands=() trains heatmaps")
        found |= dict.fromkeys(heatmaps, f"bands={self.bands} trains vectors")
        if len(self.bands) == 1:
            found["alpha"] = "there is one band"
        if not self.beyond_box and self.outside != "scaled":
            found |= dict.fromkeys(("tau", "beyond_sigma"), "beyond_box=False")
        return found

    @classmethod
    def from_older(cls, values):
        """Before there was `head`, HRNet had its own head, heatmaps were centred on the point
        itself, and points outside were labelled as printed."""
        then = {"integer_centre": False, "outside": "tail"}
        if values.get("backbone", "").startswith("hrnet"):
            then["head"] = "hrnet"
        return then | values if "head" not in values else values

    @property
    def network(self):
        return GaussianVectorNetwork(
            points=self.points.num_points,
            backbone=self.backbone,
            fpn_width=self.fpn_width,
            rectifier=self.rectifier,
            own_head=self.head == "hrnet",
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def pretrained(self):
        published = BACKBONES[self.backbone].torch_name
        return {"network/backbone": self.backbone} if published else {}

    def vectors(self, maps):
        """Landmark maps (B, h, w, K) -> x (B, w, K), y (B, h, K), by the Band Pooling Module."""
        return band_pool(maps, self.bands, self.alpha)

    def label(self, points):
        """(B, K, 2) crop pixels -> what `vectors` is trained to give."""
        return targets.vectors(
            points,
            STRIDE,
            self.size,
            sigma=self.sigma,
            theta=self.theta,
            exponent=self.exponent,
            tail=self.tau if self.outside == "scaled" else 0.0,
            tail_sigma=self.beyond_sigma,
        )

    def read(self, x, y):
        """What `vectors` gives -> points (B, K, 2) in crop pixels, scores (B, K)."""
        tau = self.tau if self.beyond_box else 0.0
        found = decoding.vectors(x, y, peak=1 + self.theta, tau=tau, sigma=self.beyond_sigma)
        return geometry.from_map(found[0], STRIDE), found[1]

    def decode(self, maps):
        if self.bands:
            return self.read(*self.vectors(maps))
        logits = losses.LOSSES[self.criterion].logits
        points, score = decoding.read(maps, "quarter", logits)
        return geometry.from_map(points, STRIDE), score

    def errors(self, outputs, batch):
        points, counted = batch["points"], self.counted(batch)
        if self.bands:
            pairs = zip(self.vectors(outputs), self.label(points), strict=True)
            errors = (losses.mse_maps(vector, truth) for vector, truth in pairs)
            x, y = (losses.weighted_mean(error, counted, axis=-1) for error in errors)
            return (x + y) / 2, {"x": x, "y": y}
        if self.integer_centre:
            nearest = targets.nearest_pixels(geometry.to_map(points, STRIDE), self.size // STRIDE)
            points = geometry.from_map(nearest, STRIDE)
        target = targets.gaussian_maps(points, STRIDE, self.size, self.sigma, cut=3)
        weights = targets.weight_map(target) if self.weight_map else 1.0
        label = losses.Label(geometry.to_map(points, STRIDE), target, weights)
        errors = losses.LOSSES[self.criterion].call(outputs, label)
        maps = losses.weighted_mean(errors, counted, axis=-1)
        return maps, {"maps": maps}
