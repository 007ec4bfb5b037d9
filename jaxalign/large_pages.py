"""Large pages of memory for programs that train on CPUs; imports nothing of JAX."""

import os
import sys
from pathlib import Path


KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SETTING = "GLIBC_TUNABLES"


def restart():
    """Begins this process anew, with memory of the C library in pages of 2 MB.

    XLA takes and gives back the memory of every training step: with pages of 4 KB a step on CPUs
    takes 1.2 times as long. Only the environment of a process that begins can ask glibc for large
    ones. Nothing is done where GLIBC_TUNABLES is set, even to nothing, or where the kernel gives
    large pages to all programs, or to none.
    """
    try:
        asked = "[madvise]" in KERNEL.read_text(encoding="ascii")
    except OSError:  # not Linux
        return
    if asked and sys.executable and SETTING not in os.environ:
        environment = os.environ | {SETTING: "glibc.malloc.hugetlb=1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
