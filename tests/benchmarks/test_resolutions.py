"""The study of resolutions, of stages whose errors are known."""

import csv
from types import SimpleNamespace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import resolutions
from jaxalign.evaluation.truth import truth_of
from jaxalign.pipeline import BoxRule, Crop, crop_face
from jaxalign.recipe import Data
from jaxalign.schemes import IBUG68
from jaxalign.systems.attention_cropping import Stages


CROP = Crop("landmarks", landmarks=BoxRule(1.0))
OFF = 0.02  # of the crop, what the global stage is wrong by
SHAPE = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))  # of every face, fractions of its crop
SHAPE[0], SHAPE[1], SHAPE[36], SHAPE[45] = 0, 1, (0.3, 0.4), (0.7, 0.4)


class TwoStages:
    """Knows the shape of every face; the global stage looks a little to the right."""

    points, size, sizes, regions = IBUG68, 32, (32, 64), {"nose": (27,), "mouth": (48, 60)}
    note = "a likeness"

    def stages(self, variables, images):
        faces, side = images.shape[:2]
        points = jnp.broadcast_to(
            jnp.asarray(SHAPE, jnp.float32)[None] * side - 0.5, (faces, 68, 2)
        )
        scores, move = jnp.ones((faces, 68)), jnp.array([[[OFF * side, 0.0]]])
        squares = jnp.broadcast_to(jnp.array([[[0.5, 0.5, 0.3]]]) * side, (faces, 2, 3))
        return Stages(
            global_points=points + move + variables,
            global_scores=scores,
            points=points,
            scores=scores,
            squares=squares,
        )

    def predict(self, variables, images):
        found = self.stages(variables, images)
        return found.points, found.scores


class OneStage:
    """Half as wrong."""

    points, size, sizes, note = IBUG68, 32, (32,), ""
    stages = 3  # a number: as of PixelWise's cascade

    def predict(self, variables, images):
        found = TwoStages().stages(variables, images)
        return (found.points + found.global_points) / 2, found.scores


class Faces(list):
    name, scheme = "faces", IBUG68


@pytest.fixture
def source():
    """Faces 100, 65 and 40 pixels wide, a light at point 30."""
    faces = Faces()
    for number, (side, yaw, subsets) in enumerate(
        [(100, -97.0, ("expression",)), (65, 10.0, ()), (40, np.nan, ())]
    ):
        points = np.float32(SHAPE * side - 0.5 + 30 + number)
        photo = np.zeros((160, 180, 3), np.uint8)
        cv2.circle(photo, tuple(np.round(points[30]).astype(int).tolist()), 5, (255,) * 3, -1)
        faces.append({
            "id": str(number), "photo": cv2.imencode(".png", photo)[1].tobytes(),
            "points": points, "labelled": np.ones(68, bool),
            "visible": np.ones(68, bool), "attributes": np.zeros(6),
            "boxes": {"landmarks": np.concatenate([points.min(0), points.max(0)])},
            "subsets": subsets, "norm_box": np.full(4, np.nan), "yaw": yaw,
        })  # fmt: skip
    return faces


def test_faces_are_reduced_and_not_enlarged(source):
    faces = resolutions.brought_to(source, CROP, 64)
    assert [face["id"] for face in faces] == ["0", "1"]
    for face in faces:
        assert CROP.square(face)[1] == pytest.approx(64, abs=1e-3)
        row = crop_face(face, IBUG68, CROP, 64)
        np.testing.assert_allclose(row["points"], SHAPE * 64 - 0.5, atol=1e-2)
        light = row["image"][..., 0] / row["image"][..., 0].sum()
        y, x = np.mgrid[:64, :64]
        assert abs((light * x).sum() - row["points"][30, 0]) < 0.8
        assert abs((light * y).sum() - row["points"][30, 1]) < 0.8
        side = cv2.imdecode(np.frombuffer(face["photo"], np.uint8), 1).shape[0]
        assert side == 1.5 * 64  # something of the surroundings


