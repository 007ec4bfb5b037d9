"""Detectors give landmark squares in the photo's pixels; files of boxes are read or refused."""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from jaxalign import geometry
from jaxalign.datasets import synthetic_faces
from jaxalign.errors import InputError
from jaxalign.pipeline import decode
from jaxalign.prediction.detection import Cascade, Dlib, YuNet, read_boxes


@pytest.fixture(scope="module")
def drawn():
    """A drawn face that the cascade finds: its photo, and the box of its landmarks."""
    face = synthetic_faces.face("test", 2, 256, 0)
    return decode(face.photo, face.id), geometry.landmark_box(face.points["ibug68"])


def close(found, box, zoom=1.0):
    """Whether the detection is a square about the landmarks, to a tenth of its side."""
    centre, side = geometry.square(box, 1.0)
    own, length = geometry.square(found.box, 1.0)
    assert np.isclose(found.box[2] - found.box[0], found.box[3] - found.box[1], rtol=1e-4)
    off = abs((own + 0.5) / zoom - 0.5 - centre).max()
    return off < 0.1 * side and 0.9 < length / zoom / side < 1.1


class TestCascade:
    def test_face_is_found_where_its_landmarks_are(self, drawn):
        image, box = drawn
        (found,) = Cascade()(image)
        assert close(found, box) and found.score >= 5 and found.box.dtype == np.float32

    def test_large_photo(self, drawn):
        image, box = drawn
        large = cv2.resize(image, None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
        (found,) = Cascade()(large)
        assert close(found, box, zoom=9)

    def test_a_close_up_is_found_in_a_frame(self, drawn, monkeypatch):
        image, box = drawn
        left, top, right, bottom = box.astype(int)
        tight = np.ascontiguousarray(image[top:bottom, left:right])
        (found,) = Cascade()(tight)
        assert close(found, box - [left, top, left, top])
        monkeypatch.setattr(Cascade, "frame", 0.0)
        assert Cascade()(tight) == []

    def test_largest_first(self, drawn):
        image, _ = drawn
        small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
        canvas = np.full((256, 400, 3), 128, np.uint8)
        canvas[64:192, :128], canvas[:, 144:] = small, image
        first, second = Cascade()(canvas)
        assert first.box[0] > 144 > second.box[2]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 500), (31, 31), (200, 300)])
    def test_no_face(self, shape):
        assert Cascade()(np.full((*shape, 3), 90, np.uint8)) == []


class TestThreads:
    def test_one_cascade_in_several_threads(self, drawn):
        image, _ = drawn
        images = [image, image[:, ::-1].copy(), np.full_like(image, 90)] * 4
        cascade = Cascade()
        alone = [[face.box.tolist() for face in cascade(image)] for image in images]
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(cascade, images)
            assert [[face.box.tolist() for face in faces] for faces in found] == alone

    def test_each_thread_has_its_own(self, monkeypatch):
        """OpenCV's and dlib's objects are used by the thread alone that they were made in."""
        used = []

        class Net:
            def __init__(self):
                self.thread = threading.get_ident()

            def setInputSize(self, size):
                used.append(self.thread == threading.get_ident())

            def detect(self, image):
                return 1, None

        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=lambda *_: Net()))
        detector = YuNet(__file__)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(detector, 20 * [np.zeros((9, 9, 3), np.uint8)]))
        assert used and all(used)


class TestDlib:
    def test_boxes(self, monkeypatch):
        class Box:
            left, top, width, height = lambda s: 10, lambda s: 20, lambda s: 40, lambda s: 40

        class Detector:
            def run(self, grey, upsample, least):
                assert grey.shape == (480, 960) and (upsample, least) == (1, 0.0)
                return [Box()], [0.7], [0]

        dlib = SimpleNamespace(get_frontal_face_detector=Detector)
        monkeypatch.setitem(sys.modules, "dlib", dlib)
        (found,) = Dlib()(np.zeros((960, 1920, 3), np.uint8))
        centre, side = geometry.square(found.box, 1.0)
        np.testing.assert_allclose(centre, [59.5, 79.5 + 80 * Dlib.rule.down], atol=1e-4)
        assert side == pytest.approx(80 * Dlib.rule.enlarge, rel=1e-5) and found.score == 0.7

    def test_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(InputError, match="^--detector dlib: .* pip install dlib-bin"):
            Dlib()


