"""Health of the consistency check: metrics of a step, and the guard that stops training.

Both read what the reward manager keeps of every sample (``reward_extra_info``).
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TypedDict

import numpy as np

from r1reward.core.errors import R1RewardError


class Info(TypedDict):
    """What the reward manager keeps of a sample for the check's metrics; numbers are floats.

    Attributes:
        checked: 1 when the check was to give its word, else 0.
        acc: 1 when the answer is right.
        consistency: what the word is worth; 1 for consistent.
        arrived: seconds since 1970 when the response was complete.
        consistency_wait: seconds from then to the agreement.
        consistency_failure: 1 when the check gave no word.
        consistency_failure_kind: why, in one word; empty when it gave one.
        consistency_seconds: that asking took; 0 where nobody was asked.
        consistency_retries: requests beyond the first.
        consistency_cached: 1 when the answer was there already.
        consistency_tokens: read and written.
        consistency_cost: in dollars.
    """

    checked: float
    acc: float
    consistency: float
    arrived: float
    consistency_wait: float
    consistency_failure: float
    consistency_failure_kind: str
    consistency_seconds: float
    consistency_retries: float
    consistency_cached: float
    consistency_tokens: float
    consistency_cost: float


class ConsistencyError(R1RewardError):
    """The check failed too often to learn from its word."""


def consistency_metrics(infos: Sequence[Info], step_seconds: float) -> dict[str, float]:
    """Return the ``consistency/`` metrics of one step; none when nothing was checked.

    ============================  ==========================================================
    ``checked``                    answers put before the check
    ``consistent_right, _wrong``  share found consistent, of those with a word of the check
    ``failures, failures/KIND``   answers that it gave no word on
    ``failure_rate``              ``failures / checked``
    ``calls``                     agreements that asked an endpoint; the next ones are theirs
    ``retries``                   requests beyond the first, in all
    ``latency_p50, _p95``         seconds from the first request to the answer or to giving up
    ``tokens``                    read and written, in all
    ``cost``                      of them, in dollars, where prices are given
    ``cache_hits``                agreements that were there already
    ``exposed_s``                 seconds that the step waited for nothing but the check: from the
                                  arrival of the last response to the end of the last agreement
    ``exposed_share``             ``exposed_s`` of the step's seconds
    ============================  ==========================================================

    From ``failures`` on only for checks that ask, or fail. Checking before the last response has
    arrived costs the step no time: generation hides it.

    Args:
        infos: one mapping a sample.
        step_seconds: wall time of the training step.
    """
    checked = [info for info in infos if info["checked"]]
    if not checked:
        return {}
    metrics: dict[str, float] = {"checked": len(checked)}
    for name, acc in (("consistent_right", 1.0), ("consistent_wrong", 0.0)):
        words = [i["consistency"] == 1 for i in checked if i["acc"] == acc and not _failed(i)]
        if words:
            metrics[name] = sum(words) / len(words)
    hits = sum(info["consistency_cached"] for info in checked)
    calls = [
        info
        for info in checked
        if info["consistency_seconds"] > 0 and not info["consistency_cached"]
    ]
    if calls or hits or any(map(_failed, checked)):
        metrics |= _failures(checked) | _calls(calls) | {"cache_hits": hits}
        metrics |= _exposed(infos, checked, step_seconds)
    return {f"consistency/{name}": float(value) for name, value in metrics.items()}


def _failed(info: Info) -> bool:
    return bool(info["consistency_failure"])


def _failures(checked: Sequence[Info]) -> dict[str, float]:
    kinds = Counter(info["consistency_failure_kind"] for info in checked if _failed(info))
    return {
        "failures": kinds.total(),
        "failure_rate": kinds.total() / len(checked),
        **{f"failures/{kind}": count for kind, count in sorted(kinds.items())},
    }


def _calls(calls: Sequence[Info]) -> dict[str, float]:
    metrics: dict[str, float] = {
        "calls": len(calls),
        "retries": sum(info["consistency_retries"] for info in calls),
        "tokens": sum(info["consistency_tokens"] for info in calls),
    }
    if cost := sum(info["consistency_cost"] for info in calls):
        metrics["cost"] = cost
    if calls:
        seconds = [info["consistency_seconds"] for info in calls]
        metrics["latency_p50"], metrics["latency_p95"] = np.percentile(seconds, [50, 95])
    return metrics


def _exposed(
    infos: Sequence[Info], checked: Sequence[Info], step_seconds: float
) -> dict[str, float]:
    arrived = max(info["arrived"] for info in infos)
    done = max(info["arrived"] + info["consistency_wait"] for info in checked)
    exposed = max(0.0, done - arrived)
    return {"exposed_s": exposed, "exposed_share": exposed / step_seconds}


class ConsistencyGuard:
    """Says when too many of the last agreements failed.

    The limit is a number of failures, ``max_failure_rate * window``, so that a check that is gone
    is noticed before the window is full. Checks that are switched off, or read the text by rule,
    never fail.

    Args:
        max_failure_rate: largest share of the window that may have failed; None never stops.
        window: agreements looked at, the last ones to arrive.

    Raises:
        ValueError: for a share outside [0, 1] or a window below 1.
    """

    def __init__(self, max_failure_rate: float | None, window: int) -> None:
        if max_failure_rate is not None and not (
            isfinite(max_failure_rate) and 0 <= max_failure_rate <= 1
        ):
            raise ValueError(
                f"run.consistency_guard.max_failure_rate={max_failure_rate}: "
                "give a share between 0 and 1, or null to train on whatever happens"
            )
        if not window or window < 1:
            raise ValueError(f"run.consistency_guard.window={window}: give 1 agreement or more")
        self._rate, self._window = max_failure_rate, window
        self._kinds: deque[str] = deque(maxlen=window)  # "" where the check gave its word

    def add(self, infos: Iterable[Info]) -> None:
        """Count the agreements among ``infos``, in the order they arrived."""
        for info in sorted(infos, key=lambda info: float(info["arrived"])):
            if info["checked"]:
                self._kinds.append(info["consistency_failure_kind"])

    @property
    def tripped(self) -> bool:
        """Return whether more of the window failed than may."""
        return self._rate is not None and self._failed > self._rate * self._window

    def check(self) -> None:
        """Raise :class:`ConsistencyError`, for a person, when :attr:`tripped`."""
        if not self.tripped:
            return
        kinds = Counter(filter(None, self._kinds)).most_common()
        raise ConsistencyError(
            f"{self._failed} of the last {len(self._kinds)} agreements failed "
            f"({self._failed / len(self._kinds):.0%}): "
            f"{', '.join(f'{kind} {count}' for kind, count in kinds)}. "
            f"At most {self._rate:.0%} of {self._window} may.\n"
            "Training stopped before it learned from the last of them, and saved a checkpoint. "
            "See that the check answers (`r1reward consistency-check`), then resume; or resume "
            "with consistency=rule or consistency=none, or with another "
            "run.consistency_guard.max_failure_rate (null: never stop)."
        )

    @property
    def _failed(self) -> int:
        return sum(map(bool, self._kinds))
