"""metrics.jsonl (always), TensorBoard events where tensorboardX is installed, the progress bar."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxalign.folders import readable_errors, whole
from jaxalign.history import FILE, parsed
from jaxalign.records import json_text


OPENED = "move it away, or name another --workdir"  # remedies
WRITTEN = "make room; --resume goes on from the last checkpoint"
FLUSHED = 30.0  # seconds between two times that events go to the disk, which a step waits for


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
        self.path = workdir / FILE
        with readable_errors(self.path, OPENED):
            _drop_after(self.path, first)
            self.file = self.path.open("a", buffering=1, encoding="utf-8")
        try:
            self.board = _Board(workdir / "tensorboard", first)
        except ImportError:
            self.say("tensorboardX is not installed: nothing is written for TensorBoard")

    def step(self):
        """Counts a step that is done."""
        self.steps += 1
        self.bar.update()

    def show(self, loss: float):
        """Shows the loss behind the progress bar."""
        self.bar.set_postfix({"loss": f"{loss:.4f}", "images/s": f"{self.rate():.1f}"})

    def rate(self) -> float:
        """Images per second since the last save, compilation included."""
        return self.steps * self.batch / max(time.perf_counter() - self.started, 1e-9)

    def write(self, step: int, phase: str, numbers: dict[str, float]):
        """Writes numbers after `step` steps, as one line and as TensorBoard scalars."""
        if self.file is None:
            return
        line = {"step": step, "phase": phase} | numbers
        line |= {"images_per_second": round(self.rate(), 2), "time": round(time.time(), 2)}
        with readable_errors(self.path, WRITTEN):
            self.file.write(json_text(line) + "\n")
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add(step, "scalar", name, value)

    def picture(self, step: int, name: str, picture: np.ndarray):
        """Writes an RGB picture (H, W, 3) to TensorBoard alone."""
        if self.board is not None:
            self.board.add(step, "image", name, picture, dataformats="HWC")

    def text(self, step: int, name: str, text: str):
        """Writes lines to TensorBoard alone, shown as they are."""
        if self.board is not None:
            self.board.add(step, "text", name, f"```\n{text}\n```")

    def restart_clock(self):
        """Leaves validation and saving out of the images per second."""
        self.steps, self.started = 0, time.perf_counter()

    def say(self, line: str):
        """Prints a line beside the progress bar."""
        if not self.bar.disable:
            self.bar.write(line)

    def close(self):
        self.bar.close()
        if self.file is not None:
            with readable_errors(self.path, WRITTEN):
                self.file.close()
        if self.board is not None:
            self.board.close()


class _Board:
    """The events of TensorBoard, written in this thread.

    tensorboardX's own SummaryWriter writes in a thread, where nobody hears of a full disk.
    Errors: ImportError where the library is not installed; InputError where the folder cannot be
    written.
    """

    def __init__(self, folder, first):
        from tensorboardX import summary
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        proto: Any = event_pb2  # whose classes are made as it is imported
        self.folder, self.summary, self.event = folder, summary, proto.Event
        self.flushed = time.monotonic()
        with readable_errors(folder, OPENED):
            folder.mkdir(parents=True, exist_ok=True)
            self.events = EventsWriter(str(folder / "events"))
            # from here on, later steps of an earlier file do not count
            began = proto.SessionLog(status=proto.SessionLog.START)
            self.events.write_event(self.event(step=first, file_version="brain.Event:2"))
            self.events.write_event(self.event(step=first + 1, session_log=began))

    def add(self, step, kind, *arguments, **settings):
        """Writes what tensorboardX.summary's function of that name makes."""
        made = getattr(self.summary, kind)(*arguments, **settings)
        with readable_errors(self.folder, WRITTEN):
            self.events.write_event(self.event(wall_time=time.time(), step=step, summary=made))
            if time.monotonic() - self.flushed > FLUSHED:
                self.events.flush()
                self.flushed = time.monotonic()

    def close(self):
        with readable_errors(self.folder, WRITTEN):
            self.events.close()


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
