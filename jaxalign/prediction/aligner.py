"""A trained checkpoint on photos: images in, faces with their points out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxalign import buckets, geometry, photos
from jaxalign.conversion import CONVERTERS, checked_target
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, warp
from jaxalign.prediction.detection import Cascade, Detector
from jaxalign.prediction.face import Face
from jaxalign.prediction.looks import Network, by_size, fitting_batch, next_squares
from jaxalign.prediction.onnx_model import SUFFIX, OnnxModel
from jaxalign.prediction.search import SHARE, Auto, Search, named, search
from jaxalign.schemes import IBUG68, SCHEMES, UNION


if TYPE_CHECKING:  # a model in a file does without JAX
    from jaxalign.systems.interface import System


REFINE = 1  # how often an Aligner looks again by default


class Aligner:
    """Finds the faces of images and their points.

    The network always takes `batch` crops at a time, padded if there are fewer. So it is compiled
    once for each crop size, and a face's points do not depend on the other faces of the call.

    Boxes, found or given, are taken for rectangles around the landmarks, and are cropped by the
    recipe's rule for landmark boxes. If the recipe centres crops on the mean of the true points,
    the centre of the box stands for it (on 300W it lies 3.5 % of the face's side below).

    If the detector offers `stages` (`search.Search`), it finds candidates. Those whose score is
    below `least_score` are dropped, and the best of overlapping ones is kept.

    Several threads may use one Aligner, with any of the detectors of this package.

    Examples:
        >>> import jaxalign
        >>> aligner = jaxalign.load(min_score=0.3)
        >>> image = jaxalign.photos.read("photo.jpg")
        >>> faces = aligner(image)  # the largest first
        >>> both = aligner([image, image])  # a list of faces for each image
        >>> given = aligner(image, boxes=[faces[0].box])
    """

    def __init__(
        self,
        system: "System | OnnxModel",
        variables: dict | None,
        crop: Crop,
        *,
        detector: Detector | str | None = None,
        batch: int = 0,
        min_score: float = 0.0,
        least_score: float = 0.0,
        scheme: str = "",
        refine: int = REFINE,
    ):
        """Bind a system to its trained variables.

        Args:
            system: The system, or an OnnxModel.
            variables: Its variables, as `System.init` gives them; None for an OnnxModel.
            crop: The recipe's crop. Its rule for landmark boxes is used.
            detector: What finds faces: a Detector, or a name of `search.DETECTORS`. Default:
                "auto", or "cascade" if `least_score` is 0, since nothing can be verified then.
            batch: Crops at a time, rounded up to the devices. Crops larger than `system.size` are
                fewer at a time. Batches above 32 are padded no further than their faces need.
                Default: 1 a device on CPUs, 32 on accelerators.
            min_score: Score below which a face has the status "low_confidence".
            least_score: Score that a candidate must have to be a face.
            scheme: Scheme of the points of the faces: the network's own, or one whose points all
                come from those (`conversion.given`). Default: the network's own, or ibug68 for a
                network of union.
            refine: How often a face is cropped again around the points found, by the same rule, and
                predicted once more. It corrects a box that is off, and takes the network's time
                again. Points and scores are those of the last look, `Face.box` is that of the
                first. A face whose next square would run away keeps its points
                (`looks.next_squares`).

        Raises:
            InputError: `refine` is below 0, the detector cannot be had, or the network does not
                give the scheme. The message lists the schemes that there are.
        """
        if refine < 0:
            raise InputError(f"refine={refine}: must be 0 or more")
        self.system, self.crop, self.rule = system, crop, crop.landmarks
        self.refine = refine
        if detector in (None, "auto"):  # without a score nothing can be verified
            detector = Auto() if least_score else Cascade()
        self.detector = named(detector) if isinstance(detector, str) else detector
        self.least_score = least_score
        self._network = _network(system, variables)
        self.batch = batch or self._network.together
        self.min_score = min_score
        own = system.points
        self.scheme = IBUG68 if own == UNION else own
        if scheme:
            self.scheme = SCHEMES[checked_target(own.name, scheme)]
        self._converter = None if self.scheme == own else CONVERTERS[own.name, self.scheme.name]
        self._shapes = set()

    def __repr__(self) -> str:
        points = f"{self.scheme.num_points} points of {self.scheme.name}"
        return f"Aligner({type(self.system).__name__}, {points}, detector {self.detector.name})"

    @property
    def variables(self) -> dict:
        """Those of a trained system, as they lie on its devices."""
        return self._network.variables  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def compilations(self) -> int:
        """How often the network has been compiled: once for each shape of a batch."""
        return len(self._shapes)

    def __call__(self, images, boxes=None) -> list[Face] | list[list[Face]]:
        """Find the faces of one image, or of several.

        Args:
            images: A photo's file, an image of Pillow, or a uint8 array, (H, W, 3) RGB, (H, W, 4)
                RGBA or (H, W) grey, upright as a viewer shows it (`photos.as_rgb`). Or several: a
                list of them, or (B, H, W, 3).
            boxes: (N, 4), x0, y0, x1, y1 in pixels of the image; for several images a list of them,
                with None for images whose faces are to be found. Default: faces are found.

        Returns:
            The faces of the image, the largest first, or in the order of given boxes. The list is
                empty if there is no face. For several images a list of such lists.

        Raises:
            InputError: An image cannot be read, or a box has no extent or lies outside its image.
        """
        if isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4:
            return self.align(images, boxes)
        return self.align([images], None if boxes is None else [boxes])[0]

    def align(self, images: Sequence, boxes: Sequence | None = None) -> list[list[Face]]:
        """Find the faces of several images, as a call does.

        Args:
            images: Images, as in a call.
            boxes: The boxes of each, (N, 4), or None. Default: None for all.

        Returns:
            The faces of each image.

        Raises:
            InputError: As in a call.
        """
        boxes = [None] * len(images) if boxes is None else boxes
        if len(boxes) != len(images):
            raise InputError(f"boxes for {len(boxes)} images, but there are {len(images)}")
        faces, squares = [[] for _ in images], []  # squares: image, its place, box, origin
        searched = {}
        for place, (image, given) in enumerate(zip(images, boxes, strict=True)):
            try:
                image = photos.as_rgb(image)
                known = None if given is None else checked(given, image)
            except InputError as error:
                raise InputError(f"image {place}: {error}") from None
            if known is None and isinstance(self.detector, Search):
                searched[place] = image
            elif known is None:
                found = [face.box for face in self.detector(image)]
                squares += [(image, place, box, self.detector.name) for box in found]
            else:
                squares += [(image, place, box, "given") for box in known]
        for place, face, _ in self._faces(squares):
            faces[place].append(face)
        if isinstance(self.detector, Search):
            for place, found in search(
                self.detector, searched, self._faces, self.least_score
            ).items():
                faces[place] = found
        return faces

    def _faces(self, squares) -> list[tuple[int, Face, np.ndarray]]:
        """[(image, its place, box, origin)] -> the place, the face and the box of its points."""
        faces, framed = [], list(self.system.points.framed or range(self.system.points.num_points))
        for (_, place, box, origin), points, scores in zip(
            squares, *self._points([(image, box) for image, _, box, _ in squares]), strict=True
        ):
            score, seen = float(scores.mean()), geometry.landmark_box(points[framed])
            if self._converter:
                points, scores = self._converter.predicted(points, scores)
            status = "ok" if score >= self.min_score else "low_confidence"
            face = Face(
                points=points, scores=scores, box=box, origin=origin, score=score, status=status,
                scheme=self.scheme,
            )  # fmt: skip
            faces.append((place, face, seen))
        return faces

    def _points(self, faces):
        """[(image, box)] -> float32 points (F, K, 2) in pixels of the images, scores (F, K)."""
        count = self.system.points.num_points
        points = np.zeros((len(faces), count, 2), np.float32)
        scores = np.zeros((len(faces), count), np.float32)
        first = [geometry.square(box, self.rule.enlarge, self.rule.down) for _, box in faces]
        squares = {place: (*square, 0.0) for place, square in enumerate(first)}
        for look in range(1 + self.refine):
            if look:
                squares = next_squares(points, first, self.crop, self.system.points)
            for size, those in by_size(self.system.sizes, squares).items():
                most = fitting_batch(
                    self.system.size, size, self.batch, len(those), self._network.devices
                )
                for start in range(0, len(those), most):
                    part = list(those)[start : start + most]
                    matrices = [_matrix(those[place], size) for place in part]
                    crops = np.zeros((most, size, size, 3), np.uint8)
                    for row, (place, matrix) in enumerate(zip(part, matrices, strict=True)):
                        crops[row] = warp(faces[place][0], matrix, size)
                    self._shapes.add(crops.shape)
                    found, scores[part] = self._network(crops, len(part))
                    inverse = geometry.invert(np.stack(matrices))
                    points[part] = geometry.transform(inverse, found.astype(np.float64))
        return points, scores


def _network(system, variables) -> Network:
    if isinstance(system, OnnxModel):
        return system
    from jaxalign.prediction.predictor import Trained

    return Trained(system, variables)


def _matrix(square, size):
    centre, side, degrees = square
    return geometry.crop_matrix(centre, side, size, degrees)


def checked(boxes, image: np.ndarray) -> np.ndarray:
    """Check boxes against their image.

    Args:
        boxes: Rows of x0, y0, x1, y1 in pixels of the image.
        image: The image.

    Returns:
        The (N, 4) float32 boxes.

    Raises:
        InputError: They are no such rows, or a box has no extent or lies outside the image.
    """
    try:
        boxes = np.array(boxes, np.float32, ndmin=2)
    except (ValueError, TypeError):
        boxes = None
    if boxes is None or boxes.size and boxes.shape[1:] != (4,):
        raise InputError("boxes must be rows of four numbers, x0, y0, x1, y1")
    boxes = boxes.reshape(-1, 4)  # no box: (0, 4)
    height, width = image.shape[:2]
    for box in boxes:
        x0, y0, x1, y1 = box
        if not (np.isfinite(box).all() and x0 < x1 and y0 < y1):
            raise InputError(f"the box {box.tolist()} has no extent; give x0, y0, x1, y1")
        if not (x0 < width and y0 < height and x1 > -1 and y1 > -1):
            raise InputError(f"the box {box.tolist()} lies outside its {width} x {height} pixels")
    return boxes


def load(
    path: Path | str | None = None,
    which: str = "best",
    *,
    detector: Detector | str | None = None,
    batch: int = 0,
    min_score: float | None = None,
    scheme: str = "",
    refine: int = REFINE,
) -> Aligner:
    """Load a checkpoint or an ONNX model as an Aligner.

    Args:
        path: A run's work directory, a step's folder, a file of `jaxalign export` (.safetensors),
            or the name of packaged weights (`jaxalign.weights`). Default: the packaged weights. A
            file named .onnx is run by ONNX Runtime, and JAX is not imported.
        which: The step of a work directory: "best" or "latest".
        detector: What finds faces: a Detector, or a name of `search.DETECTORS`. Default: "auto" if
            the checkpoint notes a score to verify faces by, else "cascade".
        batch: Crops at a time, as in `Aligner`.
        min_score: Score below which a face has the status "low_confidence". Default: the score that
            the checkpoint notes, which 99 % of the validation faces of its run reached.
        scheme: Scheme of the points, as in `Aligner`.
        refine: How often a face is looked at again, as in `Aligner`.

    Returns:
        The Aligner.

    Raises:
        InputError: There is no checkpoint, it is damaged or of another program, it does not give
            the scheme, or the detector cannot be had.

    Examples:
        >>> import jaxalign
        >>> aligner = jaxalign.load("runs/wflw", scheme="ibug68")
    """
    if path is not None and Path(path).suffix == SUFFIX:
        system = OnnxModel(buckets.file(path))
        variables, crop, low_score = None, system.crop, system.low_score
    else:
        from jaxalign import checkpoints

        recipe, variables, step = checkpoints.load(path, which)
        system, crop, low_score = recipe.system, recipe.data.crop, checkpoints.low_score(step)
    if min_score is None:
        min_score = low_score
    return Aligner(
        system, variables, crop,
        detector=detector, batch=batch, min_score=min_score, least_score=SHARE * low_score,
        scheme=scheme, refine=refine,
    )  # fmt: skip
