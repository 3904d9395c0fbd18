"""Objectives of a sweep: metrics to maximize or minimize."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import Self

from r1reward.core.errors import ConfigError

ACCURACY = "accuracy"
_DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True, slots=True)
class Objective:
    """A number of a finished run, and which way is better.

    Attributes:
        direction: ``maximize`` or ``minimize``.
        metric: ``accuracy`` or a metric of the journal: of the last validation that has it, else
            the mean of the last training steps.
    """

    direction: str
    metric: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the objective that a configuration names, such as ``maximize accuracy``.

        Raises:
            ConfigError: when it names none.
        """
        direction, _, metric = str(text).strip().partition(" ")
        if direction not in _DIRECTIONS or not metric.strip():
            raise ConfigError(
                f"sweep.objectives: {text!r} is none; write `maximize accuracy`, or `minimize` and "
                "a metric of the journal, such as `minimize response_length/mean`"
            )
        return cls(direction, metric.strip())

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"

    def better(self, first: float, second: float) -> bool:
        """Return whether ``first`` is better than ``second``; NaN is never, and worse than all."""
        if isnan(first) or isnan(second):
            return not isnan(first)
        return first > second if self.direction == "maximize" else first < second

    def text(self, value: float | None) -> str:
        """Return the value as people read it."""
        if value is None or isnan(value):
            return "–"
        return f"{value:.1%}" if self.metric == ACCURACY else f"{value:.4g}"


def objectives(texts: Iterable[str]) -> list[Objective]:
    """Return the objectives of a configuration, the most important first.

    Raises:
        ConfigError: when there is none, or one that cannot be read.
    """
    found = [Objective.parse(text) for text in texts]
    if not found:
        raise ConfigError("sweep.objectives: name at least one, such as `maximize accuracy`")
    return found


def directions(texts: Iterable[str]) -> list[str]:
    """Return ``maximize`` or ``minimize`` for each objective, as optuna wants it."""
    return [objective.direction for objective in objectives(texts)]
