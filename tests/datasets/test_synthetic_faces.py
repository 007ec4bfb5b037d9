"""The synthetic faces: the same everywhere, exact points, and features drawn where points are."""

import unittest.mock
from dataclasses import replace

import cv2
import numpy as np
import pytest

from jaxalign import workers
from jaxalign.curves import INDICES, USED
from jaxalign.datasets import synthetic_faces
from jaxalign.datasets.synthetic_faces import BENCHMARK, face, faces, render, scene_of
from jaxalign.datasets.synthetic_faces.camera import Camera, landmarks, visible
from jaxalign.datasets.synthetic_faces.head import Head, HeadShape
from jaxalign.datasets.synthetic_faces.render import draw, seen
from jaxalign.datasets.synthetic_faces.scene import Covers, Light, Look, Scene
from jaxalign.errors import InputError
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import SCHEMES


def decoded(photo):
    return cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)


def plain(camera, shape=None, **look):
    """A scene without chance: even light, no noise, no covers."""
    colours = {"skin": (150, 180, 222), "hair": (30, 30, 35), "iris": (120, 80, 40)}
    look = Look(**({k: np.array(v, float) for k, v in colours.items()} | look),
                shirt=np.array([120.0, 60, 60]))  # fmt: skip
    return Scene(
        shape=shape or HeadShape(),
        camera=camera,
        look=look,
        light=Light(),
        covers=Covers(),
    )


def test_same_seed_same_bytes_and_other_seed_other_face():
    one, two = (list(faces(size=128, train=3, test=2, seed=7)) for _ in range(2))
    assert [f.id for f in one] == [
        "train/00000", "train/00001", "train/00002", "test/00000", "test/00001"
    ]  # fmt: skip
    for a, b in zip(one, two, strict=True):
        assert a.photo == b.photo
        assert all((a.points[s] == b.points[s]).all() for s in INDICES)
        assert (a.boxes["dataset"] == b.boxes["dataset"]).all()
    assert len({f.photo for f in one}) == 5
    assert face("train", 0, 128, seed=8).photo != one[0].photo


def test_faces_do_not_depend_on_how_many_are_drawn():
    short = list(faces(size=128, train=1, test=1, seed=3))
    assert face("test", 0, 128, seed=3).photo == short[1].photo
    assert face("train", 0, 128, seed=3).photo == short[0].photo


def test_processes_that_share_the_work_draw_the_same(monkeypatch):
    alone = list(faces(size=128, train=3, test=2, seed=7))
    made = unittest.mock.Mock(wraps=workers.made)
    monkeypatch.setattr(synthetic_faces, "SHARED", 3)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(workers, "made", made)
    shared = list(faces(size=128, train=3, test=2, seed=7))
    assert [call.args[1] for call in made.call_args_list] == [range(3)]
    assert [(f.id, f.photo) for f in shared] == [(f.id, f.photo) for f in alone]
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(a.points["union"], b.points["union"])


def test_points_scale_exactly_with_the_size():
    for index in range(4):
        small, large = (face("train", index, size, seed=1) for size in (128, 512))
        assert decoded(large.photo).shape == (512, 512, 3)
        for name in INDICES:
            scaled = (small.points[name] + 0.5) * 4 - 0.5
            np.testing.assert_allclose(large.points[name], scaled, atol=1e-3)
            assert (small.visible[name] == large.visible[name]).all()
        assert small.attributes == large.attributes and small.yaw == large.yaw


def test_the_same_picture_at_two_sizes():
    small, large = (decoded(face("train", 3, size, seed=0).photo) for size in (128, 512))
    shrunk = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    difference = np.abs(cv2.blur(shrunk, (5, 5)).astype(int) - cv2.blur(small, (5, 5)))
    assert difference.mean() < 6


def test_sizes_outside_the_range_are_refused():
    for size in (127, 4097):
        with pytest.raises(InputError, match=str(size)):
            next(faces(size=size, train=1, test=0, seed=0))
    for name in ("train", "test", "seed"):
        with pytest.raises(InputError, match=f"{name} -1 is below 0"):
            next(faces(**{"size": 128, "train": 1, "test": 1, "seed": 0, name: -1}))


@pytest.mark.parametrize("name", INDICES)
def test_mirrored_neutral_head_lands_on_its_flip(name):
    points = Camera().project(Camera().turn(Head().points(INDICES[name])))
    side = (points.max(0) - points.min(0)).max()
    mirrored = points * (-1, 1) + (1, 0)
    back = mirrored[list(SCHEMES[name].flip)]
    assert np.abs(back - points).max() < 0.01 * side
    apart = np.linalg.norm(mirrored[:, None] - points[None], axis=-1)
    if name != "union":  # which has what schemes mark by two curves, such as a brow's end, twice
        assert len(np.unique(points.round(6), axis=0)) >= len(points) - 2  # eye centre, pupil
    nearest = apart.argmin(1)
    flip = np.argsort(SCHEMES[name].flip)
    assert (apart[np.arange(len(flip)), flip] <= apart[np.arange(len(flip)), nearest] + 1e-9).all()


