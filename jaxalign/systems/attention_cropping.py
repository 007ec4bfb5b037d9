"""Attention-driven cropping for large photos (Chandran et al., CVPR 2020): a reconstruction.

A global stage looks at the whole face, reduced. Its landmark maps say where the eyes, the nose and
the mouth are; each of them is cut out of the photo at full resolution and looked at by an hourglass
of its own, whose points replace the global ones. The contour stays global.

Only the paper's supplement was at hand. From it are the two stages, the regional hourglasses that
see crops of the large photo alone, and stacking as an option. The rest is ours: the networks, the
regions, how maps make a crop, losses and schedule. Its numbers do not stand for the paper's.
"""

from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign import decoding, geometry, losses, targets
from jaxalign.layers.cropping import from_square, pyramid, sample_squares, to_square
from jaxalign.optimizers import Optimizer
from jaxalign.systems.hourglass import STRIDE, HourglassNetwork
from jaxalign.systems.interface import Objective, Phase, System, forward, init_networks, normalise


TIMES = (1, 2, 4, 8, 16)  # sides of the crops it takes, in sides of the global stage's input


class Seen(NamedTuple):
    """What a network sees on B faces: k points, in pixels of the crop."""

    maps: list[jax.Array]  # (B, h, h, k) of each stack, last best
    points: jax.Array  # (B, k, 2)
    scores: jax.Array  # (B, k)


class Stages(NamedTuple):
    """What the two stages find on B crops, in pixels of the crop."""

    global_points: jax.Array  # (B, K, 2)
    global_scores: jax.Array  # (B, K)
    points: jax.Array  # (B, K, 2), the regional ones in their places
    scores: jax.Array  # (B, K)
    squares: jax.Array  # (B, regions, 3), what each region's network saw: centre x, y and side


