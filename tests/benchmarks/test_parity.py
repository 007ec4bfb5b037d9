"""The backbones against their twins in PyTorch, and its files as it writes them."""

import sys

import numpy as np
import pytest

from benchmarks import parity
from jaxalign.backbones import BACKBONES
from jaxalign.errors import InputError
from jaxalign.torch_files import read_torch


# hrnet_w32 is hrnet_w18 but for its widths, and slow to compile
PUBLISHED = [n for n, backbone in BACKBONES.items() if backbone.torch_name and n != "hrnet_w32"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_features_equal_pytorchs(name):
    pytest.importorskip("torch")
    rows = parity.compare(name)
    assert [shape[2] for shape, _, _ in rows] == ([32] if name == "vgg16_bn" else [32, 16, 8, 4])
    assert all(relative < 1e-4 for _, _, relative in rows)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_files_that_pytorch_writes(new, tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.randn(4, 6)
    saved = {
        "parameter": torch.nn.Parameter(values.clone()),
        "transposed": values.t(),
        "part": values[1::2, 1:5:3],
        "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": values.half(),
        "brain": values.bfloat16(),
        "count": torch.tensor(7),
        "flags": values > 0,
    }
    content = {"epoch": 3, "state_dict": saved, "size": values.shape}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    read = read_torch(tmp_path / "x.pth")
    assert read.keys() == saved.keys()
    for name, tensor in saved.items():
        tensor = tensor.float() if name == "brain" else tensor
        np.testing.assert_array_equal(read[name], tensor.detach().numpy(), err_msg=name)


def test_files_go_into_both(tmp_path):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_twins import VGG16BN

    state = VGG16BN().state_dict()
    torch.save(state | {"classifier.0.weight": torch.zeros(3, 3)}, tmp_path / "vgg.pth")
    ((_, difference, relative),) = parity.compare("vgg16_bn", str(tmp_path / "vgg.pth"))
    assert 0 < difference and relative < 1e-4
    del state["features.20.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(InputError, match="less.pth: has no features.20.bias"):
        parity.compare("vgg16_bn", str(tmp_path / "less.pth"))


def test_without_pytorch(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert parity.main(["--backbone", "vgg16_bn"]) == 2
    assert "needs PyTorch: pip install torch" in capsys.readouterr().err
