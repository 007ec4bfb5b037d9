"""Gaussian Vector (Xiong et al., ACCV 2020): landmarks as pairs of vectors, not heatmaps.

Encoder, FPN, landmark maps at a quarter of the input's side, Band Pooling Module, two vectors per
landmark. The loss is the mean squared error to vector labels (Eq. 2). Decoding takes two argmaxes,
with the Beyond Box Strategy for landmarks outside the crop (Eq. 7). Its code was not published;
choices that the paper leaves open are named below.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones import BACKBONES, encoders
from jaxalign.backbones.hrnet import HRNetHead
from jaxalign.layers.band_pooling import band_pool
from jaxalign.layers.conv import dense
from jaxalign.layers.fpn import FPN, RECTIFIERS
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel
HEADS = ("fpn", "hrnet")


class GaussianVectorNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> landmark maps (B, S/4, S/4, K), unconstrained.

    Attributes:
        points: K.
        backbone: A key of BACKBONES.
        fpn_width: Channels of the FPN.
        rectifier: A key of layers.fpn.RECTIFIERS, the FPN's.
        own_head: HRNet's own head in place of the FPN.
        dtype: Type of the computations.
    """

    points: int
    backbone: str
    fpn_width: int = 256
    rectifier: str = "leaky"
    own_head: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        backbone = BACKBONES[self.backbone].make(self.dtype).copy(name="backbone")
        features = backbone(images, train)
        if self.own_head:
            return HRNetHead(self.points, self.dtype, name="head")(features, train)
        finest = FPN(self.fpn_width, self.dtype, self.rectifier, name="fpn")(features)
        return dense(self.points, dtype=self.dtype, name="head")(finest)  # a 1x1 convolution


@dataclass(frozen=True)
class GaussianVector(SingleNetwork):
    """GV(ResNet50), GV(HRNet) and smaller ones, by `backbone`.

    Choices: labels are centred on the nearest map pixel; the FPN smooths P2 only; the heatmap
    baseline has the label's sigma and peak 1; the schedule is HRNet's for faces.

    Attributes:
        backbone: One of backbones.encoders().
        head: "fpn", which Section 3.1 adopts for every encoder, or "hrnet", HRNet's own for faces.
        fpn_width: Channels of the FPN.
        rectifier: One of layers.fpn.RECTIFIERS, the FPN's.
        bands: One or two odd bandwidths of the Band Pooling Module. () leaves the module out and
            trains Gaussian heatmaps (Table 5's baseline).
        alpha: Share of the first band.
        sigma: Width of the label, map pixels.
        theta: What the label's peak exceeds 1 by.
        exponent: Of the distance in the label: 2, or 1 as the paper prints it.
        beyond_box: Decode by the Beyond Box Strategy (Eq. 7). Changing it, `tau` or `beyond_sigma`
            needs no training, unless `outside` is "scaled".
        tau: Amplitude of the tails of points outside the crop.
        beyond_sigma: Width of those tails, map pixels.
        criterion: Loss of heatmaps, one of losses.LOSSES.
        weight_map: Weigh heatmaps by AWing's weight map, with Fig. 6's weights 1.0 and 0.1.
        integer_centre: Centre heatmaps on the nearest map pixel, as vectors are; False: on the
            point.
        outside: Points outside the crop. "tail": their label is Eq. 2's tail of amplitude 1, as
            printed. Eq. 7 reads it as one of amplitude tau, so it decodes to up to 8 crop pixels
            too far out. "scaled": the tail that Eq. 7 inverts, so that it decodes to the point.
            "masked": not trained on. Heatmaps keep the tail that reaches in, unless "masked".
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
            if losses.LOSSES[self.criterion].logits:
                found["weight_map"] = f"criterion={self.criterion} weighs no pixels"
            return found | dict.fromkeys(vectors, "bands=() trains heatmaps")
        found |= dict.fromkeys(heatmaps, f"bands={self.bands} trains vectors")
        if len(self.bands) == 1:
            found["alpha"] = "there is one band"
        if not self.beyond_box and self.outside != "scaled":
            found |= dict.fromkeys(("tau", "beyond_sigma"), "beyond_box=False")
        return found

    @classmethod
    def from_older(cls, values):
        """Fills in what was built before there was `head`.

        HRNet had its own head, heatmaps were centred on the point itself, and points outside were
        labelled as printed.
        """
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
        """The vectors of landmark maps, by the Band Pooling Module.

        Args:
            maps: (B, h, w, K).

        Returns:
            x (B, w, K) and y (B, h, K), float32.
        """
        return band_pool(maps, self.bands, self.alpha)

    def label(self, points):
        """The label that `vectors` is trained to give.

        Args:
            points: (B, K, 2), crop pixels.

        Returns:
            x (B, w, K) and y (B, h, K).
        """
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
        """Points from vectors.

        Args:
            x: (B, w, K).
            y: (B, h, K).

        Returns:
            Points (B, K, 2), crop pixels, and scores (B, K).
        """
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
