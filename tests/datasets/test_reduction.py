"""Larger faces stored reduced with their surroundings: points stay where the photo shows them."""

import io
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

import jaxalign
from jaxalign import geometry, photos, recipe
from jaxalign.augment import Augment, Pose
from jaxalign.commands import evaluate, prepare
from jaxalign.datasets.faces import Face
from jaxalign.datasets.ibug_300w import BENCHMARK
from jaxalign.datasets.image_folder import BENCHMARK as FOLDER
from jaxalign.datasets.reduction import MARGIN, Reduction, limits, reduced
from jaxalign.datasets.synthetic_faces import face as drawn_face
from jaxalign.errors import InputError
from jaxalign.pipeline import Crop, crop_face, reach
from jaxalign.schemes import IBUG68
from jaxalign.sources import Source, open_source
from jaxalign.training.train import reductions
from tests.helpers.commands import call, refused
from tests.helpers.small import small_recipe
from tests.helpers.trees import SIDE, face68, make_300w


MARKED = (8, 30, 54)  # points that are drawn, in the red, green and blue channel


def blobs(extension=".png", side=300.0, shape=(700, 900), centre=(430.3, 371.8), **fields):
    """A face with a box of about `side` pixels, a Gaussian blob at three of its points."""
    points = face68(0) - SIDE / 2
    points = (points * side / np.ptp(points, 0).max() + centre).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.stack(
        [
            255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 9.0**2))
            for px, py in points[list(MARKED)].astype(np.float64)
        ],
        -1,
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if extension == ".jpg" else []
    photo = cv2.imencode(extension, np.rint(image[..., ::-1]).astype(np.uint8), options)[1]
    return Face("train", "one", photo.tobytes(), {"ibug68": points}, **fields)


def longer(points):
    return float(np.ptp(points, axis=0).max())


@pytest.mark.parametrize("most", [299, 200, 128, 77])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_points_lie_where_the_smaller_photo_shows_them(most, extension):
    """To 0.02 of its pixels."""
    found = reduced(blobs(extension), most)
    points, image = found.points["ibug68"], photos.decode(found.photo).astype(np.float64)
    assert most * 0.99 < longer(points) <= most and found.photo[:2] == blobs(extension).photo[:2]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    image = np.maximum(image - 24, 0)  # without what JPEG leaves far from the blobs
    for channel, index in enumerate(MARKED):
        mass = image[..., channel] / image[..., channel].sum()
        centre = (mass * x).sum(), (mass * y).sum()
        np.testing.assert_allclose(centre, points[index], atol=0.02)


def test_boxes_move_with_the_points():
    around = np.array([260, 180, 640, 560], np.float32)
    face = blobs(boxes={"dataset": around, "detector": around + 3}, norm_box=around - 5, yaw=12.0)
    found = reduced(face, 128)
    corners, moved = ([f.points["ibug68"].min(0), f.points["ibug68"].max(0)] for f in (face, found))
    zoom = (moved[1] - moved[0]) / (corners[1] - corners[0])
    for box, there in (
        (face.boxes["dataset"], found.boxes["dataset"]),
        (face.boxes["detector"], found.boxes["detector"]),
        (face.norm_box, found.norm_box),
    ):
        expected = (box.reshape(2, 2) + 0.5 - corners[0] - 0.5) * zoom + moved[0]
        np.testing.assert_allclose(there.reshape(2, 2), expected, atol=1e-3)
    assert (found.yaw, found.id, found.group) == (12.0, "one", "")


def test_points_without_a_place_have_none_after_it():
    face = blobs()
    face.points["ibug68"][5] = np.nan
    found = reduced(face, 100).points["ibug68"]
    assert np.isnan(found[5]).all() and np.isfinite(np.delete(found, 5, 0)).all()


def test_smaller_faces_keep_their_bytes():
    face = blobs(".jpg")
    assert reduced(face, 301) is face and reduced(face, 0) is face
    outside = replace(face, points={"ibug68": face.points["ibug68"] + 5000})
    assert reduced(outside, 100) is outside  # nothing to cut out


@pytest.mark.parametrize(("extension", "apart"), [(".png", 0), (".jpg", 6)])
def test_a_small_face_is_cut_out_of_a_large_photo(extension, apart):
    """As large as it was: its pixels stay, and its points move by whole pixels."""
    around = np.array([380, 300, 500, 440], np.float32)
    face = blobs(extension, side=120.0, boxes={"detector": around}, norm_box=around + 3)
    found = reduced(face, 512)
    whole, part = (photos.decode(photo).astype(int) for photo in (face.photo, found.photo))
    height, width, _ = part.shape
    assert 2.5 * 120 <= min(width, height) and max(width, height) <= 2.5 * 140 + 30
    x, y = around[:2].astype(int) - found.boxes["detector"][:2].astype(int)
    assert abs(part - whole[y : y + height, x : x + width]).max() <= apart
    np.testing.assert_array_equal(
        found.points["ibug68"], face.points["ibug68"] - np.float32([x, y])
    )
    np.testing.assert_array_equal(found.norm_box, face.norm_box - [x, y, x, y])


