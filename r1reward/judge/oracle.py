"""Judge that knows the label, with a chosen accuracy."""

from pathlib import Path

from r1reward.core.pair import Pair, Position, Preference
from r1reward.judge.base import Blind, JudgeError, uniform
from r1reward.judge.item import prompt_name
from r1reward.judge.protocol import Protocol


class OracleJudge(Blind):
    """Every vote is right with probability ``accuracy``, drawn from ``seed`` and the item."""

    def __init__(
        self, protocol: Protocol, media_root: Path | str, accuracy: float, seed: int
    ) -> None:
        super().__init__(protocol, media_root)
        if not 0 <= accuracy <= 1:
            raise JudgeError(f"judge.accuracy={accuracy}: give a number from 0 to 1")
        self._accuracy, self._seed = accuracy, seed
        self.identity = f"oracle-{accuracy:g}-{seed}"

    def choose(self, pair: Pair, vote: int) -> Position:
        """Return the label, or the other response.

        Raises:
            JudgeError: for a pair whose better response is not known.
        """
        if not isinstance(pair, Preference):
            raise JudgeError("judge=oracle repeats labels, and this pair has none")
        right = uniform(self._seed, prompt_name(pair), vote) < self._accuracy
        return pair.label if right else pair.swapped().label
