"""What predict writes for annotation tools comes back as labels: predict, correct, train."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxalign.commands import evaluate, predict, prepare
from jaxalign.datasets.faces import Bad, Remark
from jaxalign.datasets.image_folder import faces
from jaxalign.errors import InputError
from jaxalign.prediction import formats
from jaxalign.schemes import COFW29, IBUG68
from jaxalign.sources import open_source
from tests.helpers.small import filled, saved, small_recipe
from tests.helpers.trees import SIDE, draw


FIRST, SECOND = (
    np.random.default_rng(seed).uniform(3, 60, (29, 2)).round(3).astype(np.float32)
    for seed in (0, 1)
)


def face(points, status="ok"):
    box = [2.5, 3.0, 61.0, 60.5]
    one = {"status": status, "score": 0.9, "box": box, "origin": "given"}
    return one | {"points": points.astype(float).round(3).tolist(), "scores": [0.9] * 29}


@pytest.fixture
def found(tmp_path):
    """(the photos, the folder of predictions): two faces in a.png, one doubted in "b, c.png"."""
    album, out = tmp_path / "album", tmp_path / "found"
    album.mkdir()
    out.mkdir()
    for number, name in enumerate(("a.png", "b, c.png", "d.png")):
        cv2.imwrite(str(album / name), draw(FIRST, number))
    size = {"width": SIDE, "height": SIDE}
    records = [
        {"photo": str(album / "a.png"), "status": "ok", **size,
         "faces": [face(FIRST), face(SECOND)]},
        {"photo": str(album / "b, c.png"), "status": "ok", **size,
         "faces": [face(SECOND), face(FIRST, "low_confidence")]},
        {"photo": str(album / "d.png"), "status": "no_face", **size, "faces": []},
        {"photo": str(album / "e.png"), "status": "unreadable", "reason": "no photo"},
    ]  # fmt: skip
    about = {"checkpoint": "w", "scheme": "cofw29", "frame": "pixels", "min_score": 0.5}
    (out / "faces.json").write_text(json.dumps(about | {"photos": records}))
    return album, out


def labels(album, where, **options):
    held = list(faces(album, scheme="cofw29", labels=where, **options))
    assert not [one for one in held if isinstance(one, Bad)], held
    return [one for one in held if not isinstance(one, Remark)]


def same(held, order=(FIRST, SECOND, SECOND), atol=1e-3):
    assert len(held) == len(order)
    for one, points in zip(held, order, strict=True):
        np.testing.assert_allclose(one.points["cofw29"], points, atol=atol)
        assert one.labelled["cofw29"].all()


@pytest.mark.parametrize(
    ("name", "files", "where"),
    [
        ("csv", {"faces.csv"}, "faces.csv"),
        ("coco", {"coco.json"}, "coco.json"),
        ("labelme", {"a.json", "b, c.json", "d.json"}, ""),
        ("pts", {"a.pts", "a.face2.pts", "b, c.pts"}, ""),
        ("json", set(), "faces.json"),
    ],
)
def test_every_format_comes_back(found, name, files, where, capsys):
    album, out = found
    made = formats.write(name, out, out / "faces.json")
    assert {path.name for path in made} == files
    assert "1 faces of low confidence are in faces.json alone" in capsys.readouterr().out
    held = labels(album, out / where)
    if name == "pts":
        held.sort(key=lambda one: one.id.replace("a.face2", "aa"))
    same(held)
    assert {one.photo.name for one in held} == {"a.png", "b, c.png"}
    if name not in ("pts",):
        np.testing.assert_allclose(held[0].boxes["dataset"], [2.5, 3, 61, 60.5], atol=1e-3)


def test_labels_below_the_photos_need_no_option(found):
    album, out = found
    out = out.rename(album / "found")
    formats.write("labelme", out, out / "faces.json")
    same(labels(album, None))
    moved = json.loads((out / "a.json").read_text())
    assert moved["imagePath"] == "../a.png" and moved["shapes"][1]["label"] == COFW29.names[0]
    moved["shapes"][1]["points"] = [[10.5, 20.5]]
    (out / "a.json").write_text(json.dumps(moved))
    np.testing.assert_allclose(labels(album, None)[0].points["cofw29"][0], [10, 20])


def test_predictions_of_another_scheme_or_of_a_video(found):
    album, out = found
    with pytest.raises(InputError, match="its points are of cofw29, not ibug68; say --set scheme"):
        list(faces(album, scheme="ibug68", labels=out))
    held = json.loads((out / "faces.json").read_text())
    del held["photos"]
    (out / "faces.json").write_text(json.dumps(held | {"video": "a.mp4", "frames": []}))
    with pytest.raises(InputError, match="predictions of a video; predict its frames as photos"):
        list(faces(album, scheme="cofw29", labels=out))


def test_labels_that_may_have_been_corrected_are_never_overwritten(found):
    album, out = found
    photos = sorted(album.iterdir())
    (out / "a").write_text("no file of a format: its photo's name without the ending")
    formats.check("json", out, photos)
    for name, file in (("labelme", "a.json"), ("pts", "a.pts"), ("csv", "faces.csv")):
        formats.check(name, out, photos)
        (out / file).write_text("mine")
        with pytest.raises(InputError, match=f"holds {file}, which may have been corrected"):
            formats.check(name, out, photos)
    with pytest.raises(InputError, match="a.json: is there already; move it away"):
        formats.write("labelme", out, out / "faces.json")
    assert (out / "a.json").read_text() == "mine"
    with pytest.raises(InputError, match="--format via: choose one of json, csv, coco, pts, label"):
        formats.check("via", out, photos)


def test_two_photos_of_one_name_have_two_files():
    photos = [Path(name) for name in ("x/a.png", "y/a.jpg", "faces.png")]
    names = formats._names(photos, ".json")
    assert [*names.values()] == ["a.json", "a.2.json", "faces.2.json"]
    photos = [Path(name) for name in ("x/a.png", "y/a.png", "y/a.2.png")]
    assert [*formats._names(photos, ".pts").values()] == ["a.pts", "a.3.pts", "a.2.pts"]


def test_a_second_face_takes_no_other_photos_file(found):
    album, out = found
    (album / "d.png").rename(album / "a.face2.png")
    text = (out / "faces.json").read_text()
    (out / "faces.json").write_text(text.replace("d.png", "a.face2.png"))
    made = formats.write("pts", out, out / "faces.json")
    assert [path.name for path in made] == ["a.pts", "a.face3.pts", "b, c.pts"]
    assert [one.photo.name for one in labels(album, out)] == ["a.png", "a.png", "b, c.png"]


@pytest.mark.heavy
def test_from_photos_by_predict_to_a_prepared_data_set(tmp_path, capsys):
    recipe, album = small_recipe(), tmp_path / "album"
    album.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(draw(FIRST, 0)).resize((120, 90)).save(album / name)
    variables = filled(recipe.system.shapes())
    work = saved(recipe, variables, tmp_path / "w")
    with open(tmp_path / "boxes.csv", "w", newline="") as file:
        rows = [[name, 20, 10, 90, 80] for name in ("a.png", "b.png")]
        csv.writer(file).writerows([["photo", "x0", "y0", "x1", "y1"], *rows])
    out = album / "found"
    command = ["--ckpt", work, album, "--boxes", tmp_path / "boxes.csv", "--out", out]
    command = [str(word) for word in [*command, "--format", "labelme", "--no-pictures"]]
    assert predict.main(command) == 0
    assert f"written: {out / 'a.json'} and 1 more" in capsys.readouterr().out
    assert predict.main(command) == 2
    assert "holds a.json, which may have been corrected" in capsys.readouterr().err
    told = json.loads((out / "faces.json").read_text())["photos"][1]["faces"][0]["points"]
    data = ["--data-dir", str(tmp_path / "data"), "--set", "scheme=ibug68"]
    assert prepare.main(["image_folder", "--from", str(album), *data]) == 0
    assert prepare.main(["image_folder", "--from", str(album), *data, "name=own",
                         "--labels", str(out / "faces.json")]) == 0  # fmt: skip
    for spec in ("schemeibug68", "nameown-schemeibug68"):
        source = open_source(f"image_folder:{spec}/train", IBUG68, tmp_path / "data")
        np.testing.assert_allclose(source[1]["points"], told, atol=2e-3)
    # The same file as predictions, on these labels: no error is left.
    score = ["--predictions", str(out / "faces.json"), "--scheme", "ibug68"]
    spec = ["--data", "image_folder:nameown-schemeibug68/train", *data[:2]]
    for where in (spec, ["--truth", str(album)]):
        report = tmp_path / "report"
        assert evaluate.main([*score, *where, "--report", str(report)]) == 0
        row = json.loads((report / "report.json").read_text())["summary"]["rows"][-1]
        assert row["faces"] == 2 and row["inter_ocular"]["nme"] < 1e-3
    capsys.readouterr()
    assert prepare.main(["image_folder", "--from", str(album), *data, "--labels", "gone"]) == 2
    assert "gone: no such file or folder" in capsys.readouterr().err
    assert prepare.main(["wflw", "--from", str(album), "--labels", str(out)]) == 2
    assert "--labels goes with image_folder" in capsys.readouterr().err
