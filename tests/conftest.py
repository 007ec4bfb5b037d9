"""What several tests need."""

import gc
import os
import sys
from collections import Counter
from pathlib import Path


# XLA's compiled programs, shared with the processes that tests start (read when jax is imported).
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).resolve().parent.parent / ".cache" / "xla")
)

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

from tests.helpers import bucket, shapes  # noqa: E402


# Before they are imported: the shapes that these modules' signatures name are checked.
jaxtyping.install_import_hook(
    [f"jaxalign.{name}" for name in ("geometry", "targets", "decoding", "losses")],
    f"{shapes.__name__}.checked",
)

from jaxalign import scheme_files, schemes  # noqa: E402
from jaxalign.datasets import BENCHMARKS  # noqa: E402
from tests.helpers.trees import make_300w  # noqa: E402


# Before any test computes: four CPU devices whatever the machine, and no silent broadcasting.
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tests spend their time on compiling, not on computing: tiny networks, each run a few times. An XLA
# that knows one of these no longer says so and ends; then it goes.
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"  # the other cores have tests of their own
)


def pytest_configure(config):
    """XLA compiles without optimising, in the processes that tests start too (it reads its flags
    at the first computation); networks of the papers' size are worth optimising."""
    if config.option.markexpr != "real_size":
        os.environ["XLA_FLAGS"] = f"{QUICKLY} {os.environ.get('XLA_FLAGS', '')}"


def pytest_collection_finish():
    """Tracing makes objects by the million, and all that was imported stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)


def pytest_collection_modifyitems(items):
    """Files with the most heavy tests come first, so that two processes end at about one time."""
    heavy = Counter(item.path for item in items if item.get_closest_marker("heavy"))
    items.sort(key=lambda item: -heavy[item.path])


@pytest.fixture
def plain_softmax(monkeypatch):
    """Without its maximum, whose gradient JAX writes down and does not use."""

    def softmax(x, axis):
        return jax.numpy.exp(x) / jax.numpy.exp(x).sum(axis, keepdims=True)

    monkeypatch.setattr(jax.nn, "softmax", softmax)


@pytest.fixture
def shipped():
    """What a test adds to the schemes goes with it."""
    before = dict(schemes.SCHEMES)
    yield
    schemes.SCHEMES.clear()
    schemes.SCHEMES.update(before)
    scheme_files.FILES.clear()


@pytest.fixture
def gs(monkeypatch, tmp_path):
    """A stand-in for gs://, and a folder for copies."""
    monkeypatch.setenv("JAXALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "gs", bucket.Memory)
    for kept in (bucket.Memory.store, bucket.Memory.failing, bucket.Memory.calls):
        kept.clear()
    bucket.Memory.pseudo_dirs[:] = [""]
    return bucket.Memory()


@pytest.fixture(scope="session")
def data_300w(tmp_path_factory):
    """A data_dir with a tiny 300W: two faces of each folder."""
    from jaxalign.datasets.builder import build

    root, data_dir = tmp_path_factory.mktemp("300w"), tmp_path_factory.mktemp("data")
    make_300w(root)
    build(BENCHMARKS["ibug_300w"], root, data_dir)
    return data_dir