class TestYuNet:
    def test_boxes_of_a_reduced_photo(self, monkeypatch):
        class Net:
            def setInputSize(self, size):
                self.size = size

            def detect(self, image):
                assert image.shape == (*self.size[::-1], 3)
                if self.size == (64, 64):
                    return 1, None  # the trial
                assert self.size == (640, 320)
                assert image[0, 0].tolist() == [3, 2, 1]  # BGR
                small, large = np.zeros(15), np.zeros(15)
                small[:4], small[14] = (10, 20, 40, 50), 0.95
                large[:4], large[14] = (100, 20, 80, 100), 0.9
                return 1, np.float32([small, large])

        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=lambda *_: Net()))
        image = np.full((640, 1280, 3), (1, 2, 3), np.uint8)
        first, second = YuNet(__file__)(image)
        assert (first.score, second.score) == (pytest.approx(0.9), pytest.approx(0.95))
        centre, side = geometry.square(second.box, 1.0)
        np.testing.assert_allclose(centre, [59.5, 89.5 + YuNet.rule.down * 100], atol=1e-4)
        assert side == pytest.approx(YuNet.rule.enlarge * 100, rel=1e-5)

    def test_no_face(self, monkeypatch):
        class Net:
            setInputSize = staticmethod(lambda size: None)
            detect = staticmethod(lambda image: (1, None))

        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=lambda *_: Net()))
        assert YuNet(__file__)(np.zeros((9, 9, 3), np.uint8)) == []

    def test_foreign_file(self, tmp_path):
        foreign = "not YuNet's ONNX file"
        (tmp_path / "a.onnx").write_bytes(b"no network")
        (tmp_path / "b.onnx").write_bytes(one_relu())
        os.mkfifo(tmp_path / "d.onnx")
        missing = "no such file"
        for name, reason in (("a", foreign), ("b", foreign), ("c", missing), ("d", missing)):
            with pytest.raises(InputError, match=f"{name}.onnx: {reason}"):
                YuNet(tmp_path / f"{name}.onnx")


def one_relu():
    """A valid ONNX file, of a network that is one ReLU of a (1, 3, 64, 64) input."""

    def part(field, value):  # protobuf: lengths before bytes, numbers below 128 as they are
        if isinstance(value, int):
            return bytes([8 * field, value])
        value = value.encode() if isinstance(value, str) else value
        assert len(value) < 128
        return bytes([8 * field + 2, len(value)]) + value

    def of(name):
        shape = b"".join(part(1, part(1, size)) for size in (1, 3, 64, 64))
        return part(1, name) + part(2, part(1, part(1, 1) + part(2, shape)))

    node = part(1, "x") + part(2, "y") + part(4, "Relu")
    graph = part(1, node) + part(2, "g") + part(11, of("x")) + part(12, of("y"))
    return part(1, 8) + part(7, graph) + part(8, part(2, 11))


class TestBoxesFromAFile:
    def test_csv_and_json(self, tmp_path):
        (tmp_path / "a.csv").write_text(
            "photo, x0, y0, x1, y1\nb ä.jpg,1,2,3.5,4\nc.jpg,0,0,9,9\nb ä.jpg,5,6,7,8\n"
        )
        rows = [("b ä.jpg", [1, 2, 3.5, 4]), ("c.jpg", [0, 0, 9, 9]), ("b ä.jpg", [5, 6, 7, 8])]
        (tmp_path / "a.json").write_text(json.dumps([{"photo": p, "box": b} for p, b in rows]))
        for name in ("a.csv", "a.json"):
            boxes = read_boxes(tmp_path / name)
            assert list(boxes) == ["b ä.jpg", "c.jpg"]
            np.testing.assert_array_equal(boxes["b ä.jpg"], [[1, 2, 3.5, 4], [5, 6, 7, 8]])

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("a.csv", "", "lacks the columns photo, x0, y0, x1, y1;"),
            ("a.csv", "photo,x0,y0,x1\n", "lacks the column y1"),
            ("a.csv", "photo,x0,y0,x1,y1\n", "holds no box"),
            ("a.csv", "photo,x0,y0,x1,y1\na,1,2,3,x\n", "line 2: box must be 4 numbers"),
            ("a.csv", "photo,x0,y0,x1,y1\na,1,2,3\n", "line 2: 4 cells, the first line has 5"),
            ("a.csv", "photo,x0,y0,x1,y1\na,1,2,1,4\n", "line 2: the box .* has no extent"),
            ("a.csv", "photo,x0,y0,x1,y1\na,1,2,nan,4\n", "line 2: the box .* has no extent"),
            ("a.json", "[", "line 1: not JSON"),
            ("a.json", "{}", "must be a list"),
            ("a.json", "[]", "holds no box"),
            ("a.json", '[{"box": [1, 2, 3, 4]}]', "record 1: must be an object with photo and box"),
            ("a.json", '[{"photo": "a"}]', "record 1: box must be 4 numbers"),
            ("b.csv", None, "No such file"),
        ],
    )
    def test_refusals(self, tmp_path, name, text, reason):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"{name}.*{reason}"):
            read_boxes(tmp_path / name)
