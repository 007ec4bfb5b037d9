"""Photos to points: in Python and by jaxalign predict, with every status, frame and refusal."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxalign
from jaxalign import folders, photos, pipeline, prediction
from jaxalign.commands import predict
from jaxalign.conversion import convert
from jaxalign.curves import INDICES, USED
from jaxalign.datasets import synthetic_faces
from jaxalign.errors import InputError
from jaxalign.locks import HIDDEN, Lock
from jaxalign.pipeline import BoxRule, Crop
from jaxalign.prediction.aligner import REFINE
from jaxalign.prediction.detection import Cascade, Detection
from jaxalign.prediction.files import JOURNAL, KIND
from jaxalign.prediction.search import DETECTORS, SHARE, Auto
from jaxalign.schemes import SCHEMES, UNION
from jaxalign.systems.interface import System
from tests.helpers import ROOT
from tests.helpers.commands import held_by
from tests.helpers.small import filled, saved, small_recipe


MARK = folders.mark(KIND)
CUT = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (64, 64, 3)))[1][:6000]


@dataclass(frozen=True)
class Brightest(System):
    """Every point is the crop's brightest pixel, its score the pixel's value; counts traces."""

    size: int = 32
    several: tuple[int, ...] = ()

    @property
    def sizes(self):
        return self.several or (self.size,)

    def predict(self, variables, images):
        TRACED.append(images.shape)
        red = images[..., 0].astype(jnp.float32)
        place = red.reshape(len(images), -1).argmax(1)
        point = jnp.stack([place % red.shape[2], place // red.shape[2]], -1).astype(jnp.float32)
        score = red.max((1, 2)) / 255
        count = self.points.num_points
        points = jnp.broadcast_to(point[:, None], (len(images), count, 2))
        return points, jnp.broadcast_to(score[:, None], (len(images), count))


@dataclass(frozen=True)
class Ring(Brightest):
    """The points lie in a ring about the middle, moved by what the crop shows."""

    def predict(self, variables, images):
        size = images.shape[2]
        _, scores = super().predict(variables, images)
        angles = jnp.linspace(0, 2 * jnp.pi, self.points.num_points, endpoint=False)
        ring = (1 + 0.8 * jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)) * (size - 1) / 2
        shift = images.astype(jnp.float32).mean((1, 2))[:, None, :2] * size / 2560
        return ring[None] + shift, scores


TRACED = []
CROP = Crop(landmarks=BoxRule(1.25))


class Everywhere:
    """Finds a face around each pixel of 255 red or 200 red, of 40 pixels."""

    name = "everywhere"

    def __call__(self, image):
        rows, columns = np.nonzero(np.isin(image[..., 0], (255, 200)))
        return [Detection(np.float32([x - 20, y - 20, x + 20, y + 20]), 1.0)
                for x, y in zip(columns, rows, strict=True)]  # fmt: skip


def aligner(**options):
    options = {"detector": Everywhere()} | options
    return prediction.Aligner(Brightest(), {}, CROP, **options)


def photo(*marks, shape=(200, 300), value=255):
    image = np.zeros((*shape, 3), np.uint8)
    for x, y in marks:
        cv2.rectangle(image, (x - 2, y - 2), (x + 2, y + 2), (90, 0, 0), -1)
        image[y, x] = value
    return image


class TestAligner:
    def test_a_face_comes_back_in_photo_pixels(self):
        (face,) = aligner()(photo((200, 120)))
        assert face.points.shape == (68, 2) and face.scores.shape == (68,)
        assert face.points.dtype == face.scores.dtype == face.box.dtype == np.float32
        assert abs(face.points - (200, 120)).max() < 1  # crop pixels are 50 / 32 photo pixels
        assert face.box.tolist() == [180, 100, 220, 140]
        assert (face.origin, face.status) == ("everywhere", "ok")
        assert face.score == pytest.approx(face.scores.mean())

    def test_the_crop_is_the_rule_for_landmark_boxes(self):
        crop = Crop(
            box="dataset", landmarks=BoxRule(2.0, 0.25), dataset=BoxRule(9.0), detector=BoxRule(9.0)
        )
        system = Brightest()
        image = photo((150, 100))  # the corner of the crop about (130, 80) + (0, 10), 80 wide
        box = np.float32([110, 60, 150, 100])
        (face,) = prediction.Aligner(system, {}, crop)(image, box[None])
        inside = face.scores[0] > 0
        assert inside and abs(face.points[0] - (150, 100)).max() < 80 / 32
        (face,) = prediction.Aligner(system, {}, Crop(landmarks=BoxRule(0.5)))(image, [box])
        assert face.scores[0] == 0

    def test_boxes_given(self):
        image = photo((50, 50), (200, 120))
        first, second = aligner()(image, [[190, 110, 220, 140], [40, 40, 70, 75]])
        assert abs(first.points - (200, 120)).max() < 1
        assert abs(second.points - (50, 50)).max() < 1
        assert first.origin == second.origin == "given"
        assert second.box.tolist() == [40, 40, 70, 75]
        assert aligner()(image, []) == []

    def test_no_face_is_an_empty_list(self):
        assert aligner()(photo()) == []
        assert aligner()([photo(), photo()]) == [[], []]
        assert aligner()(np.zeros((1, 1, 3), np.uint8)) == []
        assert aligner().align([]) == []

    def test_low_confidence(self):
        images, box = [photo((100, 100)), photo((100, 100), value=200)], [[95, 95, 105, 105]]
        sure, unsure = (aligner()(image, box)[0].score for image in images)
        assert sure > unsure and aligner()(images[1], box)[0].status == "ok"
        between = aligner(min_score=(sure + unsure) / 2)
        found = [between(image, box)[0].status for image in images]
        assert found == ["ok", "low_confidence"]

    def test_many_equal_one_by_one(self):
        rng = np.random.default_rng(0)
        images = [
            photo(*rng.integers(30, 170, (count, 2)), shape=(200 + 10 * count, 300))
            for count in (1, 0, 3, 2, 5)
        ]
        together, alone = aligner(batch=4), aligner(batch=4)
        for many, image in zip(together(images), images, strict=True):
            one = alone(image)
            assert len(many) == len(one)
            for a, b in zip(many, one, strict=True):
                np.testing.assert_array_equal(a.points, b.points)
                np.testing.assert_array_equal(a.scores, b.scores)
        stacked = np.stack([photo((50, 60)), photo((70, 80))])
        for many, image in zip(together(stacked), stacked, strict=True):
            np.testing.assert_array_equal(many[0].points, alone(image)[0].points)

    def test_one_compilation_for_a_shape(self):
        one = aligner(batch=3)  # rounded up to the four devices of the tests
        TRACED.clear()
        assert one.compilations == 0
        for marks in ([(50, 50)], [(50, 50), (90, 90)], [(20 + 9 * i, 50) for i in range(7)]):
            one(photo(*marks))
        assert one.compilations == len(TRACED) == 1
        assert TRACED == [(1, 32, 32, 3)]  # one face a device

    def test_a_huge_batch_is_not_padded_to(self):
        huge = aligner(batch=10**6)
        TRACED.clear()
        huge(photo(*[(20 + 20 * i, 50) for i in range(6)]))
        assert TRACED == [(8, 32, 32, 3)]  # 32 faces over the four devices

    @pytest.mark.parametrize(("detector", "threads"), [(Cascade, 4), (Cascade, 8), (Auto, 8)])
    def test_several_threads_equal_one(self, detector, threads):
        """With our detectors, photos of other sizes, several faces; and crops of two sizes."""
        face = synthetic_faces.face("test", 2, 256, 0)
        head = pipeline.decode(face.photo, face.id)
        pair = np.concatenate([head, head[:, ::-1]], 1)
        images = [head, pair, cv2.resize(head, (180, 180))]
        system = Ring(several=(32, 64))
        shared = prediction.Aligner(
            system, {}, Crop(), detector=detector(), batch=4, least_score=1e-6
        )

        def found(image):
            return [[*f.points.ravel(), *f.scores, *f.box] for f in shared(image)]

        alone = [found(image) for image in images]
        assert any(alone)
        with ThreadPoolExecutor(threads) as pool:
            assert list(pool.map(found, images * 3)) == alone * 3

    def test_a_size_for_each_face(self):
        system = Brightest(several=(32, 64))
        sized = prediction.Aligner(system, {}, Crop(landmarks=BoxRule(1.0)), batch=4)
        TRACED.clear()
        boxes = [[180, 100, 240, 160], [190, 110, 220, 140], [40, 40, 110, 110]]
        faces = sized(photo((200, 120), (60, 70)), boxes)
        assert {shape[1] for shape in TRACED} == {32, 64} and sized.compilations == 2
        for face, mark in zip(faces, [(200, 120), (200, 120), (60, 70)], strict=True):
            assert abs(face.points - mark).max() < 1.2

    def test_an_8k_photo(self):
        """A face of a thousand pixels and one of 60, each at the size that loses nothing."""
        sized = prediction.Aligner(
            Brightest(several=(64, 1024)), {}, Crop(landmarks=BoxRule(1.0)), batch=1
        )
        image = photo((6000, 3000), (100, 100), shape=(4320, 7680))
        TRACED.clear()
        large, small = sized(image, [[5400, 2600, 6400, 3600], [70, 70, 130, 130]])
        assert {shape[1] for shape in TRACED} == {64, 1024}
        assert abs(large.points - (6000, 3000)).max() < 1
        assert abs(small.points - (100, 100)).max() < 1.2

    def test_grey_and_transparent_images(self):
        image = photo((100, 100))
        grey, clear = image[..., 0], np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
        box = [[80, 80, 120, 120]]
        expected = aligner()(image, box)[0].points
        for same in (grey, clear):
            np.testing.assert_array_equal(aligner()(same, box)[0].points, expected)

    def test_files_and_images_of_pillow(self, tmp_path):
        """As a viewer shows them, alone and among others."""
        image, box, path = photo((100, 60)), [[80, 40, 120, 80]], tmp_path / "me.png"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(path, exif=exif)
        given = [image, path, str(path), Image.open(path), Image.fromarray(image).convert("RGBA")]
        expected = aligner()(image, box)[0].points
        for same in given:
            np.testing.assert_array_equal(aligner()(same, box)[0].points, expected)
        for (face,) in aligner()(given, [box] * len(given)):
            np.testing.assert_array_equal(face.points, expected)

    def test_short_reprs(self):
        one = aligner()
        assert repr(one) == "Aligner(Brightest, 68 points of ibug68, detector everywhere)"
        (face,) = one(photo((200, 120)))
        told = f"Face(ok, score {face.score:.3f}, box [180, 100, 220, 140], 68 points of ibug68)"
        assert repr(face) == told and repr([face]) == f"[{told}]"

    @pytest.mark.parametrize(
        ("images", "boxes", "reason"),
        [
            ([photo(), photo() / 255], None, "image 1: .* give uint8"),
            (photo(), [[1, 2, 3]], "rows of four numbers"),
            (photo(), [[1, 2, 3, 4, 0.9]], "rows of four numbers"),
            (photo(), [1, 2, 3, 4, 5, 6, 7, 8], "rows of four numbers"),
            (photo(), [[1, 2, 3, 4], [1]], "rows of four numbers"),
            ("none.jpg", None, "none.jpg: cannot be read"),
            (Image.new("F", (9, 9)), None, "its pixels are fractions"),
            (Image.open(io.BytesIO(CUT)), None, "an image of Pillow: cannot be read"),
            (photo(), [[1, 2, 1, 4]], "has no extent"),
            (photo(), [[1, 2, np.nan, 4]], "has no extent"),
            (photo(), [[301, 2, 310, 9]], "lies outside its 300 x 200 pixels"),
            ([photo(), photo()], [None], "boxes for 1 images, but there are 2"),
        ],
    )
    def test_refusals(self, images, boxes, reason):
        with pytest.raises(InputError, match=reason):
            aligner()(images, boxes)


@dataclass(frozen=True)
class Numbered(System):
    """Point k lies at x = k / 8 of the crop, and its score is the square of its share of all."""

    size: int = 32

    def predict(self, variables, images):
        place = jnp.arange(self.points.num_points, dtype=jnp.float32)
        points = jnp.stack([place / 8, jnp.full_like(place, 7)], -1)
        scores = jnp.square(place / len(place))
        every = len(images), *points.shape
        return jnp.broadcast_to(points, every), jnp.broadcast_to(scores, every[:2])


class TestSchemes:
    """A network of union gives the points of every scheme."""

    def faces(self, own, **options):
        found = prediction.Aligner(Numbered(scheme=own), {}, Crop(), **options)
        return found, found(photo(), [[20, 20, 60, 60], [50, 50, 90, 90]])

    def test_68_points_unless_others_are_asked_for(self):
        whole, everything = self.faces("union", scheme="union")
        assert whole.scheme is UNION and everything[0].points.shape == (UNION.num_points, 2)
        for asked, name in (("", "ibug68"), ("wflw98", "wflw98"), ("aflw19", "aflw19")):
            found, faces = self.faces("union", scheme=asked)
            places = np.searchsorted(USED, INDICES[name])
            assert found.scheme is SCHEMES[name] and found.system.points is UNION
            for face, native in zip(faces, everything, strict=True):
                np.testing.assert_array_equal(face.points, native.points[places])
                np.testing.assert_array_equal(face.scores, native.scores[places])
                assert face.points.dtype == face.scores.dtype == np.float32

    def test_confidence_is_the_whole_networks_whatever_the_scheme(self):
        faces = [self.faces("union", scheme=name)[1][0] for name in ("union", "cofw29")]
        assert faces[0].score == faces[1].score != pytest.approx(faces[1].scores.mean())
        assert faces[0].score == pytest.approx(faces[0].scores.mean())

    def test_other_networks_give_their_own_or_what_follows_from_it(self):
        own, (face, _) = self.faces("wflw98")
        assert own.scheme.name == "wflw98" and face.points.shape == (98, 2)
        other, (less, _) = self.faces("wflw98", scheme="ibug68")
        assert other.scheme.name == "ibug68"
        expected, _ = convert(face.points, "wflw98", "ibug68")
        np.testing.assert_allclose(less.points, expected, atol=1e-5)
        with pytest.raises(InputError, match="predicts wflw98 points, which give: wflw98, ibug68"):
            self.faces("wflw98", scheme="cofw29")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A work directory of the small recipe, untrained."""
    recipe, workdir = small_recipe(), tmp_path_factory.mktemp("run")
    variables = filled(recipe.system.shapes())
    return saved(recipe, variables, workdir)


