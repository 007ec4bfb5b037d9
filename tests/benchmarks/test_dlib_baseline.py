"""dlib as a baseline: what it is given and what is made of its answers; dlib itself only where it
is installed."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks import dlib_baseline
from benchmarks.dlib_baseline import PRESETS, Face, Options, detected
from jaxalign.errors import InputError
from jaxalign.evaluation.results import Results
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.protocols import protocol_for
from jaxalign.recipe import override
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_source
from tests.helpers.fakes import fake as fake_results


class Rectangle:
    def __init__(self, *corners):
        assert [type(corner) for corner in corners] == [int] * 4
        self.corners = corners

    def __getattr__(self, name):
        return lambda: self.corners[("left", "top", "right", "bottom").index(name)]


def point(x, y):
    assert type(x) is type(y) is int
    return SimpleNamespace(x=x, y=y)


class Predictor:
    """The mean shape in the rectangle, whatever the photo."""

    def __init__(self, detections):
        def shape(detection):
            points = np.array([(part.x, part.y) for part in detection.parts])
            left, top, right, bottom = detection.rect.corners
            return (points - (left, top)) / (right - left, bottom - top)

        self.mean = np.mean([shape(one) for (one,) in detections], axis=0)

    def __call__(self, photo, rect):
        assert photo.dtype == np.uint8 and photo.ndim == 2
        left, top, right, bottom = rect.corners
        points = self.mean * (right - left, bottom - top) + (left, top)
        return SimpleNamespace(
            parts=lambda: [point(*p) for p in np.rint(points).astype(int).tolist()]
        )

    def save(self, path):
        with open(path, "wb") as file:
            file.write(bytes(2**19))


@pytest.fixture
def fake(monkeypatch):
    """A module dlib that keeps what it was given to train on in `calls`."""
    calls = []

    def train_shape_predictor(photos, detections, options):
        calls.append((photos, detections, options))
        return Predictor(detections)

    module = SimpleNamespace(
        __version__="0.1",
        calls=calls,
        rectangle=Rectangle,
        point=point,
        full_object_detection=lambda rect, parts: SimpleNamespace(rect=rect, parts=parts),
        shape_predictor_training_options=SimpleNamespace,
        train_shape_predictor=train_shape_predictor,
        get_frontal_face_detector=lambda: lambda photo, doubled: [Rectangle(10, 10, 54, 60)],
    )
    monkeypatch.setitem(sys.modules, "dlib", module)
    return module


def command(data_300w, out, *more):
    return dlib_baseline.main(
        ["--data", "ibug_300w/train", "--test", "ibug_300w/test", "--data-dir", str(data_300w),
         "--out", str(out), *map(str, more)]
    )  # fmt: skip


def test_a_face_is_the_grey_photo_and_whole_pixels_of_the_square():
    photo = np.zeros((80, 100, 3), np.uint8)
    photo[..., 1] = 200
    points = np.array([[10.4, 20.6], [50.5, 40.6], [30.0, 29.5]], np.float32)
    sample = {
        "id": "a", "photo": cv2.imencode(".png", photo)[1].tobytes(), "points": points,
        "boxes": {"landmarks": np.array([10.4, 20.6, 50.4, 40.6])},
    }  # fmt: skip
    face = Face.of(sample, Crop(landmarks=BoxRule(1.0)))
    assert face.photo.shape == (80, 100) and face.photo.dtype == np.uint8
    assert face.photo[0, 0] == round(0.587 * 200)
    assert face.box.tolist() == [10, 11, 50, 51]  # 40 pixels about (30.4, 30.6)
    assert face.points.tolist() == [[10, 21], [50, 41], [30, 30]]
    assert Face.of(sample, Crop(landmarks=BoxRule(1.5))).box.tolist() == [0, 1, 60, 61]


def test_a_mirrored_face_keeps_its_points_on_what_they_mark(data_300w):
    sample = open_source("ibug_300w/train", IBUG68, data_300w)[0]
    face = Face.of(sample, Crop(landmarks=BoxRule(1.0)))
    twin = face.mirrored(IBUG68.flip)
    (x, y), (u, v) = (np.array(f.points)[list(IBUG68.eye_corners)].T for f in (face, twin))
    assert v.tolist() == y[::-1].tolist() and (u[0] < u[1]) == (x[0] < x[1])
    assert twin.photo[v, u].tolist() == face.photo[y, x][::-1].tolist()
    assert twin.photo.flags.c_contiguous
    left, top, right, bottom = twin.box
    assert (right - left, top, bottom) == (face.box[2] - face.box[0], face.box[1], face.box[3])
    again = twin.mirrored(IBUG68.flip)
    for name in ("photo", "box", "points"):
        np.testing.assert_array_equal(getattr(again, name), getattr(face, name))


def test_a_face_is_detected_from_an_overlap_of_three_tenths(fake):
    boxes = [np.array([10, 10, 54, 60]), np.array([10, 10, 54, 26]), np.array([10, 10, 54, 24])]
    photo = np.zeros((80, 80), np.uint8)
    whole, part, little = detected(fake, [photo] * 3, boxes)
    assert whole.tolist() == part.tolist() == [10, 10, 54, 60] and little is None
    two = [Rectangle(9, 9, 50, 50), Rectangle(10, 10, 54, 59)]
    fake.get_frontal_face_detector = lambda: lambda photo, doubled: two
    assert detected(fake, [photo], boxes[:1])[0].tolist() == [10, 10, 54, 59]
    fake.get_frontal_face_detector = lambda: lambda photo, doubled: []
    assert detected(fake, [photo], boxes[:1]) == [None]


def test_presets_and_settings():
    strong = PRESETS["strong"]
    assert PRESETS["default"] == Options() and strong.cascade_depth > Options().cascade_depth
    found = override(strong, ["nu=1", "random_seed=3", "num_threads=2"])
    assert found == replace(strong, nu=1.0, random_seed="3", num_threads=2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("cascades=3", "'cascades' .*did you mean cascade_depth.*valid here: cascade_depth, tree"),
        ("nu=0", "--set nu=0.0: must be above 0 and at most 1"),
        ("cascade_depth=0", "--set cascade_depth=0: must be 1 or more"),
        ("feature_pool_size=1", "must be 2 or more"),
        ("num_threads=-1", "must be 0 or more"),
        ("oversampling_translation_jitter=-0.1", "must be 0 or more"),
        ("feature_pool_region_padding=-0.5", "must be above -0.5"),
        ("lambda_param=0", "must be above 0"),
        ("tree_depth=deep", "expected int"),
    ],
)
def test_wrong_options_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        override(Options(), [setting])


def test_without_dlib_it_is_named(data_300w, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert command(data_300w, tmp_path / "out") == 2
    assert "error: dlib is not installed: pip install dlib " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_command_trains_predicts_and_measures(fake, data_300w, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(data_300w, out, "--set", "num_threads=2") == 0
    (photos, detections, options), *others = fake.calls
    assert len(photos) == len(detections) == 6 and not others
    assert (options.cascade_depth, options.num_threads, options.be_verbose) == (10, 2, True)
    assert not hasattr(options, "mirrored")

    results = Results.load(out / "predictions.jsonl")
    test = open_source("ibug_300w/test", IBUG68, data_300w)
    assert results.ids == tuple(sample["id"] for sample in test)
    assert results.errors.max() < 2  # the faces of make_300w are one shape at several places
    np.testing.assert_allclose(results.truth, [s["points"] for s in test], atol=1e-3)  # unrounded
    printed = capsys.readouterr().out
    assert "helen_test" in printed and "challenging" in printed
    nme = 100 * results.nme("inter_ocular").mean()
    assert "\n6 faces, 0.0 min to train with 2 threads, 0.5 MiB, " in printed
    finds = "dlib's detector finds"
    assert f"\nall: {finds} 6/6, NME of these {nme:.2f} % (inter_ocular)\n" in printed
    measured = json.loads((out / "dlib.json").read_text())
    assert measured["detected"]["all"]["nme"] == pytest.approx(nme / 100)
    assert measured["mib"] == 0.5
    for name, row in measured["detected"].items():
        assert row["found"] == row["tested"] == results.subset(name).sum() > 0
        assert f"\n{name}: {finds} {row['found']}/{row['tested']}, NME" in printed
    assert {"all", "challenging", "helen_test"} <= set(measured["detected"])
    assert Results.load(out / "detected.jsonl").ids == results.ids

    assert command(data_300w, out) == 2
    assert "holds a predictor.dat already; name another --out" in capsys.readouterr().err


def test_command_passes_its_settings_on(fake, data_300w, tmp_path, monkeypatch, capsys):
    """Mirror images too; here the detector's box overlaps no face."""
    called = []
    monkeypatch.setattr(
        dlib_baseline.evaluate, "main", lambda arguments: called.extend(arguments) or 0
    )
    fake.get_frontal_face_detector = lambda: lambda photo, doubled: [Rectangle(0, 0, 9, 9)]
    more = ["--set", "mirrored=True", "--limit", 2, "--enlarge", 1.2, "--report", "there"]
    assert command(data_300w, tmp_path, *more) == 0
    assert called[-2:] == ["--report", "there"]
    photos, detections, _ = fake.calls[0]
    assert len(photos) == 4
    np.testing.assert_array_equal(photos[2], photos[0][:, ::-1])
    points = np.array([(part.x, part.y) for part in detections[0][0].parts])
    left, _, right, _ = detections[0][0].rect.corners
    assert right - left == pytest.approx(1.2 * np.ptp(points, axis=0).max(), abs=1.5)
    printed = capsys.readouterr().out
    assert "\n2 faces and their mirror images, " in printed
    assert "\nall: dlib's detector finds 0/6\n" in printed
    assert not (tmp_path / "detected.jsonl").exists()


