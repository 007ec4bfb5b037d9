"""The page in examples/web/, in a headless Chromium: as Python finds points, and all on its own."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

import jaxalign
from jaxalign import geometry, photos
from jaxalign.datasets import synthetic_faces
from jaxalign.datasets.faces import photo_bytes
from jaxalign.errors import InputError
from jaxalign.records import predicted_photos, read_predicted
from jaxalign.schemes import UNION
from tests.helpers import ROOT
from tests.helpers.browser import CHROMIUM, Browser, served


needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
LACKING = [
    name
    for name, there in {
        "chromium": CHROMIUM,
        "npm": shutil.which("npm"),
        "jax2onnx": importlib.util.find_spec("jax2onnx"),
        "onnxruntime": importlib.util.find_spec("onnxruntime"),
    }.items()
    if not there
]
needs_browser = pytest.mark.skipif(
    bool(LACKING), reason=f"not installed: {', '.join(LACKING)} (docs/export.md)"
)
CORNERS = "x0", "y0", "x1", "y1"


@pytest.fixture(scope="module", params=[(), ("--int8",)], ids=["float32", "int8"])
def folder(tmp_path_factory, request):
    """The page, built as its README says, in a copy."""
    examples = tmp_path_factory.mktemp("page") / "examples"
    ignored = shutil.ignore_patterns("build", "node_modules")
    shutil.copytree(ROOT / "examples", examples, ignore=ignored)
    built = subprocess.run(
        [sys.executable, examples / "web/build.py", *request.param],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if "npm install cannot fetch" in built.stderr:
        pytest.skip(built.stderr)
    assert built.returncode == 0, built.stderr
    return examples / "web"


@pytest.fixture(scope="module")
def drawn():
    """A drawn face, (512, 512, 3) RGB, and its points."""
    face = synthetic_faces.face("test", 3, size=512, seed=0)
    return photos.decode(photo_bytes(face)), face.points["union"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory, drawn):
    """With a webcam before which the drawn face sits."""
    folder = tmp_path_factory.mktemp("browser")
    film = folder / "webcam.mjpeg"
    frame = cv2.imencode(".jpg", np.ascontiguousarray(drawn[0][..., ::-1]))[1]
    film.write_bytes(frame.tobytes() * 3)
    options = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
               f"--use-file-for-fake-video-capture={film}"]  # fmt: skip
    for attempt in range(3):  # Chromium itself may crash as it starts
        with contextlib.suppress(BrokenPipeError):
            browser = Browser(folder / f"profile{attempt}", *options)
            break
    else:
        pytest.skip("Chromium ends as soon as it starts")
    yield browser
    browser.close()


@pytest.fixture
def page(browser, folder):
    """The page, opened anew, its model loaded. In the end nothing went wrong, and nothing was asked
    of others or sent."""
    with served(folder) as address:
        browser.events.clear()
        browser.call("Page.navigate", url=address)
        settle(browser)
        assert text(browser) == "Choose a photo, a sample or the webcam."
        yield browser
        told = [event["params"] for event in browser.events if event["method"] in FAULTS]
        assert not told
        asked = [
            event["params"]["request"]
            for event in browser.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert len(asked) >= 6
        assert {request["method"] for request in asked} == {"GET"}
        assert all(request["url"].startswith((address, "data:", "blob:")) for request in asked)


FAULTS = "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"


def settle(page, seconds=300):
    page.wait("document.querySelector('main')?.ariaBusy === 'false'", seconds)


def text(page, name="status"):
    return page.run(f"document.getElementById('{name}').textContent")


def click(page, selector):
    page.run(f"document.querySelector('{selector}').click()")


def table(page):
    """The rows of the table of points."""
    page.run("document.querySelector('details').open = true")
    page.wait("document.querySelector('#table tr') !== null")
    return page.run(
        "[...document.querySelectorAll('#table tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )


def opened(page, photo, path):
    """The photo, chosen as a file; what the page makes of it without a box is broken off."""
    cv2.imwrite(str(path), np.ascontiguousarray(photo[..., ::-1]))
    chosen(page, path)


def chosen(page, path):
    page.choose("#file", path)
    page.wait(f"document.getElementById('view').ariaLabel.startsWith('{path.name}')")


def wait_for(file):
    end = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < end, f"{file} was not saved"
        time.sleep(0.05)


def boxed(page, box):
    """At once: a search that ends meanwhile writes its own box there."""
    values = dict(zip(CORNERS, map(float, box), strict=True))
    page.run(
        f"Object.entries({json.dumps(values)})"
        ".forEach(([name, value]) => document.forms.box[name].value = value);"
        "document.querySelector('#box button').click()"
    )


@needs_browser
@pytest.mark.heavy
@pytest.mark.parametrize("size", [150, 768])  # larger crops are averaged down first
def test_points_are_as_pythons(page, folder, drawn, tmp_path, size):
    photo = cv2.resize(drawn[0], (size, size), interpolation=cv2.INTER_CUBIC)
    points = (drawn[1] + 0.5) * size / 512 - 0.5
    box = geometry.landmark_box(points[list(UNION.framed)]) + [3.25, -2.5, 5.0, 0.75]
    opened(page, photo, tmp_path / "photo.png")
    boxed(page, box)
    settle(page)
    assert "171 points in" in text(page) and text(page, "faces").startswith("score 0.")
    rows = table(page)
    model = folder / "build/model.onnx"
    ((face,),) = jaxalign.load(model, scheme="union").align([photo], [[box]])
    assert [row[1] for row in rows] == list(UNION.names)
    numbers = np.array([row[2:] for row in rows], float)
    limit = 0.15 if model.stat().st_size > 1e7 else 0.5  # int8 rounds what differs a little
    assert np.abs(numbers[:, :2] - face.points).max() < limit
    assert np.abs(numbers[:, 2] - face.scores).max() < 0.03


@needs_browser
@pytest.mark.heavy
def test_a_photo_that_was_turned_by_its_camera(page, drawn, tmp_path):
    path, box = tmp_path / "turned.jpg", [140.0, 130.0, 400.0, 385.0]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(drawn[0]).copy()).save(path, quality=95, exif=exif)
    chosen(page, path)
    boxed(page, box)
    settle(page)
    found = np.array([row[2:4] for row in table(page)], float)
    ((face,),) = jaxalign.load(scheme="union").align([photos.read(path)], [[box]])
    assert np.abs(found - face.points).max() < 0.5
    assert np.linalg.norm(found - drawn[1], axis=1).mean() < 13


@needs_chromium
def test_a_page_that_was_not_built_says_so(browser, tmp_path):
    for name in ("index.html", "page.js", "jaxalign.js", "style.css"):
        shutil.copy(ROOT / "examples/web" / name, tmp_path)
    with served(tmp_path) as address:
        browser.call("Page.navigate", url=address)
        settle(browser)
        assert text(browser) == "The runtime cannot be loaded: run build.py first."


@needs_browser
@pytest.mark.heavy
def test_it_finds_the_sample_takes_a_dragged_box_and_saves(page, drawn, tmp_path):
    click(page, ".sample")
    settle(page)
    assert text(page).startswith("Found a face in")
    found = np.array([row[2:4] for row in table(page)], float)
    side = np.ptp(drawn[1], 0).max()
    assert np.linalg.norm(found - drawn[1], axis=1).mean() < 0.05 * side

    left, top, width = page.run(
        "(({left, top, width}) => [left, top, width])"
        "(document.getElementById('view').getBoundingClientRect())"
    )
    box = np.array([140.0, 120.0, 400.0, 390.0])
    corners = (box.reshape(2, 2) + 0.5) * width / 512 + [left, top]
    page.drag(*corners.tolist())
    settle(page)
    assert "171 points in" in text(page)
    taken = page.run(f"{list(CORNERS)}.map((name) => document.forms.box[name].valueAsNumber)")
    np.testing.assert_allclose(taken, box, atol=0.6)
    assert page.run("document.querySelectorAll('#faces li').length") == 1  # in place of the other

    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(page, "#save")
    wait_for(tmp_path / "faces.json")
    saved = read_predicted(tmp_path / "faces.json")
    assert saved is not None
    (photo,) = predicted_photos(saved, tmp_path / "faces.json")
    assert photo["photo"] == "Drawn face" and photo["status"] == "ok"
    (face,) = photo["faces"]
    np.testing.assert_allclose(face["box"], box, atol=0.6)
    shown = np.array([row[2:] for row in table(page)], float)
    np.testing.assert_allclose(face["points"], shown[:, :2], atol=0.006)
    np.testing.assert_allclose(face["scores"], shown[:, 2], atol=0.0006)


@needs_browser
@pytest.mark.heavy
def test_the_webcam_is_followed_and_ends(page):
    click(page, "#webcam")
    page.wait("document.getElementById('status').textContent.startsWith('Following')", 300)
    assert page.run("document.getElementById('webcam').ariaPressed") == "true"
    assert len(table(page)) == 171
    click(page, "#webcam")
    settle(page)
    assert text(page) == "The webcam is off."
    assert page.run("document.getElementById('webcam').ariaPressed") == "false"


@needs_browser
@pytest.mark.heavy
def test_keys_alone_will_do(page, drawn, tmp_path):
    """Each control has a name and comes by Tab; a box is typed and sent by Enter."""
    opened(page, drawn[0], tmp_path / "photo.png")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "checkbox", "spinbutton", "image", "DisclosureTriangle", "region"}
    nodes = [node for node in tree if node.get("role", {}).get("value") in controls]
    assert len(nodes) > 14
    assert all(node["name"]["value"] for node in nodes)
    seen = []
    for _ in range(17):
        page.key("Tab", 9)
        focus = "(({id, name, textContent}) => id || name || textContent)(document.activeElement)"
        seen.append(page.run(focus))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none" or (
            seen[-1] == "file"  # its label has the outline
        )
    for name in ("file", "webcam", "Portrait", "search", "points", *CORNERS, "again"):
        assert name in seen, seen
    for name, value in zip(CORNERS, (140, 130, 400, 385), strict=True):
        page.run(f"document.forms.box.{name}.value = {value}")
    page.run("document.forms.box.x0.focus()")
    page.key("Enter", 13, "\r")
    settle(page)
    assert "171 points in" in text(page)


@needs_browser
@pytest.mark.heavy
def test_faults_are_told(page, drawn, tmp_path):
    opened(page, drawn[0], tmp_path / "photo.png")
    for box, reason in (
        ((9, 9, 9, 20), "The box has no extent"),
        ((600, 9, 700, 99), "The box lies outside the picture"),
    ):
        boxed(page, box)
        settle(page)
        assert text(page).startswith(reason)
    (tmp_path / "notes.png").write_text("no photo")
    page.choose("#file", tmp_path / "notes.png")
    page.wait("document.getElementById('status').textContent.startsWith('notes.png: no photo')")


@needs_browser
@pytest.mark.heavy
def test_nothing_can_leave_and_it_fits_a_phone(page, tmp_path):
    (tmp_path / "open.txt").write_text("to be read by a page that may")
    with served(tmp_path) as other:
        asked = f"fetch('{other}open.txt', {{mode: 'no-cors'}}).then(() => 'read', () => 'refused')"
        assert page.run(asked) == "refused"
    page.events.clear()  # the refusal is told to the console
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=390, height=844, deviceScaleFactor=2, mobile=True,
    )  # fmt: skip
    assert page.run("document.documentElement.scrollWidth") == 390
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Page.reload")
    settle(page)


def test_the_build_asks_for_npm(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("build_page", ROOT / "examples/web/build.py")
    assert spec and spec.loader
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="npm is not installed; install Node.js"):
        build.install()
    monkeypatch.undo()
    monkeypatch.setattr(build, "HERE", tmp_path)
    failing = subprocess.CompletedProcess([], 1, "", "npm error code ENOTFOUND\nmore")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failing)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(InputError, match=r"npm install cannot fetch .*package.json's .*ENOTFOUND"):
        build.install()


def test_the_runtime_is_pinned():
    """To a version: the page's code is what was tried."""
    package = json.loads((ROOT / "examples/web/package.json").read_text(encoding="utf-8"))
    (version,) = package["dependencies"].values()
    assert version.replace(".", "").isdigit()
