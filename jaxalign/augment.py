"""Training augmentations: geometric ones change the crop's matrix, photometric ones its pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import ClassVar

import cv2
import numpy as np

from jaxalign.settings import Settings


def jpeg(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Store half of the crops as JPEG of a random quality in 10..90, and read them again.

    Args:
        crop: (S, S, 3) uint8 RGB.
        rng: The face's generator.

    Returns:
        A crop of the same shape and type.
    """
    if rng.uniform() < 0.5:
        return crop
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 91))]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), quality)[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None  # it was encoded here
    return decoded


def random_conv(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mix half of the crops with their convolution by a random kernel of 1, 3 or 5 pixels.

    Shapes stay, colours and textures change (Xu et al., "Robust and generalizable visual
    representation learning via random convolutions", ICLR 2021). The weights, from three channels
    to three, are drawn from N(0, 1 / (3 k^2)); the mix is alpha U(0, 1) of the crop and 1 - alpha
    of its convolution. Levels are taken about mid grey, and compressed where they would leave
    0..255.

    Args:
        crop: (S, S, 3) uint8 RGB.
        rng: The face's generator.

    Returns:
        A crop of the same shape and type.
    """
    if rng.uniform() < 0.5:
        return crop
    size, alpha = int(rng.choice((1, 3, 5))), rng.uniform()
    weights = rng.normal(0, (3 * size**2) ** -0.5, (3, 3, size, size)) * (1 - alpha)
    weights[range(3), range(3), size // 2, size // 2] += alpha
    level = crop.astype(np.float32) - 127.5
    if size == 1:
        mixed = cv2.transform(level, weights[..., 0, 0])
    else:
        given = cv2.split(level)
        mixed = np.zeros_like(level)
        for to, channel in np.ndindex(3, 3):
            mixed[..., to] += cv2.filter2D(given[channel], -1, weights[to, channel])
    return _within(mixed + 127.5)


def _within(levels):
    """Any levels as uint8: shifted and compressed, no more than it takes to fit 0..255."""
    low, high = float(levels.min()), float(levels.max())
    factor = 255 / max(high - low, 255)
    offset = -low * factor if low < 0 else min(255 - high * factor, 0)
    return np.rint(levels * factor + offset).astype(np.uint8)


def tone(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give half of the crops another gamma, in 1/2..2, and weaken each channel to 0.6..1.

    Args:
        crop: (S, S, 3) uint8 RGB.
        rng: The face's generator.

    Returns:
        A crop of the same shape and type.
    """
    if rng.uniform() < 0.5:
        return crop
    gamma, gains = 2 ** rng.uniform(-1, 1), rng.uniform(0.6, 1, 3)
    curve = np.linspace(0, 1, 256)[:, None] ** gamma * (255 * gains / gains.max())
    return cv2.LUT(crop, np.rint(curve).astype(np.uint8)[None])


# Matrices from RGB to RGB: the identity, and the brightness in every channel.
EVERY = np.eye(3)
LUMA = np.array([[0.299, 0.587, 0.114]] * 3)

# 256 equally likely values of the standard normal distribution, of variance 1.
NORMAL = np.array([NormalDist().inv_cdf((place + 0.5) / 256) for place in range(256)])
NORMAL /= NORMAL.std()

# Code to a colour space, code back, and the channel that is the brightness (imgaug 0.4).
LIGHTNESS = (
    (cv2.COLOR_RGB2YCrCb, cv2.COLOR_YCrCb2RGB, 0), (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, 2),
    (cv2.COLOR_RGB2HLS, cv2.COLOR_HLS2RGB, 1), (cv2.COLOR_RGB2Lab, cv2.COLOR_Lab2RGB, 0),
    (cv2.COLOR_RGB2Luv, cv2.COLOR_Luv2RGB, 0), (cv2.COLOR_RGB2YUV, cv2.COLOR_YUV2RGB, 0),
)  # fmt: skip

# Name -> (crop (S, S, 3) uint8 RGB, the face's generator) -> a crop of the same shape. It must not
# move pixels: points stay where they are. A fork adds its own.
PIXELS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "jpeg": jpeg,
    "random_conv": random_conv,
    "tone": tone,
}


@dataclass(frozen=True)
class Augment(Settings):
    """Strengths of the training augmentations. 0 everywhere trains on the plain crop.

    Geometric changes are drawn uniformly, and change the square that is cropped. Photometric
    changes are made on the uint8 crop. The crop is changed in this order: colours, `grey`, `blur`,
    `noise`, `occlusion`, `dropout`, `pixels`.

    Attributes:
        rotation: Turn by up to +-this many degrees.
        rotation_p: Probability of a turn.
        scale: Change of the square's side by up to +-this share of it.
        shrink: Makes the face smaller by up to this share.
        shift: Shift by up to +-this share of the square's side, along each axis.
        flip: Probability of mirroring.
        of: "photo": the square is cropped from the photo. "crop": the finished crop is turned and
            moved, and around it all is black, as where crops are made before training (Hsu et al.,
            2020).
        brightness: Change by up to +-this many grey levels.
        gain: Change of the levels by up to +-this share, about black.
        contrast: Change of the levels by up to +-this share, about mid grey.
        saturation: Change by up to +-this share.
        colour_p: Probability of the four changes above, which come together.
        light: What brightness and gain change. "rgb": all three values. "channel": the brightness
            channel of a colour space drawn from LIGHTNESS, gain first or last by chance (imgaug's
            MultiplyAndAddToBrightness).
        grey: Probability of a grey crop.
        blur: Probability of a Gaussian blur.
        noise: Probability of Gaussian noise, the same in all channels.
        occlusion: Probability of covering one rectangle.
        occlusion_area: Largest area of that rectangle, as a share of the crop's.
        dropout: Probability of blackening a fifth of the cells of a grid ("coarse dropout").
        dropout_cells: Cells of that grid along each side of the crop.
        dropout_size: Above 0 the grid lies over the whole photo instead, with cells along each axis
            for this share of its pixels, at least 3 (imgaug's size_percent: 0.02 makes cells of
            about 50 photo pixels).
        pixels: Entries of PIXELS ("jpeg", "random_conv", "tone"), done last, in this order.
    """

    where: ClassVar[str] = "data.augment."

    rotation: float = 30.0
    rotation_p: float = 1.0
    scale: float = 0.1
    shrink: float = 0.0
    shift: float = 0.05
    flip: float = 0.5
    of: str = "photo"
    brightness: float = 30.0
    gain: float = 0.0
    contrast: float = 0.3
    saturation: float = 0.3
    colour_p: float = 1.0
    light: str = "rgb"
    grey: float = 0.1
    blur: float = 0.1
    noise: float = 0.1
    occlusion: float = 0.3
    occlusion_area: float = 0.15
    dropout: float = 0.0
    dropout_cells: int = 16
    dropout_size: float = 0.0
    pixels: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        self.check_choices(of=("photo", "crop"))
        shares = ("rotation_p", "flip", "colour_p", "grey", "blur", "noise", "occlusion")
        self.check_shares(*shares, "occlusion_area", "dropout", "dropout_size")
        self.check_choices(light=("rgb", "channel"))
        self.check_least(dropout_cells=1)
        strengths = ("rotation", "scale", "shift", "brightness", "gain", "contrast", "saturation")
        self.check_least(**dict.fromkeys((*strengths, "shrink"), 0))
        for name in ("scale", "shrink"):
            if not getattr(self, name) < 1:
                self.refuse(name, "must be below 1")
        for name in self.pixels:
            if name not in PIXELS:
                self.refuse("pixels", f"{name!r} is not one of: {', '.join(PIXELS)}")

    @property
    def idle(self):
        found = {} if self.occlusion else {"occlusion_area": "occlusion=0 covers nothing"}
        if not self.dropout:
            found |= dict.fromkeys(("dropout_cells", "dropout_size"), "dropout=0 blackens nothing")
        elif self.dropout_size:
            found["dropout_cells"] = f"dropout_size={self.dropout_size} makes cells of the photo"
        if not (self.brightness or self.gain):
            found["light"] = "brightness=0 and gain=0 leave it as it is"
        if not (self.rotation or self.scale or self.shrink or self.shift):
            found["of"] = "the crop is neither turned nor scaled nor moved"
        return found


def geometric(**strengths: float | str) -> Augment:
    """Augmentations that change only the geometry, and what is named.

    Args:
        **strengths: Fields of `Augment`. Rotation, scale, shift and flip keep its defaults.

    Returns:
        The augmentations.
    """
    off = ("brightness", "contrast", "saturation", "grey", "blur", "noise", "occlusion")
    return replace(Augment(), **dict.fromkeys(off, 0.0) | strengths)


@dataclass(frozen=True)
class Pose:
    """How the crop's square is changed before it becomes a matrix.

    Attributes:
        degrees: Turn, clockwise as seen.
        zoom: Factor on the square's side.
        shift: Shift along x and y, as shares of the square's side.
        flip: Whether the crop is mirrored.
    """

    degrees: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False


def draw_pose(augment: Augment, rng: np.random.Generator) -> Pose:
    """Draw the geometric change of one face. Always draws the same number of values.

    Args:
        augment: The strengths.
        rng: The face's generator.

    Returns:
        The change.
    """
    turn, zoom, dx, dy = rng.uniform(-1, 1, 4)
    turned, flipped = rng.uniform(0, 1, 2)
    return Pose(
        degrees=turn * augment.rotation if turned < augment.rotation_p else 0.0,
        zoom=(1 + zoom * augment.scale) / (1 - augment.shrink * (1 + zoom) / 2),
        shift=(dx * augment.shift, dy * augment.shift),
        flip=bool(flipped < augment.flip),
    )


def photometric(
    crop: np.ndarray,
    augment: Augment,
    rng: np.random.Generator,
    matrix: np.ndarray | None = None,
    photo: tuple[int, int] | None = None,
) -> np.ndarray:
    """Change light and colour of a crop, and cover parts of it.

    Args:
        crop: (S, S, 3) uint8 RGB.
        augment: The strengths.
        rng: The face's generator.
        matrix: (2, 3), photo -> crop. Needed for `dropout_size` alone.
        photo: Height and width of the photo. Needed for `dropout_size` alone.

    Returns:
        A crop of the same shape and type.
    """
    chance = rng.uniform(0, 1, 5)
    if augment.brightness or augment.gain or augment.contrast or augment.saturation:
        crop = _colour(crop, augment, rng)
    if chance[0] < augment.grey:
        crop = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[1] < augment.blur:
        crop = _blurred(crop, rng.uniform(0.3, 1.0) * crop.shape[0] / 64)
    if chance[2] < augment.noise:
        crop = _noisy(crop, rng.uniform(2, 12), rng)
    if chance[3] < augment.occlusion:
        crop = _cover(crop, rng, augment.occlusion_area)
    if chance[4] < augment.dropout:
        crop = crop * _kept(crop.shape[0], augment, rng, matrix, photo)[..., None]
    for name in augment.pixels:
        crop = PIXELS[name](crop, rng)
    return crop


def _colour(crop, augment, rng):
    """Contrast about mid grey, brightness, saturation, gain: one 3x4 colour matrix, one pass."""
    if augment.colour_p < 1 and rng.uniform() >= augment.colour_p:
        return crop
    brightness, contrast, saturation = rng.uniform(-1, 1, 3)
    gain = 1 + contrast * augment.contrast
    keep = 1 + saturation * augment.saturation
    matrix = gain * (keep * EVERY + (1 - keep) * LUMA)
    offset = brightness * augment.brightness + 128 * (1 - gain)
    factor = 1 + rng.uniform(-1, 1) * augment.gain if augment.gain else 1.0
    if augment.light == "channel":
        added = brightness * augment.brightness
        crop = _mixed(crop, matrix, offset - added)
        return _lighten(crop, factor, added, rng)
    return _mixed(crop, factor * matrix, offset)


def _mixed(crop, matrix, offset):
    """Every pixel times the matrix (3, 3), plus the offset."""
    whole = np.empty((3, 4))
    whole[:, :3], whole[:, 3] = matrix, offset
    return cv2.transform(crop, whole)


def _lighten(crop, factor, added, rng):
    """The brightness channel of a colour space times `factor` plus `added`, or the other way."""
    to_space, back, channel = LIGHTNESS[rng.integers(len(LIGHTNESS))]
    levels = np.arange(256.0)
    if rng.uniform() < 0.5:
        levels = np.clip(levels * factor, 0, 255) + added
    else:
        levels = np.clip(levels + added, 0, 255) * factor
    levels = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    space = cv2.cvtColor(crop, to_space)
    space[..., channel] = levels[space[..., channel]]
    return cv2.cvtColor(space, back)


def _blurred(crop, sigma):
    """A Gaussian blur. cv2.GaussianBlur is equal but for rounding, and takes twice as long."""
    kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma)
    return cv2.sepFilter2D(crop, -1, kernel, kernel)


def _noisy(crop, sigma, rng):
    """Normal noise on top, the same in all channels: one of 256 levels for every pixel."""
    levels = np.rint(sigma * NORMAL)
    drawn = np.frombuffer(rng.bytes(crop.shape[0] * crop.shape[1]), np.uint8)
    drawn = drawn.reshape(crop.shape[:2])
    more, less = (
        cv2.cvtColor(cv2.LUT(drawn, side.clip(0, 255).astype(np.uint8)), cv2.COLOR_GRAY2RGB)
        for side in (levels, -levels)
    )
    return cv2.subtract(cv2.add(crop, more), less)  # within 0..255


def _kept(size, augment, rng, matrix, photo):
    """(S, S) uint8: 0 in a fifth of the cells of the crop or of the photo, 1 elsewhere."""
    if not augment.dropout_size:
        cells = augment.dropout_cells, augment.dropout_cells
        matrix, photo = np.eye(2, 3), (size, size)
    else:
        cells = [max(3, int(augment.dropout_size * side)) for side in photo]
    kept = (rng.uniform(size=cells) >= 0.2).astype(np.uint8)
    # image pixel = side / cells * (cell + 1/2) - 1/2
    pitch = np.array(photo[::-1]) / cells[::-1]
    offset = matrix[:, :2] @ ((pitch - 1) / 2) + matrix[:, 2]
    to_crop = np.hstack([matrix[:, :2] * pitch, offset[:, None]])
    return cv2.warpAffine(kept, to_crop, (size, size), flags=cv2.INTER_NEAREST, borderValue=1.0)


def _cover(crop, rng, area):
    """Fill a rectangle of up to `area` of the crop with one colour or noise."""
    crop, size = crop.copy(), crop.shape[0]
    share, aspect = rng.uniform(0.2, 1) * area, np.exp(rng.uniform(-0.7, 0.7))
    height = min(size, max(1, round(size * np.sqrt(share * aspect))))
    width = min(size, max(1, round(size * np.sqrt(share / aspect))))
    y, x = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    noisy = rng.uniform() < 0.5
    shape = (height, width, 3) if noisy else (1, 1, 3)
    crop[y : y + height, x : x + width] = rng.integers(0, 256, shape, np.uint8)
    return crop