def lines(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.heavy
def test_command(source, tmp_path, monkeypatch, capsys):
    systems = {"two": TwoStages(), "one": OneStage()}
    recipes = {name: SimpleNamespace(system=system, data=Data(crop=CROP))
               for name, system in systems.items()}  # fmt: skip
    load = lambda path: (recipes[path], np.float32(0), None)  # noqa: E731
    monkeypatch.setattr(resolutions.checkpoints, "load", load)
    monkeypatch.setattr(resolutions, "open_source", lambda *_: source)
    arguments = ["--ckpt", "two", "one", "--data", "synthetic_faces/test", "--out", str(tmp_path)]
    sizes = ["--sizes", "64", "32", "128"]
    assert resolutions.main([*arguments, *sizes]) == 0
    printed = capsys.readouterr().out
    assert "128 px: all 3 faces are smaller" in printed and "a stand-in" in printed
    assert "\na likeness\n" in printed
    rows = {
        (row["model"], row["resolution"], row["region"]): row for row in lines(tmp_path / "pck.csv")
    }
    assert len(rows) == 3 * 2 * 4
    eyes = 0.4  # their distance, of the crop
    for side, left_out in (("32", "0"), ("64", "1")):
        for name, wrong in (("two", 0), ("two, global stage", OFF), ("one", OFF / 2)):
            for region in resolutions.REGIONS:
                row = rows[name, side, region]
                assert row["left_out"] == left_out
                assert float(row["nme"]) == pytest.approx(wrong / eyes, abs=1e-3)
                assert float(row["auc"]) == pytest.approx(1 - wrong / eyes / 0.1, abs=1e-2)
                assert float(row["pck@5.5"]) == 1 and float(row["pck@10.0"]) == 1
                assert (float(row["pck@3.0"]) == 1) == (wrong < OFF)
    gains = {(row["over"], row["resolution"]): float(row["auc_gain"])
             for row in lines(tmp_path / "improvement.csv")}  # fmt: skip
    assert gains["two, global stage", "64"] == pytest.approx(0.5, abs=1e-2)
    assert gains["one", "32"] == pytest.approx(0.25, abs=1e-2)
    squares = {(row["model"], row["resolution"], row["group"]): row
               for row in lines(tmp_path / "mse.csv")}  # fmt: skip
    groups = {group: row["faces"] for (model, side, group), row in squares.items()
              if (model, side) == ("one", "32")}  # fmt: skip
    assert groups == {"all": "3", "yaw 0 to 30": "1", "yaw above 60": "1", "expression": "1"}
    found = float(squares["two, global stage", "64", "all"]["mse_px2"])
    assert found == pytest.approx((64 * OFF) ** 2, rel=1e-2)
    rows = [line.split() for line in printed.splitlines()]
    assert ["one", "32", *["0.10"] * 4] in rows  # (OFF / 2 * 32)^2
    for name in ("pck.png", "improvement.png", "mse.png", "corrections.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_common_faces(source):
    for side in (32, 64):
        faces = resolutions.brought_to(source, CROP, side, 64)
        assert [face["id"] for face in faces] == ["0", "1"]


@pytest.mark.parametrize(
    ("yaw", "group"),
    [(0, 0), (30, 0), (-30, 0), (30.1, 1), (60, 1), (-60.1, 2), (99, 2)],
)
def test_every_yaw_is_in_one_group(source, yaw, group):
    """Those of aflw2000_3d, whose faces turn as far as 99 degrees."""
    truth = truth_of(source, "faces", IBUG68)
    faces = [face | {"yaw": yaw, "subsets": ()} for face in source]
    found = resolutions.squared_errors(truth.with_predictions(truth.points), faces)
    assert set(found) >= {"all", resolutions.GROUPS[1 + group]}
    assert len([name for name in found if name.startswith("yaw")]) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--batch", "0"], "--batch 0: must be 1 or more"),
        (["--sizes", "0"], "--sizes 0: must be 1 or more"),
        (["--sizes", "999"], "no face reaches 999 px; lower --sizes"),
    ],
)
def test_refusals(source, more, message, tmp_path, monkeypatch, capsys):
    recipe = SimpleNamespace(system=TwoStages(), data=Data(crop=CROP))
    monkeypatch.setattr(resolutions.checkpoints, "load", lambda path: (recipe, 0, None))
    monkeypatch.setattr(resolutions, "open_source", lambda *_: source)
    arguments = ["--ckpt", "a", "--data", "ibug_300w/test", "--out", str(tmp_path)]
    assert resolutions.main([*arguments, *more]) == 2
    assert message in capsys.readouterr().err
