"""The commands, one module each, and what they share."""

import argparse
import os
import sys
from collections.abc import Callable

from jaxalign.errors import InputError


def add_system(parser: argparse.ArgumentParser):
    parser.add_argument("--system", metavar="FILE", help="a Python file of your own that defines "
                        "the checkpoint's system, such as the one given to train.py --config; it "
                        "is run before the checkpoint is read")  # fmt: skip


def import_system(arguments: argparse.Namespace):
    """Runs the file that --system names, if any. Errors: InputError where it cannot be run."""
    if arguments.system:
        from jaxalign.recipe import import_file  # here, for it imports JAX

        import_file(arguments.system)


def run(command: Callable[[], int | None]) -> int:
    """Runs a command's work and turns the user's errors into one line on stderr.

    Returns the exit code: the command's own (None counts as 0), 2 after an InputError, 130 after
    Ctrl-C.
    """
    try:
        return command() or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `| head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
