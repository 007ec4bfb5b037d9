"""metrics.jsonl: the numbers that a run wrote down, read back."""

from pathlib import Path

from jaxalign.checkpoints import FILE, FOLDER
from jaxalign.errors import InputError
from jaxalign.texts import object_of, stored


def rows(workdir: Path) -> list[dict]:
    """Reads the lines of a run's FILE.

    Args:
        workdir: The run's work directory.

    Returns:
        One dict for each line, such as {"step": 100, "loss": 0.5}. A line that a kill cut, and
        whatever is no line of a run, are left out.

    Raises:
        InputError: The file cannot be read.
    """
    path = workdir / FILE
    try:
        lines = stored(path).split(b"\n")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return [row for row in map(parsed, lines) if row]


def of_step(step: Path) -> list[dict]:
    """Reads the lines of the run that a checkpoint belongs to.

    Args:
        step: The step's folder, or a file of checkpoints.write.

    Returns:
        The lines as `rows` gives them; [] for a file, or a step without its run.
    """
    workdir = step.parent.parent
    known = step.is_dir() and step.parent.name == FOLDER and (workdir / FILE).exists()
    return rows(workdir) if known else []


def parsed(line: bytes) -> dict:
    """Reads one line of FILE.

    Args:
        line: The line's bytes.

    Returns:
        Its values by name; {} where it is no line of a run.
    """
    row = object_of(line)
    return row if type(row.get("step")) is int else {}
