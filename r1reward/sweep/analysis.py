"""Analysis of a sweep: configurations over seeds, the best run, importance of parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

import numpy as np

from r1reward.config.objective import Objective
from r1reward.core.intervals import Mean, t_interval
from r1reward.sweep.job import SEED, names, short
from r1reward.sweep.manifest import Manifest, Result

_LEVELS = 4  # numbers of more values than that are compared in so many groups of equal size


@dataclass(frozen=True, slots=True)
class Configuration:
    """The runs that differ in their seed alone.

    Attributes:
        settings: key -> value, of the keys that the sweep varies.
        results: its runs, whatever became of them.
        means: of each objective over the seeds that have it, or None where none has.
    """

    settings: Mapping[str, str]
    results: tuple[Result, ...]
    means: tuple[Mean | None, ...]

    @property
    def label(self) -> str:
        """Its settings in one line."""
        known = names(self.settings)
        words = (f"{known[key]}={short(value)}" for key, value in self.settings.items())
        return " ".join(words) or "all runs"

    @property
    def values(self) -> tuple[float, ...]:
        """The means as numbers; NaN where there is none."""
        return tuple(float("nan") if mean is None else mean.value for mean in self.means)

    def best_run(self, objective: Objective) -> Result:
        """Return its best run by the first objective."""
        best = self.results[0]
        for result in self.results[1:]:
            if objective.better(result.values[0], best.values[0]):
                best = result
        return best


def parameters(manifest: Manifest) -> list[str]:
    """Return the keys that the sweep varies, seeds aside."""
    return [key for key in manifest.varied() if key != SEED]


def configurations(manifest: Manifest) -> list[Configuration]:
    """Return the configurations, the best by the first objective first."""
    keys = parameters(manifest)
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in manifest.results():
        chosen = result.job.settings
        groups.setdefault(tuple(chosen.get(key, "") for key in keys), []).append(result)
    found = [
        Configuration(
            dict(zip(keys, values, strict=True)),
            tuple(results),
            tuple(_mean(results, place) for place in range(len(manifest.objectives))),
        )
        for values, results in groups.items()
    ]
    first = manifest.objectives[0]
    sign = -1 if first.direction == "maximize" else 1
    return sorted(found, key=lambda one: _rank(one.values[0], sign))


def _rank(value: float, sign: int) -> tuple[bool, float]:
    known = value == value
    return not known, sign * value if known else 0.0


def _mean(results: Sequence[Result], place: int) -> Mean | None:
    values = [result.values[place] for result in results if isfinite(result.values[place])]
    return t_interval(values) if values else None


def front(found: Sequence[Configuration], objectives: Sequence[Objective]) -> list[Configuration]:
    """Return the configurations that no other one beats in every objective (Pareto)."""
    complete = [one for one in found if None not in one.means]
    return [
        one for one in complete if not any(_dominates(other, one, objectives) for other in complete)
    ]


def _dominates(one: Configuration, other: Configuration, objectives: Sequence[Objective]) -> bool:
    pairs = list(zip(objectives, one.values, other.values, strict=True))
    return any(objective.better(a, b) for objective, a, b in pairs) and not any(
        objective.better(b, a) for objective, a, b in pairs
    )


def importance(results: Sequence[Result], key: str, place: int) -> float | None:
    """Return the share of the variance between runs that a parameter explains alone, in [0, 1].

    It is epsilon squared of the one-way analysis of variance: 1 - (SSW / (n - k)) / (SST / (n - 1))
    for n runs in k groups of one value each, SSW being the sum of squares within the groups and SST
    the whole. Unlike SSB / SST it does not grow with k where nothing matters; below 0 it is 0.
    Numbers of more than four values are cut into four groups of equal size. Interactions are
    credited to nobody. Where a sampler chose the values, it is about the region it looked at.

    Args:
        results: of a sweep; those without the objective, or without the key, do not count.
        key: the parameter.
        place: of the objective.

    Returns:
        None where it cannot be told: one group, fewer than two runs a group, or no variance.
    """
    known = [
        (result.job.settings[key], result.values[place])
        for result in results
        if key in result.job.settings and isfinite(result.values[place])
    ]
    values = [value for _, value in known]
    groups: dict[object, list[float]] = {}
    for level, (_, value) in zip(_levels([text for text, _ in known]), known, strict=True):
        groups.setdefault(level, []).append(value)
    n, k = len(known), len(groups)
    if k < 2 or n < 2 * k:
        return None
    centre = fmean(values)
    total = sum((value - centre) ** 2 for value in values)
    if total == 0:
        return None
    within = sum((value - fmean(group)) ** 2 for group in groups.values() for value in group)
    return max(0.0, 1 - (within / (n - k)) / (total / (n - 1)))


def _levels(texts: Sequence[str]) -> list[object]:
    numbers = as_numbers(texts)
    if numbers is None or len(set(numbers)) <= _LEVELS:
        return list(texts)
    cuts = np.quantile(numbers, np.arange(1, _LEVELS) / _LEVELS)
    return [int(level) for level in np.searchsorted(cuts, numbers, side="right")]


def as_numbers(texts: Sequence[str]) -> list[float] | None:
    """Return the values of a parameter as numbers, or None where one is none."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None