@dataclass(frozen=True)
class AttentionCropping(System):
    """A reconstruction. With 68 points and the defaults it has 31,191,543 parameters.

    Crops of faces are `size` pixels wide in training, whatever the photo has; prediction takes
    each face at the one of `sizes` that loses nothing of it.

    Both stages are FAN's hourglasses, `global_stacks` and `regional_stacks` of them, on
    `global_size` and `regional_size` pixels. A point is the mean position under softmax(temperature
    x map); below a temperature of 12 the ground of a 64 x 64 map draws it visibly to the middle.
    `crop`: extent, the rectangle around the region's points, its longer side times `enlarge`; or
    moments, the mean of the region's maps, and four deviations along the longer axis times
    `enlarge`. Its side is at least `least` of the face's; in training it is moved and scaled by up
    to `crop_jitter` of it. `stacking`: the regional networks see the global maps of their points
    too. `stop_gradient`: regional errors do not train the global stage. `share_eyes`: one network
    for both eyes, the right one mirrored.

    The loss of a stage is the distance of its points, in pixels of the global stage's input, plus
    `map_weight` times the `criterion` of their maps, one of losses.LOSSES: heights summed over the
    map, to Gaussians of `sigma` map pixels; logits as they are read, times the temperature. The
    global stage is trained alone first, then all of them together. There the first errors of the
    regional networks shake it: hence the optimiser's warm-up and clip. `outside` is masked unless
    told: a mean place under a map never leaves it. A point that its region does not show does not
    count there.
    """

    size: int = 1024
    outside: str = "masked"
    global_size: int = 256
    regional_size: int = 256
    channels: int = 256
    global_stacks: int = 1
    regional_stacks: int = 1
    temperature: float = 15.0
    crop: str = "extent"
    enlarge: float = 1.5
    least: float = 0.125
    crop_jitter: float = 0.1
    stacking: bool = False
    stop_gradient: bool = False
    share_eyes: bool = False
    criterion: str = "mse"
    sigma: float = 1.5
    map_weight: float = 1.0
    global_epochs: float = 60
    joint_epochs: float = 60
    optimizer: Optimizer = field(
        default_factory=lambda: Optimizer(schedule="step", boundaries=(30, 50), warmup=1, clip=50.0)
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_multiples(global_size=STRIDE * 16, regional_size=STRIDE * 16, channels=8)
        self.check_choices(crop=CROPS, criterion=losses.LOSSES)
        if self.size not in self.sizes:
            self.refuse("size", f"must be one of {', '.join(map(str, self.sizes))}")
        self.check_least(global_stacks=1, regional_stacks=1, map_weight=0)
        self.check_most(global_stacks=32, regional_stacks=32)
        self.check_above(0, "temperature", "enlarge", "least", "sigma")
        if not 0 <= self.crop_jitter < 1:
            self.refuse("crop_jitter", "must be 0 or more, below 1")

    @property
    def note(self):
        return "attention-driven cropping: a reconstruction from the paper's supplement"

    @property
    def sizes(self):
        return tuple(self.global_size * times for times in TIMES)

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """The points of each region, in the order of its network's maps."""
        return self.points.parts

    @property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """Each regional network, with the regions that it sees."""
        eyes = "left_eye", "right_eye"
        pairs: dict[str, tuple[str, ...]] = (
            {"eye": eyes} if self.share_eyes else {eye: (eye,) for eye in eyes}
        )
        return pairs | {"nose": ("nose",), "mouth": ("mouth",)}

    @property
    def networks(self) -> dict[str, HourglassNetwork]:
        network = partial(HourglassNetwork, channels=self.channels, dtype=jnp.dtype(self.dtype))
        whole = network(points=self.points.num_points, stacks=self.global_stacks)
        return {"global": whole} | {
            name: network(points=len(self.regions[seen[0]]), stacks=self.regional_stacks)
            for name, seen in self.readers.items()
        }

    @property
    def predictors(self):
        return ("global", *self.readers)

    @property
    def phases(self):
        alone = Objective("global", self.global_loss, self.optimizer, trains=("global",))
        joint = Objective("joint", self.joint_loss, self.optimizer, trains=self.predictors)
        return (
            Phase("global", self.global_epochs, (alone,), predicts=False),
            Phase("joint", self.joint_epochs, (joint,)),
        )

    def init(self, key):
        inputs = {"global": (jnp.zeros((1, self.global_size, self.global_size, 3), self.dtype),)}
        for name, (region, *_) in self.readers.items():
            depth = 3 + (len(self.regions[region]) if self.stacking else 0)
            shape = 1, self.regional_size, self.regional_size, depth
            inputs[name] = (jnp.zeros(shape, self.dtype),)
        return init_networks(self.networks, key, inputs)

    def maps(self, variables: dict, images: jax.Array) -> Stages:
        """Points already: what the first stage decodes says what the second sees."""
        return self.stages(variables, images)

    def decode(self, maps: Stages):
        return maps.points, maps.scores

    def stages(self, variables: dict, images: jax.Array) -> Stages:
        """(B, S, S, 3) uint8 crops, S one of `sizes` -> what both stages find."""
        levels, whole, _ = self._look(variables, images)
        squares, regional, _ = self._look_closer(variables, levels, whole)
        order = np.arange(self.points.num_points)  # of each point where the last to see it says it
        start = len(order)
        for region in regional:
            own = np.array(self.regions[region])
            order[own] = start + np.arange(len(own))
            start += len(own)
        seen = whole, *regional.values()
        points = jnp.concatenate([one.points for one in seen], 1)[:, order]
        scores = jnp.concatenate([one.scores for one in seen], 1)[:, order]
        return Stages(
            global_points=whole.points,
            global_scores=whole.scores,
            points=points,
            scores=scores,
            squares=squares,
        )

    def global_loss(self, params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        _, whole, stats = self._look(variables, batch["image"], train=True)
        return *self._loss({"global": [self._global_errors(whole, batch)]}), stats

    def joint_loss(self, params, batch_stats, batch, key):
        variables = {"params": params, "batch_stats": batch_stats}
        truth, counted = batch["points"], self.counted(batch)
        levels, whole, stats = self._look(variables, batch["image"], train=True)
        squares, regional, changed = self._look_closer(variables, levels, whole, key)
        errors = {"global": [self._global_errors(whole, batch)], "regional": []}
        for number, (region, points) in enumerate(self.regions.items()):
            own, square = np.array(points), jax.lax.stop_gradient(squares[:, number])
            placed = to_square(truth[:, own], square, self.regional_size)
            shown = counted[:, own] * targets.inside(placed, self.regional_size)
            errors["regional"].append(
                self._errors(regional[region], truth[:, own], placed, self.regional_size, shown)
            )
        return *self._loss(errors), stats | changed

    def _look(self, variables, images, train=False):
        """Crops -> their pyramid, what the global stage sees, its new statistics."""
        levels = pyramid(images, self.global_size)
        reduced = normalise(levels[-1], self.dtype)
        network = self.networks["global"]
        maps, stats = forward(network, "global", variables, reduced, train=train)
        points, scores = self._read(maps)
        points = geometry.from_map(points, STRIDE * images.shape[1] / self.global_size)
        return levels, Seen(maps, points, scores), stats

    def _look_closer(self, variables, levels, whole, key=None):
        """Pyramid and what the global stage sees -> the squares (B, regions, 3) cut out, what the
        networks see there, by region, and their new statistics. With a key, which jitters the
        squares, it is training."""
        if self.stop_gradient:
            whole = jax.lax.stop_gradient(whole)
        squares = self._squares(whole, levels[0].shape[1], key)
        pictures, found, stats = self._pictures(levels, whole, squares), {}, {}
        for name, regions in self.readers.items():
            shown = jnp.concatenate([pictures[region] for region in regions])
            network, train = self.networks[name], key is not None
            maps, changed = forward(network, name, variables, shown, train=train)
            stats |= changed
            for place, region in enumerate(regions):
                own = [m.reshape(len(regions), -1, *m.shape[1:])[place] for m in maps]
                own = [self._as_seen(m, region) for m in own]
                points, scores = self._read(own)
                square = squares[:, list(self.regions).index(region)]
                points = from_square(geometry.from_map(points, STRIDE), square, self.regional_size)
                found[region] = Seen(own, points, scores)
        return squares, found, stats

    def _squares(self, whole, size, key):
        """What the global stage sees on crops of `size` pixels -> the squares (B, regions, 3)."""
        maps, squares = whole.maps[-1], []
        for own in self.regions.values():
            own = np.array(own)
            logits = self.temperature * maps[..., own].astype(jnp.float32)
            centre, side = CROPS[self.crop](whole.points[:, own], logits, size / maps.shape[1])
            side = jnp.maximum(self.enlarge * side, self.least * size)
            squares.append(jnp.concatenate([centre, side[:, None]], 1))
        squares = jnp.stack(squares, 1)
        if key is None:
            return squares
        most = self.crop_jitter
        moves = jax.random.uniform(key, squares.shape, minval=-most, maxval=most)
        return squares + moves * squares[..., 2:]

    def _pictures(self, levels, whole, squares):
        """What the networks are shown of each region: its square, normalised, and, if stacked, the
        global maps of its points on the same square."""
        cut, pictures = sample_squares(levels, squares, self.regional_size), {}
        for number, (region, own) in enumerate(self.regions.items()):
            picture = normalise(cut[:, number], self.dtype)
            if self.stacking:
                maps, square = whole.maps[-1][..., np.array(own)], squares[:, number : number + 1]
                stride = levels[0].shape[1] / maps.shape[1]
                places = geometry.to_map(square[..., :2], stride), square[..., 2:] / stride
                maps = sample_squares([maps], jnp.concatenate(places, -1), self.regional_size)
                picture = jnp.concatenate([picture, maps[:, 0].astype(self.dtype)], -1)
            pictures[region] = self._as_seen(picture, region)
        return pictures

    def _as_seen(self, pictures, region):
        """Pictures or maps of a region, mirrored if its network is the other eye's: and back."""
        mirrored = self.share_eyes and region == "right_eye"
        return pictures[:, :, ::-1] if mirrored else pictures

    def _read(self, maps):
        """The last of these maps -> points in map pixels, and scores."""
        return decoding.soft_argmax(self.temperature * maps[-1].astype(jnp.float32))

    def _global_errors(self, whole, batch):
        placed = geometry.to_map(batch["points"], self.size / self.global_size)
        return self._errors(whole, batch["points"], placed, self.global_size, self.counted(batch))

    def _errors(self, seen, truth, placed, size, counted):
        """Distance and loss of the maps of each point, and whether it counts; all (B, k).

        `truth` (B, k, 2) in pixels of the crop; `placed` the same in pixels of what the network
        was shown, `size` wide.
        """
        shift = (seen.points - truth) * self.global_size / self.size
        distance = jnp.sqrt(jnp.square(shift).sum(-1) + 1e-6)  # the gradient at 0 is 0
        target = targets.gaussian_maps(placed, STRIDE, size, self.sigma, cut=3)
        label = losses.Label(geometry.to_map(placed, STRIDE), target)
        loss = losses.LOSSES[self.criterion]
        if loss.logits:
            by_map = reduce(add, (loss.call(self.temperature * maps, label) for maps in seen.maps))
        else:
            pixels = target.shape[1] * target.shape[2]
            by_map = reduce(add, (loss.call(maps, label) for maps in seen.maps)) * pixels
        return distance, by_map, counted

    def _loss(self, errors):
        """Stage -> its errors, as _errors gives them -> the loss of each face, and its parts."""
        parts = {}
        for stage, rows in errors.items():
            distance, by_map, counted = (jnp.concatenate(row, 1) for row in zip(*rows, strict=True))
            parts[f"{stage}_points"] = losses.weighted_mean(distance, counted, axis=-1)
            parts[f"{stage}_maps"] = losses.weighted_mean(by_map, counted, axis=-1)
        weights = {name: self.map_weight if name.endswith("maps") else 1.0 for name in parts}
        return sum(weights[name] * part for name, part in parts.items()), parts


def extent(points, logits, stride):
    """Centre (B, 2) and longer side (B,) of the rectangle around points (B, k, 2)."""
    low, high = points.min(1), points.max(1)
    return (low + high) / 2, (high - low).max(-1)


def moments(points, logits, stride):
    """Mean place (B, 2) under the softmaxes of logits (B, h, h, k) together, and four deviations
    along the longer axis (B,), in pixels of which `stride` make one of the map.

    Of a bar of even light that is 1.15 times its length.
    """
    light = jax.nn.softmax(logits, axis=(1, 2)).mean(-1)
    along = jnp.stack([light.sum(1), light.sum(2)], -1)  # (B, h, 2): over x, over y
    places = geometry.from_map(jnp.arange(light.shape[1], dtype=jnp.float32), stride)
    places = places[None, :, None]
    centre = (along * places).sum(1)
    variance = (along * jnp.square(places - centre[:, None])).sum(1).max(-1)
    return centre, 4 * jnp.sqrt(jnp.maximum(variance, 1e-6))


CROPS = {"extent": extent, "moments": moments}
