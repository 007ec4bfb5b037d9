"""Damage to files, values and command lines, drawn from a seed.

A Damage says in words what was done, and whether a reader could tell at all: a flipped bit of a
format without checksums is another photo, and a changed digit is another point.
"""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Damage:
    what: str
    seen: bool = True  # whether it can be told from a sound file


def _span(rng, size):
    start = int(rng.integers(size))
    return start, min(size, start + int(rng.integers(1, max(2, size // 4))))


def _flipped(data, rng):
    changed, at = bytearray(data), rng.integers(len(data) * 8, size=int(rng.integers(1, 9)))
    for bit in at:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed), f"bits {', '.join(map(str, at))} flipped", False


def _cut(data, rng):
    size = int(rng.integers(len(data)))
    return data[:size], f"cut after {size} of {len(data)} bytes", True


def _without(data, rng):
    start, stop = _span(rng, len(data))
    return data[:start] + data[stop:], f"bytes {start} to {stop} taken out", False


def _zeroed(data, rng):
    start, stop = _span(rng, len(data))
    return data[:start] + bytes(stop - start) + data[stop:], f"bytes {start} to {stop} zero", False


def _random(data, rng):
    start, stop = _span(rng, len(data))
    noise = rng.bytes(stop - start)
    return data[:start] + noise + data[stop:], f"bytes {start} to {stop} random", False


def _repeated(data, rng):
    start, stop = _span(rng, len(data))
    return data[:stop] + data[start:], f"bytes {start} to {stop} twice", False


def _extended(data, rng):
    return data + rng.bytes(int(rng.integers(1, 4096))), "random bytes at the end", False


def _begun_otherwise(data, rng):
    starts = (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a",
              b"II*\0", b"MM\0*", b"BM", b"P6 99999 99999 255\n", b"RIFF\xff\xff\xff\xffWEBP",
              b"PK\3\4", b"\x1f\x8b\x08", b"#!/bin/sh\n", b"\0" * 64)  # fmt: skip
    start = starts[int(rng.integers(len(starts)))]
    return start + data[len(start) :], f"its first bytes are {start!r}", False


BYTES: Sequence[Callable] = (
    _flipped, _flipped, _cut, _cut, _without, _zeroed, _random, _repeated, _extended,
    _begun_otherwise,
)  # fmt: skip


def damaged_bytes(data: bytes, rng: np.random.Generator) -> tuple[bytes, Damage]:
    """Some bytes changed, lost or added; as they are where there are none."""
    if not data:
        return data, Damage("empty as before", False)
    changed, what, seen = BYTES[int(rng.integers(len(BYTES)))](data, rng)
    return changed, Damage(what, seen)


# What stands in place of one number of a text: none of them is a place in a photo.
WORDS = ("nan", "NaN", "inf", "-Infinity", "1e30", "-1e155", "9" * 400, "null", "abc", "1,5,2", "",
         "0x1F", "--3", "1e999", "\u0663\u0660", "<script>", "$(id)", "1_0", "true")  # fmt: skip


def _another_word(text, rng):
    numbers = [found.span() for found in re.finditer(r"-?\d+(\.\d+)?", text)]
    if not numbers:
        return f"{text}{text}", "its text twice", False
    start, stop = numbers[int(rng.integers(len(numbers)))]
    word = WORDS[int(rng.integers(len(WORDS)))]
    # in a name or beside other digits it may make another name or number
    return text[:start] + word + text[stop:], f"{text[start:stop]} became {word[:40]!r}", False


def _another_digit(text, rng):
    digits = [place for place, c in enumerate(text) if c.isdigit()]
    if not digits:
        return text, "nothing changed", False
    at = digits[int(rng.integers(len(digits)))]
    digit = str(int(rng.integers(10)))
    return text[:at] + digit + text[at + 1 :], f"character {at} became {digit}", False


def _line(change):
    def changed(text, rng):
        lines = text.splitlines(keepends=True) or [""]
        at = int(rng.integers(len(lines)))
        return "".join(change(lines, at)), f"line {at + 1}: {change.__name__.strip('_')}", False

    return changed


def _gone(lines, at):
    return [*lines[:at], *lines[at + 1 :]]


def _twice(lines, at):
    return [*lines[: at + 1], *lines[at:]]


def _empty(lines, at):
    return [*lines[:at], "\n", *lines[at + 1 :]]


def _with_more(lines, at):
    return [*lines[:at], f"12 34 {lines[at]}", *lines[at + 1 :]]


def _without_its_end(lines, at):
    return [*lines[:at], lines[at][: len(lines[at]) // 2] + "\n", *lines[at + 1 :]]


TEXT = (
    _another_word, _another_word, _another_word, _another_digit,
    *map(_line, (_gone, _twice, _empty, _with_more, _without_its_end)),
)  # fmt: skip
# How tools write the same text: a reader gives the same faces, or refuses it.
NEUTRAL: Sequence[tuple[str, Callable[[str], bytes]]] = (
    ("with a byte order mark", lambda text: text.encode("utf-8-sig")),
    ("in UTF-16", lambda text: text.encode("utf-16")),
    ("with CRLF", lambda text: text.replace("\n", "\r\n").encode()),
    ("with CR", lambda text: text.replace("\n", "\r").encode()),
    ("with empty lines at its end", lambda text: f"{text}\n\n \n".encode()),
    ("with blanks at the ends of lines", lambda text: text.replace("\n", " \n").encode()),
    ("without its last line end", lambda text: text.rstrip("\n").encode()),
)
# What no reader may take for sound.
BROKEN: Sequence[tuple[str, Callable[[str], bytes]]] = (
    ("empty", lambda text: b""),
    ("one line end", lambda text: b"\n"),
    ("of zero bytes", lambda text: bytes(len(text))),
    ("nested 100,000 deep", lambda text: b"[" * 100_000),
    ("in Latin-1 with umlauts", lambda text: b"\xe4\xf6\xfc" + text.encode()),
    ("a PNG", lambda text: b"\x89PNG\r\n\x1a\n" + bytes(100)),
)


def damaged_text(text: str, rng: np.random.Generator) -> tuple[bytes, Damage]:
    """A text of annotations changed as hands and tools do."""
    kind = rng.random()
    if kind < 0.2:
        what, write = NEUTRAL[int(rng.integers(len(NEUTRAL)))]
        return write(text), Damage(what)
    if kind < 0.3:
        what, write = BROKEN[int(rng.integers(len(BROKEN)))]
        return write(text), Damage(what)
    changed, what, seen = TEXT[int(rng.integers(len(TEXT)))](text, rng)
    return changed.encode("utf-8", "surrogatepass"), Damage(what, seen)


def _removed(path):
    path.unlink()


def _a_folder(path):
    path.unlink()
    path.mkdir()


def _a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def _a_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def _a_link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def _a_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


PLACES = (_removed, _a_folder, _a_pipe, _a_dangling_link, _a_link_to_itself, _a_device)


def damaged_file(path: Path, rng: np.random.Generator, others: Sequence[Path] = ()) -> Damage:
    """A file of a tree changed, taken away or replaced, by one of the `others` too."""
    kind = rng.random()
    if kind < 0.12:
        change = PLACES[int(rng.integers(len(PLACES)))]
        change(path)
        # A photo without its file of points is no face.
        return Damage(f"{path.name}: {change.__name__[1:].replace('_', ' ')}", change != _removed)
    others = [other for other in others if other != path]
    if kind < 0.18 and others:
        other = others[int(rng.integers(len(others)))]
        shutil.copyfile(other, path)
        return Damage(f"{path.name}: replaced by {other.name}", False)
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or kind > 0.9:
        changed, damage = damaged_bytes(data, rng)
    else:
        changed, damage = damaged_text(text, rng)
    path.write_bytes(changed)
    return Damage(f"{path.name}: {damage.what}", damage.seen)


# What a setting may be set to; no field takes all of them, and none takes UNFIT.
VALUES = ("0", "-1", "1", "2", "0.5", "-0.5", "1e9", "1e300", "-1e300", str(2**31), str(2**63),
          "1" * 5000, "True", "''", "'x'", "()", "[]", "[1]", "[1, 2]", "{}", "(3, 'x')", "x",
          "'../../x'", "'a\\nb'", "é")  # fmt: skip
UNFIT = ("nan", "float('nan')", "1e999", "-1e999", "None", "object()", "[[[[]]]]", "{'a': 1}",
         "b'x'", "1j", "...", "__import__('os')", "\0", "lambda: 0")  # fmt: skip
