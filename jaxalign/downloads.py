"""Published files that the program fetches from the network: those that may be passed on freely.

Benchmarks are not among them: their owners ask for a licence, so their files are fetched by hand.
"""

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from jaxalign.errors import InputError
from jaxalign.folders import whole


TIMEOUT = 60  # seconds without an answer


@dataclass(frozen=True)
class Download:
    """A published file: what it is, where it is offered, and how to recognise it."""

    about: str
    name: str
    url: str
    size: int  # bytes
    sha256: str
    option: str  # of the command that takes such a file


FILES = {
    "yunet": Download(
        about="YuNet, a face detector for --detector yunet (MIT licence, OpenCV Zoo)",
        name="face_detection_yunet_2023mar.onnx",
        url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
        "face_detection_yunet_2023mar.onnx",
        size=232_589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        option="--detector-model",
    ),
}


def cache() -> Path:
    """The folder of fetched files.

    That is $JAXALIGN_CACHE, or jaxalign/models in $XDG_CACHE_HOME, or in ~/.cache. Raises
    InputError where there is no home folder and neither is set.
    """
    own, base = (os.environ.get(name) for name in ("JAXALIGN_CACHE", "XDG_CACHE_HOME"))
    try:
        return Path(own or f"{base or '~/.cache'}/jaxalign/models").expanduser()
    except RuntimeError:  # the user has no home folder
        raise InputError(
            "no home folder to keep fetched files in; set JAXALIGN_CACHE to a folder, or give "
            "--detector-model FILE"
        ) from None


def fetch(wanted: Download, folder: Path | str = "") -> Path:
    """The file in `folder` (default: `cache()`), fetched unless it is there.

    A half or a wrong file is never left there. Raises InputError that names the URL, where the file
    cannot be fetched or kept, or is another one.
    """
    path = (Path(folder).expanduser() if folder else cache()) / wanted.name
    by_hand = f"fetch {wanted.url} by hand, for {wanted.option}"
    try:
        if path.is_file() and _is(wanted, path.read_bytes()):
            return path
        data = _fetched(wanted, by_hand)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write(data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be kept there ({error.strerror}); name another folder by --out or "
            f"JAXALIGN_CACHE, or {by_hand}"
        ) from None
    return path


def _fetched(wanted, by_hand) -> bytes:
    try:
        with urllib.request.urlopen(wanted.url, timeout=TIMEOUT) as answer:
            data = answer.read(wanted.size + 1)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{wanted.name}: cannot be fetched ({reason}); {by_hand}") from None
    if not _is(wanted, data):
        raise InputError(
            f"{wanted.name}: what was fetched is not the file of {wanted.size} bytes with the "
            f"SHA-256 {wanted.sha256}; {by_hand}, and compare"
        )
    return data


def _is(wanted, data):
    return len(data) == wanted.size and hashlib.sha256(data).hexdigest() == wanted.sha256
