"""`jaxalign download`: what is told, what is fetched, and that nothing wrong is kept."""

import hashlib
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from jaxalign import downloads
from jaxalign.commands import download
from jaxalign.datasets import BENCHMARKS
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
    assert f"jaxalign predict --ckpt W --detector-model {path}" in capsys.readouterr().out
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
    assert "cannot be fetched" in line and line.endswith(f"fetch {made.url} by hand")


def test_a_folder_that_cannot_be(offered, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = refused(capsys, download, "yunet", "--out", tmp_path / "file")
    assert f"--out {tmp_path / 'file'}: cannot be written" in line


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
