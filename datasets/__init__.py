"""Benchmarks: readers of official layouts, and the TFDS builders over them."""

from jaxalign.datasets import (
    aflw,
    aflw2000_3d,
    cofw,
    cofw68,
    ibug_300w,
    image_folder,
    jd_landmark,
    lapa,
    merl_rav,
    synthetic_faces,
    w300_lp,
    wflw,
)
from jaxalign.datasets.faces import Benchmark


MODULES = (
    ibug_300w,
    wflw,
    cofw,
    cofw68,
    aflw,
    w300_lp,
    aflw2000_3d,
    merl_rav,
    jd_landmark,
    lapa,
    image_folder,
    synthetic_faces,
)
BENCHMARKS: dict[str, Benchmark] = {module.BENCHMARK.name: module.BENCHMARK for module in MODULES}
