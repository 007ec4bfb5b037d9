"""From the light to the stored photo: lens, sensor, development, file.

Lengths are in head units, places in shares of the photo's side; so a face keeps its look at any
size. Nothing here moves anything: points stay where they are.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np


SHRINK = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
ENLARGE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST_EXACT)
LUMA = np.tile([0.114, 0.587, 0.299], (3, 1))  # of (blue, green, red)
SEPIA = np.array([[0.72], [0.9], [1.08]]) * LUMA
EXPOSED = 0.53  # the mean level in the middle of a photo that is exposed for it
SMALLEST = 16  # pixels along the side of a photo of low resolution


@dataclass(frozen=True)
class Sensor:
    """What the camera does. By default nothing."""

    soft: float = 0.0  # standard deviation of a soft focus, head units
    disc: float = 0.0  # radius of the disc that a point out of focus becomes, head units
    motion: float = 0.0  # length of a motion blur, head units
    angle: float = 0.0  # of the motion, radians
    pixels: float = 0.0  # of a low resolution, per head unit; 0 for the photo's own
    shrink: int = cv2.INTER_AREA
    enlarge: int = cv2.INTER_LINEAR
    noise: float = 0.0  # of the brightness, grey levels
    chroma: float = 0.0  # of the colours, in spots, grey levels
    shade: float = 0.0  # how much darker the photo's far end is
    middle: tuple[float, float] = (0.5, 0.5)  # the brightest place
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors of (blue, green, red)
    saturation: float = 1.0
    sepia: float = 0.0
    metered: float = 0.0  # how far the exposure follows the middle of the photo, 1: all the way
    gamma: float = 1.0
    contrast: float = 0.0  # above 0 an S-shaped curve, below 0 a flat one
    black: float = 0.0  # all below this share of the mean level becomes black
    blown: float = 0.0  # this share of the levels above the mean becomes white
    fade: tuple[float, float] = (0.0, 1.0)  # what black and white are printed as
    sharpen: float = 0.0
    dots: float = 0.0  # depth of a printing screen or of scan lines
    dot_pitch: tuple[float, float] = (0.0, 0.0)  # periods along x and y, share of the side; 0: none
    quality: int = 100  # of an earlier JPEG file; 100 for none
    frame: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # left, top, right, bottom
    frame_colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    text: str = ""
    text_place: tuple[float, float, float] = (0.0, 0.0, 0.0)  # x, y and height, shares of the side
    text_shade: float = 255.0


def sample(rng: np.random.Generator, blurred: bool, harsh: bool) -> Sensor:
    """A camera. Strong blur comes with `blurred` alone, strong tone curves with `harsh` alone.

    Two in five do hardly anything.
    """
    sensor = Sensor(noise=rng.uniform(0.5, 3), soft=rng.uniform(0, 0.008))
    sensor = replace(sensor, metered=rng.uniform(0.1, 0.7) if harsh else rng.uniform(0.3, 1.0))
    if blurred:
        sensor = _blur(sensor, rng)
    if rng.random() < 0.4 and not harsh:
        return replace(sensor, gamma=float(np.exp(rng.normal(0, 0.08))))
    return _file(_tone(_noise(sensor, rng, blurred), rng, harsh), rng)


def _blur(sensor, rng):
    """Blurs, each strong enough for the label blur."""
    kind, strong = rng.random(), rng.uniform(0.03, 0.08)
    if kind < 0.3:
        return replace(sensor, motion=4 * strong, angle=rng.uniform(0, np.pi))
    if kind < 0.5:
        return replace(sensor, disc=2 * strong)
    if kind < 0.7:
        return _shrunk(replace(sensor, soft=strong), rng, 10, 40)
    if kind < 0.85:
        return _shrunk(sensor, rng, 7, 16)
    return replace(sensor, soft=strong)


def _shrunk(sensor, rng, low, high):
    pixels = np.exp(rng.uniform(np.log(low), np.log(high)))
    shrink, enlarge = SHRINK[rng.integers(3)], ENLARGE[rng.choice(3, p=(0.55, 0.35, 0.1))]
    return replace(sensor, pixels=float(pixels), shrink=shrink, enlarge=enlarge)


def _noise(sensor, rng, blurred):
    """Losses of the picture: low resolution, noise, earlier compression, sharpening."""
    if not blurred and rng.random() < 0.25:
        sensor = _shrunk(sensor, rng, 20, 75)
    if rng.random() < 0.3:
        sensor = replace(sensor, noise=2 + 12 * rng.random() ** 2, chroma=12 * rng.random() ** 2)
    if not blurred and rng.random() < 0.15:  # a Bayer mosaic's softness, a cheap lens's
        sensor = replace(sensor, soft=rng.uniform(0.008, 0.02))
    if not blurred and rng.random() < 0.1:
        sensor = replace(sensor, motion=rng.uniform(0.03, 0.09), angle=rng.uniform(0, np.pi))
    if rng.random() < 0.5:
        sensor = replace(sensor, sharpen=rng.uniform(0.3, 2.0))
    if rng.random() < 0.5:
        least = 30 if sensor.pixels else 10
        sensor = replace(sensor, quality=int(rng.integers(least, 96)))
    return sensor


def _tone(sensor, rng, harsh):
    """Colours and the tone curve."""
    kind = rng.random()
    if kind < 0.17:
        sensor = replace(sensor, saturation=0.0, sepia=rng.choice((0, 0, 0, 0.3, 1)))
    elif kind < 0.3:
        sensor = replace(sensor, saturation=rng.uniform(0.2, 0.8))
    elif kind < 0.45:
        sensor = replace(sensor, saturation=rng.uniform(1.1, 1.9))
    if rng.random() < 0.4:
        cast = np.exp(rng.normal(0, 0.16, 3))
        sensor = replace(sensor, white=tuple((cast / cast.mean()).tolist()))
    if rng.random() < 0.25:
        place = tuple(rng.uniform(0.1, 0.9, 2).tolist())
        sensor = replace(sensor, shade=rng.uniform(0.2, 0.7), middle=place)
    strength = 1.7 if harsh else 1.0
    if rng.random() < 0.13:  # an old print, haze
        low, high = rng.uniform(0, 0.25), rng.uniform(0.7, 1)
        sensor = replace(sensor, fade=(low, high))
    return replace(
        sensor,
        gamma=float(np.exp(rng.normal(0, 0.22))),
        contrast=float(np.clip(rng.normal(0.35, 0.35), -0.4, 0.9)),
        black=strength * rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0,
        blown=strength * rng.uniform(0, 0.3) if rng.random() < 0.3 else 0.0,
    )


def _file(sensor, rng):
    """Rare marks on the picture: a printing screen or scan lines, a frame, a text."""
    chance = rng.random(3)
    if chance[0] < 0.04:
        both = 1 / rng.uniform(50, 110)
        pitch = (both, both) if rng.random() < 0.6 else (0.0, both)
        sensor = replace(sensor, dots=rng.uniform(0.1, 0.45), dot_pitch=pitch)
    if chance[1] < 0.07:
        sides = rng.uniform(0.01, 0.14, 4) * (rng.random(4) < 0.6)
        colour = rng.choice((0, 0, 255, 128), 1) + np.zeros(3)
        sensor = replace(sensor, frame=tuple(sides.tolist()), frame_colour=tuple(colour.tolist()))
    if chance[2] < 0.05:
        letters = rng.integers(ord("0"), ord("z") + 1, rng.integers(4, 16))
        x, y, height = rng.uniform((-0.1, 0.05, 0.015), (0.7, 1, 0.07)).tolist()
        sensor = replace(
            sensor,
            text="".join(map(chr, letters)),
            text_place=(x, y, height),
            text_shade=float(rng.choice((255, 230, 0, 90))),
        )
    return sensor


def expose(
    image: np.ndarray, sensor: Sensor, unit: float, room: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The photo (S, S, 3) that the camera makes of the light on it, both uint8 BGR.

    `unit` is the pixels of a head unit; `room`, as shares of the side, how far the points lie from
    the left, upper, right and lower edge: a frame covers none of them.
    """
    size = len(image)
    image = _lens(image, sensor, unit)
    side = max(SMALLEST, round(size * sensor.pixels / unit)) if sensor.pixels else size
    if side < size:
        image = cv2.resize(image, (side, side), interpolation=sensor.shrink)
    if sensor.shade:
        image = _shaded(image, sensor)
    if sensor.noise or sensor.chroma:
        image = _noisy(image, sensor, rng)
    image = _developed(image, sensor)
    if sensor.sharpen:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        image = cv2.addWeighted(image, 1 + sensor.sharpen, blurred, -sensor.sharpen, 0)
    if sensor.quality < 100:
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.quality])[1]
        decoded = cv2.imdecode(stored, cv2.IMREAD_COLOR)
        assert decoded is not None  # it was encoded here
        image = decoded
    if side < size:
        image = cv2.resize(image, (size, size), interpolation=sensor.enlarge)
    return _printed(image, sensor, room)


