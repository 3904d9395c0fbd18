"""Result of a question to an endpoint."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from r1reward.endpoint.fault import Fault
from r1reward.endpoint.reply import Completion

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QuestionResult(Generic[T]):
    """What became of a question: a ``value``, or else a ``fault``.

    Attributes:
        value: what was read from the completion.
        fault: why there is none.
        completion: that was read; None with a fault.
        seconds: from the first request to the answer or to giving up; 0 if none was sent.
        retries: requests beyond the first.
        prompt_tokens: read by the model, in all requests.
        completion_tokens: written by the model, in all requests.
        cost: of them, in dollars.
        cached: whether the answer was there already.
    """

    value: T | None = None
    fault: Fault | None = None
    completion: Completion | None = None
    seconds: float = 0.0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    cached: bool = False
