"""Files of arrays by name: written and read, and refused where they are damaged."""

import os
import struct

import ml_dtypes
import numpy as np
import pytest

from jaxalign import tensors
from jaxalign.errors import InputError


ARRAYS = {
    "params/a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.array([1.5, -2], np.float16),
    "brain": np.array([1, 3], ml_dtypes.bfloat16),
    "one": np.array(7),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors.write(path, ARRAYS, {"about": "ä\n{}"})
    return path


def test_what_is_written_is_read(file):
    arrays, texts = tensors.read(file)
    assert texts == tensors.read_header(file) == {"about": "ä\n{}"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_rows_stay_rows(tmp_path):
    turned = ARRAYS["params/a/kernel"].T
    tensors.write(tmp_path / "x", {"turned": turned}, {})
    np.testing.assert_array_equal(tensors.read(tmp_path / "x")[0]["turned"], turned)


def refused(path):
    for read in (tensors.read, tensors.read_header):
        with pytest.raises(InputError) as error:
            read(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}: ")
    return line


def test_files_cut_anywhere(file):
    whole = file.read_bytes()
    for size in range(0, len(whole), 5):
        file.write_bytes(whole[:size])
        assert "damaged or cut short" in refused(file)


@pytest.mark.parametrize("length", [2**63 + 1, 10**8 + 1, 10**7, 0])
def test_headers_of_a_wrong_length(length, file):
    """Nothing is allocated for what a header only says."""
    file.write_bytes(struct.pack("<Q", length) + file.read_bytes()[8:])
    assert "damaged or cut short" in refused(file)


def test_bytes_too_many(file):
    file.write_bytes(file.read_bytes() + b"\0")
    assert "damaged or cut short" in refused(file)


def test_no_files(tmp_path):
    assert "no such file" in refused(tmp_path / "none")
    assert "no such file" in refused(tmp_path)
    (tmp_path / "page").write_text("<!doctype html> not found")
    assert "no .safetensors file" in refused(tmp_path / "page")


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(InputError, match="none/x: cannot be written .No such file"):
        tensors.write(tmp_path / "none" / "x", ARRAYS, {})


def test_others_may_read_it(file):
    """With the rights of any file that is written here: a package's files are for all users."""
    plain = file.with_name("plain")
    plain.touch()
    assert os.stat(file).st_mode == os.stat(plain).st_mode


def test_a_digest_is_of_names_types_shapes_and_values():
    arrays = {name: array for name, array in ARRAYS.items()}
    turned = dict(reversed(arrays.items()))
    assert tensors.digest(turned) == tensors.digest(arrays)
    kernel = arrays["params/a/kernel"]
    others = [
        arrays | {"params/a/kernel": other}
        for other in (kernel.T, kernel.reshape(4, 3), kernel + 1, kernel.view(np.int32), -kernel)
    ]
    others += [{**arrays, "more": np.zeros(0)}, {**arrays, "one": np.array([7])}]
    assert len({tensors.digest(one) for one in [arrays, *others]}) == 1 + len(others)


def test_what_is_not_finite_is_named():
    assert tensors.not_finite(ARRAYS) == ""
    for value, kind in ((np.nan, np.float32), (-np.inf, np.float16), (np.inf, ml_dtypes.bfloat16)):
        assert tensors.not_finite(ARRAYS | {"bad": np.array([0, value], kind)}) == "bad"
