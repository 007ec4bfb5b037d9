"""Videos come out as long as they came in and upright; webcams are followed until the user ends."""

import errno
import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxalign import folders, photos
from jaxalign.commands import predict
from jaxalign.errors import InputError
from jaxalign.prediction.detection import Detection
from jaxalign.prediction.files import KIND
from jaxalign.prediction.videos import RATE, Movie, Window
from tests.helpers.small import filled, saved, small_recipe


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A work directory of the small recipe, untrained."""
    recipe, workdir = small_recipe(), tmp_path_factory.mktemp("run")
    variables = filled(recipe.system.shapes())
    return saved(recipe, variables, workdir)


@pytest.fixture(autouse=True)
def one_face(monkeypatch):
    box = Detection(np.float32([10, 10, 40, 40]), 1.0)
    monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", lambda *_: [box])


def call(checkpoint, *arguments):
    return predict.main(["--ckpt", *map(str, (checkpoint, *arguments))])


def written(folder):
    return json.loads((folder / "faces.json").read_text(encoding="utf-8"))


def names(folder):
    return {path.name for path in folder.iterdir()}


def clip(path, frames=7, rate=25.0, size=(64, 48), codec="mp4v"):
    """A video whose left half is red and whose frames grow brighter."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size)
    assert video.isOpened()
    for frame in range(frames):
        image = np.full((size[1], size[0], 3), 10 * frame, np.uint8)
        image[:, : size[0] // 2, 2] = 200
        video.write(image)
    video.release()
    return path


def turned(path, degrees):
    """Notes in an MP4's track that viewers shall turn it, as telephones do."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    cells = np.array([cosine, sine, 0, -sine, cosine, 0], float) * 2**16
    matrix = np.append(cells, [0, 0, 2**30]).astype(">i4").tobytes()
    data = path.read_bytes()
    place = data.index(b"tkhd") + 44
    path.write_bytes(data[:place] + matrix + data[place + len(matrix) :])
    return path


class TestMovie:
    @pytest.mark.parametrize("rate", [25, 23.976, 29.97, 59.94, 12.5, 66.667, 211.222])
    @pytest.mark.parametrize("size", [(64, 48), (63, 47)])
    def test_every_frame_at_its_time(self, tmp_path, rate, size):
        with Movie(tmp_path / "m.mp4", rate) as movie:
            for red in range(0, 200, 20):
                movie(np.full((size[1], size[0], 3), (red, 0, 0), np.uint8))
        assert names(tmp_path) == {"m.mp4"}
        seconds, images = zip(*photos.frames(tmp_path / "m.mp4"), strict=True)
        np.testing.assert_allclose(seconds, np.arange(10) / rate, atol=1e-3)
        for image, red in zip(images, range(0, 200, 20), strict=True):
            assert abs(image.reshape(-1, 3).mean(0) - (red, 0, 0)).max() < 6
        assert photos.frame_rate(tmp_path / "m.mp4") == pytest.approx(rate, abs=4e-3)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_broken_off_it_has_the_frames_until_then(self, tmp_path, kind):
        with pytest.raises(kind):
            with Movie(tmp_path / "m.mp4", 25) as movie:
                movie(np.zeros((48, 64, 3), np.uint8), 3)
                raise kind
        assert names(tmp_path) == {"m.mp4"} and photos.frame_count(tmp_path / "m.mp4") == 3

    def test_broken_off_right_after_a_frame_was_written(self, tmp_path, monkeypatch):
        """So Ctrl-C comes while OpenCV writes: Python raises it after the call."""
        open_it, written = cv2.VideoWriter, []

        class Writer:
            fourcc = open_it.fourcc

            def __init__(self, *arguments):
                writer = open_it(*arguments)
                self.isOpened, self.release, self.put = (
                    writer.isOpened,
                    writer.release,
                    writer.write,
                )

            def write(self, frame):
                self.put(frame)
                written.append(frame)
                if len(written) in (3, 4):
                    raise KeyboardInterrupt

        monkeypatch.setattr(cv2, "VideoWriter", Writer)
        for counted in (2, 0):
            with pytest.raises(KeyboardInterrupt):
                with Movie(tmp_path / "m.mp4", 25) as movie:
                    movie(np.zeros((48, 64, 3), np.uint8), 3)
            assert movie.count == counted
        assert names(tmp_path) == {"m.mp4"} and photos.frame_count(tmp_path / "m.mp4") == 3

    def test_after_an_error_the_old_one_stays(self, tmp_path):
        (tmp_path / "m.mp4").write_text("old")
        with pytest.raises(OSError):
            with Movie(tmp_path / "m.mp4", 25) as movie:
                movie(np.zeros((48, 64, 3), np.uint8))
                raise OSError(errno.ENOSPC, "No space left on device")
        assert names(tmp_path) == {"m.mp4"} and (tmp_path / "m.mp4").read_text() == "old"

    def test_frames_that_were_lost_are_told(self, tmp_path):
        with pytest.raises(InputError, match="m.mp4: cannot be written as a video"):
            with Movie(tmp_path / "m.mp4", 25) as movie:
                movie(np.zeros((48, 64, 3), np.uint8))
                movie(np.zeros((40, 64, 3), np.uint8))  # which OpenCV passes over
        assert not names(tmp_path)

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(InputError, match="cannot be written as a video"):
            with Movie(tmp_path / "none" / "m.mp4", 25) as movie:
                movie(np.zeros((48, 64, 3), np.uint8))


@pytest.mark.heavy
class TestVideo:
    def test_the_length_is_kept(self, checkpoint, tmp_path, capsys):
        path = clip(tmp_path / "clip.mp4", frames=7, rate=23.976)
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert f"written: {tmp_path / 'o' / 'faces.mp4'}" in capsys.readouterr().out
        assert names(tmp_path / "o") == {"faces.json", "faces.mp4", folders.mark(KIND)}
        made = list(photos.frames(tmp_path / "o" / "faces.mp4"))
        given = list(photos.frames(path))
        assert len(made) == len(given) == 7
        np.testing.assert_allclose([s for s, _ in made], [s for s, _ in given], atol=1e-3)
        face = written(tmp_path / "o")["frames"][0]["faces"][0]
        assert face["scheme"] == "ibug68" and len(face["points"]) == 68
        for (_, one), (_, other) in zip(made, given, strict=True):
            assert one.shape == other.shape
            assert (one[10, 12:38] > 150).all()  # the box, white
            assert abs(one[44:, 50:].astype(int) - other[44:, 50:]).mean() < 12

    def test_the_bar_knows_the_length(self, checkpoint, tmp_path, capsys):
        path = clip(tmp_path / "clip.mp4")
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert re.search(r"\d/7 \[", capsys.readouterr().err)

    @pytest.mark.parametrize("degrees", [90, 180, 270])
    def test_a_turned_video_comes_out_upright(self, checkpoint, tmp_path, degrees):
        path = turned(clip(tmp_path / "clip.mp4"), degrees)
        upright = [image for _, image in photos.frames(path)]
        stored = np.zeros((48, 64))
        stored[:, :32] = 1  # red
        expected = np.rot90(stored, -degrees // 90)
        assert upright[0].shape[:2] == expected.shape
        assert ((upright[0][..., 0] > 100) == expected).mean() > 0.95
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        made = [image for _, image in photos.frames(tmp_path / "o" / "faces.mp4")]
        assert len(made) == 7 and made[0].shape == upright[0].shape
        assert (made[0][10, 12:38] > 150).all()  # the box, where it was found upright
        assert abs(made[0][42:].astype(int) - upright[0][42:]).mean() < 12

    def test_no_pictures(self, checkpoint, tmp_path):
        path = clip(tmp_path / "clip.mp4")
        options = ["--out", tmp_path / "o", "--no-pictures"]
        assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert call(checkpoint, "--video", path, *options) == 0
        assert names(tmp_path / "o") == {"faces.json", folders.mark(KIND)}

    def test_a_video_that_does_not_say_how_fast_it_is(
        self, checkpoint, tmp_path, monkeypatch, capsys
    ):
        path = clip(tmp_path / "clip.mp4")
        with monkeypatch.context() as patch:
            patch.setattr("jaxalign.photos.frame_rate", lambda path: 0.0)
            assert call(checkpoint, "--video", path, "--out", tmp_path / "o") == 0
        assert f"faces.mp4 has {RATE:g} frames/s" in capsys.readouterr().out
        assert photos.frame_rate(tmp_path / "o" / "faces.mp4") == RATE

    def test_broken_off(self, checkpoint, tmp_path, monkeypatch):
        path, looked = clip(tmp_path / "clip.mp4"), []

        def find(self, image):
            looked.append(image)
            if len(looked) == 4:
                raise KeyboardInterrupt
            return []

        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", find)
        options = ["--batch", 1, "--out", tmp_path / "o"]
        assert call(checkpoint, "--video", path, *options) == 130
        assert len(written(tmp_path / "o")["frames"]) == 3
        assert photos.frame_count(tmp_path / "o" / "faces.mp4") == 3

    def test_files_of_others_stay(self, checkpoint, tmp_path, capsys):
        path, out = clip(tmp_path / "clip.mp4"), tmp_path / "o"
        out.mkdir()
        (out / "faces.mp4").write_text("mine")
        assert call(checkpoint, "--video", path, "--out", out) == 2
        assert "holds faces.mp4, which would be overwritten" in capsys.readouterr().err
        assert (out / "faces.mp4").read_text() == "mine"

    def test_its_own_result_is_not_read_and_written_at_once(self, checkpoint, tmp_path, capsys):
        out = tmp_path / "o"
        assert call(checkpoint, "--video", clip(tmp_path / "clip.mp4"), "--out", out) == 0
        whole = (out / "faces.mp4").read_bytes()
        assert call(checkpoint, "--video", out / "faces.mp4", "--out", out) == 2
        assert "faces.mp4 would be overwritten; name another folder" in capsys.readouterr().err
        assert (out / "faces.mp4").read_bytes() == whole


class Camera:
    """OpenCV's reader of a webcam, which gives so many frames and then no more."""

    frames = 5
    opened = ()

    def __init__(self, number):
        Camera.opened += (number,)
        self.left = self.frames

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((48, 64, 3), 30, np.uint8)

    def set(self, what, value):
        return True

    def release(self):
        pass


@pytest.fixture
def camera(monkeypatch):
    """A webcam whose frames come at these seconds."""
    monkeypatch.setattr(Camera, "opened", ())
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    ticks = iter(np.arange(100) * 0.1)
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr("jaxalign.photos.time", clock)
    # What a movie holds is counted by the reader of videos.
    monkeypatch.setattr("jaxalign.photos.frame_count", lambda path: Movie.last.count)
    begin = Movie.__enter__

    def note(self):
        Movie.last = self
        return begin(self)

    monkeypatch.setattr(Movie, "__enter__", note)
    monkeypatch.setattr(Movie, "last", None, raising=False)
    return Camera


@pytest.mark.heavy
class TestWebcam:
    def test_without_windows_it_is_recorded(self, checkpoint, tmp_path, camera, capsys):
        assert call(checkpoint, "--webcam", "--smooth", "--out", tmp_path / "o") == 0
        printed = capsys.readouterr()
        assert "webcam 0: no window" in printed.out and "Ctrl-C ends" in printed.out
        assert "opencv-python in place of opencv-python-headless" in printed.out
        assert "5 frames: 5 ok" in printed.out and "1 faces" in printed.err
        report = written(tmp_path / "o")
        assert report["webcam"] == 0 and report["smoothed"] is True and camera.opened == (0,)
        assert [frame["frame"] for frame in report["frames"]] == list(range(5))
        assert {face["id"] for frame in report["frames"] for face in frame["faces"]} == {0}
        seconds = report["frames"][-1]["seconds"]
        assert seconds == pytest.approx(0.5) and Movie.last.count == int(seconds * RATE) + 1

    def test_ctrl_c_ends_it_well(self, checkpoint, tmp_path, camera, monkeypatch, capsys):
        read = Camera.read

        def interrupted(self):
            if self.left == 2:
                raise KeyboardInterrupt
            return read(self)

        monkeypatch.setattr(Camera, "read", interrupted)
        assert call(checkpoint, "--webcam", 1, "--out", tmp_path / "o") == 0
        assert "3 frames: 3 ok" in capsys.readouterr().out and camera.opened == (1,)
        assert len(written(tmp_path / "o")["frames"]) == 3
        assert (tmp_path / "o" / "faces.mp4").is_file()

    @pytest.mark.parametrize("key", ["q", "\x1b"])
    def test_a_window_shows_it(self, checkpoint, tmp_path, camera, monkeypatch, capsys, key):
        shown, closed = [], []
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   QT5\n")
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "imshow", lambda name, picture: shown.append(picture))
        monkeypatch.setattr(cv2, "waitKey", lambda wait: ord(key) if len(shown) == 2 else -1)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: closed.append(True))
        assert call(checkpoint, "--webcam", "--no-pictures", "--out", tmp_path / "o") == 0
        assert "q in the window, or Ctrl-C, ends" in capsys.readouterr().out
        assert len(shown) == 2 and closed == [True]
        assert (shown[0][10, 12:38] > 150).all()  # drawn
        assert len(written(tmp_path / "o")["frames"]) == 2
        assert names(tmp_path / "o") == {"faces.json", folders.mark(KIND)}

    def test_ended_before_the_first_frame(self, checkpoint, tmp_path, camera, monkeypatch, capsys):
        """An earlier run's video goes: it is not of these frames."""
        assert call(checkpoint, "--webcam", "--out", tmp_path / "o") == 0
        assert "faces.mp4" in names(tmp_path / "o")

        def interrupted(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr("jaxalign.prediction.files._of_frames", interrupted)
        capsys.readouterr()
        assert call(checkpoint, "--webcam", "--out", tmp_path / "o") == 0
        assert "0 frames" in (told := capsys.readouterr().out) and "faces.mp4" not in told
        assert written(tmp_path / "o")["frames"] == []
        assert names(tmp_path / "o") == {"faces.json", folders.mark(KIND)}

    def test_no_camera(self, checkpoint, tmp_path, camera, monkeypatch, capsys):
        monkeypatch.setattr(Camera, "frames", 0)
        assert call(checkpoint, "--webcam", 3, "--out", tmp_path / "o") == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "webcam 3: gives no picture; is it connected" in line
        assert not (tmp_path / "o" / "faces.json").exists()


def test_no_such_camera_is_one_line(capfd):
    with pytest.raises(InputError, match="webcam 97: gives no picture"):
        photos.camera(97)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("build", "screen", "shown"),
    [("GUI: NONE", ":0", False), ("GUI: QT5", "", False), ("GUI: GTK3", ":0", True)],
)
def test_where_there_are_windows(monkeypatch, build, screen, shown):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: f"General\n  {build}\n")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", screen)
    assert Window().shown is shown


