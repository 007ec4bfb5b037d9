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
