"""Own photos as people and their tools leave them: names, frames, placeholders, keys, text."""

import json
import os
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from jaxalign import photos
from jaxalign.commands.prepare import main
from jaxalign.datasets import doctor, wflw
from jaxalign.datasets.builder import BadFaces, build
from jaxalign.datasets.faces import Bad, check_face, photo_bytes
from jaxalign.datasets.formats import read_mat
from jaxalign.datasets.image_folder import BENCHMARK, faces
from jaxalign.errors import InputError
from jaxalign.pipeline import decode
from jaxalign.schemes import IBUG68
from jaxalign.sources import open_folder, open_source
from tests.helpers.trees import SIDE, draw, face68, write_pts


COLUMNS = [f"{axis}{i}" for i in range(68) for axis in "xy"]
UPRIGHT = 6  # the EXIF orientation of a phone held upright: turn by 90 degrees to the right


def photo(path, number=0, size=None):
    """A photo with a mark at every point of face68(number), which it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = draw(face68(number), number)
    cv2.imwrite(str(path), image if size is None else cv2.resize(image, size))
    return face68(number)


def with_pts(path, number=0):
    write_pts(path.with_suffix(".pts"), photo(path, number))


def table(root, rows, header=("file", *COLUMNS), separator=",", name="faces.csv"):
    lines = [header, *rows]
    text = "".join(separator.join(map(str, line)) + "\n" for line in lines)
    (root / name).write_text(text, encoding="utf-8")


def row(name, number=0):
    return [name, *face68(number).reshape(-1)]


def coco(*names, **changes):
    """COCO's JSON of these photos, face68(n) on the n-th; `changes` are of every annotation."""
    return {
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "keypoints": keypoints(face68(n))} | changes
            for n in range(len(names))
        ],
    }


def keypoints(points, flags=2):
    return np.column_stack([points, np.broadcast_to(flags, len(points))]).reshape(-1).tolist()


def read(root, **options):
    return list(faces(root, **{"scheme": "ibug68", **options}))


def reasons(root, **options):
    return [face.reason for face in read(root, **options) if isinstance(face, Bad)]


def good(root, **options):
    found = read(root, **options)
    bad = [face for face in found if isinstance(face, Bad)]
    assert not bad, bad
    return found


