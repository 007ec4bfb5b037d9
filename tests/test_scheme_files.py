"""Schemes of one's own: TOML beside the photos, JSON in checkpoints."""

import json
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jaxalign import checkpoints, export, protocols, scheme_files, schemes
from jaxalign.commands import evaluate
from jaxalign.commands.prepare import main
from jaxalign.errors import InputError
from jaxalign.metrics import NORMALISERS
from jaxalign.prediction import onnx_model
from jaxalign.recipe import Recipe, from_json, override, to_json
from jaxalign.sources import open_source
from jaxalign.systems import Integral
from tests.helpers.commands import call, refused
from tests.helpers.small import filled, saved
from tests.helpers.trees import draw


TOML = """points = ["left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"]
flips = [["left_eye", "right_eye"], ["mouth_left", "mouth_right"]]
eye_corners = ["left_eye", "right_eye"]
pupils = ["left_eye", ["right_eye"]]
normaliser = "inter_pupil"
[curves]
outlip_up = ["mouth_left", "mouth_right"]
"""
POINTS = np.array([[20, 20], [44, 22], [33, 32], [24, 44], [41, 45]], np.float32)


pytestmark = pytest.mark.usefixtures("shipped")


def write(path, text=TOML):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def folder(root):
    """Two photos, their CSV by name, and the scheme beside them."""
    write(root / "mine.toml")
    for number, name in enumerate("ab"):
        cv2.imwrite(str(root / f"{name}.png"), draw(POINTS, number))
    names = ["left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right"]
    header = ["file", *(f"{name}_{axis}" for name in names for axis in "xy")]
    rows = [[f"{n}.png", *(POINTS + i).ravel()] for i, n in enumerate("ab")]
    text = "\n".join(",".join(map(str, row)) for row in [header, *rows])
    (root / "faces.csv").write_text(text)
    return root


def test_a_file_and_its_json_are_the_same_scheme(tmp_path):
    assert scheme_files.registered(write(tmp_path / "mine.toml")) == "mine"
    mine = schemes.SCHEMES["mine"]
    assert mine.flip == (1, 0, 2, 4, 3) and mine.eye_corners == (0, 1)
    assert mine.pupils == ((0,), (1,)) and mine.curves["outlip_up"] == (3, 4)
    assert mine.names == ("left_eye", "right_eye", "nose_tip", "mouth_left", "mouth_right")
    assert mine.regions == {
        "contour": (), "brows": (), "eyes": (0, 1), "nose": (2,), "mouth": (3, 4),
    }  # fmt: skip
    assert mine.parts["left_eye"] == (0,) and mine.parts["right_eye"] == (1,)
    again = json.loads(json.dumps(scheme_files.stored(mine)))
    assert scheme_files.made(again) == mine
    protocol = protocols.protocol_for("image_folder", mine)
    assert protocol.normaliser == "inter_pupil" and "inter_ocular" in protocol.others
    assert scheme_files.registered(tmp_path / "mine.toml") == "mine"  # once more is no other
    write(tmp_path / "other/mine.toml", TOML.replace("nose_tip", "nose"))
    with pytest.raises(InputError, match="is not the one of that name read before; give it anoth"):
        scheme_files.registered(tmp_path / "other/mine.toml")
    with pytest.raises(InputError, match="is not the one of that name of the package"):
        scheme_files.registered(write(tmp_path / "ibug68.toml"))


@pytest.mark.parametrize("known", ["mine", "ibug68"])
def test_a_folders_file_is_not_passed_over_for_a_known_scheme(tmp_path, known):
    if known == "mine":
        first = scheme_files.registered(write(tmp_path / "a/mine.toml"))
        assert scheme_files.beside(tmp_path / "a", first) == "mine"
    files = dict(scheme_files.FILES)
    write(tmp_path / f"b/{known}.toml", TOML.replace("nose_tip", "nose"))
    with pytest.raises(InputError, match=f"b/{known}.toml: its scheme {known} is not the one"):
        scheme_files.beside(tmp_path / "b", known)
    assert scheme_files.beside(tmp_path, known) == known and files == scheme_files.FILES


