"""CSV files whose columns have names of their own."""

import json

import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.schemes import COFW29
from tests.datasets.layouts.helpers import POINTS, good, photo, read, reasons, same


def write(root, header, cells=None, photo_column="file"):
    cells = POINTS.ravel() if cells is None else np.asarray(cells).ravel()
    lines = [[photo_column, *header], ["a.jpg", *cells]]
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    (root / "faces.csv").write_text(text)


@pytest.mark.parametrize(
    "column",
    ["image_name", "Image_Path", "filename", "file_name", "image", "path", "img", "photo", "id"],
)
def test_columns_of_the_photo(tmp_path, column):
    photo(tmp_path / "a.jpg")
    write(tmp_path, [f"{axis}_{i}" for i in range(29) for axis in "xy"], photo_column=column)
    same(good(tmp_path)[0])


@pytest.mark.parametrize("form", ["x_{}", "x{}", "{}_x", "point_{}_x", "p{}.x", "x-{}", "lm{} x"])
@pytest.mark.parametrize("names", [range(29), range(1, 30), COFW29.names])
def test_pairs_of_columns_by_name_in_any_order(tmp_path, form, names):
    if not isinstance(names, range) and form not in ("x_{}", "{}_x", "x-{}"):
        pytest.skip("such names are numbers")
    photo(tmp_path / "a.jpg")
    forms = {"x": form, "y": form.replace("x", "y")}
    pairs = [(axis, i) for axis in "xy" for i in np.random.default_rng(2).permutation(29)]
    header = [forms[axis].format(names[i]) for axis, i in pairs]
    write(tmp_path, ["age", *header], [30, *(POINTS[i]["xy".index(axis)] for axis, i in pairs)])
    same(good(tmp_path)[0])


@pytest.mark.parametrize("header", [[str(i) for i in range(58)], [f"f{i}" for i in range(58)]])
def test_columns_that_do_not_tell_x_from_y(tmp_path, header):
    photo(tmp_path / "a.jpg")
    write(tmp_path, header)
    with pytest.raises(InputError, match="do not tell x from y; say by the option columns=pairs"):
        read(tmp_path)
    same(good(tmp_path, columns="pairs")[0])
    write(tmp_path, header, POINTS.T)
    same(good(tmp_path, columns="halves")[0])
    write(tmp_path, [*header, "age"], [*POINTS.ravel(), 30])
    with pytest.raises(InputError, match="has 29.5 points, the scheme has 29: for columns=halves"):
        read(tmp_path, columns="halves")


def test_a_line_that_was_cut_is_named(tmp_path):
    photo(tmp_path / "a.jpg")
    write(tmp_path, [f"{axis}{i}" for axis in "xy" for i in range(29)], POINTS.T)
    with (tmp_path / "faces.csv").open("a") as file:
        file.write(",".join(["a.jpg", *map(str, POINTS.T.ravel()[:40])]))
    face, bad = read(tmp_path)
    same(face)
    assert bad.reason.startswith("line 3: 41 columns, the header has 59")


@pytest.mark.parametrize(
    "named", [{"image_name": "a.jpg"}, {"id": "7", "path": "a.jpg"}, {"id": "a", "image": {}}]
)
def test_json_lines_have_the_names_of_a_csv(tmp_path, named):
    photo(tmp_path / "a.jpg")
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), (4, 5, 58, 60), strict=True))
    held = named | corners | {"points": POINTS.tolist()}
    (tmp_path / "faces.jsonl").write_text(json.dumps(held))
    (face,) = good(tmp_path)
    same(face)
    assert face.id == named.get("id", "a.jpg")
    np.testing.assert_array_equal(face.boxes["dataset"], [4, 5, 58, 60])


def test_points_of_json_lines_count_from_0(tmp_path):
    photo(tmp_path / "a.jpg")
    numbers = {f"{axis}{i}": i for i in range(1, 30) for axis in "xy"}
    (tmp_path / "faces.jsonl").write_text(json.dumps({"id": "a"} | numbers))
    (reason,) = reasons(tmp_path)
    assert reason.startswith("line 1: its points must be x0, y0 to x28, y28")


def test_corners_of_a_box(tmp_path):
    photo(tmp_path / "a.jpg")
    header = [f"{axis}_{i}" for i in range(29) for axis in "xy"]
    write(tmp_path, ["xmin", "ymin", "xmax", "ymax", *header], [4, 5, 58, 60, *POINTS.ravel()])
    (face,) = good(tmp_path)
    same(face)
    np.testing.assert_array_equal(face.boxes["dataset"], [4, 5, 58, 60])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([f"{a}_{i}" for i in range(28) for a in "xy"] + ["x_9", "y_9"], "holds 'x_9' twice"),
        ([f"{a}_{i}" for i in range(28) for a in "xy"] + ["x_a", "y_a"], "'a' is none of cofw29"),
        ([f"{a}_{i}" for i in range(5, 34) for a in "xy"], "'30' is none of cofw29|is none of"),
    ],
)
def test_wrong_headers(tmp_path, header, message):
    photo(tmp_path / "a.jpg")
    write(tmp_path, header)
    with pytest.raises(InputError, match=f"faces.csv: .*{message}"):
        read(tmp_path)
