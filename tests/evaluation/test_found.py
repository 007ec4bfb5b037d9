"""What `jaxalign predict` leaves, scored: its faces are matched by photo and place."""

import json

import cv2
import numpy as np
import pytest

from jaxalign.commands import evaluate
from jaxalign.datasets import aflw
from jaxalign.datasets.faces import record
from jaxalign.evaluation.found import _named
from jaxalign.evaluation.truth import Truth, read_results, truth_of
from jaxalign.geometry import placed
from jaxalign.schemes import AFLW19, IBUG68
from jaxalign.sources import Source, open_folder, open_source
from tests.helpers.commands import call, refused
from tests.helpers.trees import face68, write_pts
from tests.helpers.trees_aflw import make_aflw


SHIFT = np.array([100, 0])  # from the first face of a photo to the second


def face(points, status="ok"):
    box = [*points.min(0), *points.max(0)]
    return {"status": status, "score": 0.9, "box": np.array(box, float).tolist(),
            "points": points.astype(float).tolist()}  # fmt: skip


def write(path, photos, **about):
    """A faces.json of {photo: faces}."""
    about = {"checkpoint": "w", "scheme": "ibug68", "frame": "pixels"} | about
    records = [
        {"photo": str(name), "status": "ok" if faces else "no_face", "faces": faces}
        for name, faces in photos.items()
    ]
    path.write_text(json.dumps(about | {"photos": records}))
    return path


def truth(**faces):
    """True faces by their ids."""
    points = np.stack([*faces.values()])
    return Truth(
        name="mine",
        scheme=IBUG68,
        ids=(*faces,),
        photos=tuple(name.partition("#")[0] for name in faces),
        points=points,
        labelled=placed(points),
        visible=placed(points),
        subsets=((),) * len(faces),
        norm_box=np.full((len(faces), 4), np.nan),
    )


@pytest.fixture
def album(tmp_path):
    """Three annotated photos; m.png has two faces."""
    root = tmp_path / "album"
    (root / "x").mkdir(parents=True)
    for name in ("one.png", "m.png", "x/one.png"):
        cv2.imwrite(str(root / name), np.full((90, 200, 3), 90, np.uint8))
    write_pts(root / "one.pts", face68(0))
    write_pts(root / "m.pts", face68(1))
    write_pts(root / "m.face2.pts", face68(2) + SHIFT)
    write_pts(root / "x/one.pts", face68(3))
    return root


def predicted(root):
    """{photo: faces} of it, a pixel to the right of the true ones, the second of m.png first, and
    of a photo and a face more that nobody annotated."""
    return {
        root / "m.png": [face(face68(2) + SHIFT + (1, 0)), face(face68(1) + (1, 0))],
        root / "new.png": [face(face68(5))],
        root / "one.png": [face(face68(0) + (150, 0)), face(face68(0) + (1, 0), "low_confidence")],
        root / "x/one.png": [face(face68(3) + (1, 0))],
    }


def test_faces_find_their_photos_and_their_places(album, tmp_path, capsys):
    path = write(tmp_path / "faces.json", predicted(album))
    true = truth_of(open_folder(album, IBUG68), "album", IBUG68)
    assert sorted(true.photos) == ["m.png", "m.png", "one.png", "x/one.png"]
    results = read_results(path, true)
    assert results.ids == true.ids
    np.testing.assert_allclose(results.predicted - true.points, np.tile([1.0, 0], (4, 68, 1)))
    arguments = ["--predictions", path, "--truth", album, "--scheme", "ibug68"]
    assert call(evaluate, *arguments, "--report", tmp_path / "r") == 0
    report = json.loads((tmp_path / "r/report.json").read_text())
    eyes = np.linalg.norm(true.points[:, 36] - true.points[:, 45], axis=1)
    nme = report["summary"]["rows"][-1]["inter_ocular"]["nme"]
    assert nme == pytest.approx(np.mean(1 / eyes), abs=1e-5)


def test_faces_that_are_not_found(album, tmp_path, capsys):
    photos = predicted(album)
    photos[album / "x/one.png"] = [face(face68(3) + (70, 0))]  # another face
    photos[album / "m.png"].pop()
    path = write(tmp_path / "faces.json", photos)
    arguments = ["--predictions", path, "--truth", album, "--scheme", "ibug68"]
    line = refused(capsys, evaluate, *arguments)
    assert f"{path} finds 2 of the 4 faces of {album} and lacks m, x/one; --found-only" in line
    assert call(evaluate, *arguments, "--found-only") == 0
    assert "the 2 of 4 faces that have a prediction" in capsys.readouterr().out


def test_on_a_prepared_benchmark_and_on_a_file(data_300w, tmp_path):
    true = truth_of(open_source("ibug_300w/test", IBUG68, data_300w), "test", IBUG68)
    faces = dict(zip(true.ids, true.points, strict=True))
    photos = {f"/d/300w/{name}.jpg": [face(points)] for name, points in faces.items()}
    path = write(tmp_path / "faces.json", photos)
    np.testing.assert_allclose(read_results(path, true).predicted, true.points)
    named = zip(photos, faces.values(), strict=True)
    rows = [",".join(map(str, [name, *points.ravel()])) for name, points in named]
    (tmp_path / "true.csv").write_text("\n".join(rows))
    arguments = ["--predictions", path, "--truth", tmp_path / "true.csv", "--scheme", "ibug68"]
    assert call(evaluate, *arguments) == 0


