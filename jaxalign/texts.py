"""Text files as people's tools write them: encodings, line ends, separators, numbers, JSON."""

import codecs
import csv
import io
import json
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxalign.errors import InputError


MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SEPARATORS = ";\t,"  # between cells: the most frequent one in the first line
LONGEST_INTEGER = 300  # digits: a longer number is no number of anything here, nor a float
DECIMAL = re.compile(r"[-+]?(\d+),(\d+)([eE][-+]?\d+)?")  # a number with a comma


def stored(path: Path | str, most: int | None = None) -> bytes:
    """The bytes of a file.

    Raises InputError that says, without the file's name, why it cannot be read: it is missing, of
    more than `most` bytes, or a folder, a pipe or a device, for which one could wait without end.
    """
    try:
        about = Path(path).stat()  # before it is opened: opening a pipe would wait for its writer
        if stat.S_ISREG(about.st_mode):
            if most is not None and about.st_size > most:
                raise InputError(f"more than {most // 2**20} MB; reduce it")
            return Path(path).read_bytes()
        folder = stat.S_ISDIR(about.st_mode)
        reason = "Is a directory" if folder else "a pipe or a device, not a file"
    except OSError as error:
        reason = error.strerror
    except ValueError:  # a NUL in the name
        reason = "no name of a file"
    raise InputError(f"cannot be read ({reason})")


def file_bytes(path: Path, remedy: str = "") -> bytes:
    """The bytes of a file, as `stored` gives them. The InputError names the file and the remedy."""
    try:
        return stored(path)
    except InputError as error:
        raise InputError(f"{path}: {error}{remedy and f'; {remedy}'}") from None


def read(path: Path, remedy: str = "") -> str:
    """A file's text: UTF-8, or UTF-16 where the file begins with its mark. Raises InputError."""
    raw = file_bytes(path, remedy)
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # of other encodings, or of no text at all
        raise InputError(f"{path}: not a text file in UTF-8; {remedy or 'save it so'}")
    return text


def lines(text: str) -> list[str]:
    """The lines of a text.

    str.splitlines would also split at U+2028, which JSON and names may hold.
    """
    *whole, rest = re.split(r"\r\n|\r|\n", text)
    return [*whole, rest] if rest else whole


def table(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the number of its last line; cells are stripped.

    Commas, semicolons or tabs separate them. Empty rows, and Excel's first line that names the
    separator ("sep=;"), are passed over. Raises InputError where it is not CSV.
    """
    if mark := re.match(r"\s*sep=(.)[^\S\n\r]*(?=[\r\n])", text):
        separator, text = mark[1], " " * mark.end() + text[mark.end() :]
    else:
        first = next((line for line in lines(text) if line.strip()), "")
        separator = max(SEPARATORS, key=first.count)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        found = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is not CSV ({error})") from None
    return [(number, cells) for number, cells in found if any(cells)]


def named_rows(
    text: str, path: Path, columns: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file whose first line names its columns, in any order, beside others.

    Args:
        text: Of the file.
        path: The file, for the messages.
        columns: Those that it must have.

    Yields:
        "<path>, line <number>", and the row's cells by column.

    Raises:
        InputError: It is not CSV, lacks a column or has one twice, or a row is shorter or longer
            than the first.
    """
    (_, header), *rows = table(text, path) or [(1, [])]
    if lacking := [name for name in columns if name not in header]:
        raise InputError(
            f"{path}: lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; its "
            f"first line must name {', '.join(columns)}"
        )
    if twice := repeated(header):
        raise InputError(f"{path}: its first line holds the column {twice} twice")
    for line, cells in rows:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise InputError(f"{where}: {len(cells)} cells, the first line has {len(header)}")
        yield where, dict(zip(header, cells, strict=True))


def with_points(rows: list[list[str]], path: Path) -> list[list[str]]:
    """Cells of numbers, with points for decimal commas.

    Raises InputError where it is not clear whether the commas are decimal.
    """
    cells = [cell for row in rows for cell in row]
    commas = [found for cell in cells if (found := DECIMAL.fullmatch(cell))]
    if not commas:
        return rows
    thousands = all(len(found[1]) <= 3 == len(found[2]) for found in commas)
    if any("." in cell for cell in cells) or (thousands and any(c.isdigit() for c in cells)):
        raise InputError(
            f"{path}: its commas may be decimal ({commas[0][0]}) or not; write all numbers with "
            "decimal points"
        )
    return [[c.replace(",", ".") if DECIMAL.fullmatch(c) else c for c in row] for row in rows]


def repeated(names: list[str]) -> str | None:
    """The first name that comes again, or None."""
    seen = set()
    return next((name for name in names if name in seen or seen.add(name)), None)


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises ValueError that says what is wrong with it. That includes a text that is nested too deep,
    a number with too many digits, and an object that holds a key twice.
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = repeated([key for key, _ in pairs])
            raise ValueError(f"an object holds the key {twice!r} twice")
        return found

    def integer(digits):
        if len(digits) > LONGEST_INTEGER:
            raise ValueError(f"an integer of {len(digits)} digits")
        return int(digits)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=integer)
    except RecursionError:
        raise ValueError("nested too deep") from None


def object_of(text: str | bytes) -> dict[str, Any]:
    """The object of a JSON text.

    Args:
        text: The text, which may be cut, or none of JSON's.

    Returns:
        The object; {} where the text is anything else.
    """
    try:
        value = from_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def json_of(text: str, path: Path, remedy: str = "") -> Any:
    """The value of a JSON file's text. Raises InputError naming the file and the line."""
    try:
        return from_json(text)
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = getattr(error, "msg", error)
        raise InputError(f"{path}{line}: not JSON ({reason}){remedy and f'; {remedy}'}") from None
