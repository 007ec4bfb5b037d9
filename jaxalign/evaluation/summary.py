"""The numbers of an evaluation, with their intervals: per subset, region and landmark."""

from collections.abc import Sequence

import numpy as np

from jaxalign import metrics
from jaxalign.errors import InputError
from jaxalign.evaluation.bootstrap import LEVEL, RESAMPLES, intervals, resampled_means
from jaxalign.evaluation.results import Results
from jaxalign.protocols import THRESHOLDS, Protocol
from jaxalign.schemes import Scheme


# Of every NME, AUC and interval: fine enough not to be rounded twice where two decimals of a
# percent are printed, and coarser than what the order of sums can move.
DECIMALS = 6


def summarise(results: Results, protocol: Protocol) -> dict:
    """Everything that a report says of the faces, ready for JSON; fractions, not percent.

    {"scheme", "faces", "headline", "normalisers", "thresholds", "limits", "bootstrap", "rows",
    "regions", "landmarks", "notes", "sha256"}. "thresholds" are those of the failure rates and
    AUCs, "limits" the ones that the benchmark's papers print. "notes" say which normalisers are
    left out because some face has no such distance (of the headline that is an error).
    * rows: {"subset", "faces", "official", normaliser: {"nme", "fr@5", ..., "auc@5", ...}, ...,
      "intervals": {normaliser: {"nme": [low, high], ...}}, "percentiles": {normaliser: {"50":
      ...}}}: one for each subset that some face counts to, in the protocol's order and then by
      name; the protocol's means behind their last subset (no percentiles); "all" faces last.
      "official" is the subset's size in the complete benchmark, 0 where none is fixed.
    * regions: {"region", "points", "own", "nme", "interval", "subsets": {subset: nme}}, by the
      headline; "own" where the protocol, not the scheme, names the points.
    * landmarks: {"index", "name", "regions", "nme", "interval", "median", "hidden"}, by the
      headline but for "median", in pixels; "hidden" is the share of faces where it is invisible.
    """
    results = results.by_id()  # so that the order of the faces cannot move a sum
    errors, notes = _errors(results, protocol)
    return {
        "scheme": results.scheme.name,
        "faces": len(results),
        "headline": protocol.normaliser,
        "normalisers": list(errors),
        "thresholds": list(THRESHOLDS),
        "limits": list(protocol.limits),
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL},
        "rows": _rows(results, protocol, errors),
        "regions": _regions(results, protocol),
        "landmarks": _landmarks(results, protocol.normaliser),
        "notes": notes,
        "sha256": results.fingerprints(),
    }


def statistics(thresholds: Sequence[float] = THRESHOLDS) -> list[str]:
    """Names of the columns of `per_face`: nme, fr@5, ..., auc@5, ..."""
    names = [f"{100 * threshold:g}" for threshold in thresholds]
    return ["nme", *(f"fr@{name}" for name in names), *(f"auc@{name}" for name in names)]


def per_face(errors: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> np.ndarray:
    """(N,) NMEs -> (N, S), the numbers whose means over faces are `statistics`."""
    failed = [errors > threshold for threshold in thresholds]
    areas = [np.maximum(0, 1 - errors / threshold) for threshold in thresholds]
    return np.stack([errors, *failed, *areas], axis=1)


def point_sets(scheme: Scheme, protocol: Protocol) -> dict[str, tuple[int, ...]]:
    """The scheme's regions and the protocol's own sets of points, those without points left out."""
    sets = {**scheme.regions, **protocol.point_sets}
    return {name: points for name, points in sets.items() if points}


def subset_names(results: Results, protocol: Protocol) -> list[str]:
    """Subsets that some face counts to: in the protocol's order, then by name; "all" last."""
    present = {name for names in results.subsets for name in names} - {"all"}
    ordered = [name for name in protocol.subsets if name in present]
    return [*ordered, *sorted(present - set(ordered)), "all"]


def _errors(results, protocol):
    errors, notes = {protocol.normaliser: results.nme(protocol.normaliser)}, []
    for name in protocol.others:
        try:
            errors[name] = results.nme(name)
        except InputError as error:
            notes.append(f"{name} is left out: {error}")
    return errors, notes


def _rows(results, protocol, errors):
    values = np.concatenate([per_face(errors[name]) for name in errors], axis=1)
    averages, resampled, rows = {}, {}, []

    def add(subset, faces, **more):
        head = {"subset": subset, "faces": faces, "official": protocol.subsets.get(subset, 0)}
        rows.append(head | _numbers(averages[subset], resampled[subset], errors) | more)

    for subset in subset_names(results, protocol):
        chosen = np.flatnonzero(results.subset(subset))
        averages[subset] = values[chosen].mean(axis=0)
        resampled[subset] = resampled_means(values[chosen], [results.ids[i] for i in chosen])
        shares = {name: metrics.percentiles(error[chosen]) for name, error in errors.items()}
        add(subset, len(chosen), percentiles={k: _rounded(v) for k, v in shares.items()})
        for mean, parts in protocol.means.items():
            if subset == parts[-1] and set(parts) <= set(averages):
                averages[mean] = np.mean([averages[part] for part in parts], axis=0)
                resampled[mean] = np.mean([resampled[part] for part in parts], axis=0)
                add(mean, sum(row["faces"] for row in rows if row["subset"] in parts))
    return rows


def _numbers(values, means, errors):
    """Means (S,) and resampled means (R, S) of all normalisers, side by side -> their dicts."""
    names, ends = statistics(), intervals(means)
    row, bars = {}, {}
    for index, normaliser in enumerate(errors):
        part = slice(index * len(names), (index + 1) * len(names))
        numbers = zip(names, values[part], strict=True)
        row[normaliser] = {  # a failure rate stays exact: times the faces it is a whole number
            key: float(value) if key.startswith("fr") else round(float(value), DECIMALS)
            for key, value in numbers
        }
        bars[normaliser] = dict(zip(names, _rounded_pairs(ends[part]), strict=True))
    return row | {"intervals": bars}


def _regions(results, protocol):
    errors = results.normalised(protocol.normaliser)
    sets = point_sets(results.scheme, protocol)
    values = np.stack([errors[:, list(points)].mean(axis=1) for points in sets.values()], axis=1)
    bars = _rounded_pairs(intervals(resampled_means(values, results.ids)))
    subsets = {name: results.subset(name) for name in subset_names(results, protocol)}
    return [
        {
            "region": name,
            "points": len(points),
            "own": name in protocol.point_sets,
            "nme": round(float(values[:, column].mean()), DECIMALS),
            "interval": bars[column],
            "subsets": {
                subset: round(float(values[chosen, column].mean()), DECIMALS)
                for subset, chosen in subsets.items()
            },
        }
        for column, (name, points) in enumerate(sets.items())
    ]


def _landmarks(results, normaliser):
    errors = results.normalised(normaliser)
    bars = _rounded_pairs(intervals(resampled_means(errors, results.ids)))
    return [
        {
            "index": index,
            "name": results.scheme.names[index],
            "regions": [name for name, part in results.scheme.regions.items() if index in part],
            "nme": round(float(errors[:, index].mean()), DECIMALS),
            "interval": bars[index],
            "median": round(float(np.median(results.errors[:, index])), 3),
            "hidden": round(float(1 - results.visible[:, index].mean()), DECIMALS),
        }
        for index in range(results.scheme.num_points)
    ]


def _rounded(numbers):
    return {key: round(value, DECIMALS) for key, value in numbers.items()}


def _rounded_pairs(ends):
    return [[round(float(low), DECIMALS), round(float(high), DECIMALS)] for low, high in ends]
