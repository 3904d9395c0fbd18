"""Judge that tosses a fair coin for every vote: the line of chance."""

from pathlib import Path

from r1reward.core.pair import Pair, Position
from r1reward.judge.base import Blind, uniform
from r1reward.judge.item import prompt_name
from r1reward.judge.protocol import Protocol


class RandomJudge(Blind):
    """Says 1 or 2, drawn from ``seed`` and the pair as it is shown."""

    def __init__(self, protocol: Protocol, media_root: Path | str, seed: int) -> None:
        super().__init__(protocol, media_root)
        self._seed = seed
        self.identity = f"random-{seed}"

    def choose(self, pair: Pair, vote: int) -> Position:
        """Toss the coin of this vote."""
        return 1 if uniform(self._seed, prompt_name(pair), vote) < 0.5 else 2
