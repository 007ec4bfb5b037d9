"""Weights in PyTorch's file formats, read without PyTorch: .safetensors, and .pth old and new.

A .pth file is a pickle, and unpickling runs code that the file names. Only the names that tensors
are made of (`ALLOWED`) are let through, and even these lead to stand-ins of our own.
"""

import collections
import os
import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxalign import tensors
from jaxalign.errors import InputError


BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
NESTED_UNDER = ("state_dict", "model", "model_state")


def read_torch(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a file by name (read-only, possibly strided); bfloat16 comes as float32.

    State dicts nested under "state_dict", "model" or "model_state" are found, and the prefix
    "module." (DataParallel's) is dropped. Raises InputError where the file is missing, of another
    kind, damaged, asks for a class that tensors do not need, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():  # to open a pipe would wait for its writer
        raise InputError(f"{path}: no such file; give a file of PyTorch weights")
    try:
        with path.open("rb") as file:
            start = file.read(16)
            file.seek(0)
            if start[8:9] == b"{":
                arrays, _ = tensors.read(path)
            elif start.startswith(b"PK"):
                arrays = _read_zip(file, path)
            elif start.startswith(pickle.dumps(LEGACY_MAGIC, 2)[:-1]):
                arrays = _read_legacy(file, path)
            else:
                raise InputError(
                    f"{path}: neither .safetensors nor a PyTorch checkpoint; give one of the two"
                )
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file of PyTorch weights") from error
    except Exception as error:  # a damaged pickle may raise anything
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{path}: damaged or cut short ({reason}); fetch it again") from error
    if not arrays:
        raise InputError(f"{path}: holds no tensors; save a model's state_dict")
    return {
        name.removeprefix("module."): a.astype(np.float32) if a.dtype == BFLOAT16 else a
        for name, a in arrays.items()
    }


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype


class _Tensor:
    """A part of a storage; `size`, `stride` and `offset` in elements."""

    def __init__(self, storage, offset, size, stride):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def __setstate__(self, state):
        """Old files give a Parameter's requires_grad and hooks here."""

    def array(self, data: dict[str, bytes]):
        dtype = self.storage.dtype
        strides = [step * dtype.itemsize for step in self.stride]
        # numpy refuses what would leave the storage
        return np.ndarray(
            self.size, dtype, data[self.storage.key], self.offset * dtype.itemsize, strides
        )


def _rebuild_tensor(storage, offset, size, stride, *requires_grad_and_hooks):
    return _Tensor(storage, offset, size, stride)


def _parameter(tensor, *requires_grad_and_hooks):
    return tensor


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
} | {("torch", name): name for name in STORAGES}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, path):
        super().__init__(file, encoding="utf-8")  # names may have been written by Python 2
        self.path, self.storages = path, {}

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise InputError(
                f"{self.path}: holds {module}.{name}, which is not read, as it could run code; "
                "save the model's state_dict alone"
            )
        return ALLOWED[module, name]

    def persistent_load(self, saved):
        kind, name, key, _, _, *view = saved
        if kind != "storage" or any(view):
            raise ValueError(f"{kind} {key} is not a plain storage")
        self.storages[key] = _Storage(key, STORAGES[name])
        return self.storages[key]


def _read_zip(file, path):
    """PyTorch 1.6 and later: NAME/data.pkl, and each storage as NAME/data/KEY."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        pickled = next((n for n in names if n.endswith("/data.pkl")), None)
        if pickled is None:
            raise InputError(f"{path}: a zip archive, but not a PyTorch checkpoint")
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in names and archive.read(order) != b"little":
            raise InputError(f"{path}: of a big-endian machine; save it again on another")
        with archive.open(pickled) as stream:
            unpickler = _Unpickler(stream, path)
            tensors = _tensors(unpickler.load())
        data = {key: archive.read(f"{folder}data/{key}") for key in unpickler.storages}
    return {name: tensor.array(data) for name, tensor in tensors.items()}


def _read_legacy(file, path):
    """Reads a file from before PyTorch 1.6.

    It holds pickles of a magic number, the protocol, the machine, the object and the storages'
    keys; then each storage, after its number of elements (int64).
    """
    _, _, machine = (_Unpickler(file, path).load() for _ in range(3))
    if not machine["little_endian"]:
        raise InputError(f"{path}: of a big-endian machine; save it again on another")
    unpickler = _Unpickler(file, path)
    tensors = _tensors(unpickler.load())
    data = {}
    for key in _Unpickler(file, path).load():
        count = struct.unpack("<q", _read(file, 8))[0]
        data[key] = _read(file, count * unpickler.storages[key].dtype.itemsize)
    return {name: tensor.array(data) for name, tensor in tensors.items()}


def _tensors(saved):
    """The tensors in a pickled object, by name."""
    for name in NESTED_UNDER:
        if isinstance(saved, dict) and isinstance(saved.get(name), dict):
            saved = saved[name]
    if not isinstance(saved, dict):
        return {}
    return {k: v for k, v in saved.items() if isinstance(k, str) and isinstance(v, _Tensor)}


def _read(file, size):
    """`size` bytes of the file. Raises EOFError where it has fewer."""
    if not 0 <= size <= os.fstat(file.fileno()).st_size - file.tell():
        raise EOFError("the file ends too early")
    return file.read(size)
