"""Bars of each attribute's share of prepared faces (PropagationNet, Fig. 3)."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Picture

from jaxalign.datasets import BENCHMARKS
from jaxalign.evaluation.tables import write_rows
from jaxalign.papers import Figure
from jaxalign.samples import ATTRIBUTES
from jaxalign.schemes import SCHEMES
from jaxalign.sources import benchmark_of, open_source


def draw(figure: Figure, work, path: Path) -> None:
    """Draw the bars as PNG, and write the same as CSV. Raises InputError for missing data.

    The faces are train and test of the figure's data set, or what the user names.
    """
    specs = [work.data] if work.data else [f"{figure.data}/{split}" for split in ("train", "test")]
    having = {spec: attributes_of(spec, work.data_dir) for spec in specs}
    lines = [
        [attribute, spec, int(count), len(flags), f"{count / len(flags):.6f}"]
        for spec, flags in having.items()
        for attribute, count in zip(ATTRIBUTES, flags.sum(0), strict=True)
    ]
    heads = ["attribute", "data", "having", "faces", "share"]
    write_rows(path.with_suffix(".csv"), [heads, *lines])
    picture = Picture(figsize=(7.5, 5.0), dpi=150, layout="constrained")
    axes = picture.add_subplot(title=figure.title, ylabel="share of the faces, %")
    places, width = np.arange(len(ATTRIBUTES)), 0.8 / len(specs)
    for index, (spec, flags) in enumerate(having.items()):
        shift = (index - (len(specs) - 1) / 2) * width
        label = f"{spec} ({len(flags)} faces)"
        axes.bar(places + shift, 100 * flags.mean(0), width, label=label)
    axes.set_xticks(places, ATTRIBUTES)
    axes.grid(axis="y", color="0.92")
    axes.legend()
    picture.savefig(path)


def attributes_of(spec: str, data_dir: Path | str) -> np.ndarray:
    """NAME/SPLIT -> (N, 6) flags of its faces, in the order of ATTRIBUTES, or InputError."""
    benchmark = BENCHMARKS.get(benchmark_of(spec))
    scheme = benchmark.schemes[0] if benchmark else next(iter(SCHEMES))  # open_source complains
    source = open_source(spec, SCHEMES[scheme], data_dir)
    return np.stack([source[index]["attributes"] for index in range(len(source))])
