"""dlib's regression trees (Kazemi and Sullivan, CVPR 2014), trained and scored on the same faces;
or a published predictor scored.

examples:
  python -m benchmarks.dlib_baseline --data ibug_300w/train --test ibug_300w/test --out runs/dlib
  python -m benchmarks.dlib_baseline --predictor FILE --boxes dlib --test ibug_300w/test --out W

needs: pip install dlib (it is compiled; dlib-bin is the same, prebuilt), and data made by
jaxalign prepare.

dlib gets the whole photo in grey and, in training and test alike, the square around the landmark
box. It takes and gives whole pixels only: boxes and true points are rounded to train, errors are
measured against the true points as they are. Papers score it on the faces that its own detector
finds: their rates and NMEs are printed for each subset. With `--boxes dlib` the predictor is given
the detector's own boxes, as published ones were trained on, and the faces that it does not find are
left out and counted. Left in --out: predictor.dat where one was trained, predictions.jsonl (for
`jaxalign evaluate --predictions` and `--compare`), detected.jsonl, the same of the found faces
alone, and dlib.json, the numbers of the last lines.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from jaxalign import geometry
from jaxalign.commands import add_data_dir, evaluate, new_parser, run
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.evaluation.tables import percent
from jaxalign.evaluation.truth import truth_of
from jaxalign.pipeline import BoxRule, Crop, decode
from jaxalign.protocols import Protocol, protocol_for
from jaxalign.recipe import override
from jaxalign.records import json_text
from jaxalign.schemes import SCHEMES
from jaxalign.settings import Settings
from jaxalign.sources import benchmark_of, first, open_source


FOUND = 0.3  # IoU with the landmark box from which a detection counts as the face


@dataclass(frozen=True)
class Options(Settings):
    """dlib.shape_predictor_training_options with its defaults, and whether the mirrored photos are
    trained on too."""

    cascade_depth: int = 10
    tree_depth: int = 4
    num_trees_per_cascade_level: int = 500
    nu: float = 0.1
    oversampling_amount: int = 20
    oversampling_translation_jitter: float = 0.0
    feature_pool_size: int = 400
    feature_pool_region_padding: float = 0.0
    landmark_relative_padding_mode: bool = True
    lambda_param: float = 0.1
    num_test_splits: int = 20
    random_seed: str = ""
    num_threads: int = 0  # 0: no others than the calling one
    mirrored: bool = False

    def __post_init__(self):
        counts = ("cascade_depth", "tree_depth", "num_trees_per_cascade_level",
                  "oversampling_amount", "num_test_splits")  # fmt: skip
        jitter = self.oversampling_translation_jitter
        rules = {name: (getattr(self, name) >= 1, "1 or more") for name in counts} | {
            "nu": (0 < self.nu <= 1, "above 0 and at most 1"),
            "oversampling_translation_jitter": (jitter >= 0, "0 or more"),
            "feature_pool_size": (self.feature_pool_size >= 2, "2 or more"),
            "feature_pool_region_padding": (self.feature_pool_region_padding > -0.5, "above -0.5"),
            "lambda_param": (self.lambda_param > 0, "above 0"),
            "num_threads": (self.num_threads >= 0, "0 or more"),
        }
        for name, (fits, wanted) in rules.items():
            if not fits:
                raise InputError(f"--set {name}={getattr(self, name)}: must be {wanted}")


# "strong": more of what dlib's documentation says makes it slower and better: cascades, pixels,
# boxes that jitter. (The public 68-point model was trained with "essentially the default values",
# dlib's issue 359, on photos and their mirror images: --set mirrored=True.)
PRESETS = {
    "default": Options(),
    "strong": Options(
        cascade_depth=15,
        oversampling_translation_jitter=0.1,
        feature_pool_size=800,
    ),
}


@dataclass(frozen=True)
class Face:
    """A face as dlib takes it: photo (H, W) uint8, grey; box (4,), left, top, right and bottom, and
    points (K, 2), whole pixels of the photo."""

    photo: np.ndarray
    box: np.ndarray
    points: np.ndarray

    @classmethod
    def of(cls, sample: dict, crop: Crop) -> "Face":
        centre, side = crop.square(sample)
        corners = np.concatenate([centre - side / 2, centre + side / 2])
        photo = cv2.cvtColor(decode(sample["photo"], sample["id"]), cv2.COLOR_RGB2GRAY)
        return cls(photo, np.rint(corners).astype(int), np.rint(sample["points"]).astype(int))

    def mirrored(self, flip: Sequence[int]) -> "Face":
        """The face in a mirror; `flip` is its scheme's order of the points there."""
        last, (left, top, right, bottom) = self.photo.shape[1] - 1, self.box
        return Face(
            np.ascontiguousarray(self.photo[:, ::-1]),
            np.array([last - right, top, last - left, bottom]),
            (self.points * (-1, 1) + (last, 0))[list(flip)],
        )


