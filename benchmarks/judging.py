"""How a trial ended, and processes that trials run in, each with a limit of time."""

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

from jaxalign.folders import PARTIAL


RIGHT, CLEAR, UNSEEN = "right", "clear line", "not to be told"
UNCLEAR, TRACEBACK, HANG = "unclear line", "traceback", "hang"
WRONG, LEFT = "silently wrong", "left over"
VERDICTS = (RIGHT, CLEAR, UNSEEN, UNCLEAR, TRACEBACK, HANG, WRONG, LEFT)
BAD = VERDICTS[3:]
ERROR = re.compile(r"(jaxalign \w+: )?error: ")  # argparse's line begins with the command
# Parts of the names of what is written aside; a command that ended by itself leaves none of them.
ASIDE = (PARTIAL, ".orbax-checkpoint-tmp", ".incomplete-")


@dataclass(frozen=True)
class Verdict:
    verdict: str
    what: str = ""  # what was tried, in words
    detail: str = ""  # what was seen, where it is bad
    kind: str = ""
    number: int = 0

    @property
    def bad(self) -> bool:
        return self.verdict in BAD


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, None where an exception left it, and what it printed."""

    code: int | None
    out: str
    err: str


def attempt(command: Callable[[], int | None]) -> Ended:
    """Runs a command here; what it and the libraries below it print is kept apart."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _into(1, "stdout", out), _into(2, "stderr", err):
            try:
                code = command() or 0
            except SystemExit as end:  # argparse's, and that of a signal
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
            except BaseException:
                traceback.print_exc()
                code = None
        return Ended(code, _text(out), _text(err))


@contextlib.contextmanager
def _into(descriptor, name, file):
    """Sends a descriptor and Python's stream to a file."""
    before, stream = os.dup(descriptor), getattr(sys, name)
    stream.flush()
    os.dup2(file.fileno(), descriptor)
    own = open(os.dup(file.fileno()), "w", encoding="utf-8", errors="backslashreplace")
    setattr(sys, name, own)
    try:
        yield
    finally:
        own.close()
        setattr(sys, name, stream)
        os.dup2(before, descriptor)
        os.close(before)


def _text(file):
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def aside(*folders: Path) -> list[str]:
    """What is in these folders and should not be after a command that ended by itself."""
    return [str(path) for folder in folders for path in sorted(folder.rglob("*"))
            if any(part in path.name for part in ASIDE)]  # fmt: skip


def judged(
    ended: Ended,
    *,
    names: Sequence[str] = (),
    difference: str = "",
    seen: bool = True,
    left: Sequence[str] = (),
    codes: Sequence[int] = (0,),
) -> Verdict:
    """The verdict on a command that ended.

    `names`: one of them must stand in the line of an error; `difference`: what its result has
    otherwise than the sound one, "" where nothing; `seen`: whether that could be told from the
    input; `left`: what it left and should not have; `codes`: those of success.
    """
    tail = ended.err[-3000:]
    if ended.code is None or "Traceback (most recent call last)" in ended.err:
        return Verdict(TRACEBACK, detail=tail)
    if ended.code == 2 and 2 not in codes:
        lines = [line for line in ended.err.splitlines() if ERROR.match(line)]
        if len(lines) != 1:
            return Verdict(UNCLEAR, detail=f"{len(lines)} lines of errors\n{tail}")
        if names and not any(name in lines[0] for name in names):
            return Verdict(UNCLEAR, detail=f"names none of {', '.join(names)}: {lines[0]}")
        found = Verdict(CLEAR)
    elif ended.code not in codes:
        return Verdict(UNCLEAR, detail=f"exit code {ended.code}\n{tail}")
    elif difference:
        found = Verdict(WRONG if seen else UNSEEN, detail=difference)
    else:
        found = Verdict(RIGHT)
    if left and not found.bad:
        found = Verdict(LEFT, detail="\n".join(left))
    return found


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=lambda one: VERDICTS.index(one.verdict))