def test_the_contour_runs_evenly_around_every_chin():
    for index in range(300):
        what, head = scene_of("train", index, seed=0)
        points = what.camera.project(what.camera.turn(landmarks(head, what.camera)))
        contour = points[np.searchsorted(USED, INDICES["wflw98"][:33])]
        steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
        for half in steps[:16], steps[16:]:
            assert half.max() < 1.3 * np.median(half), index


@pytest.mark.parametrize("yaw", (-25, 25))
def test_the_far_contour_is_the_outline_that_is_seen(yaw):
    head, camera = Head(), Camera(yaw=yaw)
    points = landmarks(head, camera)[np.searchsorted(USED, INDICES["ibug68"][:17])]
    still = head.points(INDICES["ibug68"][:17])
    far = slice(10, 16) if yaw > 0 else slice(1, 7)
    near = slice(0, 3) if yaw > 0 else slice(14, 17)
    width = np.linspace(0.3, 1, 50) * head.section(points[far, 1])[0][:, None]
    rows = np.broadcast_to(points[far, 1:2], width.shape)
    surface = head.lift(np.stack([np.sign(yaw) * width, rows], -1))
    edge = (camera.project(camera.turn(surface))[..., 0] * np.sign(yaw)).max(1)
    seen = camera.project(camera.turn(points[far]))[:, 0] * np.sign(yaw)
    assert np.abs(seen - edge).max() < 0.003  # of the photo's side
    assert (np.abs(points[far, 0]) < 0.97 * head.section(points[far, 1])[0]).any()
    np.testing.assert_allclose(points[near, 0], still[near, 0], atol=0.05)


def test_order_of_the_points_on_the_neutral_head():
    at = {s: Camera().pixels(Head().points(INDICES[s]), 256) for s in SCHEMES}
    ibug, wflw, cofw, aflw, lapa, sensetime, _ = (at[s] for s in INDICES)
    assert ibug[0, 1] > wflw[0, 1] and ibug[8] == pytest.approx(wflw[16])  # contour
    np.testing.assert_allclose(ibug[[48, 51, 54, 57]], wflw[[76, 79, 82, 85]])  # mouth
    assert ibug[30, 1] < wflw[54, 1] and ibug[33, 1] < wflw[57, 1]  # nose
    assert wflw[60, 0] < ibug[36, 0] < ibug[39, 0] < wflw[64, 0]  # left eye
    np.testing.assert_allclose(wflw[60:68], lapa[66:74])  # left eye
    np.testing.assert_allclose(wflw[33:51], lapa[33:51])  # brows
    np.testing.assert_allclose(sensetime[[52, 72, 55, 73]], lapa[[66, 68, 70, 72]])  # left eye
    np.testing.assert_allclose(sensetime[[78, 80, 82, 47]], lapa[55:59])  # left of the nose
    np.testing.assert_allclose(sensetime[64:68], lapa[[41, 40, 39, 38]])  # left lower brow
    np.testing.assert_allclose(wflw[[60, 72, 64, 68]], cofw[[8, 9, 10, 11]])
    np.testing.assert_allclose(wflw[[60, 64, 68, 72]], aflw[[6, 8, 9, 11]])
    np.testing.assert_allclose(cofw[28], lapa[16])  # chin
    assert (np.diff(wflw[:17, 1]) > 0).all() and (np.diff(wflw[:33, 0]) > 0).all()
    assert ibug[19, 1] < ibug[37, 1] < ibug[30, 1] < ibug[33, 1] < ibug[51, 1] < ibug[57, 1]
    assert ibug[57, 1] < ibug[8, 1]
    for up, low in ((12, 13), (14, 15), (4, 5), (6, 7), (24, 25), (26, 27)):
        assert cofw[up, 1] < cofw[low, 1]


@pytest.mark.parametrize("yaw", (-80, 80))
def test_the_far_side_is_hidden(yaw):
    seen = np.zeros(USED.max() + 1, bool)
    seen[USED] = visible(Head(), Camera(yaw=yaw), landmarks(Head(), Camera(yaw=yaw)))
    seen = seen[INDICES["wflw98"]]
    left, right = [60, 33, 76], [72, 46, 82]
    near, far = (left, right) if yaw > 0 else (right, left)
    assert not seen[far].any()
    assert seen[near].all()
    frontal = visible(Head(), Camera(), landmarks(Head(), Camera()))
    assert frontal.all()


