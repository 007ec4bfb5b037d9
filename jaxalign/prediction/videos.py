"""Videos out: an MP4 of drawn frames, and a window that shows them as they are made."""

import math
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from jaxalign import photos
from jaxalign.errors import InputError


RATE = 25.0  # frames a second where a video does not say, and of a webcam
CODEC = "mp4v"  # MPEG-4: OpenCV writes it wherever it is installed
TICKS = 65_535  # MPEG-4 takes rates as fractions of integers up to this


class Movie:
    """An MP4 that appears once it is whole; a context, within which frames are given to it.

    Where the work is broken off, by Ctrl-C or SIGTERM, it has the frames until then.
    """

    def __init__(self, path: Path, rate: float):
        """Writes nothing before the first frame.

        Args:
            path: The file, of suffix .mp4. One that is there is replaced.
            rate: Frames a second.
        """
        self.path, self.count = path, 0
        self.rate = round(rate, int(math.log10(TICKS / rate)))
        self.partial = path.with_name(partial(path.name))
        self._writer: cv2.VideoWriter | None = None

    def __call__(self, picture: np.ndarray, times: int = 1) -> None:
        """Appends a frame.

        Args:
            picture: (H, W, 3) uint8 RGB, of the size of the first one.
            times: How often.

        Raises:
            InputError: The file cannot be written.
        """
        if self._writer is None:
            self._writer = cv2.VideoWriter(
                str(self.partial.absolute()), cv2.VideoWriter.fourcc(*CODEC), self.rate,
                (picture.shape[1], picture.shape[0]),
            )  # fmt: skip
            if not self._writer.isOpened():
                raise self._error()
        for _ in range(times):
            self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            self.count += 1

    def __enter__(self) -> "Movie":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if self._writer is None:
                return
            self._writer.release()
            failed = kind is not None and not issubclass(kind, KeyboardInterrupt | SystemExit)
            if failed or not self.count:
                return
            # OpenCV does not say where a disk was full. Ctrl-C may come before a frame is counted.
            whole = self.partial.is_file() and self.partial.stat().st_size > 0
            if not whole or photos.frame_count(self.partial) < self.count:
                raise self._error()
            os.replace(self.partial, self.path)
        finally:
            self.partial.unlink(missing_ok=True)

    def _error(self):
        return InputError(
            f"{self.path}: cannot be written as a video; is the disk full? --no-pictures leaves "
            "it out"
        )


def partial(name: str) -> str:
    """The name of a movie's file while it is made.

    Args:
        name: That of the file.

    Returns:
        Another one in the same folder.
    """
    return f".partial-{name}"


class Window:
    """Shows frames on the screen, where OpenCV has windows and there is a screen."""

    NAME = "jaxalign: q ends"

    def __init__(self):
        told = next(line for line in cv2.getBuildInformation().splitlines() if "GUI:" in line)
        screen = sys.platform != "linux" or os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}
        self.shown = "NONE" not in told and bool(screen)

    @property
    def told(self) -> str:
        """How to watch, and how to end."""
        if self.shown:
            return "q in the window, or Ctrl-C, ends"
        return (
            "no window (OpenCV shows one where there is a screen, and opencv-python in place of "
            "opencv-python-headless); Ctrl-C ends"
        )

    def __call__(self, picture: np.ndarray) -> bool:
        """Shows a frame.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Returns:
            Whether the user has asked for the end.
        """
        if not self.shown:
            return False
        cv2.imshow(self.NAME, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) & 0xFF in (ord("q"), 27)  # 27: Esc

    def close(self) -> None:
        """Closes the window."""
        if self.shown:
            cv2.destroyAllWindows()
