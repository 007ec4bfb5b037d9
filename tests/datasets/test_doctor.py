"""`prepare --check`: what it finds in healthy and in damaged downloads, and that it says so."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxalign.commands.prepare import main
from jaxalign.curves import INDICES
from jaxalign.datasets import BENCHMARKS, doctor
from jaxalign.datasets.doctor import FAIL, NOTE, OK, WARN, examine
from jaxalign.datasets.faces import Bad, Benchmark, Face
from jaxalign.datasets.synthetic_faces.camera import Camera
from jaxalign.datasets.synthetic_faces.head import Head, HeadShape
from tests.helpers.trees import SIDE, draw, face68, make_300w, write_boxes


def made(number, photo=None, split="train", **fields):
    """A face whose photo is its own drawing, unless another is given."""
    points = fields.pop("points", {"ibug68": face68(number).astype(np.float32)})
    if photo is None:
        photo = cv2.imencode(".png", draw(face68(number), number))[1].tobytes()
    return Face(split=split, id=f"{split}/{number}", photo=photo, points=points, **fields)


def check(faces, notes=(), **counts):
    """The doctor's lines on these faces, by the name of the check."""
    schemes = tuple({name for one in faces if isinstance(one, Face) for name in one.points})
    benchmark = Benchmark(
        name="made",
        schemes=schemes,
        faces=lambda: iter(faces),
        counts=counts,
        instructions="",
        needs_root=False,
        notes=notes,
    )
    return {line.check: line for line in examine(benchmark, None).lines}


def examined_300w(root):
    return {line.check: line for line in examine(BENCHMARKS["ibug_300w"], root).lines}


def verdicts(lines):
    return {name: line.verdict for name, line in lines.items() if line.verdict != OK}


def run(tmp_path, *arguments):
    return main(["ibug_300w", "--from", str(tmp_path / "300w"), "--check", *arguments])


def test_a_healthy_tree(tmp_path, capsys):
    """As in the official one, HELEN's first photo is an AFW photo: same Flickr id, other bytes."""
    make_300w(tmp_path / "300w", 2)
    assert run(tmp_path, "--json", str(tmp_path / "report.json")) == 0
    out = capsys.readouterr().out
    rows = {line[:20].strip(): line[20:] for line in out.splitlines() if line[:1].isalpha()}
    assert rows["faces: train"] == "WARN  6 of 3148, 3142 missing"
    assert rows["faces: lfpw_test"] == "WARN  2 of 224, 222 missing"
    assert rows["photos"] == "ok    none bad"
    assert rows["duplicate photos"] == "ok    none among 12 photos"
    assert rows["flip: ibug68"].startswith(("ok", "note"))
    assert "300W-LP is made of 300W" in out
    assert out.splitlines()[-1].startswith("ibug_300w: WARN (0 FAIL, ")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["benchmark"], report["verdict"]) == ("ibug_300w", "WARN")
    assert report["from"] == str(tmp_path / "300w")
    train = {"check": "faces: train", "verdict": "WARN", "finding": "6 of 3148, 3142 missing",
             "details": []}  # fmt: skip
    assert train in report["lines"]
    assert len(report["lines"]) == sum(not line.startswith(" ") for line in out.splitlines()) - 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["300w", "report.json"]


def test_bad_faces_fail_and_are_named(tmp_path, capsys):
    root = tmp_path / "300w"
    make_300w(root, 2)
    photo = root / "afw/134212_1.jpg"
    photo.write_bytes(photo.read_bytes()[:500])
    (root / "lfpw/testset/image_0001.png").unlink()
    (root / "lfpw/testset/image_0002.png").write_text("<html>404</html>")
    (root / "ibug/image_093 _01.pts").write_text("version: 1\n")
    write_boxes(root, "helen/testset", {"300000_1.jpg": ((5, 5, 5, 40), (5, 5, 40, 40))})
    assert run(tmp_path) == 2
    out = capsys.readouterr().out
    for words in (
        "refused by reader   FAIL  2 bad faces",
        "lfpw/testset/image_0001.pts: there is no photo",
        "ibug/image_093 _01.pts: no .pts header",
        "photos              FAIL  2 bad faces",
        "afw/134212_1.jpg: damaged or cut short",
        "lfpw/testset/image_0002.png: no photo that can be read here",
        "boxes               FAIL  1 bad face",
        "helen/testset/300000_1.jpg: its dataset box (4, 4, 4, 39) has no extent",
        "faces: helen_test   WARN  1 of 330",
    ):
        assert words in out, words
    assert out.splitlines()[-1].startswith("ibug_300w: FAIL (3 FAIL, ")