def train(dlib, faces: Sequence[Face], options: Options):
    """-> the trained dlib.shape_predictor, and how many seconds that took."""
    settings = dlib.shape_predictor_training_options()
    for name, value in vars(options).items():
        if name != "mirrored":
            setattr(settings, name, value)
    settings.be_verbose = True  # it takes long
    detections = [
        [dlib.full_object_detection(_rectangle(dlib, face), [dlib.point(*p) for p in points])]
        for face, points in ((face, face.points.tolist()) for face in faces)
    ]
    started = time.perf_counter()
    predictor = dlib.train_shape_predictor([face.photo for face in faces], detections, settings)
    return predictor, time.perf_counter() - started


def load(dlib, path: Path, points: int):
    """A published predictor. Errors: InputError where it is none, or has other than `points`."""
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: dlib cannot read it ({error}); give a predictor's .dat, unpacked"
        ) from error
    blank = np.zeros((64, 64), np.uint8)
    found = predictor(blank, dlib.rectangle(0, 0, 63, 63)).num_parts
    if found != points:
        raise InputError(
            f"{path}: its faces have {found} points, not {points}; name another --scheme"
        )
    return predictor


def predict(
    dlib, predictor, photos: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Photos as in Face, boxes (4,) of whole pixels -> points (N, K, 2), pixels of the photo, and
    the seconds each face took, (N,)."""
    points, seconds = [], []
    for photo, corners in zip(photos, boxes, strict=True):
        box = dlib.rectangle(*corners.tolist())
        started = time.perf_counter()
        shape = predictor(photo, box)
        seconds.append(time.perf_counter() - started)
        points.append([(part.x, part.y) for part in shape.parts()])
    return np.array(points, np.float64), np.array(seconds)


def detected(
    dlib, photos: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """For each box (4,) the box (4,), whole pixels, by which dlib's frontal face detector finds it
    in the photo, None where it does not. The photo is doubled in size once for it, as dlib's own
    example does; of several detections the nearest counts."""
    detector = dlib.get_frontal_face_detector()

    def find(photo, box):
        found = [np.array([r.left(), r.top(), r.right(), r.bottom()]) for r in detector(photo, 1)]
        nearest = max(found, key=lambda other: geometry.iou(box, other), default=None)
        return nearest if nearest is not None and geometry.iou(box, nearest) >= FOUND else None

    return [find(photo, box) for photo, box in zip(photos, boxes, strict=True)]


def _rectangle(dlib, face):
    return dlib.rectangle(*face.box.tolist())


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.dlib_baseline", __doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", help="NAME/SPLIT to train on, made by jaxalign prepare")
    what.add_argument("--predictor", metavar="FILE", help="a published predictor: none is trained")
    parser.add_argument("--test", required=True, help="NAME/SPLIT to score")
    add_data_dir(parser)
    parser.add_argument("--scheme", choices=SCHEMES, default="ibug68", metavar="NAME",
                        help=f"whose points: {', '.join(SCHEMES)} (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--out", required=True, help="folder for the model and its predictions")
    parser.add_argument("--preset", choices=PRESETS, default="default",
                        help="options of the training (default: %(default)s)")  # fmt: skip
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="OPTION=VALUE",
                        dest="settings", help="replace options of the preset; a wrong one lists "
                        "those there are, e.g. num_threads=4")  # fmt: skip
    parser.add_argument("--enlarge", type=float, default=1.0,
                        help="the square's side over the landmark box's (default: 1)")  # fmt: skip
    parser.add_argument("--boxes", choices=("landmarks", "dlib"), default="landmarks",
                        help="what a test face is given by: the square around its landmark box, or "
                        "the detector's box (default: %(default)s)")  # fmt: skip
    parser.add_argument("--limit", type=int, default=0, metavar="N",
                        help="train on the first N faces (default: 0, all)")  # fmt: skip
    parser.add_argument("--report", help="folder for the evaluation's report (default: none)")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _measure(arguments))


def _measure(arguments):
    dlib, out = _dlib(), Path(arguments.out)
    options = override(PRESETS[arguments.preset], arguments.settings)
    _check(arguments, out)
    scheme, crop = SCHEMES[arguments.scheme], Crop(landmarks=BoxRule(arguments.enlarge))
    file = Path(arguments.predictor or out / "predictor.dat")
    predictor = load(dlib, file, scheme.num_points) if arguments.predictor else None
    test = open_source(arguments.test, scheme, arguments.data_dir)
    truth, tested = truth_of(test, test.name, scheme), [Face.of(sample, crop) for sample in test]
    photos, boxes = [face.photo for face in tested], [face.box for face in tested]
    detections = detected(dlib, photos, [sample["boxes"]["landmarks"] for sample in test])
    found = np.array([box is not None for box in detections])
    kept = np.arange(len(tested))
    if arguments.boxes == "dlib":  # a face that is not found keeps ours, and is not scored
        boxes = [own if box is None else box for own, box in zip(boxes, detections, strict=True)]
        kept = np.flatnonzero(found)
        if not len(kept):
            raise InputError(f"{test.name}: dlib's detector finds none of its faces")
    out.mkdir(parents=True, exist_ok=True)

    measured = {"predictor": str(file)}
    if predictor is None:
        predictor, measured = _train(dlib, arguments, options, crop)
        predictor.save(str(file))
    points, each = predict(dlib, predictor, photos, boxes)
    results = truth.with_predictions(points)
    protocol = protocol_for(benchmark_of(arguments.test), scheme)
    results.take(kept).save(out / "predictions.jsonl", protocol.normaliser)
    if found.any():
        results.take(np.flatnonzero(found)).save(out / "detected.jsonl", protocol.normaliser)

    command = ["--predictions", str(out / "predictions.jsonl"), "--data", arguments.test,
               "--data-dir", str(arguments.data_dir), "--scheme", scheme.name]  # fmt: skip
    command += ["--found-only"] if len(kept) < len(results) else []
    code = evaluate.main(command + (["--report", arguments.report] if arguments.report else []))
    measured |= {
        "dlib": dlib.__version__,
        "boxes": arguments.boxes,
        "enlarge": arguments.enlarge,
        "mib": round(file.stat().st_size / 2**20, 2),
        "ms_per_face": round(1000 * float(np.median(each)), 3),
        "test": test.name,
        "normaliser": protocol.normaliser,
        "detected": detections_of(results, found, protocol),
    }
    (out / "dlib.json").write_text(json_text(measured, indent=2) + "\n", encoding="utf-8")
    print(f"\n{_line(measured)}")
    for name, of in measured["detected"].items():
        nme = (
            f", NME of these {percent(of['nme'])} % ({protocol.normaliser})" if of["found"] else ""
        )
        print(f"{name}: dlib's detector finds {of['found']}/{of['tested']}{nme}")
    return code


def _check(arguments, out):
    """Errors: InputError for arguments that cannot be, or would change nothing."""
    if arguments.enlarge <= 0 or arguments.limit < 0:
        raise InputError("--enlarge must be above 0, --limit 0 (all faces) or more")
    training = arguments.settings or arguments.limit or arguments.preset != "default"
    if arguments.predictor and training:
        raise InputError("--preset, --set and --limit are for training; --predictor trains none")
    if arguments.predictor and arguments.boxes == "dlib" and arguments.enlarge != 1:
        raise InputError("--enlarge is for landmark boxes; --boxes dlib takes none")
    for name in ("predictor.dat", "predictions.jsonl"):
        if (out / name).exists():
            raise InputError(f"{out}: holds a {name} already; name another --out")


def _train(dlib, arguments, options, crop):
    """-> the trained predictor, and what is to be told of it."""
    scheme = SCHEMES[arguments.scheme]
    source = open_source(arguments.data, scheme, arguments.data_dir)
    source = first(source, arguments.limit) if arguments.limit else source
    faces = [Face.of(sample, crop) for sample in source]
    if options.mirrored:
        faces += [face.mirrored(scheme.flip) for face in faces]
    print(f"dlib {dlib.__version__}: {len(source)} faces to train on, {options}", flush=True)
    predictor, seconds = train(dlib, faces, options)
    return predictor, {
        "options": dataclasses.asdict(options),
        "data": source.name,
        "faces": len(source),
        "seconds_to_train": round(seconds, 1),
    }


def detections_of(results: Results, found: np.ndarray, protocol: Protocol) -> dict[str, dict]:
    """Subset with faces -> tested and found faces, (N,) bool, and the NME of the found ones."""
    errors, rows = results.nme(protocol.normaliser), {}
    for name in ("all", *protocol.subsets):
        if (own := results.subset(name)).any():
            both = own & found
            nme = float(errors[both].mean()) if both.any() else None
            rows[name] = {"tested": int(own.sum()), "found": int(both.sum()), "nme": nme}
    return rows


def _line(measured):
    speed = f"{measured['ms_per_face']:.2f} ms a face (landmarks alone, one thread)"
    cost = f"{measured['mib']:.1f} MiB, {speed}"
    if "predictor" in measured:
        return f"{measured['predictor']}: {cost}"
    threads = max(1, measured["options"]["num_threads"])
    mirrored = " and their mirror images" if measured["options"]["mirrored"] else ""
    return (
        f"{measured['faces']} faces{mirrored}, {measured['seconds_to_train'] / 60:.1f} min to "
        f"train with {threads} thread{'s' if threads > 1 else ''}, {cost}"
    )


def _dlib():
    try:
        import dlib
    except ImportError:
        raise InputError(
            "dlib is not installed: pip install dlib (it is compiled, which wants CMake and a C++ "
            "compiler; pip install dlib-bin is the same, prebuilt)"
        ) from None
    return dlib


if __name__ == "__main__":
    sys.exit(main())
