"""A headless Chromium, driven through a pipe by its DevTools protocol; a folder served to it."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


NAMES = "chromium", "chromium-browser", "google-chrome", "chrome"
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)

# Becomes the browser, which reads commands from 3 and writes answers to 4.
START = """
import os, sys
pipes = [os.dup(int(text)) for text in sys.argv[1:3]]
for descriptor, ours in zip(pipes, (3, 4)):
    os.dup2(descriptor, ours)
    os.set_inheritable(ours, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def served(folder: Path):
    """The folder's address, as python -m http.server would serve it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Browser:
    """One page. `events`: what the browser told of it, while it was waited for answers."""

    def __init__(self, profile: Path, *options: str):
        assert CHROMIUM
        (theirs, self._to), (self._from, back) = os.pipe(), os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs), str(back), CHROMIUM, "--headless",
             "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
             f"--user-data-dir={profile}", *options, "about:blank"],
            pass_fds=(theirs, back), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(back)
        self.events, self._rest, self._numbers, self._session = [], b"", itertools.count(1), None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        asked = {"targetId": page, "flatten": True}
        self._session = self.call("Target.attachToTarget", **asked)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self._process.terminate()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params) -> dict:
        """A command of the protocol -> its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def _message(self):
        while b"\0" not in self._rest:
            more = os.read(self._from, 2**20)
            if not more:
                raise BrokenPipeError("the browser ended")
            self._rest += more
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def run(self, script: str):
        """The value of an expression in the page."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 120):
        """Until an expression in the page is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"{script} is not true after {seconds} seconds"
            time.sleep(0.05)

    def choose(self, selector: str, file: Path):
        """A file in the file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def drag(self, start, end):
        """The mouse, pressed from one place of the window to another."""
        for kind, (x, y) in (
            ("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end),
        ):  # fmt: skip
            held = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def key(self, name: str, code: int, text: str = ""):
        """A key of the keyboard, pressed and released."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            asked = {"key": name, "windowsVirtualKeyCode": code, **more}
            self.call("Input.dispatchKeyEvent", type=kind, **asked)