def test_the_photos_of_aflw(tmp_path):
    """Its faces are rows of their photos; two are of one."""
    make_aflw(tmp_path)
    records = [record(found) for found in aflw.faces(tmp_path)]
    groups = [one["group"] for one in records]
    true = truth_of(Source.of("aflw", AFLW19, records), "aflw", AFLW19)
    photos = {}
    for group, points in zip(groups, true.points, strict=True):
        photos.setdefault(f"aflw/data/flickr/{group}.jpg", []).append(face(points))
    path = write(tmp_path / "faces.json", photos, scheme="aflw19")
    np.testing.assert_allclose(read_results(path, true).predicted, true.points)
    assert len(photos) == 4


def test_points_without_a_label_and_nearest_first(tmp_path):
    """The nearest pair is taken first, over labelled points alone."""
    first, second = face68(0), face68(0) + (3, 0)
    first[:60] = np.nan
    true = truth(**{"a.jpg": first, "a.jpg#2": second})
    photos = {"a.jpg": [face(face68(0) + (2, 0)), face(face68(0) - (9, 0))]}
    results = read_results(write(tmp_path / "faces.json", photos), true)
    np.testing.assert_allclose(results.predicted[0], face68(0) - (9, 0))
    np.testing.assert_allclose(results.predicted[1], face68(0) + (2, 0))


@pytest.mark.parametrize(
    ("wanted", "photos", "expected"),
    [
        (["a.jpg", "x/a.jpg"], ["b/a.jpg", "b/x/a.jpg"], ["b/a.jpg", "b/x/a.jpg"]),
        (["a.jpg", "x/a.jpg"], ["a.jpg", "x/a.jpg"], ["a.jpg", "x/a.jpg"]),
        (["a.jpg", "x/a.jpg"], ["b/x/a.jpg"], [None, "b/x/a.jpg"]),
        (["a.jpg", "a.png"], ["./a.png", "./a.jpg"], ["./a.jpg", "./a.png"]),
        (["a.jpeg", "a.jpg"], ["a.jpg"], [None, "a.jpg"]),
        (["a"], ["C:\\album\\a.JPG"], ["C:\\album\\a.JPG"]),
        (["x/a.jpg"], ["a.webp"], ["a.webp"]),
        (["x/a.jpg"], ["y/a.jpg", "ba.jpg"], [None]),
        (
            ["test/a", "test/b"],
            ["test/b.png", "d/test/images/a.jpg"],
            ["d/test/images/a.jpg", "test/b.png"],
        ),
        (["x/a", "x/y/a"], ["x/y/a.jpg"], [None, "x/y/a.jpg"]),
    ],
)
def test_names_of_photos(wanted, photos, expected):
    found = _named(wanted, photos, "faces.json")
    assert [found.get(name) for name in wanted] == expected


@pytest.mark.parametrize(
    ("wanted", "photos", "told"),
    [
        (["a.jpg"], ["x/a.jpg", "y/a.jpg"], "photo is a.jpg of the true faces .x/a.jpg, y/a.jpg"),
        (["a"], ["a.jpg", "a.png"], "photo is a of the true faces .a.jpg, a.png"),
        (
            ["test/1.jpg", "train/1.jpg"],
            ["/d/test/300W/train/images/1.jpg"],
            "photo is train/1.jpg of the true faces ./d/test/300W/train/images/1.jpg, test/1.jpg",
        ),
        (["x/a.jpg", "y/a.jpg"], ["a.jpg"], "photo is y/a.jpg of the true faces .a.jpg, x/a.jpg"),
    ],
)
def test_names_that_fit_several(wanted, photos, told):
    with pytest.raises(Exception, match=f"faces.json: it cannot be told which {told}"):
        _named(wanted, photos, "faces.json")


def test_refusals(album, tmp_path, capsys):
    path, good = tmp_path / "faces.json", face(face68(0))

    def said(photos, **about):
        write(path, photos, **about)
        arguments = ["--predictions", path, "--truth", album, "--scheme", "ibug68"]
        return refused(capsys, evaluate, *arguments)

    line = said({"m.png": [good]}, scheme="cofw29")
    assert "its points are of cofw29, not ibug68; predict with --scheme ibug68" in line
    assert "predictions of a video; predict its frames" in said({}, video="a.mp4")
    line = said({"two.png": [good]})
    assert "names none of the photos of the true faces, which are called m.png, one.png" in line
    line = said({"m.png": []})
    assert "finds none of the true faces in the 1 photos that it shares with them" in line
    line = said({"m.png": [good | {"points": [[1, 2]]}]})
    assert "photo m.png, face 1: points must be 68 x 2 numbers" in line
    line = said({"m.png": [good | {"box": [0, 0, 9, None]}]})
    assert "photo m.png, face 1: a number is missing or not finite" in line
    line = said({"m.png": "none"})
    assert "record 1: must have the name of a photo and a list of faces" in line
    path.write_text(json.dumps({"scheme": "ibug68"}))
    arguments = ["--predictions", path, "--truth", album, "--scheme", "ibug68"]
    assert f"{path}, line 1: lacks id" in refused(capsys, evaluate, *arguments)