def test_an_onnx_model_knows_its_scheme(tmp_path, monkeypatch):
    """In a process that has not read the scheme's file; ONNX Runtime is a stand-in."""
    scheme_files.registered(write(tmp_path / "mine.toml"))
    system = Integral(scheme="mine", size=32, width=8, decoder_width=8)
    run = saved(Recipe(system=system), filled(system.shapes()), tmp_path / "run")
    about = export.header(*checkpoints.load(run)[::2], 32)
    del schemes.SCHEMES["mine"]
    (tmp_path / "m.onnx").touch()
    held = SimpleNamespace(custom_metadata_map={onnx_model.KEY: json.dumps(about)})
    session = SimpleNamespace(get_modelmeta=lambda: held)
    runtime = SimpleNamespace(
        SessionOptions=SimpleNamespace, InferenceSession=lambda *_, **__: session
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    model = onnx_model.OnnxModel(tmp_path / "m.onnx")
    assert model.points.names[2] == "nose_tip" and "mine" in schemes.SCHEMES


@pytest.mark.parametrize("name", sorted(scheme_files.SHIPPED))
def test_every_shipped_scheme_survives_the_way(name):
    scheme = schemes.SCHEMES[name]
    again = scheme_files.made(scheme_files.stored(scheme))
    assert (again.flip, again.curves, again.names) == (scheme.flip, scheme.curves, scheme.names)
    assert (again.eye_corners, again.pupils) == (scheme.eye_corners, scheme.pupils)


def test_numbers_stand_for_names(tmp_path):
    text = "points = 5\nflips = [[0, 1], [3, 4]]\neye_corners = [0, 1]\n"
    scheme_files.registered(write(tmp_path / "five.toml", text))
    five = schemes.SCHEMES["five"]
    assert five.names == tuple("01234") and five.flip == (1, 0, 2, 4, 3)
    assert protocols.protocol_for("image_folder", five).normaliser == "inter_ocular"
    assert set(scheme_files.NORMALISERS) <= set(NORMALISERS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points = [", "points = ", "not TOML"),
        ("points", "point", "unknown key 'point'; a scheme has: name, points"),
        ('"nose_tip"', '"left_eye"', "points: the name 'left_eye' comes twice"),
        ('["left_eye", "right_eye"],', '["left_eye", "right"],', "flips: 'right' is none of the p"),
        ('["left_eye", "right_eye"],', '["left_eye"],', r"flips: \['left_eye'\] is no pair"),
        ('["mouth_left", "mouth_right"]]', '["mouth_left", "left_eye"]]', "is no pair of two"),
        ('eye_corners = ["left_eye", "right_eye"]', 'eye_corners = ["left_eye", "nose_tip"]',
         "eye_corners must be two points that are a pair of flips"),
        ("outlip_up", "lip", "curves may be called: contour, lbrow_up"),
        ('outlip_up = ["mouth_left", "mouth_right"]', 'outlip_up = ["mouth_left"]',
         "curves: outlip_up must have the mirrored points of outlip_up"),
        ('pupils = ["left_eye", ["right_eye"]]', "", "normaliser 'inter_pupil': with these points"),
        ("points = ", 'name = "my scheme"\npoints = ', "name 'my scheme': give it one of letters"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path, old, new, message):
    path = write(tmp_path / "mine.toml", TOML.replace(old, new, 1))
    with pytest.raises(InputError, match=f"mine.toml: .*{message}"):
        scheme_files.registered(path)
    assert "mine" not in schemes.SCHEMES


def test_prepare_takes_the_file_beside_the_photos(tmp_path, capsys):
    root = folder(tmp_path / "own")
    data = ["--from", str(root), "--data-dir", str(tmp_path / "data")]
    assert main(["image_folder", *data, "--set", "name=mine"]) == 0
    spec = "image_folder:namemine-schememine"
    assert f"data.train={spec}/train system.scheme={root / 'mine.toml'}" in capsys.readouterr().out
    source = open_source(f"{spec}/train", schemes.SCHEMES["mine"], tmp_path / "data")
    np.testing.assert_array_equal(source[1]["points"], POINTS + 1)
    # A scheme that was changed since is not taken for the one that the data set has.
    del schemes.SCHEMES["mine"]
    changed = write(root / "mine.toml", TOML.replace("nose_tip", "nose"))
    changed = schemes.SCHEMES[scheme_files.registered(changed)]
    with pytest.raises(InputError, match="schememine in .*data: its scheme mine is not the one"):
        open_source(f"{spec}/train", changed, tmp_path / "data")


def test_prepared_faces_hold_the_scheme(tmp_path, capsys):
    root, row = folder(tmp_path / "own"), tmp_path / "found.csv"
    data = ["--data-dir", tmp_path / "data"]
    assert main(["image_folder", "--from", str(root), *map(str, data), "--set", "scheme=mine",
                 "split=test"]) == 0  # fmt: skip
    del schemes.SCHEMES["mine"]
    row.write_text("\n".join(",".join(map(str, [n, *POINTS.ravel()])) for n in "ab"))
    given = ["--data", "image_folder:schememine-splittest/test", *data]
    assert call(evaluate, "--predictions", row, *given) == 0
    assert "NME" in capsys.readouterr().out


def test_a_recipe_holds_the_scheme(tmp_path):
    path = write(tmp_path / "mine.toml")
    recipe = override(Recipe(Integral()), [f"system.scheme={path}"])
    assert recipe.system.scheme == "mine" and recipe.system.points.num_points == 5
    held = json.loads(json.dumps(to_json(recipe)))
    assert "scheme" not in to_json(Recipe(Integral()))
    del schemes.SCHEMES["mine"]
    assert from_json(held) == recipe and "scheme" in held
    assert schemes.SCHEMES["mine"].names[2] == "nose_tip"
    held["scheme"]["points"][2] = "nose"
    with pytest.raises(InputError, match="the checkpoint: its scheme mine is not the one of that"):
        from_json(held)
    held["scheme"] = {"points": 3}
    with pytest.raises(InputError, match="the checkpoint's scheme cannot be read .name None"):
        from_json(held)


def test_a_report_holds_the_scheme(tmp_path, capsys):
    path, report, row = write(tmp_path / "mine.toml"), tmp_path / "r", tmp_path / "true.csv"
    row.write_text(",".join(map(str, ["a", *POINTS.ravel()])))
    given = ["--truth", row, "--scheme", path, "--report", report]
    assert call(evaluate, "--predictions", row, *given) == 0
    del schemes.SCHEMES["mine"]
    assert call(evaluate, "--compare", report, report / "predictions.jsonl") == 0
    assert schemes.SCHEMES["mine"].names[2] == "nose_tip"
    write(path, TOML.replace("nose_tip", "nose"))
    del schemes.SCHEMES["mine"]
    scheme_files.registered(path)
    line = refused(capsys, evaluate, "--predictions", report / "predictions.jsonl")
    assert "r/report.json: its scheme mine is not the one of that name read before" in line
    # Away from its report the file needs the scheme.
    alone = (report / "predictions.jsonl").rename(tmp_path / "alone.jsonl")
    write(path)
    del schemes.SCHEMES["mine"]
    assert "unknown scheme 'mine'" in refused(capsys, evaluate, "--predictions", alone)
    assert call(evaluate, "--predictions", alone, "--scheme", path) == 0


@pytest.mark.heavy
@pytest.mark.slow
def test_a_checkpoint_predicts_and_is_scored_elsewhere(tmp_path):
    """In a process that has never seen the TOML file."""
    root = folder(tmp_path / "own")
    data = ["--data-dir", str(tmp_path / "data")]
    assert main(["image_folder", "--from", str(root), *data, "--set", "split=test"]) == 0
    system = Integral(scheme="mine", size=32, width=8, blocks=(1, 1, 1, 1), decoder_width=8)
    variables = filled(system.shapes())
    work = saved(Recipe(system), variables, tmp_path / "w")
    (root / "mine.toml").unlink()
    (tmp_path / "boxes.csv").write_text("photo,x0,y0,x1,y1\na.png,8,8,50,50\n")
    run = [sys.executable, "-m", "jaxalign"]
    predict = ["predict", "--ckpt", str(work), str(root / "a.png"), "--boxes",
               str(tmp_path / "boxes.csv"), "--out", str(tmp_path / "found")]  # fmt: skip
    subprocess.run([*run, *predict], check=True, capture_output=True)
    found = json.loads((tmp_path / "found/faces.json").read_text())
    assert found["scheme"] == "mine" and len(found["photos"][0]["faces"][0]["points"]) == 5
    spec = "image_folder:schememine-splittest/test"
    score = ["evaluate", "--ckpt", str(work), "--data", spec, *data]
    done = subprocess.run([*run, *score], check=True, capture_output=True, text=True)
    assert "inter_pupil" in done.stdout
    given = ["--scheme", write(tmp_path / "mine.toml")]
    assert call(evaluate, *score[1:], *given) == 0
