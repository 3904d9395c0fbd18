"""Interface of judges: answers, faults, and the base class."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from r1reward.core.errors import R1RewardError, UserError
from r1reward.core.media import ImageError
from r1reward.core.pair import Pair, Position
from r1reward.core.prompt import build_messages
from r1reward.endpoint.fault import Fault, Trouble
from r1reward.judge.item import prompt_name
from r1reward.judge.protocol import Protocol


class TooManyFaultsError(R1RewardError):
    """More prompts failed than may."""


class JudgeError(UserError):
    """A judge that cannot start, with what to change."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole response and what it took.

    Attributes:
        text: the response.
        prompt_tokens: read by the model.
        completion_tokens: written by the model.
        cost: in dollars.
        finish_reason: why it ended, such as ``stop``, or ``length`` for a response cut at the
            token limit; None where nobody says.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    finish_reason: str | None = None


Reply = Answer | Fault


class Judge(ABC):
    """A judge; one instance serves concurrent calls, and loads nothing before the first.

    Attributes:
        window: how many prompts are worth having in flight; more only cost memory.
        identity: what answers depend on besides prompt and sampling: the model and its revision.
        protocol: its sampling is all the sampling there is, whatever the model recommends.
        media_root: folder that relative media paths start from.
        trouble: requests to an endpoint that were repeated, and why; for a live line.
    """

    window: int
    identity: str

    def __init__(self, protocol: Protocol, media_root: Path | str) -> None:
        self.protocol = protocol
        self.media_root = Path(media_root)
        self.trouble = Trouble()

    @abstractmethod
    def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield a reply for each number in ``votes``, as it arrives; all are the same prompt.

        A judge sees the pair and no label; whoever asks compares its choice with the label.
        What goes wrong with one prompt is a :class:`Fault`. An exception means that the judge
        itself is broken, and ends the run.
        """

    async def close(self) -> None:  # noqa: B027 - most judges hold nothing
        """Release what the judge holds."""

    def messages(self, pair: Pair) -> list[dict[str, Any]]:
        """Return the chat that shows ``pair``.

        Raises:
            ImageError: for a path that leaves ``media_root`` or a video without frames.
        """
        return build_messages(pair, media_root=self.media_root)

    def digest(self, pair: Pair) -> str:
        """Return a hash of all that the judge is shown: texts, pixels, limits.

        Raises:
            ImageError: for media that cannot be read.
        """
        [turn] = self.messages(pair)
        return _sha256(json.dumps([_hashed(part) for part in turn["content"]]).encode())


class Blind(Judge):
    """A judge that looks at nothing: for tests, and for the lines that chance draws."""

    window = 64

    @abstractmethod
    def choose(self, pair: Pair, vote: int) -> Position:
        """Return the choice of vote number ``vote``."""

    async def judge(self, pair: Pair, votes: Sequence[int]) -> AsyncIterator[tuple[int, Reply]]:
        """Yield well-formed answers."""
        for vote in votes:
            choice = self.choose(pair, vote)
            yield vote, Answer(f"<think>Response {choice}.</think><answer>{choice}</answer>")

    def digest(self, pair: Pair) -> str:
        """Return a hash of the pair and its order: the images need not be there."""
        return _sha256(prompt_name(pair).encode())


def uniform(*parts: object) -> float:
    """Return a number in [0, 1) that depends on ``parts`` only."""
    return int(_sha256(":".join(map(str, parts)).encode())[:13], 16) / 16**13


def _hashed(part: dict[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return part
    uris = part[kind] if isinstance(part[kind], list) else [part[kind]]
    return {**part, kind: [_content(uri) for uri in uris]}


def _content(uri: str) -> str:
    return _sha256(uri.encode()) if uri.startswith("data:") else _file(uri)


@lru_cache(maxsize=4096)
def _file(path: str) -> str:
    try:
        return _sha256(Path(path).read_bytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
