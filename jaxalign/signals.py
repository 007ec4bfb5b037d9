"""Signals that ask a process to end."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


INTERRUPT = ("SIGINT",)  # by Ctrl-C
END = ("SIGTERM", "SIGHUP")  # by the system, or the end of the terminal


@contextmanager
def kept_from_new(names: tuple[str, ...]) -> Iterator[None]:
    """Keeps signals from the processes and threads that this thread starts meanwhile, for good.

    This thread takes them afterwards. Nothing changes where the system has no signal masks.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in names])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def caught(names: tuple[str, ...], handler: Callable[..., object]) -> Iterator[None]:
    """Lets `handler(number, frame)` take these signals meanwhile.

    SIGHUP is left alone if it is ignored, as under nohup. Only the main thread can take signals: in
    others nothing changes.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in names:
            number = getattr(signal, name, None)  # not every system has SIGHUP
            ignored = number is not None and signal.getsignal(number) is signal.SIG_IGN
            if number is not None and not (name == "SIGHUP" and ignored):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