class TestNames:
    @pytest.mark.parametrize(
        "names",
        [
            ("p1.jpg", "p1.small.jpg"),
            ("photo[1].jpg", "photo1.jpg"),
            ("a*.jpg", "ab.jpg", "a?.jpg"),
            ("A.JPG", "b.Png"),
            ("a b.jpg", " c.jpg", "d'e\".jpg", "f\u2028g.jpg", "h..jpg"),
            ("one.jpg", "TWO.jpg"),
        ],
    )
    def test_points_go_with_the_photo_of_their_name(self, tmp_path, names):
        for number, name in enumerate(names):
            with_pts(tmp_path / name, number)
        (tmp_path / f"{names[-1].rpartition('.')[0]}.pts").rename(
            tmp_path / f"{names[-1].rpartition('.')[0]}.PTS"
        )
        found = {face.photo.name: face for face in good(tmp_path)}
        assert found.keys() == set(names)
        for number, name in enumerate(names):
            np.testing.assert_array_equal(found[name].points["ibug68"], face68(number))

    def test_other_cases_and_forms_of_accents(self, tmp_path):
        photo(tmp_path / "images/Caf\u00e9.JPG", 0)
        photo(tmp_path / "images/b.jpg", 1)
        table(tmp_path, [row("cafe\u0301.jpg"), row("images\\B.JPG", 1)])
        assert [f.photo.name for f in good(tmp_path)] == ["Caf\u00e9.JPG", "b.jpg"]
        with_pts(tmp_path / "own/a.jpg")
        (tmp_path / "own/a.jpg").rename(tmp_path / "own/A.JPG")
        assert [f.photo.name for f in good(tmp_path / "own")] == ["A.JPG"]

    def test_of_two_photos_none_is_guessed(self, tmp_path):
        with_pts(tmp_path / "own/a.jpg")
        photo(tmp_path / "own/a.png", 1)
        assert reasons(tmp_path / "own") == [
            "there are several photos beside it, a.jpg and a.png; leave one"
        ]
        (tmp_path / "own/a.pts").unlink()
        table(tmp_path / "own", [row("a")], header=("id", *COLUMNS))
        (reason,) = reasons(tmp_path / "own")
        assert reason.startswith("there are several such photos, a.jpg and a.png; name one")
        shutil.move(tmp_path / "own/a.png", tmp_path / "own/A.jpg")
        with_pts(tmp_path / "own/b.jpg")
        (tmp_path / "own/a.pts").write_bytes((tmp_path / "own/b.pts").read_bytes())
        assert [f.photo.name for f in good(tmp_path / "own", layout="pts")] == ["a.jpg", "b.jpg"]

    @pytest.mark.parametrize("suffix", [".webp", ".bmp", ".avif", ".tif", ".ppm", ".gif"])
    def test_every_format_that_can_be_read_goes_beside_annotations(self, tmp_path, suffix):
        path = tmp_path / f"own/a{suffix}"
        write_pts(path.parent.mkdir() or path.with_suffix(".pts"), face68(0))
        Image.fromarray(draw(face68(0), 0)).save(path)
        (face,) = good(tmp_path / "own")
        assert check_face(face) is None
        np.testing.assert_array_equal(decode(photo_bytes(face), "a"), photos.read(path))
        build(BENCHMARK, tmp_path / "own", tmp_path / "data", {"scheme": "ibug68"})
        stored = open_source("image_folder:schemeibug68/train", IBUG68, tmp_path / "data")[0]
        np.testing.assert_array_equal(decode(stored["photo"], "a"), photos.read(path))

    def test_linked_folders_are_followed_once(self, tmp_path):
        with_pts(tmp_path / "real/a.jpg")
        with_pts(tmp_path / "own/b.jpg")
        with_pts(tmp_path / "own/.hidden/c.jpg")
        (tmp_path / "own/train").symlink_to("../real")
        (tmp_path / "own/again").symlink_to("../real")
        (tmp_path / "own/round").symlink_to(".")
        assert [face.id for face in good(tmp_path / "own")] == ["again/a", "b"]
        (tmp_path / "own/lost").symlink_to("../gone")
        assert reasons(tmp_path / "own") == ["a link that leads nowhere; mend or remove it"]

    def test_a_name_that_is_not_utf_8_is_told_in_one_line(self, tmp_path, capfd):
        with_pts(tmp_path / "own/a.jpg")
        for suffix in ("jpg", "pts"):
            os.rename(tmp_path / f"own/a.{suffix}", os.fsencode(tmp_path) + b"/own/caf\xe9." +
                      suffix.encode())  # fmt: skip
        command = ["image_folder", "--from", str(tmp_path / "own"), "--set", "scheme=ibug68"]
        assert main([*command, "--data-dir", str(tmp_path / "data")]) == 2
        (line,) = [li for li in capfd.readouterr().err.splitlines() if li.startswith("error:")]
        assert r"caf\udce9.jpg: its name is not UTF-8; rename the file" in line
        report = tmp_path / "report.json"
        assert main([*command, "--check", "--json", str(report)]) == 2
        assert r"caf\udce9.jpg: its name is not UTF-8" in capfd.readouterr().out
        json.loads(report.read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        "name", ["../a.jpg", "/etc/hostname", "x/../../a.jpg", "C:\\a.jpg", "n\0", "n" * 300, "."]
    )
    def test_photos_outside_the_folder_and_impossible_names(self, tmp_path, name):
        photo(tmp_path / "a.jpg")
        (tmp_path / "own").mkdir()
        (tmp_path / "own/faces.json").write_text(json.dumps(coco(name)))
        (reason,) = reasons(tmp_path / "own")
        outside = name.startswith(("/", "../", "x"))
        assert reason.startswith("the photo lies outside" if outside else "no such photo")
        inner = photo(tmp_path / "own/b.jpg")
        (tmp_path / "own/faces.json").write_text(json.dumps(coco(str(tmp_path / "own/b.jpg"))))
        np.testing.assert_array_equal(good(tmp_path / "own")[0].points["ibug68"], inner)

    def test_wflw_may_not_name_photos_outside(self, tmp_path):
        (tmp_path / "WFLW_images").mkdir()
        photo(tmp_path / "a.jpg")
        for name in ("../a.jpg", str(tmp_path / "a.jpg"), "n" * 300):
            line = " ".join(["1"] * 196 + ["1", "2", "3", "4"] + ["0"] * 6 + [name])
            bad = wflw._face(tmp_path, "train", tmp_path / "list.txt", 1, line)
            assert bad.reason == "there is no such photo (line 1 of list.txt)"

    def test_pipes_and_folders_in_place_of_files(self, tmp_path):
        for name in ("a.pts", "b.pts", "c.jpg"):
            os.mkfifo(tmp_path / name)
        photo(tmp_path / "a.jpg")
        (tmp_path / "b.jpg").mkdir()
        write_pts(tmp_path / "c.pts", face68(0))
        found = read(tmp_path)
        found = [face if isinstance(face, Bad) else check_face(face) for face in found]
        assert ["cannot be read (a pipe" in found[0].reason, "directory" in found[1].reason] == [
            True, False,
        ]  # fmt: skip
        assert found[2].reason == "no such photo (points of c.pts)"
        for layout in ("csv", "jsonl", "json"):
            (tmp_path / layout).mkdir()
            os.mkfifo(tmp_path / layout / f"faces.{layout}")
            with pytest.raises(InputError, match="cannot be read .a pipe"):
                read(tmp_path / layout)


