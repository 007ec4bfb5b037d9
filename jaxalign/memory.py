"""Memory of programs that compute on CPUs, kept and in large pages; imports nothing of JAX."""

import os
import sys


SETTING = "GLIBC_TUNABLES"
TUNABLES = {
    "hugetlb": 1,  # pages of 2 MB where the kernel gives them on request
    "mmap_max": 0,  # large blocks from the heap, too,
    "trim_threshold": 2**40,  # which keeps them,
    "arena_max": 1,  # one heap for all threads
}
VALUE = ":".join(f"glibc.malloc.{name}={value}" for name, value in TUNABLES.items())


def restart():
    """Begins this process anew with a C library that keeps its memory, in large pages.

    XLA takes and gives back the memory of every step and every prediction. By default the C library
    gives it back to the kernel, which has to clear it anew each time. Only the environment of a
    process that begins can ask glibc for large pages. Nothing is done where GLIBC_TUNABLES is set,
    even to nothing, or where this is not Linux.
    """
    if sys.platform == "linux" and sys.executable and SETTING not in os.environ:
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, os.environ | {SETTING: VALUE})
