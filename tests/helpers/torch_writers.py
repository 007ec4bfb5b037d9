"""PyTorch's file formats, as far as tests need them, written without PyTorch."""

import collections
import io
import json
import pickle
import struct
import zipfile


def torch_name(name, module="torch"):
    """A class that pickles under that name of PyTorch's."""
    return type(name, (), {"__module__": module, "__qualname__": name})


FLOAT, HALF, BFLOAT16, LONG = map(
    torch_name, ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage")
)
REBUILD = torch_name("_rebuild_tensor_v2", "torch._utils")
REBUILD_OLD = torch_name("_rebuild_tensor", "torch._utils")
PARAMETER = torch_name("Parameter", "torch.nn.parameter")
REBUILD_PARAMETER = torch_name("_rebuild_parameter", "torch._utils")


class Storage:
    def __init__(self, values, kind):
        self.values, self.kind = values, kind


class Reduced:
    """Pickles as `function(*arguments)`, and with `state` set on the result if there is one."""

    def __init__(self, function, *arguments, state=None):
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self):
        if self.state is None:
            return self.function, self.arguments
        return self.function, self.arguments, self.state


def tensor(values, kind=FLOAT, offset=0, size=None, stride=None):
    size = values.shape if size is None else size
    if stride is None:
        stride = tuple(s // values.itemsize for s in values.strides)
    storage = Storage(values.reshape(-1), kind)
    return Reduced(REBUILD, storage, offset, size, stride, False, collections.OrderedDict())


class Pickler(pickle._Pickler):
    """Python's own, which does not look whether PyTorch's names exist."""

    def __init__(self, file, legacy):
        super().__init__(file, 2)
        self.legacy, self.storages = legacy, []

    def save_global(self, obj, name=None):
        if getattr(obj, "__module__", "").startswith("torch"):
            self.write(f"c{obj.__module__}\n{obj.__qualname__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    def save_type(self, obj):
        self.save_global(obj)

    dispatch = pickle._Pickler.dispatch | {type: save_type}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        key = str(len(self.storages))
        self.storages.append(obj.values)
        saved = ("storage", obj.kind, key, "cuda:0", len(obj.values))
        return saved + (None,) if self.legacy else saved


def pickled(content, legacy):
    stream = io.BytesIO()
    pickler = Pickler(stream, legacy)
    pickler.dump(content)
    return stream.getvalue(), pickler.storages


def write_zip(path, content, byteorder="little", folder="archive"):
    data, storages = pickled(content, legacy=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", data)
        archive.writestr(f"{folder}/byteorder", byteorder)
        for i, storage in enumerate(storages):
            archive.writestr(f"{folder}/data/{i}", storage.tobytes())
        archive.writestr(f"{folder}/version", "3\n")


def write_legacy(path, content, little_endian=True):
    data, storages = pickled(content, legacy=True)
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    heads = (0x1950A86A20F9469CFC6C, 1001, machine)
    keys = [str(i) for i in range(len(storages))]
    path.write_bytes(
        b"".join(pickle.dumps(head, 2) for head in heads)
        + data
        + pickle.dumps(keys, 2)
        + b"".join(struct.pack("<q", len(s)) + s.tobytes() for s in storages)
    )


SAFE_NAMES = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "bool": "BOOL",
}


def write_safetensors(path, arrays, **changed):
    """`changed` goes over every entry of the header."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        dtype = SAFE_NAMES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        header[name] |= changed
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
