"""verl's reward loop around our verdict, judge and reward (``reward.reward_manager.name``)."""

import logging
import time
from typing import Any

from hydra.utils import instantiate
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from r1reward.judges.base import Case, ConsistencyJudge, JudgeCall, Judgement
from r1reward.verdict import Verdict, parse_verdict

_log = logging.getLogger(__name__)
_NO_CALL = JudgeCall(seconds=0.0)


@register("r1_reward")
class R1RewardManager(RewardManagerBase):  # type: ignore[misc]
    """Scores one trajectory: response text -> verdict -> judgement -> reward parts.

    ``reward.function`` and ``judge`` are ``_target_`` nodes, so a new reward or judge needs no
    change here. A judge that verl hosts (``judge=hosted``) is told its router's address, as
    ``router``. A failing judge is a counted value, never an exception: verl drops a trajectory
    whose reward raises (verl/trainer/ppo/v1/agent_loop_tq.py:131-143).
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        **_unused: Any,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self.reward = instantiate(config.reward.function)
        hosted = {"router": reward_router_address} if reward_router_address else {}
        self.judge: ConsistencyJudge = instantiate(config.judge, **hosted)
        self._error_logged = False

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Return ``reward_score`` (float) and ``reward_extra_info`` (flat, JSON-like values)."""
        arrived = time.time()
        item = data[-1:][0]
        responses = item.batch["responses"]
        length = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
        text = self.tokenizer.decode(responses[:length], skip_special_tokens=True)
        label = int(item.non_tensor_batch["reward_model"]["ground_truth"])

        verdict = parse_verdict(text)
        judgement, choice = Judgement(consistent=None), 0
        began = time.monotonic()
        if isinstance(verdict, Verdict):
            choice = verdict.choice
            judgement = await self._judge(Case(verdict.reasoning, verdict.choice))
        waited = time.monotonic() - began
        parts = self.reward.score(verdict, label, judgement)

        return {
            "reward_score": parts.final,
            "reward_extra_info": {
                "acc": parts.result,  # the name verl's validation reports first
                "format": parts.format,
                "consistency": parts.consistency,
                "final": parts.final,
                "parse_failure": float(choice == 0),
                "chose_first": float(choice == 1),
                # Not "uid": verl's dump of a validation has its own, a random one, under that name.
                "record_uid": str(item.non_tensor_batch["extra_info"]["uid"]),
                "arrived": arrived,  # seconds since 1970, when the response was complete
                "judge_wait": waited,  # seconds from then to the judgement
                **judge_info(judgement),
            },
        }

    async def _judge(self, case: Case) -> Judgement:
        try:
            [judgement] = await self.judge.judge([case])
        except Exception:  # a mistake in the judge, whatever it is, must not cost trajectories
            if not self._error_logged:
                _log.exception("the judge raised; counted as a failure, and not shown again")
                self._error_logged = True
            return Judgement(consistent=None, failure="error")
        return judgement


def judge_info(judgement: Judgement) -> dict[str, float | str]:
    """Return what is kept of one judgement, under the same names for every sample.

    ``judged`` is 1 when the judge was to give its word, so 0 for ``judge=none`` and without an
    answer; ``judge_failure_kind`` is empty when it gave it. verl's validation averages the
    numbers and skips the text.
    """
    call = judgement.call or _NO_CALL
    return {
        "judged": float(judgement.consistent is not None or judgement.failure is not None),
        "judge_failure": float(judgement.failure is not None),
        "judge_failure_kind": judgement.failure or "",
        "judge_seconds": call.seconds,
        "judge_retries": float(call.retries),
        "judge_cached": float(call.cached),
        "judge_tokens": float(call.prompt_tokens + call.completion_tokens),
    }