class TestFrames:
    def turned(self, path, number=0, orientation=UPRIGHT):
        """A photo that is higher than wide once turned; its points as a viewer shows it."""
        upright = Image.fromarray(draw(face68(number), number)[..., ::-1].copy())
        upright = upright.crop((0, 0, SIDE - 4, SIDE))
        stored = upright.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(path, exif=exif, quality=95)
        return face68(number)

    @pytest.mark.parametrize("layout", ["pts", "csv", "coco", "sizes"])
    def test_points_are_of_the_photo_as_a_viewer_shows_it(self, tmp_path, layout):
        root = tmp_path / "own"
        root.mkdir()
        points = self.turned(root / "a.jpg")
        if layout == "pts":
            write_pts(root / "a.pts", points)
        elif layout == "csv":
            table(root, [row("a.jpg")])
        else:
            whole = coco("a.jpg")
            if layout == "sizes":
                whole["images"][0] |= {"width": SIDE - 4, "height": SIDE}
            (root / "faces.json").write_text(json.dumps(whole))
        build(BENCHMARK, root, tmp_path / "data", {"scheme": "ibug68"})
        stored = open_source("image_folder:schemeibug68/train", IBUG68, tmp_path / "data")[0]
        plain = open_folder(root, IBUG68)[0]
        for sample in (stored, plain):
            np.testing.assert_array_equal(sample["points"], points)
            image = decode(sample["photo"], "a")
            np.testing.assert_array_equal(image, photos.read(root / "a.jpg"))
            assert image.shape == (SIDE, SIDE - 4, 3)

    def test_the_stored_frame_by_an_option_or_by_sizes(self, tmp_path):
        self.turned(tmp_path / "a.jpg")
        x, y = face68(0).T
        points = np.stack([y, SIDE - 5 - x], 1)  # in the stored pixels
        whole = coco("a.jpg")
        whole["annotations"][0]["keypoints"] = keypoints(points)
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        (face,) = good(tmp_path, frame="stored")
        assert photo_bytes(face) == (tmp_path / "a.jpg").read_bytes()
        whole["images"][0] |= {"width": SIDE, "height": SIDE - 4}
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        (face,) = good(tmp_path)
        assert photo_bytes(face) == (tmp_path / "a.jpg").read_bytes()
        np.testing.assert_array_equal(face.points["ibug68"], points)

    def test_points_that_lie_in_the_other_frame_alone(self, tmp_path):
        self.turned(tmp_path / "a.jpg")
        points = face68(0)
        points[0] = SIDE - 1, 20  # beyond the viewer's width
        (tmp_path / "faces.json").write_text(json.dumps(coco("a.jpg", keypoints=keypoints(points))))
        (reason,) = reasons(tmp_path)
        assert "lie in it with frame=stored alone, not with frame=viewer" in reason
        good(tmp_path, frame="stored")
        points[0] = 20, SIDE - 1  # beyond the stored height
        (tmp_path / "faces.json").write_text(json.dumps(coco("a.jpg", keypoints=keypoints(points))))
        (reason,) = reasons(tmp_path, frame="stored")
        assert "lie in it with frame=viewer alone, not with frame=stored" in reason

    def test_turned_photos_are_told(self, tmp_path, capsys):
        root = tmp_path / "own"
        root.mkdir()
        write_pts(root / "a.pts", self.turned(root / "a.jpg"))
        table = doctor.examine(BENCHMARK, root, {"scheme": "ibug68"}).table()
        assert "turned photos       note  faces on photos with an EXIF rotation, whose" in table
        command = ["image_folder", "--from", str(root), "--set", "scheme=ibug68"]
        assert main([*command, "--data-dir", str(tmp_path / "data")]) == 0
        assert "as a viewer shows it: 1\n" in capsys.readouterr().err

    @pytest.mark.parametrize("size", [(2 * SIDE, 2 * SIDE), (SIDE, SIDE + 1)])
    def test_another_size_than_the_photo_has(self, tmp_path, size):
        photo(tmp_path / "a.jpg")
        whole = coco("a.jpg")
        whole["images"][0] |= {"width": size[0], "height": size[1]}
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        (reason,) = reasons(tmp_path)
        assert f"a.jpg is said to have {size[0]} x {size[1]} pixels, and has 64 x 64" in reason
        whole["images"][0] |= {"width": 0, "height": 0}  # some tools write that for unknown
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        good(tmp_path)

    def test_a_damaged_photo_that_is_to_be_turned(self, tmp_path):
        write_pts(tmp_path / "a.pts", self.turned(tmp_path / "a.jpg"))
        (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-400])
        (face,) = good(tmp_path)
        assert "truncated" in check_face(face).reason


