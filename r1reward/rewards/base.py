"""Interface of rewards: the parts of a reward, and the protocol of a formula."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from r1reward.consistency.base import Agreement
from r1reward.core.verdict import ParseFailure, Verdict


@dataclass(frozen=True, slots=True)
class RewardParts:
    """One answer's reward and its parts.

    Attributes:
        result: 1 for the better response, else 0.
        format: 1 for the format asked for, else 0.
        consistency: 1 if and only if the check found the answer consistent with its reasoning;
            else 0 or less.
        final: the reward that training maximizes.
        further: other parts by name, the same names for every answer. They are reported like the
            parts above, and must not have the name of anything else that the reward manager
            reports.
    """

    result: float
    format: float
    consistency: float
    final: float
    further: Mapping[str, float] = field(default_factory=dict)


class Reward(Protocol):
    """A pure function of one answer, with its settings; ``reward.function`` builds it."""

    def score(
        self, verdict: Verdict | ParseFailure, label: int, agreement: Agreement
    ) -> RewardParts:
        """Return the reward of one answer, a finite number in every part.

        Args:
            verdict: the response that the answer prefers; a parse failure earns nothing.
            label: the better response, 1 or 2.
            agreement: the result of the consistency check.
        """
        ...
