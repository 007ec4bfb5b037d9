"""Find the faces of photos or of a video and their landmarks.

examples:
  jaxalign predict me.jpg --out found
  jaxalign predict holiday/ "album/**/*.jpg"
  jaxalign predict --ckpt runs/300w me.jpg
  jaxalign predict --ckpt runs/300w holiday/ --detector yunet
  jaxalign predict --ckpt runs/300w holiday/ --boxes boxes.csv
  jaxalign predict --ckpt runs/union holiday/ --scheme wflw98
  jaxalign predict holiday/ --format labelme --out holiday/found
  jaxalign predict holiday/ --aligned 112 --template arcface
  jaxalign predict --ckpt runs/300w --video clip.mp4 --smooth
  jaxalign predict --webcam

needs: photos, a video or a webcam. The weights are those that come with jaxalign
(docs/model_card.md) unless --ckpt names others.
leaves: faces.json in the output folder, and for each photo with a face a PNG with its points drawn;
of a video or a webcam faces.mp4.
A photo's status is ok, low_confidence (no face reaches --min-score), no_face, or unreadable. Exit
code 2 where no photo could be read.
"""

import argparse
import math

from jaxalign import weights
from jaxalign.commands import add_ckpt, add_device, add_import, import_files, new_parser, run
from jaxalign.errors import InputError


def parser() -> argparse.ArgumentParser:
    parser = new_parser("jaxalign predict", __doc__)
    parser.add_argument("photos", nargs="*", metavar="PHOTO",
                        help="files, folders (the photos right in them) or patterns")  # fmt: skip
    add_ckpt(parser, default=weights.DEFAULT)
    add_import(parser)
    parser.add_argument("--video", default="", metavar="FILE",
                        help="a video's frames in place of photos")  # fmt: skip
    parser.add_argument("--webcam", nargs="?", type=int, const=0, metavar="N",
                        help="a webcam's frames, as they are seen; N counts from 0. Shown in a "
                        "window where OpenCV has windows; Ctrl-C ends")  # fmt: skip
    parser.add_argument("--smooth", action="store_true",
                        help="of a video: points smoothed by the one-euro filter")  # fmt: skip
    parser.add_argument("--out", default="predictions", metavar="DIR",
                        help="folder (default: %(default)s)")  # fmt: skip
    parser.add_argument("--boxes", default="", metavar="FILE", help="rectangles around the "
                        "landmarks, pixels of the photo counted from 0, in place of a detector: "
                        "CSV with photo,x0,y0,x1,y1, or a JSON list of "
                        "objects with photo (its path as given, or its name), box")  # fmt: skip
    parser.add_argument("--detector", default="", metavar="NAME", help="how faces are found: auto "
                        "(OpenCV's cascades; the network verifies what they find), cascade "
                        "(OpenCV's frontal one alone), yunet (its file, 233 kB, is fetched on "
                        "first use), dlib (where it is installed) (default: auto; cascade where "
                        "the checkpoint notes no score to verify by)")  # fmt: skip
    parser.add_argument("--detector-model", default="", metavar="FILE",
                        help="yunet's ONNX file, in place of the one that jaxalign download yunet "
                        "fetches")  # fmt: skip
    parser.add_argument("--min-score", type=float, metavar="S", help="a face whose mean score is "
                        "lower has low confidence (default: the score that 99 %% of the validation "
                        "faces reached)")  # fmt: skip
    parser.add_argument("--scheme", default="", metavar="NAME", help="the scheme of the points: "
                        "the checkpoint's, or one that it converts to, e.g. wflw98; union converts "
                        "to all (default: the checkpoint's; for union ibug68)")  # fmt: skip
    parser.add_argument("--refine", type=int, metavar="N",
                        help="second looks: crop again around the points found and predict once "
                        "more, N times (default: 1)")  # fmt: skip
    parser.add_argument("--format", default="json", metavar="NAME", help="a format of annotation "
                        "tools to write beside faces.json: csv, coco, pts or labelme")  # fmt: skip
    parser.add_argument("--aligned", type=int, default=0, metavar="SIDE", help="of each face an "
                        "aligned crop of SIDE x SIDE pixels, too: eyes, nose and mouth where "
                        "--template has them")  # fmt: skip
    parser.add_argument("--template", default="", metavar="NAME", help="of --aligned: ffhq (the "
                        "whole head; default), arcface (as face recognition takes it)")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true",
                        help="leave out the pictures, or the video, with points drawn")  # fmt: skip
    parser.add_argument("--skip-existing", action="store_true", help="continue an interrupted run: "
                        "photos that a run with the same settings has done in --out are kept, "
                        "unless they have changed since")  # fmt: skip
    parser.add_argument("--batch", type=int, default=0, help="faces at a time (default: 1 a device "
                        "on CPUs, 32 on accelerators)")  # fmt: skip
    add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _predict(arguments))


def _predict(arguments):
    _check(arguments)
    import_files(arguments)

    from jaxalign.prediction.files import predict

    counts = predict(
        arguments.ckpt, arguments.out, arguments.photos, which=arguments.which,
        video=arguments.video, webcam=arguments.webcam, smooth=arguments.smooth,
        boxes=arguments.boxes, aligned=arguments.aligned, template=arguments.template,
        detector=arguments.detector, detector_model=arguments.detector_model,
        min_score=arguments.min_score,
        pictures=not arguments.no_pictures, batch=arguments.batch, require=arguments.require,
        scheme=arguments.scheme, refine=arguments.refine,
        skip_existing=arguments.skip_existing, form=arguments.format,
    )  # fmt: skip
    return 2 if set(counts) == {"unreadable"} else 0


def _check(arguments):
    """Raises InputError for options that do not go together."""
    moving = bool(arguments.video) or arguments.webcam is not None
    if bool(arguments.photos) + bool(arguments.video) + (arguments.webcam is not None) != 1:
        raise InputError("give photos (files, folders, patterns), --video FILE, or --webcam")
    if arguments.webcam is not None and arguments.webcam < 0:
        raise InputError(f"--webcam {arguments.webcam}: cameras count from 0")
    if arguments.skip_existing and moving:
        raise InputError("--skip-existing goes with photos: a video is followed from its start")
    if arguments.format != "json" and moving:
        raise InputError("--format goes with photos: a video's points are in faces.json alone")
    if arguments.aligned and moving:
        raise InputError("--aligned goes with photos: Face.aligned makes crops of frames")
    if arguments.aligned < 0:
        raise InputError(f"--aligned {arguments.aligned}: must be a side in pixels such as 256")
    if arguments.template and not arguments.aligned:
        raise InputError("--template goes with --aligned SIDE")
    if arguments.smooth and not moving:
        raise InputError("--smooth goes with --video or --webcam: single photos cannot be smoothed")
    if arguments.boxes and (moving or arguments.detector or arguments.detector_model):
        raise InputError("--boxes goes with photos, and in place of a detector")
    if arguments.detector_model and arguments.detector not in ("", "yunet"):
        raise InputError(f"--detector-model goes with --detector yunet, not {arguments.detector}")
    if arguments.batch < 0:
        raise InputError(f"--batch {arguments.batch}: must be 1 or more")
    if arguments.refine is not None and arguments.refine < 0:
        raise InputError(f"--refine {arguments.refine}: must be 0 or more")
    if arguments.min_score is not None and not math.isfinite(arguments.min_score):
        raise InputError(f"--min-score {arguments.min_score}: must be a number such as 0.5")
