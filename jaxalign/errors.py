"""The one exception that is the user's to mend, and the commands that its messages name."""

import shlex
import sys
from pathlib import Path


PACKAGE = Path(__file__).resolve().parent
SCRIPTS = ("train", "evaluate")  # the commands that a checkout has a script of, beside the package


class InputError(Exception):
    """Bad input: the message names the file (or key) and the remedy.

    The commands print it as a single line and exit with code 2; everything else is a bug and
    keeps its traceback.
    """


def printable(text: object) -> str:
    """As one line in any encoding of Unicode: what is none, as in names of files, is escaped, and
    what is very long loses its middle."""
    text = str(text)
    text = text if len(text) <= 4000 else f"{text[:2000]} ... {text[-2000:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def typed(command: str) -> str:
    """A command's name as the user of this process types commands, to be named in messages.

    `jaxalign evaluate`, which is that of library use too; `python -m jaxalign evaluate`; or, after
    one of a checkout's SCRIPTS, the path of the other.
    """
    script = Path(sys.argv[0])
    folder = script.resolve().parent
    if script.name == "__main__.py" and folder == PACKAGE:
        return f"python -m jaxalign {command}"
    if script.stem in SCRIPTS and folder == PACKAGE.parent and command in SCRIPTS:
        return shlex.join(["python", str(script.with_name(f"{command}.py"))])
    return f"jaxalign {command}"