class TestPlaceholders:
    @pytest.mark.parametrize("place", [(-1, -1), (0, 0), (7, 9)])
    def test_flag_0_is_not_labelled_whatever_stands_there(self, tmp_path, place):
        points, flags = np.vstack([face68(0)[:67], place]), np.full(68, 2)
        photo(tmp_path / "a.jpg")
        flags[67] = 0
        whole = coco("a.jpg", keypoints=keypoints(points, flags))
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        (face,) = good(tmp_path)
        assert np.flatnonzero(~face.labelled["ibug68"]).tolist() == [67]
        assert np.isnan(face.points["ibug68"][67]).all() and check_face(face) is None

    @pytest.mark.parametrize("flag", [3, -1, 0.5, True])
    def test_other_flags_are_refused(self, tmp_path, flag):
        photo(tmp_path / "a.jpg")
        values = keypoints(face68(0))
        values[2] = flag
        (tmp_path / "faces.json").write_text(json.dumps(coco("a.jpg", keypoints=values)))
        (reason,) = reasons(tmp_path)
        assert "is neither 0, 1 nor 2" in reason or "not a number" in reason

    @pytest.mark.parametrize("layout", ["pts", "csv", "coco"])
    @pytest.mark.parametrize("base", ["0", "1"])
    def test_what_0_0_means_has_to_be_said(self, tmp_path, layout, base):
        photo(tmp_path / "a.jpg")
        stored = face68(0) + int(base)
        stored[5] = 0
        if layout == "pts":
            write_pts(tmp_path / "a.pts", stored - 1)
        elif layout == "csv":
            table(tmp_path, [["a.jpg", *stored.reshape(-1)]])
        else:
            whole = coco("a.jpg", keypoints=keypoints(stored))
            (tmp_path / "faces.json").write_text(json.dumps(whole))
        (reason,) = reasons(tmp_path, base=base)
        assert "1 of its points lie at 0 0; say what it means by the option zeros=unl" in reason
        (face,) = good(tmp_path, base=base, zeros="unlabelled")
        assert np.flatnonzero(~face.labelled["ibug68"]).tolist() == [5]
        assert np.isnan(face.points["ibug68"][5]).all() and check_face(face) is None
        (face,) = good(tmp_path, base=base, zeros="place")
        np.testing.assert_array_equal(face.points["ibug68"][5], [-int(base)] * 2)

    @pytest.mark.parametrize(("unit", "parts"), [("share", 1), ("percent", 100)])
    def test_shares_of_the_sides_are_no_pixels(self, tmp_path, unit, parts):
        photo(tmp_path / "a.jpg", size=(4 * SIDE, 8 * SIDE))
        points = face68(0) * (4, 8)
        write = points / (4 * SIDE, 8 * SIDE) * parts
        table(tmp_path, [["a.jpg", *write.reshape(-1)]])
        if unit == "share":
            (reason,) = reasons(tmp_path)
            assert "all its coordinates are about 0 to 1; where they are shares" in reason
        else:
            with pytest.raises(InputError, match="all coordinates lie within 0 to 100, and all ph"):
                read(tmp_path)
        (face,) = good(tmp_path, unit=unit)
        np.testing.assert_allclose(face.points["ibug68"], points, atol=1e-4)
        (face,) = good(tmp_path, unit="pixels")
        np.testing.assert_allclose(face.points["ibug68"], write, atol=1e-5)

    def test_small_photos_may_have_small_coordinates(self, tmp_path):
        photo(tmp_path / "a.jpg")
        photo(tmp_path / "b.jpg", size=(4 * SIDE, 4 * SIDE))
        table(tmp_path, [row("a.jpg"), row("b.jpg")])
        good(tmp_path)

    @pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "null", "None", "NA", "true", "1e400"])
    def test_words_for_missing_numbers(self, tmp_path, cell):
        photo(tmp_path / "a.jpg")
        table(tmp_path, [[*row("a.jpg")[:-2], cell, cell]])
        (reason,) = reasons(tmp_path)
        assert "NaN or infinite" in reason or "not a number" in reason

    @pytest.mark.parametrize("far", [1e30, 1e155, -1e300, 10**20])
    def test_coordinates_that_no_photo_has(self, tmp_path, far):
        photo(tmp_path / "a.jpg")
        points = face68(0).tolist()
        points[3][0] = far
        line = json.dumps({"file": "a.jpg", "points": points})
        (tmp_path / "faces.jsonl").write_text(line)
        (reason,) = reasons(tmp_path, negative="outside")
        assert "no photo is so large" in reason
        (tmp_path / "faces.jsonl").unlink()
        write_pts(tmp_path / "a.pts", np.array(points, np.float64))
        assert reasons(tmp_path, negative="outside")