@pytest.mark.parametrize(("side", "is_cut"), [(190.0, True), (250.0, False)])
def test_it_is_cut_out_where_half_of_the_photo_goes(side, is_cut):
    """Of 900 x 700 pixels: of the faces' 475 and 625 pixels of surroundings."""
    face = blobs(side=side)
    assert (reduced(face, 512) is not face) == is_cut


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_grey_photos_stay_grey(extension):
    face = blobs(extension)
    grey = photos.decode(face.photo)[..., 0]
    face.photo = cv2.imencode(extension, grey)[1].tobytes()
    with Image.open(io.BytesIO(reduced(face, 200).photo)) as image:
        assert image.mode == "L"


def test_a_jpeg_keeps_its_colours_at_full_resolution():
    photo, at = reduced(blobs(".jpg"), 100).photo, 2
    while photo[at + 1] != 0xC0:  # the header of a baseline JPEG's frame
        at += 2 + struct.unpack(">H", photo[at + 2 : at + 4])[0]
    assert [photo[at + 11 + 3 * k] for k in range(photo[at + 9])] == [0x11] * 3


def sample_of(face: Face) -> dict:
    points = face.points["ibug68"]
    return {
        "photo": face.photo,
        "points": points,
        "labelled": np.ones(68, bool),
        "visible": np.ones(68, bool),
        "boxes": {"landmarks": geometry.landmark_box(points), **face.boxes},
        "attributes": np.zeros(6, np.uint8),
        "id": face.id,
    }


@pytest.mark.parametrize("degrees", [-45, 0, 30])
def test_the_surroundings_are_enough_for_the_strongest_crops(degrees, monkeypatch):
    """Turned by 45 degrees, a quarter larger and moved, the crop is that of the whole photo."""
    noise = np.random.default_rng(0).integers(60, 200, (90, 110, 3)).astype(np.uint8)
    image = cv2.resize(noise, (1100, 900), interpolation=cv2.INTER_CUBIC)
    face = blobs(centre=(550, 450), side=290.0)
    face.photo = cv2.imencode(".png", image)[1].tobytes()
    pose = Pose(degrees=degrees, zoom=1.25, shift=(0.0, -0.02), flip=True)
    monkeypatch.setattr("jaxalign.pipeline.draw_pose", lambda *_: pose)
    still = replace(small_recipe().data.augment, brightness=0, contrast=0, saturation=0, grey=0,
                    blur=0, noise=0, occlusion=0)  # fmt: skip

    def crop(face):
        rng = np.random.default_rng(0)
        return crop_face(sample_of(face), IBUG68, Crop(), 128, still, rng)

    whole, smaller = crop(face), crop(reduced(face, 200))
    np.testing.assert_allclose(smaller["points"], whole["points"], atol=0.02)
    apart = abs(smaller["image"].astype(int) - whole["image"]).max(-1)
    assert np.quantile(apart, 0.99) < 12 and apart.max() < 40


def test_every_recipe_finds_what_it_crops():
    for path in recipe.configs_folder().glob("[!_]*.py"):
        data = recipe.load(str(path)).data
        assert reach(data.crop, data.augment) <= MARGIN, path.stem


def test_what_the_packaged_weights_find_stays():
    """The same points, to 0.15 % of the distance of the eyes' outer corners."""
    aligner, apart = jaxalign.load(), []
    for index in range(4):
        face = drawn_face("test", index, 1536, seed=0)
        face.points = {"ibug68": face.points["ibug68"]}
        smaller = reduced(face, 512)
        assert smaller is not face
        found = []
        for one in (face, smaller):
            points = one.points["ibug68"]
            box = geometry.landmark_box(points)
            found.append(aligner(photos.decode(one.photo), [box])[0].points)
        (a, b), (c, d) = ((f.points["ibug68"].min(0), f.points["ibug68"].max(0))
                          for f in (face, smaller))  # fmt: skip
        back = (found[1] - c) * (b - a) / (d - c) + a
        truth = face.points["ibug68"]
        apart.append(np.hypot(*(back - found[0]).T) / np.hypot(*(truth[36] - truth[45])))
    assert np.mean(apart) < 0.0015


def test_limits():
    assert limits(BENCHMARK) == {"train": 512, "val": 0, "test": 0}
    assert limits(FOLDER) == {"train": 0, "val": 0, "test": 0}
    assert limits(FOLDER, ["300", "test=1024"]) == {"train": 300, "val": 0, "test": 1024}
    for text in ("big", "-5", "tests=3", "test="):
        with pytest.raises(InputError, match=f"--max-face {text}: expected PX or SPLIT=PX"):
            limits(BENCHMARK, [text])


