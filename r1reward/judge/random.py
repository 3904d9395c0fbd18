"""Judge that tosses a fair coin for every vote: the line of chance."""

from pathlib import Path
from typing import Literal

from r1reward.judge.base import Blind, uniform
from r1reward.judge.item import Item
from r1reward.judge.protocol import Protocol


class RandomJudge(Blind):
    """Says 1 or 2, drawn from ``seed`` and the item as it is shown."""

    def __init__(self, protocol: Protocol, media_root: Path | str, seed: int) -> None:
        super().__init__(protocol, media_root)
        self._seed = seed
        self.identity = f"random-{seed}"

    def choose(self, item: Item, vote: int) -> Literal[1, 2]:
        """Toss the coin of this vote."""
        return 1 if uniform(self._seed, item.uid, item.record.label, vote) < 0.5 else 2
