"""What the program fetches from the network: published files that may be passed on freely.

Benchmarks are not among them: their owners ask for a licence, so their files are fetched by hand.
"""

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from jaxalign.errors import InputError


CACHE = "~/.cache/jaxalign/models"
TIMEOUT = 60  # seconds without an answer


@dataclass(frozen=True)
class Download:
    """A published file: what it is, where it is offered, and how to know it."""

    about: str
    name: str
    url: str
    size: int  # bytes
    sha256: str


FILES = {
    "yunet": Download(
        about="YuNet, a face detector for --detector-model (MIT licence, OpenCV Zoo)",
        name="face_detection_yunet_2023mar.onnx",
        url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
        "face_detection_yunet_2023mar.onnx",
        size=232_589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
}


def fetch(wanted: Download, folder: Path | str = CACHE) -> Path:
    """The file in `folder`, fetched unless it is there. A half or a wrong one is never left there.

    Errors: InputError that names the URL, where it cannot be fetched or is another file.
    """
    path = Path(folder).expanduser() / wanted.name
    if path.is_file() and _is(wanted, path.read_bytes()):
        return path
    by_hand = f"fetch {wanted.url} by hand"
    try:
        with urllib.request.urlopen(wanted.url, timeout=TIMEOUT) as answer:
            data = answer.read(wanted.size + 1)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{wanted.name}: cannot be fetched ({reason}); {by_hand}") from None
    if not _is(wanted, data):
        raise InputError(
            f"{wanted.name}: what was fetched is not the file of {wanted.size} bytes with the "
            f"SHA-256 {wanted.sha256}; {by_hand} and compare"
        )
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror})") from None
    return path


def _is(wanted, data):
    return len(data) == wanted.size and hashlib.sha256(data).hexdigest() == wanted.sha256