class Workers:
    """Warm processes that do trials: `do(kind, number)` gives a Verdict.

    They are forked from one that has imported the modules `imports` and computed nothing. A trial
    that takes longer than `limit` seconds is a hang, one whose process ends a traceback; the next
    one gets a fresh process.
    """

    def __init__(
        self,
        do: Callable[[str, int], Verdict],
        jobs: int,
        limit: float,
        imports: Sequence[str] = (),
    ):
        self.do, self.jobs, self.limit, self.imports = do, jobs, limit, list(imports)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(self.imports)

    def __call__(self, trials: Iterable[tuple[str, int]]) -> Iterator[Verdict]:
        """The verdicts, as they come."""
        rest, busy, idle = iter(trials), {}, []
        try:
            while True:
                while len(busy) < self.jobs and (task := next(rest, None)):
                    worker = idle.pop() if idle else self._start()
                    worker[1].send(task)
                    busy[worker[1]] = worker, task, time.monotonic() + self.limit
                if not busy:
                    return
                soonest = min(deadline for _, _, deadline in busy.values())
                ready = wait(list(busy), max(0, soonest - time.monotonic()))
                for pipe in [*busy]:
                    worker, task, deadline = busy[pipe]
                    if pipe in ready:
                        found, usable = _answer(pipe)
                    elif time.monotonic() > deadline:
                        found, usable = Verdict(HANG, detail=f"over {self.limit:g} s"), False
                    else:
                        continue
                    del busy[pipe]
                    if usable:
                        idle.append(worker)
                    else:
                        _end(worker)
                    yield replace(found, kind=task[0], number=task[1])
        finally:
            for process, pipe in idle:
                pipe.close()  # at which it ends by itself
                process.join(10)
            for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
                _end(worker)

    def _start(self):
        here, there = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(there, self.do, self.imports))
        process.start()
        there.close()
        here.recv()  # it is ready: its start is not part of a trial's time
        return process, here


def _serve(pipe, do, imports):
    os.setpgid(0, 0)  # what it starts joins it
    # What it starts is forked from a process of its own that has imported the same.
    multiprocessing.get_context("forkserver").set_forkserver_preload(imports)
    pipe.send(None)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            verdict = do(*task)
        except Exception:
            verdict = Verdict(TRACEBACK, "the trial itself", traceback.format_exc())
        pipe.send(verdict)


def _answer(pipe):
    try:
        return pipe.recv(), True
    except (EOFError, ConnectionError):
        return Verdict(TRACEBACK, detail="its process ended"), False


def _end(worker):
    process, pipe = worker
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    pipe.close()


class Started:
    """A command, `call(*arguments)`, in a process of its own, forked as the workers are.

    What it prints comes through pipes, so that no limit of the size of files stops it. `first` is
    called in the process before.
    """

    def __init__(self, call: Callable, *arguments, first: Callable | None = None):
        context = multiprocessing.get_context("forkserver")
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        self.texts = [bytearray(), bytearray()]
        self.process = context.Process(
            target=_command, args=(os.getpgid(0), [end for _, end in pipes], first, call, arguments)
        )
        self.process.start()
        self.readers = []
        for (reader, writer), text in zip(pipes, self.texts, strict=True):
            writer.close()
            self.readers.append(threading.Thread(target=_drain, args=(reader, text), daemon=True))
            self.readers[-1].start()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has ended."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    def send(self, number: int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def ended(self) -> Ended:
        """How it ended; waits for that. The code is that of the shell: 137 after SIGKILL."""
        self.wait()
        for reader in self.readers:
            reader.join()
        code = self.process.exitcode
        code = 128 - code if code is not None and code < 0 else code
        return Ended(code, *(text.decode("utf-8", "replace") for text in self.texts))


def _drain(pipe, text):
    while found := os.read(pipe.fileno(), 65536):
        text += found


def _command(group, pipes, first, call, arguments):
    """Ends with the command's exit code, or with 1 after an exception."""
    with contextlib.suppress(PermissionError):
        os.setpgid(0, group)
    for descriptor, pipe in enumerate(pipes, 1):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    sys.stdout, sys.stderr = (
        open(descriptor, "w", buffering=1, errors="backslashreplace") for descriptor in (1, 2)
    )
    if first:
        first()
    sys.exit(call(*arguments))
