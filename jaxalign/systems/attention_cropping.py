"""Attention-driven cropping for large photos (Chandran et al., CVPR 2020): a reconstruction.

A global stage looks at the whole face, reduced. Its landmark maps say where the eyes, the nose and
the mouth are. Each of them is cut out of the photo at full resolution and read by an hourglass of
its own, whose points replace the global ones. The contour stays global.

Only the paper's supplement was at hand. It gives the two stages, the regional hourglasses that see
crops of the large photo alone, and stacking as an option. The rest is ours: the networks, the
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
from jaxalign.layers.pooling import larger
from jaxalign.optimizers import Optimizer
from jaxalign.systems.hourglass import STRIDE, HourglassNetwork
from jaxalign.systems.interface import Objective, Phase, System, forward, init_networks, normalise


TIMES = (1, 2, 4, 8, 16)  # sides of the crops, in sides of the global stage's input


class Seen(NamedTuple):
    """What a network sees on B faces: k points, in pixels of the crop.

    Attributes:
        maps: (B, h, h, k) of each stack, last best.
        points: (B, k, 2).
        scores: (B, k).
    """

    maps: list[jax.Array]
    points: jax.Array
    scores: jax.Array


class Stages(NamedTuple):
    """What the two stages find on B crops, in pixels of the crop.

    Attributes:
        global_points: (B, K, 2), of the global stage.
        global_scores: (B, K), of the global stage.
        points: (B, K, 2), the regional ones in their places.
        scores: (B, K).
        squares: (B, regions, 3), what each region's network saw: centre x, y and side.
    """

    global_points: jax.Array
    global_scores: jax.Array
    points: jax.Array
    scores: jax.Array
    squares: jax.Array


@dataclass(frozen=True)
class AttentionCropping(System):
    """A reconstruction. With 68 points and the defaults it has 31,191,543 parameters.

    Crops of faces are `size` pixels wide in training, whatever the photo has; prediction takes each
    face at the smallest of `sizes` that loses nothing of it. Both stages are FAN's hourglasses. A
    point is the mean position under softmax(temperature x map).

    The loss of a stage is the distance of its points, in pixels of the global stage's input, plus
    `map_weight` times the loss of their maps: heights summed over the map, to Gaussians; logits as
    they are read, times the temperature. The global stage is trained alone first, then all networks
    together. The first errors of the regional networks then shake it: hence the optimiser's warm-up
    and clip. A point that its region does not show does not count there. By default points outside
    the crop are not trained on: a mean place under a map never leaves it.

    Attributes:
        size: Side of training crops, pixels, one of `sizes`.
        outside: Points outside the crop: "masked" or "kept".
        global_size: Side of the global stage's input, pixels.
        regional_size: Side of the regional networks' input, pixels.
        channels: Channels of the hourglasses, a multiple of 8.
        global_stacks: Hourglasses of the global stage.
        regional_stacks: Hourglasses of each regional network.
        temperature: Factor of the maps. Below 12 the ground of a 64 x 64 map visibly draws points
            to the middle.
        crop: What makes the crop of a region. "extent": the longer side of the rectangle around its
            points, times `enlarge`. "moments": the mean of its maps, and four deviations along the
            longer axis, times `enlarge`.
        enlarge: Factor of the crop's side.
        least: Least side of a crop, as a share of the face's.
        crop_jitter: In training, crops move and scale by up to this share of their side.
        stacking: The regional networks see the global maps of their points too.
        stop_gradient: Regional errors do not train the global stage.
        share_eyes: One network for both eyes, the right one mirrored.
        criterion: Loss of the maps, one of losses.LOSSES.
        sigma: Width of the target Gaussians, map pixels.
        map_weight: Weight of the loss of the maps.
        global_epochs: Length of the global stage's training alone.
        joint_epochs: Length of the training of all networks.
        optimizer: The optimiser of both phases.
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
    def idle(self):
        return losses.idle_maps(self.criterion, "sigma")

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
        """All networks by name, "global" first."""
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
        """Points already: those of the first stage place the crops of the second."""
        return self.stages(variables, images)

    def decode(self, maps: Stages):
        return maps.points, maps.scores

    def stages(self, variables: dict, images: jax.Array) -> Stages:
        """What both stages find.

        Args:
            variables: As `init` returns them.
            images: (B, S, S, 3) uint8 RGB crops, S one of `sizes`.

        Returns:
            The points of both stages, and the regional squares.
        """
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
        """The loss of a step of the global stage alone, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key; unused.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        _, whole, stats = self._look(variables, batch["image"], train=True)
        return *self._loss({"global": [self._global_errors(whole, batch)]}), stats

    def joint_loss(self, params, batch_stats, batch, key):
        """The loss of a step of all networks, as Objective takes it.

        Args:
            params: {network: parameters}.
            batch_stats: {network: statistics}.
            batch: A training batch.
            key: A random key, for the jitter of the crops.

        Returns:
            The loss of each face (B,), its named parts (B,), and the new statistics.
        """
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
        """Cuts the regions out and reads them.

        Takes the pyramid and what the global stage sees. Gives the squares (B, regions, 3), what
        the networks see there, by region, and their new statistics. A key, which jitters the
        squares, means training.
        """
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
            side = larger(self.enlarge * side, float(self.least * size))
            squares.append(jnp.concatenate([centre, side[:, None]], 1))
        squares = jnp.stack(squares, 1)
        if key is None:
            return squares
        most = self.crop_jitter
        moves = jax.random.uniform(key, squares.shape, minval=-most, maxval=most)
        return squares + moves * squares[..., 2:]

    def _pictures(self, levels, whole, squares):
        """The input of the networks for each region: its square, normalised.

        If stacked, with the global maps of its points on the same square.
        """
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
        """Pictures or maps of a region, mirrored (or back) if its network is the other eye's."""
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

        `truth` (B, k, 2) is in pixels of the crop, `placed` the same in pixels of the network's
        input, `size` wide.
        """
        shift = (seen.points - truth) * self.global_size / self.size
        distance = jnp.sqrt(jnp.square(shift).sum(-1) + 1e-6)  # the gradient at 0 is 0
        target = targets.gaussian_maps(placed, STRIDE, size, self.sigma, cut=3)
        label = losses.Label(geometry.to_map(placed, STRIDE), target)
        loss, stacks = losses.LOSSES[self.criterion], [x.astype(jnp.float32) for x in seen.maps]
        if loss.logits:
            stacks = [self.temperature * maps for maps in stacks]
        by_map = reduce(add, (loss.call(maps, label) for maps in stacks))
        if not loss.logits:
            by_map = by_map * (target.shape[1] * target.shape[2])
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
    """The rectangle around the points of a region.

    Args:
        points: (B, k, 2), crop pixels.
        logits: Unused.
        stride: Unused.

    Returns:
        Its centre (B, 2) and its longer side (B,), crop pixels.
    """
    # by the places of the ends: the gradient of min compares, as that of maximum (pooling.larger)
    low, high = (
        jnp.take_along_axis(points, end(points, 1)[:, None], 1)[:, 0]
        for end in (jnp.argmin, jnp.argmax)
    )
    return (low + high) / 2, larger(*jnp.moveaxis(high - low, -1, 0))


def moments(points, logits, stride):
    """The mean place and the spread of the maps of a region.

    Args:
        points: Unused.
        logits: (B, h, h, k); their softmaxes are averaged.
        stride: Crop pixels per map pixel.

    Returns:
        The mean place (B, 2) and four deviations along the longer axis (B,), crop pixels. For a bar
            of even light the latter is 1.15 times its length.
    """
    light = jax.nn.softmax(logits, axis=(1, 2)).mean(-1)
    along = jnp.stack([light.sum(1), light.sum(2)], -1)  # (B, h, 2): over x, over y
    places = geometry.from_map(jnp.arange(light.shape[1], dtype=jnp.float32), stride)
    places = places[None, :, None]
    centre = (along * places).sum(1)
    variance = larger(*(along * jnp.square(places - centre[:, None])).sum(1).T)
    return centre, 4 * jnp.sqrt(larger(variance, 1e-6))


CROPS = {"extent": extent, "moments": moments}
