"""The numbers of an evaluation, with their intervals: per subset, region and landmark."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxalign import metrics
from jaxalign.errors import InputError
from jaxalign.evaluation import wilson
from jaxalign.evaluation.bootstrap import LEVEL, RESAMPLES, intervals, resampled_means
from jaxalign.evaluation.results import Results
from jaxalign.protocols import THRESHOLDS, Protocol
from jaxalign.schemes import Scheme


# Of every NME, AUC and interval. It is fine enough that two decimals of a percent are not rounded
# twice, and too coarse for the order of sums to matter.
DECIMALS = 6


def summarise(results: Results, protocol: Protocol) -> dict:
    """Compute all the numbers of a report, ready for JSON. They are fractions, not percent.

    The keys are "scheme", "faces", "headline", "normalisers", "thresholds", "limits", "bootstrap",
    "rows", "regions", "landmarks", "notes" and "sha256".

    * "thresholds" are those of the failure rates and AUCs. "limits" are the ones that the
      benchmark's papers print.
    * "rows": {"subset", "faces", "official", normaliser: {"nme", "fr@5", ..., "auc@5", ...}, ...,
      "intervals": {normaliser: {"nme": [low, high], ...}}, "percentiles": {normaliser: {"50":
      ...}}}. There is one for each subset that has faces, in the protocol's order and then by name.
      The protocol's means follow their last subset, without percentiles. "all" faces come last.
      "official" is the subset's size in the complete benchmark, 0 where none is fixed. If some of a
      subset's faces lack a normaliser, the number of the others is in "measured". If all lack it,
      it is left out.
    * "regions": {"region", "points", "own", "nme", "interval", "bias", "subsets": {subset: nme}},
      by the headline. "own" is true if the protocol, not the scheme, names the points.
    * "landmarks": {"index", "name", "regions", "nme", "interval", "median", "bias", "hidden",
      "labelled"}, by the headline, except "median", which is in pixels. "hidden" is the share of
      faces where the point is invisible, "labelled" the share where it has a place.
    * "bias" is [x, y], the mean of Results.offsets: the signed error, to the right and down.
    * "notes" say which normalisers are left out, because a face has no such distance, and which are
      of fewer faces, because nobody labelled the points that they need in the others. For the
      headline both are errors.

    Regions and landmarks are averaged over the faces that have them labelled; None if no face has.

    Args:
        results: The faces.
        protocol: The protocol.

    Returns:
        The summary.

    Examples:
        >>> from jaxalign.evaluation.results import Results
        >>> from jaxalign.evaluation.summary import summarise
        >>> from jaxalign.protocols import protocol_for
        >>> results = Results.load("report/predictions.jsonl")
        >>> summary = summarise(results, protocol_for("wflw", results.scheme))
        >>> summary["rows"][-1]["subset"]
        'all'
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


def headed(protocol: Protocol, results: Results) -> Protocol:
    """Choose the headline: the first normaliser that the labelled points of most faces give.

    It is the box if a user's own faces lack an eye corner.

    Args:
        protocol: The protocol.
        results: The faces.

    Returns:
        The protocol with this headline.
    """
    names = protocol.normalisers
    truth, scheme = results.truth, results.scheme
    headline = max(names, key=lambda name: metrics.measurable(truth, scheme, name).sum())
    others = tuple(name for name in names if name != headline)
    return replace(protocol, normaliser=headline, others=others)


def statistics(thresholds: Sequence[float] = THRESHOLDS) -> list[str]:
    """Names of the columns of `per_face`.

    Args:
        thresholds: Thresholds of the failure rates and AUCs, fractions.

    Returns:
        The names: "nme", "fr@5", ..., "auc@5", ...
    """
    names = [f"{100 * threshold:g}" for threshold in thresholds]
    return ["nme", *(f"fr@{name}" for name in names), *(f"auc@{name}" for name in names)]


