"""The commands, one module each, and what they share. They import JAX only when they work."""

import argparse
import errno
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxalign import __version__, weights
from jaxalign.errors import InputError, printable
from jaxalign.places import place
from jaxalign.sources import DEFAULT_DATA_DIR


CKPT = (
    "a run's work directory, one of its steps, a .safetensors file of jaxalign export, or the name "
    f"of weights that come with jaxalign: {', '.join(weights.WEIGHTS)}"
)


def new_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser without arguments but --version; help shows `prog` as the command."""
    parser = argparse.ArgumentParser(
        prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"jaxalign {__version__}")
    return parser


def add_import(parser: argparse.ArgumentParser):
    parser.add_argument("--import", "--system", action="append", default=[], metavar="FILE",
                        dest="imports", help="a Python file of your own that the recipe or the "
                        "checkpoint needs, for its system, losses, optimisers, augmentations; it "
                        "is run first (may be given again)")  # fmt: skip


def add_data_dir(parser: argparse.ArgumentParser):
    parser.add_argument("--data-dir", "--data_dir", type=place, metavar="D",
                        default=DEFAULT_DATA_DIR,
                        help="where jaxalign prepare stored the data sets (default: "
                        "%(default)s)")  # fmt: skip


def add_device(parser: argparse.ArgumentParser):
    parser.add_argument("--require", "--device", default="", choices=["cpu", "gpu", "tpu"],
                        type=lambda name: "gpu" if name == "cuda" else name,
                        help="refuse to run on anything else (cuda is gpu); cpu is used even "
                        "where there is an accelerator")  # fmt: skip


def add_ckpt(parser: argparse.ArgumentParser, default: str = ""):
    """Adds --ckpt and --which.

    --ckpt is required unless there are the packaged weights `default`, for which None then stands.
    """
    told = f" (default: {default})" if default else ""
    parser.add_argument("--ckpt", required=not default, help=f"{CKPT}{told}")
    add_which(parser)


def add_which(parser: argparse.ArgumentParser):
    parser.add_argument("--which", default="best", choices=["best", "latest"],
                        help="which step of a work directory (default: %(default)s)")  # fmt: skip


def import_files(arguments: argparse.Namespace):
    """Runs the files of --import, on the device that is asked for.

    Raises InputError where one cannot be run.
    """
    from jaxalign import parallel, recipe  # here, because they import JAX

    parallel.choose(getattr(arguments, "require", ""))
    for file in arguments.imports:
        recipe.import_file(file)


def run(command: Callable[[], int | None]) -> int:
    """Runs a command's work and turns the user's errors into one line on stderr.

    Returns the exit code: the command's own (None counts as 0), 2 after an InputError, where a file
    or folder may not be looked at, or where standard output cannot be written, 130 after Ctrl-C.
    """
    _open_streams()
    try:
        with _log_shown():
            code = command() or 0
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, PermissionError) and error.filename:  # Path.is_file raises it, too
            reason = f"{error.filename}: {error.strerror}; check your rights there"
            print(f"error: {printable(reason)}", file=sys.stderr)
            return 2
        try:
            print(flush=True)  # whether it was standard output that could not be written
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            raise
        print(f"error: standard output: cannot be written ({error.strerror}); send it elsewhere",
              file=sys.stderr)  # fmt: skip
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _open_streams():
    """Sends closed standard streams to nowhere, else the next files would take their places.

    Characters that the encoding of standard output lacks are escaped. A reader that leaves, such as
    `| head`, or a terminal that is closed ends no command: what is written then is lost.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            raw = io.BufferedWriter(_Unread(number, "w", closefd=False))
            at_once = stream.line_buffering or stream.write_through
            setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, stream.errors,
                                                line_buffering=at_once))  # fmt: skip


class _Unread(io.FileIO):
    """A stream that loses what is written once its terminal or its reader is gone."""

    def write(self, data) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise
            return memoryview(data).nbytes


class _AboveBars(logging.Handler):
    """Lines of the log on stderr, above the progress bars."""

    def emit(self, record: logging.LogRecord):
        from tqdm import tqdm  # here, because most calls log nothing

        tqdm.write(record.getMessage(), file=sys.stderr)


@contextmanager
def _log_shown() -> Iterator[None]:
    """Shows the library's log, such as that it compiles; once where commands call others."""
    log = logging.getLogger("jaxalign")
    if any(isinstance(handler, _AboveBars) for handler in log.handlers):
        yield
        return
    handler, level = _AboveBars(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # other libraries may have given the root a handler, which repeats it
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)
        log.setLevel(level)
