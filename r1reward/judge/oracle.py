"""Judge that knows the label, with a chosen accuracy."""

from pathlib import Path
from typing import Literal

from r1reward.judge.base import Blind, JudgeError, uniform
from r1reward.judge.item import Item
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

    def choose(self, item: Item, vote: int) -> Literal[1, 2]:
        """Return the label, or the other response."""
        label = item.record.label
        right = uniform(self._seed, item.uid, label, vote) < self._accuracy
        return label if right else (2 if label == 1 else 1)
