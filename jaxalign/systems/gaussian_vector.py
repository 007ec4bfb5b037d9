"""Gaussian Vector (Xiong et al., ACCV 2020): landmarks as pairs of vectors, not heatmaps.

Encoder, FPN, landmark maps at a quarter of the input's side, Band Pooling Module, two vectors a
landmark; the mean squared error to vector labels (Eq. 2); decoding by two argmaxes, with the
Beyond Box Strategy for landmarks outside the crop (Eq. 7). No code of it was published; where the
paper is silent the choices are named below.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn

from jaxalign import decoding, geometry, losses, targets
from jaxalign.backbones import BACKBONES, encoders
from jaxalign.backbones.hrnet import HRNet, HRNetHead
from jaxalign.layers.band_pooling import band_pool
from jaxalign.layers.fpn import FPN
from jaxalign.systems.interface import SingleNetwork


STRIDE = 4  # crop pixels per map pixel


class GaussianVectorNetwork(nn.Module):
    """(B, S, S, 3) normalised images -> landmark maps (B, S/4, S/4, K), unconstrained."""

    points: int
    backbone: str
    fpn_width: int = 256
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train: bool):
        backbone = BACKBONES[self.backbone].make(self.dtype).copy(name="backbone")
        features = backbone(images, train)
        if isinstance(backbone, HRNet):  # has a decoder of its own
            return HRNetHead(self.points, self.dtype, name="head")(features, train)
        finest = FPN(self.fpn_width, self.dtype, name="fpn")(features)
        return nn.Dense(self.points, dtype=self.dtype, name="head")(finest)  # a 1x1 convolution


@dataclass(frozen=True)
class GaussianVector(SingleNetwork):
    """GV(ResNet50), GV(HRNet) and smaller ones, by `backbone`.

    `bands`: one or two bandwidths of the Band Pooling Module, `alpha` the first one's share; ()
    leaves the module out and trains Gaussian heatmaps (Table 5's baseline) under `criterion`, one
    of losses.LOSSES, with `weight_map` under AWing's weight map at Fig. 6's weights, 1.0 and 0.1.
    `sigma` (map pixels), `theta`,
    `exponent` make the label.
    `beyond_box`, `tau`, `beyond_sigma`: the Beyond Box Strategy; changing them needs no training.

    Choices: labels are centred on the nearest map pixel; the FPN smooths P2 only, a leaky ReLU
    after it; the heatmap baseline has the label's sigma and peak 1; schedule as HRNet's for faces.
    """

    backbone: str = "resnet50_v2"
    fpn_width: int = 256
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

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(size=32)
        self.check_choices(backbone=encoders(), criterion=losses.LOSSES)
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
        vectors = "alpha", "theta", "exponent", "beyond_box", "tau", "beyond_sigma"
        if not self.bands:
            return dict.fromkeys(vectors, "bands=() trains heatmaps")
        found: dict[str, str] = dict.fromkeys(
            ("criterion", "weight_map"), f"bands={self.bands} trains vectors"
        )
        if len(self.bands) == 1:
            found["alpha"] = "there is one band"
        if not self.beyond_box:
            found |= dict.fromkeys(("tau", "beyond_sigma"), "beyond_box=False")
        return found

    @property
    def network(self):
        return GaussianVectorNetwork(
            points=self.points.num_points,
            backbone=self.backbone,
            fpn_width=self.fpn_width,
            dtype=jnp.dtype(self.dtype),
        )

    @property
    def pretrained(self):
        published = BACKBONES[self.backbone].torch_name
        return {"network/backbone": self.backbone} if published else {}

    def decode(self, maps):
        if self.bands:
            x, y = band_pool(maps, self.bands, self.alpha)
            tau = self.tau if self.beyond_box else 0.0
            points, score = decoding.vectors(
                x, y, peak=1 + self.theta, tau=tau, sigma=self.beyond_sigma
            )
        else:
            logits = losses.LOSSES[self.criterion].logits
            points, score = decoding.read(maps, "quarter", logits)
        return geometry.from_map(points, STRIDE), score

    def errors(self, outputs, batch):
        points, counted = batch["points"], self.counted(batch)
        if self.bands:
            label = targets.vectors(
                points,
                STRIDE,
                self.size,
                sigma=self.sigma,
                theta=self.theta,
                exponent=self.exponent,
            )
            pairs = zip(band_pool(outputs, self.bands, self.alpha), label, strict=True)
            errors = (losses.mse_maps(vector, truth) for vector, truth in pairs)
            x, y = (losses.weighted_mean(error, counted, axis=-1) for error in errors)
            return (x + y) / 2, {"x": x, "y": y}
        target = targets.gaussian_maps(points, STRIDE, self.size, self.sigma, cut=3)
        weights = targets.weight_map(target) if self.weight_map else 1.0
        label = losses.Label(geometry.to_map(points, STRIDE), target, weights)
        errors = losses.LOSSES[self.criterion].call(outputs, label)
        maps = losses.weighted_mean(errors, counted, axis=-1)
        return maps, {"maps": maps}
