"""A reward of your own: a right answer earns more when its reasoning is brief.

python examples/own_reward.py
PYTHONPATH=examples r1reward train reward.function._target_=own_reward.BriefReward data.steps=4
"""

from dataclasses import replace

from r1reward.consistency.base import Agreement
from r1reward.core.verdict import ParseFailure, Verdict, parse_verdict
from r1reward.rewards.base import RewardParts
from r1reward.rewards.r1_reward import R1Reward

WORDS = 40  # reasoning of so many words earns no bonus


class BriefReward(R1Reward):
    """The reward of the paper, plus up to 0.5 for a right answer with few words."""

    def score(
        self, verdict: Verdict | ParseFailure, label: int, agreement: Agreement
    ) -> RewardParts:
        """Return the reward of one answer; training reports the part ``brief``."""
        parts = super().score(verdict, label, agreement)
        words = len(verdict.reasoning.split()) if isinstance(verdict, Verdict) else WORDS
        brief = parts.result * max(0.0, 1 - words / WORDS)
        return replace(parts, final=parts.final + 0.5 * brief, further={"brief": brief})


if __name__ == "__main__":
    reward = BriefReward(consistency_weight=0.5, format_weight=0.5, consistency="paper")
    for reasoning in ("Only Response 1 names the dog.", "Let us see. " * 20, ""):
        answer = parse_verdict(f"<think>{reasoning}</think><answer>1</answer>")
        print(f"{reward.score(answer, 1, Agreement(consistent=True)).final:.2f}", reasoning[:40])