def per_face(errors: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> np.ndarray:
    """Numbers of each face whose means over faces are the statistics.

    Args:
        errors: (N,), NME of each face, a fraction.
        thresholds: Thresholds of the failure rates and AUCs, fractions.

    Returns:
        The (N, S) numbers, with a column for each of `statistics`; NaN for a NaN error.
    """
    failed = [errors > threshold for threshold in thresholds]
    areas = [np.maximum(0, 1 - errors / threshold) for threshold in thresholds]
    numbers = np.stack([errors, *failed, *areas], axis=1)
    numbers[np.isnan(errors)] = np.nan
    return numbers


def is_share(statistic: str) -> bool:
    """Whether a statistic is a share of faces (a failure rate), and has the interval of a share.

    Args:
        statistic: A name of `statistics`.

    Returns:
        The answer.
    """
    return statistic.startswith("fr@")


def mean_intervals(values: np.ndarray, names: Sequence[str], means: np.ndarray) -> np.ndarray:
    """The 95 % intervals of means: Wilson's for failure rates, the bootstrap's for others.

    Args:
        values: (N, S), numbers of faces, as from `per_face`.
        names: The statistic of each column.
        means: (R, S), the means of resamples of the faces.

    Returns:
        The (S, 2) ends of the intervals.
    """
    ends = intervals(means)
    for column, name in enumerate(names):
        if is_share(name):
            known = values[~np.isnan(values[:, column]), column]
            ends[column] = wilson.interval(known.sum(), len(known))
    return ends


def point_sets(scheme: Scheme, protocol: Protocol) -> dict[str, tuple[int, ...]]:
    """The scheme's regions, and the protocol's own sets of points. Empty ones are left out.

    Args:
        scheme: The scheme.
        protocol: The protocol.

    Returns:
        Name -> indices of the points.
    """
    sets = {**scheme.regions, **protocol.point_sets}
    return {name: points for name, points in sets.items() if points}


def subset_names(results: Results, protocol: Protocol) -> list[str]:
    """The subsets that have faces.

    Args:
        results: The faces.
        protocol: The protocol.

    Returns:
        Their names, in the protocol's order, then by name. "all" comes last.
    """
    present = {name for names in results.subsets for name in names} - {"all"}
    ordered = [name for name in protocol.subsets if name in present]
    return [*ordered, *sorted(present - set(ordered)), "all"]


def _errors(results, protocol):
    errors, notes = {protocol.normaliser: results.nme(protocol.normaliser)}, []
    for name in protocol.others:
        try:
            known = metrics.measurable(results.truth, results.scheme, name)
            some = results.take(np.flatnonzero(known)) if 0 < known.sum() < len(known) else results
            found = some.nme(name)
        except InputError as error:
            notes.append(f"{name} is left out: {error}")
            continue
        errors[name] = np.full(len(results), np.nan)
        errors[name][known] = found
        if not known.all():
            notes.append(
                f"{name} is of {known.sum()} of {len(known)} faces: in the others nobody labelled "
                "the points that it needs"
            )
    return errors, notes


def _rows(results, protocol, errors):
    values = np.concatenate([per_face(errors[name]) for name in errors], axis=1)
    names = statistics() * len(errors)
    averages, resampled, ends, rows = {}, {}, {}, []

    def add(subset, faces, **more):
        head = {"subset": subset, "faces": faces, "official": protocol.subsets.get(subset, 0)}
        rows.append(head | _numbers(averages[subset], ends[subset], errors) | more)

    for subset in subset_names(results, protocol):
        chosen = np.flatnonzero(results.subset(subset))
        averages[subset] = metrics.over_points(values[chosen].T)
        resampled[subset] = resampled_means(values[chosen], [results.ids[i] for i in chosen])
        ends[subset] = mean_intervals(values[chosen], names, resampled[subset])
        known = {name: error[chosen][~np.isnan(error[chosen])] for name, error in errors.items()}
        shares = {name: metrics.percentiles(error) for name, error in known.items() if len(error)}
        fewer = {name: len(known[name]) for name in shares if len(known[name]) < len(chosen)}
        more: dict = {"measured": fewer} if fewer else {}
        add(subset, len(chosen), percentiles={k: _rounded(v) for k, v in shares.items()}, **more)
        for mean, parts in protocol.means.items():
            if subset == parts[-1] and set(parts) <= set(averages):
                averages[mean] = np.mean([averages[part] for part in parts], axis=0)
                resampled[mean] = np.mean([resampled[part] for part in parts], axis=0)
                ends[mean] = intervals(resampled[mean])
                for column in (i for i, name in enumerate(names) if is_share(name)):
                    ends[mean][column] = wilson.of_mean(
                        [averages[part][column] for part in parts],
                        [ends[part][column] for part in parts],
                    )
                add(mean, sum(row["faces"] for row in rows if row["subset"] in parts))
    return rows


def _numbers(values, ends, errors):
    """Means (S,) and intervals (S, 2) of all normalisers side by side -> their dicts."""
    names, row, bars = statistics(), {}, {}
    for index, normaliser in enumerate(errors):
        part = slice(index * len(names), (index + 1) * len(names))
        if np.isnan(values[part]).any():
            continue
        numbers = zip(names, values[part], strict=True)
        row[normaliser] = {  # a failure rate stays exact: times the faces, it is a whole number
            key: float(value) if is_share(key) else round(float(value), DECIMALS)
            for key, value in numbers
        }
        bars[normaliser] = dict(zip(names, _rounded_pairs(ends[part]), strict=True))
    return row | {"intervals": bars}


def _regions(results, protocol):
    errors = results.normalised(protocol.normaliser)
    offsets = results.offsets(protocol.normaliser)
    sets = point_sets(results.scheme, protocol)
    values = np.stack(
        [metrics.over_points(errors[:, list(points)]) for points in sets.values()], axis=1
    )
    bars = _rounded_pairs(intervals(resampled_means(values, results.ids)))
    subsets = {name: results.subset(name) for name in subset_names(results, protocol)}
    return [
        {
            "region": name,
            "points": len(points),
            "own": name in protocol.point_sets,
            "nme": _mean(values[:, column]),
            "interval": bars[column],
            "bias": _bias(offsets[:, list(points)]),
            "subsets": {
                subset: _mean(values[chosen, column]) for subset, chosen in subsets.items()
            },
        }
        for column, (name, points) in enumerate(sets.items())
    ]


def _landmarks(results, normaliser):
    errors, offsets = results.normalised(normaliser), results.offsets(normaliser)
    bars = _rounded_pairs(intervals(resampled_means(errors, results.ids)))
    return [
        {
            "index": index,
            "name": results.scheme.names[index],
            "regions": [name for name, part in results.scheme.regions.items() if index in part],
            "nme": _mean(errors[:, index]),
            "interval": bars[index],
            "median": _median(results.errors[:, index]),
            "bias": _bias(offsets[:, index]),
            "hidden": round(float(1 - results.visible[:, index].mean()), DECIMALS),
            "labelled": round(float(results.labelled[:, index].mean()), DECIMALS),
        }
        for index in range(results.scheme.num_points)
    ]


def _mean(values):
    """Mean over the faces that have a number, or None if no face has."""
    mean = float(metrics.over_points(values))
    return None if np.isnan(mean) else round(mean, DECIMALS)


def _bias(offsets):
    return [_mean(offsets[..., axis].ravel()) for axis in (0, 1)]


def _median(values):
    known = values[~np.isnan(values)]
    return round(float(np.median(known)), 3) if len(known) else None


def _rounded(numbers):
    return {key: round(value, DECIMALS) for key, value in numbers.items()}


def _rounded_pairs(ends):
    pairs = [[round(float(low), DECIMALS), round(float(high), DECIMALS)] for low, high in ends]
    return [None if np.isnan(pair).any() else pair for pair in pairs]
