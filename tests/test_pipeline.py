import os
import struct
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from jaxalign import geometry, pipeline
from jaxalign.augment import PIXELS, Augment
from jaxalign.errors import InputError
from jaxalign.pipeline import (
    MOST_THREADS,
    BoxRule,
    Crop,
    bins_of,
    crop_face,
    evaluation_batches,
    threads_of,
    training_batches,
)
from jaxalign.schemes import AFLW19, IBUG68


STILL = Augment(**{f.name: 0.0 for f in fields(Augment) if f.type is float})
STRONG = Augment(rotation=45, scale=0.2, shift=0.05, noise=1.0, blur=1.0, occlusion=1.0, dropout=1)
GEOMETRIC = {
    "none": STILL,
    "rotation": replace(STILL, rotation=60.0, rotation_p=1.0),
    "scale": replace(STILL, scale=0.25),
    "shift": replace(STILL, shift=0.08),
    "flip": replace(STILL, flip=1.0),
    "all": replace(STILL, rotation=60.0, rotation_p=1.0, scale=0.2, shift=0.05, flip=0.5),
}


def encode(image: np.ndarray, extension: str = ".png") -> bytes:
    """(H, W, 3) uint8 RGB -> file bytes."""
    return cv2.imencode(extension, image[..., ::-1])[1].tobytes()


def sample_of(photo: bytes, points: np.ndarray, box) -> dict:
    return {
        "photo": photo,
        "points": np.asarray(points, np.float32),
        "labelled": np.isfinite(points).all(-1),
        "visible": np.arange(len(points)) % 3 > 0,
        "boxes": {"dataset": np.asarray(box, np.float32)},
        "attributes": np.zeros(6, np.uint8),
        "id": "faces/one",
    }


def crop_of(enlarge=1.0, down=0.0):
    return Crop(box="dataset", dataset=BoxRule(enlarge, down))


# The half-pixel test.


MARKED = (36, 30, 54)  # points whose places are drawn in the red, green and blue channel


def blobs(sigma: float, unit: float) -> dict:
    """A photo of three Gaussian blobs, one a channel, at sub-pixel points within a generic box.

    `unit` scales all lengths: the box is 83.7 units wide, centred at (101.63, 88.21) units.
    """
    height, width = round(177 * unit), round(203 * unit)
    centre = np.array([101.63, 88.21]) * unit
    points = centre + np.random.default_rng(3).uniform(-40, 40, (68, 2)) * unit
    points[list(MARKED)] = centre + np.array([[-13.37, -9.81], [2.19, 6.43], [11.71, 14.08]]) * unit
    points = points.astype(np.float32)
    y, x = np.mgrid[:height, :width]
    image = np.stack(
        [
            255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
            for px, py in points[list(MARKED)].astype(np.float64)
        ],
        -1,
    )
    x0, y0 = centre - 83.7 / 2 * unit
    box = (x0, y0 + 2 * unit, x0 + 83.7 * unit, y0 + 81.7 * unit)
    return sample_of(encode(np.round(image).astype(np.uint8)), points, box)


