"""What worker processes do in tests. They import this module, so it imports little."""

import os
import resource
import signal
import sys

import cv2
import numpy as np

from jaxalign.errors import InputError


class Twisted(Exception):
    """One that can be pickled, but not read again."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def told(number):
    """The number, the process, and whether it uses devices."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return number, os.getpid(), bool(bridge and bridge.backends_are_initialized())


def refused(number):
    if number == 1:
        raise InputError("faces/7: its photo is damaged")
    return number


def broken(number):
    if number == 1:
        raise Twisted(1, 2)
    return number


def killed(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def paged(number):
    """The threads of OpenCV, and how many pages some large arrays take from the system."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**24, np.uint8) for _ in range(3)]
    del arrays
    return cv2.getNumThreads(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
