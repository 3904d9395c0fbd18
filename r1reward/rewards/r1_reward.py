"""The reward of R1-Reward (arXiv 2505.02835, section 4.3)."""

from dataclasses import dataclass
from math import isfinite

from r1reward.consistency.base import Agreement
from r1reward.core.verdict import ParseFailure, Verdict
from r1reward.rewards.base import RewardParts

# What the check's word is worth as C: consistent, inconsistent; without a word C is 0.
_CONSISTENCY = {"paper": (1.0, 0.0), "released": (1.0, -1.0)}


@dataclass(frozen=True, slots=True)
class R1Reward:
    """final = result * (1 + consistency_weight * C) + format_weight * format.

    ===================================  =========  ============
    answer (both weights 0.5)            ``paper``  ``released``
    ===================================  =========  ============
    right, reasoning consistent          2.0        2.0
    right, not checked or check failed    1.5        1.5
    right, reasoning inconsistent        1.5        1.0
    wrong, whatever the check says       0.5        0.5
    any of these without the format      0.5 less   0.5 less
    no answer                            0.0        0.0
    ===================================  =========  ============

    The paper leaves the range of C open and reads as {0, 1}. The released code adds 1 for a
    consistent answer, takes 1 for an inconsistent one, and 0 when its check gave no verdict
    (openrlhf/models/remote_rm/math_verifier_mllm.py:245). In both a failure of the check is worth
    nothing, neither the full reward nor a guess.

    Attributes:
        consistency_weight: weight of consistency within the result (paper: 0.5).
        format_weight: weight of the format (paper: 0.5).
        consistency: values of C: ``paper`` (1, 0) or ``released`` (1, -1).

    Raises:
        ValueError: for a weight that is negative or not finite, or another name of values.
    """

    consistency_weight: float
    format_weight: float
    consistency: str

    def __post_init__(self) -> None:
        for name in ("consistency_weight", "format_weight"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"reward.function.{name}={value}: give a number of 0 or more")
        if self.consistency not in _CONSISTENCY:
            raise ValueError(
                f"reward.function.consistency={self.consistency}: "
                f"choose {' or '.join(_CONSISTENCY)}"
            )

    def score(
        self, verdict: Verdict | ParseFailure, label: int, agreement: Agreement
    ) -> RewardParts:
        """Return the reward of one answer.

        Args:
            verdict: what the response decided; a parse failure earns nothing.
            label: the better response, 1 or 2.
            agreement: the consistency check's; a failure, or None, is worth C = 0.

        Raises:
            ValueError: for a label other than 1 or 2.
        """
        if label not in (1, 2):
            raise ValueError(f"label {label!r} is neither 1 nor 2: validate the data file")
        if isinstance(verdict, ParseFailure):
            return RewardParts(result=0.0, format=0.0, consistency=0.0, final=0.0)
        result = float(verdict.choice == label)
        formatted = float(verdict.formatted)
        consistency = self._consistency(agreement)
        final = (
            result * (1 + self.consistency_weight * consistency) + self.format_weight * formatted
        )
        return RewardParts(result, formatted, consistency, final)

    def _consistency(self, agreement: Agreement) -> float:
        consistent, inconsistent = _CONSISTENCY[self.consistency]
        if agreement.failure is not None or agreement.consistent is None:
            return 0.0
        return consistent if agreement.consistent else inconsistent