def _lens(image, sensor, unit):
    if sensor.soft * unit > 0.4:
        image = cv2.GaussianBlur(image, (0, 0), sensor.soft * unit)
    if sensor.disc * unit > 0.8:
        image = cv2.filter2D(image, -1, disc(sensor.disc * unit))
    if sensor.motion * unit > 1:
        image = cv2.filter2D(image, -1, _streak(sensor.motion * unit, sensor.angle))
    return image


def disc(radius: float) -> np.ndarray:
    """A kernel whose weights are 1 within `radius` pixels, and sum to 1."""
    reach = int(np.ceil(radius))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    far = np.hypot(steps[:, None], steps[None])
    kernel = np.clip(radius + 0.5 - far, 0, 1)
    return kernel / kernel.sum()


def _streak(pixels, angle):
    length = max(3, int(pixels) | 1)
    kernel = np.zeros((length, length), np.float32)
    reach = length // 2 * np.array([np.cos(angle), np.sin(angle)])
    a, b = np.rint(length // 2 - reach).astype(int), np.rint(length // 2 + reach).astype(int)
    cv2.line(kernel, a.tolist(), b.tolist(), 1.0)
    return kernel / kernel.sum()


def _shaded(image, sensor):
    """Darker with the square of the distance from the brightest place."""
    steps = (np.arange(32, dtype=np.float32) + 0.5) / 32
    far = (steps - sensor.middle[0]) ** 2 + (steps[:, None] - sensor.middle[1]) ** 2
    level = (255 * (1 - sensor.shade * far / far.max())).astype(np.uint8)
    level = cv2.resize(level, (len(image), len(image)))
    return cv2.multiply(image, cv2.cvtColor(level, cv2.COLOR_GRAY2BGR), scale=1 / 255)


def _noisy(image, sensor, rng):
    side = len(image)
    if sensor.noise:
        grain = rng.integers(0, 256, (side, side), np.uint8)
        amount = sensor.noise / 74  # the standard deviation of 0..255
        grain = cv2.cvtColor(grain, cv2.COLOR_GRAY2BGR)
        image = cv2.addWeighted(image, 1, grain, amount, -127.5 * amount)
    if sensor.chroma:
        spots = rng.integers(0, 256, (max(side // 3, 1), max(side // 3, 1), 3), np.uint8)
        spots = cv2.resize(spots, (side, side))
        amount = sensor.chroma / 50  # enlarging has smoothed them
        image = cv2.addWeighted(image, 1, spots, amount, -127.5 * amount)
    return image


def _developed(image, sensor):
    """White balance, saturation and sepia as one matrix, then the tone curve."""
    keep, brown = sensor.saturation, sensor.sepia
    if keep != 1 or brown or sensor.white != (1.0, 1.0, 1.0):
        matrix = keep * np.eye(3) + (1 - keep) * ((1 - brown) * LUMA + brown * SEPIA)
        image = cv2.transform(image, matrix * np.asarray(sensor.white))
    return cv2.LUT(image, _curve(sensor, float(np.mean(cv2.mean(_centre(image))[:3])) / 255))


def _centre(image):
    low, high = len(image) // 3, -(-2 * len(image) // 3)
    return image[low:high, low:high]


def _curve(sensor, mean):
    """(256,) uint8: the developed value of every level, if the mean level is `mean`, in 0..1."""
    black, white = mean * sensor.black, 1 - (1 - mean) * sensor.blown
    level = np.clip((np.linspace(0, 1, 256) - black) / (white - black), 0, 1)
    exposed = np.log(EXPOSED) / np.log(np.clip(mean, 0.05, 0.9))  # a power that meters fully
    level = level ** (sensor.gamma * exposed**sensor.metered)
    steep = level * level * (3 - 2 * level)
    level = level + sensor.contrast * (steep - level)
    low, high = sensor.fade
    return np.rint(255 * (low + (high - low) * level)).astype(np.uint8)


def _printed(image, sensor, room):
    """A printing screen, a text and a frame over the finished photo."""
    size = len(image)
    if sensor.dots:
        along = np.arange(size, dtype=np.float32) * (2 * np.pi / size)
        waves = [np.cos(along / p) if p else np.ones(size, np.float32) for p in sensor.dot_pitch]
        screen = waves[0] * waves[1][:, None]
        factor = 1 - sensor.dots * (0.5 + 0.5 * screen)
        image = cv2.multiply(image, cv2.merge([factor] * 3), dtype=cv2.CV_8U)
    if sensor.text:
        x, y, height = (place * size for place in sensor.text_place)
        shade = (sensor.text_shade,) * 3
        thick = max(1, round(0.12 * height))
        cv2.putText(image, sensor.text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX,
                    height / 22, shade, thick, cv2.LINE_AA)  # fmt: skip
    if any(sensor.frame):
        widths = np.minimum(sensor.frame, np.clip(room - 0.02, 0, None)) * size
        left, top, right, bottom = (int(w) for w in widths)
        image[:top] = image[size - bottom :] = sensor.frame_colour
        image[:, :left] = image[:, size - right :] = sensor.frame_colour
    return image