class TestKeys:
    def test_one_image_id_for_two_photos(self, tmp_path):
        photo(tmp_path / "a.jpg")
        photo(tmp_path / "b.jpg", 1)
        whole = coco("a.jpg", "b.jpg")
        whole["images"][1]["id"] = 0
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        with pytest.raises(InputError, match=r"the image id 0 is of a.jpg and of b.jpg; give each"):
            read(tmp_path)
        whole["images"][1]["file_name"] = "a.jpg"
        whole["annotations"][1]["image_id"] = 0
        (tmp_path / "faces.json").write_text(json.dumps(whole))
        assert [face.photo.name for face in good(tmp_path)] == ["a.jpg", "a.jpg"]

    def test_a_key_or_a_column_twice(self, tmp_path):
        photo(tmp_path / "a.jpg")
        line = json.dumps(dict(zip(("file", *COLUMNS), row("a.jpg"), strict=True)))
        (tmp_path / "faces.jsonl").write_text(line.replace('"x0"', '"x1": 5, "x0"'))
        (reason,) = reasons(tmp_path)
        assert "an object holds the key 'x1' twice" in reason
        table(tmp_path, [[*row("a.jpg"), 5]], header=("file", *COLUMNS, "id", "id"))
        with pytest.raises(InputError, match="its header holds 'id' twice"):
            read(tmp_path, layout="csv")

    def test_the_same_points_for_different_photos_are_told(self, tmp_path, capsys):
        root = tmp_path / "own"
        photo(root / "a.jpg")
        photo(root / "b.jpg", 1)
        table(root, [row("a.jpg"), row("b.jpg")])
        found = doctor.examine(BENCHMARK, root, {"scheme": "ibug68"}).table()
        assert (
            "repeated points     WARN  faces that have the very points of another one: 1" in found
        )
        command = ["image_folder", "--from", str(root), "--set", "scheme=ibug68"]
        assert main([*command, "--data-dir", str(tmp_path / "data")]) == 0
        assert "(first: b.jpg has those of a.jpg)" in capsys.readouterr().err

    def test_one_photo_under_two_names_is_one_group(self, tmp_path):
        photo(tmp_path / "a.jpg")
        table(tmp_path, [row("a.jpg"), row("./a.jpg"), row("A.JPG")])
        assert {face.group for face in good(tmp_path)} == {"a.jpg"}