def centroids(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (3, 2): x, y of each channel's centre of mass."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mass = image.astype(np.float64)
    total = mass.sum((0, 1))
    return (
        np.stack([(mass * x[..., None]).sum((0, 1)), (mass * y[..., None]).sum((0, 1))]).T
        / (total[:, None])
    )


@pytest.mark.parametrize("augment", GEOMETRIC.values(), ids=GEOMETRIC)
@pytest.mark.parametrize(("factor", "unit"), [(0, 1.0), (2, 2.6), (3, 3.8)])
def test_points_lie_where_the_photo_shows_them(factor, unit, augment):
    """Blobs drawn at points of the photo are found in the crop where the row's points say, and
    lead back to the photo, whether it is first averaged down by a factor or not: to 0.01 pixel
    over ten crops, and to 1/32 in each (OpenCV samples at whole 1/32 pixels). A flip must also
    hand each point its partner's place."""
    photo, crop, marks = blobs(sigma=3.3 * unit, unit=unit), crop_of(1.37), list(MARKED)
    there, back, zooms, flips = [], [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        box = photo["boxes"]["dataset"] + np.tile(rng.uniform(-2, 2, 2), 2)
        sample = photo | {"boxes": {"dataset": box}}
        row = crop_face(sample, IBUG68, crop, 128, augment, rng)
        determinant = np.linalg.det(row["matrix"][:, :2])
        order = list(IBUG68.flip) if determinant < 0 else list(range(68))
        found = centroids(row["image"])
        there.append(found - row["points"][order][marks])
        way_back = geometry.invert(row["matrix"])
        back.append(geometry.transform(way_back, found) - sample["points"][marks])
        np.testing.assert_array_equal(row["visible"], sample["visible"][order])
        zooms.append(np.sqrt(abs(determinant)))
        flips.append(determinant < 0)

    assert abs(np.array(there)).max() < 1 / 32
    np.testing.assert_allclose(np.mean(there, (0, 1)), 0, atol=0.01)
    np.testing.assert_allclose(np.mean(back, (0, 1)), 0, atol=0.01 / np.mean(zooms))
    assert {int(1 / zoom) for zoom in zooms} == {factor} or augment.scale
    assert set(flips) == {0: {False}, 0.5: {False, True}, 1: {True}}[augment.flip]


def textured(height=90, width=110, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_a_box_of_whole_pixels_is_cut_out_exactly():
    """Pixels 20..51 by 10..41 reach from edge 19.5 to 51.5: zoom 1, nothing interpolated."""
    image = textured()
    points = np.random.default_rng(1).uniform(20, 40, (19, 2))
    sample = sample_of(encode(image), points, (19.5, 9.5, 51.5, 41.5))
    row = crop_face(sample, AFLW19, crop_of(), 32)
    np.testing.assert_array_equal(row["image"], image[10:42, 20:52])
    np.testing.assert_allclose(row["points"], sample["points"] - [20, 10], atol=1e-5)
    assert row["points"].dtype == np.float32 and row["matrix"].dtype == np.float64


def test_half_the_size_is_the_mean_of_two_by_two_pixels():
    image = textured()
    points = np.tile([[20.5, 10.5]], (19, 1))  # the corner of four pixels, one pixel of the crop
    sample = sample_of(encode(image), points, (19.5, 9.5, 83.5, 73.5))
    row = crop_face(sample, AFLW19, crop_of(), 32)
    means = image[10:74, 20:84].reshape(32, 2, 32, 2, 3).mean((1, 3))
    np.testing.assert_allclose(row["image"], means, atol=1)
    np.testing.assert_allclose(row["points"], 0, atol=1e-5)


def test_a_flip_is_the_mirrored_crop_with_partners_swapped():
    sample = blobs(3.0, 1.0)
    flip = replace(STILL, flip=1.0)
    plain = crop_face(sample, IBUG68, crop_of(1.2), 96)
    mirrored = crop_face(sample, IBUG68, crop_of(1.2), 96, flip, np.random.default_rng(0))
    np.testing.assert_allclose(mirrored["image"], plain["image"][:, ::-1].astype(float), atol=1)
    expected = plain["points"][list(IBUG68.flip)] * [-1, 1] + [95, 0]
    np.testing.assert_allclose(mirrored["points"], expected, atol=1e-4)


def test_a_finished_crop_is_augmented_as_the_photo_is_but_black_around():
    """The same points and matrix; the photo's grey ends where the plain crop did."""
    grey = np.full((400, 400, 3), 200, np.uint8)
    sample = sample_of(encode(grey), np.random.default_rng(0).uniform(180, 220, (68, 2)),
                       (170, 170, 230, 230))  # fmt: skip
    augment = replace(STILL, rotation=45.0, rotation_p=1.0, scale=0.2, shift=0.1, flip=0.5)
    y, x = np.mgrid[:64, :64]
    places = np.stack([x.ravel(), y.ravel()], -1)
    for seed in range(6):
        of = {
            name: crop_face(sample, IBUG68, crop_of(), 64, replace(augment, of=name),
                            np.random.default_rng(seed))
            for name in ("photo", "crop")
        }  # fmt: skip
        for name in ("points", "matrix", "visible"):
            np.testing.assert_array_equal(of["crop"][name], of["photo"][name])
        assert (of["photo"]["image"] == 200).all()
        plain = geometry.crop_matrix(np.array([200, 200]), 60, 64)
        photo = geometry.transform(geometry.invert(of["crop"]["matrix"]), places)
        depth = 31.5 - abs(geometry.transform(plain, photo) - 31.5).max(-1).reshape(64, 64)
        image = of["crop"]["image"][..., 0]
        assert (image[depth > 0.1] == 200).all() and (image[depth < -1.1] == 0).all()
        assert (depth < -1.1).any()


def test_points_lie_where_a_finished_crop_shows_them():
    """To a whole 1/32 pixel for each of the two warps."""
    sample, marks = blobs(sigma=3.3, unit=1.0), list(MARKED)
    augment = replace(GEOMETRIC["all"], of="crop")
    for seed in range(4):
        row = crop_face(sample, IBUG68, crop_of(1.37), 128, augment, np.random.default_rng(seed))
        flipped = np.linalg.det(row["matrix"][:, :2]) < 0
        order = list(IBUG68.flip) if flipped else list(range(68))
        assert abs(centroids(row["image"]) - row["points"][order][marks]).max() < 2 / 32


@pytest.mark.parametrize(("shrink", "factor"), [
    (0.5, 1), (1.99, 1), (2.0, 2), (2.99, 2), (3.0, 1), (3.9, 1), (4.0, 4), (5.9, 4), (6.0, 2),
    (7.9, 2), (8.0, 8), (11.9, 8), (12.0, 4), (16.0, 8), (40.0, 8),
])  # fmt: skip
def test_photos_are_decoded_smaller_where_the_crop_shrinks_them_anyway(shrink, factor):
    """And bilinear sampling never skips more than half a pixel, as for whole photos from 2 on."""
    assert pipeline.reduction(shrink) == factor
    left = shrink / factor
    assert left / max(int(left), 1) < 1.5 or shrink < 2


@pytest.mark.parametrize("sampling", ["420", "444", "grey"])
@pytest.mark.parametrize(("unit", "factor"), [(2.6, 2), (5.0, 4), (9.9, 8)])
def test_points_stay_where_a_smaller_decoded_photo_shows_them(unit, factor, sampling, monkeypatch):
    """To a tenth of a crop pixel in each, and to 0.02 over all; the factor divides no side."""
    sample = blobs(sigma=3.3 * unit, unit=unit)
    image = cv2.imdecode(np.frombuffer(sample["photo"], np.uint8), cv2.IMREAD_COLOR)
    if sampling == "grey":
        image, options = image[..., 1], []
    else:
        kind = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, kind]
    height, width = (side // factor * factor - 1 for side in image.shape[:2])
    image = np.ascontiguousarray(image[:height, :width])
    photo = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95, *options])[1].tobytes()
    asked, decoded = [], pipeline.photos.decode_reduced
    monkeypatch.setattr(pipeline.photos, "decode_reduced",
                        lambda *given: [asked.append(given[1]), decoded(*given)][1])  # fmt: skip
    apart = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        box = sample["boxes"]["dataset"] + np.tile(rng.uniform(-2, 2, 2), 2)
        rows = [
            crop_face(sample | {"photo": photo, "boxes": {"dataset": box}}, IBUG68, crop_of(1.37),
                      128, augment, rng)
            for augment in (None, replace(STILL, rotation=5.0, rotation_p=0.0))
        ]  # fmt: skip
        np.testing.assert_array_equal(rows[0]["matrix"], rows[1]["matrix"])
        whole, reduced = (np.maximum(row["image"].astype(float) - 24, 0) for row in rows)
        apart.append(centroids(reduced) - centroids(whole))
        assert abs(whole - reduced).max() < 10
    assert asked == [factor] * 6
    assert abs(np.array(apart)).max() < 0.1 and abs(np.mean(apart, (0, 1))).max() < 0.02


def test_evaluation_decodes_whole_photos(monkeypatch):
    monkeypatch.setattr(pipeline.photos, "decode_reduced", None)
    image = textured(400, 500)
    sample = sample_of(encode(image, ".jpg"), np.full((68, 2), 90), (20, 20, 380, 380))
    crop_face(sample, IBUG68, crop_of(), 64)


def test_other_photos_are_averaged_as_ever():
    """PNGs, and JPEGs that OpenCV would decode otherwise, have no smaller decoding."""
    image = textured(400, 500)
    for photo in (encode(image), b"", encode(image, ".jpg")[:100]):
        assert pipeline.photos.decode_reduced(photo, 4) is None
    sample = sample_of(encode(image), np.full((68, 2), 90), (20, 20, 380, 380))
    rows = [crop_face(sample, IBUG68, crop_of(), 64, augment, np.random.default_rng(0))
            for augment in (None, STILL)]  # fmt: skip
    np.testing.assert_array_equal(rows[0]["image"], rows[1]["image"])


def test_outside_the_photo_is_black():
    image = np.full((40, 40, 3), 200, np.uint8)
    sample = sample_of(encode(image), np.zeros((19, 2)), (-20.5, -0.5, 19.5, 39.5))
    row = crop_face(sample, AFLW19, crop_of(), 40)
    assert (row["image"][:, :20] == 0).all() and (row["image"][:, 20:] == 200).all()


def test_light_and_covers_never_move_points():
    sample = blobs(3.0, 1.0)
    with_photometry = crop_face(sample, IBUG68, crop_of(1.2), 64, STRONG, np.random.default_rng(5))
    pose = {name: getattr(STRONG, name) for name in ("rotation", "rotation_p", "scale", "shift")}
    geometric = replace(STILL, flip=STRONG.flip, **pose)
    without = crop_face(sample, IBUG68, crop_of(1.2), 64, geometric, np.random.default_rng(5))
    for key in ("points", "visible", "matrix"):
        np.testing.assert_array_equal(with_photometry[key], without[key])
    assert (
        with_photometry["image"] != without["image"]
    ).mean() > 0.3  # the picture is dark, and a fifth of it blackened


# Reading photos.


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """JPEG bytes with an EXIF segment that holds nothing but the orientation tag."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_exif_orientation_is_ignored():
    jpeg = encode(cv2.resize(textured(8, 12), (60, 40)), ".jpg")
    turned = with_orientation(jpeg, 6)
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (60, 40, 3)
    found = pipeline.decode(turned, "x")
    assert found.shape == (40, 60, 3)
    np.testing.assert_array_equal(found, pipeline.decode(jpeg, "x"))


def test_photos_are_rgb():
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 250
    np.testing.assert_array_equal(pipeline.decode(encode(image), "x"), image)
    grey = cv2.imencode(".png", np.full((4, 5), 90, np.uint8))[1].tobytes()
    np.testing.assert_array_equal(pipeline.decode(grey, "x"), np.full((4, 5, 3), 90))


@pytest.mark.parametrize("photo", [b"", b"no photo", encode(textured())[:20]])
def test_an_undecodable_photo_names_its_face(photo):
    sample = sample_of(photo, np.zeros((19, 2)), (0, 0, 9, 9))
    with pytest.raises(InputError, match="^faces/one: its photo cannot be decoded"):
        crop_face(sample, AFLW19, crop_of(), 16)


def test_a_missing_box_lists_those_there_are():
    sample = sample_of(encode(textured()), np.zeros((19, 2)), (0, 0, 9, 9))
    with pytest.raises(InputError, match="^faces/one has no detector box; it has: dataset; choose"):
        crop_face(sample, AFLW19, Crop(box="detector"), 16)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (9, 9, 2, 2), (np.nan, 0, 1, 1)])
def test_a_box_without_extent_is_refused(box):
    sample = sample_of(encode(textured()), np.zeros((19, 2)), box)
    with pytest.raises(InputError, match="^faces/one: its dataset box .* has no extent$"):
        crop_face(sample, AFLW19, crop_of(), 16)


def test_a_flat_box_takes_its_longer_side():
    centre, side = crop_of(2.0).square(sample_of(b"", np.zeros((19, 2)), (10, 30, 20, 30)))
    np.testing.assert_array_equal(centre, [15, 30])
    assert side == 20


@pytest.mark.parametrize(
    ("kind", "box", "expected"),
    [
        ("landmarks", (0, 0, 95, 190), (5, 10)),
        ("landmarks", (7, 0, 102, 190), (12, 10)),  # a box that was moved
        ("dataset", (10, 30, 20, 30), (15, 30)),
        ("detector", (10, 30, 20, 30), (15, 30)),
    ],
)
def test_a_centroid_crop_has_the_points_mean_in_its_middle(kind, box, expected):
    """Of landmark boxes; no other may know where the points are."""
    points = np.zeros((19, 2))
    points[:2] = [[95, 0], [0, 190]]
    sample = sample_of(b"", points, box) | {"boxes": {kind: np.float32(box)}}
    crop = Crop(kind, *[BoxRule(2.0)] * 3, centroid=True)
    centre, side = crop.square(sample)
    np.testing.assert_allclose(centre, expected)
    assert side == 2 * max(box[2] - box[0], box[3] - box[1])
    points[18] = np.nan  # nobody labelled it, and it has no weight in the mean
    centre, _ = crop.square(sample_of(b"", points, box) | {"boxes": {kind: np.float32(box)}})
    further = np.array([5, 10]) / 18 * (kind == "landmarks")
    np.testing.assert_allclose(centre, expected + further)


# Batches.


FACES, BATCH = 7, 4


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(8)
    return [
        sample_of(
            encode(textured(30, 34, seed)), rng.uniform(5, 25, (19, 2)), (4.3, 5.1, 26.2, 27.9)
        )
        | {"id": f"faces/{seed}"}
        for seed in range(FACES)
    ]


def training(faces, first, last, seed=1, batch=BATCH, **options):
    return list(
        training_batches(
            faces, AFLW19, crop_of(1.2), 16, STRONG,
            batch=batch, seed=seed, first=first, last=last, **options,
        )
    )  # fmt: skip


def assert_equal(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
            assert one[key].dtype == other[key].dtype


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_points_without_a_place_lie_in_the_crops_centre_and_are_not_labelled(flip):
    """Also in the mirror image, where they are their partners."""
    sample = blobs(sigma=3.3, unit=1.0)
    points, missing = sample["points"].copy(), 36
    points[missing] = np.nan
    sample |= {"points": points, "labelled": np.isfinite(points).all(-1)}
    augment, rng = replace(STILL, flip=flip), np.random.default_rng(0)
    row = crop_face(sample, IBUG68, crop_of(), 64, augment, rng)
    place = IBUG68.flip[missing] if flip else missing
    assert np.flatnonzero(~row["labelled"]).tolist() == [place]
    assert row["points"][place].tolist() == [31.5, 31.5] and np.isfinite(row["points"]).all()


def test_training_rows_have_the_promised_shapes(faces):
    (batch,) = training(faces, 0, 1)
    shapes = {key: (value.shape, value.dtype.name) for key, value in batch.items()}
    assert shapes == {
        "image": ((4, 16, 16, 3), "uint8"),
        "points": ((4, 19, 2), "float32"),
        "labelled": ((4, 19), "bool"),
        "visible": ((4, 19), "bool"),
        "attributes": ((4, 6), "uint8"),
        "matrix": ((4, 2, 3), "float64"),
        "index": ((4,), "int64"),
        "weight": ((4,), "float32"),
    }
    assert (batch["weight"] == 1).all()


def test_same_seed_same_bytes_on_any_number_of_threads(faces):
    once = training(faces, 0, 6, threads=1)
    assert_equal(training(faces, 0, 6, threads=1), once)
    assert_equal(training(faces, 0, 6, threads=4), once)
    other = training(faces, 0, 6, seed=2)
    assert (other[0]["index"] != once[0]["index"]).any()


def test_worker_processes_make_the_same_rows(faces):
    """From any batch on, of any share, with pixels of one's own."""

    def dark(crop, rng):  # cannot be imported
        return crop // 2

    PIXELS["dark"] = dark
    try:
        augment = replace(STRONG, pixels=("jpeg", "dark"))
        by_threads, by_workers = (
            list(
                training_batches(
                    faces, AFLW19, crop_of(1.2), 16, augment, batch=BATCH, seed=1, first=2, last=7,
                    process=1, processes=2, workers=workers,
                )
            )
            for workers in (0, 2)
        )  # fmt: skip
    finally:
        del PIXELS["dark"]
    assert_equal(by_workers, by_threads)


def test_as_many_threads_as_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)), raising=False)
    assert [threads_of(number) for number in (0, 1, 12)] == [3, 1, 12]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert threads_of(0) == MOST_THREADS
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads_of(0) == 1


