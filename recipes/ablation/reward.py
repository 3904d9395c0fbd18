"""Rewards of texts, by the functions that training uses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.utils import instantiate
from omegaconf import DictConfig

from r1reward.consistency.base import Agreement, Case
from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict
from r1reward.rewards.base import Reward, RewardParts


@dataclass(frozen=True, slots=True)
class Scored:
    """One response: what it decided, what it earned, and what the check said."""

    verdict: Verdict | ParseFailure
    parts: RewardParts
    agreement: Agreement


class Scorer:
    """Check and reward formula of a training configuration (r1reward/plugin/reward_manager.py)."""

    def __init__(self, config: DictConfig) -> None:
        self._reward: Reward = instantiate(config.reward.function)
        self._check = instantiate(config.consistency)

    def __call__(self, texts: Sequence[str], labels: Sequence[int]) -> list[Scored]:
        """Return what each response earned; ``labels`` are the better responses, 1 or 2."""
        verdicts = [parse_verdict(text) for text in texts]
        cases = [Case(v.reasoning, v.choice) for v in verdicts if isinstance(v, Verdict)]
        said = iter(asyncio.run(self._check.check(cases)))
        scored = []
        for verdict, label in zip(verdicts, labels, strict=True):
            readable = isinstance(verdict, Verdict)
            agreement = next(said) if readable else Agreement(consistent=None)
            parts = self._reward.score(verdict, label, agreement)
            scored.append(Scored(verdict, parts, agreement))
        return scored
