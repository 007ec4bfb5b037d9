"""Files of text as tools write them: encodings, line ends, separators, decimal commas, JSON."""

import os

import pytest

from jaxalign import texts
from jaxalign.errors import InputError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_with_a_mark(tmp_path, encoding):
    path, text = tmp_path / "a.csv", "größe\u2028,1\r\n"
    marked = text if encoding in ("utf-8", "utf-8-sig", "utf-16") else "\ufeff" + text
    path.write_bytes(marked.encode(encoding))
    assert texts.read(path) == text


@pytest.mark.parametrize("raw", ["größe".encode("latin-1"), b"a\0b", "ab".encode("utf-16-le")])
def test_what_is_no_text_in_utf_8_is_refused(tmp_path, raw):
    (tmp_path / "a.csv").write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.csv: not a text file in UTF-8; save it so"):
        texts.read(tmp_path / "a.csv")


def test_pipes_devices_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    for name, reason in [
        ("pipe.csv", "a pipe or a device"),
        ("zero.csv", "a pipe or a device"),
        ("folder.csv", "Is a directory"),
        ("gone.csv", "No such file"),
        ("n\0ul.csv", "no name of a file"),
        ("n" * 300, "File name too long"),
    ]:
        with pytest.raises(InputError, match=f"cannot be read .{reason}.*; mend it"):
            texts.read(tmp_path / name, "mend it")


def test_lines_end_where_files_end_them():
    assert texts.lines("a\r\nb\rc\nd\u2028\x0b\x85d\n\n") == ["a", "b", "c", "d\u2028\x0b\x85d", ""]
    assert texts.lines("") == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_any_separator(tmp_path, separator, end):
    rows = [["id", "x0", "y0"], ["", " ", ""], ["a\u2028b", "1.5", " 2"], ["c", "3", "4"]]
    text = end.join(separator.join(row) for row in rows) + end
    found = [(1, rows[0]), (3, ["a\u2028b", "1.5", "2"]), (4, rows[3])]
    assert texts.table(text, tmp_path) == found
    assert texts.table(f"sep={separator}{end}{text}", tmp_path) == [(n + 1, r) for n, r in found]


def test_tables_of_long_and_quoted_cells(tmp_path):
    long = "x" * 200_000
    text = f'id,x0\n"a\nb;c",{long}\n'
    assert texts.table(text, tmp_path) == [(1, ["id", "x0"]), (3, ["a\nb;c", long])]
    assert texts.table("\n\n", tmp_path) == []


def test_rows_by_the_columns_that_the_first_line_names(tmp_path):
    path = tmp_path / "a.csv"
    rows = texts.named_rows("y; x; more\n1; 2; 3\n\n4; 5; \n", path, ("x", "y"))
    assert [*rows] == [
        (f"{path}, line 2", {"y": "1", "x": "2", "more": "3"}),
        (f"{path}, line 4", {"y": "4", "x": "5", "more": ""}),
    ]
    for text, reason in (
        ("", "lacks the columns x, y; its first line must name x, y"),
        ("x\n1\n", "lacks the column y;"),
        ("x,y,x\n", "its first line holds the column x twice"),
        ("x,y\n1,2\n3\n", "line 3: 1 cells, the first line has 2"),
    ):
        with pytest.raises(InputError, match=rf"a\.csv.* {reason}"):
            list(texts.named_rows(text, path, ("x", "y")))


def test_decimal_commas(tmp_path):
    rows = [["12,5", "-3,25", "7"], ["1,000", "left", ""]]
    assert texts.with_points(rows, tmp_path) == [["12.5", "-3.25", "7"], ["1.000", "left", ""]]
    assert texts.with_points([["1.5", "2"]], tmp_path) == [["1.5", "2"]]
    for unclear in ([["1,5", "2.5"]], [["1,024", "640"]]):
        with pytest.raises(InputError, match="its commas may be decimal"):
            texts.with_points(unclear, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "an integer of 5000 digits"),
        ("-" + "9" * 400, "an integer of 401 digits"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "an object holds the key 'b' twice"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        texts.from_json(text)


def test_the_object_of_a_text():
    assert texts.object_of(b'{"a": [1]}') == texts.object_of('{"a": [1]}') == {"a": [1]}
    for text in ("", "{", "[1]", "null", b"\xff{}", '{"a": 1, "a": 2}'):
        assert texts.object_of(text) == {}


def test_json():
    assert texts.from_json('{"a": [1, 2.5, null, "\\u2028"]}') == {"a": [1, 2.5, None, "\u2028"]}