@pytest.mark.parametrize("start", [1, 2, 5])
def test_batches_do_not_depend_on_where_training_started(faces, start):
    assert_equal(training(faces, start, 6), training(faces, 0, 6)[start:])


def test_two_processes_share_the_batches_of_one(faces):
    halves = [training(faces, 1, 6, process=p, processes=2) for p in range(2)]
    joined = [
        {key: np.concatenate([left[key], right[key]]) for key in left}
        for left, right in zip(*halves, strict=True)
    ]
    assert_equal(joined, training(faces, 1, 6))


def test_no_augmentation_gives_the_plain_crops(faces):
    (rows,) = training_batches(
        faces, AFLW19, crop_of(1.2), 16, None, batch=4, seed=0, first=1, last=2
    )
    for number, face in enumerate(rows["index"]):
        alone = crop_face(faces[face], AFLW19, crop_of(1.2), 16)
        np.testing.assert_array_equal(rows["image"][number], alone["image"])
        np.testing.assert_array_equal(rows["points"][number], alone["points"])


def test_every_face_comes_once_an_epoch_and_new_each_time(faces):
    batches = training(faces, 0, FACES)  # 28 rows: four epochs of seven faces
    index = np.concatenate([batch["index"] for batch in batches]).reshape(BATCH, FACES)
    matrix = np.concatenate([batch["matrix"] for batch in batches]).reshape(BATCH, FACES, 2, 3)
    np.testing.assert_array_equal(np.sort(index), np.tile(np.arange(FACES), (BATCH, 1)))
    assert len({tuple(epoch) for epoch in index}) == BATCH
    for face in range(FACES):
        poses = [m[i == face].tobytes() for i, m in zip(index, matrix, strict=True)]
        assert len(set(poses)) == BATCH