@pytest.mark.heavy
class TestAlignedCrops:
    def photos(self, folder, *names):
        folder.mkdir()
        for name in names:
            Image.fromarray(np.full((80, 60, 3), 90, np.uint8)).save(folder / name)
        return [folder / name for name in names]

    def test_a_crop_of_each_face(self, checkpoint, tmp_path, monkeypatch):
        paths, out = self.photos(tmp_path / "in", "a.png", "b.png"), tmp_path / "o"
        found = [Detection(np.float32([x, 10, x + 30, 40]), 1.0) for x in (0, 20)]
        boxes = iter([found[:1], found] * 3)
        monkeypatch.setattr(
            "jaxalign.prediction.detection.Cascade.__call__", lambda *_: next(boxes)
        )
        options = ["--out", out, "--aligned", 64]
        assert call(checkpoint, *paths, *options) == 0
        report = written(out)
        assert report["aligned"] == 64 and report["template"] == "ffhq"
        crops = [face["aligned"] for photo in report["photos"] for face in photo["faces"]]
        assert crops == ["a.png.face1.png", "b.png.face1.png", "b.png.face2.png"]
        assert all(Image.open(out / name).size == (64, 64) for name in crops)
        own = {"faces.json", folders.mark(KIND), "a.png.png", "b.png.png"}
        assert names(out) == {*own, *crops}
        # Done photos are taken over with their crops; a crop that is gone is made again.
        assert call(checkpoint, *paths, *options, "--skip-existing") == 0
        assert names(out) == {*own, *crops} and next(boxes) == found[:1]
        (out / crops[2]).unlink()
        assert call(checkpoint, *paths, *options, "--skip-existing") == 0
        assert names(out) == {*own, *crops}
        # An earlier run's go.
        monkeypatch.setattr("jaxalign.prediction.detection.Cascade.__call__", lambda *_: found[:1])
        assert call(checkpoint, *paths, "--out", out) == 0
        assert names(out) == own

    def test_files_of_others_stay(self, checkpoint, tmp_path, capsys):
        (path,), out = self.photos(tmp_path / "in", "a.png"), tmp_path / "o"
        out.mkdir()
        (out / "a.png.face1.png").write_text("mine")
        assert call(checkpoint, path, "--out", out, "--aligned", 64) == 2
        assert "holds a.png.face1.png, which would be overwritten" in capsys.readouterr().err
        assert (out / "a.png.face1.png").read_text() == "mine"

    def test_points_in_one_place(self, checkpoint, tmp_path, monkeypatch, capsys):
        (path,), out = self.photos(tmp_path / "in", "a.png"), tmp_path / "o"
        flat = lambda self, faces: (np.ones((1, 68, 2), np.float32), np.ones((1, 68), np.float32))  # noqa: E731
        monkeypatch.setattr("jaxalign.prediction.aligner.Aligner._points", flat)
        assert call(checkpoint, path, "--out", out, "--aligned", 64) == 0
        assert "a.png, face 1: the face's points lie in one place" in capsys.readouterr().err
        assert "aligned" not in written(out)["photos"][0]["faces"][0]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (["--aligned", 8], "aligned crops of 8 px: give 16 to 4096"),
            (["--aligned", 64, "--template", "vgg"], "template 'vgg': one of arcface, ffhq"),
            (["--template", "arcface"], "--template goes with --aligned SIDE"),
            (["--aligned", -1], "--aligned -1: must be a side"),
        ],
    )
    def test_refusals(self, checkpoint, tmp_path, capsys, options, reason):
        (path,) = self.photos(tmp_path / "in", "a.png")
        assert call(checkpoint, path, "--out", tmp_path / "o", *options) == 2
        assert reason in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--webcam", "-1"], "--webcam -1: cameras count from 0"),
        (["--webcam", "--video", "v.mp4"], "give photos"),
        (["--webcam", "--skip-existing"], "--skip-existing goes with photos"),
        (["--webcam", "--format", "csv"], "--format goes with photos"),
        (["--webcam", "--aligned", "64"], "--aligned goes with photos"),
        (["--webcam", "--boxes", "b.csv"], "--boxes goes with photos"),
    ],
)
def test_options_that_do_not_go_together(capsys, options, reason):
    assert predict.main(options) == 2
    assert reason in capsys.readouterr().err
