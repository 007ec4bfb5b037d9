"""Worker processes that make batches, or other things by their number.

Worker w of W makes the batches first + w, first + w + W, and so on, and writes each into its pipe,
where it waits until the trainer reads it. So the order does not depend on how quick a worker is; a
worker that is gone shows by the end of its pipe, and a trainer that is gone, in whatever way, by a
pipe that takes no more.
"""

import atexit
import contextlib
import ctypes
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import cv2

from jaxalign import signals
from jaxalign.errors import InputError


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def cores() -> int:
    """How many cores this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def made(
    make: Callable[[int], Any],
    numbers: range,
    workers: int,
    setting: str = "data.workers",
    remedy: str = "set fewer of them, or 0",
) -> Iterator[Any]:
    """Calls a function in worker processes, ahead of the caller.

    The processes begin anew (they are spawned), and import the main module of the program.

    Args:
        make: What makes batch i. It may hold what cloudpickle can take.
        numbers: The batches, in order.
        workers: How many processes.
        setting: What said how many processes.
        remedy: What to do where one of them has been killed.

    Yields:
        The batches, in order.

    Raises:
        InputError: `make` has raised one, or a worker process has ended before its time.
        RuntimeError: `make` has raised another error; the message holds its traceback.
    """
    import cloudpickle  # here and below, because prediction goes without

    context = multiprocessing.get_context("spawn")
    job = cloudpickle.dumps(make)
    pipes, processes = [], []

    def end():
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.kill()  # has nothing to lose
            process.join()

    atexit.register(end)  # else the program would wait for them when its end comes first
    try:
        # Ctrl-C goes to all processes of a terminal, a scheduler's SIGTERM to all of a job.
        with signals.kept_from_new(signals.INTERRUPT + signals.END):
            for first in range(min(workers, len(numbers))):
                pipe, sending = context.Pipe(duplex=False)
                pipes.append(pipe)
                process = context.Process(
                    target=_work, args=(sending, job, numbers[first::workers]), daemon=True
                )
                process.start()
                processes.append(process)
                sending.close()  # the worker has the only one left
        for place in range(len(numbers)):
            pair = pipes[place % workers], processes[place % workers]
            yield _received(*pair, f"{setting}={workers}", remedy)
    finally:
        end()
        atexit.unregister(end)


def settle():
    """Lets this process make batches on one core.

    OpenCV uses one thread. Freed memory is kept: glibc would give back that of each photo and take
    it anew, page by page, in a tenth of the time of a face.
    """
    cv2.setNumThreads(1)
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries
        for option, size in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**28)):
            ctypes.CDLL(None).mallopt(option, size)


def _received(pipe, process, setting, remedy):
    try:
        batch = pipe.recv()
    except (EOFError, OSError):
        process.join()
        raise InputError(
            f"{setting}: a worker process has ended (exit code {process.exitcode}; "
            f"-9: killed, as where memory runs out); {remedy}"
        ) from None
    if isinstance(batch, Exception):
        raise batch
    return batch


def _work(sending: Connection, job: bytes, numbers: range):
    """Makes the batches of these numbers, in a process of its own; the last one may be an error."""
    import cloudpickle

    settle()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the trainer has ended
        try:
            make = cloudpickle.loads(job)
            for number in numbers:
                sending.send(make(number))
        except InputError as error:
            sending.send(InputError(str(error)))  # one of a subclass might not arrive
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception:
            sending.send(RuntimeError(f"in a worker process:\n{traceback.format_exc()}"))