YAW = (0.0, -12.0, 30.0, 8.0, -31.0, 60.0, -99.0)  # four faces, two and one


@pytest.fixture(scope="module")
def turned(faces):
    return [face | {"yaw": yaw} for face, yaw in zip(faces, YAW, strict=True)]


def test_bins_are_drawn_equally_often(turned):
    """Each third of an epoch; within a bin no face a second time before all have come."""
    bins = bins_of(turned, "yaw")
    assert [part.tolist() for part in bins.faces] == [[0, 1, 2, 3], [4, 5], [6]]
    rows = training(turned, 0, 3 * FACES, bins=bins)  # 84 rows: twelve epochs of seven
    epochs = np.concatenate([batch["index"] for batch in rows]).reshape(-1, FACES)
    shares = np.array([[np.isin(epoch, part).sum() for part in bins.faces] for epoch in epochs])
    assert (np.sort(shares, 1) == [2, 2, 3]).all()
    assert (shares.max(0) == 3).all()  # not always the same bin has one more
    for epoch in epochs:
        times = np.bincount(epoch, minlength=FACES)
        assert all(np.ptp(times[part]) <= 1 for part in bins.faces)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_a_face_that_comes_again_is_augmented_anew(turned):
    rows = training(turned, 0, FACES, bins=bins_of(turned, "yaw"))
    index = np.concatenate([batch["index"] for batch in rows])
    matrix = np.concatenate([batch["matrix"] for batch in rows])
    poses = [one.tobytes() for one in matrix[index == 6]]
    assert len(set(poses)) == len(poses) >= 2 * 4


