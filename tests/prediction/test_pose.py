"""The head's pose: its signs, its error on drawn faces, and points that do not tell it."""

import json
import subprocess
import sys
from dataclasses import astuple, replace

import cv2
import numpy as np
import pytest

from jaxalign import scheme_files
from jaxalign.curves import INDICES, USED
from jaxalign.datasets.synthetic_faces import scene_of
from jaxalign.datasets.synthetic_faces.camera import Camera, landmarks
from jaxalign.datasets.synthetic_faces.head import Head
from jaxalign.prediction.alignment import five_points
from jaxalign.prediction.pose import DISTANCE, head_pose
from jaxalign.schemes import IBUG68, SCHEMES, UNION
from tests.helpers import ROOT
from tests.prediction.test_alignment import FIVE


def seen(camera, scheme, head=None, size=256):
    """(K, 2): the points of a head in pixels of a photo."""
    points = camera.pixels(landmarks(head or Head(), camera), size)
    return points[np.searchsorted(USED, INDICES[scheme.name])]


ANGLES = [(0, 0, 0), (30, 0, 0), (-60, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 40), (0, 0, -170),
          (45, -20, 15)]  # fmt: skip


class TestAverageHead:
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
    @pytest.mark.parametrize("angles", ANGLES)
    def test_its_pose_is_found(self, angles, scheme):
        found = head_pose(seen(Camera(*angles, distance=DISTANCE), scheme), scheme)
        np.testing.assert_allclose(astuple(found), angles, atol=0.3)

    def test_neither_place_nor_size_of_the_face_matters(self):
        camera = Camera(20, -10, 5, distance=DISTANCE)
        one, other = (
            astuple(head_pose(seen(replace(camera, centre=centre), IBUG68, size=size), IBUG68))
            for centre, size in (((0.5, 0.5), 256), ((3.0, 0.1), 4000))
        )
        np.testing.assert_allclose(one, other, atol=1e-3)

    def test_a_mirrored_face(self):
        points = seen(Camera(25, 10, 8, distance=DISTANCE), IBUG68)
        one = head_pose(points, IBUG68)
        mirrored = head_pose((points * (-1, 1))[list(IBUG68.flip)], IBUG68)
        expected = (-one.yaw, one.pitch, -one.roll)
        np.testing.assert_allclose(astuple(mirrored), expected, atol=0.1)

    def test_a_scheme_of_ones_own(self):
        scheme = scheme_files.made(FIVE)
        for angles in ANGLES[:6]:
            camera = Camera(*angles, distance=DISTANCE)
            points = five_points(seen(camera, UNION), UNION)
            np.testing.assert_allclose(astuple(head_pose(points, scheme)), angles, atol=4)


def test_it_takes_no_more_than_onnx_models_do():
    """Of the package's requirements, those of requirements-onnxruntime.txt are enough."""
    code = (
        "import json, sys\n"
        "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax', 'grain', 'safetensors',"
        " 'tensorflow_datasets', 'matplotlib', 'scipy', 'h5py', 'tqdm', 'fsspec', 'cloudpickle'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from jaxalign.prediction import Face\n"
        "from jaxalign.schemes import IBUG68\n"
        "points = np.array(json.load(sys.stdin))\n"
        "face = Face(points=points, scores=np.ones(68), box=np.zeros(4), origin='given', score=1,"
        " status='ok', scheme=IBUG68)\n"
        "print(json.dumps(face.to_dict()['pose']))\n"
    )
    points = seen(Camera(20, -10, 5, distance=DISTANCE), IBUG68)
    run = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(points.tolist()), capture_output=True,
        text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    pose = json.loads(run.stdout)
    np.testing.assert_allclose([*pose.values()], (20, -10, 5), atol=0.3)


def test_other_heads_with_expressions():
    """The mean error that docs/photos.md states, of fewer faces."""
    errors = []
    for index in range(60):
        scene, head = scene_of("test", index, 0)
        pose = head_pose(seen(scene.camera, IBUG68, head), IBUG68)
        camera = scene.camera
        errors.append(np.subtract(astuple(pose), (camera.yaw, camera.pitch, camera.roll)))
    yaw, pitch, roll = np.abs(errors).mean(0)
    assert yaw < 1.5 and pitch < 2.5 and roll < 0.7


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((68, 2)),
        np.full((68, 2), np.nan),
        np.stack([np.arange(68), 3 * np.arange(68)], 1),
    ],
    ids=["one place", "no place", "a line"],
)
def test_points_that_do_not_tell_it(points):
    assert head_pose(points, IBUG68) is None


def test_what_opencv_cannot_solve(monkeypatch):
    def fail(*arguments, **options):
        raise cv2.error("no solution")

    monkeypatch.setattr(cv2, "solvePnP", fail)
    assert head_pose(seen(Camera(), IBUG68), IBUG68) is None
