"""Where a path leads: to a file of this machine, or into a bucket."""

import re
from pathlib import Path

from jaxalign.errors import InputError


PACKAGES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "file": ""}  # what fsspec needs for each
_URL = re.compile(f"({'|'.join(PACKAGES)}):/+([^/].*?)/*")


def url(path: Path | str | None) -> str:
    """The URL of a place in a bucket, "" for any other path.

    Path makes one slash of two, so "gs:/bucket/run" is "gs://bucket/run", too. "file:///folder"
    treats a folder of this machine as a bucket.
    """
    if not (found := _URL.fullmatch(str(path))):
        return ""
    return f"{found[1]}://{'/' if found[1] == 'file' else ''}{found[2]}"


def place(text: str) -> Path | str:
    """An argument that names a place: the URL of one in a bucket, else a path."""
    return url(text) or Path(text)


def check_local(path: Path | str):
    """Raises InputError where a path leads into a bucket, and nothing can be written there."""
    if found := url(path):
        raise InputError(
            f"{found}: only a --workdir of training and a --data-dir may lie in a bucket; name a "
            "folder of this machine, and copy it"
        )
