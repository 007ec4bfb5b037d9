"""Measure the error of the head's pose on drawn faces, which know theirs.

examples:
  python -m benchmarks.head_pose
  python -m benchmarks.head_pose --ckpt runs/300w --faces 600

needs: nothing; faces of the split test are drawn. It leaves no file. Prints mean and largest
absolute errors of yaw, pitch and roll, in degrees: of the true points, which is the fit's own, and
of the points that a checkpoint finds in the true box.
"""

import argparse
import sys
from dataclasses import astuple

import numpy as np
from tqdm import tqdm

from jaxalign import geometry, prediction, weights
from jaxalign.commands import add_ckpt, new_parser, run
from jaxalign.datasets import synthetic_faces
from jaxalign.photos import decode
from jaxalign.prediction.pose import head_pose


SIDE = 45  # degrees of yaw beyond which a face is seen from the side


def parser() -> argparse.ArgumentParser:
    parser = new_parser("python -m benchmarks.head_pose", __doc__)
    add_ckpt(parser, default=weights.DEFAULT)
    parser.add_argument("--faces", type=int, default=300,
                        help="how many, the first of the split (default: %(default)s)")  # fmt: skip
    parser.add_argument("--size", type=int, default=256,
                        help="side of the photos (default: %(default)s)")  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return run(lambda: _measure(arguments))


def _measure(arguments):
    aligner = prediction.load(arguments.ckpt, arguments.which)
    yaws, errors = [], {"true points": [], f"points of {arguments.ckpt or weights.DEFAULT}": []}
    for index in tqdm(range(arguments.faces), unit="face", leave=False):
        scene, _ = synthetic_faces.scene_of("test", index, 0)
        camera = scene.camera
        drawn = synthetic_faces.face("test", index, arguments.size, 0)
        assert isinstance(drawn.photo, bytes)
        true = drawn.points[aligner.scheme.name]
        ((found,),) = aligner.align([decode(drawn.photo)], [[geometry.landmark_box(true)]])
        yaws.append(abs(camera.yaw))
        for points, those in zip((true, found.points), errors.values(), strict=True):
            pose = head_pose(points, aligner.scheme)
            angles = astuple(pose) if pose else (np.nan,) * 3
            those.append(np.subtract(angles, (camera.yaw, camera.pitch, camera.roll)))
    print(f"{arguments.faces} drawn faces, {aligner.scheme.name}: absolute errors, in degrees")
    yaws = np.array(yaws)
    groups = {"all": yaws >= 0, f"yaw to {SIDE}": yaws <= SIDE, f"yaw above {SIDE}": yaws > SIDE}
    print(f"{'':36}{'faces':>6}{'yaw':>7}{'pitch':>7}{'roll':>7}   largest")
    for name, those in errors.items():
        for group, kept in groups.items():
            if kept.any():
                sizes = np.abs(those)[kept]
                means = "".join(f"{mean:7.2f}" for mean in np.nanmean(sizes, 0))
                most = " ".join(f"{one:.1f}" for one in np.nanmax(sizes, 0))
                print(f"{f'{name}, {group}':36}{kept.sum():6}{means}   {most}")


if __name__ == "__main__":
    sys.exit(main())