class TestOrder:
    def test_keypoints_are_taken_by_their_names(self, tmp_path):
        photo(tmp_path / "a.jpg")
        order = np.random.default_rng(0).permutation(68)
        for names in (IBUG68.names, range(68), range(1, 69)):
            whole = coco("a.jpg", category_id=7, keypoints=keypoints(face68(0)[order]))
            whole["categories"] = [{"id": 7, "keypoints": [str(names[i]) for i in order]}]
            (tmp_path / "faces.json").write_text(json.dumps(whole))
            np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], face68(0))

    def test_names_that_contradict_the_order_in_part(self, tmp_path):
        photo(tmp_path / "a.jpg")
        whole = coco("a.jpg")
        names = [f"mine {i}" for i in range(68)]
        for swapped in ({}, {3: IBUG68.names[5]}):
            named = [swapped.get(i, name) for i, name in enumerate(names)]
            whole["categories"] = [{"id": 1, "keypoints": named}]
            (tmp_path / "faces.json").write_text(json.dumps(whole))
            if not swapped:
                np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], face68(0))
        with pytest.raises(InputError, match="calls its keypoint 3 contour_5, which is point 5"):
            read(tmp_path)


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("layout", ["pts", "csv", "jsonl", "json"])
    def test_marks_and_line_ends(self, tmp_path, layout, encoding, end):
        points = photo(tmp_path / "a\u2028ä.jpg")
        if layout == "pts":
            write_pts(tmp_path / "a\u2028ä.pts", points)
        elif layout == "csv":
            table(tmp_path, [row("a\u2028ä.jpg")])
        elif layout == "jsonl":
            line = {"file": "a\u2028ä.jpg", "points": points.tolist()}
            (tmp_path / "faces.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            whole = json.dumps(coco("a\u2028ä.jpg"), ensure_ascii=False, indent=1)
            (tmp_path / "faces.json").write_text(whole)
        (path,) = tmp_path.glob(f"*.{layout}")
        path.write_bytes(path.read_text(encoding="utf-8").replace("\n", end).encode(encoding))
        np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], points)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "// made by a tool\n" + text,
            lambda text: "# déjà vu\n\n" + text,
            lambda text: text.replace("{\n", "{\n# jaw\n").replace("}", "% end\n}\n# more"),
            lambda text: text.replace("version: 1\n", ""),
            lambda text: text.replace("version: 1", "version: 1.0"),
            lambda text: text.replace("\n{\n", " {\n").replace("n_points:  68", "n_points:68"),
            lambda text: text.replace("\n", " "),
        ],
    )
    def test_pts_as_tools_write_them(self, tmp_path, change):
        with_pts(tmp_path / "a.jpg")
        path = tmp_path / "a.pts"
        path.write_text(change(path.read_text()), encoding="utf-8")
        np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], face68(0))

    def test_pts_without_any_header(self, tmp_path):
        photo(tmp_path / "a.jpg")
        (tmp_path / "a.pts").write_text("1.5 2.5\n" * 68)
        assert reasons(tmp_path)[0].startswith("no .pts header (version, n_points and an opening")

    @pytest.mark.parametrize("separator", [";", "\t"])
    @pytest.mark.parametrize("comma", [False, True])
    def test_separators_and_decimal_commas(self, tmp_path, separator, comma):
        photo(tmp_path / "a.jpg")
        cells = [str(cell).replace(".", ",") if comma else cell for cell in row("a.jpg")[1:]]
        table(tmp_path, [["a.jpg", *cells]], separator=separator)
        np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], face68(0))

    def test_columns_from_1(self, tmp_path):
        points = photo(tmp_path / "a.jpg")
        header = ["file", *(f"{axis}{i}" for i in range(1, 69) for axis in "xy")]
        table(tmp_path, [row("a.jpg")], header=header)
        np.testing.assert_array_equal(good(tmp_path)[0].points["ibug68"], points)
        header[1:3] = "x69", "y69"
        table(tmp_path, [row("a.jpg")], header=header)
        with pytest.raises(InputError, match="its point '69' is none of ibug68, .* or 1 to 68"):
            read(tmp_path)

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' + "9" * 5000, '{"a":1,"a":2}'])
    def test_json_at_its_extremes(self, tmp_path, text):
        (tmp_path / "faces.json").write_text(text)
        with pytest.raises(InputError, match=r"faces.json: not JSON \("):
            read(tmp_path)

    def test_a_cell_of_200_000_bytes(self, tmp_path):
        photo(tmp_path / "a.jpg")
        table(tmp_path, [row("a.jpg"), row("x" * 200_000)])
        assert [reason.partition(" (")[0] for reason in reasons(tmp_path)] == ["no such photo"]


