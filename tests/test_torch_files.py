"""PyTorch's files, written byte for byte without PyTorch and read back."""

import collections
import os
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxalign.errors import InputError
from jaxalign.torch_files import read_torch
from tests.helpers.torch_writers import (
    BFLOAT16,
    FLOAT,
    HALF,
    LONG,
    PARAMETER,
    REBUILD_OLD,
    REBUILD_PARAMETER,
    Reduced,
    Storage,
    tensor,
    write_legacy,
    write_safetensors,
    write_zip,
)


WRITERS = {"zip": write_zip, "legacy": write_legacy}
RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32)
B = RANDOM.normal(size=5).astype(np.float32)


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def assert_same(read, expected):
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        assert read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array, err_msg=name)


def test_tensors_of_several_types(write, tmp_path):
    half, count = B.astype(np.float16), np.array(7)
    brain = B.astype(ml_dtypes.bfloat16)
    content = collections.OrderedDict(
        a=tensor(A),
        b=Reduced(REBUILD_PARAMETER, tensor(B), True, collections.OrderedDict()),
        half=tensor(half, HALF),
        brain=tensor(brain, BFLOAT16),
        count=tensor(count, LONG),
    )
    content._metadata = collections.OrderedDict(version=1)
    write(tmp_path / "x.pth", content)
    expected = {"a": A, "b": B, "half": half, "brain": brain.astype(np.float32), "count": count}
    assert_same(read_torch(tmp_path / "x.pth"), expected)


def test_the_oldest_files_hold_parameters(tmp_path):
    old = Reduced(REBUILD_OLD, Storage(B, FLOAT), 0, (5,), (1,))
    content = {"features.0.bias": Reduced(PARAMETER, old, state=(True, False, {}))}
    write_legacy(tmp_path / "x.pth", content)
    assert_same(read_torch(tmp_path / "x.pth"), {"features.0.bias": B})


def test_strides_and_offsets_are_honoured(write, tmp_path):
    values = np.arange(24, dtype=np.float32)
    content = {
        "transposed": tensor(values, size=(6, 4), stride=(1, 6)),
        "part": tensor(values, offset=5, size=(2, 3), stride=(7, 2)),
    }
    write(tmp_path / "x.pth", content)
    part = np.array([[5, 7, 9], [12, 14, 16]], np.float32)
    expected = {"transposed": values.reshape(4, 6).T, "part": part}
    assert_same(read_torch(tmp_path / "x.pth"), expected)


@pytest.mark.parametrize(
    "where",
    [{"offset": 20}, {"offset": -1}, {"stride": (7, 5)}, {"stride": (-7, 1)}, {"size": (9, 9)}],
    ids=str,
)
def test_tensors_that_leave_their_storage_are_refused(where, write, tmp_path):
    values = np.arange(24, dtype=np.float32)
    where = {"offset": 5, "size": (2, 4), "stride": (7, 1)} | where
    write(tmp_path / "x.pth", {"a": tensor(values, **where)})
    with pytest.raises(InputError, match=r"x\.pth: damaged"):
        read_torch(tmp_path / "x.pth")


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state"])
def test_nested_and_prefixed_names(key, write, tmp_path):
    write(tmp_path / "x.pth", {"epoch": 3, key: {"module.a.weight": tensor(A)}, "ema": None})
    assert_same(read_torch(tmp_path / "x.pth"), {"a.weight": A})


class Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_code_in_a_file_is_refused_and_not_run(write, tmp_path):
    write(tmp_path / "x.pth", {"a": tensor(A), "b": Evil(tmp_path / "made")})
    with pytest.raises(InputError, match=rf"x\.pth: holds {os.mkdir.__module__}\.mkdir"):
        read_torch(tmp_path / "x.pth")
    assert not (tmp_path / "made").exists()


def test_safetensors(tmp_path):
    arrays = {"a": A, "brain": B.astype(ml_dtypes.bfloat16), "count": np.array(7)}
    arrays |= {"flags": np.array([True, False]), "half": B.astype(np.float16)}
    write_safetensors(tmp_path / "x.safetensors", arrays)
    expected = arrays | {"brain": arrays["brain"].astype(np.float32)}
    assert_same(read_torch(tmp_path / "x.safetensors"), expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"data_offsets": [0, 24]},
        {"data_offsets": [-4, 16]},
        {"data_offsets": [4, 24]},
        {"shape": [6]},
        {"shape": [-5]},
        {"dtype": "F8_E4M3"},
    ],
    ids=str,
)
def test_safetensors_with_wrong_entries(changed, tmp_path):
    write_safetensors(tmp_path / "x.safetensors", {"b": B}, **changed)
    with pytest.raises(InputError, match=r"x\.safetensors: damaged"):
        read_torch(tmp_path / "x.safetensors")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_files(kind, tmp_path):
    path = tmp_path / "x"
    if kind == "safetensors":
        write_safetensors(path, {"a": A, "b": B})
    else:
        WRITERS[kind](path, {"a": tensor(A), "b": tensor(B)})
    whole = path.read_bytes()
    for size in range(20, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="x: damaged or cut short"):
            read_torch(path)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="nowhere.pth: no such file"):
        read_torch(tmp_path / "nowhere.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(InputError, match="pipe.pth: no such file"):
        read_torch(tmp_path / "pipe.pth")
    (tmp_path / "page.pth").write_text("<!doctype html> not found")
    with pytest.raises(InputError, match="page.pth: neither"):
        read_torch(tmp_path / "page.pth")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(InputError, match="x.zip: a zip archive, but not"):
        read_torch(tmp_path / "x.zip")


def test_files_without_tensors(write, tmp_path):
    for content in ({"epoch": 3}, [tensor(A)]):
        write(tmp_path / "x.pth", content)
        with pytest.raises(InputError, match=r"x\.pth: holds no tensors"):
            read_torch(tmp_path / "x.pth")


def test_files_of_big_endian_machines(tmp_path):
    write_zip(tmp_path / "new.pth", {"a": tensor(A)}, byteorder="big")
    write_legacy(tmp_path / "old.pth", {"a": tensor(A)}, little_endian=False)
    for name in ("new.pth", "old.pth"):
        with pytest.raises(InputError, match=f"{name}: of a big-endian machine"):
            read_torch(tmp_path / name)