def test_opaque_covers_hide_points():
    base = plain(Camera())
    masked = replace(base, covers=Covers(mask=(200.0, 200.0, 200.0)))
    sun = replace(base, covers=Covers(glasses="sun"))

    def of(what):
        found = np.zeros(USED.max() + 1, bool)
        found[USED] = seen(what, Head(), landmarks(Head(), what.camera))
        return found[INDICES["ibug68"]]

    assert of(base).all()
    assert not of(masked)[48:].any() and of(masked)[36:48].all()
    assert not of(sun)[36:48].any() and of(sun)[48:].all()


def test_test_split_has_every_attribute():
    drawn = np.array([scene_of("test", i, 0)[0].attributes for i in range(600)])
    rates = drawn.mean(0)
    assert len(rates) == len(ATTRIBUTES) == 6
    assert ((rates > 0.1) & (rates < 0.4)).all()
    assert set(np.unique(drawn)) == {0, 1}
    for i in range(100):
        what, _ = scene_of("test", i, 0)
        assert (abs(what.camera.yaw) > 40) == bool(what.attributes[0])
        hidden = what.covers != Covers() or what.look.lock
        assert bool(hidden) == bool(what.attributes[4])


def test_a_face_is_complete():
    found = list(faces(size=128, train=0, test=12, seed=0))
    for one in found:
        assert one.group == one.id and np.isfinite(one.yaw)
        assert set(one.points) == set(one.visible) == set(SCHEMES) == set(BENCHMARK.schemes)
        box = one.boxes["dataset"]
        assert box[2] > box[0] and box.dtype == np.float32
        flags = zip(ATTRIBUTES, one.attributes, strict=True)
        assert one.subsets == tuple(name for name, on in flags if on)
        for name, scheme in SCHEMES.items():
            assert one.points[name].shape == (scheme.num_points, 2)
            assert one.points[name].dtype == np.float32
            assert np.isfinite(one.points[name]).all()
            assert one.visible[name].shape == (scheme.num_points,)
        points = one.points["wflw98"]
        low, high = points.min(0), points.max(0)
        middle, side = (low + high) / 2, (high - low).max()
        assert np.abs((box[:2] + box[2:]) / 2 - middle).max() < 0.1 * side
        assert 1.0 * side < box[2] - box[0] < 1.45 * side


def test_points_lie_inside_the_photo():
    for index in range(200):
        what, head = scene_of("train", index, 0)
        points = what.camera.pixels(landmarks(head, what.camera), 256)
        assert np.isfinite(points).all()
        assert points.min() > -0.5 and points.max() < 255.5


def test_pupils_lie_where_they_are_drawn():
    """The dark disc's centre of mass, found in the photo, is the pupil's point."""
    head, size = Head(HeadShape(eye_opening=0.05)), 512
    camera = Camera(yaw=12, pitch=-5, roll=8, scale=0.3, centre=(0.5, 0.42))
    what = plain(camera, head.shape, iris=np.array([200.0, 220, 200]))
    what = replace(what, light=Light(direction=(0.0, 0.0, 1.0)))  # its gleam in the pupils' middle
    image = draw(what, head, size, np.random.default_rng(0)).astype(float).max(2)
    for x, y in camera.pixels(head.points(INDICES["wflw98"][96:]), size):
        reach = 12
        x0, y0 = round(x) - reach, round(y) - reach
        patch = image[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
        dark = np.clip(60 - patch, 0, None)
        weight = dark.sum()
        assert weight > 0
        found_x = (dark.sum(0) * np.arange(len(dark))).sum() / weight + x0
        found_y = (dark.sum(1) * np.arange(len(dark))).sum() / weight + y0
        assert abs(found_x - x) < 0.5 and abs(found_y - y) < 0.5


def test_jaw_contour_is_the_edge_of_the_drawn_face(monkeypatch):
    """Along a row between ear and mouth the skin ends where the contour's points say."""
    monkeypatch.setattr(render, "scenery", lambda size, *_: np.zeros((size, size, 3), np.uint8))
    size, camera = 512, Camera(scale=0.28, distance=40.0)
    what = plain(camera, style="bald")
    look = replace(what.look, skin=np.array([250.0, 250, 250]))
    what = replace(what, look=look, light=Light(ambient=1.0, strength=0.0, shine=0.0))
    head = Head()
    changed = draw(what, head, size, np.random.default_rng(5)).max(2) > 60
    contour = camera.pixels(head.points(INDICES["wflw98"][:33]), size)
    for left, right in ((6, 26), (8, 24)):
        row = changed[round(contour[left, 1])]
        edge = np.flatnonzero(row)
        assert abs(edge[0] - contour[left, 0]) < 2 and abs(edge[-1] - contour[right, 0]) < 2