def test_byte_identical_photos_of_one_group_do_no_harm(tmp_path):
    root = tmp_path / "300w"
    make_300w(root, 2)
    shutil.copy(root / "afw/134212_1.jpg", root / "afw/134212_2.jpg")
    lines = examined_300w(root)
    same = lines["duplicate photos"]
    assert (same.verdict, same.finding) == (OK, "1 photo in 2 files, each in one group")
    assert same.details == ["afw/134212_1.jpg = afw/134212_2.jpg"]
    shutil.copy(root / "lfpw/trainset/image_0001.png", root / "lfpw/testset/image_0002.png")
    lines = examined_300w(root)
    same, shared = lines["duplicate photos"], lines["train/test: photos"]
    assert (same.verdict, same.finding) == (
        WARN, "2 photos in 4 files, 1 of them in different groups",
    )  # fmt: skip
    both = "lfpw/trainset/image_0001.png = lfpw/testset/image_0002.png"
    assert same.details == shared.details == [both]
    assert (shared.verdict, shared.finding) == (WARN, "1 photo in train and test")


def counting(function, calls, name):
    def counted(argument):
        calls[name] += 1
        return function(argument)

    return counted


def test_several_faces_of_one_file_are_read_once_and_no_duplicates(tmp_path, monkeypatch):
    photo = tmp_path / "party.png"
    cv2.imwrite(str(photo), draw(face68(0), 0))
    calls = {"photo_bytes": 0, "photo_size": 0}
    for name in calls:
        monkeypatch.setattr(doctor, name, counting(getattr(doctor, name), calls, name))
    faces = [made(n, photo, group="party") for n in range(5)] + [made(7), made(8)]
    lines = check(faces)
    assert calls == {"photo_bytes": 3, "photo_size": 3}
    assert lines["duplicate photos"].finding == "none among 3 photos"
    faces[1] = made(1, photo, split="test", group="party")
    assert verdicts(check(faces)) == {
        "train/test: photos": WARN, "train/test: groups": WARN, "coordinate base": NOTE,
    }  # fmt: skip


def test_photos_inside_a_larger_file_are_compared_too():
    photo = cv2.imencode(".png", draw(face68(0), 0))[1].tobytes()
    lines = check([made(0, photo), made(1, photo), made(2)])
    assert lines["duplicate photos"].details == ["train/0 = train/1"]
    assert lines["duplicate photos"].verdict == WARN


def test_counts_more_fewer_and_unknown():
    faces = [made(n, subsets=("odd",) if n % 2 else ()) for n in range(3)]
    lines = check([*faces, made(9, split="test", subsets=("odd", "rare"))], train=3, test=2, rare=0)
    found = {name: (x.verdict, x.finding) for name, x in lines.items() if "faces" in name}
    assert found == {
        "faces: train": (OK, "3 (as official)"),
        "faces: test": (WARN, "1 of 2, 1 missing"),
        "faces: rare": (WARN, "1 of 0, 1 too many"),
        "faces: odd": (OK, "1"),  # test's, as a spec would mean it
    }


def test_a_name_used_twice_fails():
    lines = check([made(1), made(1)])
    assert (lines["names"].verdict, lines["names"].details) == (FAIL, ["train/1"])
    assert "names" not in check([made(1), made(2)])


def test_points_outside_are_told_and_a_wrong_photo_suspected():
    inside, near = made(0), made(1)
    near.points["ibug68"][8] = SIDE + 4.5, 10
    line = check([inside, near])["points outside"]
    assert (line.verdict, line.finding) == (OK, "1 face, the worst by 5.0 px")
    assert line.details == ["train/1: by 5.0 px, 1% of its points"]
    far = made(2)
    far.points["ibug68"] += (0, SIDE)
    line = check([inside, near, far])["points outside"]
    assert line.verdict == WARN
    assert line.finding.startswith("2 faces, the worst by ")
    assert "1 with more than half of the points outside" in line.finding
    assert line.details[0].startswith("train/2: ")
    hidden = np.arange(68) != 8
    near.visible["ibug68"] = hidden
    assert check([inside, near])["points outside"].finding == "none"


def heads(scheme, count, order=None):
    """Faces whose points are those of heads that look about, mostly to image right."""
    rng = np.random.default_rng(0)
    for number in range(count):
        smile, opened, yaw, roll = rng.normal((0.3, 0.2, 10, 2), (0.3, 0.1, 15, 8))
        head = Head(HeadShape(smile=smile, open=max(0, opened)))
        points = Camera(yaw=yaw, roll=roll).pixels(head.points(INDICES[scheme]), SIDE)
        name = scheme if order is None else order[0]
        points = points if order is None else points[list(order[1])]
        yield made(number, group=str(number), points={name: points.astype(np.float32)})


@pytest.mark.parametrize("scheme", INDICES)
def test_flips_of_healthy_faces(scheme):
    line = check(list(heads(scheme, 120)))[f"flip: {scheme}"]
    assert (line.verdict, line.finding) == (OK, "the mean of 120 faces mirrors onto itself")


