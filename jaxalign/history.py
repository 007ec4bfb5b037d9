"""metrics.jsonl: the numbers that a run wrote down as it went, read back."""

from pathlib import Path

from jaxalign.checkpoints import FOLDER
from jaxalign.errors import InputError
from jaxalign.texts import from_json


FILE = "metrics.jsonl"


def rows(workdir: Path) -> list[dict]:
    """The lines of a run's FILE, but for those that a kill cut or that are none of a run.

    Errors: InputError where there is no such file.
    """
    path = workdir / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return [row for row in map(parsed, lines) if row]


def of_step(step: Path) -> list[dict]:
    """The lines of the run that a checkpoint is a step of; [] where it is a file, or lies alone."""
    workdir = step.parent.parent
    known = step.is_dir() and step.parent.name == FOLDER and (workdir / FILE).exists()
    return rows(workdir) if known else []


def parsed(line: bytes) -> dict:
    """A line of FILE, {} where it is none."""
    try:
        row = from_json(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and type(row.get("step")) is int else {}
