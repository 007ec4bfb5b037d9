"""`jaxalign download`: what is told, what is fetched, and that nothing wrong is kept."""

import hashlib
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import cv2
import pytest

from jaxalign import downloads
from jaxalign.commands import download
from jaxalign.datasets import BENCHMARKS
from jaxalign.errors import InputError
from jaxalign.prediction.detection import YuNet
from jaxalign.prediction.search import named
from tests.helpers.commands import call, refused


CONTENT = b"a network" * 100


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """The folder of a local server that offers yunet's file, which is CONTENT."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "yunet.onnx").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    made = replace(
        downloads.FILES["yunet"], url=f"http://127.0.0.1:{server.server_port}/yunet.onnx",
        size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip
    monkeypatch.setitem(downloads.FILES, "yunet", made)
    yield folder
    server.shutdown()
    server.server_close()


def test_a_detector(offered, tmp_path, capsys):
    out = tmp_path / "a" / "models"
    path = out / "face_detection_yunet_2023mar.onnx"
    assert call(download, "yunet", "--out", out) == 0
    assert f"jaxalign predict --ckpt W --detector-model {path} " in capsys.readouterr().out
    assert [p.read_bytes() for p in out.iterdir()] == [CONTENT] and path.is_file()
    (offered / "yunet.onnx").unlink()
    assert call(download, "yunet", "--out", out) == 0  # it is there: not fetched again
    path.write_bytes(CONTENT[:-1])
    assert "cannot be fetched" in refused(capsys, download, "yunet", "--out", out)


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", CONTENT[::-1]])
def test_another_file_is_not_kept(offered, content, tmp_path, capsys):
    (offered / "yunet.onnx").write_bytes(content)
    line = refused(capsys, download, "yunet", "--out", tmp_path / "models")
    made = downloads.FILES["yunet"]
    assert made.url in line and made.sha256 in line
    assert not (tmp_path / "models").exists()


def test_no_network(tmp_path, monkeypatch, capsys):
    made = replace(downloads.FILES["yunet"], url=(tmp_path / "none").as_uri())
    monkeypatch.setitem(downloads.FILES, "yunet", made)
    line = refused(capsys, download, "yunet", "--out", tmp_path / "models")
    assert "cannot be fetched" in line
    assert line.endswith(f"fetch {made.url} by hand, for --detector-model")


def test_a_folder_that_cannot_be(offered, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = refused(capsys, download, "yunet", "--out", tmp_path / "file")
    assert f"{tmp_path / 'file'}/" in line and "cannot be kept there" in line
    assert "--out or JAXALIGN_CACHE" in line


class TestFirstUse:
    """A detector that is asked for by its name alone brings its file."""

    @pytest.fixture
    def opened(self, monkeypatch):
        """The files that OpenCV was given; it takes any for a network that finds nothing."""
        files = []
        net = SimpleNamespace(setInputSize=lambda size: None, detect=lambda image: (1, None))
        create = lambda file, *_: files.append(file) or net  # noqa: E731
        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=create))
        return files

    def test_fetched_once(self, offered, opened, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "kept"))
        path = tmp_path / "kept" / downloads.FILES["yunet"].name
        assert named("yunet").name == "yunet" and opened == [str(path)]
        assert path.read_bytes() == CONTENT
        (offered / "yunet.onnx").unlink()
        named("yunet")
        assert opened == 2 * [str(path)]
        assert call(download, "yunet") == 0  # the same place
        assert "predict --ckpt W --detector yunet PHOTO" in capsys.readouterr().out

    def test_no_network(self, offered, opened, tmp_path, monkeypatch):
        monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path))
        (offered / "yunet.onnx").unlink()
        with pytest.raises(InputError, match="by hand, for --detector-model$") as error:
            named("yunet")
        assert downloads.FILES["yunet"].url in str(error.value) and not opened
        (tmp_path / "mine.onnx").touch()
        YuNet(tmp_path / "mine.onnx")  # a file at hand needs none
        assert opened == [str(tmp_path / "mine.onnx")]

    def test_a_cache_that_cannot_be_written(self, offered, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "file"))
        with pytest.raises(InputError, match="file/face_.*: cannot be kept there .*CACHE") as error:
            named("yunet")
        assert "\n" not in str(error.value)

    def test_where_it_is_kept(self, tmp_path, monkeypatch):
        for name in ("JAXALIGN_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert downloads.cache() == tmp_path / ".cache" / "jaxalign" / "models"
        monkeypatch.setenv("XDG_CACHE_HOME", "/x")
        assert str(downloads.cache()) == "/x/jaxalign/models"
        monkeypatch.setenv("JAXALIGN_CACHE", "~/mine")
        assert downloads.cache() == tmp_path / "mine"

    def test_no_home(self, monkeypatch):
        for name in ("JAXALIGN_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)

        def homeless(self):
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(downloads.Path, "expanduser", homeless)
        with pytest.raises(InputError, match="no home folder .* JAXALIGN_CACHE .*detector-model"):
            named("yunet")


def test_benchmarks_are_told_of(capsys):
    assert call(download) == 0
    told = capsys.readouterr().out
    for benchmark in BENCHMARKS.values():
        assert f"{benchmark.name}: {benchmark.instructions}" in told
    assert "jaxalign download yunet" in told
    assert call(download, "wflw") == 0
    told = capsys.readouterr().out
    assert BENCHMARKS["wflw"].instructions in told and "cofw" not in told
    assert told.endswith("next: jaxalign prepare wflw --from DIR\n")
    assert "nothing called 'w300'" in refused(capsys, download, "w300")