def test_three_lines_of_python(checkpoint):
    aligner = jaxalign.load(checkpoint)
    (face,) = aligner(photo((60, 60)), [[40, 40, 80, 80]])
    assert face.points.shape == (68, 2) and 0 <= face.score <= 1


def test_the_scheme_of_a_checkpoint_can_be_chosen(tmp_path, album, capsys):
    small = small_recipe()
    recipe = replace(small, system=replace(small.system, scheme="union"))
    variables = filled(recipe.system.shapes())
    workdir = saved(recipe, variables, tmp_path / "run")
    assert jaxalign.load(workdir).scheme.name == "ibug68"
    assert jaxalign.load(workdir, scheme="lapa106").scheme.name == "lapa106"
    boxes = boxes_file(tmp_path / "boxes.csv", ("a.png", 180, 100, 220, 140))
    options = ["--boxes", boxes, "--out", tmp_path / "o"]
    assert call(workdir, album / "a.png", *options, "--scheme", "wflw98") == 0
    found = written(tmp_path / "o")
    assert found["scheme"] == "wflw98"
    assert np.shape(found["photos"][0]["faces"][0]["points"]) == (98, 2)
    assert (tmp_path / "o" / found["photos"][0]["picture"]).is_file()
    capsys.readouterr()
    assert call(workdir, album / "a.png", *options, "--scheme", "300w") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "scheme '300w': the checkpoint predicts union points, which give: union, ib" in line


