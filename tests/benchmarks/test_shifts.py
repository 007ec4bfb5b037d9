"""The steadiness of predictions under shifts of the crop, of detectors whose answer is known."""

import csv
from types import SimpleNamespace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import shifts
from jaxalign.pipeline import BoxRule, Crop, crop_face
from jaxalign.recipe import Data
from jaxalign.schemes import SCHEMES


class Fixed:
    """Says the same points of every crop, whatever is on it: does not shift along at all."""

    points, size, sizes = SCHEMES["ibug68"], 32, (32,)

    def predict(self, variables, images):
        places = jnp.linspace(4, 28, 68)
        points = jnp.stack([places, places], -1)[None]
        faces = len(images)
        return jnp.broadcast_to(points, (faces, 68, 2)) + variables, jnp.ones((faces, 68))


class Centroid(Fixed):
    """All points stand at the crop's centre of brightness: shifts along."""

    def predict(self, variables, images):
        light = images.astype(jnp.float32).mean(-1)
        light = light / light.sum((1, 2), keepdims=True)
        grid = jnp.arange(32.0)
        x = (light.sum(1) * grid[None]).sum(-1)
        y = (light.sum(2) * grid[None]).sum(-1)
        points = jnp.stack([x, y], -1)[:, None]
        return jnp.broadcast_to(points, (len(images), 68, 2)), jnp.ones((len(images), 68))


@pytest.fixture
def source():
    """Four faces on black photos of 100 pixels, with a blob of light in the middle."""
    y, x = np.mgrid[:100, :100] - 50
    photo = np.uint8(250 * np.exp(-(x**2 + y**2) / 200))[..., None].repeat(3, -1)
    encoded = cv2.imencode(".png", photo)[1].tobytes()
    rng = np.random.default_rng(0)

    class Faces(list):
        name, scheme = "faces", SCHEMES["ibug68"]

    faces = Faces()
    for i in range(4):
        points = rng.uniform(30, 70, (68, 2)).astype(np.float32)
        points[:2] = (18, 20), (82, 78)  # fixes the box: 64 pixels
        faces.append({
            "id": str(i), "photo": encoded, "points": points, "labelled": np.ones(68, bool),
            "visible": np.ones(68, bool),
            "attributes": np.zeros(6), "boxes": {"landmarks": np.array([18.0, 18, 82, 82])},
            "subsets": (), "norm_box": np.full(4, np.nan), "yaw": np.nan,
        })  # fmt: skip
    return faces


CROP = Crop(box="landmarks", landmarks=BoxRule(1.0))  # 64 pixels of the photo on 32 of the crop


def test_the_content_moves_and_nothing_is_lost(source):
    face, plain = source[0], crop_face(source[0], source.scheme, CROP, 32)
    moved = crop_face(
        face, source.scheme, shifts.ShiftedCrop(**vars(CROP), shift=(2, -1), size=32), 32
    )
    np.testing.assert_allclose(moved["points"], plain["points"] + [2, -1], atol=1e-4)
    difference = moved["image"][:-1, 2:].astype(int) - plain["image"][1:, :-2]
    assert abs(difference).max() <= 1
    assert moved["image"][:, :2].max() > 0  # what came in


def measured(system, source):
    return shifts.measure("m", system, np.float32(0), source, CROP, "inter_ocular", 4)


def test_a_detector_that_does_not_see_drifts_by_the_shift(source):
    drift = measured(Fixed(), source)
    expected = [abs(x) + abs(y) for x, y in shifts.SHIFTS]
    assert sorted(expected) == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_allclose(drift.pixels, np.tile(expected, (4, 1)).T, atol=1e-3)
    eyes = np.array([np.linalg.norm(face["points"][36] - face["points"][45]) for face in source])
    # a crop pixel is two of the photo
    np.testing.assert_allclose(drift.fractions, 2 * drift.pixels / eyes, rtol=1e-4)
    numbers = shifts.summary(drift)
    assert numbers["drift_px"] == pytest.approx(1.5, abs=1e-3)
    assert numbers["nme_least"] < numbers["nme"] < numbers["nme_greatest"]
    assert numbers["spread"] > 1e-3


def test_a_detector_that_shifts_along_does_not_drift(source):
    drift = measured(Centroid(), source)
    assert drift.pixels.max() < 0.05
    assert shifts.summary(drift)["spread"] < 1e-3


@pytest.mark.heavy
def test_command(data_300w, tmp_path, monkeypatch, capsys):
    recipe = SimpleNamespace(system=Fixed(), data=Data())
    monkeypatch.setattr(shifts.checkpoints, "load", lambda path: (recipe, np.float32(0), None))
    out = tmp_path / "out"
    arguments = ["--ckpt", "a", "b", "--data", "ibug_300w/test", "--data-dir", str(data_300w)]
    assert shifts.main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "6 faces" in printed and "of inter_ocular" in printed
    assert [line.split()[1] for line in printed.splitlines() if line[:2] in ("a ", "b ")] == [
        "1.500"
    ] * 2
    with (out / "shifts.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 18 and {line["model"] for line in lines} == {"a", "b"}
    assert [line for line in lines if line["x"] == line["y"] == "0"][0]["drift_px"] == "0.0"
    assert (out / "shifts.png").stat().st_size > 10_000
    assert shifts.main([*arguments, "--batch", "0"]) == 2
    assert "--batch 0" in capsys.readouterr().err
    assert shifts.main([*arguments, "--decoder", "soft"]) == 2
    assert "a: Fixed has no --decoder" in capsys.readouterr().err