@pytest.fixture
def data(tmp_path, capsys):
    """A tiny 300W whose training faces are reduced to 30 pixels, and what was printed."""
    make_300w(tmp_path / "300w", 2)
    places = ["--from", tmp_path / "300w", "--data-dir", tmp_path / "data"]
    assert call(prepare, "ibug_300w", *places, "--max-face", "30") == 0
    return tmp_path / "data", capsys.readouterr().out


def test_a_data_set_says_that_it_is_reduced(data):
    folder, out = data
    assert "train: 6 faces reduced to 30 px, on photos of their surroundings; --max-face 0" in out
    train, test = (open_source(f"ibug_300w/{name}", IBUG68, folder) for name in ("train", "test"))
    assert train.reduction == Reduction(30, MARGIN, 6) and test.reduction is None
    assert all(29 < longer(sample["points"]) <= 30 for sample in train)
    assert all(longer(sample["points"]) > 39 for sample in test)
    pair = [sample for sample in train if sample["group"] == "flickr/134212"]
    assert len(pair) == 3 and pair[0]["photo"] != pair[1]["photo"]  # two faces of one photo


def test_training_says_what_it_loses_by_it(data, tmp_path):
    source = open_source("ibug_300w/train", IBUG68, data[0])
    (line,) = reductions(small_recipe(), replace(source, reduction=Reduction(4096, MARGIN, 6)))
    assert line == "ibug_300w/train: 6 faces reduced to 4096 px, on photos of their surroundings"
    told, warning = reductions(small_recipe(), source)
    assert "crops of" in warning and "ibug_300w again with --max-face 0 --overwrite" in warning
    attention = recipe.load("attention_ibug_300w")
    at_512 = replace(source, reduction=Reduction(512, MARGIN, 6))
    assert "crops of 1024 px show no more" in reductions(attention, at_512)[1]
    wide = recipe.override(attention, ["data.crop.landmarks.enlarge=2", "system.size=256"])
    assert "beyond the 1.25 that were kept there is black" in reductions(wide, at_512)[1]
    assert reductions(attention, replace(source, reduction=None)) == []


def test_faces_cut_out_of_larger_photos_give_the_same_crops(tmp_path, capsys):
    """To what a JPEG loses once more. The data set says what was done; nothing is lost by it."""
    root = tmp_path / "300w"
    make_300w(root, 2)
    for path in sorted([*root.rglob("*.png"), *root.rglob("*.jpg")]):
        border = (0, 200, 0, 300, cv2.BORDER_REFLECT)
        cv2.imwrite(path, cv2.copyMakeBorder(cv2.imread(path), *border))
    for name, *options in (("cut",), ("whole", "--max-face", "0")):
        assert (
            call(prepare, "ibug_300w", "--from", root, "--data-dir", tmp_path / name, *options) == 0
        )
    out = capsys.readouterr().out
    assert out.count("train: 6 faces of their own size, on photos of their surroundings; ") == 1
    cut, whole = (open_source("ibug_300w/train", IBUG68, tmp_path / n) for n in ("cut", "whole"))
    assert cut.reduction == Reduction(512, MARGIN, 0, 6) and whole.reduction is None
    for one, other in zip(cut, whole, strict=True):
        assert len(one["photo"]) < len(other["photo"])
        a, b = (
            crop_face(face, IBUG68, Crop(), 64, Augment(), np.random.default_rng(1))
            for face in (one, other)
        )
        np.testing.assert_allclose(a["points"], b["points"], atol=1e-4)
        assert abs(a["image"].astype(int) - b["image"]).mean() < 5  # of noise, in each colour
    (line,) = reductions(recipe.load("attention_ibug_300w"), cut)
    assert line.startswith("ibug_300w/train: 6 faces of their own size")
    both = replace(cut.reduction, faces=3).told
    assert both.startswith("3 faces reduced to 512 px and 6 faces of their own size, on photos of")


def test_points_of_other_tools_are_of_whole_photos(data, tmp_path, capsys):
    asked = ["--predictions", tmp_path / "p.csv", "--data", "ibug_300w/afw", "--data-dir", data[0]]
    line = refused(capsys, evaluate, *asked)
    assert "ibug_300w/afw: 6 faces reduced to 30 px, on photos of their surroundings, but" in line
    assert "prepare ibug_300w again with --max-face 0 --overwrite" in line


def test_it_goes_with_a_build(tmp_path, capsys):
    assert call(prepare, "ibug_300w", "--from", tmp_path, "--check", "--max-face", "9") == 2
    assert "--max-face goes with a build" in capsys.readouterr().err


def test_a_source_of_records_is_whole():
    assert Source("drawn", IBUG68, [], [], ()).reduction is None
