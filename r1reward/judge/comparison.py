"""The result of one comparison: what a judge says in both orders, in the order of the caller."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from r1reward.core.pair import Position
from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict
from r1reward.endpoint.fault import Fault
from r1reward.judge.base import Answer, Reply

# What came of one order: a decision, an answer that decides nothing, or no answer.
Outcome = Verdict | ParseFailure | Fault

# The names that the prompt gives to the responses.
_NAME = re.compile(r"\b([Rr]esponse )([12])\b")


@dataclass(frozen=True, slots=True)
class Usage:
    """What the answers took; ``cost`` is in dollars, 0 where no price is set."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a judge says about two responses.

    Attributes:
        orders: what came of the order that was given, then of the other one. Choices and reasonings
            name the responses as the caller does.
        usage: of all answers together.
    """

    orders: tuple[Outcome, ...]
    usage: Usage

    @property
    def choice(self) -> Position | None:
        """The better response; None where the orders disagree or neither can be read."""
        choices = {order.choice for order in self.orders if isinstance(order, Verdict)}
        return choices.pop() if len(choices) == 1 else None

    @property
    def agrees(self) -> bool:
        """Whether every order can be read and all choose the same response."""
        return self.choice is not None and not self.failures

    @property
    def failures(self) -> tuple[ParseFailure | Fault, ...]:
        """What came of the orders that decided nothing."""
        return tuple(order for order in self.orders if not isinstance(order, Verdict))

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON has it."""
        orders = [{"type": type(order).__name__, **asdict(order)} for order in self.orders]
        usage = asdict(self.usage)
        return {"choice": self.choice, "agrees": self.agrees, "orders": orders, "usage": usage}


def comparison_of(replies: tuple[Reply, ...]) -> Comparison:
    """Return the comparison of replies to the order that was given, then to the other one."""
    first, *others = (_outcome(reply) for reply in replies)
    answers = [reply for reply in replies if isinstance(reply, Answer)]
    usage = Usage(
        sum(answer.prompt_tokens for answer in answers),
        sum(answer.completion_tokens for answer in answers),
        sum(answer.cost for answer in answers),
    )
    return Comparison((first, *map(_exchanged, others)), usage)


def _outcome(reply: Reply) -> Outcome:
    return reply if isinstance(reply, Fault) else parse_verdict(reply.text)


def _exchanged(outcome: Outcome) -> Outcome:
    """Return what was said about the other order in the names of this one."""
    if not isinstance(outcome, Verdict):
        return outcome
    reasoning = _NAME.sub(lambda name: name[1] + "21"[int(name[2]) - 1], outcome.reasoning)
    return replace(outcome, choice=2 if outcome.choice == 1 else 1, reasoning=reasoning)
