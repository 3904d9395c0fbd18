"""What every consistency judge takes and returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to judge: its reasoning, and the response (1 or 2) it chose."""

    reasoning: str
    answer: Literal[1, 2]


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """What asking a remote judge took.

    Attributes:
        seconds: from the first request to the answer, or to giving up.
        retries: requests beyond the first.
        cached: whether the answer was there already; then nothing was asked.
        prompt_tokens: read by the judge.
        completion_tokens: written by the judge.
    """

    seconds: float
    retries: int = 0
    cached: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether reasoning and answer agree.

    ``consistent`` is None when nobody judged: with ``failure``, a word to count by, when the judge
    tried and could not; without, when judging is switched off. ``call`` is None for judges that
    ask nobody.
    """

    consistent: bool | None
    failure: str | None = None
    call: JudgeCall | None = None


class ConsistencyJudge(Protocol):
    """A judge; one instance serves concurrent calls."""

    async def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """Return one judgement a case, in the order of ``cases``; never raise for a case's text.

        A judge that cannot answer returns a failure: an exception would cost the whole sample.
        """
        ...
