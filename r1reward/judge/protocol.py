"""Protocol of an evaluation: orders, votes, sampling, and the worth of unreadable answers."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from r1reward.core.errors import UserError
from r1reward.core.pair import Position
from r1reward.judge.item import Item

Order = Literal["both", "random", "stored", "chosen_first"]
Parse = Literal["wrong", "exclude", "coin", "half"]


class ProtocolError(UserError):
    """Settings that contradict each other, with what to change."""


@dataclass(frozen=True, slots=True)
class Call:
    """One prompt to judge: ``item`` as it is shown, and how many answers to draw for it."""

    item: Item
    votes: int


@dataclass(frozen=True)
class Protocol:
    """Everything between a benchmark and its number, except for the judge.

    Attributes:
        name: the preset in conf/protocol.
        order: ``both`` asks twice, with the responses exchanged; ``random`` draws the order of
            every vote from ``seed`` and the item's uid; ``stored`` keeps the file's;
            ``chosen_first`` shows the better response first, as the R1-Reward release did.
        parse: what a poll is worth whose readable votes tie, or of which none is readable:
            ``wrong`` nothing; ``half`` half a point; ``coin`` that of a seeded coin
            (Multimodal RewardBench); ``exclude`` leaves it out, and any poll with one unreadable
            vote as well (VL-RewardBench). A response that cannot be read is never a vote.
        seed: of ``random`` and ``coin``.
        votes: answers drawn for each poll; the majority of the readable ones decides.
        temperature: 0 is greedy, and then there is one vote.
        top_p: probability mass of the tokens to draw from.
        repetition_penalty: 1 is none.
        max_tokens: longest answer.
    """

    name: str
    order: Order
    parse: Parse
    seed: int
    votes: int
    temperature: float
    top_p: float
    repetition_penalty: float
    max_tokens: int

    def __post_init__(self) -> None:
        for key, value, known in (
            ("order", self.order, get_args(Order)),
            ("parse", self.parse, get_args(Parse)),
        ):
            if value not in known:
                raise ProtocolError(f"protocol.{key}={value}: give one of {', '.join(known)}")
        if self.votes < 1 or self.max_tokens < 1:
            raise ProtocolError(
                f"protocol.votes={self.votes} and max_tokens={self.max_tokens}: give 1 or more"
            )
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.repetition_penalty > 0):
            raise ProtocolError(
                f"protocol.temperature={self.temperature}, top_p={self.top_p}, repetition_penalty="
                f"{self.repetition_penalty}: give at least 0, up to 1, and above 0"
            )
        if self.votes > 1 and self.temperature == 0:
            raise ProtocolError(
                f"protocol.votes={self.votes} at temperature 0 are so many equal answers; "
                "set protocol.temperature, such as 1.0, or votes=1"
            )

    def calls(self, item: Item) -> tuple[Call, ...]:
        """Return the prompts of ``item``; those of one item share question and media."""
        return tuple(Call(item.shown(at), votes) for at, votes in sorted(self.plan(item).items()))

    def plan(self, item: Item) -> dict[Position, int]:
        """Return how many votes each position of the better response gets."""
        if self.order == "both":
            return {1: self.votes, 2: self.votes}
        if self.order == "random":
            return dict(Counter(self._draw(item.uid, vote) for vote in range(self.votes)))
        return {1 if self.order == "chosen_first" else item.label: self.votes}

    @property
    def mixes_orders(self) -> bool:
        """Whether one majority is over votes that saw both orders, and so has no order itself."""
        return self.order == "random" and self.votes > 1

    def warnings(self) -> tuple[str, ...]:
        """Return what readers of a number under this protocol must know."""
        if self.order != "chosen_first":
            return ()
        return (
            "order=chosen_first shows the better response first every time: a judge that always "
            "says 1 scores 100%. Compare with numbers of the released scripts only.",
        )

    def _draw(self, uid: str, vote: int) -> Position:
        digest = hashlib.sha256(f"{self.seed}:{uid}:{vote}".encode()).digest()
        return 1 if digest[0] < 128 else 2
