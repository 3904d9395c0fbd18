"""verl's reward loop around our verdict, check and reward (``reward.reward_manager.name``)."""

import logging
import time
from typing import Any

from hydra.utils import instantiate
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from r1reward.consistency.base import Agreement, Case, CheckCall, ConsistencyCheck
from r1reward.core.verdict import Verdict, parse_verdict
from r1reward.rewards.base import Reward

_log = logging.getLogger(__name__)
_NO_CALL = CheckCall(seconds=0.0)


@register("r1_reward")
class R1RewardManager(RewardManagerBase):  # type: ignore[misc]
    """Scores one trajectory: response text -> verdict -> agreement -> reward parts.

    ``reward.function`` and ``consistency`` are ``_target_`` nodes, so a new reward or check needs
    no change here. A check that verl hosts (``consistency=hosted``) is told its router's address,
    as ``router``. A failing check is a counted value, never an exception: verl drops a trajectory
    whose reward raises (verl/trainer/ppo/v1/agent_loop_tq.py:131-143).
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        **_unused: object,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self.reward: Reward = instantiate(config.reward.function)
        hosted = {"router": reward_router_address} if reward_router_address else {}
        self.check: ConsistencyCheck = instantiate(config.consistency, **hosted)
        self._error_logged = False

    async def run_single(self, data: DataProto) -> dict[str, object]:
        """Return ``reward_score`` (float) and ``reward_extra_info`` (flat, JSON-like values)."""
        arrived = time.time()
        item = data[-1:][0]
        responses = item.batch["responses"]
        length = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
        text = self.tokenizer.decode(responses[:length], skip_special_tokens=True)
        label = int(item.non_tensor_batch["reward_model"]["ground_truth"])

        verdict = parse_verdict(text)
        agreement, choice = Agreement(consistent=None), 0
        began = time.monotonic()
        if isinstance(verdict, Verdict):
            choice = verdict.choice
            agreement = await self._check(Case(verdict.reasoning, verdict.choice))
        waited = time.monotonic() - began
        parts = self.reward.score(verdict, label, agreement)

        return {
            "reward_score": parts.final,
            "reward_extra_info": {
                **parts.further,
                "acc": parts.result,  # the name verl's validation reports first
                "format": parts.format,
                "consistency": parts.consistency,
                "final": parts.final,
                "parse_failure": float(choice == 0),
                "chose_first": float(choice == 1),
                # Not "uid": verl's dump of a validation has its own, a random one, under that name.
                "record_uid": str(item.non_tensor_batch["extra_info"]["uid"]),
                "arrived": arrived,  # seconds since 1970, when the response was complete
                "consistency_wait": waited,  # seconds from then to the agreement
                **consistency_info(agreement),
            },
        }

    async def _check(self, case: Case) -> Agreement:
        try:
            [agreement] = await self.check.check([case])
        except Exception:  # a mistake in the check, whatever it is, must not cost trajectories
            if not self._error_logged:
                _log.exception("the check raised; counted as a failure, and not shown again")
                self._error_logged = True
            return Agreement(consistent=None, failure="error")
        return agreement


def consistency_info(agreement: Agreement) -> dict[str, float | str]:
    """Return what is kept of one agreement, under the same names for every sample.

    ``checked`` is 1 when the check was to give its word, so 0 for ``consistency=none`` and without
    an answer; ``consistency_failure_kind`` is empty when it gave it. verl's validation averages the
    numbers and skips the text.
    """
    call = agreement.call or _NO_CALL
    return {
        "checked": float(agreement.consistent is not None or agreement.failure is not None),
        "consistency_failure": float(agreement.failure is not None),
        "consistency_failure_kind": agreement.failure or "",
        "consistency_seconds": call.seconds,
        "consistency_retries": float(call.retries),
        "consistency_cached": float(call.cached),
        "consistency_tokens": float(call.prompt_tokens + call.completion_tokens),
        "consistency_cost": call.cost,
    }
