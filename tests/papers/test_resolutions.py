"""The figures over resolutions, of stages whose errors are known, and of reports."""

import csv
from types import SimpleNamespace

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.commands import paper
from jaxalign.evaluation.truth import truth_of
from jaxalign.papers import resolution_figures, resolutions
from jaxalign.papers.work import Work
from jaxalign.pipeline import BoxRule, Crop, crop_face
from jaxalign.recipe import Data
from jaxalign.samples import YAWS
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
            "points": points, "visible": np.ones(68, bool), "attributes": np.zeros(6),
            "labelled": np.ones(68, bool),
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
        own = next(one for one in source if one["id"] == face["id"])
        there = geometry.transform(face["brought"], own["points"])
        np.testing.assert_allclose(there, face["points"], atol=1e-9)


def lines(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def figure(source, tmp_path, monkeypatch):
    """(number, models, further options) -> exit code of the figure's command, its rows. On
    `spec`, by default photos."""
    systems = {"two": TwoStages(), "one": OneStage()}

    def open_model(path, **options):
        recipe = SimpleNamespace(data=Data(crop=CROP))
        source.name = options["data"]
        return SimpleNamespace(system=systems[path], variables=np.float32(0), recipe=recipe,
                               source=source)  # fmt: skip

    monkeypatch.setattr(resolution_figures, "open_model", open_model)

    def draw(number, models, *more, spec="ibug_300w/test"):
        arguments = ["--figure", number, "--ckpt", *models, "--data", spec, "--workdir", tmp_path]
        code = paper.main(["attention_cropping", *map(str, [*arguments, *more])])
        file = tmp_path / f"figure{number}"
        if code == 0:
            assert file.with_suffix(".png").stat().st_size > 10_000
        return code, lines(file.with_suffix(".csv")) if code == 0 else []

    return draw


SIZES = ("--sizes", 64, 32, 128)
EYES = 0.4  # their distance, of the crop
WRONG = {"two": 0, "two, global stage": OFF, "one": OFF / 2}  # of the crop


@pytest.mark.heavy
def test_regions_over_the_resolution(figure, capsys):
    code, rows = figure(2, ["two", "one"], *SIZES, spec="synthetic_faces/test")
    assert code == 0
    printed = capsys.readouterr().out
    assert "128 px: all 3 faces are smaller" in printed and "a stand-in" in printed
    found = {(row["model"], row["resolution"], row["region"]): row for row in rows}
    assert len(rows) == len(found) == 3 * 2 * 4
    for side, left_out in (("32", "0"), ("64", "1")):
        for name, wrong in WRONG.items():
            for region in resolutions.REGIONS:
                row = found[name, side, region]
                assert row["left_out"] == left_out
                assert float(row["nme"]) == pytest.approx(wrong / EYES, abs=1e-3)
                assert float(row["auc"]) == pytest.approx(1 - wrong / EYES / 0.1, abs=1e-2)
                assert float(row["pck@5.5"]) == 1 and float(row["pck@10.0"]) == 1
                assert (float(row["pck@3.0"]) == 1) == (wrong < OFF)


def of_source(source, shift):
    """Results of the photos as they are: `shift` of each face's crop too far to the right."""
    truth = truth_of(source, "faces", IBUG68)
    sides = np.array([CROP.square(face)[1] for face in source])
    return truth.with_predictions(truth.points + sides[:, None, None] * [shift, 0])


@pytest.mark.heavy
def test_gains_over_models_and_reports(figure, source, tmp_path, capsys):
    """Of a tool by a report of the photos, and by one of the faces of each size."""
    whole, sized = tmp_path / "whole", tmp_path / "sized"
    for folder, results in (
        (whole, of_source(source, 3 * OFF / 4)),
        (sized / "32", of_source(resolutions.brought_to(source, CROP, 32), OFF / 4)),
    ):
        folder.mkdir(parents=True)
        results.save(folder / "predictions.jsonl", "inter_ocular")
    code, rows = figure(1, ["two", "one"], *SIZES, "--report", whole, sized)
    assert code == 0
    gains = {(row["over"], row["resolution"]): float(row["auc_gain"]) for row in rows}
    wrong = {"two, global stage": OFF, "one": OFF / 2, str(whole): 3 * OFF / 4}
    wanted = {(name, side): by / EYES / 0.1 for name, by in wrong.items() for side in ("32", "64")}
    wanted[str(sized), "32"] = OFF / 4 / EYES / 0.1
    assert gains == pytest.approx(wanted, abs=1e-2)
    assert {(row["resolution"], row["faces"]) for row in rows} == {("32", "3"), ("64", "2")}

    of_source(source[:1], 0.0).save(whole / "predictions.jsonl", "inter_ocular")
    assert figure(1, ["one"], *SIZES, "--report", whole)[0] == 2
    assert "no points for 2 faces (1, 2)" in capsys.readouterr().err
    larger = of_source(resolutions.brought_to(source, CROP, 40), 0.0)
    larger.save(sized / "32" / "predictions.jsonl", "inter_ocular")
    assert figure(1, ["one"], *SIZES, "--report", sized)[0] == 2
    assert "other true points than the faces of 32 px have for 3 faces" in capsys.readouterr().err


def test_points_without_a_place_do_not_count(source):
    """Of one face the nose has none, of another only its tip."""
    faces = [dict(face) for face in source]
    for face, unlabelled in zip(faces, (range(27, 36), range(28, 36), ()), strict=True):
        face["labelled"] = ~np.isin(np.arange(68), unlabelled)
        face["points"] = np.where(face["labelled"][:, None], face["points"], np.nan)
    truth = truth_of(faces, "faces", IBUG68)
    moved = np.nan_to_num(truth.points) + np.array([1.0, 2.0, 4.0])[:, None, None] * [1, 0]
    results = truth.with_predictions(moved)
    nose = resolutions.measures(results, "inter_ocular")["nose"]
    shares = np.array([1.0, 2.0, 4.0]) / [100 * EYES, 65 * EYES, 40 * EYES]
    assert nose["nme"] == pytest.approx(shares[1:].mean(), abs=1e-4)
    assert nose["pck"][80] == pytest.approx(1 / 10)  # one point of the second face, nine of another
    np.testing.assert_allclose(resolutions.squared_errors(results), [1, 4, 16], atol=1e-3)


def test_common_faces(source):
    for side in (32, 64):
        faces = resolutions.brought_to(source, CROP, side, 64)
        assert [face["id"] for face in faces] == ["0", "1"]


@pytest.mark.heavy
def test_methods_side_by_side(figure, tmp_path, capsys):
    """By yaw where it is known, of faces with an expression, and of those that are listed."""
    rows = [row for number in (5, 6) for row in figure(number, ["two", "one"], "--sizes", 32)[1]]
    names = list(dict.fromkeys(row["model"] for row in rows))
    assert names == ["two", "two, global stage", "one"]
    assert [row["face"] for row in rows] == ["0"] * 3 + ["1"] * 3  # from -97 to 10 degrees
    for row in rows:
        assert float(row["mse_px2"]) == pytest.approx((32 * WRONG[row["model"]]) ** 2, abs=1e-2)
        assert row["lowest"] == str(row["model"] == "two")
    printed = capsys.readouterr().out
    assert "all (3)  yaw 0 to 30 (1)  yaw above 60 (1)  expression (1)" in printed
    assert ["one", *["0.10"] * 4] in [line.split() for line in printed.splitlines()]
    assert [row["face"] for row in figure(7, ["one"], "--sizes", 32)[1]] == ["0"]
    assert figure(8, ["one"], "--sizes", 32)[0] == 2
    assert "1 faces, too few for 5 figures" in capsys.readouterr().err

    ids = tmp_path / "ids.txt"
    ids.write_text("2\n0\n\n1\n")
    two = ["--sizes", 32, "--ids", ids, "--faces", 2]
    assert [[row["face"] for row in figure(number, ["one"], *two)[1]] for number in (7, 8)] == [
        ["2", "0"],
        ["1"],
    ]
    assert figure(9, ["one"], *two)[0] == 2
    assert "names 3 faces, and the figure shows those from number 5 on" in capsys.readouterr().err
    assert figure(5, ["one"], "--sizes", 64, "--ids", ids)[0] == 2
    assert "2 is no face of 64 px and more" in capsys.readouterr().err


@pytest.mark.heavy
def test_corrections_of_the_second_stage(figure, source, tmp_path, capsys):
    """Drawn at the largest size that a face reaches."""
    found = {number: figure(number, ["one", "two"], *SIZES, "--faces", 1)[1] for number in (3, 4)}
    assert [row["face"] for rows in found.values() for row in rows] == ["0", "0", "1", "1"]
    assert {row["region"] for row in found[3]} == {"nose", "mouth"}
    for row in found[3]:
        assert row["resolution"] == "64" and row["model"] == "two"
        assert float(row["mse_px2_global"]) == pytest.approx((64 * OFF) ** 2, rel=2e-2)
        assert float(row["mse_px2_regional"]) == pytest.approx(0, abs=1e-2)
    sheet = cv2.imread(str(tmp_path / "figure3.png"))[..., ::-1].reshape(-1, 3)
    for colour in (resolution_figures.GLOBAL, resolution_figures.REGIONAL):
        assert (sheet == colour).all(1).sum() > 10
    assert figure(3, ["one"], *SIZES)[0] == 2
    assert "are of a system of two stages; name one" in capsys.readouterr().err


@pytest.mark.heavy
def test_variants_of_a_recipe_are_trained_for_a_figure(source, tmp_path, monkeypatch):
    """The system, and the same with the baseline's four stacks; each by its own seeds."""
    trained = []

    def train(work, row, seed):
        trained.append((row.train, seed))
        return f"{row.label} {seed}"

    def open_model(path, **options):
        recipe = SimpleNamespace(data=Data(crop=CROP))
        system = TwoStages() if path.startswith("both") else OneStage()
        return SimpleNamespace(system=system, variables=np.float32(0), recipe=recipe, source=source)

    monkeypatch.setattr(Work, "train", train)
    monkeypatch.setattr(resolution_figures, "open_model", open_model)
    arguments = ["--config", "attention_light_ibug_300w", "--trainings", "2", "--sizes", "32"]
    arguments += ["--workdir", str(tmp_path)]
    assert paper.main(["attention_cropping", "--figure", "1", *arguments]) == 0
    four = ("system.global_stacks=4",)
    assert trained == [((), 0), ((), 1), (four, 0), (four, 1)]
    rows = lines(tmp_path / "figure1.csv")
    assert {row["model"] for row in rows} == {"both stages, seed 0"}
    assert [row["over"] for row in rows][-1] == "4 global stacks, seed 1"


@pytest.mark.parametrize(
    ("yaw", "group"),
    [(0, 0), (30, 0), (-30, 0), (30.1, 1), (60, 1), (-60.1, 2), (99, 2)],
)
def test_every_yaw_is_in_one_group(source, yaw, group):
    """Those of aflw2000_3d, whose faces turn as far as 99 degrees."""
    truth = truth_of(source, "faces", IBUG68)
    faces = [face | {"yaw": yaw, "subsets": ()} for face in source]
    found = resolutions.by_group(truth.with_predictions(truth.points), faces)
    assert set(found) >= {"all", list(YAWS)[group]}
    assert len([name for name in found if name.startswith("yaw")]) == 1


@pytest.mark.parametrize(
    ("number", "more", "message"),
    [
        (2, ["--faces", "0"], "--faces 0: must be 1 or more"),
        (2, ["--sizes", "0"], "--sizes 0: must be 1 or more"),
        (2, ["--sizes", "999"], "no face reaches 999 px; lower --sizes"),
        (2, ["--normaliser", "nose"], "--normaliser nose: one of inter_ocular,"),
        (1, ["--ids", "ids.txt"], "--ids is only for a figure that parts the faces by a list"),
    ],
)
def test_refusals(figure, number, more, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("0")
    assert figure(number, ["two"], *more)[0] == 2
    assert message in capsys.readouterr().err


def test_a_figure_needs_models_and_its_faces_what_it_parts_them_by(figure, source, capsys):
    assert paper.main(["attention_cropping", "--figure", "1"]) == 2
    assert "give --ckpt, or --config" in capsys.readouterr().err
    assert figure(1, ["one"], "--sizes", "32")[0] == 2
    assert "name another model or report beside the first" in capsys.readouterr().err
    for face in source:
        face |= {"yaw": np.nan, "subsets": ()}
    for number, message in ((5, "the yaw of none"), (7, "to have an expression")):
        assert figure(number, ["one"], "--sizes", "32")[0] == 2
        assert message in capsys.readouterr().err


def test_what_is_for_figures_over_resolutions_alone(capsys):
    for more in (["--sizes", "64"], ["--common"], ["--faces", "0"], ["--normaliser", "box"]):
        assert paper.main(["tab", "--table", "1", *more]) == 2
        assert f"{more[0]} is only for a figure over resolutions" in capsys.readouterr().err
