"""Signals that a block takes."""

import signal
import threading

import pytest

from jaxalign import signals


@pytest.fixture(autouse=True)
def known():
    """SIGHUP as in a terminal, whatever the tests were started by."""
    before = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_taken_meanwhile_and_given_back():
    taken = []
    with signals.caught(signals.END, lambda number, frame: taken.append(number)):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert taken == [signal.SIGHUP, signal.SIGTERM]
    assert signal.getsignal(signal.SIGHUP) == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_under_nohup_a_closed_terminal_ends_nothing():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with signals.caught(signals.END, lambda *_: pytest.fail()):
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_other_threads_take_none():
    errors = []

    def work():
        try:
            with signals.caught(signals.END, print):
                errors.append(signal.getsignal(signal.SIGTERM) == print)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == [False]
