"""Gaussian Vector's Fig. 4 (b): the vectors of a point beside the crop, and where it is found.

The shown point is the one whose true place is nearest to three map pixels beyond an end of one
vector, as in the paper (66, behind the last pixel 63). It is chosen from the points whose vector
has its maximum at that end, because the Beyond Box Strategy is for these. Its error has no
influence on the choice.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure as Picture

from jaxalign import geometry
from jaxalign.errors import InputError
from jaxalign.evaluation.model import Model
from jaxalign.evaluation.tables import write_rows
from jaxalign.papers import Figure
from jaxalign.pipeline import Crop, evaluation_batches
from jaxalign.systems.gaussian_vector import STRIDE, GaussianVector


BEYOND = 3.0  # map pixels


@dataclass(frozen=True)
class Outsider:
    """A point beside the crop. Places are in map pixels, along x and y."""

    face: str
    point: str
    axis: int  # 0 (x) or 1 (y): it lies beyond an end of this axis
    vectors: np.ndarray  # (2, n): x and y
    true: np.ndarray  # (2,)
    found: np.ndarray  # (2,), by the Beyond Box Strategy


def draw(figure: Figure, work, path: Path) -> None:
    """Draw the bars as PNG, and write the vectors with the curve of Eq. 6 as CSV."""
    (row,) = figure.rows
    model = work.opened(row, figure)
    system = model.system
    if not (isinstance(system, GaussianVector) and system.bands):
        raise InputError(f"{model.step}: has no vectors; give a model of GaussianVector with bands")
    one = find(model, shrunk(model.recipe.data.crop, row.shrink))
    size, peak = one.vectors.shape[1], one.found[one.axis]
    places = np.arange(min(0, int(peak) - 5), max(size, int(peak) + 7))
    curve = system.tau * np.exp(-((places - peak) ** 2) / (2 * system.beyond_sigma**2))
    lines = [["map pixel", "x", "y", "Eq. 6"]]
    for place, value in zip(places.tolist(), curve.tolist(), strict=True):
        pair = one.vectors[:, place].tolist() if 0 <= place < size else ("", "")
        lines.append([place, *pair, value])
    write_rows(path.with_suffix(".csv"), lines)
    _draw(path, one, places, curve, system.tau)
    along, true = "xy"[one.axis], one.true[one.axis]
    print(f"{one.face}, {one.point}: {along} is {true:.2f} map pixels, found {peak:.2f}")


def shrunk(crop: Crop, share: float) -> Crop:
    """The crop with its side multiplied by `share`."""
    rule = getattr(crop, crop.box)
    return replace(crop, **{crop.box: replace(rule, enlarge=rule.enlarge * share)})


def find(model: Model, crop: Crop) -> Outsider:
    """The point that is shown. Raises InputError if no point is beside the crop."""
    system, source = model.system, model.source
    assert isinstance(system, GaussianVector)

    @jax.jit
    def predicted(variables, images):
        x, y = system.vectors(system.maps(variables, images))
        return (x, y), system.read(x, y)[0]

    nearest, chosen = np.inf, None
    batches = evaluation_batches(source, system.points, crop, system.size, batch=model.batch)
    for batch in batches:
        pair, found = predicted(model.variables, batch["image"])
        vectors, found = np.stack(pair, -1), geometry.to_map(np.asarray(found), STRIDE)  # B n K 2
        true, last = geometry.to_map(batch["points"], STRIDE), vectors.shape[1] - 1
        beyond = np.maximum(-true, true - last)  # map pixels past either end, below 0 inside
        off = beyond > 0.5
        at_its_end = vectors.argmax(1) == np.where(true < 0, 0, last)
        fits = (off & at_its_end).any(-1) & (off.sum(-1) == 1) & (batch["weight"] > 0)[:, None]
        distance = np.where(fits, abs(beyond.max(-1) - BEYOND), np.inf)
        face, point = np.unravel_index(distance.argmin(), distance.shape)
        if distance[face, point] < nearest:
            nearest = distance[face, point]
            chosen = Outsider(
                face=source[int(batch["index"][face])]["id"],
                point=system.points.names[point],
                axis=int(off[face, point].argmax()),
                vectors=vectors[face, :, point].T,
                true=true[face, point],
                found=found[face, point],
            )
    if chosen is None:
        raise InputError(f"{source.name}: no point beside its crop has its vector's maximum at "
                         "that end; name other faces by --data")  # fmt: skip
    return chosen


def _draw(path, one, places, curve, tau):
    picture = Picture(figsize=(7.5, 4.0), dpi=150, layout="constrained")
    name, peak = "xy"[one.axis], one.found[one.axis]
    axes = picture.add_subplot(
        title=f"{one.face}, {one.point}", xlabel="map pixel", ylabel="value of the vector"
    )
    for axis, colour in enumerate(("#009E73", "#0072B2")):
        axes.bar(np.arange(one.vectors.shape[1]), one.vectors[axis], 0.9, color=colour, alpha=0.6,
                 label=f"vector {'xy'[axis]}")  # fmt: skip
    axes.plot(places, curve, "--", color="#D55E00", label=f"Eq. 6 of {name}")
    axes.plot([peak], [tau], "o", color="#D55E00", label=f"found ({peak:.1f}, {tau:g})")
    axes.axvline(one.true[one.axis], color="0.3", linestyle="dotted", label=f"true {name}")
    axes.legend()
    picture.savefig(path)