def call(checkpoint, *arguments):
    return predict.main(["--ckpt", *map(str, (checkpoint, *arguments))])


def written(folder):
    return json.loads((folder / "faces.json").read_text(encoding="utf-8"))


@pytest.fixture
def album(tmp_path):
    """Two photos, one of them turned by its EXIF, and what is no photo."""
    folder = tmp_path / "an album ä"
    folder.mkdir()
    upright = photo((200, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    turned.save(folder / "turned 顔.png", exif=exif)
    Image.fromarray(upright).save(folder / "a.png")
    (folder / "broken.jpg").write_text("no photo")
    return folder


def boxes_file(path, *rows):
    lines = [",".join(map(str, row)) for row in (("photo", "x0", "y0", "x1", "y1"), *rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


class TestCommand:
    def test_photos_with_boxes(self, checkpoint, album, tmp_path, capsys):
        boxes = boxes_file(
            tmp_path / "boxes.csv",
            (album / "a.png", 180, 100, 220, 140),
            ("turned 顔.png", 180, 100, 220, 140),
            ("turned 顔.png", 10, 10, 60, 60),
        )
        assert call(checkpoint, album, "--boxes", boxes, "--out", tmp_path / "o") == 0
        printed = capsys.readouterr()
        assert "3 photos: 2 ok, 1 unreadable" in printed.out
        assert "compilations of the network: 1" in printed.out
        assert "broken.jpg: no photo" in printed.err
        found = written(tmp_path / "o")
        assert found["scheme"] == "ibug68" and "EXIF rotation applied" in found["frame"]
        assert found["names"] == list(SCHEMES["ibug68"].names)
        assert found["refine"] == REFINE
        plain, broken, turned = found["photos"]
        assert plain["status"] == turned["status"] == "ok" and broken["status"] == "unreadable"
        assert "no photo" in broken["reason"] and "faces" not in broken
        assert turned["photo"] == str(album / "turned 顔.png")
        assert (turned["width"], turned["height"]) == (300, 200)
        assert [face["origin"] for face in turned["faces"]] == ["given", "given"]
        assert turned["faces"][0] == plain["faces"][0]  # the same photo as a viewer shows it
        face = plain["faces"][0]
        assert np.shape(face["points"]) == (68, 2) and np.shape(face["scores"]) == (68,)
        assert face["box"] == [180, 100, 220, 140]
        for record in (plain, turned):
            picture = np.asarray(Image.open(tmp_path / "o" / record["picture"]))
            assert picture.shape == (200, 300, 3)
            assert (picture[100, 182:218] > 200).all()  # the box, white
        assert {p.name for p in (tmp_path / "o").iterdir()} == {
            "faces.json", plain["picture"], turned["picture"], MARK,
        }  # fmt: skip

    def test_low_confidence_and_no_pictures(self, checkpoint, album, tmp_path, capsys):
        boxes = boxes_file(tmp_path / "boxes.csv", ("a.png", 180, 100, 220, 140))
        options = ["--boxes", boxes, "--min-score", 1.1, "--no-pictures", "--refine", 2]
        assert call(checkpoint, album / "a.png", *options, "--out", tmp_path / "o") == 0
        assert "1 photos: 1 low_confidence" in capsys.readouterr().out
        found = written(tmp_path / "o")
        assert found["refine"] == 2
        (record,) = found["photos"]
        assert record["status"] == record["faces"][0]["status"] == "low_confidence"
        assert {p.name for p in (tmp_path / "o").iterdir()} == {"faces.json", MARK}

    def test_no_face(self, checkpoint, album, tmp_path, capsys):
        assert call(checkpoint, album / "a.png", "--out", tmp_path / "o") == 0
        assert "1 photos: 1 no_face" in capsys.readouterr().out
        (record,) = written(tmp_path / "o")["photos"]
        assert record["status"] == "no_face" and record["faces"] == []
        assert {p.name for p in (tmp_path / "o").iterdir()} == {"faces.json", MARK}

    def test_nothing_readable(self, checkpoint, album, tmp_path):
        assert call(checkpoint, album / "broken.jpg", "--out", tmp_path / "o") == 2
        assert written(tmp_path / "o")["photos"][0]["status"] == "unreadable"

    def test_photos_of_one_name(self, checkpoint, album, tmp_path):
        (album / "deep").mkdir()
        Image.fromarray(photo((200, 120))).save(album / "deep" / "a.png")
        paths = album / "a.png", album / "deep" / "a.png"
        boxes = boxes_file(tmp_path / "boxes.csv", *((path, 180, 100, 220, 140) for path in paths))
        pattern = f"{album}/**/a.png"
        assert call(checkpoint, pattern, "--boxes", boxes, "--out", tmp_path / "o") == 0
        names = [record["picture"] for record in written(tmp_path / "o")["photos"]]
        assert names == ["a.png.png", "a.png.2.png"]
        assert all((tmp_path / "o" / name).is_file() for name in names)

    def test_boxes_go_to_no_other_photo(self, checkpoint, album, tmp_path, monkeypatch, capsys):
        (album / "deep").mkdir()
        Image.fromarray(photo((200, 120))).save(album / "deep" / "a.png")
        monkeypatch.chdir(album)
        rows = ("./a.png", 180, 100, 220, 140), ("gone.png", 1, 2, 3, 4), ("a.png", 9, 9, 50, 50)
        boxes = boxes_file(tmp_path / "boxes.csv", *rows)
        arguments = ["./a.png", "deep/a.png", "--boxes", boxes, "--out", tmp_path / "o"]
        assert call(checkpoint, *arguments) == 0
        printed = capsys.readouterr().out
        assert "names no box of 1 photos: no_face" in printed
        assert "1 of its names are of no photo given, such as gone.png" in printed
        records = written(tmp_path / "o")["photos"]
        assert [record["status"] for record in records] == ["ok", "no_face"]
        assert [len(record["faces"]) for record in records] == [2, 0]

    @pytest.mark.heavy
    @pytest.mark.parametrize("name", [os.fsdecode(b"latin\xe9.png"), 250 * "a" + ".png"])
    def test_awkward_names(self, checkpoint, tmp_path, name):
        Image.fromarray(photo((200, 120))).save(tmp_path / name)
        boxes = boxes_file(tmp_path / "boxes.csv", ("b.png", 180, 100, 220, 140))
        Image.fromarray(photo((200, 120))).save(tmp_path / "b.png")
        found = [Detection(np.float32([180, 100, 220, 140]), 1.0)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jaxalign.prediction.detection.Cascade.__call__", lambda *_: found)
            assert call(checkpoint, tmp_path / name, "--out", tmp_path / "o") == 0
        (record,) = written(tmp_path / "o")["photos"]
        assert record["photo"] == str(tmp_path / name) and record["status"] == "ok"
        assert (tmp_path / "o" / record["picture"]).is_file()
        assert call(checkpoint, tmp_path / "b.png", "--boxes", boxes, "--out", tmp_path / "o") == 0

    @pytest.mark.heavy
    def test_video(self, checkpoint, tmp_path, monkeypatch, capsys):
        path = str(tmp_path / "clip.avi")
        video = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 25, (96, 96))
        rng = np.random.default_rng(0)
        for _ in range(6):
            video.write(rng.integers(0, 256, (96, 96, 3), np.uint8))
        video.release()
        box = Detection(np.float32([20, 20, 70, 70]), 1.0)
        calls = iter(2 * [1, 1, 0, 1, 1, 1])
        found = lambda self, image: [box] * next(calls)  # noqa: E731
        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", found)
        raw, smoothed = [], []
        for points, options in ((raw, []), (smoothed, ["--smooth"])):
            assert call(checkpoint, "--video", path, "--out", tmp_path / "o", *options) == 0
            assert "6 frames: 5 ok, 1 no_face" in capsys.readouterr().out
            report = written(tmp_path / "o")
            assert report["video"] == path and report["smoothed"] is bool(options)
            frames = report["frames"]
            assert [frame["frame"] for frame in frames] == list(range(6))
            seconds = [frame["seconds"] for frame in frames]
            np.testing.assert_allclose(seconds, np.arange(6) / 25, atol=1e-6)
            assert frames[2]["status"] == "no_face" and frames[2]["faces"] == []
            assert {face["id"] for frame in frames for face in frame["faces"]} == {0}
            points += [frame["faces"][0]["points"] for frame in frames if frame["faces"]]
        assert raw[0] == smoothed[0]
        assert np.ptp(smoothed, axis=0).mean() < np.ptp(raw, axis=0).mean()

    def test_a_video_cut_short(self, checkpoint, tmp_path, monkeypatch, capsys):
        path = tmp_path / "clip.avi"
        video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (96, 96))
        rng = np.random.default_rng(0)
        for _ in range(8):
            video.write(rng.integers(0, 256, (96, 96, 3), np.uint8))
        video.release()
        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", lambda *_: [])
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert "cut short" not in capsys.readouterr().out
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert "says it holds 8 frames; it may be cut short" in capsys.readouterr().out

    @pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGHUP])
    def test_broken_off_work_leaves_whole_json(self, checkpoint, tmp_path, monkeypatch, number):
        """By Ctrl-C or another signal, while the third of four photos is looked at.

        Ctrl-C breaks it off at once; after another signal that photo is the last.
        """
        paths, looked = [tmp_path / f"{name}.png" for name in "aäcd"], []
        for path in paths:
            Image.fromarray(photo((60, 60))).save(path)

        def find(self, image):
            looked.append(image)
            if len(looked) == 3:
                signal.raise_signal(number or signal.SIGINT)
            return []

        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", find)
        command = [checkpoint, *paths, "--batch", 1, "--out", tmp_path / "o"]
        if number:
            before = signal.signal(number, signal.SIG_DFL)  # which nohup ignores
            with pytest.raises(SystemExit) as end:
                call(*command)
            assert end.value.code == 128 + number
            assert signal.signal(number, before) is signal.SIG_DFL
        else:
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            assert call(*command) == 130
            signal.signal(signal.SIGINT, before)  # which a shell's background ignores
        assert [entry["photo"] for entry in written(tmp_path / "o")["photos"]] == [
            str(path) for path in paths[: 3 if number else 2]
        ]

    def test_whose_confidence_is_low_is_said(self, checkpoint, album, tmp_path, capsys):
        assert call(checkpoint, album / "a.png", "--out", tmp_path / "o") == 0
        assert "low_confidence: never, for this checkpoint notes no" in capsys.readouterr().out
        more = ["--out", tmp_path / "o", "--min-score", 0.25]
        assert call(checkpoint, album / "a.png", *more) == 0
        assert "low_confidence: a mean score below 0.250" in capsys.readouterr().out

    def test_a_detector_by_its_name(self, checkpoint, album, tmp_path, monkeypatch, capsys):
        """One of a fork's too; without a noted score nothing can be verified."""
        monkeypatch.setitem(DETECTORS, "mine", Everywhere)
        options = ["--out", tmp_path / "o", "--no-pictures"]
        assert call(checkpoint, album / "a.png", "--detector", "mine", *options) == 0
        assert "detector: everywhere\n" in capsys.readouterr().out
        (record,) = written(tmp_path / "o")["photos"]
        assert [face["origin"] for face in record["faces"]] == ["everywhere"]
        assert call(checkpoint, album / "a.png", "--detector", "auto", *options) == 0
        assert "detector: cascade\n" in capsys.readouterr().out
        monkeypatch.setattr("jaxalign.checkpoints.low_score", lambda step: 0.5)
        assert call(checkpoint, album / "a.png", *options) == 0
        assert "detector: auto\n" in capsys.readouterr().out
        assert jaxalign.load(checkpoint).least_score == pytest.approx(0.5 * SHARE)
        assert jaxalign.load(checkpoint, detector="mine").detector.name == "everywhere"

    def test_help_names_the_detectors(self, capsys):
        with pytest.raises(SystemExit):
            predict.main(["--help"])
        told = capsys.readouterr().out
        assert all(name in told for name in DETECTORS)


class TestFolder:
    """What `--out` held before: an earlier run's is replaced, everything else stays."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """A face in the middle of every photo; `looked` counts the photos looked at."""
        self.looked = []
        box = Detection(np.float32([10, 10, 50, 50]), 1.0)

        def find(_, image):
            self.looked.append(image)
            return [box]

        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", find)

    def photos(self, folder, *names):
        folder.mkdir(exist_ok=True)
        for name in names:
            Image.fromarray(photo((30, 30))).save(folder / name)
        return [folder / name for name in names]

    def contents(self, folder):
        return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

    @pytest.mark.parametrize("name", ["a.png.png", "faces.json"])
    @pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
    def test_files_of_others_stay(self, checkpoint, tmp_path, capsys, name, kind):
        paths, out = self.photos(tmp_path / "in", "a.png"), tmp_path / "o"
        out.mkdir()
        (tmp_path / "target").write_text("mine")
        if kind == "file":
            (out / name).write_text("mine")
        else:
            (out / name).symlink_to(tmp_path / ("target" if kind == "link" else "none"))
        assert call(checkpoint, *paths, "--out", out) == 2
        assert f"holds {name}, which would be overwritten" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [name]
        assert (tmp_path / "target").read_text() == "mine" and not (tmp_path / "none").exists()

    def test_the_photos_own_folder(self, checkpoint, tmp_path, capsys, monkeypatch):
        paths = self.photos(tmp_path / "in", "a.png", "b.png")
        before = self.contents(tmp_path / "in")
        (tmp_path / "link").symlink_to("in")
        monkeypatch.chdir(tmp_path / "in")
        for out in (".", tmp_path / "in", tmp_path / "link", "../in"):
            assert call(checkpoint, *paths, "--out", out) == 2
            assert "lies in it; name another folder" in capsys.readouterr().err
        assert self.contents(tmp_path / "in") == before

    def test_an_earlier_runs_pictures_go(self, checkpoint, tmp_path):
        first, second = self.photos(tmp_path / "in", "a.png", "b.png")
        assert call(checkpoint, first, second, "--out", tmp_path / "o") == 0
        (tmp_path / "o" / "mine.png").write_text("mine")
        assert call(checkpoint, second, "--out", tmp_path / "o") == 0
        assert set(self.contents(tmp_path / "o")) == {"faces.json", "b.png.png", "mine.png", MARK}

    def test_links_are_not_written_through(self, checkpoint, tmp_path):
        (path,) = self.photos(tmp_path / "in", "a.png")
        assert call(checkpoint, path, "--out", tmp_path / "o") == 0
        (tmp_path / "target").write_text("mine")
        for name in ("a.png.png", "faces.json"):
            (tmp_path / "o" / name).unlink()
            (tmp_path / "o" / name).symlink_to(tmp_path / "target")
        assert call(checkpoint, path, "--out", tmp_path / "o") == 0
        assert (tmp_path / "target").read_text() == "mine"
        assert written(tmp_path / "o")["photos"][0]["status"] == "ok"

    def test_work_is_gone_on_with(self, checkpoint, tmp_path, capsys):
        """The same as in one run, and nothing is looked at twice but what has changed since."""
        paths = self.photos(tmp_path / "in", "a.png", "b.png", "c.png", "d.png")
        assert call(checkpoint, *paths, "--out", tmp_path / "whole") == 0
        (tmp_path / "in" / "e.jpg").write_text("no photo")
        changed = paths[2].stat().st_mtime_ns
        os.utime(paths[2], (1e9, 1e9))  # of an older file than the one that takes its place
        assert call(checkpoint, *paths[1:3], tmp_path / "in/e.jpg", "--out", tmp_path / "o") == 0
        os.utime(paths[2], ns=(changed, changed))
        self.looked.clear()
        options = ["--out", tmp_path / "o", "--skip-existing"]
        assert call(checkpoint, *paths, *options) == 0
        assert "1 of 4 photos are done already" in capsys.readouterr().out
        assert len(self.looked) == 3
        assert self.contents(tmp_path / "o") == self.contents(tmp_path / "whole")
        self.looked.clear()
        assert call(checkpoint, *paths, *options) == 0
        assert not self.looked
        assert self.contents(tmp_path / "o") == self.contents(tmp_path / "whole")
        (tmp_path / "o" / "b.png.png").unlink()
        assert call(checkpoint, *paths, *options) == 0
        assert len(self.looked) == 1
        assert self.contents(tmp_path / "o") == self.contents(tmp_path / "whole")

    @pytest.mark.parametrize("seconds", [1e9, 2e9])
    def test_photos_that_change_meanwhile(self, checkpoint, tmp_path, monkeypatch, seconds):
        """By an older file or a younger one, after they were read: they are looked at again."""
        paths, read = self.photos(tmp_path / "in", "a.png", "b.png"), photos.read
        options = ["--batch", 1, "--out", tmp_path / "o"]

        def change(path):
            image = read(path)
            os.utime(path, (seconds, seconds))
            return image

        with monkeypatch.context() as patch:
            patch.setattr(photos, "read", change)
            assert call(checkpoint, *paths, *options) == 0
        self.looked.clear()
        assert call(checkpoint, *paths, *options, "--skip-existing") == 0
        assert len(self.looked) == 2

    def test_crops_of_done_photos_stay(self, checkpoint, tmp_path):
        """Without pictures, too, and where another photo of that name comes first."""
        paths = [self.photos(tmp_path / folder, "x.png")[0] for folder in "ba"]
        options = ["--no-pictures", "--aligned", 64, "--out", tmp_path / "o"]
        assert call(checkpoint, paths[0], *options) == 0
        (tmp_path / "o" / "x.png.face1.png").write_bytes(b"of b")
        assert call(checkpoint, *paths[::-1], *options, "--skip-existing") == 0
        crops = [record["faces"][0]["aligned"] for record in written(tmp_path / "o")["photos"]]
        assert crops == ["x.png.2.face1.png", "x.png.face1.png"]
        assert (tmp_path / "o" / "x.png.face1.png").read_bytes() == b"of b"

    def test_a_list_of_photos_is_let_go_before_the_next(self, checkpoint, tmp_path, monkeypatch):
        paths, read, held = self.photos(tmp_path / "in", *(f"{n}.png" for n in range(5))), [], []

        def noted(path):
            held.append(sum(image() is not None for image in read))
            image = np.zeros((60, 60, 3), np.uint8)
            read.append(weakref.ref(image))
            return image

        box = Detection(np.float32([10, 10, 50, 50]), 1.0)
        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", lambda *_: [box])
        monkeypatch.setattr(photos, "read", noted)
        options = ["--batch", 2, "--no-pictures", "--out", tmp_path / "o"]
        assert call(checkpoint, *paths, *options) == 0
        assert held == [0, 1, 0, 1, 0]

    def test_killed_work_is_gone_on_with(self, checkpoint, tmp_path):
        """What a killed run leaves: its journal, cut in the middle of a record."""
        paths, out = self.photos(tmp_path / "in", "a.png", "b.png", "c.png"), tmp_path / "o"
        assert call(checkpoint, *paths, "--out", out) == 0
        whole = self.contents(out)
        first, *records, _ = (out / "faces.json").read_bytes().split(b"\n")[:-1]
        lines = [first.removesuffix(b', "photos": [') + b"}", records[0].rstrip(b","), b'{"photo']
        (out / JOURNAL).write_bytes(b"\n".join(lines))
        (out / "faces.json").unlink()
        self.looked.clear()
        assert call(checkpoint, *paths, "--out", out, "--skip-existing") == 0
        assert len(self.looked) == 2 and self.contents(out) == whole

    def test_a_killed_run_goes_on_beside_a_file_of_other_settings(self, checkpoint, tmp_path):
        paths, out = self.photos(tmp_path / "in", "a.png", "b.png"), tmp_path / "o"
        assert call(checkpoint, *paths, "--out", out, "--min-score", 0.01) == 0
        whole = self.contents(out)
        first, *records, _ = (out / "faces.json").read_bytes().split(b"\n")[:-1]
        lines = [first.removesuffix(b', "photos": [') + b"}", records[0].rstrip(b",")]
        assert call(checkpoint, *paths, "--out", out) == 0
        (out / JOURNAL).write_bytes(b"\n".join(lines) + b"\n")
        self.looked.clear()
        options = "--out", out, "--skip-existing", "--min-score", 0.01
        assert call(checkpoint, *paths, *options) == 0
        assert len(self.looked) == 1 and self.contents(out) == whole

    def test_a_picture_that_was_written_over_is_made_again(self, checkpoint, tmp_path):
        """b is predicted, then a and b, which is killed after a: a has b's place."""
        a, b = (self.photos(tmp_path / name, "x.png")[0] for name in "ab")
        out, record = tmp_path / "o", tmp_path / "o/faces.json"
        assert call(checkpoint, b, "--out", out) == 0
        before = record.read_bytes()
        assert call(checkpoint, a, "--out", out) == 0
        lines = record.read_bytes().split(b"\n")
        lines[0] = lines[0].removesuffix(b', "photos": [') + b"}"
        (out / JOURNAL).write_bytes(b"\n".join(lines[:2]) + b"\n")
        record.write_bytes(before)
        assert call(checkpoint, a, b, "--out", out, "--skip-existing") == 0
        assert call(checkpoint, a, b, "--out", tmp_path / "fresh") == 0
        assert self.contents(out) == self.contents(tmp_path / "fresh")

    def test_one_process_at_a_time_writes(self, checkpoint, tmp_path, capsys):
        (path,) = self.photos(tmp_path / "in", "a.png")
        with Lock(tmp_path / "o", "", HIDDEN) as lock:
            assert call(checkpoint, path, "--out", tmp_path / "o") == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert "is in use by process" in line and "name another --out" in line
            assert list((tmp_path / "o").iterdir()) == [lock.path]
        assert call(checkpoint, path, "--out", tmp_path / "o") == 0
        assert not lock.path.exists()

    @pytest.mark.heavy
    def test_a_second_process_is_refused_and_harms_nothing(self, checkpoint, tmp_path, capsys):
        names = [f"{number}.png" for number in range(20)]
        paths, out = self.photos(tmp_path / "in", *names), tmp_path / "o"
        command = [*paths, "--ckpt", checkpoint, "--out", out]
        first = subprocess.Popen(
            [sys.executable, "-m", "jaxalign", "predict", *command], cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        held_by(first, out / HIDDEN)
        assert call(checkpoint, paths[0], "--out", out) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert f"{out}: is in use by process {first.pid} on host" in line
        first.send_signal(signal.SIGCONT)
        _, errors = first.communicate(timeout=300)
        assert first.returncode == 0, errors
        assert [entry["photo"] for entry in written(out)["photos"]] == list(map(str, paths))
        assert not (out / HIDDEN).exists()

    def test_other_settings_are_not_mixed(self, checkpoint, tmp_path, monkeypatch, capsys):
        (path,) = self.photos(tmp_path / "in", "a.png")
        assert call(checkpoint, path, "--out", tmp_path / "o") == 0
        whole = self.contents(tmp_path / "o")
        options = ["--out", tmp_path / "o", "--skip-existing"]
        assert call(checkpoint, path, *options, "--min-score", 0.5) == 2
        assert "was made with another min_score" in capsys.readouterr().err
        assert self.contents(tmp_path / "o") == whole
        boxes = boxes_file(tmp_path / "boxes.csv", ("a.png", 10, 10, 50, 50))
        mine = ["--boxes", boxes, "--out", tmp_path / "mine", "--skip-existing"]
        assert call(checkpoint, path, *mine) == call(checkpoint, path, *mine) == 0
        boxes_file(boxes, ("a.png", 20, 20, 50, 50))
        assert call(checkpoint, path, *mine) == 2
        assert "was made with another boxes_sha256" in capsys.readouterr().err
        with monkeypatch.context() as patch:  # as if another step had been written there
            patch.setattr("jaxalign.checkpoints.identity", lambda step: "another")
            assert call(checkpoint, path, *options) == 2
        assert "was made with another checkpoint_sha256" in capsys.readouterr().err
        (tmp_path / "o" / "faces.json").write_text("[1, 2]")
        assert call(checkpoint, path, *options) == 2
        assert "was not written by predict" in capsys.readouterr().err

    @pytest.mark.parametrize("done", [0, 1])
    def test_an_error_keeps_the_old_result(self, done, checkpoint, tmp_path, monkeypatch):
        """What was done by then is taken over where the work is gone on with."""
        paths, out = self.photos(tmp_path / "in", "a.png", "b.png"), tmp_path / "o"
        command = [checkpoint, *paths, "--out", out, "--batch", 1]
        assert call(*command) == 0
        whole, save, saved = self.contents(out), Image.Image.save, []

        def full(*arguments, **options):
            saved.append(arguments)
            if len(saved) > done:
                raise OSError(errno.ENOSPC, "No space left on device")
            save(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "save", full)
            assert call(*command) == 2
        assert (out / JOURNAL).exists() is bool(done)
        assert {n: v for n, v in self.contents(out).items() if n != JOURNAL} == whole
        assert call(*command, "--skip-existing") == 0
        assert self.contents(out) == whole


class TestRefusals:
    def line(self, capsys, *arguments):
        assert call(*arguments) == 2
        errors = capsys.readouterr().err.splitlines()
        beside = "predict: ", "compiling "  # the progress bar, and what is said above it
        errors = [line for line in errors if line.strip() and not line.startswith(beside)]
        assert len(errors) == 1 and errors[0].startswith("error: ")
        return errors[0]

    def test_checkpoints(self, capsys, album, tmp_path):
        assert "no such folder" in self.line(capsys, tmp_path / "none", album)
        (tmp_path / "weights.pth").write_bytes(b"torch")
        assert "weights.pth" in self.line(capsys, tmp_path / "weights.pth", album)
        assert "holds no finished checkpoint" in self.line(capsys, album, album)
        (tmp_path / "foreign" / "variables").mkdir(parents=True)
        line = self.line(capsys, tmp_path / "foreign", album)
        assert "foreign" in line and "not a whole checkpoint of this program and version" in line

    def test_arguments(self, capsys, checkpoint, album, tmp_path):
        assert "give photos" in self.line(capsys, checkpoint)
        assert "give photos" in self.line(capsys, checkpoint, album, "--video", "v.mp4")
        assert "--smooth goes with --video" in self.line(capsys, checkpoint, album, "--smooth")
        line = self.line(capsys, checkpoint, album, "--boxes", "b.csv", "--detector-model", "m")
        assert "in place of a detector" in line
        assert "--batch -1" in self.line(capsys, checkpoint, album, "--batch", -1)
        assert "--refine -1" in self.line(capsys, checkpoint, album, "--refine", -1)
        assert "--min-score nan" in self.line(capsys, checkpoint, album, "--min-score", "nan")
        assert "cannot be looked for" in self.line(capsys, checkpoint, 304 * "a")
        assert "none.jpg" in self.line(capsys, checkpoint, album / "none.jpg")
        assert "m.onnx" in self.line(capsys, checkpoint, album, "--detector-model", "m.onnx")
        line = self.line(capsys, checkpoint, album, "--boxes", "b.csv", "--detector", "dlib")
        assert "in place of a detector" in line
        options = ["--detector", "dlib", "--detector-model", "m.onnx"]
        assert "with --detector yunet, not dlib" in self.line(capsys, checkpoint, album, *options)
        line = self.line(capsys, checkpoint, album, "--detector", "mtcnn")
        assert "detector 'mtcnn': one of auto, cascade, yunet, dlib" in line
        assert "v.mp4" in self.line(capsys, checkpoint, "--video", tmp_path / "v.mp4")

    def test_boxes_of_other_photos(self, capsys, checkpoint, album, tmp_path):
        boxes = boxes_file(tmp_path / "boxes.csv", ("other.jpg", 1, 2, 3, 4))
        line = self.line(capsys, checkpoint, album, "--boxes", boxes)
        assert "names none of the photos given, but other.jpg" in line
        boxes = boxes_file(tmp_path / "boxes.csv", ("a.png", 901, 2, 903, 4))
        line = self.line(capsys, checkpoint, album / "a.png", "--boxes", boxes, "--out", tmp_path)
        assert f"{boxes}: {album / 'a.png'}: the box" in line and "lies outside" in line
        (album / "deep").mkdir()
        Image.fromarray(photo()).save(album / "deep" / "a.png")
        line = self.line(capsys, checkpoint, f"{album}/**/a.png", "--boxes", boxes)
        assert "a.png is the name of 2 of the photos given; name them by their paths" in line

    def test_folder_that_cannot_be_written(self, capsys, checkpoint, album, tmp_path):
        (tmp_path / "file").touch()
        line = self.line(capsys, checkpoint, album, "--out", tmp_path / "file")
        assert f"{tmp_path / 'file'}: is a file; name a folder" in line

    def test_picture_that_cannot_be_written(self, capsys, checkpoint, album, tmp_path, monkeypatch):
        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        boxes = boxes_file(tmp_path / "boxes.csv", ("a.png", 180, 100, 220, 140))
        monkeypatch.setattr(Image.Image, "save", full)
        arguments = ["--boxes", boxes, "--out", tmp_path / "o"]
        line = self.line(capsys, checkpoint, album / "a.png", *arguments)
        assert "a.png.png: cannot be written (No space left on device)" in line

    def test_which_step(self, checkpoint):
        with pytest.raises(InputError, match="which='bst': one of best, latest"):
            jaxalign.load(checkpoint, "bst")