def test_balanced_batches_do_not_depend_on_start_processes_or_threads(turned):
    bins = bins_of(turned, "yaw")
    whole = training(turned, 0, 6, bins=bins)
    assert_equal(training(turned, 2, 6, threads=4, bins=bins_of(turned, "yaw")), whole[2:])
    halves = [training(turned, 0, 6, process=p, processes=2, bins=bins) for p in range(2)]
    joined = [{key: np.concatenate([left[key], right[key]]) for key in left}
              for left, right in zip(*halves, strict=True)]  # fmt: skip
    assert_equal(joined, whole)
    other = training(turned, 0, 6, seed=2, bins=bins)
    assert (other[0]["index"] != whole[0]["index"]).any()


def test_bins_without_faces_are_passed_over_and_unknown_yaws_named(turned):
    bins = bins_of(turned[:4] + turned[6:], "yaw")
    assert [part.tolist() for part in bins.faces] == [[0, 1, 2, 3], [4]]
    unknown = [*turned[:5], turned[5] | {"yaw": np.nan}, turned[6] | {"yaw": np.nan}]
    message = "^data.balance=yaw: no yaw is known for 2 of 7 faces, first faces/5; train on data"
    with pytest.raises(InputError, match=message):
        bins_of(unknown, "yaw")


def test_fewer_faces_than_a_batch(faces):
    batches = training(faces[:3], 0, 3)
    index = np.concatenate([batch["index"] for batch in batches]).reshape(4, 3)
    np.testing.assert_array_equal(np.sort(index), np.tile(np.arange(3), (4, 1)))


def test_no_batches_from_the_end_on(faces):
    assert training(faces, 3, 3) == []


def test_a_broken_photo_in_training_names_its_face(faces):
    broken = [*faces[:-1], faces[-1] | {"photo": b"no photo"}]
    with pytest.raises(InputError, match="^faces/6: its photo cannot be decoded"):
        training(broken, 0, 2)


@pytest.mark.parametrize("batch", [1, 3, 7, 10])
def test_evaluation_takes_every_face_once_in_order(faces, batch):
    batches = list(evaluation_batches(faces, AFLW19, crop_of(1.2), 16, batch=batch))
    assert {len(rows["index"]) for rows in batches} == {batch}
    rows = {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
    real = rows["weight"] > 0
    np.testing.assert_array_equal(rows["weight"], np.arange(len(real)) < FACES)
    np.testing.assert_array_equal(rows["index"], np.arange(len(real)) % FACES)
    for number, face in enumerate(faces):
        alone = crop_face(face, AFLW19, crop_of(1.2), 16)
        for key, value in alone.items():
            np.testing.assert_array_equal(rows[key][number], value)
