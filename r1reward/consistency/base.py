"""Interface of consistency checks: cases, agreements, and the protocol of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from r1reward.endpoint.fault import FaultKind


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to check: its reasoning, and the response (1 or 2) it chose."""

    reasoning: str
    answer: Literal[1, 2]


@dataclass(frozen=True, slots=True)
class CheckCall:
    """What asking a remote check took.

    Attributes:
        seconds: from the first request to the answer, or to giving up.
        retries: requests beyond the first.
        cached: whether the answer was there already; then nothing was asked.
        prompt_tokens: read by the check.
        completion_tokens: written by the check.
        cost: of them, in dollars.
    """

    seconds: float
    retries: int = 0
    cached: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether reasoning and answer agree.

    ``consistent`` is None when nobody checked: with ``failure``, the kind of fault, when the check
    tried and could not; without, when checking is switched off. ``call`` is None for checks that
    ask nobody.
    """

    consistent: bool | None
    failure: FaultKind | None = None
    call: CheckCall | None = None


class ConsistencyCheck(Protocol):
    """A check; one instance serves concurrent calls."""

    async def check(self, cases: Sequence[Case]) -> list[Agreement]:
        """Return one agreement a case, in the order of ``cases``; never raise for a case's text.

        A check that cannot answer returns a failure: an exception would cost the whole sample.
        """
        ...
