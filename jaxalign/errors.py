"""The one exception that the user can mend, and the command names that its messages show."""

import shlex
import sys
from pathlib import Path


PACKAGE = Path(__file__).resolve().parent
SCRIPTS = ("train", "evaluate")  # commands with a script in a checkout


class InputError(Exception):
    """Bad input: the message names the file (or key) and the remedy.

    The commands print it as a single line and exit with code 2; everything else is a bug and
    keeps its traceback.
    """


def printable(text: object) -> str:
    """Text as one line that any Unicode encoding can print.

    Characters that cannot be printed, as in names of files, are escaped.

    Args:
        text: Anything; `str` makes its text.

    Returns:
        The line; of a text above 4000 characters its first and last 2000.
    """
    text = str(text)
    text = text if len(text) <= 4000 else f"{text[:2000]} ... {text[-2000:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def typed(command: str) -> str:
    """A command as the user of this process types it, for messages.

    Args:
        command: Name of a subcommand, such as "evaluate".

    Returns:
        `jaxalign evaluate`, also in a program that uses the library; `python -m jaxalign evaluate`;
            or, from one of a checkout's SCRIPTS, the path of the other.
    """
    script = Path(sys.argv[0])
    folder = script.resolve().parent
    if script.name == "__main__.py" and folder == PACKAGE:
        return f"python -m jaxalign {command}"
    if script.stem in SCRIPTS and folder == PACKAGE.parent and command in SCRIPTS:
        return shlex.join(["python", str(script.with_name(f"{command}.py"))])
    return f"jaxalign {command}"