class TestTree:
    def test_cocos_own_tree(self, tmp_path):
        for number, name in enumerate(["train2017/000.jpg", "val2017/000.jpg"]):
            photo(tmp_path / "own" / name, number)
        folder = tmp_path / "own/annotations"
        folder.mkdir()
        both = coco("000.jpg", "000.jpg")
        for place, split in enumerate(("train2017", "val2017")):
            part = {
                "images": both["images"][place:][:1],
                "annotations": both["annotations"][place:][:1],
            }
            (folder / f"person_keypoints_{split}.json").write_text(json.dumps(part))
            (folder / f"captions_{split}.json").write_text('{"images": [], "annotations": []}')
        build(BENCHMARK, tmp_path / "own", tmp_path / "data", {"scheme": "ibug68"})
        for number, (split, name) in enumerate([("train", "train2017"), ("test", "val2017")]):
            spec = f"image_folder:schemeibug68/{split}"
            (sample,) = open_source(spec, IBUG68, tmp_path / "data")
            assert sample["id"] == f"{name}/000.jpg"
            np.testing.assert_array_equal(sample["points"], face68(number))


def test_two_faces_of_one_name_are_refused_by_every_build(tmp_path):
    with_pts(tmp_path / "own/a.jpg")
    (face,) = good(tmp_path / "own")
    twice = BENCHMARK.__class__(
        **{**BENCHMARK.__dict__, "faces": lambda root, **options: iter([face, face])}
    )
    with pytest.raises(BadFaces, match="another face is called a, too"):
        build(twice, tmp_path / "own", tmp_path / "data", {"scheme": "ibug68"})


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_whose_elements_have_no_type_does_not_end_the_process(tmp_path, compressed):
    """scipy looks an unknown type up beyond its table: a segmentation fault."""
    path = tmp_path / "a.mat"
    savemat(path, {"Points": np.ones((68, 2)), "note": np.array(["a", 3], object)})
    raw = path.read_bytes()
    at = raw.index(bytes([9, 0, 0, 0]) + (8 * 136).to_bytes(4, "little"))  # float64, 136 of them
    broken = raw[:at] + bytes([0x49]) + raw[at + 1 :]
    if compressed:
        size = int.from_bytes(raw[132:136], "little")
        body = zlib.compress(broken[128 : 136 + size])
        broken = raw[:128] + struct.pack("<II", 15, len(body)) + body
    path.write_bytes(broken)
    with pytest.raises(InputError, match=r"a.mat: not a readable MATLAB file, .*of type 73"):
        read_mat(path, ("Points",))
    path.write_bytes(raw)
    assert read_mat(path, ("Points",))["Points"].shape == (68, 2)
    with pytest.raises(InputError, match="a.mat: note is not a table of numbers"):
        read_mat(path, ("note",))
