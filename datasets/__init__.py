"""Benchmarks: readers of official layouts, and the TFDS builder they share."""

from jaxalign.datasets import ibug_300w, synthetic_faces
from jaxalign.datasets.faces import Benchmark


BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK for module in (ibug_300w, synthetic_faces)
}