def test_swapped_points_are_found():
    """An eye's two corners annotated the wrong way round miss their partners, and these them."""
    order = np.arange(68)
    order[[36, 39]] = 39, 36
    line = check(list(heads("ibug68", 120, ("ibug68", order))))["flip: ibug68"]
    assert line.verdict == WARN and line.finding.startswith("4 of 68 points miss their partners")
    assert line.details[0] == "36 (leye_up_0) lands on 42 (reye_up_0), not on 45"
    assert [detail.split()[0] for detail in line.details] == ["36", "39", "42", "45"]


def test_another_order_of_106_points_fails():
    faces = list(heads("lapa106", 120, ("sensetime106", range(106))))
    assert check(faces)["flip: sensetime106"].verdict == FAIL


def test_a_few_faces_cannot_tell():
    faces = list(heads("ibug68", 9, ("ibug68", range(67, -1, -1))))
    line = check(faces)["flip: ibug68"]
    assert line.verdict == NOTE and line.finding.endswith("but 9 faces cannot tell")


def test_hidden_points_are_left_out_of_the_mean_where_that_can_be():
    faces, spoilt = list(heads("aflw19", 100)), list(heads("aflw19", 300))
    for one in spoilt:
        one.id, one.visible["aflw19"] = f"spoilt/{one.id}", np.arange(19) > 5
        one.points["aflw19"][:6] = np.arange(12).reshape(6, 2)
    assert check(faces + spoilt)["flip: aflw19"].verdict == OK
    assert check(spoilt)["flip: aflw19"].verdict == FAIL


@pytest.mark.parametrize(
    ("offset", "values", "verdict", "words"),
    [
        (0, (0, SIDE - 1), OK, "from 0: 10 coordinates end at the photo's edge"),
        (1, (1, SIDE), WARN, "from 1? 5 coordinates are the photo's width or height, none is 0"),
        (1, (1, 20), WARN, "from 1? 10 coordinates are 1, none is less"),
        (-1, (-1, SIDE - 2), WARN, "from 0, read as from 1? 5 coordinates are -1"),
        (0, (10.5, 20), NOTE, "cannot be told, too few end at their photo's edge"),
    ],
)
def test_coordinate_base(offset, values, verdict, words):
    """Five faces each of which has one point clipped at the left and one at the lower edge."""
    faces = [made(number) for number in range(5)]
    for one in faces:
        one.points["ibug68"] += offset
        one.points["ibug68"][0, 0], one.points["ibug68"][8, 1] = values
        if values == (1, 20):
            one.points["ibug68"][8, 1] = 1
        one.points["ibug68"][30] = 30.25, 30.25
    line = check(faces)["coordinate base"]
    assert line.verdict == verdict and words in line.finding
    assert "of coordinates are whole numbers" in line.finding


def test_long_lists_are_cut_in_the_table_only():
    bad = [Bad(id=str(n), path=Path(f"{n}.pts"), reason="is odd") for n in range(20)]
    benchmark = Benchmark(
        name="odd",
        schemes=("ibug68",),
        faces=lambda: iter(bad),
        counts={},
        instructions="",
        needs_root=False,
    )
    report = examine(benchmark, None)
    assert report.table().count("is odd") == 8 and "and 12 more" in report.table()
    assert json.dumps(report.as_json()).count("is odd") == 20
    assert report.verdict == FAIL


def test_notes_are_printed():
    lines = check([made(0)], notes=("Its photos are known.",))
    assert (lines["known"].verdict, lines["known"].finding) == (NOTE, "Its photos are known.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "nowhere", "--check"], "nowhere: no such folder"),
        (["--from", "empty", "--check"], "not the 300W tree"),
        (["--check"], "--from DIR is missing"),
        (["--from", "300w", "--json", "x"], "--json goes with --check"),
        (["--from", "300w", "--check", "--json", "no/x"], "no/x: cannot be written"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    make_300w(tmp_path / "300w", 1)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["ibug_300w", *arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and message in line


def test_an_empty_tree_says_what_to_download(tmp_path, capsys):
    (tmp_path / "300w/afw").mkdir(parents=True)
    assert run(tmp_path) == 2
    assert "no face found. Download afw.zip" in capsys.readouterr().err


def test_an_archive_that_is_not_the_published_one(tmp_path):
    make_300w(tmp_path, 1)
    (tmp_path / "300w.zip").write_bytes(b"abc")
    right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    def lines(sha256):
        benchmark = replace(BENCHMARKS["ibug_300w"], archives={"300w.zip": sha256, "no.zip": "0"})
        return [one for one in examine(benchmark, tmp_path).lines if one.check == "archives"]

    assert lines(right) == []
    (line,) = lines("0" * 64)
    assert line.verdict == FAIL and "300w.zip: not the published file" in line.details[0]
    assert f"is {right}); download and unpack it again" in line.details[0]
