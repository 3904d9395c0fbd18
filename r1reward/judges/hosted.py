"""A judge that verl serves itself, within the run: a generative reward model behind its router."""

from collections.abc import Sequence
from typing import Any

from r1reward.config import ConfigError
from r1reward.judges.base import Case, Judgement
from r1reward.judges.openai import OpenAIJudge

# verl's router asks for no key, and somebody else's is not for its ears.
_NO_KEY = "R1REWARD_HOSTED_JUDGE_KEY"


class HostedJudge(OpenAIJudge):
    """Asks the router that verl starts for ``reward.reward_model``; else an :class:`OpenAIJudge`.

    The address exists once the run is up: verl gives it to the reward manager, and the manager
    to this class. Without it the settings are checked all the same, which preflight does.

    Args:
        model: the model's path, by which verl's servers know it (``reward.reward_model``).
        router: ``host:port`` of verl's router.
        settings: as for :class:`OpenAIJudge`.

    Raises:
        ConfigError: for what cannot work.
    """

    def __init__(self, model: str | None, router: str | None = None, **settings: Any) -> None:
        address = f"http://{router or 'no-router'}/v1"
        super().__init__(model=model, base_url=address, key_env=_NO_KEY, **settings)
        self._router = router

    async def judge(self, cases: Sequence[Case]) -> list[Judgement]:
        """Judge all ``cases`` at once.

        Raises:
            ConfigError: without a router, as outside of a run.
        """
        if self._router is None and cases:
            raise ConfigError(
                "judge=hosted answers within a training run alone, which serves it "
                "(reward.reward_model.enable=true); elsewhere choose judge=openai, with the "
                "address of a server as judge.base_url"
            )
        return await super().judge(cases)
