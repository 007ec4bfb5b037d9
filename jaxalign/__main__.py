"""`jaxalign COMMAND ...` and `python -m jaxalign COMMAND ...`: every command by its name."""

import difflib
import sys
from importlib import import_module

from jaxalign import __version__, large_pages
from jaxalign.commands import run
from jaxalign.errors import InputError


COMMANDS = (
    "demo", "download", "prepare", "train", "evaluate", "predict", "export", "plan", "paper",
)  # fmt: skip
TRAIN = "train", "demo"


def main(argv: list[str] | None = None) -> int:
    """Runs the command that `argv` (default: that of the process) names; returns its exit code."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if argv is None and name in TRAIN:
        large_pages.restart()
    if name in COMMANDS:
        return _done(name, arguments)
    return run(lambda: print(_told(name)))


def _done(name, arguments):
    """Runs a command. Where a package is missing, as JAX beside ONNX Runtime, it says so."""
    try:
        return import_module(f"jaxalign.commands.{name}").main(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "jaxalign"):
            raise
        print(f"error: jaxalign {name} needs {package}, which is not installed; pip install . in a "
              "checkout", file=sys.stderr)  # fmt: skip
        return 2


def _told(name):
    """What is told where no command is named."""
    if name in ("-h", "--help"):
        return _listed()
    if name == "--version":
        return f"jaxalign {__version__}"
    near = difflib.get_close_matches(name, COMMANDS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"no command {name!r}; {meant}there are: {', '.join(COMMANDS)}")


def _listed():
    lines = [
        "usage: jaxalign COMMAND ...",
        "",
        "Facial landmark detection in JAX.",
        "",
        "commands:",
    ]
    for name in COMMANDS:
        about = (import_module(f"jaxalign.commands.{name}").__doc__ or "").partition("\n")[0]
        lines.append(f"  {name:9}  {about}")
    lines += ["", "`jaxalign COMMAND --help` tells its options, `jaxalign --version` the version."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
