"""metrics.jsonl (always), TensorBoard events where tensorboardX is installed, the progress bar."""

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jaxalign.folders import readable_errors, whole
from jaxalign.history import FILE, parsed
from jaxalign.records import json_text


class Log:
    """One run's numbers.

    `first` is the step that it starts from. Later lines of an earlier, killed run are dropped from
    metrics.jsonl, so that the file reads like one uninterrupted run. Lines of one step are equal
    between equal runs, except for `time` and `images_per_second`.
    """

    def __init__(self, workdir: Path, first: int, last: int, batch: int, quiet: bool):
        self.batch, self.steps, self.started = batch, 0, time.perf_counter()
        self.bar = tqdm(total=last, initial=first, unit="step", disable=quiet, smoothing=0.1)
        self.file = self.board = None
        if quiet:
            return
        path = workdir / FILE
        remedy = "move it away, or name another --workdir"
        with readable_errors(path, remedy):
            _drop_after(path, first)
            self.file = path.open("a", buffering=1, encoding="utf-8")
        with readable_errors(board := workdir / "tensorboard", remedy):
            self.board = _writer(board, first)
        if self.board is None:
            self.say("tensorboardX is not installed: nothing is written for TensorBoard")

    def step(self):
        """Counts a step that is done."""
        self.steps += 1
        self.bar.update()

    def show(self, loss: float):
        """Shows the loss behind the progress bar."""
        self.bar.set_postfix({"loss": f"{loss:.4f}", "images/s": f"{self.rate():.1f}"})

    def rate(self) -> float:
        """Images per second since the last written line, compilation included."""
        return self.steps * self.batch / max(time.perf_counter() - self.started, 1e-9)

    def write(self, step: int, phase: str, numbers: dict[str, float]):
        """Writes numbers after `step` steps, as one line and as TensorBoard scalars."""
        if self.file is None:
            return
        line = {"step": step, "phase": phase} | numbers
        line |= {"images_per_second": round(self.rate(), 2), "time": round(time.time(), 2)}
        self.file.write(json_text(line) + "\n")
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: np.ndarray):
        """Writes an RGB picture (H, W, 3) to TensorBoard alone."""
        if self.board is not None:
            self.board.add_image(name, picture, step, dataformats="HWC")

    def text(self, step: int, name: str, text: str):
        """Writes lines to TensorBoard alone, shown as they are."""
        if self.board is not None:
            self.board.add_text(name, f"```\n{text}\n```", step)

    def restart_clock(self):
        """Leaves validation and saving out of the images per second."""
        self.steps, self.started = 0, time.perf_counter()

    def say(self, line: str):
        if not self.bar.disable:
            self.bar.write(line)

    def close(self):
        self.bar.close()
        for file in filter(None, (self.file, self.board)):
            file.close()


def _writer(folder, first):
    """The writer for TensorBoard, None where the library is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first)


def _drop_after(path, step):
    """Keeps the lines of a run in `path` up to `step`.

    A line that a kill cut, and whatever else is no line of a run, go too.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    kept = [line + b"\n" for line in lines if (row := parsed(line)) and row["step"] <= step]
    with whole(path) as file:
        file.writelines(kept)
