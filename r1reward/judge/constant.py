"""Judge with a constant answer: 50% accuracy and 0% consistency under order=both."""

from pathlib import Path

from r1reward.core.pair import Pair, Position
from r1reward.judge.base import Blind, JudgeError
from r1reward.judge.protocol import Protocol


class ConstantJudge(Blind):
    """Says ``choice``."""

    def __init__(self, protocol: Protocol, media_root: Path | str, choice: Position) -> None:
        super().__init__(protocol, media_root)
        if choice not in (1, 2):
            raise JudgeError(f"judge.choice={choice}: give 1 or 2")
        self._choice = choice
        self.identity = f"constant-{choice}"

    def choose(self, pair: Pair, vote: int) -> Position:
        """Return the constant."""
        return self._choice