def test_found_faces_are_counted_in_each_subset():
    results = fake_results(4, subsets=(("full", "common"), ("full", "common"), ("full",), ()))
    found = np.array([True, False, True, False])
    rows = dlib_baseline.detections_of(results, found, protocol_for("ibug_300w", IBUG68))
    counts = {name: (row["found"], row["tested"]) for name, row in rows.items()}
    assert counts == {"all": (2, 4), "full": (2, 3), "common": (1, 2)}
    nme = results.nme("inter_ocular")
    assert rows["full"]["nme"] == pytest.approx(nme[[0, 2]].mean())
    rows = dlib_baseline.detections_of(results, ~found, protocol_for("", IBUG68))
    assert rows["all"]["found"] == 2


def published(fake, monkeypatch, path, points=68):
    """A predictor in a file: a line of points across the middle of the rectangle."""

    class Published:
        def __init__(self, name):
            if not path.exists() or name != str(path):
                raise RuntimeError(f"Unable to open {name}")

        def __call__(self, photo, rect):
            left, top, right, bottom = rect.corners
            x = np.linspace(left, right, points).round().astype(int).tolist()
            parts = [point(one, (top + bottom) // 2) for one in x]
            return SimpleNamespace(num_parts=points, parts=lambda: parts)

    monkeypatch.setattr(fake, "shape_predictor", Published, raising=False)
    return Published


@pytest.mark.parametrize("boxes", ["landmarks", "dlib"])
def test_a_published_predictor_is_scored(fake, data_300w, tmp_path, monkeypatch, capsys, boxes):
    """Without training; on the detector's boxes only the faces that it finds."""
    path, out = tmp_path / "theirs.dat", tmp_path / "out"
    path.write_bytes(bytes(2**19))
    published(fake, monkeypatch, path)
    test = open_source("ibug_300w/test", IBUG68, data_300w)
    boxes_of = [sample["boxes"]["landmarks"] for sample in test]
    corners = (boxes_of[0] + 1).round().astype(int).tolist()
    fake.get_frontal_face_detector = lambda: lambda photo, doubled: [Rectangle(*corners)]
    found = [number for number, box in enumerate(detected(fake, [None] * len(test), boxes_of))
             if box is not None]  # fmt: skip
    arguments = ["--predictor", path, "--boxes", boxes, "--test", "ibug_300w/test",
                 "--data-dir", data_300w, "--out", out]  # fmt: skip
    assert dlib_baseline.main(list(map(str, arguments))) == 0 and not fake.calls
    results = Results.load(out / "predictions.jsonl")
    scored = found if boxes == "dlib" else range(len(test))
    assert results.ids == tuple(test[number]["id"] for number in scored)
    if boxes == "dlib":
        np.testing.assert_array_equal(results.predicted[0][[0, -1], 0], corners[::2])
    else:
        face = Face.of(test[1], Crop(landmarks=BoxRule(1.0)))
        np.testing.assert_array_equal(results.predicted[1][[0, -1], 0], face.box[::2])
    assert not (out / "predictor.dat").exists()
    printed = capsys.readouterr().out
    assert f"\n{path}: 0.5 MiB, " in printed
    assert f"\nall: dlib's detector finds {len(found)}/{len(test)}, NME" in printed
    measured = json.loads((out / "dlib.json").read_text())
    assert measured["boxes"] == boxes and measured["predictor"] == str(path)
    assert dlib_baseline.main(list(map(str, arguments))) == 2
    assert "holds a predictions.jsonl already" in capsys.readouterr().err


def test_a_predictor_that_does_not_fit_is_named(fake, data_300w, tmp_path, monkeypatch, capsys):
    path = tmp_path / "theirs.dat"
    published(fake, monkeypatch, path, points=5)
    arguments = ["--predictor", str(path), "--test", "ibug_300w/test", "--data-dir", str(data_300w),
                 "--out", str(tmp_path / "out")]  # fmt: skip

    def refusal(*more):
        assert dlib_baseline.main([*arguments, *more]) == 2
        return capsys.readouterr().err

    assert "dlib cannot read it (Unable to open" in refusal()
    path.write_bytes(b"")
    assert "its faces have 5 points, not 68; name another --scheme" in refusal()
    assert "--predictor trains none" in refusal("--limit", "3")
    assert "--boxes dlib takes none" in refusal("--boxes", "dlib", "--enlarge", "1.2")
    fake.get_frontal_face_detector = lambda: lambda photo, doubled: []
    published(fake, monkeypatch, path)
    assert "dlib's detector finds none of its faces" in refusal("--boxes", "dlib")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [("--enlarge", 0), ("--limit", -1)])
def test_impossible_arguments_are_refused(fake, data_300w, tmp_path, capsys, more):
    assert command(data_300w, tmp_path, *more) == 2
    assert "--enlarge must be above 0, --limit 0 (all faces) or more" in capsys.readouterr().err


def test_dlib_itself(data_300w, tmp_path):
    dlib = pytest.importorskip("dlib")
    own = dlib.shape_predictor_training_options()
    for name, value in vars(Options()).items():
        assert name == "mirrored" or getattr(own, name) == value, name
    small = [
        "mirrored=True",
        "cascade_depth=2",
        "num_trees_per_cascade_level=5",
        "feature_pool_size=50",
    ]
    assert command(data_300w, tmp_path, "--preset", "strong", "--set", *small) == 0
    assert Results.load(tmp_path / "predictions.jsonl").nme("inter_ocular").mean() < 0.1
    assert dlib.shape_predictor(str(tmp_path / "predictor.dat"))
